"""Optics that are drawn for each tilt and rotation."""

from dataclasses import replace

import numpy as np
import pytest

from iphasenet.base.errors import InputError
from iphasenet.microscope.optics import Microscope
from iphasenet.simulation.drawn_optics import DrawnOptics, PlannedOptics

MICROSCOPE = Microscope(
    energy_kev=200, semiangle_mrad=20, detector_inner_mrad=10, detector_outer_mrad=50, aberrations={"C10": 30.0}
)
RANGES = DrawnOptics(
    defocus_angstrom=(-150, 150),
    cs_angstrom=(-2e4, 2e4),
    astigmatism_angstrom=(5, 20),
    source_size_angstrom=(0.1, 0.6),
    semiangle_mrad=(18, 25),
    detector_inner_mrad=(8, 14),
    detector_outer_mrad=(40, 60),
)


def drawn(count: int = 300, ranges: DrawnOptics = RANGES) -> list[Microscope]:
    return [PlannedOptics(MICROSCOPE, ranges, 3).one("GaN", tilt, 0) for tilt in range(count)]


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        (lambda one: one.defocus_angstrom, -150, 150),
        (lambda one: one.aberrations["Cs"], -2e4, 2e4),
        (lambda one: one.aberrations["astigmatism"], 5, 20),
        (lambda one: one.aberrations["astigmatism_angle"], -90, 90),
        (lambda one: one.source_size_angstrom, 0.1, 0.6),
        (lambda one: one.semiangle_mrad, 18, 25),
        (lambda one: one.detector_inner_mrad, 8, 14),
        (lambda one: one.detector_outer_mrad, 40, 60),
    ],
)
def test_numbers_fill_their_range_evenly(value, low: float, high: float) -> None:
    found = (np.array([value(one) for one in drawn()]) - low) / (high - low)
    assert found.min() >= 0 and found.max() <= 1
    # Moments of 300 numbers between 0 and 1.
    assert abs(found.mean() - 0.5) < 0.07 and abs(found.std() - 0.289) < 0.04


def test_a_range_more_changes_nothing_else() -> None:
    few = drawn(5, DrawnOptics(defocus_angstrom=(-150, 150)))
    many = drawn(5)
    assert [one.defocus_angstrom for one in few] == [one.defocus_angstrom for one in many]
    assert all(one.semiangle_mrad == 20 and one.source_size_angstrom == 0 for one in few)


def test_optics_do_not_depend_on_the_rest_of_a_run() -> None:
    optics = PlannedOptics(MICROSCOPE, RANGES, 3)
    assert optics.rotations("GaN", 2, 4)[1] == optics.one("GaN", 2, 1) == optics.rotations("GaN", 2, 2)[1]
    others = [optics.one("GaN", 2, 0), optics.one("GaN", 3, 0), optics.one("MoS2", 2, 1)]
    others.append(replace(optics, seed=4).one("GaN", 2, 1))
    assert optics.one("GaN", 2, 1) not in others


def test_without_ranges_all_images_have_one_microscope() -> None:
    optics = PlannedOptics(MICROSCOPE)
    assert optics.rotations("GaN", 0, 4) == optics.one("GaN", 1, 2) == optics.widest == MICROSCOPE


def test_the_widest_microscope_holds_all_that_may_be_drawn() -> None:
    widest = PlannedOptics(MICROSCOPE, RANGES, 3).widest
    assert (widest.semiangle_mrad, widest.detector_inner_mrad, widest.detector_outer_mrad) == (25, 8, 60)


@pytest.mark.parametrize(
    "ranges", [{"detector_inner_mrad": (8, 50), "detector_outer_mrad": (40, 60)}, {"detector_inner_mrad": (8, 300)}]
)
def test_angles_that_may_cross_are_refused(ranges: dict) -> None:
    with pytest.raises(InputError, match=r"drawn_optics: found inner collection angles up to .* every inner one below"):
        _ = PlannedOptics(MICROSCOPE, DrawnOptics(**ranges)).widest


def test_limits_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(InputError, match=r"drawn_optics\.semiangle_mrad: found \[25\.0, 18\.0\]; allowed: the lower"):
        DrawnOptics(semiangle_mrad=(25, 18))
    with pytest.raises(InputError, match=r"drawn_optics\.source_size_angstrom: found -1; allowed: 0 to 10 Å"):
        DrawnOptics(source_size_angstrom=(-1, 0.5))
