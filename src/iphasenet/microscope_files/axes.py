"""Axes of an array as its file describes them, and their place in this library's order. All names of axes stand here.

A name says what an axis is (`Axis.role`) and its direction (`Axis.direction`); a unit also says what it is. By these an
array is put in this library's order, whatever that of the file: a segment or a scan of a series, then y and x of the
scan, then row and column of the camera (`arrangement`). An axis with an unknown name is refused (`check_axes`), because
four images along a depth, an exposure or an index are not four segments.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from iphasenet.base import quantities
from iphasenet.base.errors import InputError
from iphasenet.microscope_files.numbers import angle, inverse_length, length

_SEGMENT = {
    *("segment", "segments", "seg", "quadrant", "quadrants", "quad", "sector", "sectors"),
    *("detector", "detectors", "det", "channel", "channels", "chan", "ch", "color", "colour"),
}
"""Words in the names of axes along which the four segments follow one another; .tif calls them colours."""

_SERIES = {
    *("time", "frame", "frames", "series", "repeat", "repetition", "energy", "loss", "exposure", "cycle"),
    *("tilt", "focus", "defocus", "depth", "thickness", "slice", "dose", "temperature", "voltage"),
}
"""Words in the names of axes of a series of images by one detector, which is refused with a message."""

_SERIES_NAMES = {"t", "scan", "scans"}
"""Whole names of such axes; "scan y" is another kind of axis."""

_SERIES_UNITS = {"s", "sec", "second", "seconds", "ms", "µs", "μs", "us", "ns", "min", "h", "ev", "kev", "k", "°c"}
"""Units of axes of a series."""

_SCAN = {
    *("scan", "sample", "specimen", "stage", "probe", "beam", "position", "pos", "real", "navigation", "nav", "r"),
}
"""Words in the names of a scan's axes."""

_CAMERA = {
    *("camera", "cam", "detector", "det", "diffraction", "diff", "reciprocal", "pattern", "signal", "sig"),
    *("angle", "theta", "θ", "frequency", "k", "q", "d", "g"),
}
"""Words in the names of a camera's axes; ASTAR's and TVIPS's are dy and dx."""

_DIRECTIONS = {
    **dict.fromkeys(("y", "row", "rows", "height", "vertical", "slow"), "y"),
    **dict.fromkeys(("x", "column", "columns", "col", "cols", "width", "horizontal", "fast"), "x"),
}
"""Words for the direction of an axis: y runs down, x to the right."""

_NEUTRAL = {"pixel", "pixels", "grid", "image", "axis", "dim", "coord", "motor"}
"""Words that may be joined with y or x without further meaning."""

_UNNAMED = re.compile(r"<?undefined>?|none|unknown|unnamed|((axis|dim|dimension|phony_dim)?[-_ ]?\d*)")
"""Names that readers and HyperSpy give to axes without a name."""

_WORD = re.compile("[A-Z]?[a-zθ]+|[A-Z]+")

LARGEST_STEP = quantities.IMAGE_SAMPLING.high
"""Largest pixel of a scan [Å]; a larger one is a physical pixel of a camera."""

_MEASURED = {"angle", "inverse length"}
"""Kinds of a camera's axes whose pixels can be converted into angles."""

_ORDINALS = ("first", "second", "third", "fourth")


