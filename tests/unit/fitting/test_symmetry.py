"""Rotations about the beam that change nothing are not tried twice."""

from pathlib import Path

import pytest

from iphasenet.crystal.structure import orthogonal_cell, read_structure
from iphasenet.fitting.symmetry import distinct, rotations_about_beam

TURNS = {
    ("GaN", (0, 0, 1)): range(0, 360, 60),
    ("MoS2", (0, 0, 1)): range(0, 360, 60),
    ("KNbO3", (0, 0, 1)): range(0, 360, 90),
    ("KNbO3", (1, 1, 0)): (0, 180),
    ("LiCoO2", (1, 0, 0)): (0, 180),
    ("PVSK", (0, 0, 1)): (0,),
}


@pytest.mark.parametrize(("crystal", "zone"), TURNS)
def test_axes_along_the_beam_are_found(crystal: str, zone: tuple[int, int, int]) -> None:
    atoms = read_structure(Path(f"resources/structures/{crystal}.cif"))
    found = rotations_about_beam(orthogonal_cell(atoms, zone, 0.2))
    assert sorted({round(angle) % 360 for angle in found}) == list(TURNS[crystal, zone])


@pytest.mark.parametrize(
    ("crystal", "zone", "kept"),
    [("GaN", (0, 0, 1), (0, 120, 240)), ("MoS2", (0, 0, 1), (0, 120, 240)), ("KNbO3", (1, 1, 1), (0, 120, 240))],
)
def test_screw_axes_move_a_slabs_surfaces(crystal: str, zone: tuple[int, int, int], kept: tuple[int, ...]) -> None:
    cell = orthogonal_cell(read_structure(Path(f"resources/structures/{crystal}.cif")), zone, 0.2)
    assert rotations_about_beam(cell, screws=False) == pytest.approx(kept, abs=0.1)


def test_only_rotations_that_differ_are_kept() -> None:
    assert distinct([33.0, 213.0, 93.1, 273.1], [0, 60, 120, 180, 240, 300]) == [33.0]
    assert distinct([33.0, 213.0, 123.0], [0, 180]) == [33.0, 123.0]
    assert distinct([359.5, 0.4, 180.0], [0]) == [359.5, 180.0]
