"""Unit and range of each number that a user may give; numbers beyond the ranges are mistakes."""

import argparse
import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

from iphasenet.base.errors import InputError


@dataclass(frozen=True)
class Quantity:
    """
    A number with its unit and range.

    Attributes
    ----------
    unit : str
        Unit; empty for a count or a share.
    low, high : float
        Smallest and largest value.
    above, below : bool
        Whether `low` or `high` itself is refused.
    whole : bool
        Whether it is an integer.
    step : int
        Number of which an integer must be a multiple.
    or_zero : bool
        Whether 0 is allowed beside the range.
    """

    unit: str
    low: float
    high: float
    above: bool = False
    below: bool = False
    whole: bool = False
    step: int = 1
    or_zero: bool = False

    @property
    def allowed(self) -> str:
        """The range in words."""
        low = f"above {self.low:,g}" if self.above else f"{self.low:,g}"
        high = f"less than {self.high:,g}" if self.below else f"{self.high:,g}"
        words = [
            "0, or" if self.or_zero else "",
            f"{low} to {high}",
            self.unit,
            "" if self.step == 1 else f"in steps of {self.step}",
        ]
        return " ".join(filter(None, words))

    def holds(self, value: Any) -> bool:
        """Whether a value is a number within the range; NaN is in none."""
        if self.or_zero and not isinstance(value, bool) and value == 0:
            return True
        if isinstance(value, bool) or not self.low <= value <= self.high:
            return False
        if (self.above and value == self.low) or (self.below and value == self.high):
            return False
        return not self.whole or (value == math.floor(value) and value % self.step == 0)

    def check(self, value: float, name: str) -> None:
        """Refuse a value outside the range; `name` is what the message calls it."""
        if not self.holds(value):
            # Whole numbers of YAML may be longer than any float.
            number = f"{value:,g}" if not isinstance(value, int) or abs(value) < 1e300 else "a number without end"
            found = " ".join(filter(None, [number, self.unit]))
            raise InputError(f"{name}: found {found}; allowed: {self.allowed}")

    def __call__(self, text: str) -> float:
        """Read an option of a command line (argparse's `type`)."""
        try:
            value = int(text) if self.whole else float(text)
        except ValueError:
            value = math.nan
        if math.isnan(value) or not self.holds(value):
            kind = "a whole number, " if self.whole else ""
            raise argparse.ArgumentTypeError(f"found {text!r}; allowed: {kind}{self.allowed}")
        return value


def check_number(value: Any, name: str, quantity: Quantity) -> None:
    """Refuse what is no number, or outside a quantity's range; `name` is what the message calls it."""
    number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not quantity.holds(value):
        whole = "a whole number, " if quantity.whole else ""
        found = f"{value:.10g}" if isinstance(value, float) else repr(value)
        raise InputError(f"{name}: found {found}; allowed: {whole}{quantity.allowed}")


def noun(number: int, one: str, many: str | None = None) -> str:
    """Choose the form of a noun: of 1 `one`, of others `many`, or `one` with an s."""
    return one if number == 1 else many or f"{one}s"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Write how many there are of something, as `noun` has it: 1 image, 2 images."""
    return f"{number:,} {noun(number, one, many)}"


ENERGY = Quantity("keV", 10, 1000)
SEMIANGLE = Quantity("mrad", 0.1, 100)
COLLECTION_ANGLE = Quantity("mrad", 0, 500)
FOCAL_SPREAD = Quantity("Å", 0, 1000)
SOURCE_SIZE = Quantity("Å", 0, 10)
DEFOCUS = Quantity("Å", -1e5, 1e5)
ABERRATION = Quantity("Å", -1e10, 1e10)
ANGLE = Quantity("degrees", -360, 360)
THICKNESS = Quantity("nm", 0.01, 10_000)
OFFSET = Quantity("", -1000, 1000)
DISPLACEMENT = Quantity("Å", 0, 0.5)
TEMPERATURE = Quantity("K", 1, 2000, or_zero=True)
MEASURED_TEMPERATURE = Quantity("K", 0, 3000, above=True)
SNAPSHOTS = Quantity("", 0, 1000, whole=True)
THERMAL_NOISE = Quantity("", 1e-4, 1)
THERMAL_PASSES = Quantity("", 1, 1000, whole=True)
COARSE_PASSES = Quantity("", 2, 1000, whole=True, or_zero=True)
SEED = Quantity("", 0, 2**63 - 1, whole=True)
LATTICE_INDEX = Quantity("", -99, 99, whole=True)
CELL_LENGTH = Quantity("Å", 0.1, 1000)
STRAIN = Quantity("%", 0, 5)
CELL_AREA = Quantity("Å²", 1, 1e5)
CELL_ANGLE = Quantity("degrees", 1, 179)
IMAGE_PIXELS = Quantity("", 1, 8192, whole=True)
IMAGE_SAMPLING = Quantity("Å", 0.01, 1e4)
SEGMENTS = Quantity("", 1, 16, whole=True)
MULTISLICE_SAMPLING = Quantity("Å", 0.005, 0.5)
SLICE_THICKNESS = Quantity("Å", 1e-3, 100)
WINDOW = Quantity("Å", 1, 1000)
MEMORY = Quantity("MB", 1, 1e8)
DOSE = Quantity("e/Å²", 1e-3, 1e10)
INTENSITY = Quantity("", -1e30, 1e30)
CAMERA_PIXEL = Quantity("mrad", 0, 100, above=True)
CAMERA_POSITION = Quantity("pixels", -1e5, 1e5)
COUNT = Quantity("", 1, 100_000, whole=True)
INDEX = Quantity("", 0, 1e9, whole=True)
TILT_ERROR = Quantity("degrees", 0, 10)
THICKNESS_ERROR = Quantity("%", 0, 50)
THREADS = Quantity("", 1, 1024, whole=True)

ROUNDING_STRAIN = 0.01
"""Strain that is taken out of a cell without a word [%]: angles rounded to hundredths of a degree need no more."""

MAX_STRAIN = 0.2
"""Strain that is taken out of a cell with a warning [%]: oblique lattices and calculated cells need 0.11 degrees."""

USUAL_TILT_ERROR, USUAL_THICKNESS_ERROR = 0.1, 5.0
"""How well tilt [degrees] and thickness [%] are taken to be known where a user does not say."""
