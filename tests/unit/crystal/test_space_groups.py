"""Space groups as they are typeset, misspelled, shifted or told by a number alone: the group, or a question."""

import re
from collections.abc import Iterator

import gemmi
import numpy as np
import pytest
import spglib
from hypothesis import given, settings
from hypothesis import strategies as st

from iphasenet.base.errors import InputError
from iphasenet.crystal.space_group import Group
from iphasenet.crystal.space_group_name import settings_called
from tests.unit.crystal.test_cif import contents, name, operations, read, refused

TABLE = tuple(gemmi.spacegroup_table())
CALCITE = {"sites": ("Ca1 Ca 0 0 0", "C1 C 0 0 .25", "O1 O .257 0 .25"), "cell": (4.99, 4.99, 17.06, 90, 90, 120)}
ALBITE_CELL = (8.14, 12.79, 7.16, 94.2, 116.6, 87.7)
ALBITE = """Na1 Na .2683 .9888 .1461
Al1 Al .0088 .1685 .2081
Si1 Si .0037 .8205 .2373
Si2 Si .692 .1102 .3149
Si3 Si .6815 .8818 .3606
O1 O .0049 .1311 .9669
O2 O .5922 .9974 .2805
O3 O .8125 .1099 .1909
O4 O .8202 .851 .2588
O5 O .0133 .3023 .2701
O6 O .0235 .6937 .2295
O7 O .2077 .1091 .3889
O8 O .1835 .868 .4361""".splitlines()


WOLLASTONITE = """Ca1 Ca .19831 .42266 .76060
Ca2 Ca .20278 .92734 .76401
Ca3 Ca .50333 .75046 .52691
Si1 Si .18520 .38700 .26870
Si2 Si .18490 .95450 .26920
Si3 Si .39700 .72350 .05600
O1 O .42910 .23140 .80190
O2 O .40080 .72590 .83020
O3 O .30370 .46350 .46410
O4 O .30170 .93740 .46550
O5 O .01540 .62540 .73430
O6 O .01750 .13190 .73530
O7 O .27320 .51180 .09190
O8 O .27130 .87170 .09400
O9 O .21880 .17840 .22280""".splitlines()


def hall(text: str) -> str:
    return f"_space_group_name_Hall\n;\n{text}\n;"


@pytest.mark.parametrize("quotes", ['"', "''", "”", "″"])
def test_every_hall_symbol_of_the_table(quotes):
    for entry in TABLE:
        for text in (entry.hall.replace('"', quotes), entry.hall.replace(" ", "_").replace('"', quotes)):
            # The blanks of a shift are none between symbols.
            if "(" not in text or "_" not in text:
                assert Group.of_hall(text).keys == Group.of(entry.operations()).keys, text


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
def test_every_hall_symbol_of_another_table():
    for number in range(1, 531):
        symbol, listed = spglib.get_spacegroup_type(number).hall_symbol, spglib.get_symmetry_from_database(number)
        wanted = Group(listed["rotations"].astype(np.int64), listed["translations"])
        assert Group.of_hall(symbol.replace('"', "''")).keys == wanted.keys, symbol


def test_two_apostrophes_are_a_quote(tmp_path):
    """Calcite had 48 atoms in place of 30: another axis, by which sites have twice as many places."""
    assert contents(read(tmp_path, hall("-R 3 2''c"), **CALCITE)) == {"Ca": 6, "C": 6, "O": 18}


@pytest.mark.parametrize(
    "text",
    ["-F 4 2 3 or", "-P 22 2", "-P 2a2n", "-P 2a 2a (1 2)", "-P 2a 2a (0 0 1", "-P 5", "-P 2yb?", "X 2 2", "-P 33"],
)
def test_what_is_no_hall_symbol(tmp_path, text):
    """gemmi makes some group of most of them."""
    with pytest.raises(ValueError):
        Group.of_hall(text)
    assert "which is not understood" in refused(tmp_path, hall(text))


def test_a_hall_symbol_of_no_known_setting_is_doubted(tmp_path):
    """One apostrophe means another axis; nobody uses it so."""
    message = refused(tmp_path, hall("-R 3 2'c"), **CALCITE)
    assert "belongs to no known setting, and neither formula with Z nor density" in message
    assert "may be its Hall symbol" in refused(tmp_path, hall("-R 3 2'c"), name("R -3 c"), **CALCITE)
    told = (hall("-R 3 2'c"), name("R -3 c"), "_exptl_crystal_density_diffrn 2.711")
    assert contents(read(tmp_path, *told, **CALCITE)) == {"Ca": 6, "C": 6, "O": 18}


