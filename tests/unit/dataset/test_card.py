"""Card, Croissant metadata and table of samples: compared with the store, and loaded with Croissant's own tool."""

import csv
import fnmatch
import hashlib
import json
import re
import shutil
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import mlcroissant
import pytest
import yaml
import zarr

import iphasenet
from iphasenet.base.errors import InputError
from iphasenet.base.seals import seal
from iphasenet.dataset.card import describe_dataset
from iphasenet.dataset.writer import assemble
from iphasenet.simulation.grid import SPLITS
from tests.unit.dataset.test_reader import PIXELS, make

REPOSITORY = Path(__file__).parents[3]
FILES = ("README.md", "croissant.json", "samples.csv")
MATERIALS = ("GaN", "MoS2")
MOTION = {
    "Ga": {"rms_displacement_angstrom": 0.0592, "from": "U_iso"},
    "N": {"rms_displacement_angstrom": 0.1, "from": "configured"},
}

# rdflib, which mlcroissant reads JSON-LD with, still uses a class that it has deprecated itself.
reads_croissant = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")


def attributes(**changes: Any) -> dict[str, Any]:
    """Root attributes as the workflow writes them; a change to None leaves one out."""
    full = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())
    # Of a set at rest, which records no passes.
    multislice = {
        k: v for k, v in full["simulation"]["multislice"].items() if not k.startswith(("memory_mb", "thermal_"))
    }
    configuration = {
        **{key: full[key] for key in ("run", "seed", "grid", "image", "optics", "materials")},
        "simulation": {"parametrization": "lobato", "multislice": multislice},
        "noise": {"evaluation_doses": [1e4, 1e6], "acquisition": {"readout_electrons": 0.3, "drift_angstrom": 0.0}},
    }
    written = {
        "title": "Simulated images",
        "licence": "CC-BY-4.0",
        "configuration": {k: v for k, v in (configuration | changes.pop("configuration", {})).items() if v is not None},
        "versions": {"python": "3.11.7", "iphasenet": "0.1.0", "zarr": "3.1.6"},
    }
    return {key: value for key, value in (written | changes).items() if value is not None}


