"""CIFs as others write them: the crystal that is meant, with a word where it is not plain, or one line."""

import re
from collections import Counter
from pathlib import Path

import gemmi
import numpy as np
import pytest
import spglib

from iphasenet.base.errors import InputError, InputWarning
from iphasenet.crystal.cif import Crystal, read_crystal
from iphasenet.crystal.cif_claims import read_formula
from iphasenet.crystal.cif_file import number, read_block
from iphasenet.crystal.space_group import Group
from iphasenet.crystal.space_group_name import settings_called
from iphasenet.crystal.structure import read_structure

CUBE = (5.64, 5.64, 5.64, 90, 90, 90)
HEXAGONAL = (3.19, 3.19, 5.19, 90, 90, 120)
MONOCLINIC = (5.64, 5.2, 5.3, 90, 95, 90)
SALT = ("Na1 Na 0 0 0", "Cl1 Cl .5 .5 .5")
FORMULA = ("_chemical_formula_sum 'Cl Na'", "_cell_formula_units_Z 4")
FACES = ("0 0 0", "0 .5 .5", ".5 0 .5", ".5 .5 0")
WHOLE = tuple(f"Na{k} Na {p}" for k, p in enumerate(FACES)) + tuple(
    f"Cl{k} Cl {p}" for k, p in enumerate((".5 .5 .5", ".5 0 0", "0 .5 0", "0 0 .5"))
)
COLUMNS = "label type_symbol fract_x fract_y fract_z"
WITH_OCCUPANCY = COLUMNS + " occupancy"


def name(text: str) -> str:
    return f"_symmetry_space_group_name_H-M '{text}'"


FM3M = name("F m -3 m")


def operations(*triplets: str) -> str:
    return "\n".join(["loop_", "_symmetry_equiv_pos_as_xyz", *(f"'{one}'" for one in triplets)])


def all_operations(setting: str) -> str:
    return operations(*(op.triplet() for op in gemmi.SpaceGroup(setting).operations()))


def text_of(*told: str, sites=SALT, columns=COLUMNS, cell=CUBE, block="crystal") -> str:
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = [f"data_{block}", *(f"_cell_{key} {value}" for key, value in zip(names, cell, strict=True)), *told]
    lines += ["loop_", *(f"_atom_site_{column}" for column in columns.split()), *sites]
    return "\n".join(lines) + "\n"


def read(folder: Path, *told: str, **more) -> Crystal:
    path = folder / "told.cif"
    path.write_text(text_of(*told, **more), encoding="utf-8")
    return read_crystal(path)


def contents(crystal: Crystal) -> dict[str, int]:
    return dict(Counter(crystal.atoms().get_chemical_symbols()))


