"""Periodic images of an invented crystal."""

import numpy as np
from numpy.typing import NDArray

from iphasenet.fitting.outcome import on_pixels

LENGTHS, SAMPLING, BAND = (4.0, 5.5), 0.2, 1.5


def _orders() -> NDArray[np.int64]:
    h, k = (part.ravel() for part in np.meshgrid(np.arange(-3, 4), np.arange(0, 4)))
    chosen = ((k > 0) | (h >= 0)) & (np.hypot(h / LENGTHS[0], k / LENGTHS[1]) < 0.75)
    found = np.stack([h, k], axis=1)[chosen]
    return found[np.lexsort((~(found == 0).all(axis=1),))]


ORDERS = _orders()
"""Orders of the images' coefficients, zero first."""


def crystal_image(
    frequencies: NDArray[np.float64], shape: tuple[int, int], noise: float
) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """Four noisy periodic images, and their Fourier coefficients about the centre."""
    rng = np.random.default_rng(7)
    true = rng.normal(size=(4, len(frequencies))) + 1j * rng.normal(size=(4, len(frequencies)))
    true *= 0.02 * np.exp(-2 * (frequencies**2).sum(axis=1))
    true[:, 0] = 0.2 + 0.01 * np.arange(4)
    return on_pixels(true, frequencies, shape, SAMPLING) + rng.normal(0, noise, (4, *shape)), true
