"""What a CIF says of its cell beside formula and calculated density: weight, F(000), types, measured density."""

import pytest

from tests.unit.crystal.test_cif import CUBE, FM3M, ROCK_SALT, WHOLE, contents, name, read, refused

P1 = name("P 1")
TYPES = "loop_\n_atom_type_symbol\n_atom_type_number_in_cell\n"

WITNESSES = {
    "weight": ("_cell_formula_units_Z 4", "_chemical_formula_weight 58.44"),
    "weight in few digits": ("_cell_formula_units_Z 4", "_chemical_formula_weight 58"),
    "electrons": ("_exptl_crystal_F_000 112",),
    "electrons with dispersion": (
        "_exptl_crystal_F_000 116.0",
        "loop_\n_atom_type_symbol\n_atom_type_scat_dispersion_real\nNa .4\nCl .6",
    ),
    "types": (TYPES + "Na1+ 4\nCl1- 4",),
}
CONTRADICTED = {
    "weight": "found ClNa in the cell, 58.4398 g/mol, but the file says 58.44 g/mol times Z = 4",
    "weight in few digits": "58.4398 g/mol, but the file says 58 g/mol times Z = 4",
    "electrons": "found ClNa in the cell, 28 electrons, but the file says F(000) = 112",
    "electrons with dispersion": "28 electrons, but the file says F(000) = 116",
    "types": "found ClNa in the cell, but its list of types of atoms says: 1 Na for 4",
}


@pytest.mark.parametrize("told", WITNESSES)
def test_a_quarter_of_the_crystal_is_refused(tmp_path, told):
    """Each tells that P 1 and two sites are not rock salt, and that Fm-3m with them, or all sites, are."""
    assert CONTRADICTED[told] in refused(tmp_path, P1, *WITNESSES[told])
    assert read(tmp_path, FM3M, *WITNESSES[told]).warnings == ()
    # Without any symmetry told they confirm the atoms.
    assert contents(read(tmp_path, *WITNESSES[told], sites=WHOLE)) == ROCK_SALT


@pytest.mark.parametrize("told", [t for t in WITNESSES if "few" not in t])
def test_they_choose_the_origin(tmp_path, told):
    """Silicon's 8 atoms, or 16 at the other origin."""
    more = {
        "weight": ("_cell_formula_units_Z 8", "_chemical_formula_weight 28.09"),
        "electrons": ("_exptl_crystal_F_000 112",),
        "electrons with dispersion": (
            "_exptl_crystal_F_000 114.4",
            "loop_\n_atom_type_symbol\n_atom_type_scat_dispersion_real\nSi .3",
        ),
        "types": (TYPES + "Si 8",),
    }[told]
    cell = (5.43, 5.43, 5.43, 90, 90, 90)
    assert contents(read(tmp_path, name("F d -3 m"), *more, sites=("Si1 Si 0 0 0",), cell=cell)) == {"Si": 8}


def test_a_measured_density_is_a_warning(tmp_path):
    found = read(tmp_path, P1, "_exptl_crystal_density_meas 2.16(1)")
    assert "found ClNa in the cell, 0.541 g/cm³, but the file says 2.16 g/cm³ as measured" in found.warnings
    for good in ("2.16(1)", "2.2", "2", "2164", "2.25"):
        assert read(tmp_path, FM3M, f"_exptl_crystal_density_meas {good}").warnings == ()
    # It confirms what is told without symmetry, and a contradiction confirms nothing.
    assert contents(read(tmp_path, "_exptl_crystal_density_meas 2.16", sites=WHOLE)) == ROCK_SALT
    assert "found no symmetry" in refused(tmp_path, "_exptl_crystal_density_meas 2.9", sites=WHOLE)


@pytest.mark.parametrize("weight", ["25.94", "24.94", "26.0"])
def test_the_weight_of_isotopes(tmp_path, weight):
    sites = ("Li1 Li 0 0 0", "F1 F .5 .5 .5")
    told = (FM3M, "_cell_formula_units_Z 4", f"_chemical_formula_weight {weight}")
    assert contents(read(tmp_path, *told, sites=sites, cell=(4.026, 4.026, 4.026, 90, 90, 90))) == {"Li": 4, "F": 4}


def test_hydrogen_that_the_formula_has_counts(tmp_path):
    """Brucite without its hydrogen: weight and electrons are those of the formula."""
    told = (name("P -3 m 1"), "_chemical_formula_sum 'Mg O2 H2'", "_cell_formula_units_Z 1")
    more = {"sites": ("Mg1 Mg 0 0 0", "O1 O .33333 .66667 .22"), "cell": (3.15, 3.15, 4.77, 90, 90, 120)}
    lacks = ("its list of atoms lacks 2 H of its formula",)
    found = read(tmp_path, *told, "_chemical_formula_weight 58.32", "_exptl_crystal_F_000 30", **more)
    assert found.warnings == lacks
    by_types = read(tmp_path, told[0], TYPES + "Mg 1\nO 2\nH 2", "_exptl_crystal_F_000 30", **more)
    assert by_types.warnings == lacks


@pytest.mark.parametrize(
    "nothing",
    [
        "_chemical_formula_weight 58.44",
        "_chemical_formula_weight ?",
        "_exptl_crystal_F_000 0",
        "_exptl_crystal_density_meas 'not measured'",
        TYPES + "Na ?\nCl ?",
        TYPES + "Na 0\nCl 0",
        TYPES + "cation 4\nCl 4",
    ],
)
def test_what_says_nothing(tmp_path, nothing):
    assert contents(read(tmp_path, FM3M, nothing, cell=CUBE)) == ROCK_SALT
