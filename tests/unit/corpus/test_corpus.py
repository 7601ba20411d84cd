"""The survey of a folder of crystals: types, families, beam paths, and what is refused."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from ase import Atoms
from ase.build import bulk

from iphasenet.base.errors import InputError
from iphasenet.base.tables import read_table
from iphasenet.cli import main
from iphasenet.corpus.beam_paths import AXES, beam_paths
from iphasenet.corpus.families import families
from iphasenet.corpus.selection import Corpus
from iphasenet.corpus.structure_type import PARENT_TOLERANCE, structure_type
from iphasenet.corpus.survey import survey
from iphasenet.crystal.structure import read_structure

ROOT = Path(__file__).resolve().parents[3]
CORPUS, TABLE = ROOT / "resources" / "crystals", ROOT / "resources" / "crystals.csv"


def perovskite(shift: float = 0.0, c: float = 4.0) -> Atoms:
    """BaTiO3, whose titanium may be shifted along z [share of the cell]."""
    places = [(0, 0, 0), (0.5, 0.5, 0.5 + shift), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return Atoms("BaTiO3", scaled_positions=places, cell=[4.0, 4.0, c], pbc=True)


def test_a_type_is_that_of_the_arrangement() -> None:
    """Other elements, origins, lengths and cells of one arrangement are one type; another arrangement is another."""
    salt, other = bulk("NaCl", "rocksalt", a=5.64), bulk("MgO", "rocksalt", a=4.21, cubic=True)
    moved = other.copy()
    moved.translate((0.3, 0.7, 1.1))
    names = {structure_type(atoms).label for atoms in (salt, other, moved, other * (2, 1, 1))}
    assert names == {"AB 225 4(m-3m) 4(m-3m)"}
    assert structure_type(bulk("CsCl", "cesiumchloride", a=4.12)).label == "AB 221 1(m-3m) 1(m-3m)"
    assert structure_type(bulk("ZnS", "zincblende", a=5.41)).label == "AB 216 4(-43m) 4(-43m)"
    # One element on several sites.
    assert structure_type(bulk("CaF2", "fluorite", a=5.46)).label == "AB2 225 4(m-3m) 8(-43m)"


def test_a_type_does_not_depend_on_the_order_of_axes_or_on_handedness() -> None:
    """MoPt2 whose first axis is its longest or its shortest, and quartz and its mirror image."""
    places = np.array([(0, 0, 0), (0.5, 0.5, 0.5), (0, 1 / 3, 0), (0, 2 / 3, 0), (0.5, 5 / 6, 0.5), (0.5, 1 / 6, 0.5)])
    cell = np.array([2.7, 8.2, 3.9])
    names = set()
    for order in ([0, 1, 2], [1, 0, 2], [2, 0, 1]):
        for lengths in (cell, cell[[2, 1, 0]]):
            atoms = Atoms("Mo2Pt4", scaled_positions=places[:, order], cell=lengths[order], pbc=True)
            names.add(structure_type(atoms).label)
    assert names == {"AB2 71 2(mmm) 4(2mm)"}
    quartz = read_structure(CORPUS / "minerals/oxides/SiO2-Quartz-alpha.cif")
    mirrored = quartz.copy()
    mirrored.set_cell(quartz.cell[:] * [1, 1, -1], scale_atoms=True)
    left, right = structure_type(mirrored), structure_type(quartz)
    assert left.number != right.number and left.label == right.label


def test_a_distorted_crystal_has_the_parent_type_of_the_undistorted_one() -> None:
    """Ferroelectric BaTiO3 is a relative of the cubic one, at rest in another symmetry."""
    cubic, polar = perovskite(), perovskite(0.015, 4.03)
    assert structure_type(cubic).label != structure_type(polar).label
    assert structure_type(polar).symbol == "P4mm"
    assert structure_type(polar, PARENT_TOLERANCE).label == structure_type(cubic, PARENT_TOLERANCE).label


def test_families_join_whatever_has_something_in_common() -> None:
    shared = [["a"], ["b"], ["c"], ["a", "b"], [], ["d"], []]
    assert families(shared) == [0, 0, 1, 0, 2, 3, 4]
    # The order of the crystals changes their numbers only.
    turned = families(shared[::-1])[::-1]
    assert [[i for i, n in enumerate(turned) if n == m] for m in set(turned)].count([0, 1, 3]) == 1


def test_beam_paths_of_a_cubic_crystal() -> None:
    """Face-centred cubic: areas of the primitive lattices across [100], [110], [111], each axis once."""
    paths = beam_paths(bulk("Al", "fcc", a=4.0, cubic=True), 100)
    areas = {path.zone_axis: path.area for path in paths}
    assert areas == pytest.approx(
        {(1, 1, 1): 16 * np.sqrt(3) / 4, (1, 0, 0): 8.0, (1, 1, 0): 16 * np.sqrt(2) / 2}, rel=1e-6
    )
    assert [path.zone_axis for path in beam_paths(bulk("Al", "fcc", a=4.0, cubic=True), 8.5)] == [(1, 1, 1), (1, 0, 0)]


def test_beam_paths_of_an_oblique_crystal_say_their_strain() -> None:
    atoms = Atoms("CuO", scaled_positions=[(0, 0, 0), (0.31, 0.42, 0.23)], cell=[4.68, 3.42, 5.13, 90, 99.54, 90])
    atoms.pbc = True
    strained = [path for path in beam_paths(atoms, 2000) if path.strain_percent > 0.01]
    assert strained and all(path.strain_percent <= 0.2 for path in strained)
    assert "strain 0." in str(strained[0])


def test_axes_are_all_directions_once() -> None:
    assert len(AXES) == 13
    assert len({tuple(sorted([axis, tuple(-n for n in axis)])) for axis in AXES}) == 13


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five CIFs: rock salt, a relative, a refused, a warned and a mixed one."""
    found = tmp_path_factory.mktemp("corpus")
    minerals = CORPUS / "minerals"
    for name in (
        "halides/NaCl-Halite.cif",
        "oxides/MgO-Periclase.cif",
        "nitrides/BN.cif",
        "hydroxides/Mg(OH)2-Brucite.cif",
    ):
        (found / name).parent.mkdir(exist_ok=True)
        (found / name).write_bytes((minerals / name).read_bytes())
    text = (minerals / "oxides/MgO-Periclase.cif").read_text()
    mixed = text.replace("_atom_site_fract_z\n", "_atom_site_fract_z\n_atom_site_occupancy\n")
    lines = [line + " 0.9" if line.startswith(("Mg ", "O ")) else line for line in mixed.splitlines()]
    cut = [line for line in lines if "density" not in line and "formula" not in line]
    (found / "mixed.cif").write_text("\n".join(cut) + "\n")
    return found


