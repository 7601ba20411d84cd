"""What is known beforehand of the parameters of a fit, and which of them are fitted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from iphasenet.base import quantities
from iphasenet.base.errors import InputError

Range = tuple[float, float]

EXTRA = ("astigmatism",)
"""Parameters that are fitted only if asked for."""

THINNEST_NM = 1.5
"""Smallest thickness that is fitted [nm]: thicknesses are interpolated between whole slices."""

LARGEST_REACH = 2.0
"""Largest tilt that is sought [degrees]: the propagator describes no larger ones."""

LARGEST_DISPLACEMENT = 4.0
"""Largest thermal displacements that are fitted, over those of the structure."""

LARGEST_DEFOCUS = 400.0
"""Largest defocus that is fitted [Å]: beyond, the probe is wider than the window in which it is simulated."""

GOOD = 0.025
"""Share of the contrast that a right crystal at the right place leaves unexplained, at most: those of the test bench
left up to 0.01, GaN taken for MoS2 0.037 and MoS2 taken for GaN 0.031."""


def parse_range(text: str, option: str) -> Range:
    """
    Read a number or a range.

    Parameters
    ----------
    text : str
        A number, or LOWEST:HIGHEST.
    option : str
        Name of the option, for messages.

    Returns
    -------
    (float, float)
        Lowest and highest value; equal if it is a number. InputError if the text is neither.
    """
    try:
        numbers = [float(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or not all(map(math.isfinite, numbers)) or numbers[0] > numbers[-1]:
        raise InputError(f"{option}: found {text!r}; allowed: a number, or LOWEST:HIGHEST")
    return numbers[0], numbers[-1]


_ALWAYS = ("alpha", "beta", "depth", "defocus", "offset_x", "offset_y", "scale", "source_variance")
"""Parameters that are fitted unless they are given."""


@dataclass(frozen=True)
class Limits:
    """
    Ranges of the parameters.

    Attributes
    ----------
    thickness_nm : (float, float)
        Thickness [nm]; equal limits fix it, here as below.
    tilt_deg : (float, float)
        alpha and beta about which a tilt is sought [degrees].
    tilt_reach_deg : float
        Largest angle from there [degrees]; 0 fixes the tilt.
    defocus_angstrom : (float, float)
        Defocus [Å].
    source_size_angstrom : (float, float)
        Standard deviation of the source, with that of the scan's noise [Å].
    scale : (float, float)
        Intensity of the images over that of the simulation.
    displacement : (float, float)
        Thermal displacements of all atoms over those of the structure.
    rotation_deg : float, optional
        gamma, if it is known: to a few degrees [degrees].
    extra : sequence of {'astigmatism'}
        What is fitted besides.
    """

    thickness_nm: Range = (5.0, 200.0)
    tilt_deg: tuple[float, float] = (0.0, 0.0)
    tilt_reach_deg: float = 1.0
    defocus_angstrom: Range = (-150.0, 150.0)
    source_size_angstrom: Range = (0.0, 0.8)
    scale: Range = (0.85, 1.15)
    displacement: Range = (0.6, 1.5)
    rotation_deg: float | None = None
    extra: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.thickness_nm[0] < THINNEST_NM:
            raise InputError(f"thickness: found {self.thickness_nm[0]:g} nm; allowed: from {THINNEST_NM:g} nm up")
        for value in self.thickness_nm:
            quantities.THICKNESS.check(value, "thickness")
        for value in self.defocus_angstrom:
            if not abs(value) <= LARGEST_DEFOCUS:
                raise InputError(f"defocus: found {value:g} Å; allowed: -{LARGEST_DEFOCUS:g} to {LARGEST_DEFOCUS:g} Å")
        for value in self.source_size_angstrom:
            quantities.SOURCE_SIZE.check(value, "source size")
        for name in ("thickness_nm", "defocus_angstrom", "source_size_angstrom", "scale", "displacement"):
            low, high = getattr(self, name)
            if low > high:
                raise InputError(f"{name}: found {low:g} to {high:g}; allowed: the lower limit first")
        if not max(map(abs, self.tilt_deg)) <= LARGEST_REACH:
            raise InputError(f"tilt: found {self.tilt_deg}; allowed: alpha and beta up to {LARGEST_REACH:g}°")
        if not 0 <= self.tilt_reach_deg <= LARGEST_REACH:
            raise InputError(f"tilt range: found {self.tilt_reach_deg:g}°; allowed: 0 to {LARGEST_REACH:g}°")
        for name in ("scale", "displacement"):
            if not getattr(self, name)[0] > 0:
                raise InputError(f"{name}: found {getattr(self, name)[0]:g}; allowed: above 0")
        if not self.displacement[1] <= LARGEST_DISPLACEMENT:
            raise InputError(
                f"displacement: found {self.displacement[1]:g}; allowed: up to {LARGEST_DISPLACEMENT:g} times that of "
                "the structure"
            )
        unknown = [name for name in self.extra if name not in EXTRA]
        if unknown:
            raise InputError(f"fit: found {unknown[0]!r}; allowed: {', '.join(EXTRA)}")

    @property
    def bounds(self) -> dict[str, Range]:
        """Limits of the parameters of `iphasenet.fitting.crystal_model.Parameters`."""
        low, high = self.source_size_angstrom
        found = {
            "depth": (10 * self.thickness_nm[0], 10 * self.thickness_nm[1]),
            "defocus": self.defocus_angstrom,
            "source_variance": (low**2, high**2),
            "scale": self.scale,
            "displacement": self.displacement,
        }
        if self.tilt_reach_deg == 0:
            found |= {"alpha": (self.tilt_deg[0],) * 2, "beta": (self.tilt_deg[1],) * 2}
        return found

    @property
    def free(self) -> list[str]:
        """Parameters that are fitted."""
        asked = [*_ALWAYS, "displacement"]
        if "astigmatism" in self.extra:
            asked += ["astigmatism_x", "astigmatism_y"]
        fixed = {name for name, (low, high) in self.bounds.items() if low == high}
        return [name for name in asked if name not in fixed]
