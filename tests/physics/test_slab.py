"""Slabs of atoms: any orientation and frozen phonons, against abTEM and against the periodic path."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from abtem import FrozenPhonons
from ase import Atoms
from ase.io import write

from iphasenet.base.errors import InputError
from iphasenet.crystal.potential import CrystalPotential, crystal_potential
from iphasenet.crystal.slab import cut_slab, frozen_phonons, rotation_matrix, shape_slab
from iphasenet.crystal.slab_shape import Shape
from iphasenet.crystal.structure import orthogonal_cell, read_structure
from iphasenet.crystal.thermal_motion import with_displacements
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.periodic_images import simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Field, render
from iphasenet.simulation.specimen import Simulator, Specimen
from tests.physics.conftest import MICROSCOPE, abtem_segments, cell_of, potential_of, supercell_slices

NUMERICS = Numerics(sampling_angstrom=0.125, slice_thickness_angstrom=2.0, window_angstrom=10)
SOFT = Microscope(energy_kev=200, semiangle_mrad=15, detector_inner_mrad=8, detector_outer_mrad=40)


def test_a_slab_is_the_rotated_crystal() -> None:
    """Density, and every atom where the rotation of a lattice site puts it, for angles far from any zone axis."""
    cell, angles, point = cell_of("KNbO3"), (63.0, 141.0, 275.0), (1.1, 2.3, 0.4)
    slab = cut_slab(cell, angles, 30.0, (30.0, 30.0), point)
    assert len(slab) == pytest.approx(5 / cell.get_volume() * 30**3, rel=0.03)
    back = (slab.positions - [15, 15, 0]) @ rotation_matrix(*angles) + point
    fractional = back / cell.cell.lengths()
    for symbol in ("K", "Nb"):
        site = cell[cell.symbols == symbol].get_scaled_positions()[0]
        offset = fractional[slab.symbols == symbol] - site
        np.testing.assert_allclose(offset, np.rint(offset), atol=1e-9)


def test_an_oriented_slab_equals_abtem_probe_scan() -> None:
    """One kappa and the slab as the cell: the same slices through `Probe.scan`, as in the periodic path."""
    slab = cut_slab(cell_of("GaN"), (31.0, -78.0, 200.0), 24.0, (10.0, 10.0))
    potential = potential_of(slab, NUMERICS.sampling_angstrom)
    images = simulate_images(potential, MICROSCOPE, NUMERICS, [12.0, 24.0], dtype=torch.float64)
    positions = np.random.default_rng(1).uniform(0, 10, (5, 2))
    slicing = potential.slicing(NUMERICS.slice_thickness_angstrom)
    for index, thickness in enumerate(images.depths):
        slices, dz, extent = supercell_slices(potential, NUMERICS, slicing.nearest(thickness))
        reference = abtem_segments(slices, dz, extent, positions)
        my, mx = (n // 2 for n in images.coefficients.shape[-2:])
        phase_x = np.exp(2j * np.pi * np.outer(positions[:, 0] / 10, np.arange(-mx, mx + 1)))
        phase_y = np.exp(2j * np.pi * np.outer(positions[:, 1] / 10, np.arange(-my, my + 1)))
        signal = np.einsum("syx,py,px->ps", images.coefficients[index, 0], phase_y, phase_x).real
        assert np.abs(signal - reference).max() < 1e-6 * reference.mean()


def test_a_slightly_tilted_slab_is_the_tilted_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Euler angles and small tilts mean the same, gamma, offset and truth included: rms share of the contrast.

    3 %: the slab's lattice planes lean through the slices; 7 % of the potential: limited to the image's band, columns
    ring, and beyond the slab's sides there are none.
    """
    cell = cell_of("KNbO3")
    # The first layer, not the cell's face, is the entrance surface.
    cell.positions[:, 2] += 0.7
    specimen = Specimen(cell, thickness_nm=(4.0,), tilt_deg=(0.9, -0.6), rotation_deg=33.0, offset=(0.3, 0.6))
    image = Image(16, 0.3)
    # Pixels and windows that fit both, or their band limits differ.
    numerics = Numerics(4.029 / 32, 0.3, 4 * 4.029)
    simulator = Simulator(SOFT, numerics, image)
    periodic = simulator.simulate(specimen)
    monkeypatch.setattr("iphasenet.simulation.specimen.SMALL_TILT", 0.0)
    slab = simulator.simulate(specimen)
    for name, tolerance in (("segments", 0.03), ("potential", 0.07)):
        # The slab ends 0.3 Å sooner, behind the same atoms.
        found, expected = slab[name].values, periodic[name].values
        difference = np.sqrt(np.mean((found - expected) ** 2))
        contrast = np.sqrt(np.mean((expected - expected.mean(axis=(-2, -1), keepdims=True)) ** 2))
        assert difference < tolerance * contrast


