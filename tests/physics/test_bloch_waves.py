"""Bloch waves of straight columns against the multislice of a crystal that has no layers to speak of."""

import numpy as np
import pytest
from ase import Atoms

from iphasenet.base.errors import InputError
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.crystal.thermal_motion import with_displacements
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.multislice.periodic_images import PeriodicImages, simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.reconstruction.bloch_waves import (
    ACCURATE,
    LARGEST_CELL,
    ColumnCrystal,
    Lattice,
    fourier_sums,
    segment_signals,
)
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Field, render
from tests.physics.conftest import MICROSCOPE

SIDES = (4.0, 5.2)
PERIOD, SAMPLING = 0.5, 0.1
LEAN = (0.004, -0.003)
IMAGE = Image(256, SAMPLING)


def columns_of_atoms() -> CrystalPotential:
    """One column an oblong cell, smeared by thermal vibration: a light atom each 0.5 Å."""
    atoms = Atoms("C", positions=[[1.0, 2.0, 0.1]], cell=[*SIDES, PERIOD], pbc=True)
    warm = with_displacements(atoms, {"C": 0.1})
    return sampled_potential(warm, SAMPLING, 2 * SAMPLING).averaged()


def crystal(
    potential: CrystalPotential, vectors: list[list[float]], depth: float, lean: tuple[float, float]
) -> ColumnCrystal:
    """What a perfect network would hold of it."""
    slicing = potential.slicing(PERIOD)
    mean = render(potential.projected(slicing, slicing.count), potential.lengths[:2], Field(IMAGE)) / PERIOD
    return ColumnCrystal(Lattice(np.array(vectors)), mean, SAMPLING, depth, lean)


def multislice(potential: CrystalPotential, thickness: float, lean: tuple[float, float]) -> PeriodicImages:
    return simulate_images(potential, MICROSCOPE, Numerics(SAMPLING, PERIOD, 15), [thickness], lean)


def compared(
    thickness: float, lean: tuple[float, float], vectors: list[list[float]], phase_object: bool = False
) -> float:
    """Root mean square difference over the images' contrast."""
    potential = columns_of_atoms()
    images = multislice(potential, thickness, lean)
    seen = render(images.coefficients[0, 0], images.lengths, Field(IMAGE))
    steps = np.array([(x, y) for y in range(0, 50, 7) for x in range(0, 40, 7)])
    positions = (128 + steps - (IMAGE.pixels - 1) / 2) * SAMPLING
    expected = seen[:, 128 + steps[:, 1], 128 + steps[:, 0]]
    held = crystal(potential, vectors, thickness, lean)
    made = segment_signals(held, MICROSCOPE, positions, 15, phase_object, ACCURATE)
    return float((made - expected).std() / expected.std())


@pytest.mark.parametrize(("thickness", "lean"), [(30.0, (0.0, 0.0)), (300.0, LEAN)])
def test_bloch_waves_are_the_multislice_of_columns(thickness: float, lean: tuple[float, float]) -> None:
    """To 3 % of the contrast: the potential ends at the image's Nyquist frequency, the multislice's at another."""
    assert compared(thickness, lean, [[4.0, 0.0], [0.0, 5.2]]) < 0.03


def test_any_vectors_of_the_lattice_will_do() -> None:
    assert compared(150.0, LEAN, [[4.0, 5.2], [-4.0, 0.0]]) < 0.03


def test_the_lean_counts() -> None:
    potential = columns_of_atoms()
    positions = np.array([[0.0, 0.0], [1.0, 0.5], [2.0, 2.0]])
    straight, right, wrong = (
        segment_signals(crystal(potential, [[4.0, 0.0], [0.0, 5.2]], 300.0, lean), MICROSCOPE, positions)
        for lean in ((0.0, 0.0), LEAN, (-LEAN[0], -LEAN[1]))
    )
    assert np.abs(right - wrong).max() > 0.1 * straight.std()


def test_a_phase_object_is_right_where_it_is_thin_and_wrong_where_it_is_thick() -> None:
    """One layer is one; 300 Å, five depths of focus, are none."""
    vectors = [[4.0, 0.0], [0.0, 5.2]]
    assert compared(PERIOD, (0.0, 0.0), vectors, phase_object=True) < 0.03
    assert compared(300.0, (0.0, 0.0), vectors, phase_object=True) > 0.5


def test_fourier_sums_are_the_coefficients_of_a_periodic_image() -> None:
    y, x = np.meshgrid(IMAGE.positions, IMAGE.positions, indexing="ij")
    wave = 3 + 0.5 * np.cos(2 * np.pi * (x / 4 - y / 5.2) + 0.7)
    frequencies = np.array([[0, 0], [1 / 4, -1 / 5.2], [-1 / 4, 1 / 5.2], [1 / 4, 1 / 5.2]])
    found = fourier_sums(wave[None], SAMPLING, frequencies)[0]
    np.testing.assert_allclose(found, [3, 0.25 * np.exp(0.7j), 0.25 * np.exp(-0.7j), 0], atol=2e-3)


def test_a_cell_that_would_take_too_long_is_refused() -> None:
    with pytest.raises(InputError, match=f"{LARGEST_CELL:g}"):
        ColumnCrystal(Lattice(np.array([[11.0, 0.0], [0.0, 10.0]])), np.ones((8, 8), np.float32), 0.2, 100.0)
