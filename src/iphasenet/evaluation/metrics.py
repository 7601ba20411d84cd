"""Metrics of predictions."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PUBLISHED_RANGE = 600_000.0
"""Data range of the published PSNR [V Å], more than twenty times that of the images."""

PEAK_SHARE = 0.005
"""Share of the pixels, with the highest true potential, in which the peak error is measured."""

METRICS = (
    "pearson",
    "mae",
    "mae_share_of_max",
    "psnr_own_range",
    "psnr_published_range",
    "peak_error",
    "ssim",
)

POTENTIALS = ("mean_predicted", "mean_true", "maximum_predicted", "maximum_true")

_BATCH = 32

FloatImages = NDArray[np.floating[Any]]


def score(predictions: FloatImages, truths: FloatImages) -> dict[str, NDArray[np.float64]]:
    """
    Metrics of images, one by one.

    Parameters
    ----------
    predictions, truths : (image, y, x) array
        Projected potential [V Å].

    Returns
    -------
    dict of (image,) arrays
        `METRICS` and `POTENTIALS`:

        pearson : Pearson correlation of the pixels; 0 for a constant prediction, where it is not defined.
        mae : mean absolute error [V Å].
        mae_share_of_max : mae / max(truth).
        psnr_own_range : PSNR with the range max(truth) - min(truth) [dB].
        psnr_published_range : PSNR with the range `PUBLISHED_RANGE` [dB].
        peak_error : mean of |prediction - truth| / truth over the highest `PEAK_SHARE` of the true pixels.
        ssim : structural similarity (Gaussian window, sigma 1.5 px) with the range max(truth) - min(truth).
        mean_predicted, mean_true, maximum_predicted, maximum_true : of the image [V Å].
    """
    starts = range(0, len(predictions), _BATCH)
    parts = [
        _score(*(torch.from_numpy(np.ascontiguousarray(images[i : i + _BATCH])) for images in (predictions, truths)))
        for i in starts
    ]
    return {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]} if parts else {}


def _score(predictions: Tensor, truths: Tensor) -> dict[str, Tensor]:
    # Imported here: it takes two seconds, which readers of stored scores do not need.
    from skimage.metrics import structural_similarity
    from torchmetrics.functional import pearson_corrcoef
    from torchmetrics.functional.image import peak_signal_noise_ratio

    pixels = predictions.double().flatten(1), truths.double().flatten(1)
    predicted, truth = pixels
    highest = truth.amax(1)
    span = highest - truth.amin(1)
    mae = (predicted - truth).abs().mean(1)
    peaks, where = truth.topk(max(1, round(PEAK_SHARE * truth.shape[1])))
    varies = predicted.amax(1) > predicted.amin(1)
    # The correlation of a constant is not defined, and torchmetrics would warn.
    correlation = torch.zeros(len(predicted), dtype=torch.float64)
    if varies.any():
        correlation[varies] = pearson_corrcoef(predicted[varies].T, truth[varies].T)
    # Scaled, not shifted: structural similarity compares the levels too.
    scaled = [(image / span[:, None]).view(predictions.shape) for image in pixels]
    pairs = zip(*scaled, strict=True)
    psnr = torch.stack([peak_signal_noise_ratio(image, true, data_range=1.0) for image, true in pairs])
    similar = [
        structural_similarity(*pair, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
        for pair in zip(*(images.numpy() for images in scaled), strict=True)
    ]
    return {
        "pearson": correlation,
        "mae": mae,
        "mae_share_of_max": mae / highest,
        "psnr_own_range": psnr,
        "psnr_published_range": psnr + 20 * torch.log10(PUBLISHED_RANGE / span),
        "peak_error": ((predicted.gather(1, where) - peaks).abs() / peaks).mean(1),
        "ssim": torch.tensor(similar, dtype=torch.float64),
        "mean_predicted": predicted.mean(1),
        "mean_true": truth.mean(1),
        "maximum_predicted": predicted.amax(1),
        "maximum_true": highest,
    }
