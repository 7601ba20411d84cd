"""The form in which every reader returns the contents of a file, and all checks of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.microscope_files.axes import Axis, check_axes
from iphasenet.microscope_files.resampling import SAME_PIXEL, moved_origin, resampled
from iphasenet.microscope_files.segmented_image import (
    SegmentedImage,
    check_fields,
    check_images,
    check_saturation,
    check_values,
    describe_shape,
)


@dataclass(frozen=True)
class Recording:
    """
    Images of four segments, or patterns of a scan, as a file holds them.

    Attributes
    ----------
    data : (4, y, x) array, or (y, x, row, column) array
        Images in memory; patterns, which may be read when asked for. Values as stored, of any real type.
    source : str
        Name of the file, for messages.
    axes : tuple of Axis
        One for each axis of the array.
    names : tuple of 4 str
        Names of the segments in the file; a number if a name cannot be shown.
    known : dict
        Fields of a `SegmentedImage` that the file holds, except pixel and names.
    full_count : float, optional
        Largest count that the detector can record, if the file says so.

    Raises
    ------
    InputError
        If the array has another shape or type; an axis does not fit its place (`axes.check_axes`); a channel is
        constant, not finite, saturated, or the same as another; names and channels differ in number; a field of `known`
        is out of range.
    """

    data: Any
    source: str
    axes: tuple[Axis, ...]
    names: tuple[str, ...] = ("1", "2", "3", "4")
    known: Mapping[str, Any] = field(default_factory=dict)
    full_count: float | None = None

    def __post_init__(self) -> None:
        check_type(self.data, self.source)
        object.__setattr__(self, "names", _distinct([_shown(name, index) for index, name in enumerate(self.names, 1)]))
        if self.has_patterns:
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
        """Height and width of a pixel of the scan [Å]; None if the file does not give both."""
        height, width = (axis.pixel for axis in self._scan)
        return None if height is None or width is None else (height, width)

    @property
    def origin(self) -> tuple[float, float]:
        """Centre of the first pixel in the scan's axes: x, y [Å]."""
        y, x = (axis.first for axis in self._scan)
        return x, y

    @property
    def _scan(self) -> tuple[Axis, ...]:
        return self.axes[:2] if self.has_patterns else self.axes[-2:]

    @property
    def camera_sides(self) -> tuple[float, float] | None:
        """Height and width of a camera pixel in the unit of its axes; None if not both are known in one unit."""
        if not self.has_patterns:
            return None
        high, wide = self.axes[2:]
        return (high.step, wide.step) if high.step and wide.step and high.unit == wide.unit else None

    @property
    def is_square(self) -> bool:
        """Whether neither the pixels of the scan nor those of the camera are known to be not square."""
        return all(sides is None or is_square(sides) for sides in (self.sampling, self.camera_sides))

    def image(self, resample: bool = False) -> SegmentedImage:
        """
        Turn four images into a `SegmentedImage` with square pixels.

        Parameters
        ----------
        resample : bool
            Interpolate pixels that are not square to squares with the smaller side; without it they are refused.

        Raises
        ------
        InputError
            If pixels are not square, or a field of `known` is out of range.
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
    """Write a segment's name on one line, without control characters."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in name).split()) or str(number)


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Put numbers behind names that occur several times."""
    return tuple(f"{name} {index}" if names.count(name) > 1 else name for index, name in enumerate(names, 1))


def check_type(data: Any, source: str) -> None:
    """Refuse an array of anything but real numbers; NumPy would read even durations as integers."""
    if np.dtype(data.dtype).kind not in "iuf":
        raise InputError(f"{source}: found values of type {data.dtype}; allowed: real numbers")


def check_alone(image: NDArray[Any], axes: Sequence[Axis], known: Mapping[str, Any], source: str) -> None:
    """Refuse one of four images (y, x) for the same reasons as a `Recording` of all four."""
    check_type(image, source)
    check_axes(axes, image.shape, source)
    check_fields(known, source)
    check_values(image[None], ["image"], source)
    check_saturation(image, source)


def is_square(sides: tuple[float, float]) -> bool:
    """Whether a pixel's height and width are the same."""
    return abs(sides[0] - sides[1]) <= SAME_PIXEL * sides[1]


def check_square(sides: tuple[float, float], what: str, unit: str, source: str, resample: bool) -> None:
    """Refuse pixels that are not square, unless they may be resampled; the message gives width and height."""
    if not resample and not is_square(sides):
        raise InputError(f"{source}: found {what} of {sides[1]:g} x {sides[0]:g} {unit}; allowed: square {what}, "
                         "or --resample")  # fmt: skip
