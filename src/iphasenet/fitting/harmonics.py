"""Fourier coefficients of images at the points of a lattice, and their noise."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
ComplexArray = NDArray[np.complexfloating[Any, Any]]


_UNDER_WINDOW = 1.87
"""Standard error of a frequency under a Hann window, over that in the whole field."""


@dataclass(frozen=True)
class Harmonics:
    """
    Fourier coefficients of images.

    Attributes
    ----------
    frequencies : (n, 2) array
        Spatial frequencies (x, y) in the image, in one half-plane, zero first [1/Å].
    coefficients : (segment, n) complex array
        Least-squares amplitudes c of c exp(2 pi i g.r), r from the image's centre; fractions of the beam current.
    errors : (segment, n) array
        Standard errors of real and imaginary part.
    explained : float
        Share of the images' variance, without shot noise, that these coefficients hold.
    noise : (segment,) array
        Standard deviation of a pixel's noise.
    """

    frequencies: NDArray[np.float64]
    coefficients: ComplexArray
    errors: NDArray[np.float64]
    explained: float
    noise: NDArray[np.float64]

    @property
    def power(self) -> float:
        """Sum of the squared coefficients without the means, and without what noise adds on average."""
        return max(1e-300, float((np.abs(self.coefficients[:, 1:]) ** 2).sum()) - self.noise_power)

    @property
    def noise_power(self) -> float:
        """Sum of squares that noise adds to the coefficients on average."""
        return max(1e-300, float(2 * (self.errors[:, 1:] ** 2).sum()))

    def turn_error(self, field: float) -> float:
        """Calculate the standard error of the lattice's rotation in a field [Å] from noise alone [rad]."""
        frequency = np.linalg.norm(self.frequencies[1:], axis=1)
        signal = (np.abs(self.coefficients[:, 1:]) / self.errors[:, 1:]) ** 2
        information = float((signal * (2 * math.pi * frequency * field) ** 2 / 12).sum())
        return _UNDER_WINDOW / math.sqrt(max(information, 1e-300))


