"""A known lattice is found wherever it lies, also strained."""

import numpy as np
import pytest

from iphasenet.base.errors import InputError
from iphasenet.fitting.harmonics import Pixels
from iphasenet.fitting.image_lattice import ImageLattice, find_lattices, turned
from tests.unit.fitting.conftest import BAND, LENGTHS, ORDERS, SAMPLING, crystal_image


@pytest.mark.parametrize("rotation", [0.0, 38.3, 171.0, 300.5])
def test_rotation_and_strain_are_found(rotation: float) -> None:
    strain = np.array([[0.011, 0.004], [0.004, -0.006]])
    true = turned(LENGTHS, rotation) @ np.linalg.inv(np.eye(2) + strain)
    images, _ = crystal_image(ORDERS @ true, (160, 160), noise=0.02)
    found = find_lattices(Pixels(images, SAMPLING, BAND), LENGTHS, ORDERS)
    best = min(found[:2], key=lambda one: abs((one.rotation_deg - rotation + 180) % 360 - 180))
    assert (best.rotation_deg - rotation + 180) % 360 - 180 == pytest.approx(0, abs=0.1)
    np.testing.assert_allclose(best.strain, strain, atol=1.5e-3)
    # A lattice cannot tell a crystal from one that is turned by half a turn.
    assert abs(found[0].rotation_deg - found[1].rotation_deg) == pytest.approx(180, abs=1e-6)


def test_a_square_lattice_has_four_candidates() -> None:
    lengths = (4.0, 4.0)
    images, _ = crystal_image(ORDERS @ turned(lengths, 20.0), (160, 160), noise=0.02)
    found = find_lattices(Pixels(images, SAMPLING, BAND), lengths, ORDERS)
    rotations = sorted(round(one.rotation_deg) for one in found if one.power > 0.9 * found[0].power)
    assert rotations == [20, 110, 200, 290]


def test_a_known_rotation_is_refined() -> None:
    images, _ = crystal_image(ORDERS @ turned(LENGTHS, 33.0), (160, 160), noise=0.02)
    (found,) = find_lattices(Pixels(images, SAMPLING, BAND), LENGTHS, ORDERS, rotation_deg=31.5)
    assert found.rotation_deg == pytest.approx(33.0, abs=0.1)


def test_a_field_of_one_cell_is_refused() -> None:
    images, _ = crystal_image(ORDERS @ turned(LENGTHS, 0.0), (30, 30), noise=0.02)
    with pytest.raises(InputError, match="field: found 6 Å"):
        find_lattices(Pixels(images, SAMPLING, BAND), LENGTHS, ORDERS)


def test_strain_is_that_of_the_cell_not_of_the_reciprocal_lattice() -> None:
    longer = ImageLattice(np.diag(1 / np.array([4.04, 5.5])), LENGTHS, 1.0)
    np.testing.assert_allclose(longer.strain, [[0.01, 0], [0, 0]], atol=1e-9)
