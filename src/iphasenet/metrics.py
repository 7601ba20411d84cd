"""What a prediction is worth."""

from typing import cast

from torch import Tensor
from torchmetrics.functional import mean_absolute_error, pearson_corrcoef
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

PUBLISHED_RANGE = 600_000.0
"""Data range that the published PSNR was computed with [V Å], more than twenty times the images' own."""

PEAK_SHARE = 0.005
"""Share of the pixels, those of the highest true potential, on which the peak error is measured."""

METRICS = (
    "pearson",
    "mae",
    "mae_share_of_max",
    "psnr_own_range",
    "psnr_published_range",
    "peak_error",
    "ssim",
)


def score(prediction: Tensor, truth: Tensor) -> dict[str, float]:
    """
    Metrics of one image.

    Parameters
    ----------
    prediction, truth : (y, x) tensor
        Projected potential [V Å].

    Returns
    -------
    dict
        pearson : Pearson correlation of the pixels; 0 for a constant prediction, where it is not defined.
        mae : mean absolute error [V Å].
        mae_share_of_max : mae / max(truth).
        psnr_own_range : PSNR with the range max(truth) - min(truth) [dB].
        psnr_published_range : PSNR with the range `PUBLISHED_RANGE` [dB].
        peak_error : mean of |prediction - truth| / truth over the highest `PEAK_SHARE` of the true pixels.
        ssim : structural similarity (Gaussian window, sigma 1.5 px) with the range max(truth) - min(truth).
    """
    prediction, truth = prediction.double(), truth.double()
    span = float(truth.max() - truth.min())
    mae = float(mean_absolute_error(prediction, truth))
    count = max(1, round(PEAK_SHARE * truth.numel()))
    peaks, where = truth.flatten().topk(count)
    images = prediction[None, None], truth[None, None]
    varies = bool(prediction.max() > prediction.min())
    return {
        "pearson": float(pearson_corrcoef(prediction.flatten(), truth.flatten())) if varies else 0.0,
        "mae": mae,
        "mae_share_of_max": mae / float(truth.max()),
        "psnr_own_range": float(peak_signal_noise_ratio(prediction, truth, data_range=span)),
        "psnr_published_range": float(peak_signal_noise_ratio(prediction, truth, data_range=PUBLISHED_RANGE)),
        "peak_error": float(((prediction.flatten()[where] - peaks).abs() / peaks).mean()),
        "ssim": float(cast(Tensor, structural_similarity_index_measure(*images, data_range=span))),
    }