def refused(folder: Path, *told: str, **more) -> str:
    with pytest.raises(InputError) as caught:
        read(folder, *told, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


ROCK_SALT = {"Na": 4, "Cl": 4}

SYMMETRY = {
    "Hall symbol": ("_space_group_name_Hall '-F 4 2 3'",),
    "old Hall symbol": ("_symmetry_space_group_name_Hall '-F 4 2 3'",),
    "reference name": ("_space_group_name_H-M_ref 'F m -3 m'",),
    "full name": ("_space_group_name_H-M_full 'F 4/m -3 2/m'",),
    "dotted name": ("_space_group.name_H-M_alt 'F m -3 m'",),
    "old name": (name("F m 3 m"),),
    "upper case": (name("FM-3M"),),
    "lower case": (name("f m -3 m"),),
    "number": ("_space_group_IT_number 225",),
    "operations without a name": (all_operations("F m -3 m"),),
    "operations without quotes": (
        "loop_\n_symmetry_equiv_pos_as_xyz\nx, y, z\nx, y+1/2, z+1/2\nx+1/2, y, z+1/2\nx+1/2, y+1/2, z",
    ),
    "generators alone": (operations("x,y+1/2,z+1/2", "x+1/2,y,z+1/2"),),
    "a name that is none": (all_operations("F m -3 m"), name("cubic close packed")),
    "magnetic operations": (
        "loop_\n_space_group_symop_magn_operation.id\n_space_group_symop_magn_operation.xyz\n1 x,y,z,+1",
        "loop_\n_space_group_symop_magn_centering.xyz\nx,y,z,+1\nx,y+1/2,z+1/2,-1\nx+1/2,y,z+1/2,-1\nx+1/2,y+1/2,z,+1",
    ),
    "name, only the identity, and a formula": (FM3M, operations("x,y,z"), *FORMULA),
    "a number that is none": ("_symmetry_Int_Tables_number 0", all_operations("F m -3 m")),
    "a number that is not told": ("_symmetry_Int_Tables_number n/a", FM3M),
    "a number with decimals": ("_space_group_IT_number 225.0",),
    "a name as the number": ("_symmetry_Int_Tables_number 'F m -3 m'", FM3M),
    "a number in the name": (name("Fm-3m (No. 225)"),),
    "the origin of a group that has one": (name("Fm-3m:1"),),
    "numbers that contradict each other, and a formula": ("_space_group_IT_number 221", FM3M, *FORMULA),
}


@pytest.mark.parametrize("told", SYMMETRY.values(), ids=SYMMETRY)
def test_symmetry_as_it_is_told(tmp_path, told):
    assert contents(read(tmp_path, *told)) == ROCK_SALT


UNCLEAR = {
    "nothing": ((), "found no symmetry, and neither formula with Z nor density confirms the 2 atoms"),
    "nothing but a formula that contradicts": (
        FORMULA,
        "found ClNa in the cell, but its formula is 'Cl Na' times Z = 4",
    ),
    "a name with the identity alone": ((FM3M, operations("x,y,z")), r"may be its operations \(P 1\) or its name"),
    "name against number": ((FM3M, "_space_group_IT_number 221"), r"may be its name .* or its number 221 \(P m -3 m\)"),
    "a magnetic name": (("_space_group_magn.name_BNS 'F_Cm-3m'",), "magnetic space group without its operations"),
    "a name that is none": ((name("F m m x"),), "the space group 'F m m x', which is not understood"),
    "no operation": ((operations("x,y,half"),), "found the operation 'x,y,half'; allowed: such as"),
    "no group": ((operations("x+y,y,z"),), "form no space group"),
    "no symmetry of a lattice": ((operations("x,x,z"),), "which no lattice can have"),
    "a modulated crystal": (("_cell_modulation_dimension 1", FM3M), "modulated crystal"),
    "a number beyond": (("_space_group_IT_number 231",), "space-group number '231', which is none of 1 to 230"),
    "a crystal system that is another": (
        (name("P 1"), "_space_group_crystal_system cubic"),
        "its crystal system is 'cubic', but that of its name 'P 1' is 'triclinic'",
    ),
}


@pytest.mark.parametrize(("told", "message"), UNCLEAR.values(), ids=UNCLEAR)
def test_unclear_symmetry_is_refused(tmp_path, told, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, *told)


def test_a_trigonal_name_means_the_axes_that_the_cell_has(tmp_path):
    """LiCoO2 was read with rhombohedral operations on hexagonal axes: CoLi3O6."""
    sites = ("Li1 Li 0 0 .5", "Co1 Co 0 0 0", "O1 O 0 0 .2395")
    told = (name("R -3 m"), "_space_group_crystal_system trigonal")
    found = read(tmp_path, *told, sites=sites, cell=(2.816, 2.816, 14.05, 90, 90, 120))
    assert contents(found) == {"Li": 3, "Co": 3, "O": 6}
    bismuth = read(tmp_path, *told, sites=("Bi1 Bi .234 .234 .234",), cell=(4.75, 4.75, 4.75, 57.2, 57.2, 57.2))
    assert contents(bismuth) == {"Bi": 2}
    assert "strain over 50 %" in refused(tmp_path, name("R -3 m :R"), sites=sites, cell=HEXAGONAL)


@pytest.mark.parametrize(
    ("told", "place", "atoms"),
    [
        ((name("F d -3 m"), "_space_group_IT_coordinate_system_code 2"), ".125 .125 .125", 8),
        (("_space_group_IT_number 227", "_space_group_IT_coordinate_system_code 2"), ".125 .125 .125", 8),
        ((name("F d -3 m :2"),), "0 0 0", 16),
        ((name("F d 3 m S"),), "0 0 0", 8),
        ((name("F d -3 m"), "_chemical_formula_sum Si", "_cell_formula_units_Z 8"), ".125 .125 .125", 8),
        ((name("F d -3 m"), all_operations("F d -3 m:2")), ".125 .125 .125", 8),
    ],
)
def test_the_origin_of_silicon(tmp_path, told, place, atoms):
    assert contents(read(tmp_path, *told, sites=(f"Si1 Si {place}",), cell=(5.43, 5.43, 5.43, 90, 90, 90))) == {
        "Si": atoms
    }


def test_an_origin_that_nothing_decides_is_asked_for(tmp_path):
    message = refused(tmp_path, name("F d -3 m"), sites=("Si1 Si 0 0 0",), cell=(5.43, 5.43, 5.43, 90, 90, 90))
    assert "(F d -3 m:1) or" in message
    assert "(F d -3 m:2), and nothing that decides" in message


def test_an_operation_must_leave_the_cell_as_it_is(tmp_path):
    message = refused(tmp_path, FM3M, cell=(5.64, 5.64, 5.9, 90, 90, 90))
    assert "which does not map the cell onto itself (strain 4.7 %)" in message
    assert contents(read(tmp_path, FM3M, cell=(5.64, 5.64, 5.645, 90, 90, 90))) == ROCK_SALT


@pytest.mark.parametrize("told", ["P 1 21/n 1", "P 21/n", "P2_1/n", "p 21/N"])
def test_monoclinic_names(tmp_path, told):
    atoms = read(tmp_path, name(told), sites=("Zr1 Zr .2 .1 .4",), cell=MONOCLINIC)
    assert atoms.reading.group.name == "P 1 21/n 1"


def test_a_short_monoclinic_name_follows_the_cell(tmp_path):
    found = read(tmp_path, name("P 21/m"), sites=("Zr1 Zr .2 .1 .25",), cell=(5.64, 5.2, 5.3, 90, 90, 95))
    assert found.reading.group.name == "P 1 1 21/m"


def test_operations_come_before_a_name(tmp_path):
    """The usual name of the type with operations of another setting is common; another setting's is a contradiction."""
    more = {"sites": ("Zr1 Zr .2 .1 .4",), "cell": MONOCLINIC}
    found = read(tmp_path, name("P 21/c"), all_operations("P 1 21/n 1"), **more)
    assert found.reading.group.name == "P 1 21/n 1"
    assert found.warnings == ("its name 'P 21/c' names another setting than its operations (P 1 21/n 1)",)
    assert "may be its operations" in refused(tmp_path, name("P 21/a"), all_operations("P 1 21/n 1"), **more)


def test_all_atoms_listed_below_a_name(tmp_path):
    """With operations of P 1 the list is whole; a name that would double it is what is wrong."""
    found = read(tmp_path, FM3M, operations("x,y,z"), sites=WHOLE)
    assert contents(found) == ROCK_SALT
    assert "contradicts its name 'F m -3 m'" in found.warnings[0]
    again = read(tmp_path, FM3M, sites=WHOLE)
    assert contents(again) == ROCK_SALT
    assert again.warnings[0] == "the places of site Na0 are listed again as Na1, Na2, Na3; they are taken once"


SPARSE = "found only ClNa in a cell of 179.4 Å³; atoms or symmetry may be missing"


def test_an_all_but_empty_cell(tmp_path):
    """The asymmetric unit under P 1 is said; without a word on symmetry it stays a question."""
    assert read(tmp_path, name("P 1")).warnings == (SPARSE,)
    told = ("_chemical_formula_sum 'Na4 Cl4'", "_cell_formula_units_Z 4")
    cell = (8, 9, 13, 90, 100, 90)
    sites = tuple(f"{e}{k} {e} .{k}{j} .{k} .{j}5" for k, (e, j) in enumerate([("Na", 1), ("Cl", 4), ("Na", 7)] * 2, 1))
    sites = (*sites, "Cl7 Cl .8 .15 .5", "Cl8 Cl .05 .9 .9")
    assert "4 Na for 16" in refused(tmp_path, *told, sites=sites, cell=cell)
    assert "neither formula with Z nor density confirms the 8" in refused(tmp_path, *told, sites=WHOLE)
    # Eight atoms leave a cell of 921 Å³ too empty for the formula to be its contents, as where pymatgen writes it.
    assert "4 Na for 16" in refused(tmp_path, *told, name("P 1"), sites=sites, cell=cell)
    confirmed = read(tmp_path, *FORMULA, sites=WHOLE)
    assert confirmed.warnings == ("no symmetry told (P 1), which the rest of the file confirms",)


@pytest.mark.parametrize("element", ["Cs", "K", "Ba"])
def test_large_atoms_fill_a_cell(tmp_path, element):
    edge = {"Cs": 6.14, "K": 5.33, "Ba": 5.03}[element]
    sites = (f"{element}1 {element} 0 0 0",)
    assert read(tmp_path, name("I m -3 m"), sites=sites, cell=(edge, edge, edge, 90, 90, 90)).warnings == ()


def test_the_contents_of_the_cell_as_a_formula(tmp_path):
    """Pymatgen writes them beside the Z of the reduced formula."""
    told = (name("P 1"), "_chemical_formula_sum 'Na4 Cl4'", "_cell_formula_units_Z 4")
    assert contents(read(tmp_path, *told, sites=WHOLE)) == ROCK_SALT


@pytest.mark.parametrize(
    ("full", "setting"),
    [
        ("P 21/n 21/m 21/a", "P n m a"),
        ("P 4/n 2/m 2/m :2", "P 4/n m m:2"),
        ("P 63/m 2/m 2/c", "P 63/m m c"),
        ("I 41/a -3 2/d", "I a -3 d"),
        ("F 4/d -3 2/m :1", "F d -3 m:1"),
        ("P6/m2/c2/c", "P 6/m c c"),
        ("C m c e", "C m c a"),
        ("Fd-3mZ", "F d -3 m:2"),
        ("F d -3 m (origin choice 2)", "F d -3 m:2"),
        ("R-3mR", "R -3 m:R"),
        ("R -3 m H", "R -3 m:H"),
        ("P 2~1~/c", "P 1 21/c 1"),
        ("P 2(1)/c", "P 1 21/c 1"),
        ("P2(1)/c", "P 1 21/c 1"),
        ("P 1 2(1)/c 1", "P 1 21/c 1"),
        ("P2_{1}/c", "P 1 21/c 1"),
        ("P2<sub>1</sub>/c", "P 1 21/c 1"),
        ("P 21 / c", "P 1 21/c 1"),
        ("P 2(1)", "P 1 21 1"),
        ("P 2(1) 2(1) 2(1)", "P 21 21 21"),
        ("Pna2(1)", "P n a 21"),
        ("P 6(3)/m", "P 63/m"),
        ("I 4(1)/a m d :2", "I 41/a m d:2"),
        (r"Fm\bar{3}m", "F m -3 m"),
        ("FD3-MZ", "F d -3 m:2"),
        ("Fm-3m #225", "F m -3 m"),
        ("P 21/c (unique axis b)", "P 1 21/c 1"),
        ("F d -3 m, origin 2", "F d -3 m:2"),
        ("R 3 c {rhombohedral axes}", "R 3 c:R"),
        ("R -3 m {hexagonal axes}", "R -3 m:H"),
        ("R -3 m HR", "R -3 m:H"),
        ("R-3mRR", "R -3 m:R"),
    ],
)
def test_names(full, setting):
    assert [entry.xhm() for entry in settings_called(full)[0]] == [setting]


@pytest.mark.parametrize(
    "text",
    [
        "P 22/c",
        "P 2/1/c",
        "P 2-1/c",
        "C 2(1)/c",
        "P 21/q",
        "Fm-3m (No. 221)",
        "Fm-3m:2",
        "R 3 c {obverse}",
        "P n m a/2",
    ],
)
def test_names_of_none(text):
    """Nothing is left out of a name: P 2(1)/c was P c, and P2(1) was P 2."""
    assert settings_called(text) == ()


def _brackets(text: str) -> str:
    return re.sub(r"(?<![-\d])([2346])([1-5])(?!\d)", r"\1(\2)", text)


@pytest.mark.parametrize(
    "form",
    [str, str.upper, _brackets, lambda text: _brackets(text).replace(" ", "")],
    ids=["as it is", "upper", "(", "(("],
)
def test_every_name_of_the_table(form):
    for entry in gemmi.spacegroup_table_itb():
        for text in (form(entry.xhm()), f"{form(entry.xhm())} (No. {entry.number})"):
            assert [found.xhm() for found in settings_called(text)[0]] == [entry.xhm()], text


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
def test_every_full_name_of_another_table():
    """Spglib's full names, but those with a double plane (e), which name two settings."""
    for hall_number in range(1, 531):
        full, listed = (read(hall_number) for read in (spglib.get_spacegroup_type, spglib.get_symmetry_from_database))
        if "/e" not in full.international_full:
            wanted = Group(listed["rotations"].astype(np.int64), listed["translations"])
            found = settings_called(full.international_full)[0]
            assert wanted.keys in [Group.of(entry.operations()).keys for entry in found], full


ELEMENTS = {
    "upper-case symbols": ("IN1 IN 0 0 0", COLUMNS, (), {"In": 4}),
    "upper-case labels with a formula": (
        "IN1 0 0 0",
        "label fract_x fract_y fract_z",
        ("_chemical_formula_sum In",),
        {"In": 4},
    ),
    "charges": ("Fe Fe3+ 0 0 0", COLUMNS, (), {"Fe": 4}),
    "deuterium": ("D1 D 0 0 0", COLUMNS, ("_chemical_formula_sum D",), {"H": 4}),
    "a charge after its sign": ("O1 O2- 0 0 0", COLUMNS, (), {"O": 4}),
    "a valence and a charge": ("Fe Fe3+2 0 0 0", COLUMNS, (), {"Fe": 4}),
    "a sign before the charge": ("Na Na+1 0 0 0", COLUMNS, (), {"Na": 4}),
    "an isotope": ("Na1 23Na 0 0 0", COLUMNS, (), {"Na": 4}),
    "an isotope as a label": ("57Fe . 0 0 0", COLUMNS, (), {"Fe": 4}),
    "a decimal comma": ("Na1 Na 0,0 0 0", COLUMNS, (), {"Na": 4}),
    "water": ("Wat1 0 0 0", "label fract_x fract_y fract_z", (), {"O": 4}),
    "water as a symbol": ("Na1 H2O 0 0 0", COLUMNS, (), {"O": 4}),
    "wrong case with a formula of carbon and oxygen": ("A CO 0 0 0", COLUMNS, ("_chemical_formula_sum C",), {"C": 4}),
    "a form factor's name": ("Si1 Sival 0 0 0", COLUMNS, (), {"Si": 4}),
    "Ob is oxygen": ("Ob 0 0 0", "label fract_x fract_y fract_z", ("_chemical_formula_sum O",), {"O": 4}),
    "Wa is the oxygen of water": (
        "Wa 0 0 0",
        "label fract_x fract_y fract_z",
        ("_chemical_formula_sum 'H2 O'",),
        {"O": 4},
    ),
    "Wa of the type O": ("Wa O 0 0 0", COLUMNS, (), {"O": 4}),
    "a symbol alone": ("Na 0 0 0", "type_symbol fract_x fract_y fract_z", (), {"Na": 4}),
    "fractions": ("Na1 Na 0/3 0 0", COLUMNS, (), {"Na": 4}),
    "an unknown occupancy": ("Na1 Na 0 0 0 .", WITH_OCCUPANCY, (), {"Na": 4}),
    "a rounded occupancy": ("Na1 Na 0 0 0 1.00002", WITH_OCCUPANCY, (), {"Na": 4}),
    "an uncertain occupancy": ("Na1 Na 0 0 0 1.00(2)", WITH_OCCUPANCY, (), {"Na": 4}),
}


@pytest.mark.parametrize(("site", "columns", "told", "atoms"), ELEMENTS.values(), ids=ELEMENTS)
def test_elements_and_occupancies(tmp_path, site, columns, told, atoms):
    assert contents(read(tmp_path, FM3M, *told, sites=(site,), columns=columns)) == atoms


SITES = {
    "a label of two meanings": (("NA1 0 0 0",), "label fract_x fract_y fract_z", "'NA1' .* may be Na or N"),
    "a label of none": (("Wa1 0 0 0",), "label fract_x fract_y fract_z", "label 'Wa1', which names no element"),
    "a vacancy that looks like vanadium": (("V1 Va 0 0 0",), COLUMNS, "type symbol 'Va' and label 'V1'"),
    "an alloy": (("M1 '0.6Cu + 0.4Al' 0 0 0",), COLUMNS, "several elements, '0.6Cu . 0.4Al', at site M1"),
    "an alloy in short": (("M1 Cu0.6Al0.4 0 0 0",), COLUMNS, "several elements"),
    "two elements": (
        ("Sr1 Sr 0 0 0", "Ba1 Ba 0 0 0"),
        COLUMNS,
        r"two elements at one place: Sr1 \(Sr 1\) and Ba1 \(Ba 1\)",
    ),
    "two elements at images": (("Sr1 Sr 0 0 0", "Ba1 Ba 0 .5 .5"), COLUMNS, "two elements at one place"),
    "a mixed site": (("A Na 0 0 0 .9", "B K .5 .5 0 .1"), WITH_OCCUPANCY, r"sites, A \(Na 0.9\) with B \(K 0.1\)"),
    "more than one atom at a place": (
        ("A Na 0 0 0 .9", "B K 0 0 0 .2"),
        WITH_OCCUPANCY,
        r"occupancies at one place that add up to 1.1: A \(Na 0.9\) and B \(K 0.2\); allowed: .* at most 1",
    ),
    "the same of one element": (("A Fe2+ 0 0 0 .6", "B Fe3+ 0 0 0 .6"), WITH_OCCUPANCY, "add up to 1.2"),
    "a full and a partial row": (("A Na 0 0 0 1", "B K 0 0 0 .2"), WITH_OCCUPANCY, "add up to 1.2"),
    "an occupancy of 2": (("Na1 Na 0 0 0 2",), WITH_OCCUPANCY, "occupancy 2 at site Na1; allowed: 0 to 1"),
    "no coordinates": (("Na1 Na 0 0 0", "H1 H ? ? ?"), COLUMNS, "found the site H1 without coordinates"),
    "radii": (("Na1 Na 0 0 0", "Cl1 Cl .2 .0 .0"), COLUMNS, r"1\.128 Å apart, which is too close for their radii"),
    "halves of equivalent positions": (("A Na 0 0 0 .5", "B Na .5 .5 0 .5"), WITH_OCCUPANCY, "partly occupied sites"),
    "a group of atoms": (("Na1 H3O+ 0 0 0",), COLUMNS, "type symbol 'H3O.' and label 'Na1', which name no element"),
    "a wrong multiplicity": (
        ("Na1 Na 4 0 0 0", "Cl1 Cl 8 .5 .5 .5"),
        "label type_symbol symmetry_multiplicity fract_x fract_y fract_z",
        "found 4 places of site Cl1, but the file says a multiplicity of 8",
    ),
}


@pytest.mark.parametrize(("sites", "columns", "message"), SITES.values(), ids=SITES)
def test_sites_that_are_refused(tmp_path, sites, columns, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, FM3M, sites=sites, columns=columns)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ((0.2, 0.8), "partly occupied sites O1A and O1B 0.282 Å apart, where one atom may exclude the other"),
        ((1, 1), "found O1A .* 0.282 Å apart, which is too close for their radii"),
    ],
)
def test_a_split_position_is_not_merged(tmp_path, shares, message):
    sites = (f"O1A O .5 .5 .47 {shares[0]}", f"O1B O .5 .5 .52 {shares[1]}")
    assert re.search(message, refused(tmp_path, name("P 1"), sites=sites, columns=WITH_OCCUPANCY))