@dataclass(frozen=True)
class Pixels:
    """
    Images and what a search of frequencies in them needs.

    Attributes
    ----------
    recorded : (segment, y, x) array
        Fractions of the beam current.
    sampling : float
        Pixel size [Å].
    band : float
        Spatial frequency above which an image holds nothing but noise [1/Å].
    """

    recorded: FloatArray
    sampling: float
    band: float

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """Mean (segment,) of each image."""
        return np.asarray(self.recorded.mean(axis=(1, 2), dtype=np.float64))

    @cached_property
    def images(self) -> NDArray[np.float64]:
        """Images (segment, y, x) without their means."""
        return np.asarray(self.recorded - self.means[:, None, None], np.float64)

    def middle(self, side: float) -> "Pixels":
        """Cut a square field of at most `side` [Å] out of the middle."""
        most = max(2, math.floor(side / self.sampling))
        starts = [max(0, size - most) // 2 for size in self.recorded.shape[1:]]
        top, left = starts
        return Pixels(self.recorded[:, top : top + most, left : left + most], self.sampling, self.band)

    @property
    def count(self) -> int:
        """Pixels of an image."""
        return int(np.prod(self.images.shape[1:]))

    def axes(self) -> tuple[FloatArray, FloatArray]:
        """Coordinates x and y of the pixels from the image's centre [Å]."""
        rows, columns = self.images.shape[1:]
        x, y = ((np.arange(size) - (size - 1) / 2) * self.sampling for size in (columns, rows))
        return x, y

    def sums(self, frequencies: FloatArray) -> ComplexArray:
        """Mean over the pixels of the images times exp(-2 pi i g.r): (segment, n)."""
        x, y = self.axes()
        along_x = np.exp(-2j * np.pi * x[:, None] * frequencies[:, 0])
        along_y = np.exp(-2j * np.pi * y[:, None] * frequencies[:, 1])
        return np.asarray(np.einsum("syn,yn->sn", self.images @ along_x, along_y) / self.count)

    def overlaps(self, frequencies: FloatArray) -> FloatArray:
        """Mean over the pixels of exp(2 pi i g.r), the sums of an image of ones: (n,)."""
        rows, columns = self.images.shape[1:]
        along = (_mean_phase(frequencies[..., axis] * self.sampling, size) for axis, size in enumerate((columns, rows)))
        first, second = along
        return np.asarray(first * second)

    def shot_noise(self) -> NDArray[np.float64]:
        """Measure the standard deviation of the pixels' noise (segment,) beyond the band; 0 if pixels are too large."""
        rows, columns = self.images.shape[1:]
        kx, ky = np.fft.fftfreq(columns, self.sampling), np.fft.fftfreq(rows, self.sampling)[:, None]
        # The edges of the field leak along the axes of the transform.
        window = np.hanning(rows + 2)[1:-1, None] * np.hanning(columns + 2)[1:-1]
        power = np.abs(np.fft.fft2(self.images * window)) ** 2 / (window**2).sum()
        beyond = np.hypot(kx, ky) > 1.1 * self.band
        if beyond.sum() < 50:
            return np.zeros(len(self.images))
        return np.asarray(np.sqrt(power[:, beyond].mean(axis=1)))


def _mean_phase(cycles: FloatArray, size: int) -> FloatArray:
    """Mean of exp(2 pi i n c) over `size` pixels about their centre."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.sin(np.pi * cycles * size) / (size * np.sin(np.pi * cycles))
    return np.where(np.abs(np.sin(np.pi * cycles)) < 1e-12, 1.0, found)


def measure_harmonics(pixels: Pixels, frequencies: FloatArray) -> Harmonics:
    """
    Fit periodic images to images.

    Parameters
    ----------
    pixels : Pixels
        Images.
    frequencies : (n, 2) array
        Spatial frequencies in one half-plane, zero first [1/Å].

    Returns
    -------
    Harmonics
        Least-squares coefficients. Their errors come from what the fit leaves inside the images' band: shot noise,
        and scan noise, contamination or defects where there are some.
    """
    everything = np.concatenate([frequencies, -frequencies[1:]])
    count = len(frequencies)
    gram = pixels.overlaps(everything[None] - everything[:, None])
    sums = pixels.sums(frequencies)
    right = np.concatenate([sums, sums[:, 1:].conj()], axis=1)
    # A hair on the diagonal: a field of few cells holds neighbouring frequencies hardly apart.
    inverse = np.linalg.inv(gram + 1e-6 * np.eye(len(gram)))
    found = right @ inverse.T
    power = (pixels.images**2).mean(axis=(1, 2))
    held = np.clip((right.conj() * found).real.sum(axis=1), 0, power)
    shot = pixels.shot_noise()
    left = np.maximum(power - held, 0.0)
    signal = float((power - shot**2).sum())
    explained = 1 - max(0.0, float((left - shot**2).sum())) / max(signal, 1e-300)
    # What is left of the signal lies within the band, noise everywhere.
    share = min(1.0, np.pi * pixels.band**2 * pixels.sampling**2)
    density = shot**2 + np.maximum(left - shot**2, 0) / share
    spread = np.sqrt(np.abs(np.diag(inverse).real)[:count] / pixels.count / 2)
    coefficients = found[:, :count].copy()
    coefficients[:, 0] += pixels.means
    return Harmonics(
        np.asarray(frequencies, float),
        coefficients,
        np.sqrt(density)[:, None] * spread,
        explained,
        np.sqrt(density),
    )


def coarsened(pixels: Pixels) -> Pixels:
    """Add up pixels as far as the band allows, under a window that keeps strong frequencies from leaking to others."""
    side = max(1, int(0.4 / pixels.band / pixels.sampling))
    rows, columns = (size // side for size in pixels.images.shape[1:])
    parts = pixels.images[:, : rows * side, : columns * side].reshape(-1, rows, side, columns, side)
    window = np.hanning(rows + 2)[1:-1, None] * np.hanning(columns + 2)[1:-1]
    return Pixels(parts.mean(axis=(2, 4)) * window, side * pixels.sampling, pixels.band)


def held_power(pixels: Pixels, frequencies: FloatArray) -> float:
    """Mean squared amplitude of images at some frequencies over their variance."""
    variance = float(pixels.images.var(axis=(1, 2)).sum())
    return float((np.abs(pixels.sums(frequencies)) ** 2).sum()) / variance
