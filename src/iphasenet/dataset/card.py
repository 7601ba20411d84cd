"""Three files beside an assembled data set: its card, its Croissant metadata and a table of its samples."""

import csv
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import yaml
import zarr
from jinja2 import Environment, PackageLoader, StrictUndefined, UndefinedError

from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_file
from iphasenet.base.marks import LIST, UNLISTED
from iphasenet.dataset.reader import material_groups, open_dataset, read_rows

TITLE = "iphasenet: simulated four-quadrant STEM data sets and their inversion to the projected potential"
AUTHORS = "The iphasenet authors"
RELEASED = "2026-11-23"
"""Same values as in CITATION.cff, which is not installed with the library. The store itself holds no date."""

KEYWORDS = [
    "scanning transmission electron microscopy", "four-quadrant detector", "differential phase contrast", "multislice",
    "simulation", "projected potential", "inverse problem", "materials science",
]  # fmt: skip
SPLIT_TYPES = {"train": "cr:TrainingSplit", "validation": "cr:ValidationSplit", "test": "cr:TestSplit"}
DATA_TYPES = {float: "sc:Float", int: "sc:Integer", bool: "sc:Boolean", str: "sc:Text"}
CROISSANT = "http://mlcommons.org/croissant/"
WORDS = (
    "citeAs column equivalentProperty extract field fileObject fileProperty fileSet format includes isLiveDataset "
    "jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator source "
    "subField transform"
)
CONTEXT = {
    **{"@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/", "cr": CROISSANT},
    **{"rai": f"{CROISSANT}RAI/", "dct": "http://purl.org/dc/terms/", "conformsTo": "dct:conformsTo"},
    **{word: f"cr:{word}" for word in WORDS.split()},
    **{word: {"@id": f"cr:{word}", "@type": "@json"} for word in ("data", "examples")},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
}
"""JSON-LD context as Croissant 1.0 prescribes it."""


class Variable(NamedTuple):
    """An array of the store; text that the store lacks is empty, and `flags` holds the meanings of its values."""

    name: str
    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    unit: str
    description: str
    flags: dict[Any, str]

    @property
    def text(self) -> str:
        """Description with the unit and, for more than one dimension, dimensions and type."""
        unit = f" [{self.unit}]" if self.unit not in ("", "1") else ""
        dimensions = f"; {', '.join(self.dimensions)}; {self.dtype}" if len(self.shape) > 1 else ""
        return f"{self.description or self.name}{unit}{dimensions}"


class Material(NamedTuple):
    """A group: its attributes and arrays, and the table's columns for its samples."""

    name: str
    attributes: dict[str, Any]
    variables: list[Variable]
    columns: dict[str, list[Any]]

    def tilts(self, split: str) -> int:
        """Count the tilts in a split."""
        pairs = zip(self.columns["tilt"], self.columns["split"], strict=True)
        return len({tilt for tilt, found in pairs if found == split})


def describe_dataset(dataset: Path, card: Path, croissant: Path, table: Path) -> None:
    """
    Describe an assembled data set for people and machines; the same store gives the same bytes.

    Parameters
    ----------
    dataset : Path
        Assembled store. The files are made in its folder, because they name each other and the store.
    card : Path
        Data-set card: Markdown with YAML front matter.
    croissant : Path
        Croissant 1.0 metadata: JSON-LD.
    table : Path
        CSV, one row per sample, with every coordinate along `sample` in the store's units (nm, Å, degrees).

    Raises
    ------
    InputError
        If there is no store, or it lacks what the workflow writes; then no file is made.
    """
    paths = {"dataset": dataset, "card": card, "croissant": croissant, "table": table}
    if len({path.absolute().parent for path in paths.values()}) != 1:
        raise InputError(f"{card}, {croissant}, {table}: found in other folders; allowed: the folder of {dataset}")
    attributes, materials = _read(dataset)
    rows = _table(materials)
    facts = _facts(attributes, materials, paths)
    environment = Environment(loader=PackageLoader("iphasenet.dataset"), undefined=StrictUndefined, trim_blocks=True)
    try:
        text = environment.get_template("card.md").render(facts, released=RELEASED, keywords=KEYWORDS) + "\n"
    except UndefinedError as error:
        raise InputError(f"{dataset}: {error.message}; allowed: a data set made by this workflow") from error
    metadata = json.dumps(_croissant(facts, materials[0], rows.encode()), indent=2, ensure_ascii=False) + "\n"
    for path, content in ((table, rows), (croissant, metadata), (card, text)):
        with atomic_file(path) as temporary:
            temporary.write_bytes(content.encode())