def test_valences_of_one_site_are_added(tmp_path):
    sites = ("Fe1 Fe2+ 0 0 0 .5", "Fe2 Fe3+ 0 0 0 .5", "O1 O2- .5 .5 .5 1")
    found = read(tmp_path, FM3M, sites=sites, columns=WITH_OCCUPANCY, cell=(4.3, 4.3, 4.3, 90, 90, 90))
    assert contents(found) == {"Fe": 4, "O": 4}


def test_the_order_of_site_symmetry_in_place_of_the_multiplicity(tmp_path):
    """As SHELX-97 wrote it."""
    columns = "label type_symbol symmetry_multiplicity fract_x fract_y fract_z"
    sites = ("Na1 Na 48 0 0 0", "Cl1 Cl 48 .5 .5 .5")
    assert contents(read(tmp_path, FM3M, sites=sites, columns=columns)) == ROCK_SALT


@pytest.mark.parametrize("third", ["0.333", "0.33", "1/3", "0.3333(2)"])
def test_thirds(tmp_path, third):
    two = {"0.333": "0.667", "0.33": "0.67", "1/3": "2/3", "0.3333(2)": "0.6667(2)"}[third]
    sites = (f"Ga1 Ga {third} {two} 0", f"N1 N {third} {two} .377")
    found = read(tmp_path, name("P 63 m c"), sites=sites, cell=HEXAGONAL)
    assert contents(found) == {"Ga": 2, "N": 2}
    assert found.atoms().get_scaled_positions()[0, 0] == pytest.approx(1 / 3, abs=1e-9)
    # Two digits miss by more than rounded coordinates should, and that is said.
    assert [text[:27] for text in found.warnings] == ["site Ga1 was moved by 0.018", "site N1 was moved by 0.018 "] * (
        third == "0.33"
    )


