"""What the network makes of its metadata, and how well it knows its own error."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas
import torch
from numpy.typing import NDArray

from iphasenet.metrics import METRICS, score
from iphasenet.sampling import generator

FIELDS: Mapping[str, Sequence[int]] = {"thickness": (0,), "tilt": (1, 2), "gamma": (3,), "all": (0, 1, 2, 3)}
"""Columns of the metadata that are shuffled together."""

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
"""Central intervals whose coverage is measured."""

FloatImages = NDArray[np.float32]


def shuffled(metadata: NDArray[np.float32], field: str, material: str) -> NDArray[np.float32]:
    """
    Give every sample the metadata of another one.

    Parameters
    ----------
    metadata : (sample, 4) array
        Thickness [nm], alpha, beta, gamma [degrees].
    field : str
        One of `FIELDS`.
    material : str
        Key of the order.

    Returns
    -------
    (sample, 4) array
        No row of the field stays in its place, where there are two samples or more.
    """
    order = generator(0, material, "order", list(FIELDS).index(field)).permutation(len(metadata))
    columns = list(FIELDS[field])
    result = metadata.copy()
    result[order[:, None], columns] = metadata[np.roll(order, 1)[:, None], columns]
    return result


def ablation_table(truth: FloatImages, predictions: Mapping[str, FloatImages]) -> pandas.DataFrame:
    """One row a sample and shuffled field, with its metrics."""
    rows = [
        {"shuffled": field, **score(*map(torch.from_numpy, pair))}
        for field, images in predictions.items()
        for pair in zip(images, truth, strict=True)
    ]
    return pandas.DataFrame(rows)


def summarise_ablation(table: pandas.DataFrame) -> dict[str, dict[str, float]]:
    """Mean of every metric by shuffled field; 'nothing' is the network as it is. Fields that cannot be are left out."""
    means = table.groupby("shuffled")[list(METRICS)].mean()
    measured = [field for field in ("nothing", *FIELDS) if field in means.index]
    return {field: {name: float(means.loc[field, name]) for name in METRICS} for field in measured}


class Coverage:
    """
    Share of pixels whose error lies within a central interval of the predicted Laplace distribution.

    Calibrated, an interval of 90 % holds 90 % of them, and the mean spread is the mean absolute error.
    """

    def __init__(self) -> None:
        self._inside = np.zeros(len(LEVELS))
        self._pixels, self._error, self._spread = 0, 0.0, 0.0

    def add(self, prediction: FloatImages, spread: FloatImages, truth: FloatImages) -> None:
        """
        Count the pixels of some images.

        Parameters
        ----------
        prediction, spread, truth : (..., y, x) array
            Projected potential, its spread (scale of a Laplace distribution) and the truth [V Å].
        """
        error = np.abs(prediction - truth)
        # P(|error| < w) = 1 - exp(-w / spread).
        ratio = error / spread
        self._inside += [np.count_nonzero(ratio < -np.log1p(-level)) for level in LEVELS]
        self._pixels += error.size
        self._error += float(error.sum(dtype=np.float64))
        self._spread += float(spread.sum(dtype=np.float64))

    def summary(self) -> dict[str, float]:
        """Coverage of each interval, and mean spread over mean absolute error."""
        covered = {f"{level:.0%}": float(n / self._pixels) for level, n in zip(LEVELS, self._inside, strict=True)}
        return {**covered, "spread_over_error": self._spread / self._error}
