"""Thicknesses as whole slices."""

import itertools

import numpy as np
import pytest

from iphasenet.base.errors import InputError
from iphasenet.crystal.slicing import Slicing, layer_slicing


def test_two_thicknesses_of_the_same_slab_are_one_line() -> None:
    """20 and 20.05 nm of a crystal with a layer each 0.26 nm would be one slab under two labels."""
    slicing = Slicing(np.array([2.6, 2.6]), np.array([0, 1]), 0.0, np.array([0.0, 2.6]))
    assert slicing.exits([200.0, 202.0, 400.0]) == [77, 78, 154]
    line = r"found 20 and 20\.05 nm, which are the same 77 slices, 20\.02 nm; allowed"
    with pytest.raises(InputError, match=line):
        slicing.exits([100.0, 200.0, 200.5])


def test_light_atoms_may_be_farther_from_heavy_ones_than_these_from_each_other() -> None:
    """The thickness of two atoms at a distance d is sqrt(12 w (1 - w)) d, w the share of one of them."""
    heights, length = np.array([0.0, 0.6, 4.0]), 8.0
    equal, light = (layer_slicing(heights, np.array([5.0, weight, 5.0]), length, 1.0) for weight in (5.0, 0.1))
    assert equal.owner.tolist() == [0, 1, 2]
    assert light.owner.tolist() == [0, 0, 1]
    assert light.origin == pytest.approx(0.06 / 5.1)
    assert layer_slicing(heights, np.full(3, 5.0), length, 1.05).owner.tolist() == [0, 0, 1]


def test_a_slice_holds_atoms_of_the_top_and_of_the_bottom_of_a_cell_that_repeats() -> None:
    """Pairs of layers, as in GaN, one of them across the boundary of two cells."""
    heights, weights = np.array([0.0, 1.95, 2.6, 4.55]), np.array([3.0, 1.0, 3.0, 1.0])
    slicing = layer_slicing(heights, weights, 5.2, 1.0)
    assert slicing.owner.tolist() == [0, 1, 1, 0]
    np.testing.assert_allclose(slicing.heights, [0.0, 1.95, 2.6, -0.65])
    np.testing.assert_allclose(slicing.distances, [2.6, 2.6])
    assert slicing.origin == pytest.approx(-0.65 / 4)
    # A slab has surfaces.
    assert layer_slicing(heights, weights, 5.2, 1.0, repeats=False).owner.tolist() == [0, 1, 1, 2]


def test_slices_are_few_and_then_thin() -> None:
    """Five layers fit into two slices in two ways; cut after the second, both have less spread."""
    heights = np.array([0.0, 0.2, 0.5, 0.7, 0.9])
    assert layer_slicing(heights, np.ones(5), 9.0, 0.9).owner.tolist() == [0, 0, 1, 1, 1]


def test_layers_at_equal_distances_are_cut_at_the_bottom_of_the_cell() -> None:
    """Rounding errors of heights do not decide where a crystal begins."""
    heights = np.array([0.0, 1.0 + 1e-12, 2.0, 3.0 - 1e-12])
    assert layer_slicing(heights, np.ones(4), 4.0, 0.3).owner.tolist() == [0, 1, 2, 3]


def _spread(heights: np.ndarray, weights: np.ndarray) -> float:
    """Sum of weighted squares of distances from the mean."""
    return float((weights * (heights - np.average(heights, weights=weights)) ** 2).sum())


@pytest.mark.parametrize("seed", range(60))
def test_no_other_way_to_cut_has_fewer_slices_or_as_few_with_less_spread(seed: int) -> None:
    """All ways to cut some layers, heavy beside light ones: a heavy layer can make a slice thinner."""
    random = np.random.default_rng(seed)
    count, thickness = int(random.integers(2, 9)), random.uniform(0.3, 2.5)
    heights, weights = np.sort(random.uniform(0, 6, count)), 10 ** random.uniform(-2, 1, count)

    def fits(part: slice) -> bool:
        thin = np.sqrt(12 * _spread(heights[part], weights[part]) / weights[part].sum()) <= thickness
        return thin and np.ptp(heights[part]) <= 4 * thickness

    allowed = []
    for cuts in itertools.product((False, True), repeat=count - 1):
        edges = [0, *(np.flatnonzero(cuts) + 1), count]
        parts = [slice(*ends) for ends in itertools.pairwise(edges)]
        if all(fits(part) for part in parts):
            allowed.append((len(parts), sum(_spread(heights[part], weights[part]) for part in parts)))
    slicing = layer_slicing(heights, weights, 12.0, thickness, repeats=False)
    owned = [slicing.owner == number for number in range(slicing.count)]
    assert (slicing.count, sum(_spread(heights[o], weights[o]) for o in owned)) == pytest.approx(min(allowed))