def test_beyond_an_edge_lies_vacuum_and_before_it_the_crystal() -> None:
    """Two probe radii (3 Å) away from the edge at azimuth 90 degrees, which is down in the image."""
    cell, image, numerics = cell_of("KNbO3"), Image(40, 0.4), Numerics(4.029 / 32, 0.3, 4 * 4.029)
    plain = Specimen(cell, thickness_nm=(1.6,), tilt_deg=(90.0, 0.0), offset=(0.1, 0.2))
    simulator = Simulator(SOFT, numerics, image)
    ended = simulator.simulate(replace(plain, shape=Shape(edge=(90.0, 0.1)))).isel(thickness=0)
    endless = simulator.simulate(plain).isel(thickness=0)
    position = image.positions
    edge = 0.1 * 8.0
    crystal = (position < edge - 3) & (position > -4)
    vacuum = (position > edge + 3) & (position < 6)
    segments, expected = ended["segments"].values, endless["segments"].values
    difference = np.sqrt(np.mean((segments - expected)[:, crystal] ** 2))
    assert difference < 0.03 * expected[:, crystal].std()
    # The probe's disc covers the annulus from 8 to 15 of 15 mrad, a quarter on each segment.
    np.testing.assert_allclose(segments[:, vacuum], (1 - (8 / 15) ** 2) / 4, rtol=0.02)
    # Columns that are limited to the image's band ring by 2 %.
    assert np.abs(ended["potential"].values[vacuum]).max() < 0.03 * endless["potential"].values.max()


def test_a_wedge_is_as_thick_as_it_says() -> None:
    """Atoms of a 10 degree wedge: nominal below the centre, thinner by tan(10 degrees) per Å along its azimuth."""
    cell, lead = cell_of("KNbO3"), 6.0
    slab = cut_slab(cell, (0.0, 0.0, 0.0), 60.0, (40.0, 40.0), (0.5, 0.5, 0.0), lead)
    wedge = shape_slab(slab, Shape(wedge=(30.0, 10.0)), 25.6, lead)
    along = (wedge.positions[:, :2] - 20) @ [np.cos(np.pi / 6), np.sin(np.pi / 6)]
    surface = lead + np.tan(np.deg2rad(10.0)) * along
    depth = wedge.positions[:, 2] - surface
    assert depth.min() > -0.01
    # No layer is missing: the first atom of each column is within one period of the surface.
    columns = np.round(wedge.positions[:, :2], 2)
    for column in np.unique(columns, axis=0):
        assert depth[(columns == column).all(axis=1)].min() < 4.029
    assert len(wedge) == pytest.approx(len(slab) * (60 - lead) / 60, rel=0.03)


def test_the_middle_of_a_shallow_wedge_is_the_even_slab() -> None:
    """2 degrees change the thickness by one layer over the middle 8 Å: images within 8 % of the contrast."""
    cell, image, numerics = cell_of("KNbO3"), Image(20, 0.4), Numerics(4.029 / 32, 0.3, 4 * 4.029)
    # Atoms that are displaced by nothing make a slab without an end.
    cell.set_array("displacements", np.zeros((len(cell), 3, 3)))
    even = Specimen(cell, thickness_nm=(6.0,), phonons=1)
    simulator = Simulator(SOFT, numerics, image)
    slab = simulator.simulate(even).isel(thickness=0)
    wedge = simulator.simulate(replace(even, shape=Shape(wedge=(0.0, 2.0)))).isel(thickness=0)
    assert float(wedge["thickness"]) == pytest.approx(6.0, abs=0.11)
    contrast = slab["segments"].values.std()
    assert np.sqrt(np.mean((wedge["segments"].values - slab["segments"].values) ** 2)) < 0.08 * contrast


def test_frozen_phonons_displace_atoms_and_average_to_debye_waller_factors() -> None:
    """Mean potential of snapshots against the damped crystal's; the same seed gives the same snapshots."""
    cell, displacements = cell_of("KNbO3"), {"K": 0.1, "Nb": 0.08, "O": 0.1}
    slab = cell.repeat((2, 2, 2))
    moving = with_displacements(slab, displacements)
    snapshots = list(frozen_phonons(moving, 60, seed=5))
    again = next(iter(frozen_phonons(moving, 1, seed=5)))
    np.testing.assert_array_equal(again.positions, snapshots[0].positions)
    niobium = slab.symbols == "Nb"
    moved = np.array([atoms.positions[niobium, :2] - slab.positions[niobium, :2] for atoms in snapshots])
    assert moved.std() == pytest.approx(0.08, rel=0.05)
    field = Field(Image(40, 0.2), offset=(4.0, 4.0))
    mean = np.mean([render(p.projected(p.slicing(9.0), 1), p.lengths[:2], field) for p in map(fine, snapshots)], axis=0)
    rest, damped = (render(p.projected(p.slicing(9.0), 1), p.lengths[:2], field) for p in (fine(slab), fine(moving)))
    assert np.abs(mean - damped).max() < 0.25 * np.abs(rest - damped).max()


