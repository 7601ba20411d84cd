"""Band-limited interpolation of images on other pixels, and rotation of images."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct
from scipy.ndimage import map_coordinates

from iphasenet.base.errors import InputError

SAME_PIXEL = 1e-3
"""Relative difference below which two pixel sizes count as equal."""

SOFT_FROM = 0.8
"""Share of the new Nyquist frequency above which frequencies fade; at 0.2 Å, above the band of a 20 mrad probe."""

_SPLINE = 5
"""Order of the splines for turned images, whose band is at most two thirds of the Nyquist frequency."""

FloatImages = NDArray[np.float32]


def resampled(images: NDArray[np.floating[Any]], sampling: float | tuple[float, float], target: float) -> FloatImages:
    """
    Interpolate images on pixels of another size.

    Parameters
    ----------
    images : (..., y, x) array
        Images.
    sampling : float or (float, float)
        Their pixel size, or a pixel's height and width [Å].
    target : float
        Pixel size wanted [Å].

    Returns
    -------
    (..., y', x') float32 array
        The middle of the field, in as many whole pixels as fit. Frequencies beyond a larger pixel's Nyquist frequency
        are removed, those above `SOFT_FROM` of it fade, so that nothing is aliased. Beyond its edges an image is
        continued by its mirror image, so that within about ten new pixels of an edge it differs from the result for a
        larger field. Images are returned unchanged if the sizes differ by less than `SAME_PIXEL`.

    Raises
    ------
    InputError
        If less than one pixel fits.
    """
    sides = sampling if isinstance(sampling, tuple) else (sampling, sampling)
    if not all(0 < side < math.inf for side in (*sides, target)):
        raise InputError(f"sampling: found {sampling} and {target} Å; allowed: above 0")
    if all(abs(side / target - 1) < SAME_PIXEL for side in sides):
        return np.asarray(images, np.float32)
    along_y, along_x = (
        _interpolation(size, side / target) for size, side in zip(images.shape[-2:], sides, strict=True)
    )
    return np.asarray(along_y @ np.asarray(images, np.float32) @ along_x.T, np.float32)


def moved_origin(
    origin: tuple[float, float],
    sides: tuple[float, float],
    shape: Sequence[int],
    target: float,
    target_shape: Sequence[int],
    turn_deg: float = 0.0,
) -> tuple[float, float]:
    """
    Position of the first pixel after `resampled` or `turned_frame`, which keep the centre of the field.

    Parameters
    ----------
    origin : (float, float)
        Centre of the first pixel in the axes: x, y [Å].
    sides : (float, float)
        A pixel's height and width [Å].
    shape : sequence of 2 int
        Rows and columns.
    target, target_shape : float, sequence of 2 int
        Size of the new pixels [Å], new rows and columns.
    turn_deg : float
        Turn of the new frame in the old one, from x to y (down) [degrees].

    Returns
    -------
    (float, float)
        Centre of the new first pixel in the same axes: x, y [Å].
    """
    y, x = (side * (size - 1) / 2 for side, size in zip(sides, shape, strict=True))
    up, left = (target * (size - 1) / 2 for size in target_shape)
    cosine, sine = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
    return origin[0] + x - cosine * left + sine * up, origin[1] + y - sine * left - cosine * up


def _interpolation(size: int, ratio: float) -> FloatImages:
    """Matrix (new, old) of a cosine series through `size` pixels, cut where `1 / ratio` times larger pixels end."""
    count = math.floor(size * ratio + 1e-6)
    if count < 1:
        raise InputError(f"sampling: found a field of {size} pixels, {size * ratio:.2g} of the new ones; allowed: 1")
    # Position of the new pixels, in old pixels from the field's edge.
    position = (np.arange(count) - (count - 1) / 2) / ratio + size / 2
    order = np.arange(min(size, math.ceil(size * ratio)))
    weight = np.where(order == 0, 0.5, 1.0) / size
    if ratio < 1:
        # With a sharp cut, the kink between an image and its mirror image would ring far into the field.
        beyond = (order / (size * ratio) - SOFT_FROM) / (1 - SOFT_FROM)
        weight = weight * np.cos(np.pi / 2 * np.clip(beyond, 0, 1)) ** 2
    waves = np.cos(np.pi * position[:, None] * order / size) * weight
    return np.asarray(waves @ dct(np.eye(size), axis=0)[order], np.float32)


def turned_frame(images: NDArray[np.floating[Any]], angle_deg: float) -> FloatImages:
    """
    Images in a frame that is turned relative to theirs.

    Parameters
    ----------
    images : (n, y, x) array
        Images.
    angle_deg : float
        Turn of the new frame in the old one, from x to y (down) [degrees].

    Returns
    -------
    (n, y', x') float32 array
        Images in the largest upright rectangle of the new frame within the old field, with the same centre and pixel
        size, by quintic splines.
    """
    height, width = images.shape[-2:]
    rows, columns = _inscribed(height, width, math.radians(angle_deg))
    y, x = np.mgrid[:rows, :columns].astype(np.float64)
    y, x = y - (rows - 1) / 2, x - (columns - 1) / 2
    cosine, sine = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    where = [sine * x + cosine * y + (height - 1) / 2, cosine * x - sine * y + (width - 1) / 2]
    return np.stack([map_coordinates(image, where, np.float32, _SPLINE, mode="mirror") for image in images])


def _inscribed(height: int, width: int, angle: float) -> tuple[int, int]:
    """Rows and columns of the largest upright rectangle inside a turned one."""
    sine, cosine = abs(math.sin(angle)), abs(math.cos(angle))
    long, short = max(height, width), min(height, width)
    if short <= 2 * sine * cosine * long or abs(sine - cosine) < 1e-9:
        # Two of its corners lie on the long sides, the others on the line between their middles.
        sides = (short / 2 / sine, short / 2 / cosine)
        columns, rows = sides if width >= height else sides[::-1]
    else:
        double = cosine**2 - sine**2
        columns, rows = (width * cosine - height * sine) / double, (height * cosine - width * sine) / double
    return max(1, math.floor(rows + 1e-6)), max(1, math.floor(columns + 1e-6))
