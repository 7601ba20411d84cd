"""Fourier coefficients at lattice points: right within their errors, whatever the field and the noise."""

import numpy as np
import pytest

from iphasenet.fitting.harmonics import Harmonics, Pixels, measure_harmonics
from iphasenet.fitting.image_lattice import turned
from tests.unit.fitting.conftest import BAND, LENGTHS, ORDERS, SAMPLING, crystal_image


@pytest.mark.parametrize("shape", [(128, 128), (90, 151)])
def test_coefficients_are_right_within_their_errors(shape: tuple[int, int]) -> None:
    frequencies = ORDERS @ turned(LENGTHS, 17.0)
    images, true = crystal_image(frequencies, shape, noise=0.02)
    found = measure_harmonics(Pixels(images, SAMPLING, BAND), frequencies)
    pulls = np.abs(found.coefficients - true)[:, 1:] ** 2 / (2 * found.errors[:, 1:] ** 2)
    assert 0.7 < pulls.mean() < 1.4
    assert found.explained > 0.98
    np.testing.assert_allclose(found.noise, 0.02, rtol=0.1)
    np.testing.assert_allclose(found.coefficients[:, 0], true[:, 0], atol=2e-3)


def test_without_noise_they_are_exact_although_the_field_holds_no_whole_cells() -> None:
    frequencies = ORDERS @ turned(LENGTHS, 17.0)
    images, true = crystal_image(frequencies, (101, 87), noise=0.0)
    found = measure_harmonics(Pixels(images, SAMPLING, BAND), frequencies)
    np.testing.assert_allclose(found.coefficients, true, atol=1e-5)


def test_errors_grow_with_what_a_lattice_does_not_hold() -> None:
    frequencies = ORDERS @ turned(LENGTHS, 17.0)
    images, _ = crystal_image(frequencies, (128, 128), noise=0.02)
    rng = np.random.default_rng(3)
    y, x = np.indices((128, 128))
    blobs = [np.exp(-((x - a) ** 2 + (y - b) ** 2) / 18) for a, b in 128 * rng.random((12, 2))]
    alone, dirty = (
        measure_harmonics(Pixels(picture, SAMPLING, BAND), frequencies)
        for picture in (images, images + 0.15 * np.sum(blobs, axis=0))
    )
    assert (dirty.errors > 1.3 * alone.errors).all()
    assert dirty.explained < alone.explained


def test_another_lattice_explains_little() -> None:
    images, _ = crystal_image(ORDERS @ turned(LENGTHS, 17.0), (128, 128), noise=0.02)
    wrong: Harmonics = measure_harmonics(Pixels(images, SAMPLING, BAND), ORDERS @ turned((5.1, 4.4), 17.0))
    assert wrong.explained < 0.4
