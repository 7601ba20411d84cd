"""Turned and mirrored images against fresh simulations of the turned and mirrored crystal."""

import functools

import numpy as np
import pytest
import torch
from ase import Atoms

from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.periodic_images import simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.network.symmetry import OPERATIONS, transformed
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Field, render
from iphasenet.simulation.specimen import Simulator, Specimen
from iphasenet.simulation.tilts import lab_tilt
from tests.physics.conftest import cell_of, potential_of

SOFT = Microscope(energy_kev=200, semiangle_mrad=15, detector_inner_mrad=8, detector_outer_mrad=40)
NUMERICS = Numerics(sampling_angstrom=0.125, slice_thickness_angstrom=0.3, window_angstrom=8)

THICKNESS, GAMMA, TILT, OFFSET = 30.0, 28.5, (0.012, 0.009), (0.9, 1.7)
"""Å; degrees, from which whole turns leave an exact float32; both in the crystal's frame."""

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def mirrored(cell: Atoms) -> Atoms:
    """The crystal with y reversed."""
    other = cell.copy()
    other.positions[:, 1] *= -1
    other.wrap()
    return other


@functools.cache
def samples(material: str, mirror: bool) -> list[Arrays]:
    """Segments, truth and metadata of a crystal, its tilt and its offset, or of all three mirrored, at four gammas."""
    sign = -1 if mirror else 1
    tilt, offset = (TILT[0], sign * TILT[1]), (OFFSET[0], sign * OFFSET[1])
    gammas = [(sign * GAMMA - 90 * turns) % 360 for turns in range(4)]
    cell = mirrored(cell_of(material)) if mirror else cell_of(material)
    potential = potential_of(cell, NUMERICS.sampling_angstrom)
    series = simulate_images(potential, SOFT, NUMERICS, [THICKNESS], tilt, gammas)
    slicing = potential.slicing(NUMERICS.slice_thickness_angstrom)
    slab = potential.projected(slicing, slicing.nearest(THICKNESS), tilt)
    made = []
    for gamma, coefficients in zip(gammas, series.coefficients[0], strict=True):
        field = Field(Image(20, 0.2), gamma, offset)
        metadata = np.array([THICKNESS / 10, *lab_tilt(tilt, gamma), gamma], np.float32)
        made.append((render(coefficients, series.lengths, field), render(slab, potential.lengths[:2], field), metadata))
    return made


@pytest.mark.parametrize("operation", range(OPERATIONS))
@pytest.mark.parametrize("material", ["KNbO3", "GaN"])
def test_a_transformed_sample_is_the_simulation_of_the_transformed_crystal(material: str, operation: int) -> None:
    """1e-5 of the maximum: float32 in the multislice and in the sums of the rendering.

    KNbO3 keeps its atoms in the mirror, this cell of GaN does not: its images would be wrong by 5 %.
    """
    found = transformed(*map(torch.from_numpy, samples(material, mirror=False)[0]), operation)
    expected = samples(material, mirror=operation >= 4)[operation % 4]
    for array, reference in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_allclose(array, reference, rtol=0, atol=1e-5 * reference.max())
    # A sheared cell's gamma is that of its projection: alpha beta / 2, 0.004°, from that of the rotation as a whole.
    np.testing.assert_allclose(found[2][:3], expected[2][:3], atol=1e-5)
    assert abs(found[2][3] - expected[2][3]) < 0.01


@pytest.mark.parametrize("operation", range(OPERATIONS // 2))
def test_a_turned_slab_of_any_orientation_is_simulated_at_the_told_angles(operation: int) -> None:
    """A slab at the angles of the turned sample has its images: 31° and -48° are no small tilts."""

    def simulated(angles: list[float]) -> list[torch.Tensor]:
        specimen = Specimen(
            cell_of("GaN"), thickness_nm=(1.0,), tilt_deg=(angles[0], angles[1]), rotation_deg=angles[2]
        )
        made = Simulator(SOFT, Numerics(0.2, 1.0, 9.0), Image(24, 0.25)).simulate(specimen)
        return [torch.from_numpy(made[name].values[0]) for name in ("segments", "potential")]

    start = [31.0, -48.0, 200.0]
    *images, told = transformed(*simulated(start), torch.tensor([1.0, *start], dtype=torch.float64), operation)
    for image, again in zip(images, simulated(told[1:].tolist()), strict=True):
        assert np.corrcoef(image.ravel(), again.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(("operation", "order"), [(1, 4), (2, 2), (3, 4), (4, 2), (5, 2), (6, 2), (7, 2)])
def test_an_operation_comes_back_after_its_order_and_not_before(operation: int, order: int) -> None:
    """Quarter turns after four, half turn and mirrors after two; angles are float32."""
    rng = np.random.default_rng(0)
    metadata = np.array([40, 0.7, -1.3, 33], np.float32)
    start = tuple(map(torch.from_numpy, (rng.random((4, 6, 6)), rng.random((6, 6)), metadata)))
    arrays = start
    for step in range(1, order + 1):
        arrays = transformed(*arrays, operation)
        for now, before in zip(arrays, start, strict=True):
            assert torch.allclose(now, before, rtol=0, atol=1e-4) == (step == order)
