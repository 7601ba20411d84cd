"""What is said of a crystal's file, of values that are published."""

import json
from pathlib import Path

import pytest

from iphasenet.crystal.facts import crystal_facts, crystal_text

STRUCTURES = Path(__file__).resolve().parents[3] / "resources" / "structures"


def test_the_facts_of_lithium_cobalt_oxide() -> None:
    facts = crystal_facts(STRUCTURES / "LiCoO2.cif")
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["kind"], facts["formula"], facts["atoms"]) == ("crystal", "Co3Li3O6", 12)
    assert (facts["space_group"], facts["space_group_number"]) == ("R -3 m:H", 166)
    assert (facts["operations"], facts["operations_from"]) == (36, "its operations")
    assert facts["density_g_cm3"] == pytest.approx(5.05, abs=0.01)
    assert (facts["formula_units"], facts["warnings"]) == (3, [])
    assert [(site["element"], site["multiplicity"]) for site in facts["sites"]] == [("Li", 3), ("Co", 3), ("O", 6)]
    assert facts["shortest_distance"] == {"angstrom": pytest.approx(1.92, abs=0.01), "elements": ["Co", "O"]}
    cells = {tuple(cell["zone_axis"]): cell for cell in facts["orthogonal_cells"]}
    assert cells[0, 0, 1]["atoms"] == 24
    assert cells[0, 0, 1]["lengths_angstrom"] == pytest.approx([2.816, 2.816 * 3**0.5, 14.05])
    assert "no two lattice vectors" in cells[1, 1, 1]["refused"]


def test_the_text_says_what_the_file_does_not() -> None:
    text = crystal_text(crystal_facts(STRUCTURES / "GaN.cif"))
    assert "crystal Ga2N2, 4 atoms in the cell (block GaN)" in text
    assert "12 operations from its operations" in text
    assert "\n  [0 0 1]  3.189 x 5.524 x 5.185 Å, 8 atoms" in text
    assert "nan" not in text
    assert "None" not in text


def test_the_motion_of_each_site_and_its_source() -> None:
    facts = crystal_facts(STRUCTURES / "KNbO3.cif")
    potassium, _, oxygen = facts["sites"]
    assert (potassium["u_from"], oxygen["u_from"], facts["displacements_at_k"]) == ("U_iso", "U_ij", 293)
    assert potassium["rms_angstrom"] == pytest.approx([0.0911] * 3, abs=1e-4)
    assert oxygen["rms_angstrom"] == pytest.approx([0.0632, 0.0927, 0.0927], abs=1e-4)
    assert oxygen["u_iso_angstrom2"] == pytest.approx((2 * 0.0086 + 0.004) / 3, abs=1e-6)
    assert "\n  O1       O     3 1 0.0071 U_ij" in crystal_text(facts)


def test_displacements_that_cannot_be_are_a_warning(tmp_path: Path) -> None:
    """The crystal at rest can still be used."""
    path = tmp_path / "GaN.cif"
    path.write_text((STRUCTURES / "GaN.cif").read_text().replace("0.0040", "-0.004"))
    facts = crystal_facts(path)
    assert {site["u_from"] for site in facts["sites"]} == {None}
    (warning,) = facts["warnings"]
    assert warning == (
        "site N1: found U_iso that means U = -0.004 Å²; allowed: above 0, to 0.25 Å²; the crystal can be used at rest "
        "only"
    )
    assert "\n  N1       N     2 1 - " in crystal_text(facts)