@dataclass(frozen=True)
class Axis:
    """
    One axis of an array, as its file describes it.

    Attributes
    ----------
    name : str
        Its name; empty where there is none.
    step : float, optional
        Distance of two pixels, in `unit`; None where the file does not say, or says 0.
    unit : str
        Unit of the step.
    start : float
        Position of the first pixel's centre, in `unit`.
    """

    name: str = ""
    step: float | None = None
    unit: str = ""
    start: float = 0.0

    @cached_property
    def kind(self) -> str:
        """
        Kind of quantity, by its unit: "length", "angle", "inverse length", "camera length" of physical pixels.

        "series" by name or unit; empty if the file does not tell.
        """
        if self._words & _SERIES or self.name.lower() in _SERIES_NAMES or self.unit.lower() in _SERIES_UNITS:
            return "series"
        units = {"length": length, "angle": angle, "inverse length": inverse_length}
        found = next((kind for kind, worth in units.items() if worth(self.unit) is not None), "")
        is_physical = found == "length" and self.pixel is not None and self.pixel > LARGEST_STEP
        return "camera length" if is_physical else found

    @cached_property
    def direction(self) -> str:
        """Direction by its name: "y" or "x"; empty if the name contains none or both."""
        found = {_DIRECTIONS.get(word, _parts(word)[1]) for word in self._words} - {""}
        return found.pop() if len(found) == 1 else ""

    @cached_property
    def role(self) -> str:
        """Role by its name, else by its unit: "series", "segment", "scan", "camera"; empty if neither tells."""
        if self.kind == "series":
            return "series"
        parts = self._words | {_parts(word)[0] for word in self._words}
        if not self.direction and parts & _SEGMENT:
            return "segment"
        # A name with words of both kinds, such as "scan x of the camera", tells neither.
        told = {role for role, words in (("scan", _SCAN), ("camera", _CAMERA)) if parts & words}
        if len(told) == 1:
            return told.pop()
        return "camera" if self.kind in (*_MEASURED, "camera length") else ""

    @property
    def is_named(self) -> bool:
        """Whether it has a name that a person chose."""
        return _UNNAMED.fullmatch(self.name.strip().lower()) is None

    @property
    def _words(self) -> set[str]:
        words = {word.lower() for word in _WORD.findall(self.name)}
        # The x in "y [px]" is no direction.
        return words - {"px"} or words

    @property
    def called(self) -> str:
        """Its name and unit in a message."""
        return f"'{self.name}'" + (f" [{self.unit}]" if self.unit else "")

    @property
    def pixel(self) -> float | None:
        """Step as a length [Å]; None if it is no length."""
        unit = length(self.unit)
        return None if unit is None or self.step is None else self.step * unit

    @property
    def first(self) -> float:
        """Position of the first pixel's centre [Å]; 0 if the unit is no length."""
        return self.start * (length(self.unit) or 0)


def _parts(word: str) -> tuple[str, str]:
    """Split a word such as "kx", "posy" or "gridx" into its meaning and its direction; both empty for other words."""
    before, last = word[:-1], word[-1]
    is_known = len(before) <= 1 or before in _SCAN | _CAMERA | _NEUTRAL
    return (before, last) if last in "xy" and is_known else ("", "")


def arrangement(axes: Sequence[Axis]) -> tuple[int, ...]:
    """
    Find which of an array's axes come first, second and so on in this library's order.

    Parameters
    ----------
    axes : sequence of 2, 3 or 4 Axis
        One for each dimension, in the file's order.

    Returns
    -------
    tuple of int
        Order for `numpy.transpose`; the file's own unless names and units tell another.
    """
    if len(axes) == 4:
        scan = _scan(axes)
        return (*_y_first(axes, scan), *_y_first(axes, [index for index in range(4) if index not in scan]))
    leading = [index for index, axis in enumerate(axes) if axis.role in ("segment", "series")]
    first = leading if len(axes) == 3 and len(leading) == 1 else list(range(len(axes) - 2))
    return (*first, *_y_first(axes, [index for index in range(len(axes)) if index not in first]))


def _scan(axes: Sequence[Axis]) -> Sequence[int]:
    """Find the two of four axes that belong to the scan: the first two, unless only others can."""

    def fits(scan: Sequence[int]) -> bool:
        unfit = ["camera" if index in scan else "scan" for index in range(4)]
        return all(axis.role != other for axis, other in zip(axes, unfit, strict=True))

    # First pairs of neighbouring axes, as in all formats, then any two axes by their names.
    pairs = [scan for scan in ((0, 1), (2, 3)) if fits(scan)]
    others = [scan for scan in combinations(range(4), 2) if fits(scan)]
    return pairs[0] if pairs else others[0] if len(others) == 1 else (0, 1)


def _y_first(axes: Sequence[Axis], pair: Sequence[int]) -> Sequence[int]:
    return pair[::-1] if [axes[index].direction for index in pair] == ["x", "y"] else pair


