"""Radial power spectra of potentials."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import mean as mean_by_label

FloatImages = NDArray[np.floating[Any]]


def radial_spectrum(images: FloatImages, sampling: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    Mean power spectral density over rings of equal spatial frequency.

    Parameters
    ----------
    images : (image, y, x) array
        Square images, such as mean potentials [V].
    sampling : float
        Pixel size [Å].

    Returns
    -------
    frequency : (ring,) array
        Centres of the rings, up to Nyquist's frequency [1/Å].
    power : (ring,) array
        Mean over ring and images of |F|² p² / N, for images minus their mean under a Hann window of unit mean square;
        in the unit of the images squared times Å².
    """
    size = images.shape[-1]
    window = np.hanning(size + 1)[:-1]
    window = np.outer(window, window)
    window /= np.sqrt(np.mean(window**2))
    # The mean is taken under the window; another mean would leave a remainder that leaks into the lowest rings.
    mean = (images * window).sum(axis=(-2, -1), keepdims=True) / window.sum()
    density = np.abs(np.fft.fft2((images - mean) * window)) ** 2 * (sampling / size) ** 2
    frequency = np.fft.fftfreq(size)
    ring = np.rint(np.hypot(frequency[:, None], frequency) * size).astype(int)
    rings = np.arange(1, size // 2 + 1)
    power = mean_by_label(density.mean(axis=0), ring, rings)
    return rings / (size * sampling), np.asarray(power)
