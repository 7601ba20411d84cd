"""Metrics against their definitions."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from iphasenet.metrics import METRICS, score

TRUTH = torch.from_numpy(np.random.default_rng(0).gamma(2.0, 500.0, (64, 64)))


def test_a_perfect_prediction() -> None:
    scores = score(TRUTH + 0.0, TRUTH)
    assert scores["pearson"] == pytest.approx(1) == scores["ssim"]
    assert scores["mae"] == scores["peak_error"] == 0


def test_a_known_error() -> None:
    """Everything 10 % too high."""
    scores = score(1.1 * TRUTH, TRUTH)
    span = float(TRUTH.max() - TRUTH.min())
    assert set(scores) == set(METRICS)
    assert scores["pearson"] == pytest.approx(1)
    assert scores["mae"] == pytest.approx(0.1 * float(TRUTH.mean()))
    assert scores["mae_share_of_max"] == pytest.approx(0.1 * float(TRUTH.mean() / TRUTH.max()))
    assert scores["peak_error"] == pytest.approx(0.1)
    reference = peak_signal_noise_ratio(TRUTH.numpy(), 1.1 * TRUTH.numpy(), data_range=span)
    assert scores["psnr_own_range"] == pytest.approx(reference)
    ratio = 600_000 / span
    assert scores["psnr_published_range"] - scores["psnr_own_range"] == pytest.approx(20 * np.log10(ratio))


def test_similarity_agrees_with_scikit_image() -> None:
    """To 1 %: the two treat the images' borders differently."""
    noisy = TRUTH + 200 * torch.from_numpy(np.random.default_rng(1).normal(size=TRUTH.shape))
    reference = structural_similarity(
        TRUTH.numpy(),
        noisy.numpy(),
        data_range=float(TRUTH.max() - TRUTH.min()),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert score(noisy, TRUTH)["ssim"] == pytest.approx(reference, rel=0.01)
    assert reference < 0.98


def test_a_constant_prediction_has_no_correlation() -> None:
    assert score(torch.full_like(TRUTH, 3.0), TRUTH)["pearson"] == 0


def test_peak_error_looks_at_the_highest_pixels_alone() -> None:
    prediction = TRUTH.clone()
    threshold = TRUTH.flatten().kthvalue(TRUTH.numel() - round(0.005 * TRUTH.numel())).values
    prediction[threshold >= TRUTH] = 0
    assert score(prediction, TRUTH)["peak_error"] == 0