def test_frozen_phonons_of_isotropic_atoms_are_those_of_abtem() -> None:
    """The same generator gives the same snapshot; each snapshot's seed is drawn from the seed and its number."""
    slab = cell_of("KNbO3").repeat((2, 2, 2))
    sigmas = {"K": 0.09, "Nb": 0.07, "O": 0.08}
    ours = list(frozen_phonons(with_displacements(slab, sigmas), 2, seed=11))
    for index, snapshot in enumerate(ours):
        key = int(np.random.SeedSequence([11, index]).generate_state(1)[0])
        theirs = FrozenPhonons(slab, 1, sigmas, seed=(key,)).randomize(slab)
        np.testing.assert_allclose(snapshot.positions, theirs.positions, rtol=0, atol=1e-12)


def test_snapshots_have_the_tensors_of_a_rotated_crystal() -> None:
    """Oxygen along and across its bond (axes of the crystal), in a slab that is turned; 5 % is 5 standard errors."""
    path = Path(__file__).parents[2] / "resources/structures/KNbO3.cif"
    cell = orthogonal_cell(read_structure(path, temperature_k=293), (1, 1, 0))
    angles = (20.0, -35.0, 50.0)
    slab = cut_slab(cell, angles, 40.0, (40.0, 40.0))
    moved = next(frozen_phonons(slab, 1, seed=2)).positions - slab.positions
    # The cell's axes are [001], [1-10] and [110] of the crystal.
    for bond in ((1, 0, 0), (0, 0.5**0.5, 0.5**0.5), (0, -(0.5**0.5), 0.5**0.5)):
        along = rotation_matrix(*angles) @ bond
        stiff = np.isclose(np.einsum("i,aij,j->a", along, slab.arrays["displacements"], along), 0.0040, atol=1e-9)
        assert stiff.sum() == pytest.approx((slab.symbols == "Nb").sum(), rel=0.1)
        covariance = np.cov(moved[stiff].T)
        assert along @ covariance @ along == pytest.approx(0.0040, rel=0.15)
        assert np.trace(covariance) - along @ covariance @ along == pytest.approx(2 * 0.0086, rel=0.15)


def test_frozen_phonons_need_a_temperature() -> None:
    with pytest.raises(InputError, match="frozen phonons: found atoms at rest; allowed: a temperature"):
        next(frozen_phonons(cell_of("KNbO3"), 1, seed=0))


def fine(atoms: Atoms) -> CrystalPotential:
    """Potential to 4 cycles/Å."""
    return crystal_potential(atoms, 4.0)


def test_a_supercell_with_a_defect_is_simulated_as_its_own_cell(tmp_path: Path) -> None:
    """An orthogonal supercell's CIF: without the defect it is the crystal, with a vacancy it differs there alone."""
    cell = cell_of("KNbO3")
    perfect = cell.repeat((3, 3, 2))
    vacancy = perfect.copy()
    niobium = np.flatnonzero(vacancy.symbols == "Nb")
    middle = niobium[np.argmin(np.hypot(*(vacancy.positions[niobium, :2] - 6.04).T))]
    del vacancy[middle]
    images = {}
    for name, atoms in {"unit": cell, "perfect": perfect, "vacancy": vacancy}.items():
        write(tmp_path / f"{name}.cif", atoms)
        read = orthogonal_cell(read_structure(tmp_path / f"{name}.cif"))
        data = Simulator(SOFT, Numerics(0.15, 0.3, 12), Image(60, 0.2)).simulate(Specimen(read, thickness_nm=(0.8,)))
        images[name] = data["potential"].values[0]
    # A CIF gives 6 decimals.
    np.testing.assert_allclose(images["perfect"], images["unit"], atol=1e-3 * images["unit"].max())
    changed = np.abs(images["vacancy"] - images["unit"]) > 0.1 * images["unit"].max()
    assert 0 < changed.mean() < 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"phonons": 2}, "frozen phonons: found atoms at rest; allowed: a temperature"),
        ({"tilt_deg": (float("nan"), 0.0)}, "alpha: found nan degrees"),
        ({"tilt_deg": (20.0, 0.0), "thickness_nm": (1e3,)}, "atoms in"),
        ({"thickness_nm": (float("nan"),)}, "thickness: found nan nm"),
        ({"thickness_nm": (0.8, 0.4)}, "thickness.*rising"),
        ({"thickness_nm": ()}, "thickness.*rising"),
        ({"phonons": 1, "seed": -1}, "seed: found -1"),
        ({"tilt_deg": (20.0, 0.0)}, r"needs [\d,.]+ MB"),
    ],
)
def test_what_cannot_be_simulated_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        specimen = Specimen(**{"cell": cell_of("KNbO3"), "thickness_nm": (2.0,), **change})
        Simulator(MICROSCOPE, Numerics(0.1, 0.3, 30, 100), Image(8, 0.5)).simulate(specimen)
