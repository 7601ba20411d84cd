"""Electrostatic potential of a crystal as Fourier coefficients with exact phases.

Every atom enters as f(G) exp(-2 pi i G.r), so nothing depends on where it lies relative to a pixel. Slices for the
multislice and the projected potential of a slab of any depth and small tilt are both sums over the same atoms. The
phases of x and y separate: a sum over many atoms is one matrix product.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_file
from iphasenet.base.reading import read_arrays, whole_file
from iphasenet.crystal.scattering_factors import projected_scattering_factor
from iphasenet.crystal.slicing import Slicing, layer_slicing
from iphasenet.crystal.translations import lateral_translations

HEIGHT_TOLERANCE = 1e-3
"""An atom this close to the top of the cell counts as one at the bottom [Å]."""

ComplexArray = NDArray[np.complexfloating[Any, Any]]
FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.int64]


_OPTIONAL = ("displacements", "occupancies", "scattering")
"""Arrays that a crystal may lack."""

SCATTERING_STEP = 0.01
"""Step of the tables of scattering factors [1/Å]: linear interpolation between them is right to 1e-5 of f(0)."""

SCATTERING_REACH = 60.0
"""Spatial frequency up to which scattering factors are tabulated [1/Å]."""


@dataclass(frozen=True)
class CrystalPotential:
    """
    Potential of the atoms of an orthogonal cell.

    Attributes
    ----------
    lengths : (float, float, float)
        Cell lengths along x, y and the beam z [Å].
    positions : (atom, 3) array
        Positions [Å]; heights from 0 (minus `HEIGHT_TOLERANCE`) to below c.
    elements : (atom,) integer array
        Index of each atom's element in `form_factors`.
    form_factors : (element, 2 my + 1, 2 mx + 1) array
        Fourier coefficients of the projected potential of one atom at rest at the origin [V Å], orders -m..m, zero
        order central.
    translations : sequence of (int, int, int)
        Lateral translations (u, v, n), by u / n and v / n of the cell, that leave the crystal unchanged
        (`iphasenet.crystal.translations.lateral_translations`).
    displacements : (atom, 2, 2) array, optional
        Mean square thermal displacements across the beam [Å²]; None if all atoms are at rest.
    occupancies : (atom,) array, optional
        Share of the cells that hold the atom; None if all do.
    scattering : (element, sample) array, optional
        Projected scattering factors of the elements at the spatial frequencies n `SCATTERING_STEP` [V Å³]: sharper than
        any grid, for the cores of atoms that are displaced one by one.
    """

    lengths: tuple[float, float, float]
    positions: FloatArray
    elements: IntArray
    form_factors: FloatArray
    translations: Sequence[tuple[int, int, int]] = ()
    displacements: FloatArray | None = None
    occupancies: FloatArray | None = None
    scattering: FloatArray | None = None

    def __post_init__(self) -> None:
        _, ny, nx = self.form_factors.shape
        if self.positions.shape != (len(self.elements), 3) or ny % 2 == 0 or nx % 2 == 0:
            raise ValueError(f"atoms {self.positions.shape} do not fit form factors {self.form_factors.shape}")
        if not (np.isfinite(self.form_factors).all() and np.isfinite(self.positions).all()):
            raise InputError("potential: found NaN or infinity; allowed: finite numbers")
        if self.displacements is not None and self.displacements.shape != (len(self.elements), 2, 2):
            raise ValueError(f"displacements {self.displacements.shape} of {len(self.elements)} atoms")
        if self.occupancies is not None and self.occupancies.shape != self.elements.shape:
            raise ValueError(f"occupancies {self.occupancies.shape} of {len(self.elements)} atoms")

    @property
    def is_warm(self) -> bool:
        """Whether atoms move."""
        return self.displacements is not None and bool(self.displacements.any())

    def at_rest(self) -> "CrystalPotential":
        """Return the same crystal without thermal motion."""
        return replace(self, displacements=None)

    def displaced(self, factor: float) -> "CrystalPotential":
        """Return the same crystal with displacements larger by a factor, if its atoms move."""
        return self if self.displacements is None else replace(self, displacements=factor**2 * self.displacements)

    def averaged(self) -> "CrystalPotential":
        """
        Average the potential over thermal motion, which damps its Fourier coefficients.

        Returns
        -------
        CrystalPotential
            Atoms at rest with the mean potential of those that move: each f(G) times the Debye-Waller factor
            exp(-2 pi² G.U.G), one form factor for each element and each displacement U.
        """
        if self.displacements is None:
            return self
        keys = np.column_stack([self.elements, self.displacements.reshape(-1, 4)])
        _, first, kinds = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        gx, gy = self.frequencies
        damped = []
        for atom in first:
            (xx, xy), (_, yy) = self.displacements[atom]
            damping = np.exp(-2 * np.pi**2 * (xx * gx**2 + 2 * xy * gx * gy + yy * gy**2))
            damped.append(self.form_factors[self.elements[atom]] * damping)
        return replace(self, elements=kinds.ravel(), form_factors=np.array(damped), displacements=None, scattering=None)

    @property
    def frequencies(self) -> tuple[FloatArray, FloatArray]:
        """Spatial frequencies Gx (1, nx) and Gy (ny, 1) of the coefficients [1/Å]."""
        return series_frequencies(self.form_factors.shape[-2:], self.lengths[:2])

    @property
    def shares(self) -> FloatArray:
        """Occupancies of the atoms."""
        return np.ones(len(self.elements)) if self.occupancies is None else self.occupancies

    def slicing(self, slice_thickness: float, repeats: bool = True) -> Slicing:
        """Cut the cell between its atomic layers (`iphasenet.crystal.slicing.layer_slicing`)."""
        ny, nx = self.form_factors.shape[-2:]
        weights = self.form_factors[self.elements, ny // 2, nx // 2] * self.shares
        return layer_slicing(self.positions[:, 2], weights, self.lengths[2], slice_thickness, repeats)

    def slices(self, slicing: Slicing, gpts: tuple[int, int]) -> FloatArray:
        """
        Project the cell's potential slice by slice.

        Parameters
        ----------
        slicing : Slicing
            Slices of the cell.
        gpts : (int, int)
            Grid points along x and y.

        Returns
        -------
        (slice, y, x) array
            Projected potential of each slice on the grid [V Å], averaged over thermal motion.
        """
        if self.displacements is not None:
            return self.averaged().slices(slicing, gpts)
        return np.stack([series_on_grid(self._sum(slicing.owner == n), gpts) for n in range(slicing.count)])

    def projected(self, slicing: Slicing, total: int, lean: tuple[float, float] = (0.0, 0.0)) -> ComplexArray:
        """
        Fourier coefficients of a slab's projected potential.

        Parameters
        ----------
        slicing : Slicing
            Slices of the cell.
        total : int
            Number of slices of the slab, which holds the same atoms as in the multislice.
        lean : (float, float)
            Lateral shift of an atomic column per depth, (x, y) in the crystal's frame; column positions are
            those at the entrance surface.

        Returns
        -------
        (2 my + 1, 2 mx + 1) complex array
            Coefficients [V Å], averaged over thermal motion.
        """
        if self.displacements is not None:
            return self.averaged().projected(slicing, total, lean)
        gx, gy = self.frequencies
        shear = (gx * lean[0] + gy * lean[1]) * self.lengths[2]
        repeats = (total - slicing.owner + slicing.count - 1) // slicing.count
        coefficients = np.zeros(self.form_factors.shape[1:], complex)
        for count in np.unique(repeats):
            atoms = self._sum(repeats == count, lean, slicing.heights - slicing.origin)
            coefficients += atoms * _repeat(shear, int(count))
        return coefficients

    def _sum(
        self, chosen: NDArray[np.bool_], lean: tuple[float, float] = (0.0, 0.0), depths: FloatArray | None = None
    ) -> ComplexArray:
        """Coefficients of some atoms' projected potential, each shifted by the lean times its depth [V Å]."""
        gx, gy = self.frequencies
        total = np.zeros(self.form_factors.shape[1:], complex)
        for element in np.unique(self.elements[chosen]):
            atoms = chosen & (self.elements == element)
            x, y, _ = self.positions[atoms].T
            depth = np.zeros(len(x)) if depths is None else depths[atoms]
            along_x = np.exp(-2j * np.pi * (x + lean[0] * depth)[:, None] * gx)
            if self.occupancies is not None:
                along_x *= self.occupancies[atoms][:, None]
            along_y = np.exp(-2j * np.pi * gy * (y + lean[1] * depth))
            total += self.form_factors[element] * (along_y @ along_x)
        return total

    def save(self, path: str | Path) -> None:
        """Write the potential to an .npz file; the file appears whole or not at all."""
        with atomic_file(path) as temporary, temporary.open("wb") as stream:
            np.savez(
                stream,
                lengths=self.lengths,
                positions=self.positions,
                elements=self.elements,
                form_factors=self.form_factors,
                translations=np.array(self.translations, dtype=np.int64).reshape(-1, 3),
                **{name: value for name in _OPTIONAL if (value := getattr(self, name)) is not None},
            )

    @classmethod
    def load(cls, path: str | Path) -> "CrystalPotential":
        """Read what `save` wrote; InputError names a damaged file."""
        names = ("lengths", "positions", "elements", "form_factors", "translations")
        data = read_arrays(path, *names, optional=_OPTIONAL)
        with whole_file(Path(path), "a crystal's potential"):
            a, b, c = (float(length) for length in data["lengths"])
            translations = [(int(u), int(v), int(n)) for u, v, n in data["translations"]]
            more = {name: data[name] for name in _OPTIONAL if name in data}
            held = {name: data[name] for name in names[1:4]} | more
            return cls(lengths=(a, b, c), translations=translations, **held)


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


