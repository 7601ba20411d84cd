"""Calibration of the errors that a network predicts for itself."""

import math
from collections.abc import Sequence

import numpy as np
import pandas
from numpy.typing import NDArray

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
"""Levels of the central intervals whose coverage is measured."""

FloatImages = NDArray[np.float32]


def within_sigma(count: float) -> float:
    """Level of the central interval of a Laplace distribution within some standard deviations."""
    return 1 - math.exp(-count * math.sqrt(2))


def coverage(
    prediction: FloatImages, spread: FloatImages, truth: FloatImages, levels: Sequence[float] = LEVELS
) -> pandas.DataFrame:
    """
    Share of pixels whose error lies within a central interval of the predicted Laplace distribution.

    If the spread is calibrated, an interval of 90 % holds 90 % of the errors, and the mean spread is the mean absolute
    error.

    Parameters
    ----------
    prediction, spread, truth : (image, y, x) array
        Projected potential, its spread (scale of a Laplace distribution) and the truth [V Å].
    levels : sequence of float
        Levels of the intervals.

    Returns
    -------
    DataFrame
        level, covered, spread_over_error (mean spread over mean absolute error), one row per level.
    """
    error = np.abs(prediction - truth)
    # P(|error| < w) = 1 - exp(-w / spread).
    ratio = error / spread
    covered = [np.count_nonzero(ratio < -np.log1p(-level)) / ratio.size for level in levels]
    known = float(spread.mean(dtype=np.float64) / error.mean(dtype=np.float64))
    return pandas.DataFrame({"level": levels, "covered": covered, "spread_over_error": known})
