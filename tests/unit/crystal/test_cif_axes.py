"""Cartesian coordinates of a CIF: the transformation that the file says, or one line."""

import gemmi
import numpy as np
import pytest

from iphasenet.base.errors import InputError
from tests.unit.crystal.test_cif import name, read, refused

RIGHT = (4, 5, 6, 90, 90, 90)
SKEW = (5.145, 5.2075, 5.3107, 88, 99.23, 104)
PLACES = np.array([[0.1, 0.2, 0.3], [0.45, 0.7, 0.6], [0.8, 0.15, 0.9]])
COLUMNS = "label type_symbol Cartn_x Cartn_y Cartn_z"
BOTH = "label fract_x fract_y fract_z Cartn_x Cartn_y Cartn_z"


def told(kind: str, matrix: np.ndarray, vector=None, style: str = "core") -> list[str]:
    tags = {
        "core": ("_atom_sites_{}_tran_matrix_{}{}", "_atom_sites_{}_tran_vector_{}"),
        "mmCIF": ("_atom_sites.{}_transf_matrix[{}][{}]", "_atom_sites.{}_transf_vector[{}]"),
    }[style]
    lines = [f"{tags[0].format(kind, i + 1, j + 1)} {matrix[i, j]:.7f}" for i, j in np.ndindex(3, 3)]
    return lines + [f"{tags[1].format(kind, i + 1)} {value:.5f}" for i, value in enumerate(vector or ())]


def sides(cell: tuple) -> np.ndarray:
    return np.array(gemmi.UnitCell(*cell).orth.mat.tolist())


def turned(cell: tuple) -> np.ndarray:
    """gemmi's axes, turned: a cyclic change of x, y, z and then by 30 degrees."""
    c, s = np.cos(np.pi / 6), 0.5
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.roll(sides(cell), 1, axis=0)


def rows(places: np.ndarray) -> tuple[str, ...]:
    return tuple(f"Fe{k} Fe {x:.6f} {y:.6f} {z:.6f}" for k, (x, y, z) in enumerate(places))


@pytest.mark.parametrize("style", ["core", "mmCIF"])
@pytest.mark.parametrize("kind", ["Cartn", "fract"])
@pytest.mark.parametrize("cell", [RIGHT, SKEW], ids=["right", "skew"])
@pytest.mark.parametrize("vector", [None, (0.5, -0.25, 1.0)], ids=["no vector", "vector"])
def test_the_transformation_of_the_file(tmp_path, style, kind, cell, vector):
    orth = turned(cell)
    shift = np.array(vector or (0, 0, 0))
    places = PLACES @ orth.T + shift if kind == "Cartn" else (PLACES - shift) @ orth.T
    matrix = orth if kind == "Cartn" else np.linalg.inv(orth)
    found = read(
        tmp_path, name("P 1"), *told(kind, matrix, vector, style), sites=rows(places), columns=COLUMNS, cell=cell
    )
    gaps = found.atoms().get_scaled_positions() - PLACES
    assert np.abs(gaps - np.rint(gaps)).max() < 1e-4


def test_both_transformations_have_to_agree(tmp_path):
    orth = turned(RIGHT)
    more = {"sites": rows(PLACES @ orth.T), "columns": COLUMNS, "cell": RIGHT}
    good = told("fract", np.linalg.inv(orth), style="mmCIF")
    read(tmp_path, name("P 1"), *told("Cartn", orth), *good, **more)
    assert "that contradict each other" in refused(tmp_path, name("P 1"), *told("Cartn", sides(RIGHT)), *good, **more)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (told("Cartn", sides(RIGHT))[:-1], "only part of the transformation"),
        (["_atom_sites_Cartn_tran_vector_1 1", "_atom_sites_Cartn_tran_vector_2 0"], "only part of the transformation"),
        (told("Cartn", sides((4, 5, 7, 90, 90, 90))), r"for another cell \(strain 17 %\)"),
        (told("fract", np.zeros((3, 3))), "for another cell"),
    ],
)
def test_a_transformation_that_is_not_the_cells_is_refused(tmp_path, lines, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, name("P 1"), *lines, sites=rows(PLACES * 5), columns=COLUMNS, cell=RIGHT)


def test_a_skew_cell_needs_a_transformation(tmp_path):
    message = refused(tmp_path, name("P 1"), sites=rows(PLACES @ sides(SKEW).T), columns=COLUMNS, cell=SKEW)
    assert "Cartesian coordinates in a skew cell" in message


def test_fractional_coordinates_have_no_need_of_one(tmp_path):
    """Its shift moves the Cartesian coordinates alone; a matrix of another cell is a contradiction."""
    lines = told("Cartn", turned(RIGHT), (1, 0, 0))
    found = read(tmp_path, name("P 1"), *lines, sites=rows(PLACES), cell=RIGHT)
    assert np.allclose(found.atoms().get_scaled_positions(), PLACES)
    other = told("fract", np.linalg.inv(sides(SKEW)))
    assert "for another cell" in refused(tmp_path, name("P 1"), *other, sites=rows(PLACES), cell=RIGHT)


def test_coordinates_that_are_told_twice(tmp_path):
    """Whatever the axes, distances are the same."""
    both = [
        f"Fe{k} " + " ".join(f"{v:.4f}" for v in (*f, *p))
        for k, (f, p) in enumerate(zip(PLACES, PLACES @ turned(SKEW).T, strict=True))
    ]
    assert len(read(tmp_path, name("P 1"), sites=both, columns=BOTH, cell=SKEW).atoms()) == 3
    wrong = [both[0], both[1].rsplit(" ", 1)[0] + " 0.0", both[2]]
    assert "Cartesian coordinates that differ by" in refused(
        tmp_path, name("P 1"), sites=wrong, columns=BOTH, cell=SKEW
    )
