"""Electrostatic potential of a crystal as Fourier coefficients with exact phases.

Every atom enters as f(G) exp(-2 pi i G.r), so nothing depends on where it lies relative to a pixel. Atoms that
share a height along the beam form one layer; slices for the multislice and the projected potential of a slab of
any thickness and small tilt are both sums of layers.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.errors import InputError
from iphasenet.files import atomic_file

HEIGHT_TOLERANCE = 1e-3
"""Atoms closer than this along the beam share a layer [Å]."""

ComplexArray = NDArray[np.complexfloating[Any, Any]]
FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class LayerPotential:
    """
    Projected potential of each atomic layer of an orthogonal cell.

    Attributes
    ----------
    lengths : (float, float, float)
        Cell lengths along x, y and the beam z [Å].
    heights : (layer,) array
        Height of each layer above the entrance surface, from 0 (less `HEIGHT_TOLERANCE`) to below c [Å].
    coefficients : (layer, 2 my + 1, 2 mx + 1) complex array
        Fourier coefficients V_G of V(x, y) = sum_G V_G exp(2 pi i G.r) [V Å], orders -m..m, zero order central.
    """

    lengths: tuple[float, float, float]
    heights: FloatArray
    coefficients: ComplexArray

    def __post_init__(self) -> None:
        layers, ny, nx = self.coefficients.shape
        if len(self.heights) != layers or ny % 2 == 0 or nx % 2 == 0:
            raise ValueError(f"layers {len(self.heights)} do not fit coefficients {self.coefficients.shape}")
        if not np.isfinite(self.coefficients).all():
            raise InputError("the potential has non-finite Fourier coefficients; allowed: finite numbers only")

    @property
    def frequencies(self) -> tuple[FloatArray, FloatArray]:
        """Spatial frequencies Gx (1, nx) and Gy (ny, 1) of the coefficients [1/Å]."""
        return series_frequencies(self.coefficients.shape[-2:], self.lengths[:2])

    def slice_count(self, slice_thickness: float) -> int:
        """Count equal slices of one cell, each at most `slice_thickness` [Å]."""
        return max(1, math.ceil(self.lengths[2] / slice_thickness - 1e-9))

    def slab_slices(self, thickness: float, slices: int) -> int:
        """Slices nearest to a thickness [Å], where the cell is cut into `slices` equal ones."""
        return round(thickness * slices / self.lengths[2])

    def layer_slices(self, slices: int) -> NDArray[np.int64]:
        """Index of the slice that holds each layer when the cell is cut into `slices` equal ones."""
        thickness = self.lengths[2] / slices
        return np.floor((self.heights + HEIGHT_TOLERANCE) / thickness).astype(np.int64) % slices

    def slices(self, slices: int, gpts: tuple[int, int]) -> FloatArray:
        """
        Project the cell's potential slice by slice.

        Parameters
        ----------
        slices : int
            Number of equal slices of the cell.
        gpts : (int, int)
            Grid points along x and y.

        Returns
        -------
        (slices, y, x) array
            Projected potential of each slice on the grid [V Å].
        """
        coefficients = np.zeros((slices, *self.coefficients.shape[1:]), complex)
        np.add.at(coefficients, self.layer_slices(slices), self.coefficients)
        return series_on_grid(coefficients, gpts)

    def projected(self, slices: int, total_slices: int, tilt: tuple[float, float] = (0.0, 0.0)) -> ComplexArray:
        """
        Fourier coefficients of a slab's projected potential.

        Parameters
        ----------
        slices : int
            Number of equal slices of the cell.
        total_slices : int
            Number of slices of the slab: the atoms are those that the multislice passes.
        tilt : (float, float)
            Lateral shift of an atomic column per depth, (x, y) in the crystal's frame; column positions are
            those at the entrance surface.

        Returns
        -------
        (2 my + 1, 2 mx + 1) complex array
            Coefficients [V Å], in the order of `coefficients`.
        """
        gx, gy = self.frequencies
        shear = gx * tilt[0] + gy * tilt[1]
        repeats = (total_slices - self.layer_slices(slices) + slices - 1) // slices
        total = np.zeros(self.coefficients.shape[1:], complex)
        for height, count, layer in zip(self.heights, repeats, self.coefficients, strict=True):
            total += layer * np.exp(-2j * np.pi * shear * height) * _repeat(shear * self.lengths[2], int(count))
        return total

    def save(self, path: str | Path) -> None:
        """Write the layers to an .npz file; the file appears whole or not at all."""
        with atomic_file(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, lengths=self.lengths, heights=self.heights, coefficients=self.coefficients)

    @classmethod
    def load(cls, path: str | Path) -> "LayerPotential":
        """Read what `save` wrote."""
        with np.load(path) as data:
            a, b, c = (float(length) for length in data["lengths"])
            return cls((a, b, c), data["heights"], data["coefficients"])


def _repeat(shift: FloatArray, count: int) -> ComplexArray:
    """Sum of exp(-2 pi i shift n) over n = 0 .. count - 1."""
    shift = shift - np.round(shift)
    phases = np.exp(-2j * np.pi * shift)
    step = 1 - phases
    # Below 1e-6 the quotient loses digits, and the terms are equal to count * 1e-6 or better.
    small = np.abs(step) < 1e-6
    series = (1 - phases**count) / np.where(small, 1, step)
    return np.where(small, count * np.exp(-1j * np.pi * shift * (count - 1)), series)


def series_frequencies(shape: tuple[int, ...], lengths: tuple[float, ...]) -> tuple[FloatArray, FloatArray]:
    """
    Spatial frequencies of a centred Fourier series.

    Parameters
    ----------
    shape : (int, int)
        Odd shape (2 my + 1, 2 mx + 1) of the coefficients.
    lengths : (float, float)
        Periods along x and y [Å].

    Returns
    -------
    (1, 2 mx + 1) array, (2 my + 1, 1) array
        Gx and Gy [1/Å].
    """
    my, mx = shape[0] // 2, shape[1] // 2
    return np.arange(-mx, mx + 1)[None] / lengths[0], np.arange(-my, my + 1)[:, None] / lengths[1]


def series_on_grid(coefficients: ComplexArray, gpts: tuple[int, int]) -> FloatArray:
    """
    Values of a real Fourier series on a cell's own grid, limited to the grid's band.

    Parameters
    ----------
    coefficients : (..., 2 my + 1, 2 mx + 1) complex array
        Centred coefficients; orders that are not there count as zero.
    gpts : (int, int)
        Grid points along x and y.

    Returns
    -------
    (..., y, x) array
        Values at the grid points.
    """
    nx, ny = gpts
    my, mx = coefficients.shape[-2] // 2, coefficients.shape[-1] // 2
    hx, hy = np.arange(-mx, mx + 1), np.arange(-my, my + 1)
    # Orders +n/2 and -n/2 share a grid frequency: each gives half, so that the values stay real.
    weight_x = np.where(np.abs(hx) * 2 < nx, 1.0, np.where(np.abs(hx) * 2 == nx, 0.5, 0.0))
    weight_y = np.where(np.abs(hy) * 2 < ny, 1.0, np.where(np.abs(hy) * 2 == ny, 0.5, 0.0))
    keep_x, keep_y = np.flatnonzero(weight_x), np.flatnonzero(weight_y)
    weighted = (coefficients * weight_y[:, None] * weight_x)[..., keep_y[:, None], keep_x]
    spectrum = np.zeros((*coefficients.shape[:-2], ny, nx), complex)
    place: Any = (..., hy[keep_y][:, None] % ny, hx[keep_x] % nx)
    np.add.at(spectrum, place, weighted)
    return np.fft.ifft2(spectrum, norm="forward").real


def layer_potential(
    atoms: Any,
    cutoff: float,
    parametrization: str = "lobato",
    rms_displacements: Mapping[str, float] | None = None,
) -> LayerPotential:
    """
    Layers of the independent-atom potential of an orthogonal cell.

    Parameters
    ----------
    atoms : ase.Atoms
        Orthogonal cell, beam along z (`iphasenet.structure.orthogonal_cell`).
    cutoff : float
        Orders are kept up to this spatial frequency along each axis [1/Å].
    parametrization : {'lobato', 'kirkland'}
        Electron scattering factors, taken from abTEM. Lobato & Van Dyck, Acta Cryst. A70, 636 (2014); Kirkland,
        Advanced Computing in Electron Microscopy, appendix C.
    rms_displacements : mapping, optional
        Thermal displacement u along one axis for elements [Å]: damps f(G) by the Debye-Waller factor
        exp(-2 pi² u² G²) = exp(-B s²), B = 8 pi² u², s = G / 2. An element that is not named stays at rest.

    Returns
    -------
    LayerPotential
        One layer for each height along the beam.
    """
    from abtem.parametrizations import validate_parametrization

    a, b, c = (float(length) for length in atoms.cell.lengths())
    mx, my = math.ceil(cutoff * a), math.ceil(cutoff * b)
    gx, gy = series_frequencies((2 * my + 1, 2 * mx + 1), (a, b))
    factors = validate_parametrization(parametrization)
    displacements = rms_displacements or {}
    unknown = sorted(set(displacements) - set(atoms.symbols))
    if unknown:
        present = ", ".join(sorted(set(atoms.symbols)))
        raise InputError(f"rms_displacement: found {unknown[0]!r}; allowed: elements of the structure, {present}")
    g2 = gx**2 + gy**2
    form = {}
    for symbol in set(atoms.symbols):
        damping = np.exp(-2 * (np.pi * displacements.get(symbol, 0.0)) ** 2 * g2)
        form[symbol] = factors.projected_scattering_factor(symbol)(g2) * damping / (a * b)

    heights: list[float] = []
    layers: list[ComplexArray] = []
    positions = atoms.positions.copy()
    # An atom a rounding error below the top of the cell is one at its bottom: slices begin just below layers.
    positions[:, 2] -= np.where(positions[:, 2] > c - HEIGHT_TOLERANCE, c, 0.0)
    for symbol, (x, y, z) in sorted(zip(atoms.symbols, positions, strict=True), key=lambda atom: atom[1][2]):
        if not heights or z - heights[-1] > HEIGHT_TOLERANCE:
            heights.append(float(z))
            layers.append(np.zeros((2 * my + 1, 2 * mx + 1), complex))
        layers[-1] += form[symbol] * np.exp(-2j * np.pi * gx * x) * np.exp(-2j * np.pi * gy * y)
    return LayerPotential((a, b, c), np.array(heights), np.array(layers))