def crystal_potential(atoms: Any, cutoff: float, parametrization: str = "lobato") -> CrystalPotential:
    """
    Independent-atom potential of an orthogonal cell.

    Parameters
    ----------
    atoms : ase.Atoms
        Orthogonal cell, beam along z (`iphasenet.crystal.structure.orthogonal_cell`). Its arrays may hold
        `displacements` (atom, 3, 3), mean square thermal displacements [Å²], and `occupancies` (atom,).
    cutoff : float
        Orders are kept up to this spatial frequency along each axis [1/Å].
    parametrization : {'lobato', 'kirkland'}
        Electron scattering factors (`iphasenet.crystal.scattering_factors`).

    Returns
    -------
    CrystalPotential
        The cell's atoms and their form factors.
    """
    a, b, c = (float(length) for length in atoms.cell.lengths())
    gx, gy = series_frequencies((2 * math.ceil(cutoff * b) + 1, 2 * math.ceil(cutoff * a) + 1), (a, b))
    symbols = sorted(set(atoms.symbols))
    g2 = gx**2 + gy**2
    form_factors = [projected_scattering_factor(symbol, g2, parametrization) / (a * b) for symbol in symbols]
    positions = atoms.positions.copy()
    # An atom below the top of the cell by a rounding error belongs to the bottom.
    positions[:, 2] -= np.where(positions[:, 2] > c - HEIGHT_TOLERANCE, c, 0.0)
    elements = np.array([symbols.index(symbol) for symbol in atoms.symbols], dtype=np.int64)
    potential = CrystalPotential(
        (a, b, c),
        positions,
        elements,
        np.array(form_factors),
        lateral_translations(atoms),
        occupancies=atoms.arrays.get("occupancies"),
    )
    displacements = atoms.arrays.get("displacements")
    if displacements is None or not displacements.any():
        return potential
    table = np.arange(0.0, SCATTERING_REACH, SCATTERING_STEP) ** 2
    scattering = np.array([projected_scattering_factor(symbol, table, parametrization) for symbol in symbols])
    return replace(potential, displacements=displacements[:, :2, :2].copy(), scattering=scattering)
