"""Metrics against their definitions."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio
from torch import from_numpy
from torchmetrics.functional.image import structural_similarity_index_measure

from iphasenet.evaluation.metrics import METRICS, POTENTIALS, score

TRUTH = np.random.default_rng(0).gamma(2.0, 500.0, (3, 64, 64)) * np.array([1.0, 2.0, 5.0])[:, None, None]
NOISY = TRUTH + 200 * np.random.default_rng(1).normal(size=TRUTH.shape)


def test_a_perfect_prediction() -> None:
    scores = score(TRUTH[:1] + 0.0, TRUTH[:1])
    assert scores["pearson"][0] == pytest.approx(1) == scores["ssim"][0]
    assert scores["mae"][0] == scores["peak_error"][0] == 0


def test_a_known_error() -> None:
    """Everything 10 % too high."""
    truth = TRUTH[0]
    scores = {name: values[0] for name, values in score(1.1 * TRUTH, TRUTH).items()}
    span = truth.max() - truth.min()
    assert set(scores) == {*METRICS, *POTENTIALS}
    assert scores["pearson"] == pytest.approx(1)
    assert scores["mae"] == pytest.approx(0.1 * truth.mean())
    assert scores["mae_share_of_max"] == pytest.approx(0.1 * truth.mean() / truth.max())
    assert scores["peak_error"] == pytest.approx(0.1)
    reference = peak_signal_noise_ratio(truth, 1.1 * truth, data_range=span)
    assert scores["psnr_own_range"] == pytest.approx(reference)
    assert scores["psnr_published_range"] - scores["psnr_own_range"] == pytest.approx(20 * np.log10(600_000 / span))
    assert scores["mean_predicted"] == pytest.approx(1.1 * scores["mean_true"]) == pytest.approx(1.1 * truth.mean())
    assert (
        scores["maximum_predicted"] == pytest.approx(1.1 * scores["maximum_true"]) == pytest.approx(1.1 * truth.max())
    )


def test_every_image_is_scored_by_itself() -> None:
    """Also beyond one batch."""
    many = np.concatenate([TRUTH] * 12), np.concatenate([NOISY] * 12)
    together = score(many[1], many[0])
    for index in range(3):
        alone = score(NOISY[index : index + 1], TRUTH[index : index + 1])
        for name, values in alone.items():
            np.testing.assert_allclose(together[name][index::3], values[0], rtol=1e-6)


@pytest.mark.parametrize("level", [0.0, 20_000.0])
def test_similarity_agrees_with_torchmetrics(level: float) -> None:
    """To 1 %: the two treat the images' borders differently. Also where the potential is high everywhere."""
    biased = NOISY + 2000
    images = [from_numpy(image[1] + level)[None, None] for image in (biased, TRUTH)]
    span = float(TRUTH[1].max() - TRUTH[1].min())
    reference = float(structural_similarity_index_measure(*images, data_range=span))
    assert score(biased + level, TRUTH + level)["ssim"][1] == pytest.approx(reference, rel=0.01)
    assert reference < 0.99


def test_a_constant_prediction_has_no_correlation() -> None:
    constant = np.stack([np.full_like(TRUTH[0], 3.0), NOISY[1]])
    found = score(constant, TRUTH[:2])["pearson"]
    assert found[0] == 0 and found[1] == pytest.approx(np.corrcoef(NOISY[1].ravel(), TRUTH[1].ravel())[0, 1])


def test_peak_error_looks_at_the_highest_pixels_alone() -> None:
    truth, prediction = TRUTH[:1], TRUTH[:1].copy()
    threshold = np.sort(truth.ravel())[truth.size - round(0.005 * truth.size) - 1]
    prediction[truth <= threshold] = 0
    assert score(prediction, truth)["peak_error"][0] == 0