CONTENTS = {
    "formula and Z": (("_chemical_formula_sum 'Cl2 Na'", "_cell_formula_units_Z 4"), "4 Cl for 8"),
    "formula alone": (("_chemical_formula_sum 'Cl2 Na'",), "found Cl4Na4 in the cell, but its formula is 'Cl2 Na'"),
    "an element that the formula lacks": (("_chemical_formula_sum Na",), "4 Cl for 0"),
    "a plain symbol that the formula lacks": (
        ("_chemical_formula_sum 'C Na'", "_cell_formula_units_Z 4"),
        "4 Cl for 0",
    ),
    "density": (("_exptl_crystal_density_diffrn 2.5",), "2.16 g/cm³, but the file says 2.5 g/cm³"),
    "volume": (("_cell_volume 150",), "a cell of 179.406 Å³, but the file says 150 Å³"),
}


@pytest.mark.parametrize(("told", "message"), CONTENTS.values(), ids=CONTENTS)
def test_a_contradiction_names_both_sides(tmp_path, told, message):
    assert message in refused(tmp_path, FM3M, *told)


def test_missing_hydrogen_is_a_warning(tmp_path):
    path = tmp_path / "ice.cif"
    path.write_text(
        text_of(
            name("P 1"),
            "_chemical_formula_sum 'H2 O'",
            "_cell_formula_units_Z 1",
            sites=("O1 O 0 0 0",),
            cell=(3, 3, 3, 90, 90, 90),
        )
    )
    with pytest.warns(InputWarning, match=r"ice\.cif: its list of atoms lacks 2 H of its formula"):
        assert len(read_structure(path)) == 1


