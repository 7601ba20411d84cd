"""Four virtual segments of a 4D-STEM data set, integrated block by block."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from iphasenet.base import quantities
from iphasenet.base.errors import InputError
from iphasenet.base.memory import check_memory
from iphasenet.microscope.detector import Detector
from iphasenet.microscope.electron import wavelength
from iphasenet.microscope_files.axes import Axis
from iphasenet.microscope_files.numbers import angle, inverse_length
from iphasenet.microscope_files.recording import Recording, check_square
from iphasenet.microscope_files.segmented_image import percent

BLOCK_BYTES = 2**26
"""Size of the patterns that are in memory at once [bytes], unless the file's chunks are larger."""

CENTRE_PATTERNS = 4096
"""Approximate number of patterns, evenly spread over the scan, that are averaged to find the centre."""

_SUBPIXELS = 4


@dataclass(frozen=True)
class VirtualDetector:
    """
    The four segments on the camera.

    Attributes
    ----------
    inner_mrad, outer_mrad : float
        Collection angles [mrad].
    pixel_mrad : float or (float, float), optional
        Angle of a camera pixel, or its height and width [mrad]; taken from the file if not given.
    centre : (float, float), optional
        Column and row of the undiffracted beam [pixels], with 0 in the middle of the first pixel; found in the mean
        pattern if not given.
    rotation_deg : float
        Rotation of the camera in the image, from x to y (down) [degrees]: a direction at the angle a on the camera lies
        at a + rotation_deg in the image. The segments are aligned with the image.
    """

    inner_mrad: float
    outer_mrad: float
    pixel_mrad: float | tuple[float, float] | None = None
    centre: tuple[float, float] | None = None
    rotation_deg: float = 0.0

    def __post_init__(self) -> None:
        Detector(self.inner_mrad, self.outer_mrad)
        for side in self.pixel_sides or ():
            quantities.CAMERA_PIXEL.check(side, "camera pixel")
        for position in self.centre or ():
            quantities.CAMERA_POSITION.check(position, "camera centre")
        quantities.ANGLE.check(self.rotation_deg, "camera rotation")

    @property
    def has_camera(self) -> bool:
        """Whether a setting of the camera is given, so that there must be patterns."""
        return self.pixel_mrad is not None or self.centre is not None or self.rotation_deg != 0

    @property
    def pixel_sides(self) -> tuple[float, float] | None:
        """Height and width of a camera pixel [mrad]."""
        if self.pixel_mrad is None or isinstance(self.pixel_mrad, tuple):
            return self.pixel_mrad
        return self.pixel_mrad, self.pixel_mrad

    def weights(self, shape: tuple[int, int], source: str) -> NDArray[np.float32]:
        """
        Share of each camera pixel that lies in each segment.

        Parameters
        ----------
        shape : (int, int)
            Rows and columns of a pattern.
        source : str
            Name of the file.

        Returns
        -------
        (4, row, column) array
            Shares, 0 to 1, of top-left, top-right, bottom-left, bottom-right in the image.

        Raises
        ------
        InputError
            If the segments reach beyond the camera.
        """
        assert self.centre is not None and self.pixel_sides is not None
        (column, row), (high, wide) = self.centre, self.pixel_sides
        recorded = min(wide * min(column + 0.5, shape[1] - 0.5 - column), high * min(row + 0.5, shape[0] - 0.5 - row))
        if self.outer_mrad > recorded:
            raise InputError(
                f"{source}: detector: found an outer angle of {self.outer_mrad:g} mrad; allowed: up to "
                f"{recorded:.4g} mrad, all that was recorded around the centre {column:.1f}, {row:.1f}"
            )
        parts = (np.arange(_SUBPIXELS) + 0.5) / _SUBPIXELS - 0.5
        y, x = (
            side * (np.arange(size)[:, None] + parts - middle)
            for side, size, middle in zip((high, wide), shape, (row, column), strict=True)
        )
        y, x = (
            np.broadcast_to(values, (*shape, _SUBPIXELS, _SUBPIXELS)).reshape(-1, _SUBPIXELS, _SUBPIXELS)
            for values in (y[:, None, :, None], x[None, :, None, :])
        )
        turn = math.radians(self.rotation_deg)
        turned = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
        shares = Detector(self.inner_mrad, self.outer_mrad).weights(*turned)
        return np.asarray(shares, np.float32).reshape(4, *shape)


@dataclass(frozen=True)
class Integrated:
    """Images of the virtual segments (4, y, x), mean counts of a pattern, and the detector with all its numbers."""

    segments: NDArray[np.float32]
    beam_intensity: float
    detector: VirtualDetector


def integrate_segments(
    recording: Recording, detector: VirtualDetector, energy_kev: float | None, resample: bool = False
) -> Integrated:
    """
    Integrate every pattern of a 4D-STEM data set over four segments.

    Parameters
    ----------
    recording : Recording
        Patterns (y, x, camera row, camera column).
    detector : VirtualDetector
        The segments.
    energy_kev : float, optional
        Energy [keV] that converts a camera calibrated in inverse lengths into angles.
    resample : bool
        Accept camera pixels that are not square; without it they are refused.

    Returns
    -------
    Integrated
        Images and mean counts; the latter are the intensity of the whole beam only if the camera caught all scattering.

    Raises
    ------
    InputError
        If the camera's angles are unknown or too small for the segments, or pixels are saturated or not finite.
    """
    data, source = recording.data, recording.source
    sides = recording.camera_sides
    if sides is not None:
        check_square(sides, "camera pixels", recording.axes[3].unit or "(no unit)", source, resample)
    if detector.pixel_mrad is None:
        detector = replace(detector, pixel_mrad=_pixel_angles(recording, energy_kev))
    if detector.centre is None:
        detector = replace(detector, centre=find_centre(mean_pattern(data), source))
    shape = data.shape
    weights = np.concatenate([detector.weights((shape[2], shape[3]), source), np.ones((1, *shape[2:]), np.float32)])
    matrix = weights.reshape(5, -1).T
    sums = np.empty((*shape[:2], 5), np.float32)
    for place, patterns in checked_blocks(recording):
        sums[place] = patterns.reshape(*patterns.shape[:2], -1).astype(np.float32) @ matrix
    return Integrated(np.moveaxis(sums[..., :4], -1, 0).copy(), float(sums[..., 4].mean(dtype=np.float64)), detector)


