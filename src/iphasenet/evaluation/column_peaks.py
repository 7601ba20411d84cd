"""Peaks of a potential: found, matched, and the potential around them."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from skimage.feature import peak_local_max
from skimage.segmentation import expand_labels

from iphasenet.base.errors import InputError
from iphasenet.simulation.image import Image

SMOOTHING = 0.2
"""Standard deviation of the Gaussian that images are smoothed with before peaks are looked for [Å].

A 20 mrad probe at 200 keV holds nothing finer than 0.31 Å. Less leaves columns that lean by 0.5 to 1.75 Å with several
peaks each, from the ringing of a band-limited truth; more makes neighbours 1.4 Å apart one.
"""

MINIMUM_DISTANCE = 0.6
"""Of two peaks that are closer the lower one is left out [Å]."""

THRESHOLD = 0.02
"""Peaks stand at least this share of the smoothed image's range above its minimum."""

BORDER = 0.5
"""Peaks nearer to an edge of the image are left out [Å]."""

RADIUS = 1.0
"""A column's potential is integrated up to here, or halfway to the next peak [Å]."""

FloatArray = NDArray[np.floating[Any]]


def find_columns(image: FloatArray, sampling: float) -> NDArray[np.float64]:
    """
    Find the peaks of a potential.

    Parameters
    ----------
    image : (y, x) array
        Potential, in any unit.
    sampling : float
        Pixel size [Å].

    Returns
    -------
    (peak, 2) array
        Positions (y, x) [pixels], highest peak first: maxima of the image smoothed by `SMOOTHING` that are higher than
        `THRESHOLD`, `MINIMUM_DISTANCE` apart and `BORDER` from the edges, each moved to the vertex of the quadratic
        through its 3 x 3 pixels.

    Raises
    ------
    InputError
        Where the image is not two-dimensional or has numbers that are not finite.
    """
    if image.ndim != 2 or not np.isfinite(image).all():
        raise InputError(f"image: found shape {image.shape} or numbers that are not finite; allowed: (y, x), finite")
    smooth = gaussian_filter(np.asarray(image, np.float64), SMOOTHING / sampling)
    peaks = peak_local_max(
        smooth,
        threshold_abs=smooth.min() + THRESHOLD * np.ptp(smooth),
        exclude_border=max(1, math.ceil(BORDER / sampling - 0.5)),
        # Neighbours alone make a maximum and circles keep peaks apart: nothing depends on the crystal's rotation.
        footprint=np.ones((3, 3), bool),
    )
    return _vertices(smooth, _apart(peaks, max(1, round(MINIMUM_DISTANCE / sampling))))


def _apart(peaks: NDArray[np.int64], distance: int) -> NDArray[np.int64]:
    """
    Leave out peaks (peak, 2) nearer than `distance` [pixels] to one that stays and comes before them.

    `peak_local_max` does the same by its `min_distance`, one peak at a time: half the time of a whole evaluation.
    """
    pairs = cKDTree(peaks).query_pairs(distance, output_type="ndarray") if len(peaks) else np.empty((0, 2), np.int64)
    pairs = pairs[((peaks[pairs[:, 0]] - peaks[pairs[:, 1]]) ** 2).sum(axis=1) < distance**2]
    kept = np.ones(len(peaks), bool)
    for first, second in pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]:
        if kept[first]:
            kept[second] = False
    return peaks[kept]


def _vertices(image: FloatArray, peaks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Maxima of the quadratics about pixels (peak, 2), half a pixel away at most; the pixel where there is none."""
    y, x = peaks.T
    around = {(i, j): image[y + i, x + j] for i in (-1, 0, 1) for j in (-1, 0, 1)}
    slope_y, slope_x = (around[1, 0] - around[-1, 0]) / 2, (around[0, 1] - around[0, -1]) / 2
    yy = around[1, 0] + around[-1, 0] - 2 * around[0, 0]
    xx = around[0, 1] + around[0, -1] - 2 * around[0, 0]
    xy = (around[1, 1] + around[-1, -1] - around[1, -1] - around[-1, 1]) / 4
    determinant = yy * xx - xy**2
    curved = (determinant > 0) & (yy < 0)
    determinant = np.where(curved, determinant, 1.0)
    step = np.stack([xy * slope_x - xx * slope_y, xy * slope_y - yy * slope_x], axis=1) / determinant[:, None]
    return np.asarray(peaks + np.where(curved[:, None], np.clip(step, -0.5, 0.5), 0.0), np.float64)


def match_columns(first: FloatArray, second: FloatArray, tolerance: float) -> NDArray[np.int64]:
    """
    Match positions that are each other's nearest.

    Parameters
    ----------
    first, second : (position, 2) array
        Positions.
    tolerance : float
        Largest distance of a match, in the same unit.

    Returns
    -------
    (first position,) integer array
        Index in `second` of what each position of `first` matches; -1 where it matches nothing.
    """
    result = np.full(len(first), -1)
    if len(first) and len(second):
        distance, there = cKDTree(second).query(first)
        _, back = cKDTree(first).query(second)
        mutual = (back[there] == np.arange(len(first))) & (distance <= tolerance)
        result[mutual] = there[mutual]
    return result


@dataclass(frozen=True)
class ColumnMasks:
    """
    Pixels of each column: nearer to its peak's pixel than to any other's, and within `RADIUS`.

    Attributes
    ----------
    pixels : (pixel,) integer array
        Flat indices of the pixels of all columns.
    owner : (pixel,) integer array
        Column of each.
    count : int
        Columns.
    pixel_area : float
        [Å²].
    """

    pixels: NDArray[np.int64]
    owner: NDArray[np.int64]
    count: int
    pixel_area: float

    @classmethod
    def around(cls, peaks: FloatArray, image: Image) -> "ColumnMasks":
        """Masks of peaks (peak, 2) at (y, x) [pixels]."""
        labels = np.zeros((image.pixels, image.pixels), np.int64)
        # No two peaks are in neighbouring pixels, and none is more than half a pixel off: none overwrites another.
        labels[tuple(np.floor(peaks + 0.5).astype(int).T)] = np.arange(1, len(peaks) + 1)
        owner = expand_labels(labels, distance=RADIUS / image.sampling_angstrom).ravel()
        pixels = np.flatnonzero(owner)
        return cls(pixels, owner[pixels] - 1, len(peaks), image.sampling_angstrom**2)

    def integrate(self, image: FloatArray) -> NDArray[np.float64]:
        """Potential (column,) of an image (y, x) integrated over each mask [V Å³ for an image in V Å]."""
        sums = np.bincount(self.owner, image.ravel()[self.pixels], self.count)
        return np.asarray(sums * self.pixel_area, np.float64)
