"""What the comparisons with abTEM share: the same slices, aperture and detector on abTEM's own supercell."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from iphasenet.images import Numerics
from iphasenet.multislice import CellGrid
from iphasenet.optics import Microscope
from iphasenet.potential import LayerPotential, layer_potential
from iphasenet.probe import window_cells
from iphasenet.structure import orthogonal_cell, read_structure

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


def potential_of(atoms: Atoms, sampling: float) -> LayerPotential:
    """Layers that reach the Nyquist frequency of the grid."""
    grid = CellGrid.from_sampling(tuple(atoms.cell.lengths()[:2]), sampling)
    cutoff = max(n / 2 / length for n, length in zip(grid.gpts, grid.lengths, strict=True))
    return layer_potential(atoms, cutoff)


def abtem_segments(
    slices: np.ndarray,
    slice_thickness: float,
    extent: tuple[float, float],
    positions: np.ndarray,
    gamma: float = 0.0,
) -> np.ndarray:
    """Segment signals (position, segment) from abTEM's `Probe.scan` of slices given as (slice, y, x)."""
    array = np.ascontiguousarray(slices.transpose(0, 2, 1))
    potential = abtem.PotentialArray(array, slice_thickness=slice_thickness, extent=extent)
    probe = abtem.Probe(energy=MICROSCOPE.energy_kev * 1e3, semiangle_cutoff=MICROSCOPE.semiangle_mrad, soft=True)
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
    weights = MICROSCOPE.segments(mesh_x, mesh_y, pixel, gamma)
    intensity = patterns.array.reshape(len(positions), -1)
    return intensity @ weights.T


def supercell_slices(
    potential: LayerPotential, numerics: Numerics, total_slices: int
) -> tuple[np.ndarray, tuple[float, float]]:
    """Slices (slice, y, x) of the window's supercell, and its extent [Å]."""
    lengths = potential.lengths[:2]
    grid = CellGrid.from_sampling(lengths, numerics.sampling_angstrom)
    count = potential.slice_count(numerics.slice_thickness_angstrom)
    cells = window_cells(lengths, numerics.window_angstrom)
    cell = potential.slices(count, grid.gpts)
    stack = np.stack([cell[i % count] for i in range(total_slices)])
    return np.tile(stack, (1, cells[1], cells[0])), (cells[0] * lengths[0], cells[1] * lengths[1])
