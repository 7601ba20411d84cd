"""What every reader delivers of a file: the one place that says what that must be."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from iphasenet import quantities
from iphasenet.errors import InputError
from iphasenet.user_images.numbers import length
from iphasenet.user_images.resampling import SAME_PIXEL, resampled
from iphasenet.user_images.segmented_image import SegmentedImage, check_images, check_saturation, describe_shape

_SERIES = {
    *("time", "t", "frame", "frames", "scan", "scans", "series", "repeat", "repetition", "energy", "loss"),
    *("tilt", "focus", "defocus", "thickness", "dose", "temperature", "voltage"),
}
"""Names of axes along which one detector's images follow one another."""

_SERIES_UNITS = {"s", "sec", "second", "seconds", "ms", "µs", "μs", "us", "ns", "min", "h", "ev", "kev", "k", "°c"}
"""Units of such axes."""


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
        One for each axis of the array.
    names : tuple of 4 str
        What the file calls the segments.
    known : dict
        Fields of a `SegmentedImage` that the file tells, but for its pixel and names.
    full_count : float, optional
        Largest count that the detector can record, where the file says so.

    Raises
    ------
    InputError
        Where the array is of another shape or type; an axis is one of time, or its step no number above 0; a channel is
        constant, not finite, saturated, or the same as another; names and channels differ in number.
    """

    data: Any
    source: str
    axes: tuple[Axis, ...]
    names: tuple[str, ...] = ("1", "2", "3", "4")
    known: Mapping[str, Any] = field(default_factory=dict)
    full_count: float | None = None

    def __post_init__(self) -> None:
        dtype = np.dtype(self.data.dtype)
        if not (np.issubdtype(dtype, np.integer) or np.issubdtype(dtype, np.floating)):
            raise InputError(f"{self.source}: found values of type {dtype}; allowed: real numbers")
        if self.has_patterns:
            if min(self.data.shape) < 1 or min(self.data.shape[2:]) < 2:
                raise InputError(f"{self.source}: found {describe_shape(self.data.shape)}; allowed: patterns of a scan")
        else:
            check_images(self.data, self.names, self.source)
        if len(self.axes) != len(self.data.shape):
            raise InputError(f"{self.source}: found {len(self.axes)} axes of {describe_shape(self.data.shape)}; "
                             "allowed: one for each dimension")  # fmt: skip
        self._check_axes()
        if not self.has_patterns:
            self._check_channels()

    def _check_axes(self) -> None:
        for axis in self.axes:
            if axis.step is not None and not 0 < axis.step < math.inf:
                raise InputError(f"{self.source}: found a step of {axis.step:g} {axis.unit} along the axis "
                                 f"'{axis.name}'; allowed: above 0")  # fmt: skip
        first = self.axes[0]
        if first.name.lower() in _SERIES or first.unit.lower() in _SERIES_UNITS:
            called = f"'{first.name}'" + (f" [{first.unit}]" if first.unit else "")
            raise InputError(f"{self.source}: found a first axis called {called}; allowed: one of four segments, or of "
                             "a scan's rows: what one detector saw one after another is neither")  # fmt: skip
        if self.sampling is not None:
            for side in self.sampling:
                quantities.IMAGE_SAMPLING.check(side, f"{self.source}: sampling")

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
                segments = resampled(segments, self.sampling, known["sampling"])
                known["origin"] = self._resampled_origin(segments.shape[-2:], known["sampling"])
        return SegmentedImage(segments, self.source, self.names, **known)

    def _resampled_origin(self, shape: Sequence[int], pixel: float) -> tuple[float, float]:
        """Where the first of other pixels (y, x) about the same centre is: x, y [Å]."""
        x, y = (
            start + (side * (old - 1) - pixel * (new - 1)) / 2
            for start, side, old, new in zip(
                self.origin, (self.sampling or ())[::-1], self.data.shape[:-3:-1], shape[::-1], strict=True
            )
        )
        return x, y


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
