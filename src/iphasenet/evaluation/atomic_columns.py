"""Atomic columns in predicted potentials: which are found, their errors of position, and their integrated potential.

The structure gives the expected columns, and the true image shows which of them are visible; the prediction is compared
with the true image. Both pass the same peak search and are integrated under the same masks.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from iphasenet.base.errors import InputError
from iphasenet.dataset.material_data import MaterialData
from iphasenet.evaluation.column_peaks import BORDER, ColumnMasks, find_columns, match_columns
from iphasenet.evaluation.column_structure import ColumnView, CrystalColumns, ExpectedColumns, expected_columns
from iphasenet.simulation.image import Image

SPURIOUS = "spurious"
"""Name of the type of predicted peaks that match no column."""

TOLERANCE = 0.5
"""Peaks within this distance may be the same column [Å]: less than half the shortest distance between columns, 1.36 Å
(C and N of MAPbI3), and more than the 0.1 to 0.2 Å by which the maximum of an inclined column may be off."""

MARGIN = BORDER + TOLERANCE
"""Smallest distance of counted columns from the image's edges [Å], so that all their possible matches are inside."""

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class TrueColumns:
    """
    Columns of a crystal that an image can show.

    Attributes
    ----------
    view : ColumnView
        Position and orientation of the crystal under the image.
    types : tuple of str
        Types of column in the crystal, heaviest first.
    light : tuple of bool
        Whether each type is light.
    peaks : (peak, 2) array
        Peaks of the truth at (y, x) [pixels].
    expected : (type,) integer array
        Columns of the structure of each type in the field.
    visible : (peak,) integer array
        Type of the structure's column that a peak shows; -1 where it shows none.
    columns : ExpectedColumns
        Columns of the structure in and around the field.
    masks : ColumnMasks
        Pixels of each peak.
    integrated : (peak,) array
        True potential integrated over the mask of each peak [V Å³].
    """

    view: ColumnView
    types: tuple[str, ...]
    light: tuple[bool, ...]
    peaks: NDArray[np.float64]
    expected: NDArray[np.int64]
    visible: NDArray[np.int64]
    columns: ExpectedColumns
    masks: ColumnMasks
    integrated: NDArray[np.float64]


def true_columns(crystal: CrystalColumns, view: ColumnView, truth: FloatArray) -> TrueColumns:
    """
    Find the structure's columns in a true image.

    Parameters
    ----------
    crystal : CrystalColumns
        Columns of the cell.
    view : ColumnView
        How the crystal lies under the image.
    truth : (y, x) array
        Projected potential [V Å].

    Returns
    -------
    TrueColumns
        A column is visible if no other one's line comes close to its own and a peak lies within `TOLERANCE` of the
        middle of that line.
    """
    image = view.field.image
    peaks = find_columns(truth, image.sampling_angstrom)
    columns = expected_columns(crystal, view)
    inside = _inside(columns.positions, image)
    seen = np.flatnonzero(inside & columns.apart)
    matches = match_columns(columns.positions[seen], peaks, TOLERANCE / image.sampling_angstrom)
    visible = np.full(len(peaks), -1)
    visible[matches[matches >= 0]] = columns.kind[seen][matches >= 0]
    masks = ColumnMasks.around(peaks, image)
    return TrueColumns(
        view=view,
        types=crystal.kinds,
        light=crystal.light_kinds,
        peaks=peaks,
        expected=np.bincount(columns.kind[inside], minlength=len(crystal.kinds)),
        visible=visible,
        columns=columns,
        masks=masks,
        integrated=masks.integrate(truth),
    )


def _inside(positions: FloatArray, image: Image) -> NDArray[np.bool_]:
    """Which positions (position, 2) [pixels] are `MARGIN` or more from the image's edges."""
    margin = MARGIN / image.sampling_angstrom - 0.5
    return np.asarray(((positions >= margin) & (positions <= image.pixels - 1 - margin)).all(axis=1))


