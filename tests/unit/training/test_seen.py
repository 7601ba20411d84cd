"""What weights say they have seen, and what is new of a sample to them."""

import json
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iphasenet.base.errors import InputError
from iphasenet.crystal.identity import CrystalIdentity
from iphasenet.dataset.material_data import MaterialData
from iphasenet.simulation.grid import Grid, Split, samples
from iphasenet.simulation.tilts import lab_angles
from iphasenet.training.seen import SEEN, UNKNOWN, describe_seen, is_by_name, what_is_new

GRID = Grid((2, 4), tilts=10, tilt_std_deg=0.3, rotations=2, validation_share=0.1, test_share=0.2)
NONE = np.zeros((0, 4, 1, 1), np.float32)
KNBO3 = CrystalIdentity("KNbO3")


def split_of(grid: Grid, split: Split, material: str = "KNbO3", seed: int = 7) -> MaterialData:
    """What a data set says of the samples of a split."""
    rows = [sample for sample in samples(seed, material, grid) if sample.orientation.split == split]
    known: dict[str, Any] = {"thickness_nm": [sample.thickness_nm for sample in rows]}
    known |= dict(zip(("alpha", "beta"), zip(*(lab_angles(sample) for sample in rows), strict=True), strict=True))
    known |= {"gamma": [sample.gamma for sample in rows], "tilt": [sample.orientation.index for sample in rows]}
    coordinates = {name: np.array(values) for name, values in known.items()}
    return MaterialData(material, NONE, NONE[:, 0], NONE[:, None], np.array([1e5]), 0.2, coordinates)


def seen(grid: Grid) -> dict[str, Any]:
    """What weights' headers hold: JSON."""
    found: dict[str, Any] = json.loads(json.dumps(describe_seen(*([split_of(grid, s)] for s in get_args(Split)[:2]))))
    return found


def new(grid: Grid, other: Grid, **change: Any) -> set[str]:
    """What is new of another grid's test samples to a network that a grid trained."""
    data = split_of(other, "test", **change)
    return set(what_is_new(seen(grid), data.crystal, data.coordinates))


def test_own_test_samples_are_new_by_their_tilt() -> None:
    assert new(GRID, GRID) == {"tilt"}
    assert new(GRID, replace(GRID, tilts=40, rotations=5)) == {"tilt"}


def test_every_way_in_which_a_sample_is_new_is_named() -> None:
    assert new(GRID, replace(GRID, thickness_nm=(2, 3))) == {"tilt", "tilt and thickness"}
    assert new(GRID, replace(GRID, thickness_nm=(3,)), material="GaN") == {"material and thickness"}
    assert new(GRID, GRID, material="GaN") == {"material"}
    assert new(GRID, GRID, seed=8) == {"tilt"}


def test_samples_of_the_training_split_are_seen_and_so_are_those_of_the_validation_split() -> None:
    """At other rotations too: the network knows the crystal at that tilt and thickness."""
    more = replace(GRID, rotations=4)
    for split in get_args(Split)[:2]:
        data = split_of(more, split)
        assert set(what_is_new(seen(GRID), KNBO3, data.coordinates)) == {SEEN}
        thinner = {**data.coordinates, "thickness_nm": data.coordinates["thickness_nm"] + 0.5}
        assert set(what_is_new(seen(GRID), KNBO3, thinner)) == {"thickness"}


def test_a_slab_under_another_label_is_no_new_thickness() -> None:
    data = split_of(GRID, "train")
    slabs = {**data.coordinates, "slab_thickness": np.round(10 * data.coordinates["thickness_nm"] / 2.6) * 2.6}
    described = describe_seen([replace(data, coordinates=slabs)], [])
    relabelled = {**slabs, "thickness_nm": slabs["thickness_nm"] + 0.05}
    assert set(what_is_new(described, KNBO3, relabelled)) == {SEEN}
    assert set(what_is_new(described, KNBO3, {**slabs, "slab_thickness": slabs["slab_thickness"] + 2.6})) >= {
        "thickness"
    }