def _get(values: Any, keys: str, where: str) -> Any:
    """Value under a dotted path of keys."""
    for key in keys.split("."):
        if not isinstance(values, Mapping) or values.get(key) in (None, "", {}, []):
            raise InputError(f"{where}: found no {keys}; allowed: a data set made by this workflow")
        values = values[key]
    return values


def _read(dataset: Path) -> tuple[dict[str, Any], list[Material]]:
    """Attributes of the root, and the materials in the order of their names."""
    root = open_dataset(dataset)
    found = [_read_material(name, group, f"{dataset}/{name}") for name, group in material_groups(root).items()]
    kinds = len({tuple(material.columns) for material in found})
    if kinds != 1:
        raise InputError(
            f"{dataset}: found {kinds} kinds of groups; allowed: one kind, whose groups have the same coordinates"
        )
    return dict(root.attrs), found


def _read_material(name: str, group: zarr.Group, where: str) -> Material:
    arrays = dict(group.arrays())
    order = str(group.attrs.get("coordinates", "")).split()
    names = [*(n for n in order if n in arrays), *sorted(set(arrays) - set(order))]
    # Images first, then the arrays with one value for each sample.
    variables = [_variable(n, arrays[n]) for n in names]
    variables.sort(key=lambda v: (len(v.shape) < 2, v.dimensions[:1] != ("sample",), -len(v.shape)))
    along = [v for v in variables if v.dimensions == ("sample",)]
    columns = {v.name: [v.flags.get(value, value) for value in read_rows(group, v.name).tolist()] for v in along}
    identifiers, split, _ = (_get(columns, key, where) for key in ("sample_id", "split", "tilt"))
    attributes: dict[str, Any] = dict(group.attrs)
    axis = f"[{' '.join(map(str, attributes.get('zone_axis', [])))}]"
    same = {"material": [name] * len(split), "zone_axis": [axis] * len(split)}
    return Material(name, attributes, variables, {"sample_id": identifiers, **same, "split": split, **columns})


def _variable(name: str, array: zarr.Array[Any]) -> Variable:
    attributes: dict[str, Any] = dict(array.attrs)
    dtype = "string" if array.dtype.kind in "OTU" else str(array.dtype)
    flags = dict(zip(attributes.get("flag_values", []), attributes.get("flag_meanings", "").split(), strict=False))
    description = attributes.get("description", ", ".join(f"{value} {meaning}" for value, meaning in flags.items()))
    dimensions = tuple(map(str, getattr(array.metadata, "dimension_names", None) or ()))
    return Variable(name, dimensions, array.shape, dtype, attributes.get("units", ""), description, flags)


def _table(materials: Sequence[Material]) -> str:
    """Table of the samples as CSV, with all digits."""
    text = io.StringIO()
    rows = (row for material in materials for row in zip(*material.columns.values(), strict=True))
    csv.writer(text, lineterminator="\n").writerows([materials[0].columns, *rows])
    return text.getvalue()


def _facts(attributes: Mapping[str, Any], materials: Sequence[Material], paths: Mapping[str, Path]) -> dict[str, Any]:
    """Contents of the card, many of which the Croissant metadata also hold."""
    keys = ("title", "configuration.run", "licence", "versions.iphasenet")
    title, run, licence, version = (str(_get(attributes, key, str(paths["dataset"]))) for key in keys)
    # Snakemake's time stamp does not belong to the store.
    files = (p for p in paths["dataset"].rglob("*") if p.is_file() and p.name not in UNLISTED - {LIST})
    return {
        "title": f"{title} ({run})",
        "licence": licence,
        "version": version,
        "citation": f"@misc{{iphasenet,\n  author = {{{{{AUTHORS}}}}},\n  title = {{{{{TITLE}}}}},\n"
        f"  year = {{{RELEASED[:4]}}},\n  note = {{Data set {run}, made by version {version}}}\n}}",
        "paths": {key: path.name for key, path in paths.items()},
        "materials": materials,
        "count": sum(len(m.columns["split"]) for m in materials),
        "splits": [split for split in SPLIT_TYPES if any(split in m.columns["split"] for m in materials)],
        "noise": _thermal_noise(materials),
        "configuration": attributes["configuration"],
        "configuration_text": yaml.safe_dump(attributes["configuration"], sort_keys=False, allow_unicode=True),
        "versions": attributes["versions"],
        "file_sizes": [path.stat().st_size for path in files],
        "checksums": LIST,
    }


