"""Partly occupied and mixed places: read, checked against the file, kept in cells and slabs, drawn at random."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from iphasenet.base.errors import InputError
from iphasenet.crystal.cif import read_crystal
from iphasenet.crystal.cif_claims import density
from iphasenet.crystal.facts import crystal_facts, crystal_text
from iphasenet.crystal.identity import structure_hash
from iphasenet.crystal.places import places_of, random_occupation
from iphasenet.crystal.slab import cut_slab, frozen_phonons
from iphasenet.crystal.structure import orthogonal_cell, read_structure, shortest_distance
from iphasenet.crystal.thermal_motion import with_displacements
from iphasenet.crystal.translations import lateral_translations
from tests.unit.crystal.test_cif import FM3M, WITH_OCCUPANCY, name, read, refused, text_of

P1 = name("P 1")
MIXED = ("A Na 0 0 0 .6", "B K 0 0 0 .3", "Cl1 Cl .5 .5 .5 1")
"""Rock salt with a tenth of the cations missing."""


def structure(folder: Path, *told: str, **more) -> Atoms:
    path = folder / "told.cif"
    path.write_text(text_of(*told, **{"columns": WITH_OCCUPANCY, "sites": MIXED, **more}), encoding="utf-8")
    return read_structure(path)


def test_a_mixed_site_is_a_virtual_crystal(tmp_path):
    atoms = structure(tmp_path, FM3M, "_chemical_formula_sum 'Cl K0.3 Na0.6'", "_cell_formula_units_Z 4")
    assert str(atoms.symbols) == "Na4K4Cl4"
    np.testing.assert_array_equal(atoms.positions[:4], atoms.positions[4:8])
    np.testing.assert_allclose(atoms.arrays["occupancies"], np.repeat([0.6, 0.3, 1], 4))
    cell = orthogonal_cell(atoms, (1, 1, 0))
    assert shortest_distance(cell)[0] == pytest.approx(2.82)
    np.testing.assert_allclose(cell.arrays["occupancies"], np.tile(atoms.arrays["occupancies"], len(cell) // 12))
    for symbol, share in (("Na", 0.6), ("K", 0.3), ("Cl", 1)):
        assert (cell.arrays["occupancies"][cell.symbols == symbol] == share).all()
    # The beam sees half of the cell's translations, as without vacancies.
    assert lateral_translations(orthogonal_cell(atoms)) == [(1, 1, 2)]


def test_a_crystal_without_partial_places_has_no_occupancies(tmp_path):
    for site in ("Na1 Na 0 0 0 1", "Na1 Na 0 0 0 .9995"):
        assert not structure(tmp_path, FM3M, sites=(site, "Cl1 Cl .5 .5 .5 1")).has("occupancies")
    for shares in ((0.333, 0.667), (0.333, 0.333, 0.333), (0.11, 0.22, 0.669)):
        sites = [f"Fe{k} Fe{k + 1}+ 0 0 0 {share}" for k, share in enumerate(shares)]
        sites.append("O1 O .5 .5 .5 1")
        assert not structure(tmp_path, FM3M, sites=sites, cell=(4.3, 4.3, 4.3, 90, 90, 90)).has("occupancies")


def test_rounded_thirds_fill_their_place(tmp_path):
    thirds = ("A Na 0 0 0 .333", "B K 0 0 0 .333", "C Rb 0 0 0 .333", "Cl1 Cl .5 .5 .5 1")
    atoms = structure(tmp_path, FM3M, sites=thirds)
    np.testing.assert_allclose(np.bincount(places_of(atoms), atoms.arrays["occupancies"])[:4], 1, rtol=1e-12)


def test_shares_of_one_element_are_added(tmp_path):
    sites = ("Fe1 Fe2+ 0 0 0 .5", "Fe2 Fe3+ 0 0 0 .3", "O1 O2- .5 .5 .5 1")
    atoms = structure(tmp_path, FM3M, sites=sites, cell=(4.3, 4.3, 4.3, 90, 90, 90))
    np.testing.assert_allclose(atoms.arrays["occupancies"], np.repeat([0.8, 1], 4))


AGREE = {
    "formula": ("_chemical_formula_sum 'Cl K0.3 Na0.6'", "_cell_formula_units_Z 4"),
    "formula without Z": ("_chemical_formula_sum 'Cl10 K3 Na6'",),
    "rounded formula": ("_chemical_formula_sum 'Cl K.30 Na.60'", "_cell_formula_units_Z 4"),
    "density": ("_exptl_crystal_density_diffrn 2.240",),
    "weight": ("_chemical_formula_weight 60.98", "_cell_formula_units_Z 4"),
    "electrons": ("_exptl_crystal_F_000 117.2",),
}


@pytest.mark.parametrize("told", AGREE.values(), ids=AGREE)
def test_the_file_confirms_weighted_contents(tmp_path, told):
    assert read(tmp_path, FM3M, *told, sites=MIXED, columns=WITH_OCCUPANCY).warnings == ()
    half = ("A Na 0 0 0 .3", "Cl1 Cl .5 .5 .5 1")
    assert "found Cl4Na1.2" in refused(tmp_path, FM3M, *told, sites=half, columns=WITH_OCCUPANCY)


def test_a_formula_that_says_more_or_less_is_refused(tmp_path):
    for formula, found in (
        ("Cl Na", "2.4 Na for 4"),
        ("Cl K0.3 Na0.7", "2.4 Na for 2.8"),
        ("Cl K0.2 Na0.6", "1.2 K for"),
    ):
        told = (FM3M, f"_chemical_formula_sum '{formula}'", "_cell_formula_units_Z 4")
        assert found in refused(tmp_path, *told, sites=MIXED, columns=WITH_OCCUPANCY)


def test_facts_of_a_mixed_crystal(tmp_path):
    path = tmp_path / "told.cif"
    path.write_text(text_of(FM3M, sites=MIXED, columns=WITH_OCCUPANCY))
    facts = crystal_facts(path)
    assert facts["formula"] == "Cl4K1.2Na2.4"
    assert [site["occupancy"] for site in facts["sites"]] == [0.6, 0.3, 1]
    counts = {"Na": 2.4, "K": 1.2, "Cl": 4}
    assert facts["density_g_cm3"] == pytest.approx(density(counts, 5.64**3), abs=1e-4)
    assert facts["density_g_cm3"] == pytest.approx(
        (2.4 * 22.990 + 1.2 * 39.098 + 4 * 35.45) / 0.60221 / 5.64**3, rel=1e-4
    )
    assert facts["shortest_distance"]["angstrom"] == 2.82
    assert "Cl4K1.2Na2.4" in crystal_text(facts)


def test_places_that_may_exclude_each_other_are_refused(tmp_path):
    """Two halves of a disordered molecule or of a hopping ion; ordinary vacancies are further apart."""
    near = ("C1 C 0 0 0 .5", "C2 C .27 0 0 .5", "Cl1 Cl .5 .5 .5 1")
    assert "C1 and C2 1.523 Å apart, where one atom may exclude the other; allowed: at least 2 Å" in refused(
        tmp_path, P1, sites=near, columns=WITH_OCCUPANCY
    )
    far = ("C1 C 0 0 0 .5", "C2 C .4 0 0 .5", "Cl1 Cl .5 .5 .5 1")
    assert len(read(tmp_path, P1, sites=far, columns=WITH_OCCUPANCY).orbits) == 3
    # Places that are never empty exclude nothing.
    full = ("A C 0 0 0 .5", "B N 0 0 0 .5", "C C .27 0 0 .5", "D N .27 0 0 .5", "Cl1 Cl .5 .5 .5 1")
    assert len(read(tmp_path, P1, sites=full, columns=WITH_OCCUPANCY).orbits) == 5


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ((0.6, 0.6, 1), r"add up to 1\.2 \(Na 0\.6, K 0\.6\); allowed: at most 1"),
        ((1, 0.3, 1), r"0\.000 Å apart"),
        ((0, 0.3, 1), r"the occupancy 0 of atom 0 \(Na\); allowed: above 0, to 1"),
        ((np.nan, 0.3, 1), "the occupancy nan of atom 0"),
    ],
)
def test_occupancies_of_atoms_that_are_refused(shares, message):
    atoms = Atoms("NaKCl", positions=[(0, 0, 0), (0, 0, 0), (2, 2, 2)], cell=[4, 4, 4], pbc=True)
    atoms.set_array("occupancies", np.array(shares, float))
    with pytest.raises(InputError, match=message):
        orthogonal_cell(atoms)


def slab(folder: Path) -> Atoms:
    cell = orthogonal_cell(structure(folder, FM3M))
    return cut_slab(cell, (1.0, -2.0, 30.0), 60.0, (60.0, 60.0), (0.3, 0.4, 0.5))


def test_random_occupation_draws_one_atom_or_none_for_each_place(tmp_path):
    virtual = slab(tmp_path)
    drawn = random_occupation(virtual, seed=3)
    assert not drawn.has("occupancies")
    assert len(np.unique(np.round(drawn.positions, 3), axis=0)) == len(drawn)
    cations = int((virtual.symbols == "Na").sum())
    for symbol, share in (("Na", 0.6), ("K", 0.3)):
        # Five standard deviations of a binomial distribution.
        expected = (virtual.symbols == symbol).sum() * share
        assert abs((drawn.symbols == symbol).sum() - expected) < 5 * np.sqrt(cations * share * (1 - share))
    assert (drawn.symbols == "Cl").sum() == (virtual.symbols == "Cl").sum()
    assert random_occupation(virtual, seed=3) == drawn
    assert random_occupation(virtual, seed=4) != drawn
    full = virtual[virtual.symbols == "Cl"]
    assert random_occupation(full, seed=3) == full


def test_elements_of_one_place_move_together(tmp_path):
    moving = with_displacements(slab(tmp_path), {"Na": 0.1, "K": 0.1, "Cl": 0.08})
    snapshot = next(frozen_phonons(moving, 1, seed=1))
    sodium, potassium = (snapshot[snapshot.symbols == symbol].positions for symbol in ("Na", "K"))
    np.testing.assert_array_equal(sodium, potassium)
    assert np.std(sodium - moving[moving.symbols == "Na"].positions) == pytest.approx(0.1, rel=0.03)
    assert snapshot.has("occupancies")
    assert not snapshot.has("displacements")


def test_a_virtual_crystal_is_known_by_its_occupancies(tmp_path):
    cells = [
        orthogonal_cell(structure(tmp_path, FM3M, sites=(f"A Na 0 0 0 {a}", f"B K 0 0 0 {b}", "C Cl .5 .5 .5 1")))
        for a, b in ((0.6, 0.3), (0.5, 0.3))
    ]
    cells += [cells[0].copy()]
    del cells[2].arrays["occupancies"]
    assert len({structure_hash(cell) for cell in cells}) == 3


def test_occupancies_of_layers_are_part_of_translations():
    atoms = Atoms("Na2", positions=[(0, 0, 0), (2, 2, 0)], cell=[4, 4, 4], pbc=True)
    assert lateral_translations(atoms) == [(1, 1, 2)]
    for array, value in (
        ("occupancies", np.array([1, 0.5])),
        ("displacements", np.array([0.01, 0.02])[:, None, None] * np.eye(3)),
    ):
        other = atoms.copy()
        other.set_array(array, value)
        assert lateral_translations(other) == []
        other.set_array(array, value[[1, 1]])
        assert lateral_translations(other) == [(1, 1, 2)]


def test_read_crystal_counts_nothing_twice(tmp_path):
    path = tmp_path / "told.cif"
    path.write_text(text_of(FM3M, sites=MIXED, columns=WITH_OCCUPANCY))
    assert [(o.site.element, round(o.site.occupancy, 3), len(o.positions)) for o in read_crystal(path).orbits] == [
        ("Na", 0.6, 4),
        ("K", 0.3, 4),
        ("Cl", 1, 4),
    ]
