"""What the comparisons with abTEM share: the same slices, aperture and detector on abTEM's own supercell."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from iphasenet.crystal.potential import CrystalPotential
from iphasenet.crystal.structure import orthogonal_cell, read_structure
from iphasenet.microscope.optics import Microscope
from iphasenet.microscope.probe import window_cells
from iphasenet.multislice.numerics import cell_grid, sampled_potential
from iphasenet.multislice.settings import Numerics

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import abtem

STRUCTURES = Path(__file__).parents[2] / "resources" / "structures"

MICROSCOPE = Microscope(energy_kev=200, semiangle_mrad=20, detector_inner_mrad=10, detector_outer_mrad=50)


@pytest.fixture(autouse=True)
def abtem_without_progress_bar():
    """Silence abTEM, and compute with it in double precision."""
    with abtem.config.set({"diagnostics.progress_bar": False, "precision": "float64"}):
        yield


def cell_of(material: str, zone_axis: tuple[int, int, int] = (0, 0, 1)) -> Atoms:
    """Orthogonal cell of a shipped material."""
    return orthogonal_cell(read_structure(STRUCTURES / f"{material}.cif"), zone_axis)


def potential_of(atoms: Atoms, sampling: float) -> CrystalPotential:
    """Potential that reaches the Nyquist frequency of the grid."""
    # Images coarser than the grid ask for nothing more.
    return sampled_potential(atoms, sampling, 2 * sampling)


def abtem_segments(
    slices: np.ndarray,
    slice_thickness: float | Sequence[float],
    extent: tuple[float, float],
    positions: np.ndarray,
    gamma: float = 0.0,
    microscope: Microscope = MICROSCOPE,
    **aberrations: float,
) -> np.ndarray:
    """Signals (position, channel) from abTEM's `Probe.scan` of slices given as (slice, y, x).

    Aberrations are abTEM's own, with angles in radians in the crystal's frame.
    """
    array = np.ascontiguousarray(slices.transpose(0, 2, 1))
    potential = abtem.PotentialArray(array, slice_thickness=slice_thickness, extent=extent)
    probe = abtem.Probe(
        energy=microscope.energy_kev * 1e3, semiangle_cutoff=microscope.semiangle_mrad, soft=True, **aberrations
    )
    probe.grid.match(potential)
    patterns = probe.scan(
        potential,
        scan=abtem.CustomScan(positions),
        detectors=abtem.PixelatedDetector(max_angle=None, resample=False),
    ).compute()
    nx, ny = array.shape[1:]
    pixel = (1 / extent[0], 1 / extent[1])
    kx = np.fft.fftshift(np.fft.fftfreq(nx, extent[0] / nx))
    ky = np.fft.fftshift(np.fft.fftfreq(ny, extent[1] / ny))
    mesh_x, mesh_y = (m.ravel() for m in np.meshgrid(kx, ky, indexing="ij"))
    weights = microscope.detector_weights(mesh_x, mesh_y, pixel, gamma)
    intensity = patterns.array.reshape(len(positions), -1)
    return intensity @ weights.T


def supercell_slices(
    potential: CrystalPotential, numerics: Numerics, total_slices: int
) -> tuple[np.ndarray, list[float], tuple[float, float]]:
    """Slices (slice, y, x) of the window's supercell, their thicknesses and its extent [Å]."""
    lengths = potential.lengths[:2]
    grid = cell_grid(lengths, numerics.sampling_angstrom, potential.translations)
    slicing = potential.slicing(numerics.slice_thickness_angstrom)
    cells = window_cells(lengths, numerics.window_angstrom)
    cell = potential.slices(slicing, grid.gpts)
    order = np.arange(total_slices) % slicing.count
    return (
        np.tile(cell[order], (1, cells[1], cells[0])),
        slicing.distances[order].tolist(),
        (cells[0] * lengths[0], cells[1] * lengths[1]),
    )
