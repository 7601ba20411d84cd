"""Images in several microscopes, from one pass."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from iphasenet.base.errors import InputError
from iphasenet.microscope.optics import Microscope, enveloping
from iphasenet.multislice.periodic_images import simulate_images
from iphasenet.multislice.settings import Numerics
from tests.physics.conftest import cell_of, potential_of

WIDE = Microscope(
    energy_kev=200, semiangle_mrad=25, detector_inner_mrad=8, detector_outer_mrad=40, source_size_angstrom=0.3
)
NARROW = Microscope(
    energy_kev=200,
    semiangle_mrad=18,
    detector_inner_mrad=14,
    detector_outer_mrad=55,
    aberrations={"defocus": 80.0, "astigmatism": 40.0, "astigmatism_angle": 30.0},
)
ROUND = Microscope(energy_kev=200, semiangle_mrad=21, detector_inner_mrad=10, detector_outer_mrad=50)


@pytest.mark.parametrize("material", ["GaN", "KNbO3"])
def test_each_microscope_has_the_images_that_it_has_alone(material: str) -> None:
    """At rest, one microscope for each rotation: the waves of a larger probe, weighted by the smaller aperture."""
    potential, numerics = potential_of(cell_of(material, (0, 0, 1)), 0.1), Numerics(0.1, 0.3, 12.0)
    setting = {"lean": (0.003, -0.002), "dtype": torch.float64}
    microscopes, rotations = [WIDE, NARROW, ROUND], [0.0, 25.0, -40.0]
    together = simulate_images(potential, microscopes, numerics, [20.0, 45.0], rotations=rotations, **setting)
    for number, (microscope, rotation) in enumerate(zip(microscopes, rotations, strict=True)):
        found = together.coefficients[:, number : number + 1]
        alone = simulate_images(potential, microscope, numerics, [20.0, 45.0], rotations=[rotation], **setting)
        (my, mx), (ny, nx) = (np.array(series.shape[-2:]) // 2 for series in (alone.coefficients, found))
        inside = found[..., ny - my : ny + my + 1, nx - mx : nx + mx + 1]
        np.testing.assert_allclose(inside, alone.coefficients, rtol=0, atol=1e-12)
        # Nothing lies beyond the band of its own probe.
        assert np.abs(found).sum() == pytest.approx(np.abs(inside).sum())


def test_moving_atoms_pass_once_for_all_microscopes() -> None:
    """A microscope whose probe and detector hold all others has the images that it has alone."""
    cell = cell_of("KNbO3", (0, 0, 1))
    cell.arrays["displacements"] = np.tile(0.07**2 * np.eye(3), (len(cell), 1, 1))
    potential, numerics = potential_of(cell, 0.12), Numerics(0.12, 0.3, 9.0, thermal_passes=1)
    large = replace(WIDE, detector_outer_mrad=55, source_size_angstrom=0.0)
    both = simulate_images(potential, [large, ROUND], numerics, [20.0], rotations=[10.0, 10.0], seed=4)
    alone = simulate_images(potential, large, numerics, [20.0], rotations=[10.0], seed=4)
    np.testing.assert_allclose(both.coefficients[:, :1], alone.coefficients, atol=1e-6)
    assert np.abs(both.coefficients[0, 1] - both.coefficients[0, 0]).max() > 1e-3


def test_each_rotation_needs_a_microscope() -> None:
    potential = potential_of(cell_of("KNbO3", (0, 0, 1)), 0.15)
    with pytest.raises(InputError, match="found 2 for 1 rotation; allowed: one for each"):
        simulate_images(potential, [WIDE, ROUND], Numerics(0.15, 0.3, 8.0), [20.0], rotations=[0.0])


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ([], "found none"),
        ([WIDE, replace(ROUND, energy_kev=300)], "found 200 keV with .* and 300 keV"),
        ([WIDE, replace(ROUND, detector_segments=8)], "equal channels"),
        ([WIDE, replace(ROUND, dark_field_mrad=(60.0, 80.0))], "equal channels"),
    ],
)
def test_microscopes_that_no_pass_can_serve_are_refused(others: list[Microscope], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        enveloping(others)