def _thermal_noise(materials: Sequence[Material]) -> dict[str, float]:
    """Median and largest statistical error of images of moving atoms; empty if atoms are at rest."""
    known = [noise for m in materials for noise in m.columns.get("thermal_noise", []) if not math.isnan(noise)]
    return {"median": median(known), "largest": max(known)} if known else {}


def _croissant(facts: Mapping[str, Any], material: Material, rows: bytes) -> dict[str, Any]:
    """Croissant metadata, in version 1.0: it suffices for a table and a folder, and older tools read it."""
    paths = facts["paths"]
    images = [v for v in material.variables if len(v.shape) > 1]
    table = {"name": paths["table"], "contentUrl": paths["table"], "encodingFormat": "text/csv"}
    table |= {"contentSize": f"{len(rows)} B", "sha256": hashlib.sha256(rows).hexdigest()}
    store = {"name": paths["dataset"], "includes": f"{paths['dataset']}/**", "encodingFormat": "application/vnd.zarr"}
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": facts["title"],
        "description": f"{facts['count']} samples of {', '.join(m.name for m in facts['materials'])}, simulated by "
        "multislice: images of a four-quadrant detector and the projected electrostatic potential on the same pixels. "
        f"{paths['card']} says more.",
        "conformsTo": f"{CROISSANT}1.0",
        "license": f"https://spdx.org/licenses/{facts['licence']}.html",
        "url": paths["card"],
        "version": facts["version"],
        "datePublished": RELEASED,
        "creator": {"@type": "sc:Organization", "name": AUTHORS},
        "citeAs": facts["citation"],
        "keywords": KEYWORDS,
        "variableMeasured": [
            {"@type": "sc:PropertyValue", "name": v.name, "unitText": v.unit, "description": v.text} for v in images
        ],
        "distribution": [
            _node("FileObject", "table", description="a row a sample", **table),
            _node("FileSet", "store", description="Zarr v3 store, a group a material", **store),
        ],
        "recordSet": _record_sets(material, facts["splits"]),
    }


def _node(kind: str, identifier: str, **properties: Any) -> dict[str, Any]:
    return {"@type": f"cr:{kind}", "@id": identifier, **properties}


def _record_sets(material: Material, splits: Sequence[str]) -> list[dict[str, Any]]:
    """Record sets of the table's columns, and of the splits that one column names."""
    texts = {variable.name: variable.text for variable in material.variables}
    texts |= {"material": "also the name of its group", "zone_axis": "lattice direction along the beam, untilted"}
    texts["split"] = "one split for all samples of a tilt"
    columns = []
    for name, values in material.columns.items():
        source = {"fileObject": {"@id": "table"}, "extract": {"column": name}}
        column = _node("Field", f"samples/{name}", name=name, description=texts[name], source=source)
        columns.append({**column, "dataType": DATA_TYPES[type(values[0])]})
        if name == "split":
            columns[-1]["references"] = {"field": {"@id": "splits/name"}}
    types = {"splits/name": "sc:Text", "splits/url": ["sc:URL", "cr:Split"]}
    fields = [_node("Field", name, dataType=kind) for name, kind in types.items()]
    data = [{"splits/name": split, "splits/url": SPLIT_TYPES[split]} for split in splits]
    return [
        _node("RecordSet", "samples", key={"@id": "samples/sample_id"}, field=columns),
        _node("RecordSet", "splits", dataType="cr:Split", key={"@id": "splits/name"}, field=fields, data=data),
    ]
