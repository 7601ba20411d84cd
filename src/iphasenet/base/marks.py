"""Marks in files and stores that iphasenet writes: only what bears one is ever replaced."""

import csv
import hashlib
import json
from pathlib import Path
from typing import Final

SIMULATION: Final = "simulation"
SAMPLE: Final = "sample"
IMAGE: Final = "image"
RECONSTRUCTION: Final = "reconstruction"
SCAN: Final = "thickness scan"
FIGURE: Final = "figure"
WEIGHTS: Final = "network"
HISTORY: Final = "history of a training"
CORPUS: Final = "table of crystals"
FIT: Final = "fit of a crystal"
START: Final = "network that starts a fit"

KEY = "iphasenet"
"""Attribute of a store's root that names the kind of store."""

_REACH = 2**16
"""The mark stands in this many first or last bytes of a file."""

_MARKS = {
    SCAN: b"thickness_nm,agreement,phase_object",
    WEIGHTS: b'"sampling_angstrom"',
    HISTORY: b"validation_pearson",
    CORPUS: b"name,file,reading,remark,formula",
    FIT: b'"format": "iphasenet fit"',
    START: b'"start":"{\\"crystal',
}
"""Kinds of files that can be recognised without a mark."""

_STARTS = {
    ".png": (b"\x89PNG",),
    ".svg": (b"<?xml",),
    ".npz": (b"PK",),
    ".hspy": (b"\x89HDF",),
    ".emd": (b"\x89HDF",),
    ".tif": (b"II*\0", b"MM\0*"),
}
"""How files of each ending begin."""

LIST = "checksums.sha256"
"""File in a store that lists the others, with their checksums."""

UNLISTED = {LIST, ".snakemake_timestamp", ".DS_Store", "Thumbs.db", "desktop.ini"}
"""Files that do not belong to a store: its list of checksums, and what Snakemake and file browsers leave there."""


def mark_text(kind: str) -> str:
    """Text that marks a file's kind, near its start or end, in the field that its format has for remarks."""
    return f"iphasenet:{kind}"


def is_marked_file(path: Path, kind: str) -> bool:
    """
    Whether a file is one that iphasenet made.

    Parameters
    ----------
    path : path
        File.
    kind : str
        Kind that it must be.
    """
    mark = _MARKS.get(kind, mark_text(kind).encode())
    with path.open("rb") as stream:
        start = stream.read(_REACH)
        stream.seek(max(0, path.stat().st_size - _REACH))
        marked = mark in start or mark in stream.read()
    begins = start.startswith(_STARTS.get(path.suffix.lower(), b""))
    return marked and begins and (path.suffix.lower() != ".csv" or _is_table(path))


def _is_table(path: Path) -> bool:
    """Whether all lines have as many fields as the first, so that the user has added no note."""
    with path.open(encoding="utf-8", errors="replace", newline="") as stream:
        return len({len(row) for row in csv.reader(stream)}) == 1


def is_marked_store(path: Path, kind: str) -> bool:
    """Whether a folder is an unchanged store that iphasenet made; arguments as in `is_marked_file`."""
    for name, places in (("zarr.json", ("attributes",)), (".zattrs", ())):
        try:
            content = (path / name).read_bytes()
            attributes = json.loads(content)
            for place in places:
                attributes = attributes[place]
            marked = attributes[KEY] == kind
            listed = dict(line.split("  ", 1)[::-1] for line in (path / LIST).read_text("utf-8").splitlines())
        except (OSError, ValueError, KeyError, TypeError):
            continue
        files = {file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir()}
        files -= {file for file in files if file.rsplit("/", 1)[-1] in UNLISTED}
        return marked and files == listed.keys() and listed[name] == hashlib.sha256(content).hexdigest()
    return False


def is_replaceable_folder(path: Path, kind: str | None) -> bool:
    """Whether a folder can be made at a path: there is nothing, an empty folder or a store of that kind."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return True
    return path.is_dir() and kind is not None and is_marked_store(path, kind)
