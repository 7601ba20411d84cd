"""Seeds, tilts, splits and sample names."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iphasenet.base.errors import InputError
from iphasenet.crystal.slab_shape import INFINITE
from iphasenet.simulation.grid import SPLITS, Grid, generator, orientations, random_key, samples, split_of_tilts

GRID = Grid((20, 40), tilts=20, tilt_std_deg=0.3, rotations=3, validation_share=0.15, test_share=0.2)


def test_every_combination_is_there_once() -> None:
    names = [sample.sample_id for sample in samples(1, "GaN", GRID)]
    assert len(names) == len(set(names)) == 20 * 3 * 2


def test_a_sample_is_the_same_whatever_else_is_in_the_run() -> None:
    """More thicknesses, rotations and tilts, and another order, leave tilt, rotation and offset as they were."""
    larger = replace(GRID, thickness_nm=(20, 30, 40, 60), rotations=5, tilts=25)
    wanted = {s.sample_id: (s.orientation.lean, s.gamma, s.offset) for s in samples(1, "GaN", GRID)}
    found = {s.sample_id: (s.orientation.lean, s.gamma, s.offset) for s in samples(1, "GaN", larger)}
    assert wanted.items() <= found.items()


def test_materials_and_seeds_differ() -> None:
    tilts = [orientations(seed, name, GRID)[0].lean for seed, name in [(1, "GaN"), (1, "MoS2"), (2, "GaN")]]
    assert len(set(tilts)) == 3


def test_displacements_have_keys_of_their_own() -> None:
    keys = [
        random_key(seed, name, stream, tilt)
        for seed in (1, 2)
        for name in ("GaN", "MoS2")
        for stream in ("tilt", "thermal")
        for tilt in (0, 1)
    ]
    assert len(set(keys)) == len(keys)
    key = np.random.SeedSequence(random_key(1, "GaN", "thermal", 3))
    assert np.random.default_rng(key).random() == generator(1, "GaN", "thermal", 3).random()


def test_a_tilt_lies_in_one_split() -> None:
    split_of: dict[int, set[str]] = {}
    for sample in samples(1, "GaN", GRID):
        split_of.setdefault(sample.orientation.index, set()).add(sample.orientation.split)
    assert all(len(splits) == 1 for splits in split_of.values())
    counts = [split for splits in split_of.values() for split in splits]
    assert {name: counts.count(name) for name in set(counts)} == {"train": 13, "validation": 3, "test": 4}


@st.composite
def shares(draw: st.DrawFn) -> dict[str, float]:
    validation = draw(st.floats(0.001, 0.9))
    return {"validation_share": validation, "test_share": draw(st.floats(0.001, 0.999 - validation))}


@given(st.integers(0, 1000), shares(), st.integers(3, 150), st.integers(3, 150))
def test_a_grid_that_grows_keeps_the_splits_of_its_tilts(seed: int, part: dict[str, float], one: int, two: int) -> None:
    small, large = (replace(GRID, tilts=tilts, **part) for tilts in sorted((one, two)))
    first, second = (split_of_tilts(seed, "GaN", grid) for grid in (small, large))
    assert second[: len(first)] == first
    assert set(first[:3]) == set(SPLITS)


@given(shares(), st.integers(3, 300))
def test_splits_hold_their_shares_of_the_tilts(part: dict[str, float], tilts: int) -> None:
    """Less than one tilt off, but for the least tilt of splits whose share of all is less than one."""
    counts = replace(GRID, tilts=tilts, **part).split_counts
    wanted = {"validation": tilts * part["validation_share"], "test": tilts * part["test_share"]}
    wanted["train"] = tilts - sum(wanted.values())
    least = {split: max(0.0, 1 - share) for split, share in wanted.items()}
    for split, share in wanted.items():
        taken = sum(least.values()) - least[split]
        assert share - 1 - taken - 1e-6 < counts[split] < max(1.0, share + 1) + 1e-6
    assert sum(counts.values()) == tilts and min(counts.values()) >= 1


def test_the_first_tilts_are_in_another_split_of_another_material() -> None:
    found = {split_of_tilts(seed, name, GRID)[:3] for seed in range(5) for name in ("GaN", "MoS2")}
    assert len(found) > 2


def test_tilts_have_the_configured_spread_and_rotations_are_uniform() -> None:
    planned = orientations(3, "GaN", replace(GRID, tilts=4000))
    angles = np.degrees(np.arctan([o.lean for o in planned]))
    np.testing.assert_allclose(angles.std(axis=0), 0.3, rtol=0.05)
    np.testing.assert_allclose(angles.mean(axis=0), 0.0, atol=0.02)
    rotations = np.array([o.rotations_deg for o in planned]).ravel()
    np.testing.assert_allclose(np.histogram(rotations, 4, (0, 360))[0], 3000, rtol=0.07)


def test_rotations_of_rendered_crops_leave_the_samples_alone() -> None:
    more = replace(GRID, rendered_rotations=4)
    planned, plain = samples(3, "GaN", more), samples(3, "GaN", GRID)
    assert [(s.sample_id, s.gamma, s.offset) for s in planned] == [(s.sample_id, s.gamma, s.offset) for s in plain]
    assert {len(s.orientation.rotations_deg) for s in planned} == {GRID.rotations + 4}


def test_streams_are_independent() -> None:
    draws = [generator(1, "GaN", stream, 0).random() for stream in ("tilt", "rotation", "offset", "noise")]
    assert len(set(draws)) == 4


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"thickness_nm": (40, 20)}, "grid.thickness_nm"),
        ({"thickness_nm": (-20, 20)}, "grid.thickness_nm"),
        ({"tilts": 4, "validation_share": 0.5, "test_share": 0.5}, "validation_share 0.5 and test_share 0.5"),
    ],
)
def test_bad_grids_are_named(change: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        replace(GRID, **change)


def test_edges_and_wedges_take_their_shares_and_leave_the_rest_alone() -> None:
    many = replace(GRID, tilts=400)
    shaped = orientations(7, "GaN", replace(many, edge_share=0.25, wedge_share=0.5, wedge_deg=3.0))
    edges = [o.shape.edge for o in shaped if o.shape.edge is not None]
    wedges = [o.shape.wedge for o in shaped if o.shape.wedge is not None]
    assert abs(len(edges) / 400 - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 400)
    assert abs(len(wedges) / 400 - 0.5) < 4 * np.sqrt(0.25 / 400)
    assert all(abs(distance) <= 0.5 for _, distance in edges) and {angle for _, angle in wedges} == {3.0}
    for plain, other in zip(orientations(7, "GaN", many), shaped, strict=True):
        assert (plain.lean, plain.rotations_deg, plain.split) == (other.lean, other.rotations_deg, other.split)
        assert plain.is_periodic and other.is_periodic == (other.shape == INFINITE)


def test_any_orientation_is_uniform_in_all_three_angles() -> None:
    planned = orientations(7, "GaN", replace(GRID, tilts=400, orientation="any"))
    angles = np.array([o.tilt_deg for o in planned])
    np.testing.assert_allclose(np.histogram(angles, 4, (0, 360))[0], 200, rtol=4 / np.sqrt(200))
    assert not any(o.is_periodic for o in planned)


def test_thicknesses_of_a_slab_share_their_place() -> None:
    offsets = {s.offset for s in samples(7, "GaN", replace(GRID, orientation="any")) if s.rotation_index == 0}
    assert len(offsets) == GRID.tilts