@given(entry=st.sampled_from(TABLE), shift=st.tuples(*3 * [st.integers(0, 23)]))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_the_type_of_any_group_with_any_origin(entry, shift):
    """By gemmi's table; spglib tells it, screws, glides and hands with it."""
    group = Group.of(entry.operations())
    moved = (group.translations + (np.eye(3) - group.rotations) @ np.array(shift) / 24) % 1
    assert Group(group.rotations, moved).number == entry.number


SHIFTED = operations("x,y,z", "-x+1/4,-y,z", "-x+1/4,y,-z", "x,-y,-z")


@pytest.mark.parametrize(
    "told", [name("P 21 21 2"), name("P 21 21 21"), *(f"_space_group_IT_number {n}" for n in (17, 18, 19))]
)
def test_axes_and_screw_axes_are_not_the_same(tmp_path, told):
    """P 2 2 2 at another origin has the rotations of all of them."""
    more = {"sites": ("Fe1 Fe .3 .2 .3",), "cell": (5, 6, 7, 90, 90, 90)}
    assert "may be its operations" in refused(tmp_path, SHIFTED, told, **more)
    assert read(tmp_path, SHIFTED, "_space_group_IT_number 16", **more).warnings == ()


def test_a_centred_cell_by_its_number_alone(tmp_path):
    """Albite's is C -1: as P -1 it lost half of its atoms without a word."""
    number = "_space_group_IT_number 2"
    more = {"sites": ALBITE, "cell": ALBITE_CELL}
    message = refused(tmp_path, number, **more)
    assert "may be its number 2 (P -1) or its number 2 (C -1)" in message
    half = read(tmp_path, number, "_chemical_formula_sum 'Na Al Si3 O8'", "_cell_formula_units_Z 2", **more)
    assert (half.reading.group.name, len(half.atoms()), half.warnings) == ("P -1", 26, ())
    formula = ("_chemical_formula_sum 'Na Al Si3 O8'", "_cell_formula_units_Z 4")
    message = refused(tmp_path, number, *formula, **more)
    assert "(C -1) or" in message
    assert "(P -1)" not in message
    assert len(read(tmp_path, number, name("C -1"), **more).atoms()) == 52


def test_a_primitive_cell_by_its_number_alone(tmp_path):
    """Wollastonite: any further lattice point would make contacts that are no bonds."""
    found = read(
        tmp_path, "_space_group_IT_number 2", sites=WOLLASTONITE, cell=(7.9258, 7.3202, 7.0653, 90.055, 95.217, 103.426)
    )
    assert (found.reading.group.name, len(found.atoms()), found.warnings) == ("P -1", 30, ())


def test_a_larger_cell_by_its_number_alone(tmp_path):
    """With right angles it is rare: the usual cell is taken, and the other said, or asked for by the formula."""
    more = {"sites": ("Ti1 Ti 0 0 0",), "cell": (5.6, 5.6, 4.1, 90, 90, 90)}
    found = read(tmp_path, "_space_group_IT_number 139", **more)
    assert contents(found) == {"Ti": 2}
    assert "the file does not exclude its number 139 (F 4/m m m)" in found.warnings[0]
    whole = read(tmp_path, "_space_group_IT_number 139", "_chemical_formula_sum Ti", "_cell_formula_units_Z 4", **more)
    assert contents(whole) == {"Ti": 4}
    assert "read with its number 139 (F 4/m m m): the rest of the file contradicts" in whole.warnings[0]


def _styles(text: str) -> Iterator[str]:
    """A name of a table as others typeset it."""
    parts = text.split()
    screw = r"(?<![-\d])([2346])([1-5])(?!\d)"
    yield from (text, text.replace("-", "\N{MINUS SIGN}"), "".join(parts))
    for pitch in (r"\1_\2", r"\1_{\2}", r"\1<sub>\2</sub>", r"\1~\2~", r"\1$_\2$", r"\1(\2)"):
        yield " ".join(re.sub(screw, pitch, part) for part in parts)
        yield "".join(re.sub(screw, pitch, part) for part in parts)
    yield "".join(re.sub(screw, lambda found: found[1] + "₀₁₂₃₄₅"[int(found[2])], part) for part in parts)
    for bar in ("\\1\N{COMBINING OVERLINE}", r"\\=\1", r"\\bar{\1}", r"{\\bar \1}", r"\\overline{\1}", r"$\\bar{\1}$"):
        yield " ".join(re.sub(r"-(\d)", bar, part) for part in parts)
        yield "".join(re.sub(r"-(\d)", bar, part) for part in parts)
    yield "$" + "".join(re.sub(r"-(\d)", r"\\bar{\1}", re.sub(screw, r"\1_\2", part)) for part in parts) + "$"
    yield "_".join(parts)
    yield re.sub(rf"{screw}(?=/)", r"\1 \2", text)


