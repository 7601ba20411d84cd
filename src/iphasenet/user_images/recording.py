"""What every reader delivers of a file: the one place that says what that must be."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet import quantities
from iphasenet.errors import InputError
from iphasenet.user_images.numbers import angle, inverse_length, length
from iphasenet.user_images.resampling import SAME_PIXEL, moved_origin, resampled
from iphasenet.user_images.segmented_image import (
    SegmentedImage,
    check_fields,
    check_images,
    check_saturation,
    check_values,
    describe_shape,
)

_SERIES = {
    *("time", "frame", "frames", "series", "repeat", "repetition", "energy", "loss"),
    *("tilt", "focus", "defocus", "thickness", "dose", "temperature", "voltage"),
}
"""Words in the names of axes along which one detector's images follow one another."""

_SERIES_NAMES = {"t", "scan", "scans"}
"""Whole names of such axes: "scan y" is another one."""

_SERIES_UNITS = {"s", "sec", "second", "seconds", "ms", "µs", "μs", "us", "ns", "min", "h", "ev", "kev", "k", "°c"}
"""Units of such axes."""

_CAMERA = {"angle", "inverse length"}
"""What a camera's axes may run along."""

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
        Where the first pixel's centre is, in `unit`.
    """

    name: str = ""
    step: float | None = None
    unit: str = ""
    start: float = 0.0

    @property
    def kind(self) -> str:
        """What it runs along: "series", "length", "angle", "inverse length"; empty where the file does not tell."""
        words = {word.lower() for word in re.findall("[A-Z]?[a-z]+|[A-Z]+", self.name)}
        if words & _SERIES or self.name.lower() in _SERIES_NAMES or self.unit.lower() in _SERIES_UNITS:
            return "series"
        units = {"length": length, "angle": angle, "inverse length": inverse_length}
        return next((kind for kind, worth in units.items() if worth(self.unit) is not None), "")

    @property
    def called(self) -> str:
        """Its name and unit in a message."""
        return f"'{self.name}'" + (f" [{self.unit}]" if self.unit else "")

    @property
    def pixel(self) -> float | None:
        """The step as a length [Å]; None where it is none."""
        unit = length(self.unit)
        return None if unit is None or self.step is None else self.step * unit

    @property
    def first(self) -> float:
        """Where the first pixel's centre is [Å]; 0 where the unit is no length."""
        return self.start * (length(self.unit) or 0)


@dataclass(frozen=True)
class Recording:
    """
    Images of four segments, or patterns of a scan, as a file holds them.

    Attributes
    ----------
    data : (4, y, x) array, or (y, x, row, column) array
        Images in memory; patterns, which may be read when asked for. Values as stored, of any real type.
    source : str
        Where they come from.
    axes : tuple of Axis
        One for each axis of the array. Patterns that the file holds before the scan, as their units tell, are exchanged
        with it.
    names : tuple of 4 str
        What the file calls the segments; a number where that is nothing that can be shown.
    known : dict
        Fields of a `SegmentedImage` that the file tells, but for its pixel and names.
    full_count : float, optional
        Largest count that the detector can record, where the file says so.

    Raises
    ------
    InputError
        Where the array is of another shape or type; an axis is one of time or another series, or in a unit that it
        cannot have, or its step is no number above 0; a channel is constant, not finite, saturated, or the same as
        another; names and channels differ in number; a field of `known` is out of range.
    """

    data: Any
    source: str
    axes: tuple[Axis, ...]
    names: tuple[str, ...] = ("1", "2", "3", "4")
    known: Mapping[str, Any] = field(default_factory=dict)
    full_count: float | None = None

    def __post_init__(self) -> None:
        check_type(self.data, self.source)
        object.__setattr__(self, "names", tuple(_shown(name, index) for index, name in enumerate(self.names, 1)))
        if self.has_patterns:
            self._exchange()
            if min(self.data.shape) < 1 or min(self.data.shape[2:]) < 2:
                raise InputError(f"{self.source}: found {describe_shape(self.data.shape)}; allowed: patterns of a scan")
        else:
            check_images(self.data, self.names, self.source)
        if len(self.axes) != len(self.data.shape):
            raise InputError(f"{self.source}: found {len(self.axes)} axes of {describe_shape(self.data.shape)}; "
                             "allowed: one for each dimension")  # fmt: skip
        check_axes(self.axes, self.data.shape, self.source)
        check_fields(self.known, self.source)
        if not self.has_patterns:
            self._check_channels()

    def _exchange(self) -> None:
        """Put the scan before the camera where the units of all four axes tell that they are exchanged."""
        kinds = [axis.kind for axis in self.axes]
        if kinds[2:] == ["length"] * 2 and kinds[0] == kinds[1] and kinds[0] in _CAMERA:
            object.__setattr__(self, "data", self.data.transpose(2, 3, 0, 1))
            object.__setattr__(self, "axes", (*self.axes[2:], *self.axes[:2]))

    def _check_channels(self) -> None:
        for first, second in combinations(range(4), 2):
            if np.array_equal(self.data[first], self.data[second]):
                one, other = (f"{index + 1} ({self.names[index]})" for index in (first, second))
                raise InputError(
                    f"{self.source}: found the same values in segments {one} and {other}; allowed: four images"
                )
        check_saturation(self.data, self.source, self.full_count)

    @property
    def has_patterns(self) -> bool:
        """Whether it holds the patterns of a 4D-STEM scan, to be integrated over four segments."""
        return len(self.data.shape) == 4

    @property
    def sampling(self) -> tuple[float, float] | None:
        """Height and width of a pixel of the scan [Å]; None where the file does not tell both."""
        height, width = (axis.pixel for axis in self._scan)
        return None if height is None or width is None else (height, width)

    @property
    def origin(self) -> tuple[float, float]:
        """Where the scan's axes have the first pixel's centre: x, y [Å]."""
        y, x = (axis.first for axis in self._scan)
        return x, y

    @property
    def _scan(self) -> tuple[Axis, ...]:
        return self.axes[:2] if self.has_patterns else self.axes[-2:]

    def image(self, resample: bool = False) -> SegmentedImage:
        """
        Turn four images into what the library works on, whose pixels are square.

        Parameters
        ----------
        resample : bool
            Bring pixels that are not square to the smaller of their sides; refuse them otherwise.

        Raises
        ------
        InputError
            Where pixels are not square, or a field of `known` is out of range.
        """
        known, segments = {**self.known, "origin": self.origin}, self.data
        if self.sampling is not None:
            known["sampling"] = self.sampling[1]
            if not is_square(self.sampling):
                check_square(self.sampling, "pixels", "Å", self.source, resample)
                known["sampling"] = min(self.sampling)
                segments = resampled(self.data, self.sampling, known["sampling"])
                known["origin"] = moved_origin(
                    self.origin, self.sampling, self.data.shape[-2:], known["sampling"], segments.shape[-2:]
                )
        return SegmentedImage(segments, self.source, self.names, **known)


