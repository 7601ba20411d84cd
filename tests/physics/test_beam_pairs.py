"""Pairs of incident waves give the images that the pass gives itself, for any lenses."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.beam_pairs import simulate_pairs
from iphasenet.multislice.multislice_pass import MultislicePass
from iphasenet.multislice.periodic_images import simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.multislice.thermal_pass import ThermalPass
from tests.physics.conftest import MICROSCOPE, cell_of, potential_of

LEAN, ROTATION, DEPTHS = (0.004, -0.002), 25.0, [20.0, 50.0]

LENSES = {
    "in focus": {},
    "defocus and astigmatism": {"aberrations": {"defocus": 60.0, "C12": 25.0, "phi12": 30.0}},
    "source and focal spread": {"source_size_angstrom": 0.4, "focal_spread_angstrom": 30.0},
}


@pytest.mark.parametrize("lenses", LENSES)
@pytest.mark.parametrize(
    ("material", "displacement", "period"),
    [("GaN", 0.0, 1.0), ("GaN", 0.07, 1.0), ("GaN", 0.07, 4.0), ("KNbO3", 0.07, 1.0)],
)
def test_pairs_give_the_images_of_the_pass(material: str, displacement: float, period: float, lenses: str) -> None:
    microscope = replace(MICROSCOPE, **LENSES[lenses])  # type: ignore[arg-type]
    found, images = both(microscope, material, displacement, period)
    expected = images.coefficients[:, 0]
    middle = np.array(expected.shape[-2:]) // 2
    x, y = found.table.orders.T
    np.testing.assert_allclose(found.coefficients(microscope), expected[..., middle[0] + y, middle[1] + x], atol=3e-7)
    # What is left out is the other half-plane, or nothing.
    others = expected.copy()
    for side in (1, -1):
        others[..., middle[0] + side * y, middle[1] + side * x] = 0
    assert np.abs(others).max() < 1e-6


def both(microscope: Microscope, material: str, displacement: float, period: float) -> tuple[Any, Any]:
    """Pairs of a pass without lenses, and images of the same pass with them."""
    cell = cell_of(material)
    if displacement:
        cell.arrays["displacements"] = np.tile(displacement**2 * np.eye(3), (len(cell), 1, 1))
    potential = potential_of(cell, 0.12)
    numerics = Numerics(0.12, 0.3, 9.0, thermal_passes=1, thermal_coarse_passes=0, thermal_period_angstrom=period)
    kind = ThermalPass if displacement else MultislicePass
    # A pass of `simulate_images` adds its number to the seed.
    pairs = simulate_pairs(kind(potential, MICROSCOPE, numerics, DEPTHS, LEAN, (ROTATION,)), [[5, 0]])
    return pairs, simulate_images(potential, microscope, numerics, DEPTHS, LEAN, (ROTATION,), seed=[5])


def test_blocks_may_come_in_any_order() -> None:
    # Thick: some blocks pass by transfer matrices, which come first.
    potential = potential_of(cell_of("GaN"), 0.12)
    numerics = Numerics(0.12, 0.3, 12.0)
    simulation = MultislicePass(potential, MICROSCOPE, numerics, [100.0, 400.0], LEAN, (ROTATION,))
    found = simulate_pairs(simulation)
    vars(simulation)["blocks"] = simulation.blocks[::-1]
    other = simulate_pairs(simulation)
    np.testing.assert_allclose(found.coefficients(MICROSCOPE), other.coefficients(MICROSCOPE), atol=3e-7)
    shuffled = simulate_pairs(_Shuffled(potential, MICROSCOPE, numerics, [100.0, 400.0], LEAN, (ROTATION,)))
    np.testing.assert_allclose(found.coefficients(MICROSCOPE), shuffled.coefficients(MICROSCOPE), atol=3e-7)


class _Shuffled(MultislicePass):
    """Yields its columns in another order than that of its blocks."""

    def columns(self) -> Any:
        return iter(list(super().columns())[::-1])


def test_the_mean_over_passes_is_that_of_their_images() -> None:
    cell = cell_of("KNbO3")
    cell.arrays["displacements"] = np.tile(0.07**2 * np.eye(3), (len(cell), 1, 1))
    numerics = Numerics(0.12, 0.3, 9.0, thermal_period_angstrom=1.0)
    simulation = ThermalPass(potential_of(cell, 0.12), MICROSCOPE, numerics, DEPTHS, LEAN, (ROTATION,))
    one, other, mean = (simulate_pairs(simulation, seeds).coefficients(MICROSCOPE) for seeds in ([1], [2], [1, 2]))
    assert np.abs(one - other).max() > 1e-5
    np.testing.assert_allclose(mean, (one + other) / 2, atol=1e-7)
