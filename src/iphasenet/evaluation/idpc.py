"""Integrated differential phase contrast: the classical baseline."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

FloatArray = NDArray[np.floating[Any]]


def centre_of_mass(segments: FloatArray) -> tuple[FloatArray, FloatArray]:
    """
    Difference signals along x and y.

    Parameters
    ----------
    segments : (..., 4, y, x) array
        Images of the segments, fractions of the beam current.

    Returns
    -------
    (..., y, x) array, (..., y, x) array
        Right minus left and bottom minus top.
    """
    top_left, top_right, bottom_left, bottom_right = (segments[..., i, :, :] for i in range(4))
    return (
        top_right + bottom_right - top_left - bottom_left,
        bottom_left + bottom_right - top_left - top_right,
    )


def integrate(gradient_x: FloatArray, gradient_y: FloatArray, sampling: float) -> FloatArray:
    """
    Least-squares integral of a gradient field over a field of view that is not periodic.

    Parameters
    ----------
    gradient_x, gradient_y : (..., y, x) array
        Gradient along x and y [1/Å times the unit of the result].
    sampling : float
        Pixel size [Å].

    Returns
    -------
    (..., y, x) array
        The function of zero mean whose forward differences fit the gradient best. A Poisson equation with Neumann
        boundaries, solved by cosine transforms: Frankot & Chellappa, IEEE Trans. PAMI 10, 439 (1988), with the
        boundary of Simchony et al., IEEE Trans. PAMI 12, 435 (1990).
    """
    # The gradient half-way between pixels; it is 0 across the border.
    step_x = (gradient_x[..., :, 1:] + gradient_x[..., :, :-1]) / 2
    step_y = (gradient_y[..., 1:, :] + gradient_y[..., :-1, :]) / 2
    edge = [(0, 0)] * (step_x.ndim - 2)
    divergence = np.diff(np.pad(step_x, [*edge, (0, 0), (1, 1)]), axis=-1)
    divergence = divergence + np.diff(np.pad(step_y, [*edge, (1, 1), (0, 0)]), axis=-2)
    ny, nx = divergence.shape[-2:]
    eigen_y = 2 * np.cos(np.pi * np.arange(ny) / ny) - 2
    eigen_x = 2 * np.cos(np.pi * np.arange(nx) / nx) - 2
    eigen = eigen_y[:, None] + eigen_x
    eigen[0, 0] = 1
    spectrum = dctn(divergence * sampling, axes=(-2, -1)) / eigen.astype(divergence.dtype)
    spectrum[..., 0, 0] = 0
    return np.asarray(idctn(spectrum, axes=(-2, -1)))


def idpc(segments: FloatArray, sampling: float) -> FloatArray:
    """
    Integrate the segments' difference signals.

    Parameters
    ----------
    segments : (..., 4, y, x) array
        Images of the segments, fractions of the beam current.
    sampling : float
        Pixel size [Å].

    Returns
    -------
    (..., y, x) array
        iDPC image of zero mean and without a ramp, positive on atoms; for thin samples proportional to the
        projected potential.
        Lazić, Bosch & Lazar, Ultramicroscopy 160, 265 (2016).
    """
    gradient_x, gradient_y = centre_of_mass(segments)
    # A tilted crystal or a shifted diffraction pattern deflects the whole field: this ramp is no potential.
    gradient_x = gradient_x - gradient_x.mean(axis=(-2, -1), keepdims=True)
    gradient_y = gradient_y - gradient_y.mean(axis=(-2, -1), keepdims=True)
    return integrate(gradient_x, gradient_y, sampling)


class ScaleFit:
    """Least-squares fit of potential = scale x image + mean x thickness, one training image after the other."""

    def __init__(self) -> None:
        self._matrix = np.zeros((2, 2))
        self._vector = np.zeros(2)

    def add(self, image: FloatArray, depth: float, potential: FloatArray) -> None:
        """
        Add an image to the fit.

        Parameters
        ----------
        image : (y, x) array
            iDPC image.
        depth : float
            Thickness [Å].
        potential : (y, x) array
            Projected potential [V Å].
        """
        columns = np.stack([image.ravel(), np.full(image.size, depth)]).astype(np.float64)
        self._matrix += columns @ columns.T
        self._vector += columns @ potential.ravel()

    def solve(self) -> tuple[float, float]:
        """Return the projected potential for a unit of iDPC [V Å], and the mean potential [V]."""
        # lstsq, not solve: images without contrast leave the scale undetermined; it is then 0.
        scale, mean = np.linalg.lstsq(self._matrix, self._vector, rcond=None)[0]
        return float(scale), float(mean)
