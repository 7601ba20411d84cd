"""Radial power spectra."""

import numpy as np
import pytest

from iphasenet.evaluation.spectra import radial_spectrum


def test_a_wave_has_its_power_at_its_frequency_whatever_its_direction() -> None:
    x = np.arange(128) * 0.2
    for angle in (0.0, 0.7):
        wave = np.cos(2 * np.pi * 0.5 * (x[:, None] * np.sin(angle) + x * np.cos(angle)))
        frequency, power = radial_spectrum(wave[None] + 3, 0.2)
        assert frequency[power.argmax()] == pytest.approx(0.5, abs=0.03)
        assert power[np.abs(frequency - 0.5) > 0.15].max() < 1e-3 * power.max()


def test_white_noise_is_flat_and_its_density_is_variance_times_pixel_area() -> None:
    noise = np.random.default_rng(0).normal(0, 3, (20, 96, 96))
    _, power = radial_spectrum(noise, 0.25)
    assert power[5:].mean() == pytest.approx(9 * 0.25**2, rel=0.03)
    assert power[5:].std() < 0.15 * power[5:].mean()