def test_attached_hydrogen(tmp_path):
    columns = COLUMNS + " attached_hydrogens"
    sites, cell = ("Mg1 Mg 0 0 0 0", "O1 O 1/3 2/3 .22 1"), (3.142, 3.142, 4.766, 90, 90, 120)
    more = {"sites": sites, "columns": columns, "cell": cell}
    brucite = ("_chemical_formula_sum 'H2 Mg O2'", "_cell_formula_units_Z 1", "_exptl_crystal_density_diffrn 2.38")
    for told in ((), brucite):
        assert read(tmp_path, name("P -3 m 1"), *told, **more).warnings == (
            "its list of atoms lacks 2 H, attached to O1",
        )
    assert "2 H for 1" in refused(tmp_path, name("P -3 m 1"), "_chemical_formula_sum 'H Mg O2'", **more)


@pytest.mark.parametrize("density", [0.784, 0.885])
def test_the_mass_of_deuterium_or_hydrogen(tmp_path, density):
    told = (FM3M, "_chemical_formula_sum 'D Li'", "_cell_formula_units_Z 4", f"_exptl_crystal_density_diffrn {density}")
    found = read(tmp_path, *told, sites=("Li1 Li 0 0 0", "D1 D .5 .5 .5"), cell=(4.068, 4.068, 4.068, 90, 90, 90))
    assert contents(found) == {"Li": 4, "H": 4}


