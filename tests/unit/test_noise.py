"""Statistics of the noise."""

import numpy as np
import pytest

from iphasenet.errors import InputError
from iphasenet.noise import FixedNoise, TrainingNoise, add_noise

SEGMENTS = np.broadcast_to(np.array([0.02, 0.05, 0.1, 0.2], np.float32)[:, None, None], (4, 200, 200))


def drawn(dose: float = 1e5, sampling: float = 0.2, readout: float = 0.0, seed: int = 0) -> np.ndarray:
    return add_noise(SEGMENTS, dose, sampling, readout, np.random.default_rng(seed))


@pytest.mark.parametrize("readout", [0.0, 2.0])
def test_mean_and_variance(readout: float) -> None:
    """Mean I; variance (I D p² + s²) / (D p²)²; 40,000 pixels fix them to 4 standard errors."""
    electrons = 1e5 * 0.2**2
    image = drawn(readout=readout)
    expected = (SEGMENTS[:, 0, 0] * electrons + readout**2) / electrons**2
    mean, variance = image.mean(axis=(1, 2)), image.var(axis=(1, 2))
    assert (np.abs(mean - SEGMENTS[:, 0, 0]) < 4 * np.sqrt(expected / 40_000)).all()
    np.testing.assert_allclose(variance, expected, rtol=4 * np.sqrt(2 / 40_000))


def test_segments_and_pixels_are_independent() -> None:
    image = drawn() - SEGMENTS
    correlation = np.corrcoef(image.reshape(4, -1))
    assert np.abs(correlation - np.eye(4)).max() < 4 / np.sqrt(40_000)
    assert abs(np.corrcoef(image[0, :, 1:].ravel(), image[0, :, :-1].ravel())[0, 1]) < 4 / np.sqrt(40_000)


def test_without_read_out_noise_counts_are_whole() -> None:
    counts = drawn(dose=1e3) * 1e3 * 0.2**2
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-3)


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert drawn(readout=1.0).tobytes() == drawn(readout=1.0).tobytes() != drawn(readout=1.0, seed=1).tobytes()


def test_training_doses_are_log_uniform() -> None:
    rng = np.random.default_rng(1)
    noise = TrainingNoise((1e3, 1e6), 0.0)
    decades = np.log10([noise.draw_dose(rng) for _ in range(6000)])
    np.testing.assert_allclose(np.histogram(decades, 3, (3, 6))[0], 2000, rtol=0.1)


def test_bad_doses_are_named() -> None:
    with pytest.raises(InputError, match="training_dose"):
        TrainingNoise((1e6, 1e3), 0.0)
    for doses in ((1e5, 1e5), (0.0,)):
        with pytest.raises(InputError, match="evaluation_doses"):
            FixedNoise(doses, 0.0)
