"""A known lattice is found wherever it lies, also strained."""

import math

import numpy as np
import pytest

from iphasenet.base.errors import InputError
from iphasenet.fitting.harmonics import Pixels, coarsened, held_power
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


def test_a_probe_that_resolves_nothing_is_refused() -> None:
    images, _ = crystal_image(ORDERS @ turned(LENGTHS, 0.0), (160, 160), noise=0.02)
    with pytest.raises(InputError, match="resolves no lattice plane"):
        find_lattices(Pixels(images, SAMPLING, 0.1), LENGTHS, ORDERS[:1])


@pytest.mark.parametrize("told", [None, 28.7, 36.2])
def test_sharp_peaks_of_a_large_field_are_not_missed(told: float | None) -> None:
    images, _ = crystal_image(ORDERS @ turned(LENGTHS, 32.5), (700, 640), noise=0.02)
    found = find_lattices(Pixels(images, SAMPLING, BAND), LENGTHS, ORDERS, told)
    assert min(abs((one.rotation_deg - 32.5 + 90) % 180 - 90) for one in found) < 0.01


def test_half_integers_do_not_invent_power() -> None:
    # An orthohexagonal cell without its centring: turned by 60 degrees, its points are other ones.
    lengths = (4.0, 4.0 * math.sqrt(3))
    images, _ = crystal_image(ORDERS @ turned(lengths, 20.0), (160, 160), noise=0.02)
    found = find_lattices(Pixels(images, SAMPLING, BAND), lengths, ORDERS)
    small = coarsened(Pixels(images, SAMPLING, BAND))
    for one in found:
        assert one.power == pytest.approx(held_power(small, ORDERS[1:] @ one.reciprocal), rel=1e-6)