def _shown(name: str, number: int) -> str:
    """Write a segment's name on one line, without what a terminal would obey."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in name).split()) or str(number)


def check_type(data: Any, source: str) -> None:
    """Refuse an array of anything but real numbers: NumPy takes even durations for integers."""
    if np.dtype(data.dtype).kind not in "iuf":
        raise InputError(f"{source}: found values of type {data.dtype}; allowed: real numbers")


def check_alone(image: NDArray[Any], axes: Sequence[Axis], known: Mapping[str, Any], source: str) -> None:
    """Refuse one of four images (y, x) for what a `Recording` of all would be refused for."""
    check_type(image, source)
    check_axes(axes, image.shape, source)
    check_fields(known, source)
    check_values(image[None], ["image"], source)
    check_saturation(image, source)


def check_axes(axes: Sequence[Axis], shape: Sequence[int], source: str) -> None:
    """
    Refuse axes that are not those of an image (y, x), of four (segment, y, x), or of patterns (y, x, row, column).

    Parameters
    ----------
    axes : sequence of 2, 3 or 4 Axis
        One for each dimension.
    shape : sequence of int
        Shape of the array.
    source : str
        Where it comes from.

    Raises
    ------
    InputError
        Where one is a series, its step is no number above 0, or its unit is of another kind than that of its place.
    """
    for place, axis in zip(_ORDINALS, axes, strict=False):
        if axis.step is not None and not 0 < axis.step < math.inf:
            raise InputError(f"{source}: found a step of {axis.step:g} {axis.unit} along the axis '{axis.name}'; "
                             "allowed: above 0")  # fmt: skip
        if axis.kind == "series":
            raise InputError(f"{source}: found a {place} axis called {axis.called}; allowed: one of four segments, of "
                             "a scan or of a camera: what one detector saw one after another is none")  # fmt: skip
        if not math.isfinite(axis.start):
            raise InputError(f"{source}: found a start of {axis.start:g} {axis.unit} of the axis '{axis.name}'; "
                             "allowed: a finite number")  # fmt: skip
    if len(axes) == 3 and axes[0].kind:
        raise InputError(f"{source}: found a first axis called {axes[0].called}; allowed: one of four segments, which "
                         "has no such unit")  # fmt: skip
    scan, camera = (axes[:2], axes[2:]) if len(axes) == 4 else (axes[-2:], ())
    measured = {axis.kind for axis in camera} - {""}
    if any(axis.kind not in ("", "length") for axis in scan) or len(measured) > 1 or not measured <= _CAMERA:
        found = _described("a scan" if camera else "an image", scan, shape[:2] if camera else shape[-2:])
        found += " and " + _described("patterns", camera, shape[2:]) if camera else ""
        allowed = "a scan in lengths and patterns in angles or in inverse lengths" if camera else "lengths"
        raise InputError(f"{source}: found {found}; allowed: {allowed}, or no units")
    for axis in scan:
        if axis.pixel is not None:
            quantities.IMAGE_SAMPLING.check(axis.pixel, f"{source}: sampling")


def _described(what: str, axes: Sequence[Axis], shape: Sequence[int]) -> str:
    return f"{what} of {' x '.join(map(str, shape))} pixels along {' and '.join(axis.called for axis in axes)}"


def is_square(sides: tuple[float, float]) -> bool:
    """Whether a pixel's height and width are the same."""
    return abs(sides[0] - sides[1]) <= SAME_PIXEL * sides[1]


def check_square(sides: tuple[float, float], what: str, unit: str, source: str, resample: bool) -> None:
    """Refuse pixels that are not square, unless they may be resampled; the message gives width and height."""
    if not resample and not is_square(sides):
        raise InputError(f"{source}: found {what} of {sides[1]:g} x {sides[0]:g} {unit}; allowed: square {what}, "
                         "or --resample")  # fmt: skip


def pixel_axes(pixel: tuple[float, float] | None, origin: tuple[float, float] = (0.0, 0.0)) -> tuple[Axis, Axis, Axis]:
    """Axes of a stack (4, y, x) of a format that names none; height and width of a pixel, x and y of the first [Å]."""
    height, width = pixel or (None, None)
    return Axis("segment"), Axis("y", height, "Å", origin[1]), Axis("x", width, "Å", origin[0])