def checked_blocks(recording: Recording) -> Iterator[tuple[tuple[slice, slice], NDArray[Any]]]:
    """Read patterns like `blocks`; InputError if one is not finite or, after the last one, if any was saturated."""
    data, source, saturated = recording.data, recording.source, 0
    largest_of_type = np.iinfo(data.dtype).max if np.issubdtype(data.dtype, np.integer) else np.inf
    limit = recording.full_count or largest_of_type
    for place, patterns in blocks(data):
        largest = patterns.max()
        if np.isnan(largest) or np.isinf(largest) or np.isinf(patterns.min()):
            raise InputError(f"{source}: found NaN or infinity in the patterns; allowed: finite numbers")
        if largest >= limit:
            saturated += int((patterns >= limit).sum())
        yield place, patterns
    if saturated:
        share = percent(saturated / math.prod(data.shape))
        raise InputError(f"{source}: found {share} of the camera's pixels saturated at {limit:g}; allowed: none")


def blocks(data: Any) -> Iterator[tuple[tuple[slice, slice], NDArray[Any]]]:
    """
    Read patterns in blocks of the scan that follow the file's chunks, each cut to `BLOCK_BYTES` if possible.

    Yields
    ------
    place : (slice, slice)
        Rows and columns of the scan.
    patterns : (y, x, row, column) array
        The patterns there.
    """
    chunks = getattr(data, "chunks", None) or tuple((size,) for size in data.shape)
    pattern = math.prod(data.shape[2:]) * data.dtype.itemsize
    check_memory(float(pattern), f"one pattern of {data.shape[2]:,} x {data.shape[3]:,} pixels")
    for columns in _slices(chunks[1], max(1, BLOCK_BYTES // pattern)):
        most = max(1, BLOCK_BYTES // (pattern * (columns.stop - columns.start)))
        for rows in _slices(chunks[0], most):
            yield (rows, columns), np.asarray(data[rows, columns])


def _slices(sizes: tuple[int, ...], most: int) -> Iterator[slice]:
    """Slices of an axis: its chunks; chunks longer than `most` are cut."""
    start = 0
    for size in sizes:
        for first in range(start, start + size, most):
            yield slice(first, min(first + most, start + size))
        start += size


def mean_pattern(data: Any) -> NDArray[np.float64]:
    """Mean of the patterns in rows that are spread evenly over the scan."""
    step = max(1, data.shape[0] * data.shape[1] // CENTRE_PATTERNS)
    rows = data[::step]
    total = np.zeros(data.shape[2:])
    for _, patterns in blocks(rows):
        total += patterns.sum(axis=(0, 1), dtype=np.float64)
    return total / (rows.shape[0] * rows.shape[1])


def find_centre(pattern: NDArray[np.floating[Any]], source: str) -> tuple[float, float]:
    """
    Find the column and row of the centre of the bright-field disc.

    The disc is the largest region above half of its own brightness, without single bright pixels and with holes filled.
    """
    smooth = ndimage.median_filter(pattern, 3)
    # The disc's brightness is the median of the values above a tenth of the largest, not its brightest spot.
    brightness = np.median(smooth[smooth > 0.1 * smooth.max()]) if smooth.max() > 0 else 1.0
    labels, count = ndimage.label(ndimage.binary_fill_holes(smooth > 0.5 * brightness))
    if not count:
        raise InputError(
            f"{source}: camera centre: found no bright-field disc in the mean pattern; give --camera-centre"
        )
    largest = 1 + int(np.argmax(ndimage.sum_labels(np.ones_like(labels), labels, range(1, count + 1))))
    row, column = ndimage.center_of_mass(labels == largest)
    return float(column), float(row)


def _pixel_angles(recording: Recording, energy_kev: float | None) -> tuple[float, float]:
    """Height and width of a camera pixel [mrad], from the axes of the patterns; InputError if they give no angle."""
    high, wide = recording.axes[2:]
    height, width = _angle(high, energy_kev), _angle(wide, energy_kev)
    if height is None or width is None:
        unit = wide.unit.replace(" ", "")
        missing = " and no energy" if inverse_length(unit) else ""
        raise InputError(f"{recording.source}: camera pixel: found the unit '{unit}'{missing}; give its angle "
                         "[mrad] by --camera-pixel")  # fmt: skip
    return height, width


def _angle(axis: Axis, energy_kev: float | None) -> float | None:
    """Step of a camera's axis [mrad]."""
    unit, inverse = angle(axis.unit), inverse_length(axis.unit)
    if axis.step is None:
        return None
    if unit is not None:
        return axis.step * unit
    return None if inverse is None or not energy_kev else 1e3 * wavelength(energy_kev) * axis.step / inverse
