"""Projected potential of a weak phase object from segments, on the scale that theory gives."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft2, ifft2, irfft2, next_fast_len, rfft2

from iphasenet.evaluation.mirror_boundary import with_mirror_images
from iphasenet.microscope.optics import Microscope

FloatArray = NDArray[np.floating[Any]]
ComplexArray = NDArray[np.complexfloating[Any, Any]]


def potential_transfer(microscope: Microscope, shape: tuple[int, int], sampling: float) -> ComplexArray:
    """
    Signal of each segment for a weak projected potential.

    A potential V(r) = sum V_G exp(2 pi i G.r) with sigma V << 1 gives the images I_j = I_j0 + sum H_j(G) V_G exp(2 pi i
    G.R) with H_j(G) = i sigma sum_k D_j(k) [A*(k) A(k - G) - A(k) A*(k + G)], where A is the probe's aperture with its
    aberrations, of unit norm, D_j the segment. Rose, Optik 39, 416 (1974); Hammel & Rose, Ultramicroscopy 58, 403
    (1995); Bosch & Lazić, Ultramicroscopy 156, 59 (2015).

    Parameters
    ----------
    microscope : Microscope
        Aperture, aberrations, focal spread, source size and segments.
    shape : (int, int)
        Pixels of a periodic image along y and x.
    sampling : float
        Pixel size [Å].

    Returns
    -------
    (segment, y, kx) complex array
        H on the frequencies of `scipy.fft.rfft2` [1 / (V Å)].
    """
    pixel = (1 / (shape[1] * sampling), 1 / (shape[0] * sampling))
    radius = microscope.frequency(microscope.semiangle_mrad)
    # H ends at twice the aperture: on this mesh of k, a shift by G never wraps around.
    counts = [next_fast_len(4 * (math.ceil(radius / step) + 2)) for step in pixel]
    kx, ky = np.meshgrid(*(np.fft.fftfreq(n, 1 / (n * step)) for n, step in zip(counts, pixel, strict=True)))
    aperture = microscope.aperture(kx, ky, pixel)
    aperture /= np.sqrt((aperture**2).sum())
    inside = aperture > 0
    segments = np.zeros((microscope.detectors[0].segments, *kx.shape))
    segments[:, inside] = microscope.detector_weights(kx[inside], ky[inside], pixel)[: len(segments)]
    transfer = np.zeros(segments.shape, complex)
    for focus, share in microscope.foci():
        wave = aperture * microscope.aberration_phase(kx, ky, focus=focus)
        # sum_k D(k) A*(k) A(k - G): a cross-correlation, and its second term the conjugate at -G.
        spectrum = fft2(segments * wave.conj()) * ifft2(wave) * wave.size
        first = ifft2(spectrum)
        transfer += share * (first - _negated(first).conj())
    source = np.exp(-2 * np.pi**2 * microscope.source_size_angstrom**2 * (kx**2 + ky**2))
    return _on_image(1j * microscope.interaction_constant * source * transfer, shape)


def _negated(spectrum: ComplexArray) -> ComplexArray:
    """Values at -G of an array over G, in the order of Fourier transforms."""
    return np.roll(spectrum[..., ::-1, ::-1], (1, 1), axis=(-2, -1))


def _on_image(transfer: ComplexArray, shape: tuple[int, int]) -> ComplexArray:
    """Values at the frequencies of a real image of the same period; 0 at frequencies without a value."""
    orders_y, orders_x = np.rint(np.fft.fftfreq(shape[0]) * shape[0]).astype(int), np.arange(shape[1] // 2 + 1)
    ny, nx = transfer.shape[-2:]
    known = np.outer(2 * np.abs(orders_y) < ny, 2 * orders_x < nx)
    return np.where(known, transfer[:, orders_y[:, None] % ny, orders_x % nx], 0)


def invert_phase(segments: FloatArray, transfer: ComplexArray, noise: FloatArray, prior: float) -> FloatArray:
    """
    Estimate the projected potential of a weak phase object: the mean of its posterior under Gaussian noise and prior.

    Parameters
    ----------
    segments : (segment, y, x) array
        Images of the four segments, fractions of the beam current.
    transfer : (segment, 2 y, kx) complex array
        `potential_transfer` for the mirrored images, 2 y by 2 x pixels.
    noise : (segment,) array
        Variance of each segment's white noise, above 0.
    prior : float
        Variance of the potential, taken to be white [V² Å²].

    Returns
    -------
    (y, x) array
        Deviation of the projected potential from its mean [V Å]; the images do not show the mean. Beyond the frame they
        are continued by mirror images.
    """
    ny, nx = segments.shape[1:]
    deviation = segments - segments.mean(axis=(1, 2), keepdims=True)
    # Computed in the images' precision, because noise is larger than rounding errors.
    image = rfft2(with_mirror_images(deviation))
    weights = (transfer.conj() / noise[:, None, None]).astype(image.dtype)
    power = (weights * transfer.astype(image.dtype)).sum(axis=0).real + 1 / float(prior)
    spectrum = (weights * image).sum(axis=0) / power
    return np.asarray(irfft2(spectrum, s=(2 * ny, 2 * nx)))[:ny, :nx]
