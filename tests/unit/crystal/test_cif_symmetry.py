"""CIFs of any space group in any setting, told in any way: the right crystal, by gemmi's tables, or a question."""

from pathlib import Path

import gemmi
import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from iphasenet.base.errors import InputError
from iphasenet.crystal.cif import Crystal, read_crystal

TABLE = tuple(gemmi.spacegroup_table())
SPECIAL = tuple(k / 24 for k in (0, 3, 6, 8, 9, 12, 15, 16, 18))


def metric(entry: gemmi.SpaceGroup, numbers: list[float]) -> gemmi.UnitCell:
    """A cell that the group leaves as it is: the mean of a random metric's images."""
    skew = np.array([[7, 0, 0], [0, 9, 0], [0, 0, 8]]) + np.array([[0, 0, 0], [numbers[0], 0, 0], [*numbers[1:], 0]])
    plain = skew @ skew.T
    turned = [np.array(op.rot) / gemmi.Op.DEN for op in entry.operations().sym_ops]
    mean = sum(w.T @ plain @ w for w in turned) / len(turned)
    a, b, c = np.sqrt(np.diag(mean))
    angles = np.degrees(np.arccos([mean[1, 2] / b / c, mean[0, 2] / a / c, mean[0, 1] / a / b]))
    return gemmi.UnitCell(*(round(value, 4) for value in (a, b, c, *angles)))


def expected(entry: gemmi.SpaceGroup, places: list[tuple[str, list[float]]]) -> list:
    """The atoms of the cell: each image by gemmi's operations once."""
    atoms = []
    for element, place in places:
        for op in entry.operations():
            image = np.array(op.apply_to_xyz(place))
            gaps = np.array([image - other for name, other in atoms if name == element] or [[0.5, 0.5, 0.5]])
            if np.abs(gaps - np.rint(gaps)).max(axis=1).min() > 1e-6:
                atoms.append((element, image))
    return atoms


def same_atoms(crystal: Crystal, atoms: list) -> bool:
    found = crystal.atoms()
    if len(found) != len(atoms):
        return False
    for element, place in atoms:
        gaps = found.get_scaled_positions() - place
        near = np.abs(gaps - np.rint(gaps)).max(axis=1) < 2e-3
        if not (near & (np.array(found.get_chemical_symbols()) == element)).any():
            return False
    return True


def shortest(cell: gemmi.UnitCell, atoms: list) -> float:
    places = np.array([place for _, place in atoms])
    gaps = places[:, None] - places
    lengths = np.linalg.norm((gaps - np.rint(gaps)) @ np.array(cell.orth.mat.tolist()).T, axis=2)
    return float((lengths + 99 * np.eye(len(places))).min())


def write(
    path: Path, cell: gemmi.UnitCell, told: list[str], places: list[tuple[str, list[float]]], digits: int
) -> None:
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = ["data_random", *(f"_cell_{n} {v}" for n, v in zip(names, cell.parameters, strict=True)), *told]
    lines += ["loop_", "_atom_site_label", *(f"_atom_site_fract_{axis}" for axis in "xyz")]
    lines += [f"{element}1 " + " ".join(f"{value:.{digits}f}" for value in place) for element, place in places]
    path.write_text("\n".join(lines) + "\n")


def operations(entry: gemmi.SpaceGroup, tag: str) -> list[str]:
    return ["loop_", tag, *(f"'{op.triplet()}'" for op in entry.operations())]


@st.composite
def crystals(draw: st.DrawFn) -> tuple:
    entry = TABLE[draw(st.integers(0, len(TABLE) - 1))]
    share = st.floats(-1.5, 1.5).map(lambda value: round(value, 2))
    cell = metric(entry, [draw(share), draw(share), draw(share)])
    anywhere = st.floats(0.02, 0.98)
    places = [("O", [draw(anywhere) for _ in range(3)]), ("F", [draw(st.sampled_from(SPECIAL)) for _ in range(3)])]
    return entry, cell, places, draw(st.sampled_from((4, 5, 8)))


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    crystal=crystals(),
    ways=st.sets(
        st.sampled_from(("operations", "old operations", "hall", "name", "name and code", "number")), min_size=1
    ),
    case=st.sampled_from((str, str.upper, str.lower, lambda name: name.replace(" ", ""))),
    extended=st.booleans(),
    contents=st.booleans(),
)
def test_any_space_group_told_in_any_way(tmp_path_factory, crystal, ways, case, extended, contents):
    entry, cell, places, digits = crystal
    atoms = expected(entry, places)
    assume(shortest(cell, atoms) > 1.2)
    alone = ways == {"number"}
    # A number means its group's first setting.
    assume(not alone or entry.is_reference_setting())
    told = []
    if "operations" in ways:
        told += operations(entry, "_space_group_symop_operation_xyz")
    if "old operations" in ways:
        told += operations(entry, "_symmetry_equiv_pos_as_xyz")
    if "hall" in ways:
        told += ["_space_group_name_Hall", f'"{entry.hall}"' if '"' not in entry.hall else f"'{entry.hall}'"]
    if "name" in ways or "name and code" in ways:
        told += [f"_symmetry_space_group_name_H-M '{case(entry.xhm() if extended else entry.hm)}'"]
    if "name and code" in ways and (entry.ext.strip("\0") or entry.qualifier):
        told += [f"_space_group_IT_coordinate_system_code '{entry.ext.strip(chr(0))}{entry.qualifier}'"]
    if "number" in ways:
        told += [f"_space_group_IT_number {entry.number}"]
    if contents:
        counts = {element: sum(other == element for other, _ in atoms) for element, _ in places}
        told += [f"_chemical_formula_sum 'O{counts['O']} F{counts['F']}'", "_cell_formula_units_Z 1"]
    path = tmp_path_factory.getbasetemp() / "random.cif"
    write(path, cell, told, places, digits)
    certain = not ways.isdisjoint({"operations", "old operations", "hall"}) or (extended and not alone)
    try:
        found = read_crystal(path)
    except InputError as error:
        assert not certain, f"{entry.xhm()}: {error}"
        assert "may be" in str(error)
    else:
        assert same_atoms(found, atoms), f"{entry.xhm()}: {found.reading.source}, {len(found.atoms())} for {len(atoms)}"
