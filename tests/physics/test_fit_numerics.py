"""The fit's own numerics move its result by no more than its errors, for crystals with layers and heavy atoms."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from iphasenet.crystal.structure import orthogonal_cell, read_structure
from iphasenet.fitting.crystal_model import CrystalModel, Effort, Parameters, Simulation
from iphasenet.fitting.fit import _other_thickness, fit
from iphasenet.fitting.harmonics import Harmonics, Pixels
from iphasenet.fitting.image_lattice import ImageLattice, turned
from iphasenet.fitting.limits import Limits
from iphasenet.fitting.orientation import FINAL, Orientation
from iphasenet.fitting.outcome import on_pixels
from iphasenet.fitting.refinement import Refined
from iphasenet.fitting.rotations import Rotations
from iphasenet.fitting.search import Candidate
from iphasenet.fitting.task import Task
from iphasenet.multislice.beam_pairs import simulate_pairs
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.multislice.settings import Numerics
from iphasenet.multislice.thermal_pass import ThermalPass
from iphasenet.simulation.tilts import crystal_lean
from tests.physics.conftest import MICROSCOPE, STRUCTURES

GAMMA, CELLS = 33.0, {"GaN": 20, "MoS2": 8}
POINT = Parameters(0.31, -0.27, 0.0, 40.0, 0.7, 1.1, 1.0, 0.09)


@cache
def cell_of(material: str) -> Atoms:
    return orthogonal_cell(read_structure(STRUCTURES / f"{material}.cif", temperature_k=293), (0, 0, 1), 0.2)


@cache
def made(material: str) -> tuple[Parameters, Harmonics]:
    """Coefficients of a slab's images on a finer grid, in finer slices, over more displacements than a fit has."""
    cell = cell_of(material)
    depth = CELLS[material] * float(cell.cell.lengths()[2])
    numerics = Numerics(0.09, 0.4, 22.0, thermal_period_angstrom=1.0)
    lean = crystal_lean(*POINT.tilt, GAMMA)
    finer = ThermalPass(sampled_potential(cell, 0.09, 0.1), MICROSCOPE, numerics, [depth], lean, (GAMMA,))
    model = model_of(material, GAMMA)
    images = model.images(simulate_pairs(finer, range(50, 56)), POINT)[0]
    errors = np.sqrt(images[:, :1].real / 1e5 / 25.6**2 / 2).repeat(images.shape[1], axis=1)
    return replace(POINT, depth=depth), Harmonics(model.frequencies, images, errors, 1.0, errors[:, 0])


def task_of(material: str) -> Task:
    return Task(np.random.default_rng(0).random((4, 64, 64)), 0.4, MICROSCOPE, cell_of(material))


def model_of(material: str, gamma: float) -> CrystalModel:
    return CrystalModel(cell_of(material), MICROSCOPE, gamma, task_of(material).orders())


def orientation_of(material: str) -> Orientation:
    task = task_of(material)
    lattice = ImageLattice(turned(task.lengths, GAMMA), task.lengths, 1.0)
    return Orientation(task, lattice, made(material)[1], model_of(material, GAMMA))


@pytest.mark.parametrize("material", CELLS)
def test_pixel_slices_and_the_mesh_of_thicknesses_do_not_move_the_tilt(material: str) -> None:
    true, _ = made(material)
    found = orientation_of(material).refine(true, FINAL, 0.01)
    assert found.parameters.tilt_from(true) < 0.004
    assert found.parameters.depth == pytest.approx(true.depth, abs=1.0)
    assert found.parameters.displacement == pytest.approx(1, abs=0.03)
    assert found.unexplained < 5e-4


def test_images_are_interpolated_between_slabs_that_end_alike() -> None:
    for material, step in {"GaN": 3 * 5.185, "MoS2": 12.295}.items():
        assert model_of(material, 0.0).depth_step == pytest.approx(step)
    tall = cell_of("MoS2").repeat((1, 1, 2))
    assert CrystalModel(tall, MICROSCOPE, 0.0, np.zeros((1, 2), int)).depth_step == pytest.approx(12.295)


def test_rotations_that_move_a_slabs_surfaces_are_other_slabs() -> None:
    task = task_of("MoS2")
    lattices = [ImageLattice(turned(task.lengths, GAMMA + turn), task.lengths, 1.0) for turn in (180, 0, 60, 120)]
    pixels = Pixels(task.segments, task.sampling, task.band)
    rotations = Rotations(task, pixels, lattices)
    assert rotations.different == pytest.approx([GAMMA])
    others = [one.model.rotation_deg for one in rotations.other_slabs(rotations.orientation(rotations.different[0]))]
    # A turn of 60° and one of 180° are the same slab, and the likelier of them is taken.
    assert others == pytest.approx([GAMMA + 180])


def test_a_thin_slab_whose_surfaces_lie_half_a_cell_higher_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # With the wrong slab, the right crystal would be refused.
    monkeypatch.setattr("iphasenet.fitting.fit.GOOD", 0.01)
    task, point = task_of("GaN"), Parameters(-0.06, -0.09, 10 * 5.185, -14.0, source_variance=0.16)
    # Turned by 60°, the crystal is the same, but not the slab; 33° is tried first.
    model = model_of("GaN", GAMMA + 60)
    depths = tuple(5.185 * count for count in range(8, 13))
    images = model.images(model.simulate(Simulation(point.tilt, depths, Effort(0.126, 1.0, 14.0))), point)[2]
    frequencies = task.orders() @ turned(task.lengths, GAMMA + 60)
    segments = on_pixels(images, frequencies, (96, 96), 0.2)
    segments = segments + np.random.default_rng(1).normal(0, 1e-3, segments.shape)
    known = Limits(
        thickness_nm=(4.5, 6), tilt_deg=point.tilt, tilt_reach_deg=0.0, defocus_angstrom=(-30, 0),
        source_size_angstrom=(0.3, 0.5), scale=(1, 1), displacement=(1, 1),
    )  # fmt: skip
    found = fit(replace(task, segments=segments, sampling=0.2, limits=known))
    assert (found.model.rotation_deg - GAMMA) % 120 == pytest.approx(60, abs=1)
    assert found.refined.unexplained < 0.01
    assert found.refined.parameters.depth == pytest.approx(point.depth, abs=1.0)


def test_a_slope_of_the_valley_is_no_other_thickness() -> None:
    at = replace(POINT, depth=400.0)
    refined = Refined(at, {}, 1.0, 0.0, np.zeros((4, 1)), at)

    def other(*unexplained: float) -> Any:
        depths = np.arange(350.0, 350.0 + 25 * len(unexplained), 25)
        return _other_thickness(
            refined, [Candidate(replace(at, depth=d), u) for d, u in zip(depths, unexplained, strict=True)]
        )

    assert other(0.2, 0.13, 0.114, 0.115, 0.117, 0.12, 0.16, 0.2) is None
    assert other(0.2, 0.13, 0.114, 0.13, 0.14, 0.12, 0.16, 0.2).depth == 475
    assert other(0.2, 0.13, 0.114, 0.13, 0.2, 0.15, 0.16, 0.2) is None
