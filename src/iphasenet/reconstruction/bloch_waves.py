"""Segment images of a crystal of straight columns by Bloch waves: any lattice, orientation and thickness.

This is the forward model for the assumption of the network's projection: the potential does not change along the
columns. In the frame of the inclined columns a wave obeys d psi / dz = i M psi, with

    M_GG' = sigma V_(G-G') + delta_GG' (2 pi k.t - pi lambda k²),    k = kappa + G,

which is the multislice of `iphasenet.multislice.propagation` in the limit of thin slices. Layers along the beam are
averaged, which leaves out the higher-order Laue zones.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.microscope.optics import Microscope

LARGEST_CELL = 100.0
"""Largest lattice cell that is computed [Å²]; the time grows with its third power."""

CARRIED = 1.03
"""Largest angle of the beams, over the detector's outer angle: small, for the computation of many images."""

ACCURATE = 1.4
"""The same for images within 2 % of the contrast of a converged multislice up to 30 nm."""

FloatArray = NDArray[np.floating[Any]]
ComplexArray = NDArray[np.complexfloating[Any, Any]]


@dataclass(frozen=True)
class Lattice:
    """
    Lattice of an image.

    Attributes
    ----------
    vectors : (2, 2) array
        Two translations (x, y), one per row [Å].
    """

    vectors: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Area of a cell [Å²]."""
        return abs(float(np.linalg.det(self.vectors)))

    @property
    def reciprocal(self) -> NDArray[np.float64]:
        """Reciprocal vectors (x, y), one per row [1/Å]."""
        return np.asarray(np.linalg.inv(self.vectors).T)

    def orders(self, reach: float) -> NDArray[np.int64]:
        """Orders (n, 2) of all reciprocal points in a square mesh that holds the disc of a radius [1/Å]."""
        limits = [math.floor(reach * float(np.linalg.norm(vector))) + 1 for vector in self.vectors]
        mesh = np.meshgrid(*(np.arange(-limit, limit + 1) for limit in limits), indexing="ij")
        return np.stack(mesh, axis=-1).reshape(-1, 2)


def fourier_sums(images: FloatArray, sampling: float, frequencies: FloatArray) -> ComplexArray:
    """
    Fourier coefficients of images at frequencies of their lattice: the mean over their cells.

    Parameters
    ----------
    images : (n, y, x) array
        Images.
    sampling : float
        Pixel size [Å].
    frequencies : (m, 2) array
        Spatial frequencies (x, y) [1/Å], further apart than twice the inverse of the field.

    Returns
    -------
    (n, m) complex array
        Coefficients c of c exp(2 pi i G.r), r from the image's centre, under a Hann window.
    """
    height, width = images.shape[-2:]
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1]
    mean = images.mean(axis=(-2, -1), keepdims=True, dtype=np.float64)
    weighted = (images - mean) * (window / window.sum())
    x, y = ((np.arange(size) - (size - 1) / 2) * sampling for size in (width, height))
    along_x = np.exp(-2j * np.pi * x[:, None] * frequencies[:, 0])
    along_y = np.exp(-2j * np.pi * frequencies[:, 1, None] * y)
    sums = np.einsum("nym,my->nm", weighted @ along_x, along_y)
    return np.asarray(sums + mean[:, :, 0] * (np.abs(frequencies).sum(axis=1) < 1e-9))


@dataclass(frozen=True)
class ColumnCrystal:
    """
    A crystal of straight columns.

    Attributes
    ----------
    lattice : Lattice
        Lattice across the columns.
    columns : (y, x) array
        Mean potential of the untilted columns, at their places at the entrance surface [V].
    sampling : float
        Pixel size [Å].
    depth : float
        Thickness along the beam [Å].
    lean : (float, float)
        Lateral shift of a column per depth (x, y).
    """

    lattice: Lattice
    columns: NDArray[np.float32]
    sampling: float
    depth: float
    lean: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if not 0 < self.lattice.area <= LARGEST_CELL:
            raise InputError(f"lattice: found a cell of {self.lattice.area:.0f} Å²; allowed: up to {LARGEST_CELL:g} Å²")

    def coefficients(self, orders: NDArray[np.int64]) -> ComplexArray:
        """Fourier coefficients of the mean potential at lattice points (..., 2) [V]; 0 above the Nyquist frequency."""
        frequencies = (orders @ self.lattice.reciprocal).reshape(-1, 2)
        inside = np.abs(frequencies).max(axis=1) < 0.5 / self.sampling
        result = np.zeros(len(frequencies), np.complex128)
        result[inside] = fourier_sums(self.columns[None], self.sampling, frequencies[inside])[0]
        return result.reshape(orders.shape[:-1])


def segment_signals(
    crystal: ColumnCrystal,
    microscope: Microscope,
    positions: FloatArray,
    window: float = 15.0,
    phase_object: bool = False,
    carried: float = CARRIED,
) -> NDArray[np.float64]:
    """
    Signals of the segments with the probe at some positions.

    Parameters
    ----------
    crystal : ColumnCrystal
        Crystal that the probe passes.
    microscope : Microscope
        Probe and detector.
    positions : (n, 2) array
        Positions (x, y) of the probe from the centre of the crystal's image [Å].
    window : float
        Smallest side of the window in which the probe is periodic [Å].
    phase_object : bool
        Leave out the propagation inside the crystal: only exp(i sigma V depth), independent of the lean.
    carried : float
        Largest angle of the beams, over the detector's outer angle.

    Returns
    -------
    (segment, n) array
        Fractions of the beam current.
    """
    lattice = crystal.lattice
    cells = [max(1, math.ceil(window * float(np.linalg.norm(vector)))) for vector in lattice.reciprocal]
    side = 1 / math.sqrt(lattice.area * cells[0] * cells[1])
    reach = carried * microscope.reach
    orders = lattice.orders(reach + float(np.linalg.norm(lattice.reciprocal, axis=1).max()))
    scattering = _scattering(crystal, microscope, phase_object, orders)
    total, norm = np.zeros((len(microscope.channels), len(positions))), 0.0
    for index in np.ndindex(*cells):
        kappa = ((np.array(index) - np.array(cells) // 2) / cells) @ lattice.reciprocal
        k = kappa + orders @ lattice.reciprocal
        kept = np.hypot(*k.T) < reach
        k, beams = k[kept], orders[kept]
        amplitude = microscope.aperture(k[:, 0], k[:, 1], (side, side))
        lit = amplitude > 0
        if lit.any():
            energies = np.zeros(len(k)) if phase_object else _energies(k, microscope.wavelength, crystal.lean)
            incident = amplitude[lit, None] * np.exp(-2j * np.pi * (k[lit] @ positions.T))
            waves = scattering.pass_through(beams, energies, lit, incident)
            weights = microscope.detector_weights(k[:, 0], k[:, 1], (side, side))
            total += weights @ np.abs(waves) ** 2
            norm += float((amplitude**2).sum())
    return total / norm


def _energies(k: FloatArray, wavelength: float, lean: tuple[float, float]) -> FloatArray:
    """Phase per depth of a beam in the frame of the columns [1/Å]."""
    return np.asarray(2 * np.pi * (k @ np.array(lean)) - np.pi * wavelength * (k**2).sum(axis=1))


@dataclass(frozen=True)
class _Scattering:
    """Coupling of beams by the potential, per depth or for the whole thickness, by the difference of their orders."""

    table: ComplexArray
    depth: float | None

    def pass_through(
        self, beams: NDArray[np.int64], energies: FloatArray, lit: NDArray[np.bool_], incident: ComplexArray
    ) -> ComplexArray:
        """Amplitudes (beam, n) of all beams after the crystal, from those of the incident ones."""
        half = np.array(self.table.shape) // 2
        first, second = beams.T
        h, k = (order[:, None] - order + middle for order, middle in zip((first, second), half, strict=True))
        matrix = self.table[h, k]
        if self.depth is None:
            return np.asarray(matrix[:, lit] @ incident)
        matrix = (matrix + matrix.conj().T) / 2 + np.diag(energies)
        values, vectors = torch.linalg.eigh(torch.from_numpy(matrix.astype(np.complex64)))
        started = vectors[lit].conj().T @ torch.from_numpy(incident.astype(np.complex64))
        return (vectors @ (torch.exp(1j * self.depth * values)[:, None] * started)).numpy()


def _scattering(
    crystal: ColumnCrystal, microscope: Microscope, phase_object: bool, orders: NDArray[np.int64]
) -> _Scattering:
    limits = 2 * np.abs(orders).max(axis=0)
    mesh = np.stack(np.meshgrid(*(np.arange(-limit, limit + 1) for limit in limits), indexing="ij"), axis=-1)
    table = microscope.interaction_constant * crystal.coefficients(mesh)
    if not phase_object:
        return _Scattering(table, crystal.depth)
    # On a grid over the cell, with as many points along each axis as there are orders.
    phase = table.size * np.fft.ifft2(np.fft.ifftshift(table))
    return _Scattering(np.fft.fftshift(np.fft.fft2(np.exp(1j * crystal.depth * phase.real))) / table.size, None)