def test_a_survey_tells_how_each_file_was_read(folder: Path) -> None:
    table = survey(folder, 60).set_index("name")
    assert table["reading"].to_dict() == {
        "BN": "refused", "Mg(OH)2-Brucite": "warned", "MgO-Periclase": "read", "NaCl-Halite": "read", "mixed": "read"
    }  # fmt: skip
    assert "4 N" not in table.loc["BN", "remark"] and "B4N2" in table.loc["BN", "remark"]
    assert str(folder) not in " ".join(table["remark"].fillna(""))
    assert table.loc["NaCl-Halite", "family"] == table.loc["MgO-Periclase", "family"]
    assert table.loc["Mg(OH)2-Brucite", "family"] != table.loc["MgO-Periclase", "family"]
    # Disordered and refused crystals have no type, no family and no zone axes.
    assert table.loc[["mixed", "BN"], ["type", "family", "zone_axes"]].isna().all(axis=None)
    assert table.loc["NaCl-Halite", "checked_by"] == "formula and density"
    assert table.loc["NaCl-Halite", "zone_axes"].startswith("[1 1 1] 13.8; [1 0 0] 15.9; [1 1 0]")
    assert table.loc["NaCl-Halite", "displacements"] == "estimated"


def test_the_command_writes_the_table_and_says_what_was_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "crystals.csv"
    main(["corpus", str(folder), "--output", str(path)])
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"{path}: 5 CIFs: 3 read, 1 warned, 1 refused"
    assert told[1].startswith("3 ordered crystals of 2 structure types in 2 families")
    assert told[2].startswith("refused: nitrides/BN.cif: found B4N2")
    first = path.read_bytes()
    # Its own table is replaced; one with a note of the user is not.
    main(["corpus", str(folder), "--output", str(path)])
    assert path.read_bytes() == first
    path.write_bytes(first + b"my note\n")
    with pytest.raises(SystemExit, match="iphasenet did not write"):
        main(["corpus", str(folder), "--output", str(path)])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["{folder}/none", "--output", "{out}/a.csv"], "found no such folder"),
        (["{out}", "--output", "{out}/../a.csv"], "found no CIF"),
        (["{folder}", "--output", "{folder}/a.csv"], "a place inside the input"),
        (["{folder}", "--output", "{out}/a.txt"], "the ending '.txt'"),
        (["{folder}", "--output", "{out}/a.csv", "--largest-area", "0"], "1 to 100,000 Å²"),
    ],
)
def test_bad_input_is_one_line(folder: Path, tmp_path: Path, arguments: list[str], reason: str) -> None:
    with pytest.raises(SystemExit, match=reason) as caught:
        main(["corpus", *(text.format(folder=folder, out=tmp_path) for text in arguments)])
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_odd_files_are_rows_of_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Empty and broken files, links that lead nowhere, names that are no text; a folder that ends with .cif is none."""
    corpus, path = tmp_path / "corpus", tmp_path / "crystals.csv"
    (corpus / "folder.cif").mkdir(parents=True)
    (corpus / "empty.cif").touch()
    (corpus / "broken.CIF").symlink_to("nowhere")
    main(["corpus", str(corpus), "--output", str(path)])
    assert read_table(path)["reading"].tolist() == ["refused", "refused"]
    (Path(os.fsdecode(bytes(corpus) + b"/n\xff.cif"))).write_bytes(
        (CORPUS / "minerals/oxides/MgO-Periclase.cif").read_bytes()
    )
    main(["corpus", str(corpus), "--output", str(path)])
    assert read_table(path).set_index("name").loc["n?", "formula"] == "MgO"
    assert "2 CIFs: 0 read, 0 warned, 2 refused" in capsys.readouterr().out


def test_a_survey_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no CIF in this folder"):
        survey(tmp_path, 60)


def test_the_shipped_table_is_that_of_the_shipped_files() -> None:
    """Rows of a sample of the files, read again; every file has its row."""
    table = read_table(TABLE).set_index("file")
    files = {path.relative_to(TABLE.parent).as_posix() for path in TABLE.parent.rglob("*.cif")}
    assert set(table.index) == files
    for folder in ("minerals/titanates", "minerals/antimonides"):
        again = survey(CORPUS / folder, 120)
        for row in again.itertuples():
            kept = table.loc[f"crystals/{folder}/{row.file}"]
            for column in ("reading", "remark", "formula", "atoms", "type", "parent_type", "zone_axes"):
                found, expected = getattr(row, column), kept[column]
                assert (pandas.isna(found) or found == "") == (pandas.isna(expected) or expected == ""), column
                assert pandas.isna(expected) or found == expected


def test_the_shipped_corpus_is_large_enough() -> None:
    """At least 250 ordered crystals, 30 families to hold out, and none that was refused is used."""
    table = read_table(TABLE)
    usable = table[table["zone_axes"].notna()]
    assert len(usable) >= 250 and usable["family"].nunique() >= 60
    assert set(usable["reading"]) <= {"read", "warned"}
    assert (usable["type"].notna() & usable["family"].notna()).all()


def test_the_command_does_not_load_torch() -> None:
    code = "import sys, iphasenet.corpus.survey; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def corpus(**settings: Any) -> Corpus:
    return Corpus(table="resources/crystals.csv", folder="resources", **settings)


def test_a_selection_takes_what_it_says() -> None:
    chosen = corpus(largest_area_angstrom2=30, most_atoms=20, zone_axes=2).crystals(ROOT)
    rows = read_table(TABLE).set_index("file")
    assert len(chosen) > 200
    for crystal in chosen:
        row = rows.loc[crystal.cif.relative_to("resources").as_posix()]
        assert row["reading"] == "read" and row["atoms"] <= 20 and crystal.family == row["family"]
        assert 1 <= len(crystal.paths) <= 2 and crystal.name.isalnum()
        assert all(path.area <= 30 and path.strain_percent == 0 for path in crystal.paths)
    salt = next(crystal for crystal in chosen if crystal.name == "NaClHalite")
    assert [path.zone_axis for path in salt.paths] == [(1, 1, 1), (1, 0, 0)]
    strained = corpus(largest_area_angstrom2=120, strained=True).crystals(ROOT)
    assert any(path.strain_percent > 0 for crystal in strained for path in crystal.paths)
    warned = corpus(warned=True).crystals(ROOT)
    assert {crystal.cif for crystal in corpus().crystals(ROOT)} < {crystal.cif for crystal in warned}


def test_no_relative_of_a_held_out_crystal_is_trained_on() -> None:
    """By type, parent type and formula, which need not be what made the families."""
    taken = corpus(validation_families=15, test_families=40, draw=3)
    # Two crystals may have one name; their files differ.
    crystals = [replace(crystal, name=crystal.cif.as_posix()) for crystal in taken.crystals(ROOT)]
    splits = taken.splits(crystals)
    rows = read_table(TABLE).set_index("file").loc[[c.cif.relative_to("resources").as_posix() for c in crystals]]
    rows["split"] = [splits[crystal.name] for crystal in crystals]
    held = rows[rows["split"] == "test"]
    assert held["family"].nunique() == 40 and held["type"].nunique() >= 40
    for column in ("type", "parent_type", "formula", "family"):
        groups = [set(rows.loc[rows["split"] == name, column].dropna()) for name in ("train", "validation", "test")]
        assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    assert replace(taken, draw=4).splits(crystals) != splits == taken.splits(crystals)


def test_families_of_named_crystals_are_held_out_however_large() -> None:
    taken = corpus(hold_out=("quartz",))
    crystals = taken.crystals(ROOT)
    quartz = next(crystal for crystal in crystals if crystal.name == "SiO2Quartzalpha")
    splits = replace(taken, hold_out=("SiO2Quartzalpha",)).splits(crystals)
    relatives = {crystal.name for crystal in crystals if crystal.family == quartz.family}
    assert len(relatives) > 10 and {splits[name] for name in relatives} == {"test"}
    with pytest.raises(InputError, match=r"corpus\.hold_out: found 'quartz'; allowed: crystals of the corpus"):
        taken.splits(crystals)


def test_more_families_than_there_are_cannot_be_held_out() -> None:
    taken = corpus(validation_families=10, test_families=1000)
    with pytest.raises(InputError, match="found 10 families for validation and 1000 for test; allowed: together at"):
        taken.splits(taken.crystals(ROOT))


def edited(folder: Path, column: str, value: str) -> Corpus:
    """A corpus in whose table an entry was changed."""
    table = read_table(TABLE).astype(object)
    table.loc[table["name"] == "NaCl-Halite", column] = value
    table.to_csv(folder / "edited.csv", index=False)
    return Corpus(table=str(folder / "edited.csv"), folder="resources")


@pytest.mark.parametrize("text", ["7", "[0 0 1] 1.2.3", "[0 0 0] 12.0", "[1 0 0] 12.0;[1 1 0] 3.0"])
def test_zone_axes_that_are_none_are_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"edited\.csv: row \d+: zone_axes: found .* allowed: an axis and its area"):
        edited(tmp_path, "zone_axes", text).crystals()


@pytest.mark.parametrize(("column", "value"), [("atoms", "many"), ("family", "-1")])
def test_numbers_that_are_none_are_told(tmp_path: Path, column: str, value: str) -> None:
    with pytest.raises(InputError, match=r"edited\.csv: found a row \d+ with other columns or numbers"):
        edited(tmp_path, column, value).crystals()


def test_a_reading_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"edited\.csv: row \d+: reading: found 'maybe'; allowed: read, war"):
        edited(tmp_path, "reading", "maybe").crystals()


@pytest.mark.parametrize("file", ["/etc/passwd", "../other/a.cif", "crystals.csv"])
def test_files_of_a_table_lie_in_its_folder(tmp_path: Path, file: str) -> None:
    with pytest.raises(InputError, match=r"row \d+: file: found .*; allowed: a \.cif below the corpus's folder"):
        edited(tmp_path, "file", file).crystals()


def test_a_file_stands_in_one_row_and_the_table_may_come_from_a_spreadsheet(tmp_path: Path) -> None:
    text = (ROOT / "resources/crystals.csv").read_text(encoding="utf-8")
    table = tmp_path / "sheet.csv"
    table.write_text(text, encoding="utf-8-sig")
    taken = Corpus(table=str(table), folder="resources").crystals()
    assert taken == Corpus(table=str(ROOT / "resources/crystals.csv"), folder="resources").crystals()
    table.write_text(text + text.splitlines()[1] + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"sheet\.csv: found .*\.cif in 2 rows; allowed: each file once"):
        Corpus(table=str(table), folder="resources").crystals()
    table.write_text("")
    with pytest.raises(InputError, match=r"sheet\.csv: found no column 'name'"):
        Corpus(table=str(table), folder="resources").crystals()


def test_a_selection_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"found no crystal with at most 1 atoms .* among 803 rows"):
        corpus(most_atoms=1, largest_area_angstrom2=1).crystals(ROOT)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"other\.csv: found no column 'name'; allowed: a table"):
        Corpus(table="other.csv", folder="resources").crystals(tmp_path)
    with pytest.raises(InputError, match=r"none\.csv: found no table that can be read \(FileNotFoundError\)"):
        Corpus(table="none.csv", folder="resources").crystals(tmp_path)


def test_a_configuration_is_read_without_pandas() -> None:
    code = "import sys, iphasenet.planning.configuration; print({'pandas', 'ase', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