@pytest.mark.parametrize(
    ("site", "columns"), [("X1 X", COLUMNS), ("Va1 Va", COLUMNS), ("Q1 .", COLUMNS), ("C1 Cg", COLUMNS)]
)
def test_what_is_no_atom_is_left_out(tmp_path, site, columns):
    found = read(tmp_path, FM3M, *FORMULA, sites=(*SALT, f"{site} .25 .25 .25"), columns=columns)
    assert contents(found) == ROCK_SALT
    assert "is no atom" in found.warnings[0]


GRID = tuple((i / 5, j / 5, k / 5) for i in range(5) for j in range(5) for k in range(5))


@pytest.mark.parametrize(
    ("symbols", "formula", "message"),
    [
        (["C"] * 124 + ["Cd"], "C124", "1 Cd for 0"),
        (["C"] * 124 + ["Cd"], "C125", "124 C for 125"),
        (["C"] * 119, "C120", "119 C for 120"),
        (["C"] * 121, "C120", "121 C for 120"),
        (["C"] * 62 + ["N"] * 62, "C63 N62", "62 C for 63"),
    ],
)
def test_atoms_are_counted_one_by_one(tmp_path, symbols, formula, message):
    """One per cent hid whole atoms of large cells, and a formula made carbon of cadmium."""
    told = (name("P 1"), f"_chemical_formula_sum '{formula}'", "_cell_formula_units_Z 1")
    rows = tuple(f"{s}{k} {s} {x} {y} {z}" for k, (s, (x, y, z)) in enumerate(zip(symbols, GRID, strict=False)))
    assert message in refused(tmp_path, *told, sites=rows, cell=(12, 12, 12, 90, 90, 90))


