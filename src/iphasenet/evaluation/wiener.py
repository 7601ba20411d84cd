"""The best linear filter from segments to the mean potential, for a known dose."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, rfft2

from iphasenet.base.errors import InputError
from iphasenet.evaluation.mirror_boundary import with_mirror_images

FloatArray = NDArray[np.floating[Any]]
ComplexArray = NDArray[np.complexfloating[Any, Any]]

_FLOOR = 1e-3
"""Power spectral density added to the segments', as a share of its mean over frequencies and segments: where the
training images have less, the filter falls to 0."""

_REACH = 0.1
"""Standard deviation of the lag window, which limits the reach of correlations, as a share of the frame's side."""


@dataclass(frozen=True)
class WienerFilter:
    """
    Second moments of segments and mean potential, which give the filter for any dose.

    Attributes
    ----------
    cross : (4, y, kx) complex array
        Cross-spectral density of mean potential and segments on the frequencies of `scipy.fft.rfft2` [V].
    auto : (4, 4, y, kx) complex array
        Cross-spectral densities of the noise-free segments. Densities are per pixel, so that of white noise is its
        variance.
    shape : (int, int)
        Pixels of an image along y and x.
    """

    cross: ComplexArray
    auto: ComplexArray
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        frequencies = (self.shape[0], self.shape[1] // 2 + 1)
        found = self.cross.shape, self.auto.shape
        if found != ((4, *frequencies), (4, 4, *frequencies)):
            raise InputError(
                f"Wiener filter: found densities of shapes {found}; allowed: densities of {self.shape} pixels"
            )
        if not (np.isfinite(self.cross).all() and np.isfinite(self.auto).all()):
            raise InputError("Wiener filter: found NaN or infinity; allowed: finite densities")

    def transfer(self, noise: FloatArray) -> ComplexArray:
        """
        Transfer function of the filter, S_tf (S_ff + N)^-1.

        Parameters
        ----------
        noise : (4,) array
            Variance of each segment's white noise.

        Returns
        -------
        (4, y, kx) complex array
            Factor from each segment's signal to the mean potential [V].
        """
        floor = _FLOOR * np.einsum("iiyx->yx", self.auto).real.mean() / 4
        density = self.auto.transpose(2, 3, 0, 1) + np.diag(noise + floor)
        # H S = C is S^T H^T = C^T, and S is Hermitian.
        solved = np.linalg.solve(density.conj(), self.cross.transpose(1, 2, 0)[..., None])
        return np.asarray(solved[..., 0].transpose(2, 0, 1))

    def apply(self, segments: FloatArray, noise: FloatArray) -> FloatArray:
        """
        Estimate the deviation of the mean potential from its mean.

        Parameters
        ----------
        segments : (4, y, x) array
            Images of the segments, fractions of the beam current.
        noise : (4,) array
            Variance of each segment's white noise.

        Returns
        -------
        (y, x) array
            Deviation [V]; beyond the frame, images are continued by mirror images.
        """
        ny, nx = self.shape
        kernel = irfft2(self.transfer(noise), s=self.shape)
        # The filter's centred kernel on the period of the mirrored images, in their precision, because noise is larger
        # than rounding errors.
        period = np.zeros((4, 2 * ny, 2 * nx), segments.dtype)
        period[:, :ny, :nx] = np.fft.fftshift(kernel, axes=(1, 2))
        period = np.roll(period, (-(ny // 2), -(nx // 2)), axis=(1, 2))
        deviation = segments - segments.mean(axis=(1, 2), keepdims=True)
        spectrum = (rfft2(period) * rfft2(with_mirror_images(deviation))).sum(axis=0)
        return np.asarray(irfft2(spectrum, s=(2 * ny, 2 * nx)))[:ny, :nx]


class WienerFit:
    """
    Spectral densities of training images, one after the other.

    Each image minus its mean under the window is multiplied by a Hann window, so that the frame's edges do not count.
    The mean densities are smoothed by a Gaussian, that is, their correlations are multiplied by one (a lag window):
    spectra of crystals are spots, and the filter is also needed between the spots of the training's rotations.
    Blackman & Tukey, The Measurement of Power Spectra (1958).
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self._window = np.outer(*(np.hanning(side + 2)[1:-1] for side in shape))
        frequencies = (shape[0], shape[1] // 2 + 1)
        self._cross, self._auto = np.zeros((4, *frequencies), complex), np.zeros((4, 4, *frequencies), complex)
        self._count = 0

    def add(self, segments: FloatArray, mean_potential: FloatArray) -> None:
        """
        Add an image.

        Parameters
        ----------
        segments : (4, y, x) array
            Noise-free images, fractions of the beam current.
        mean_potential : (y, x) array
            Projected potential divided by thickness [V].
        """
        images = np.concatenate([segments, mean_potential[None]]).astype(np.float64)
        mean = (images * self._window).sum(axis=(1, 2), keepdims=True) / self._window.sum()
        spectra = rfft2((images - mean) * self._window)
        signals, truth = spectra[:4], spectra[4]
        self._cross += truth * signals.conj()
        self._auto += signals[:, None] * signals.conj()
        self._count += 1

    def solve(self) -> WienerFilter:
        """Return the filter from the mean densities of all added images."""
        scale = self._count * (self._window**2).sum()
        return WienerFilter(self._smooth(self._cross / scale), self._smooth(self._auto / scale), self.shape)

    def _smooth(self, density: ComplexArray) -> ComplexArray:
        lags = (np.fft.fftfreq(side) for side in self.shape)
        along_y, along_x = (np.exp(-((lag / _REACH) ** 2) / 2) for lag in lags)
        return np.asarray(rfft2(irfft2(density, s=self.shape) * np.outer(along_y, along_x)))
