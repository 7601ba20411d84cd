"""Peaks of a potential: search, matching, and integration of the potential around them."""

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
"""Standard deviation of the Gaussian with which images are smoothed before the peak search [Å].

A 20 mrad probe at 200 keV resolves nothing finer than 0.31 Å. With less smoothing, columns that are displaced by 0.5 to
1.75 Å have several peaks, from the ringing of a band-limited truth; with more, neighbours 1.4 Å apart merge.
"""

MINIMUM_DISTANCE = 0.6
"""Smallest distance of two peaks [Å]; of closer ones, the lower is left out."""

THRESHOLD = 0.02
"""Smallest height of a peak above the minimum of the smoothed image, as a share of its range."""

BORDER = 0.5
"""Smallest distance of a peak from the image's edges [Å]."""

RADIUS = 1.0
"""Radius up to which a column's potential is integrated [Å], at most halfway to the next peak."""

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
        If the image is not two-dimensional or has numbers that are not finite.
    """
    if image.ndim != 2 or not np.isfinite(image).all():
        raise InputError(
            f"image: found shape {image.shape} or numbers that are not finite; allowed: finite (y, x) values"
        )
    smooth = gaussian_filter(np.asarray(image, np.float64), SMOOTHING / sampling)
    peaks = peak_local_max(
        smooth,
        threshold_abs=smooth.min() + THRESHOLD * np.ptp(smooth),
        exclude_border=max(1, math.ceil(BORDER / sampling - 0.5)),
        # A maximum depends only on neighbouring pixels, and distances are Euclidean, so rotations do not matter.
        footprint=np.ones((3, 3), bool),
    )
    return _vertices(smooth, _apart(peaks, max(1, round(MINIMUM_DISTANCE / sampling))))


def _apart(peaks: NDArray[np.int64], distance: int) -> NDArray[np.int64]:
    """
    Leave out peaks (peak, 2) nearer than `distance` [pixels] to one that stays and comes before them.

    `peak_local_max` does the same by its `min_distance`, but one at a time, which takes half the time of an evaluation.
    """
    pairs = cKDTree(peaks).query_pairs(distance, output_type="ndarray") if len(peaks) else np.empty((0, 2), np.int64)
    pairs = pairs[((peaks[pairs[:, 0]] - peaks[pairs[:, 1]]) ** 2).sum(axis=1) < distance**2]
    kept = np.ones(len(peaks), bool)
    for first, second in pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]:
        if kept[first]:
            kept[second] = False
    return peaks[kept]


def _vertices(image: FloatArray, peaks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Maxima of quadratics fitted around pixels (peak, 2), at most half a pixel away; without maximum, the pixel."""
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
    Match positions that are mutually nearest.

    Parameters
    ----------
    first, second : (position, 2) array
        Positions.
    tolerance : float
        Largest distance of a match, in the same unit.

    Returns
    -------
    (first position,) integer array
        Index in `second` of the match of each position of `first`; -1 if it has none.
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
    Pixels of each column: those within `RADIUS` that are nearer to its peak than to any other.

    Attributes
    ----------
    pixels : (pixel,) integer array
        Flat indices of the pixels of all columns.
    owner : (pixel,) integer array
        Column of each pixel.
    count : int
        Number of columns.
    pixel_area : float
        Area of a pixel [Å²].
    """

    pixels: NDArray[np.int64]
    owner: NDArray[np.int64]
    count: int
    pixel_area: float

    @classmethod
    def around(cls, peaks: FloatArray, image: Image) -> "ColumnMasks":
        """Masks of peaks (peak, 2) at (y, x) [pixels]."""
        labels = np.zeros((image.pixels, image.pixels), np.int64)
        # Peaks are never in neighbouring pixels, and at most half a pixel off, so that none overwrites another.
        labels[tuple(np.floor(peaks + 0.5).astype(int).T)] = np.arange(1, len(peaks) + 1)
        owner = expand_labels(labels, distance=RADIUS / image.sampling_angstrom).ravel()
        pixels = np.flatnonzero(owner)
        return cls(pixels, owner[pixels] - 1, len(peaks), image.sampling_angstrom**2)

    def integrate(self, image: FloatArray) -> NDArray[np.float64]:
        """Potential (column,) of an image (y, x) integrated over each mask [V Å³ for an image in V Å]."""
        sums = np.bincount(self.owner, image.ravel()[self.pixels], self.count)
        return np.asarray(sums * self.pixel_area, np.float64)