def test_a_formula_may_be_rounded(tmp_path):
    """0.33 of 12 are 4 atoms."""
    told = (name("P 1"), "_chemical_formula_sum 'C0.33 N'", "_cell_formula_units_Z 12")
    rows = tuple(
        f"{s}{k} {s} {x} {y} {z}" for k, (s, (x, y, z)) in enumerate(zip("C" * 4 + "N" * 12, GRID, strict=False))
    )
    assert contents(read(tmp_path, *told, sites=rows, cell=(8, 8, 8, 90, 90, 90))) == {"C": 4, "N": 12}
    assert "3 C for 3.96" in refused(tmp_path, *told, sites=rows[1:], cell=(8, 8, 8, 90, 90, 90))


def test_multiplicities_that_are_all_one(tmp_path):
    columns = "label type_symbol symmetry_multiplicity fract_x fract_y fract_z"
    found = read(tmp_path, FM3M, sites=("Na1 Na 1 0 0 0", "Cl1 Cl 1 .5 .5 .5"), columns=columns)
    assert contents(found) == ROCK_SALT
    assert found.warnings == ("found 4 places of site Na1; the multiplicity 1 in the file is ignored",)


def test_a_block_that_stands_twice(tmp_path):
    path = tmp_path / "twice.cif"
    path.write_text(2 * text_of(FM3M, block="7"))
    assert contents(read_crystal(path)) == contents(read_crystal(path, "7")) == ROCK_SALT


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("Co Li O2", {"Co": 1, "Li": 1, "O": 2}),
        ("CO LI O2", {"Co": 1, "Li": 1, "O": 2}),
        ("NaCl", {"Na": 1, "Cl": 1}),
        ("CO2", None),
        ("H2O", {"H": 2, "O": 1}),
        ("D2 O", {"H": 2, "O": 1}),
        ("C3 H4 D2", {"C": 3, "H": 6}),
        ("Ba0.5 O3 Sr0.5 Ti", {"Ba": 0.5, "O": 3, "Sr": 0.5, "Ti": 1}),
        ("(H2 O)2 Na", None),
        ("(O H2)", {"H": 2, "O": 1}),
        ("IN", None),
    ],
)
def test_formulas(text, formula):
    assert read_formula(text) == formula