def describe(folder: Path, materials: tuple[str, ...] = MATERIALS, **changes: Any) -> None:
    """Assemble the materials that `make` left in the folder, and others, and describe them."""
    others = [name for name in materials if name not in MATERIALS]
    if others:
        make(folder / "others", tuple(others))
    sources = {name: folder / ("others" if name in others else "") / f"{name}.zarr" for name in materials}
    assemble(folder / "dataset.zarr", sources, attributes(**changes))
    describe_dataset(folder / "dataset.zarr", *(folder / name for name in FILES))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a store a material."""
    folder = tmp_path_factory.mktemp("stores")
    make(folder, MATERIALS)
    zarr.open_group(folder / "GaN.zarr", mode="r+").attrs["mode"] = "cell | slab"
    seal(folder / "GaN.zarr", "material")
    return folder


@pytest.fixture(scope="module")
def folder(stores: Path) -> Path:
    """Folder with a described store, not to be changed."""
    describe(stores)
    return stores


@pytest.fixture
def own(stores: Path, tmp_path: Path) -> Path:
    """Folder with a store a material, to be changed."""
    for name in MATERIALS:
        shutil.copytree(stores / f"{name}.zarr", tmp_path / f"{name}.zarr")
    return tmp_path


def coordinates(folder: Path) -> list[dict[str, Any]]:
    """Rows that the table should have, read from the store."""
    rows: list[dict[str, Any]] = []
    for name, group in sorted(zarr.open_group(folder / "dataset.zarr", mode="r").groups()):
        arrays = {key: array for key, array in group.arrays() if array.metadata.dimension_names == ("sample",)}
        along = {key: array[:].tolist() for key, array in arrays.items()}
        for values in zip(*along.values(), strict=True):
            row = dict(zip(along, values, strict=True))
            rows.append({**row, "material": name, "zone_axis": "[0 0 1]", "split": SPLITS[row["split"]]})
    return rows


def test_the_table_is_the_stores_coordinates(folder: Path) -> None:
    with (folder / "samples.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    expected = coordinates(folder)
    assert len(rows) == 40
    assert len({row["sample_id"] for row in rows}) == 40
    for row, values in zip(rows, expected, strict=True):
        assert set(row) == set(values)
        # Text in, text out: no digit may be lost.
        assert {key: type(values[key])(text) for key, text in row.items()} == values


@reads_croissant
def test_croissant_is_valid_without_network(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    dataset = mlcroissant.Dataset(folder / "croissant.json")
    assert dataset.metadata.ctx.issues.errors == set()
    assert dataset.metadata.ctx.issues.warnings == set()
    assert [record.message for record in caplog.records if record.levelname != "INFO"] == []
    assert dataset.metadata.license == ["https://spdx.org/licenses/CC-BY-4.0.html"]


@reads_croissant
def test_croissant_loads_the_stores_samples(folder: Path) -> None:
    dataset = mlcroissant.Dataset(folder / "croissant.json")
    records = list(dataset.records("samples"))
    for record, values in zip(records, coordinates(folder), strict=True):
        found = {key.removeprefix("samples/"): value for key, value in record.items()}
        found = {key: value.decode() if isinstance(value, bytes) else value for key, value in found.items()}
        assert {key: type(value) for key, value in found.items()} == {key: type(v) for key, v in values.items()}
        # mlcroissant reads CSV with pandas, which may miss the last bit of a float.
        numbers = {key for key, value in values.items() if isinstance(value, float)}
        assert [found.pop(key) for key in numbers] == pytest.approx([values.pop(key) for key in numbers], rel=1e-15)
        assert found == values
    assert [record["splits/name"] for record in dataset.records("splits")] == list(SPLITS)


def test_croissant_names_the_files_by_their_bytes(folder: Path) -> None:
    metadata = json.loads((folder / "croissant.json").read_text())
    table, store = metadata["distribution"]
    content = (folder / table["contentUrl"]).read_bytes()
    assert table["sha256"] == hashlib.sha256(content).hexdigest()
    assert table["contentSize"] == f"{len(content)} B"
    found = {path for path in folder.rglob("*") if fnmatch.fnmatch(str(path.relative_to(folder)), store["includes"])}
    assert found == set((folder / "dataset.zarr").rglob("*"))


def test_croissant_gives_units_and_arrays(folder: Path) -> None:
    metadata = json.loads((folder / "croissant.json").read_text())
    fields = {field["name"]: field["description"] for field in metadata["recordSet"][0]["field"]}
    group = zarr.open_group(folder / "dataset.zarr", mode="r")["GaN"]
    for name, text in fields.items():
        unit = group[name].attrs.get("units", "") if name in group else ""
        assert text.endswith(f"[{unit}]") == bool(unit)
    measured = {variable["name"]: variable for variable in metadata["variableMeasured"]}
    assert set(measured) == {"segments", "potential", "noisy_segments"}
    for name, variable in measured.items():
        assert variable["unitText"] == group[name].attrs["units"]
        assert str(group[name].dtype) in variable["description"]
        assert ", ".join(group[name].metadata.dimension_names) in variable["description"]


def table_rows(card: str) -> list[list[str]]:
    """Cells of all tables of the card."""
    return [[cell.strip() for cell in line.split(" | ")] for line in re.findall(r"^\| (.*) \|$", card, re.MULTILINE)]


def test_the_card_counts_samples_and_tilts(folder: Path) -> None:
    rows = table_rows((folder / "README.md").read_text())
    table = coordinates(folder)
    for name in MATERIALS:
        counts = Counter(row["split"] for row in table if row["material"] == name)
        tilts = Counter(split for split, _ in {(row["split"], row["tilt"]) for row in table if row["material"] == name})
        assert [name, "[0 0 1]", *(str(counts[split]) for split in SPLITS), "20"] in rows
        assert [name, *(str(tilts[split]) for split in SPLITS)] in rows


def test_the_card_lists_every_array(folder: Path) -> None:
    rows = {row[0]: row for row in table_rows((folder / "README.md").read_text()) if len(row) == 6}
    group = zarr.open_group(folder / "dataset.zarr", mode="r")["GaN"]
    arrays = dict(group.arrays())
    assert {f"`{name}`" for name in arrays} == {name for name in rows if name.startswith("`")}
    for name, array in arrays.items():
        _, dimensions, size, dtype, unit, _ = rows[f"`{name}`"]
        assert dimensions == ", ".join(array.metadata.dimension_names)
        assert size == " x ".join(map(str, array.shape))
        assert dtype == ("string" if name in ("sample_id", "segment") else str(array.dtype))
        assert unit == array.attrs.get("units", "")


def test_the_cards_code_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    blocks = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    assert names["sample"]["potential"].shape == (PIXELS, PIXELS)
    assert names["group"]["segments"].shape == (20, 4, PIXELS, PIXELS)
    assert len(names["table"]) == 40
    names["tree"].close()


def test_the_cards_front_matter_is_what_hubs_read(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert text.startswith("---\n")
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["license"] == "cc-by-4.0"
    assert front["pretty_name"] == "Simulated images (full)"
    assert front["size_categories"] == ["n<1K"]
    assert front["configs"][0]["data_files"] == "samples.csv"
    assert "multislice" in front["tags"]


def test_the_card_tells_size_versions_and_settings(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    files = [path for path in (folder / "dataset.zarr").rglob("*") if path.is_file()]
    assert f"{len(files):,} files, {sum(path.stat().st_size for path in files):,} bytes" in text
    assert "Versions: python 3.11.7, iphasenet 0.1.0, zarr 3.1.6." in text
    settings = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert settings
    assert yaml.safe_load(settings[1]) == attributes()["configuration"]
    assert '`mode`: "cell | slab".' in text


def test_the_same_store_gives_the_same_bytes(folder: Path, own: Path) -> None:
    describe(own)
    # Snakemake's mark on a finished folder.
    (own / "dataset.zarr/.snakemake_timestamp").touch()
    describe_dataset(own / "dataset.zarr", *(own / name for name in FILES))
    for name in FILES:
        assert (own / name).read_bytes() == (folder / name).read_bytes()
    assert not list(own.glob(".partial*"))


def test_only_noise_that_was_added_is_told(own: Path) -> None:
    describe(own)
    card = (own / "README.md").read_text()
    assert "at 10000, 1000000 e/Å²" in card
    assert "read-out noise of 0.3 electrons" in card
    assert "drift of" not in card
    describe(own, configuration={"noise": {"evaluation_doses": [0.5], "acquisition": {"drift_angstrom": 0.2}}})
    card = (own / "README.md").read_text()
    assert "at 0.5 e/Å²" in card
    assert "drift of 0.2 Å" in card
    assert "read-out noise" not in card


def test_structures_are_told_with_their_sources(own: Path) -> None:
    """As the CIF files tell them: the card cannot read these where the library is installed."""
    structures = sorted((REPOSITORY / "resources/structures").glob("*.cif"))
    describe(own, tuple(path.stem for path in structures))
    card = (own / "README.md").read_text()
    lines = {line.split(":")[0].removeprefix("- "): line for line in card.splitlines() if line.endswith("At rest.")}
    for path in structures:
        cif, line = path.read_text(), lines[path.stem]
        assert f"`resources/structures/{path.name}`" in line
        for key in ("volume", "page_first", "year"):
            if given := re.search(rf"^_journal_{key} (\d+)$", cif, re.MULTILINE):
                assert re.search(rf"\b{given[1]}\b", line)
        for author in re.findall(r"_publ_author_name\s+'(?:de )?(\w+),", cif):
            assert author in line
    assert "- KNbO3: the ideal cubic cell" in card
    assert "- PVSK: the cell's angles" in card


def test_another_structure_gets_no_source_that_is_not_its_own(own: Path) -> None:
    materials = {name: {"cif": f"mine/{name}.cif", "zone_axis": [0, 0, 1]} for name in ("GaN", "KNbO3")}
    describe(own, ("GaN", "KNbO3"), configuration={"materials": materials})
    card = (own / "README.md").read_text()
    assert "- GaN: see the file (`mine/GaN.cif`). At rest." in card
    assert "Schulz" not in card
    assert "ideal cubic" not in card


def warm_card(folder: Path, truth: str) -> str:
    """Card of a set at 293 K, whose samples have a noise of 1 % each and, one of them, of 3 %."""
    (folder / "warm").mkdir()
    make(folder / "warm", MATERIALS, {"temperature_k": 293, "thermal_motion": MOTION}, [0.03] + 19 * [0.01])
    simulation = attributes()["configuration"]["simulation"] | {"temperature_k": 293, "truth": truth}
    sources = {name: folder / "warm" / f"{name}.zarr" for name in MATERIALS}
    assemble(folder / "dataset.zarr", sources, attributes(configuration={"simulation": simulation}))
    describe_dataset(folder / "dataset.zarr", *(folder / name for name in FILES))
    return " ".join((folder / "README.md").read_text().split())


def test_a_warm_set_says_how_its_atoms_move(own: Path) -> None:
    card = warm_card(own, "thermal")
    assert "mean square displacements of 293 K" in card
    assert "along an axis: Ga 0.059 Å (U_iso), N 0.100 Å (configured). The file's are the mean of" in card
    assert "1 % for the median sample, 3 % at most" in card
    assert "the projected potential averaged over thermal motion" in card and "of the atoms at rest" not in card
    assert "thermal diffuse scattering alone" in card and "At rest." not in card and "Atoms are at rest" not in card
    table = csv.DictReader((own / "samples.csv").read_text().splitlines())
    assert {row["thermal_noise"] for row in table} == {"0.01", "0.03"}


def test_the_truth_at_rest_is_told(own: Path) -> None:
    card = warm_card(own, "rest")
    assert "The truth is the projected potential of the atoms at rest" in card


def test_a_set_at_rest_says_what_that_means(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    assert "Atoms are at rest, in the images and in the truth." in card
    assert "changes such images by 36 to 170 %" in card and "thermal_noise" not in card


def test_the_citation_is_the_projects(folder: Path) -> None:
    project = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    metadata = json.loads((folder / "croissant.json").read_text())
    card = (folder / "README.md").read_text()
    assert metadata["datePublished"] == str(project["date-released"])
    assert [metadata["creator"]["name"]] == [author["name"] for author in project["authors"]]
    assert project["title"] in metadata["citeAs"]
    assert metadata["citeAs"] in card
    assert str(project["version"]) == iphasenet.__version__ == metadata["version"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"licence": None}, "licence"),
        ({"title": ""}, "title"),
        ({"versions": {"zarr": "3.1.6"}}, "versions.iphasenet"),
        ({"configuration": {"run": None}}, "configuration.run"),
        ({"configuration": {"materials": {}}}, "GaN"),
        ({"configuration": {"grid": {}}}, "tilt_std_deg"),
        ({"configuration": {"noise": {}}}, "evaluation_doses"),
    ],
)
def test_a_missing_attribute_is_named(own: Path, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=re.escape(named)) as error:
        describe(own, **changes)
    assert "\n" not in str(error.value)
    assert not any((own / name).exists() for name in FILES)


def test_what_is_no_data_set_is_refused(own: Path) -> None:
    paths = [own / name for name in FILES]
    with pytest.raises(InputError, match=r"dataset\.zarr: found no Zarr v3 store"):
        describe_dataset(own / "dataset.zarr", *paths)
    with pytest.raises(InputError, match="found 0 kinds of groups"):
        describe(own, ())
    describe(own)
    with pytest.raises(InputError, match="allowed: the folder of"):
        describe_dataset(own / "dataset.zarr", own / "elsewhere/README.md", *paths[1:])
    (own / "dataset.zarr/MoS2/alpha/zarr.json").unlink()
    with pytest.raises(InputError, match=r"found no MoS2/alpha"):
        describe_dataset(own / "dataset.zarr", *paths)
    # Only what is as it was made is replaced.
    shutil.rmtree(own / "dataset.zarr")
    shutil.rmtree(own / "GaN.zarr/sample_id")
    with pytest.raises(InputError, match=r"GaN\.zarr: found no sample_id"):
        describe(own)