def test_tilts_are_known_at_any_rotation_however_large_they_are() -> None:
    """The beam's directions in a crystal that is tilted by 4 degrees differ by 0.03 degrees over its rotations."""
    large = replace(GRID, tilt_std_deg=2.0, tilts=40)
    more = replace(large, rotations=6)
    described = seen(large)
    assert set(what_is_new(described, KNBO3, split_of(more, "train").coordinates)) == {SEEN}
    assert len(described["KNbO3"]["train"]["tilts_deg"]) == large.split_counts["train"]
    assert new(large, more) == {"tilt"}


def test_other_shares_move_training_tilts_into_the_test_split_and_they_are_found() -> None:
    other = replace(GRID, test_share=0.5)
    data = split_of(other, "test")
    tilts = {split: set(split_of(GRID, split).coordinates["tilt"].tolist()) for split in get_args(Split)}
    expected = ["tilt" if tilt in tilts["test"] else SEEN for tilt in data.coordinates["tilt"].tolist()]
    assert what_is_new(seen(GRID), KNBO3, data.coordinates) == expected and SEEN in expected


def test_a_crystal_is_known_by_its_structure_whatever_its_name() -> None:
    """Another structure under the same name is new, the same under another name is not; older headers have names."""
    train = [replace(split_of(GRID, "train", name), structure=kind) for name, kind in (("KNbO3", "a"), ("GaN", "b"))]
    header = json.loads(json.dumps(describe_seen(train, [])))
    known = train[0].coordinates

    def found(name: str, structure: str = "") -> set[str]:
        return set(what_is_new(header, CrystalIdentity(name, structure), known))

    assert found("KNbO3", "a") == found("KNbO3_001", "a") == found("GaN", "a") == {SEEN}
    assert found("KNbO3", "c") == found("MoS2", "c") == {"material"}
    assert found("KNbO3") == {SEEN} and found("KNbO3_001") == {"material"}
    older = describe_seen([split_of(GRID, "train")], [])
    assert set(what_is_new(older, CrystalIdentity("KNbO3", "a"), known)) == {SEEN}
    assert is_by_name(older, CrystalIdentity("KNbO3", "a")) and is_by_name(header, KNBO3)
    assert not is_by_name(header, CrystalIdentity("KNbO3", "c")) and not is_by_name(None, KNBO3)


def test_rotations_of_rendered_crops_are_in_the_header() -> None:
    more = replace(GRID, rendered_rotations=3)
    planned = [sample for sample in samples(7, "KNbO3", more) if sample.orientation.split == "train"]
    stored, rendered = (
        describe_seen([split_of(more, "train")], [split_of(more, "validation")], simulated)["KNbO3"]
        for simulated in ({}, {"KNbO3": planned})
    )
    assert stored["validation"] == rendered["validation"]
    for name in ("tilts_deg", "thickness_nm"):
        assert stored["train"][name] == rendered["train"][name]
    for sample in planned:
        every = {round(gamma, 4) for gamma in sample.orientation.rotations_deg}
        assert sorted(every) in rendered["train"]["gamma_deg"] and len(every) == 5


def test_weights_that_do_not_say_are_labelled() -> None:
    data = split_of(GRID, "train")
    assert set(what_is_new(None, KNBO3, data.coordinates)) == {UNKNOWN}
    with pytest.raises(InputError, match="weights: seen: found something else"):
        what_is_new({"KNbO3": {"train": {}}}, KNBO3, data.coordinates)


@given(st.lists(st.tuples(*[st.floats(-360, 360)] * 3), min_size=1, max_size=5), st.floats(0.01, 170))
def test_a_sample_is_known_again_at_any_orientation(angles: list[tuple[float, float, float]], turn: float) -> None:
    """By the beam's direction in the crystal: by 32 bits of its angles, and turned as a whole, but not tilted."""
    alpha, beta, gamma = np.array(angles).T
    known = {"thickness_nm": np.full(len(alpha), 2.0), "alpha": alpha, "beta": beta, "gamma": gamma}
    data = replace(split_of(GRID, "train"), coordinates=known)
    header = describe_seen([data], [])
    rounded = {name: values.astype(np.float32).astype(np.float64) for name, values in known.items()}
    assert set(what_is_new(header, KNBO3, rounded)) == {SEEN}
    # beta is the last rotation: about y, the beam moves by all of it.
    tilted = {**known, "beta": beta + turn}
    alone = describe_seen([replace(data, coordinates={name: values[:1] for name, values in known.items()})], [])
    assert what_is_new(alone, KNBO3, tilted)[0] == "tilt"
