"""A crystal is known by its structure: not by its name, its file's order of atoms or its origin."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

from iphasenet.crystal.identity import CrystalIdentity, structure_hash
from iphasenet.crystal.structure import orthogonal_cell, read_structure
from tests.unit.planning.test_configuration import ROOT

ROCK_SALT = Atoms(
    "Na4Cl4",
    scaled_positions=[
        *[(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)],
        *[(0.5, 0.5, 0.5), (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5)],
    ],
    cell=[5.64] * 3,
    pbc=True,
)


@given(st.permutations(range(8)), st.tuples(*[st.floats(-2, 2)] * 3), st.floats(-1e-9, 1e-9))
def test_order_origin_and_rounding_are_no_part_of_a_structure(
    order: list[int], shift: tuple[float, float, float], rounding: float
) -> None:
    other = ROCK_SALT[order]
    other.positions += np.array(shift) * 5.64 + rounding
    assert structure_hash(other) == structure_hash(ROCK_SALT)


@pytest.mark.parametrize("change", ["element", "place", "length"])
def test_another_structure_has_another_hash(change: str) -> None:
    other = ROCK_SALT.copy()
    if change == "element":
        other.numbers[other.numbers == 11] = 19
    if change == "place":
        other.positions[3, 2] += 0.01
    if change == "length":
        other.set_cell([5.64, 5.64, 5.66], scale_atoms=True)
    assert structure_hash(other) != structure_hash(ROCK_SALT)


def test_a_zone_axis_is_part_of_it_and_a_copied_file_is_the_same(tmp_path: Path) -> None:
    text = (ROOT / "resources/structures/GaN.cif").read_text()
    copy = tmp_path / "GaN_001.cif"
    copy.write_text(text)
    found = [structure_hash(orthogonal_cell(read_structure(copy), axis)) for axis in ((0, 0, 1), (1, 0, 0))]
    shipped = structure_hash(orthogonal_cell(read_structure(ROOT / "resources/structures/GaN.cif"), (0, 0, 1)))
    assert found[0] == shipped != found[1]


@pytest.mark.parametrize(
    ("material", "zone", "known"),
    [
        ("GaN", (0, 0, 1), "cfd6216c9f94d21c"),
        ("LiCoO2", (1, 0, 0), "1f455ca8327eb86f"),
        ("PVSK", (0, 0, 1), "7520fd87088f38f9"),
        ("MoS2", (0, 0, 1), "6508f8c8330d3689"),
        ("KNbO3", (0, 0, 1), "0164acf96f416b37"),
    ],
)
def test_a_crystal_at_rest_keeps_the_name_that_stored_data_sets_have(
    material: str, zone: tuple[int, int, int], known: str
) -> None:
    path = ROOT / f"resources/structures/{material}.cif"
    cell = orthogonal_cell(read_structure(path), zone)
    assert structure_hash(cell) == known
    cell.set_array("displacements", np.zeros((len(cell), 3, 3)))
    cell.set_array("occupancies", np.ones(len(cell)))
    assert structure_hash(cell) == known
    # A network that has seen a crystal at one temperature has seen it.
    warm = orthogonal_cell(read_structure(path, temperature_k=293), zone)
    assert warm.arrays["displacements"].any() and structure_hash(warm) == known
    warm.set_array("occupancies", np.linspace(0.5, 1.0, len(warm)))
    mixed = structure_hash(warm)
    again = warm[np.random.default_rng(0).permutation(len(warm))]
    again.positions += 0.3
    assert structure_hash(again) == mixed != known


def test_names_count_where_a_structure_is_not_known() -> None:
    named, told = CrystalIdentity("GaN"), CrystalIdentity("GaN", "a")
    assert named.is_same(told) and told.is_same(CrystalIdentity("other", "a"))
    assert not told.is_same(CrystalIdentity("GaN", "b")) and not named.is_same(CrystalIdentity("other", "a"))
