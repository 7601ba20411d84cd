"""Grid, cutoff and exit planes that a simulation of a given accuracy needs."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from iphasenet.base import quantities
from iphasenet.base.errors import InputError
from iphasenet.base.memory import check_memory
from iphasenet.crystal.potential import CrystalPotential, crystal_potential
from iphasenet.crystal.slicing import Slicing
from iphasenet.crystal.translations import lateral_translations
from iphasenet.microscope.optics import Microscope, sampling_limit
from iphasenet.microscope.probe import Translations
from iphasenet.multislice.propagation import CellGrid

# Scripts of the workflow find it here: one that changes makes finished simulations run again.
from iphasenet.multislice.settings import Numerics as Numerics

if TYPE_CHECKING:
    from ase import Atoms


def cell_grid(lengths: tuple[float, float], sampling: float, translations: Translations) -> CellGrid:
    """
    Multislice grid of a cell.

    Parameters
    ----------
    lengths : (float, float)
        Periods along x and y [Å].
    sampling : float
        Largest pixel [Å].
    translations : sequence of (u, v, n)
        Lateral translations of the crystal: each is a whole number of grid points, so that aliases obey it too.

    Returns
    -------
    CellGrid
        Grid with even numbers of points without prime factors above 7.
    """
    x = math.lcm(1, *(n // math.gcd(u, n) for u, _, n in translations))
    y = math.lcm(1, *(n // math.gcd(v, n) for _, v, n in translations))
    return CellGrid.from_sampling(lengths, sampling, (x, y))


def potential_cutoff(
    lengths: tuple[float, float], translations: Translations, sampling: float, image_sampling: float
) -> float:
    """
    Spatial frequency up to which a potential's coefficients are needed.

    Parameters
    ----------
    lengths : (float, float)
        Periods along x and y [Å].
    translations : sequence of (u, v, n)
        Lateral translations of the crystal.
    sampling : float
        Largest pixel of the multislice grid [Å].
    image_sampling : float
        Pixel of the rendered images [Å]; turned by 45°, the corner of their Nyquist square lies on an axis.

    Returns
    -------
    float
        Cutoff along each axis [1/Å].
    """
    grid = cell_grid(lengths, sampling, translations)
    nyquist = max(n / (2 * length) for n, length in zip(grid.gpts, lengths, strict=True))
    return max(nyquist, math.sqrt(0.5) / image_sampling)


def sampled_potential(
    cell: "Atoms",
    sampling: float,
    image_sampling: float,
    parametrization: str = "lobato",
) -> CrystalPotential:
    """
    Potential of a cell up to the frequencies that a simulation and its images need.

    Parameters
    ----------
    cell : ase.Atoms
        Orthogonal cell, beam along z.
    sampling, image_sampling : float
        Pixels of the multislice grid and of the images [Å] (`potential_cutoff`).
    parametrization
        As in `iphasenet.crystal.potential.crystal_potential`.

    Returns
    -------
    CrystalPotential
        The cell's potential.
    """
    a, b, _ = (float(length) for length in cell.cell.lengths())
    cutoff = potential_cutoff((a, b), lateral_translations(cell), sampling, image_sampling)
    orders = 4 * cutoff**2 * a * b
    # Form factors of each element, a sum over atoms, the phases in it and a copy.
    check_memory((8 * len(set(cell.numbers)) + 64) * orders,
                 f"a potential of {orders:.3g} coefficients (a cell of {a:g} x {b:g} Å, pixels of {sampling:g} and "
                 f"{image_sampling:g} Å)")  # fmt: skip
    return crystal_potential(cell, cutoff, parametrization)


def check_band(microscope: Microscope, grid: CellGrid) -> None:
    """Refuse a probe or detector that reaches beyond the grid's band limit."""
    if microscope.reach > grid.full_transmission:
        asked = 1e3 * microscope.reach * microscope.wavelength
        angle = 1e3 * grid.full_transmission * microscope.wavelength
        raise InputError(
            f"detector_outer_mrad and semiangle_mrad: found angles up to {asked:g} mrad and a band limit of "
            f"{angle:.1f} mrad; allowed: a multislice sampling_angstrom of at most "
            f"{sampling_limit(microscope.reach):.4f}"
        )


def check_thicknesses(thicknesses: Sequence[float]) -> None:
    """Refuse thicknesses [nm] that are out of range or not rising."""
    found = list(thicknesses)
    for thickness in found:
        quantities.THICKNESS.check(thickness, "thickness")
    if not found or found != sorted(set(found)):
        raise InputError(f"thickness: found {found} nm; allowed: rising thicknesses, each once")


def exit_planes(depths: Sequence[float], slicing: Slicing) -> list[int]:
    """Count the slices nearest to each depth [Å]; InputError for less than one slice, or the same number twice."""
    check_thicknesses([depth / 10 for depth in depths])
    return slicing.exits(depths)
