"""Statistics of the noise and geometry of the scan distortion."""

import numpy as np
import pytest
import torch

from iphasenet.base.errors import InputError
from iphasenet.microscope.acquisition import Acquisition, FixedNoise, TrainingNoise
from iphasenet.simulation.noise import displaced, record

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

SEGMENTS = np.tile(np.array([0.02, 0.05, 0.1, 0.2], np.float32)[:, None, None], (1, 200, 200))


def drawn(dose: float = 1e5, sampling: float = 0.2, seed: int = 0, **acquisition: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return record(torch.from_numpy(SEGMENTS), dose, sampling, Acquisition(**acquisition), rng).numpy()


def waves(sampling: float, offsets: np.ndarray, pixels: int = 128) -> np.ndarray:
    """Four sums of plane waves up to 1.6 /Å, twice a 20 mrad aperture, at scan lines displaced by (y, x) [Å]."""
    rng = np.random.default_rng(3)
    position = np.arange(pixels) * sampling
    y, x = position[:, None] + offsets[:, :1], position[None, :] + offsets[:, 1:]
    images = []
    for _ in range(4):
        angle, radius, phase = rng.uniform(0, 2 * np.pi, 30), 1.6 * rng.random(30) ** 0.5, rng.uniform(0, 6, 30)
        terms = zip(radius * np.cos(angle), radius * np.sin(angle), phase, strict=True)
        images.append(0.1 + 0.001 * sum(np.cos(2 * np.pi * (u * x + v * y) + p) for u, v, p in terms))
    return np.stack(images).astype(np.float32)


@pytest.mark.parametrize("readout", [0.0, 2.0])
def test_mean_and_variance(readout: float) -> None:
    """Mean I; variance (I D p² + s²) / (D p²)²; 40,000 pixels fix them to 4 standard errors."""
    electrons = 1e5 * 0.2**2
    image = drawn(readout_electrons=readout)
    expected = (SEGMENTS[:, 0, 0] * electrons + readout**2) / electrons**2
    mean, variance = image.mean(axis=(1, 2)), image.var(axis=(1, 2))
    assert (np.abs(mean - SEGMENTS[:, 0, 0]) < 4 * np.sqrt(expected / 40_000)).all()
    np.testing.assert_allclose(variance, expected, rtol=4 * np.sqrt(2 / 40_000))


def test_segments_and_pixels_are_independent() -> None:
    image = drawn() - SEGMENTS
    correlation = np.corrcoef(image.reshape(4, -1))
    assert np.abs(correlation - np.eye(4)).max() < 4 / np.sqrt(40_000)
    assert abs(np.corrcoef(image[0, :, 1:].ravel(), image[0, :, :-1].ravel())[0, 1]) < 4 / np.sqrt(40_000)


def test_samples_are_independent() -> None:
    first, second = ((drawn(seed=seed) - SEGMENTS).ravel() for seed in (1, 2))
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(160_000)


def test_without_read_out_noise_counts_are_whole() -> None:
    counts = drawn(dose=1e3) * 1e3 * 0.2**2
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-3)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_gpu)])
def test_read_out_noise_does_not_follow_the_electrons(device: str) -> None:
    """One electron on 40: variances add, and the parts between whole numbers hold no trace of the whole ones."""
    segments = torch.full((4, 500, 500), 0.1, device=device)
    noisy = record(segments, 1e4, 0.2, Acquisition(readout_electrons=0.15), np.random.default_rng(0)) * 400
    electrons = noisy.round()
    correlation = torch.corrcoef(torch.stack([electrons.flatten(), (noisy - electrons).flatten()]))[0, 1]
    assert abs(float(correlation)) < 4 / 1000
    assert float(noisy.double().var()) == pytest.approx(40 + 0.15**2, rel=4 * np.sqrt(2) / 1000)


def test_gains_are_one_number_a_segment_and_image() -> None:
    """400 images at a high dose: gains scatter by 3 % about 1, independently between segments."""
    images = [drawn(dose=1e9, seed=seed, gain_mismatch=0.03)[:, :8, :8] for seed in range(400)]
    gains = np.stack([image.mean(axis=(1, 2)) for image in images]) / SEGMENTS[:, 0, 0]
    assert np.abs(gains.mean(axis=0) - 1).max() < 4 * 0.03 / 20
    np.testing.assert_allclose(gains.std(axis=0), 0.03, rtol=4 / np.sqrt(800))
    assert np.abs(np.corrcoef(gains.T) - np.eye(4)).max() < 4 / 20
    assert np.ptp(images[0] / SEGMENTS[:, :8, :8], axis=(1, 2)).max() < 0.01


