"""Conventions pinned by physics: electrons are drawn towards nuclei."""

import numpy as np
import pytest
from ase import Atoms

from iphasenet.crystal.potential import crystal_potential
from iphasenet.evaluation.idpc import idpc
from iphasenet.microscope.detector import SEGMENTS
from iphasenet.multislice.periodic_images import simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Field, render
from iphasenet.simulation.tilts import lab_tilt
from tests.physics.conftest import MICROSCOPE, cell_of

SIDES = {
    "left": [name.endswith("left") for name in SEGMENTS],
    "right": [name.endswith("right") for name in SEGMENTS],
    "top": [name.startswith("top") for name in SEGMENTS],
    "bottom": [name.startswith("bottom") for name in SEGMENTS],
}


@pytest.mark.parametrize("gamma", [0.0, 90.0, 200.0])
def test_probe_beside_a_column_lights_the_segments_on_the_columns_side(gamma: float) -> None:
    """An isolated column at the image's centre, whatever the crystal's rotation."""
    column = Atoms("Sr", positions=[[4, 4, 1]], cell=[8, 8, 2], pbc=True)
    numerics = Numerics(sampling_angstrom=0.1, slice_thickness_angstrom=2, window_angstrom=8)
    images = simulate_images(crystal_potential(column, 5.0), MICROSCOPE, numerics, [4.0], rotations=[gamma])
    field = Field(Image(9, 0.25), rotation_deg=gamma, offset=(4.0, 4.0))
    image = render(images.coefficients[0, 0], images.lengths, field)
    signal = {side: image[chosen].sum(axis=0) for side, chosen in SIDES.items()}
    assert signal["right"][4, 2] > 1.1 * signal["left"][4, 2]
    assert signal["left"][4, 6] > 1.1 * signal["right"][4, 6]
    assert signal["bottom"][2, 4] > 1.1 * signal["top"][2, 4]
    assert signal["top"][6, 4] > 1.1 * signal["bottom"][6, 4]


def test_potential_and_image_lie_on_the_same_pixels() -> None:
    """A rotated, shifted field shows the column of both at the same place, at its truth in the lab's frame."""
    column = Atoms("Sr", positions=[[3, 5, 1]], cell=[8, 8, 2], pbc=True)
    potential = crystal_potential(column, 5.0)
    field = Field(Image(33, 0.2), rotation_deg=30.0, offset=(2.2, 4.4))
    truth = render(potential.projected(potential.slicing(0.3), 1), potential.lengths[:2], field)
    row, col = np.unravel_index(truth.argmax(), truth.shape)
    angle, dx, dy = np.deg2rad(30.0), 0.8, 0.6
    expected_x, expected_y = np.cos(angle) * dx - np.sin(angle) * dy, np.sin(angle) * dx + np.cos(angle) * dy
    assert (col - 16) * 0.2 == pytest.approx(expected_x, abs=0.11)
    assert (row - 16) * 0.2 == pytest.approx(expected_y, abs=0.11)


@pytest.mark.parametrize(("alpha", "beta", "gamma"), [(0.4, -0.3, 0.0), (0.4, -0.3, 75.0)])
def test_lab_tilt_turns_with_the_crystal(alpha: float, beta: float, gamma: float) -> None:
    """Rotating by gamma, then alpha about x and beta about y, leans the zone axis as the tilt vector says."""
    a, b, g = np.deg2rad([alpha, beta, gamma])
    rotate_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    rotate_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    axis = rotate_y @ rotate_x @ np.array([0, 0, 1])
    lab = axis[:2] / axis[2]
    crystal = (np.cos(g) * lab[0] + np.sin(g) * lab[1], -np.sin(g) * lab[0] + np.cos(g) * lab[1])
    assert lab_tilt(crystal, gamma) == pytest.approx((alpha, beta))


def test_idpc_of_a_thin_crystal_is_its_potential_seen_through_the_probe() -> None:
    """A weak phase object, 0.5 nm of GaN: the centre of mass is the gradient of potential * probe intensity.

    Four segments from 10 mrad on only approximate the centre of mass: 0.98 of correlation, not 1.
    """
    potential = crystal_potential(cell_of("GaN"), 5.0)
    numerics = Numerics(sampling_angstrom=0.1, slice_thickness_angstrom=0.3, window_angstrom=12)
    images = simulate_images(potential, MICROSCOPE, numerics, [5.0])
    field = Field(Image(64, 0.2), offset=(1.0, 2.0), rotation_deg=20)
    # The transfer function of a round aperture: the overlap of two discs a distance G apart.
    gx, gy = potential.frequencies
    distance = np.clip(np.hypot(gx, gy) / (2 * MICROSCOPE.frequency(MICROSCOPE.semiangle_mrad)), 0, 1)
    overlap = 2 / np.pi * (np.arccos(distance) - distance * np.sqrt(1 - distance**2))
    slicing = potential.slicing(0.3)
    truth = render(potential.projected(slicing, slicing.count) * overlap, potential.lengths[:2], field)
    phase = idpc(render(images.coefficients[0, 0], images.lengths, field), field.image.sampling_angstrom)
    assert np.corrcoef(phase.ravel(), truth.ravel())[0, 1] > 0.98
