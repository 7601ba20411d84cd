"""Phase inversion of weak phase objects against abTEM's multislice of them."""

from dataclasses import replace

import numpy as np
import pytest

from iphasenet.evaluation.phase_inversion import invert_phase, potential_transfer
from iphasenet.microscope.optics import Microscope
from tests.physics.conftest import MICROSCOPE, abtem_segments

SIDE, FINE, SAMPLING = 12.8, 96, 0.4
"""Periodic cell [Å], pixels of the multislice, pixel of the scan [Å]: 32 positions along each axis."""

POSITIONS = np.arange(0, SIDE, SAMPLING)


def blobs(position_x: np.ndarray, position_y: np.ndarray) -> np.ndarray:
    """Three atoms off the middle, none near the frame's edges, on which sigma V is 0.015 rad at most [V Å]."""
    total = np.zeros(np.broadcast_shapes(position_x.shape, position_y.shape))
    for x, y, height, width in ((5.2, 6.1, 20.0, 0.5), (7.7, 5.6, 12.0, 0.45), (6.3, 8.0, 15.0, 0.7)):
        total += height * np.exp(-((position_x - x) ** 2 + (position_y - y) ** 2) / (2 * width**2))
    return total


def scan(microscope: Microscope, **aberrations: float) -> np.ndarray:
    """Segments (4, y, x) of the blobs by abTEM."""
    fine = np.arange(FINE) * SIDE / FINE
    x, y = np.meshgrid(POSITIONS, POSITIONS)
    slices = blobs(fine[None, :], fine[:, None])[None]
    places = np.stack([x.ravel(), y.ravel()], axis=1)
    signals = abtem_segments(slices, 0.5, (SIDE, SIDE), places, microscope=microscope, **aberrations)
    return signals.T.reshape(4, *x.shape)


@pytest.mark.parametrize("aberrations", [{}, {"defocus": 60.0, "astigmatism": 40.0, "astigmatism_angle": 30.0}])
def test_weak_phase_object_is_recovered_from_abtems_images(aberrations: dict[str, float]) -> None:
    """First the images that linear theory gives, then its inversion: sign, V Å and place without a fit.

    1 % is left of the images, the second order (sigma V = 0.015), and 3 % of the potential: frame and periods of the
    continued images differ from abTEM's.
    """
    microscope = replace(MICROSCOPE, aberrations=aberrations)
    in_radians = {name: np.deg2rad(v) if name.endswith("angle") else v for name, v in aberrations.items()}
    recorded = scan(microscope, **in_radians)
    potential = blobs(POSITIONS[None, :], POSITIONS[:, None])
    transfer = potential_transfer(microscope, potential.shape, SAMPLING)
    theory = np.fft.irfft2(transfer * np.fft.rfft2(potential), s=potential.shape)
    contrast = recorded - recorded.mean(axis=(1, 2), keepdims=True)
    assert np.abs(contrast - theory).max() < 0.01 * np.abs(contrast).max()
    mirrored = potential_transfer(microscope, (2 * len(POSITIONS), 2 * len(POSITIONS)), SAMPLING)
    found = invert_phase(recorded, mirrored, np.full(4, 1e-12), potential.var())
    deviation = potential - potential.mean()
    assert np.std(found - deviation) < 0.03 * potential.std()


def test_source_size_and_focal_spread_damp_the_transfer() -> None:
    """The source by its Gaussian's Fourier transform; a focal spread as the mean over foci says."""
    shape, frequency = (48, 64), np.hypot(np.fft.fftfreq(48, 0.3)[:, None], np.fft.rfftfreq(64, 0.3))
    sharp = potential_transfer(MICROSCOPE, shape, 0.3)
    blurred = potential_transfer(replace(MICROSCOPE, source_size_angstrom=0.4), shape, 0.3)
    np.testing.assert_allclose(blurred, sharp * np.exp(-2 * (np.pi * 0.4 * frequency) ** 2), atol=1e-12)
    spread = potential_transfer(replace(MICROSCOPE, focal_spread_angstrom=40.0), shape, 0.3)
    nodes = np.linspace(-4, 4, 33)
    weights = np.exp(-(nodes**2) / 2) / np.exp(-(nodes**2) / 2).sum()
    defocused = (replace(MICROSCOPE, aberrations={"C10": 40.0 * node}) for node in nodes)
    mean = sum(w * potential_transfer(m, shape, 0.3) for w, m in zip(weights, defocused, strict=True))
    np.testing.assert_allclose(spread, mean, atol=2e-4 * np.abs(sharp).max())
