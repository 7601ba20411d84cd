"""Optimum bright-field image."""

import numpy as np
from scipy.fft import irfft2, rfft2

from iphasenet.evaluation.obf import optimum_bright_field
from iphasenet.evaluation.phase_inversion import potential_transfer
from iphasenet.microscope.optics import Microscope

PIXEL, SIDE = 0.25, 48


def weak_images(transfer: np.ndarray, potential: np.ndarray) -> np.ndarray:
    """Images of a weak periodic object: a mean and the transferred potential."""
    return 0.15 + irfft2(transfer * rfft2(potential), s=potential.shape)


def test_atoms_of_a_weak_object_are_bright() -> None:
    microscope = Microscope(200, 20, 10, 50)
    place = np.arange(SIDE) * PIXEL
    x, y = np.meshgrid(place, place)
    # Even about the frame's edges, as its mirror images are.
    potential = np.cos(2 * np.pi * (x + PIXEL / 2) / 3) * np.cos(2 * np.pi * (y + PIXEL / 2) / 4)
    transfer = potential_transfer(microscope, (SIDE, SIDE), PIXEL)
    segments = weak_images(transfer, potential)
    image = optimum_bright_field(segments, potential_transfer(microscope, (2 * SIDE, 2 * SIDE), PIXEL))
    middle = (slice(8, -8), slice(8, -8))
    assert np.corrcoef(image[middle].ravel(), potential[middle].ravel())[0, 1] > 0.99
    assert abs(image.mean()) < 1e-9


def test_its_noise_is_white() -> None:
    """What it is weighted for: noise of equal power at all frequencies that have a signal."""
    microscope = Microscope(200, 20, 10, 50)
    transfer = potential_transfer(microscope, (2 * SIDE, 2 * SIDE), PIXEL)
    rng = np.random.default_rng(3)
    power = np.zeros((SIDE, SIDE // 2 + 1))
    means = np.array([0.1, 0.2, 0.15, 0.1])[:, None, None]
    for _ in range(200):
        segments = means + 1e-3 * np.sqrt(means) * rng.standard_normal((4, SIDE, SIDE))
        power += np.abs(rfft2(optimum_bright_field(segments, transfer))) ** 2
    g = np.hypot(np.fft.fftfreq(SIDE, PIXEL)[:, None], np.fft.rfftfreq(SIDE, PIXEL)[None])
    edge = 2 * microscope.frequency(20)
    near, far = (power[(g > low * edge) & (g < high * edge)].mean() for low, high in ((0.2, 0.5), (0.6, 0.85)))
    assert 0.8 < near / far < 1.25
    assert power[g > 1.1 * edge].max() < 0.1 * near
