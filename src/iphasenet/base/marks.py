"""Marks in what iphasenet writes where a user says, by which it knows its own: nothing else is ever replaced."""

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

KEY = "iphasenet"
"""Attribute, of the root of a store, that names what it is."""

_REACH = 2**16
"""A file's mark stands in its first or last bytes."""

_MARKS = {SCAN: b"thickness_nm,agreement,phase_object", WEIGHTS: b'"output_scale_v"', HISTORY: b"validation_pearson"}
"""Of kinds that say by themselves what they are."""

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
"""Files that are no part of a store: its list, and what Snakemake and file browsers leave where they have been."""


def mark_text(kind: str) -> str:
    """Text that a file of a kind holds near its start or end, in whatever its format keeps for remarks."""
    return f"iphasenet:{kind}"


def is_marked_file(path: Path, kind: str) -> bool:
    """
    Whether a file is one that iphasenet made.

    Parameters
    ----------
    path : path
        File.
    kind : str
        What it must be.
    """
    mark = _MARKS.get(kind, mark_text(kind).encode())
    with path.open("rb") as stream:
        start = stream.read(_REACH)
        stream.seek(max(0, path.stat().st_size - _REACH))
        marked = mark in start or mark in stream.read()
    begins = start.startswith(_STARTS.get(path.suffix.lower(), b""))
    return marked and begins and (path.suffix.lower() != ".csv" or _is_table(path))


def _is_table(path: Path) -> bool:
    """Whether all lines have as many fields as the first: none is a note of the user's."""
    lines = path.read_bytes().splitlines()
    return all(line.count(b",") == lines[0].count(b",") for line in lines)


def is_marked_store(path: Path, kind: str) -> bool:
    """Whether a folder is a store that iphasenet made, as it was made; arguments as `is_marked_file`."""
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
    """Whether a folder can be made at a path: nothing is there, an empty folder, or a store of that kind."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return True
    return path.is_dir() and kind is not None and is_marked_store(path, kind)