@pytest.mark.parametrize(
    "form",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.rstrip().encode(),
        lambda text: text.replace("_cell_length_a", "_publ_author 'Müller'\n_cell_length_a").encode("latin-1"),
        lambda text: text.replace("_cell_length_a", "_publ_title words without quotes\n_cell_length_a").encode(),
        lambda text: (text + "\x1a").encode(),
        lambda text: (
            text.replace("data_", "DATA_").replace("loop_", "LOOP_").replace("_atom_site_", "_Atom_Site.").encode()
        ),
    ],
    ids=[
        "BOM",
        "UTF-16",
        "UTF-16 without BOM",
        "CR",
        "CR LF",
        "no last line end",
        "Latin-1",
        "no quotes",
        "DOS end",
        "case",
    ],
)
def test_forms_of_files(tmp_path, form):
    path = tmp_path / "form.cif"
    path.write_bytes(form(text_of(FM3M)))
    assert contents(read_crystal(path)) == ROCK_SALT


def test_blocks(tmp_path):
    path = tmp_path / "two.cif"
    first, second = text_of(FM3M, block="salt"), text_of(FM3M, block="Metal", sites=("Na1 Na 0 0 0",))
    path.write_text(first + "data_general\n_publ_title 'Two'\n" + second)
    with pytest.raises(InputError, match="found 2 structures, salt, Metal; --block"):
        read_crystal(path)
    assert contents(read_crystal(path, "metal")) == {"Na": 4}
    with pytest.raises(InputError, match="found 0 blocks called 'metals'; allowed: one of salt, general, Metal"):
        read_crystal(path, "metals")


def test_what_is_said_twice(tmp_path):
    assert "_cell_length_a twice, with different values" in refused(tmp_path, "_cell_length_a 5.7", FM3M)
    assert contents(read(tmp_path, "_cell_length_a 5.64", FM3M)) == ROCK_SALT


@pytest.mark.parametrize(
    ("cell", "message"), [((4, 4, 4, 20, 20, 100), "no cell can have these"), ((4, 4, 4, 90, 90, "?"), "angle_gamma")]
)
def test_cells_that_are_none(tmp_path, cell, message):
    assert message in refused(tmp_path, FM3M, cell=cell)


def test_numbers():
    assert [number(text) for text in ("5.640(2)", "-.5", "1/4", "2.", "1e-3", "0,25(1)")] == [
        5.64,
        -0.5,
        0.25,
        2,
        0.001,
        0.25,
    ]
    assert all(str(number(text)) == "nan" for text in ("?", ".", "", "x", "1/0", "1 2"))


def test_rows_that_do_not_fit_are_not_left_out(tmp_path):
    path = tmp_path / "rows.cif"
    path.write_text(text_of(FM3M) + "K1 K 0 0\n")
    with pytest.raises(InputError, match="not a readable CIF"):
        read_block(path)