def prediction_rows(true: TrueColumns, predicted: FloatArray) -> list[dict[str, Any]]:
    """
    Measure one prediction.

    Parameters
    ----------
    true : TrueColumns
        Columns that can be found.
    predicted : (y, x) array
        Projected potential [V Å].

    Returns
    -------
    list of dict
        Rows like those of `column_rows`, without `method`.
    """
    sampling = true.view.field.image.sampling_angstrom
    peaks = find_columns(predicted, sampling)
    matches = match_columns(true.peaks, peaks, TOLERANCE / sampling)
    offset = np.full(len(true.peaks), np.nan)
    found = matches >= 0
    offset[found] = 100 * sampling * np.linalg.norm(peaks[matches[found]] - true.peaks[found], axis=1)
    error = true.masks.integrate(predicted) - true.integrated
    rows = [
        {
            "column": name,
            "light": light,
            "expected": int(true.expected[kind]),
            **_measured(
                offset[true.visible == kind], true.integrated[true.visible == kind], error[true.visible == kind]
            ),
        }
        for kind, (name, light) in enumerate(zip(true.types, true.light, strict=True))
    ]
    alone = np.setdiff1d(np.arange(len(peaks)), matches[found])
    none = {"column": SPURIOUS, "light": False, "expected": 0, **_measured(*3 * [np.empty(0)])}
    return [*rows, {**none, "found": _count_spurious(peaks[alone], true)}]


def _measured(offset: FloatArray, integrated: FloatArray, error: FloatArray) -> dict[str, Any]:
    """Numbers of one type of column from its visible columns: offsets [pm], NaN where not found, and integrals."""
    found = np.isfinite(offset)
    mean = float(integrated.mean()) if len(integrated) else math.nan
    return {
        "visible": len(offset),
        "found": int(found.sum()),
        "position_error_pm": float(np.sqrt(np.mean(offset[found] ** 2))) if found.any() else math.nan,
        "integrated_true": mean,
        "integrated_error": float(error.mean() / mean) if len(error) else math.nan,
        "integrated_absolute_error": float(np.abs(error).mean() / mean) if len(error) else math.nan,
    }


def _count_spurious(alone: FloatArray, true: TrueColumns) -> int:
    """Count peaks (peak, 2) without a match, if their nearest column can be located: others may peak anywhere."""
    alone = alone[_inside(alone, true.view.field.image)]
    if not len(alone) or not true.columns.apart.any():
        return 0
    _, nearest = cKDTree(true.columns.positions).query(alone)
    return int(true.columns.apart[nearest].sum())


def column_rows(
    crystal: CrystalColumns, data: MaterialData, sample: int, predictions: Mapping[Any, FloatArray]
) -> list[dict[str, Any]]:
    """
    Measure the atomic columns of one sample in several predictions.

    Parameters
    ----------
    crystal : CrystalColumns
        Columns of the cell (`iphasenet.evaluation.column_structure.crystal_columns`).
    data : MaterialData
        Samples of its material.
    sample : int
        Index of the sample.
    predictions : mapping of (y, x) arrays
        Projected potential [V Å] by method or another key.

    Returns
    -------
    list of dict
        One row per method and type of column, heaviest first: `method`, `column`, `light`, `expected`, `visible`,
        `found`, `position_error_pm`, `integrated_true` [V Å³], `integrated_error`, `integrated_absolute_error`; and one
        row per method, named `SPURIOUS`, whose `found` counts peaks that match no column. NaN where nothing is counted.

    Raises
    ------
    InputError
        If a prediction has another size than the truth.
    """
    truth = data.potential[sample]
    true = true_columns(crystal, ColumnView.of(data, sample), truth)
    for method, image in predictions.items():
        if image.shape != truth.shape:
            raise InputError(f"{method}: found shape {image.shape}; allowed: {truth.shape}, the shape of the truth")
    return [{"method": method, **row} for method, image in predictions.items() for row in prediction_rows(true, image)]
