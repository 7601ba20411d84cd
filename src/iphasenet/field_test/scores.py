"""Scores of each way on one image of a field test: what a user would report of it, and whether it warned."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from iphasenet.evaluation.atomic_columns import TOLERANCE
from iphasenet.evaluation.column_peaks import ColumnMasks, find_columns, match_columns
from iphasenet.evaluation.column_scores import WITHIN_68
from iphasenet.field_test.fits import FieldFit
from iphasenet.field_test.pictures import Picture, picture
from iphasenet.field_test.plan import FieldImage, FieldSpecimen
from iphasenet.field_test.simulation import RESOLUTION, FieldTruth, told
from iphasenet.field_test.ways import Result, Ways
from iphasenet.microscope_files.resampling import SAME_PIXEL, resampled
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.simulation.image import Image

FloatArray = NDArray[np.floating[Any]]

_SITE_RADIUS = 0.6
"""Radius of the mean around a site that may be a defect [Å]."""

_DIFFERENT = 0.3
"""A site counts as a defect if its height above the background differs by this share from the median of its kind."""

_RIM = 1.0
"""Width of the rim that is not scored [Å]: what is resampled differs there."""


def score_specimen(
    specimen: FieldSpecimen,
    truths: Sequence[FieldTruth],
    images: Sequence[SegmentedImage],
    fits: Sequence[FieldFit],
    ways: Ways,
) -> tuple[pandas.DataFrame, list[Picture]]:
    """
    Try all ways on all images of a specimen.

    Parameters
    ----------
    specimen : FieldSpecimen
        Specimen.
    truths, images, fits : sequence
        What its images show, how they were recorded, and their fits.
    ways : Ways
        Networks.

    Returns
    -------
    DataFrame, list of Picture
        Rows of `score_rows`, and what is shown of each image.
    """
    rows, pictures = [], []
    for planned, truth, image, fitted in zip(specimen.images, truths, images, fits, strict=True):
        exactly, roughly = (told(specimen, planned, truth, rough) for rough in (False, True))
        results = list(ways.results(image, specimen.group == "known", exactly, roughly, fitted))
        assert image.sampling is not None
        rows += score_rows(specimen, planned, truth, image.sampling, results)
        pictures.append(picture(image, truth, results))
    return pandas.DataFrame(rows), pictures


def score_rows(
    specimen: FieldSpecimen, image: FieldImage, truth: FieldTruth, sampling: float, results: Iterable[Result]
) -> list[dict[str, Any]]:
    """
    Score all ways on one image.

    Parameters
    ----------
    specimen, image
        What was recorded.
    truth : FieldTruth
        What it shows.
    sampling : float
        Pixel of the truth [Å].
    results : iterable of Result
        What the ways have made of it.

    Returns
    -------
    list of dict
        One row a way: conditions of the image; `potential_pearson`, `columns_pearson`; relative errors of the mean
        potential and of the potential around each column (median of the absolute ones); rms error of the columns'
        positions [pm], shares of columns found and of false ones; errors of thickness, tilt and defocus and whether
        each lies within the error that the way gives; share of pixels within the interval that should hold 68 %;
        sites that are defects, of these found, sites that are none, of these taken for one; whether the way warned or
        why it has refused. NaN for what a way does not give.
    """
    alpha, beta = truth.facts["tilt_deg"]
    conditions = {
        "image": image.name,
        "material": specimen.material,
        "group": specimen.group,
        "kind": specimen.kind,
        "energy_kev": specimen.energy_kev,
        "nominal_nm": image.thickness_nm,
        "thickness_nm": truth.facts["thickness_nm"],
        "tilt_deg": math.hypot(alpha, beta),
        "defocus_nm": image.microscope.defocus_angstrom / 10,
        "dose": image.dose,
        "field_angstrom": image.pixels * sampling,
        "thermal_noise": truth.facts["thermal_noise"],
    }
    return [
        {
            **conditions,
            "way": result.way,
            "seconds": result.seconds,
            "refused": result.refused,
            "warnings": " | ".join(result.warnings),
            **_scores(image, truth, sampling, result),
        }
        for result in results
    ]


def _scores(image: FieldImage, truth: FieldTruth, sampling: float, result: Result) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    if result.potential is not None:
        true = resampled(truth.potential, sampling, result.sampling)
        scores["potential_pearson"] = _pearson(result.potential, true, result.sampling)
    if result.columns is not None:
        scores |= _column_scores(truth, sampling, result)
    return scores | _found_scores(image, truth, result)


def _column_scores(truth: FieldTruth, sampling: float, result: Result) -> dict[str, Any]:
    """Scores of the columns at the entrance surface."""
    assert result.columns is not None
    blur = 0.0 if result.blurred else RESOLUTION / math.sqrt(8 * math.log(2)) / result.sampling
    predicted = gaussian_filter(np.asarray(result.columns, np.float64), blur, mode="mirror")
    true = resampled(truth.columns, sampling, result.sampling).astype(np.float64)
    scores: dict[str, Any] = {"columns_pearson": _pearson(predicted, true, result.sampling)}
    scores |= _position_scores(predicted, true, result)
    scores |= _defect_scores(truth, sampling, predicted, result.sampling)
    if result.scaled:
        scores["level_error"] = float(predicted.mean() / true.mean() - 1)
    if result.columns_error is not None:
        inside = np.abs(predicted - true) <= WITHIN_68 * result.columns_error
        scores["covered"] = float(inside.mean())
    return scores


def _position_scores(predicted: FloatArray, true: FloatArray, result: Result) -> dict[str, float]:
    """Positions of the columns, and the potential around them."""
    pixel = result.sampling
    peaks, found = find_columns(true, pixel), find_columns(predicted, pixel)
    matches = match_columns(peaks, found, TOLERANCE / pixel)
    there = matches >= 0
    scores = {
        "columns_found": float(there.mean()) if len(peaks) else math.nan,
        "columns_false": 1 - there.sum() / len(found) if len(found) else math.nan,
    }
    if there.any():
        off = 100 * pixel * np.linalg.norm(found[matches[there]] - peaks[there], axis=1)
        scores["position_error_pm"] = float(np.sqrt((off**2).mean()))
    if result.scaled and len(peaks):
        masks = ColumnMasks.around(peaks, Image(true.shape[0], pixel))
        integrated = masks.integrate(true)
        scores["integrated_error"] = float(np.median(np.abs(masks.integrate(predicted) / integrated - 1)))
    return scores


def _defect_scores(truth: FieldTruth, sampling: float, predicted: FloatArray, pixel: float) -> dict[str, float]:
    """Count the altered columns that differ from others of their kind, and others that do."""
    if not truth.defects.any() or truth.defects.all():
        return {}
    heights = site_heights(truth, sampling, predicted, pixel)
    different = np.abs(heights / np.median(heights) - 1) > _DIFFERENT
    return {
        "defects": int(truth.defects.sum()),
        "defects_found": int((different & truth.defects).sum()),
        "sites": int((~truth.defects).sum()),
        "false_alarms": int((different & ~truth.defects).sum()),
    }


def site_heights(truth: FieldTruth, sampling: float, image: FloatArray, pixel: float) -> NDArray[np.float64]:
    """Mean of an image around each site, above its 5 % percentile."""
    rows, columns = image.shape
    # Both images have the same middle.
    middle = (np.array(truth.columns.shape) - 1) / 2
    places = (truth.sites - middle) * sampling / pixel + (np.array(image.shape) - 1) / 2
    mesh = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1).reshape(-1, 2)
    near = cKDTree(mesh).query_ball_point(places, _SITE_RADIUS / pixel)
    flat, background = image.ravel(), np.percentile(image, 5)
    return np.array([flat[pixels].mean() - background for pixels in near])


def _found_scores(image: FieldImage, truth: FieldTruth, result: Result) -> dict[str, Any]:
    """Errors of what a way has found beside the potential, over what it expects."""
    found, scores = result.found, dict[str, Any]()
    for name in ("expected_pearson", "strangeness"):
        if name in found:
            scores[name] = found[name]
    alpha, beta = truth.facts["tilt_deg"]
    true = {
        "thickness_nm": truth.facts["thickness_nm"],
        "alpha_deg": alpha,
        "beta_deg": beta,
        "defocus_angstrom": image.microscope.defocus_angstrom,
    }
    for name, value in true.items():
        if name in found:
            scores[f"{name}_off"] = found[name] - value
            scores[f"{name}_expected"] = found[f"{name}_error"]
    return scores


def _pearson(predicted: FloatArray, true: FloatArray, pixel: float) -> float:
    """Correlation without the rim; 0 for an image without contrast."""
    rim = math.ceil(_RIM / pixel - SAME_PIXEL)
    first, second = (image[rim:-rim, rim:-rim].ravel().astype(np.float64) for image in (predicted, true))
    first, second = first - first.mean(), second - second.mean()
    norm = math.sqrt(float(first @ first) * float(second @ second))
    return float(first @ second) / norm if norm > 0 else 0.0