def check_axes(axes: Sequence[Axis], shape: Sequence[int], source: str) -> None:
    """
    Refuse axes that are not those of an image (y, x), of four (segment, y, x), or of patterns (y, x, row, column).

    Parameters
    ----------
    axes : sequence of 2, 3 or 4 Axis
        One for each dimension, in this library's order.
    shape : sequence of int
        Shape of the array.
    source : str
        Name of the file, for messages.

    Raises
    ------
    InputError
        If an axis is a series or has an unknown name, its step is no number above 0, or its unit or direction does not
        fit its place.
    """
    for place, axis in zip(_ORDINALS, axes, strict=False):
        if axis.step is not None and not 0 < axis.step < math.inf:
            raise InputError(f"{source}: found a step of {axis.step:g} {axis.unit} along the axis '{axis.name}'; "
                             "allowed: above 0")  # fmt: skip
        if axis.kind == "series":
            raise InputError(f"{source}: found a {place} axis called {axis.called}; allowed: one of four segments, of "
                             "a scan or of a camera, but not of repeated measurements")  # fmt: skip
        if not math.isfinite(axis.start):
            raise InputError(f"{source}: found a start of {axis.start:g} {axis.unit} of the axis '{axis.name}'; "
                             "allowed: a finite number")  # fmt: skip
    if len(axes) == 3:
        _check_segments(axes[0], source)
    scan, camera = (axes[:2], axes[2:]) if len(axes) == 4 else (axes[-2:], ())
    first = len(axes) - len(scan) - len(camera)
    _check_units(scan, camera, shape, source)
    for axis in scan:
        if axis.pixel is not None:
            quantities.IMAGE_SAMPLING.check(axis.pixel, f"{source}: sampling")
    for index, axis in enumerate((*scan, *camera)):
        _check_place(axis, _ORDINALS[first + index], "yx"[index % 2], "scan" if index < 2 else "camera", source)


def _check_segments(axis: Axis, source: str) -> None:
    """Refuse a first axis that is not one of four segments by its name and unit."""
    if axis.kind:
        raise InputError(f"{source}: found a first axis called {axis.called}; allowed: one of four segments, which "
                         "has no such unit")  # fmt: skip
    if axis.is_named and axis.role != "segment":
        raise InputError(f"{source}: found a first axis called {axis.called}; allowed: one of four segments, which is "
                         "called segment, quadrant, sector, channel or detector or has no name, or four files of one "
                         "image each")  # fmt: skip


def _check_place(axis: Axis, place: str, direction: str, role: str, source: str) -> None:
    """Refuse an axis of a scan or camera with an unknown name, or with that of the other kind or direction."""
    is_told = bool(axis.direction) or axis.role == role
    if axis.is_named and (not is_told or axis.role not in ("", role) or axis.direction not in ("", direction)):
        line = "row" if direction == "y" else "column"
        longer = f"scan {direction}" if role == "scan" else f"k{direction}"
        raise InputError(f"{source}: found a {place} axis called {axis.called}; allowed: no name, or one that says "
                         f"{direction} of a {role}, such as '{direction}', '{line}' or '{longer}'")  # fmt: skip


def _check_units(scan: Sequence[Axis], camera: Sequence[Axis], shape: Sequence[int], source: str) -> None:
    """Refuse a scan that is not in lengths, and a camera that is not in one of its units."""
    measured = {axis.kind for axis in camera} - {""}
    fits = len(measured) <= 1 and measured <= {*_MEASURED, "camera length"}
    if any(axis.kind not in ("", "length", "camera length") for axis in scan) or not fits:
        found = _described("a scan" if camera else "an image", scan, shape[:2] if camera else shape[-2:])
        found += " and " + _described("patterns", camera, shape[2:]) if camera else ""
        allowed = "a scan in lengths and patterns in angles, in inverse lengths, or of physical pixels above a micron"
        raise InputError(f"{source}: found {found}; allowed: {allowed if camera else 'lengths'}, or no units")


def _described(what: str, axes: Sequence[Axis], shape: Sequence[int]) -> str:
    return f"{what} of {' x '.join(map(str, shape))} pixels along {' and '.join(axis.called for axis in axes)}"


def pixel_axes(pixel: tuple[float, float] | None, origin: tuple[float, float] = (0.0, 0.0)) -> tuple[Axis, Axis, Axis]:
    """Axes of a stack (4, y, x) in a format without axes; pixel: height and width, origin: x and y of the first [Å]."""
    height, width = pixel or (None, None)
    return Axis("segment"), Axis("y", height, "Å", origin[1]), Axis("x", width, "Å", origin[0])
