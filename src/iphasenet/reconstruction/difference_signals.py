"""Curl of the segments' difference signals, which is 0 if they are the gradient of a potential."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import skew

from iphasenet.evaluation.idpc import centre_of_mass

FloatImages = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Spectra:
    """
    Fourier transforms of the difference signals, along and across their wave vectors.

    Attributes
    ----------
    along, across : (y, x) complex array
        Components: the divergence and the curl, over the length of the wave vector.
    length : (y, x) array
        Length of the wave vector [1/Å].
    """

    along: NDArray[np.complex128]
    across: NDArray[np.complex128]
    length: NDArray[np.float64]

    @classmethod
    def of(cls, segments: FloatImages, sampling: float, band: float) -> "Spectra":
        """Spectra below a frequency `band` [1/Å] of segments in order, under a Hann window."""
        signals = [signal - signal.mean() for signal in centre_of_mass(segments.astype(np.float64))]
        height, width = signals[0].shape
        window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1]
        ky, kx = np.fft.fftfreq(height, sampling)[:, None], np.fft.fftfreq(width, sampling)
        length = np.hypot(ky, kx)
        # Low frequencies do not come from the lattice, and beyond the band there is only noise.
        kept = (length < band) & (length > 2.5 / (sampling * min(height, width)))
        x, y = (np.fft.fft2(signal * window) * kept for signal in signals)
        unit_x, unit_y = (k / np.where(length > 0, length, 1) for k in (kx, ky))
        return cls(unit_x * x + unit_y * y, unit_x * y - unit_y * x, length)

    def turned(self, turn_deg: float) -> tuple[float, float]:
        """Curl over divergence, and skewness of the integrated signals, of a detector turned in the image."""
        cosine, sine = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
        along, across = cosine * self.along - sine * self.across, cosine * self.across + sine * self.along
        power = float((np.abs(along) ** 2).sum())
        curl = math.sqrt(float((np.abs(across) ** 2).sum()) / power) if power else math.inf
        integral = np.fft.ifft2(along / (2j * np.pi * np.where(self.length > 0, self.length, 1))).real
        rows, columns = (slice(size // 4, size - size // 4) for size in integral.shape)
        return curl, float(skew(integral[rows, columns], axis=None))

    def best_turn(self) -> float:
        """Turn of the detector with the smallest curl and bright columns, -180 to 180 degrees."""
        difference = float((np.abs(self.across) ** 2 - np.abs(self.along) ** 2).sum()) / 2
        mixed = float((self.across * self.along.conj()).real.sum())
        turn = math.degrees(0.5 * math.atan2(-mixed, -difference))
        return turn if self.turned(turn)[1] > 0 else (turn + 360) % 360 - 180