@pytest.mark.parametrize(("sampling", "tolerance"), [(0.1, 5e-5), (0.2, 5e-5)])
def test_displaced_scan_lines_see_the_image_where_they_are(sampling: float, tolerance: float) -> None:
    """Against the exact series, as a share of the contrast; 20 pixels at the sides are the mirror's."""
    lines = Acquisition(jitter_angstrom=0.05, drift_angstrom=0.3).displacements(128, np.random.default_rng(5))
    image, truth = waves(sampling, np.zeros((128, 2))), waves(sampling, lines)
    found = displaced(torch.from_numpy(image)[None], lines[None] / sampling)[0].numpy()
    inside = (slice(None), slice(20, -20), slice(20, -20))
    error = np.sqrt(((found - truth)[inside] ** 2).mean()) / truth.std()
    assert error < tolerance
    assert np.sqrt(((image - truth)[inside] ** 2).mean()) / truth.std() > 0.1


def test_a_crop_is_a_part_of_the_distorted_frame() -> None:
    lines = Acquisition(jitter_angstrom=0.05, drift_angstrom=1.0).displacements(128, np.random.default_rng(5)) / 0.1
    image, window = torch.from_numpy(waves(0.1, np.zeros((128, 2)))), (slice(0, 64), slice(30, 94))
    images, many = torch.stack([image, image.flip(1)]), np.stack([lines, 2 * lines])
    found = displaced(images, many, window)
    torch.testing.assert_close(found, displaced(images, many)[..., *window], rtol=0, atol=1e-6)
    # Each image with its own lines.
    for number in range(2):
        alone = displaced(images[[number]], many[[number]], window)[0]
        torch.testing.assert_close(found[number], alone, rtol=0, atol=1e-6)


def test_displacements_have_the_stated_spread() -> None:
    """Jitter between lines, and drift from the first line to the last; 3,000 frames."""
    rng = np.random.default_rng(0)
    drifts = np.stack([Acquisition(drift_angstrom=0.4).displacements(64, rng) for _ in range(3000)])
    np.testing.assert_allclose((drifts[:, -1] - drifts[:, 0]).std(axis=0), 0.4 * 63 / 64, rtol=4 / np.sqrt(6000))
    assert np.abs(np.diff(drifts, n=2, axis=1)).max() < 1e-12
    jitter = Acquisition(jitter_angstrom=0.03).displacements(20_000, rng)
    np.testing.assert_allclose(jitter.std(axis=0), 0.03, rtol=4 / np.sqrt(40_000))
    assert abs(np.corrcoef(jitter[1:, 0], jitter[:-1, 0])[0, 1]) < 4 / np.sqrt(20_000)


def test_a_perfect_scan_is_not_interpolated() -> None:
    window = (slice(3, 67), slice(5, 69))
    rng = np.random.default_rng(1)
    crop = record(torch.from_numpy(SEGMENTS), 1e14, 0.2, Acquisition(), rng, window).numpy()
    np.testing.assert_allclose(crop, SEGMENTS[:, *window], rtol=1e-4)


def test_the_same_seed_gives_the_same_bytes() -> None:
    full = {"readout_electrons": 1.0, "gain_mismatch": 0.01, "jitter_angstrom": 0.1, "drift_angstrom": 0.1}
    assert drawn(**full).tobytes() == drawn(**full).tobytes() != drawn(seed=1, **full).tobytes()


def test_training_doses_are_log_uniform() -> None:
    rng = np.random.default_rng(1)
    noise = TrainingNoise((1e3, 1e6), Acquisition())
    decades = np.log10([noise.draw_dose(rng) for _ in range(6000)])
    np.testing.assert_allclose(np.histogram(decades, 3, (3, 6))[0], 2000, rtol=0.1)


def test_bad_noise_is_named() -> None:
    with pytest.raises(InputError, match="training_dose"):
        TrainingNoise((1e6, 1e3), Acquisition())
    with pytest.raises(InputError, match=r"training_dose.*1e\+11.*1e\+10 e/Å²"):
        TrainingNoise((1e6, 1e11), Acquisition())
    for doses in ((1e5, 1e5), (0.0,)):
        with pytest.raises(InputError, match="evaluation_doses"):
            FixedNoise(doses, Acquisition())
    with pytest.raises(InputError, match=r"jitter_angstrom.*-1"):
        Acquisition(jitter_angstrom=-1)
    with pytest.raises(InputError, match=r"gain_mismatch.*nan"):
        Acquisition(gain_mismatch=float("nan"))