def test_every_name_of_the_table_as_it_is_typeset():
    for entry in gemmi.spacegroup_table_itb():
        plain = [found.xhm() for found in settings_called(entry.hm)[0]]
        for text in _styles(entry.hm):
            found = [one.xhm() for one in settings_called(text)[0]] if settings_called(text) else []
            assert found == plain, f"{text} for {entry.hm}"


def test_every_setting_by_its_code():
    for entry in gemmi.spacegroup_table_itb():
        if entry.qualifier:
            for form in (f"{entry.hm}:{{}}", f"{entry.hm} ({{}})", f"{entry.hm}, {{}}"):
                assert entry.xhm() in [found.xhm() for found in settings_called(form.format(entry.qualifier))[0]]


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
def test_every_pair_of_names_of_another_table():
    """Spglib's names, the usual one before that of the setting: C 2 = B 1 1 2."""
    for number in range(1, 531):
        kind = spglib.get_spacegroup_type(number)
        listed = spglib.get_symmetry_from_database(number)
        wanted = Group(listed["rotations"].astype(np.int64), listed["translations"])
        pair = f"{settings_called(kind.international_short)[0][0].short_name()} = {kind.international_full}"
        if "/e" not in kind.international_full:
            assert wanted.keys in [Group.of(found.operations()).keys for found in settings_called(pair)[0]], pair


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("P2₁/c", "P 1 21/c 1"),
        ("R 3\N{COMBINING OVERLINE} c :H", "R -3 c:H"),
        (r"R \=3 c HR", "R -3 c:H"),
        ("P 2 1/c", "P 1 21/c 1"),
        ("P 21/c 1", "P 1 21/c 1"),
        ("P 21/c (b1)", "P 1 21/c 1"),
        ("P 21/c:b1", "P 1 21/c 1"),
        ("P 21/n:b2", "P 1 21/n 1"),
        ("F d -3 m, origin at -3m", "F d -3 m:2"),
        ("F d -3 m (origin at -43m)", "F d -3 m:1"),
        ("F d -3 m, origin at centre (-3m)", "F d -3 m:2"),
        ("P 4/n m m, origin at -4m2", "P 4/n m m:1"),
        ("C 2 = B 1 1 2", "B 1 1 2"),
        ("P_2_1/c", "P 1 21/c 1"),
        ("P b n m:cab", "P b n m"),
    ],
)
def test_names_as_they_are_typeset(text, setting):
    assert [entry.xhm() for entry in settings_called(text)[0]] == [setting]


@pytest.mark.parametrize(
    "text",
    [
        "P ~1",
        "P ~4",
        r"P \1",
        "P $1",
        "P 2 1",
        "P_2_1",
        "P 2_1_/c",
        "P 21/c:b2",
        "P n m a (cab)",
        "C 2 = F 1 1 2",
        "P 2~1/c",
    ],
)
def test_marks_that_mean_nothing_are_not_left_out(tmp_path, text):
    """P ~1 was P 1, and P 2 1 was P 2 with its first origin."""
    assert settings_called(text) == ()
    with pytest.raises(InputError, match="which is not understood"):
        read(tmp_path, name(text))


@pytest.mark.parametrize(("site", "more"), [("O1 OW .33333 .66667 .22", True), ("*O1 .33333 .66667 .22", False)])
def test_oxygen_of_water_and_starred_labels(tmp_path, site, more):
    columns = f"label {'type_symbol ' * more}fract_x fract_y fract_z"
    sites = ("Mg1 Mg 0 0 0" if more else "Mg1 0 0 0", site)
    for formula in ((), ("_chemical_formula_sum 'Mg O2'",)):
        found = read(
            tmp_path, name("P -3 m 1"), *formula, sites=sites, columns=columns, cell=(3.15, 3.15, 4.77, 90, 90, 120)
        )
        assert contents(found) == {"Mg": 1, "O": 2}
    if more:
        tungsten = ("_chemical_formula_sum 'Mg W O2'",)
        assert "several elements" in refused(tmp_path, name("P 1"), *tungsten, sites=sites, columns=columns)


def test_magnetic_operations_with_their_spins(tmp_path):
    told = (
        "loop_\n_space_group_symop_magn_operation.xyz\nx,y,z,mx,my,mz,+1\n-x,-y,-z,mx,my,mz,+1",
        "loop_\n_space_group_symop_magn_centering.xyz\nx,y,z,mx,my,mz,+1\nx+1/2,y+1/2,z+1/2,-mx,-my,-mz,-1",
    )
    found = read(tmp_path, *told, sites=("Cr1 Cr 0 0 0",), cell=(2.88, 2.88, 2.88, 90, 90, 90))
    assert contents(found) == {"Cr": 2}
    assert "found the operation" in refused(tmp_path, operations("x,y,z,w,u,v,1"))
