"""Marks in what iphasenet writes where a user says, by which it knows its own: nothing else is ever replaced."""

import json
import re
from pathlib import Path
from typing import Final

SIMULATION: Final = "simulation"
SAMPLE: Final = "sample"
IMAGE: Final = "image"
RECONSTRUCTION: Final = "reconstruction"
SCAN: Final = "thickness scan"
FIGURE: Final = "figure"

KEY = "iphasenet"
"""Attribute, of the root of a store, that names what it is."""

_REACH = 2**16
"""A file's mark stands in its first or last bytes."""

_CSV_START = b"thickness_nm,agreement,phase_object"

_STORE_FILES = re.compile(
    r"zarr\.json|\.z(group|attrs|array|metadata)|c|\d+(\.\d+)*|checksums\.sha256|\.snakemake_timestamp"
)
"""Names of files in a Zarr store."""


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
    mark = _CSV_START if kind == SCAN else mark_text(kind).encode()
    with path.open("rb") as stream:
        start = stream.read(_REACH)
        stream.seek(max(0, path.stat().st_size - _REACH))
        return mark in start or mark in stream.read()


def is_marked_store(path: Path, kind: str) -> bool:
    """Whether a folder is a store that iphasenet made, and holds nothing besides; arguments as `is_marked_file`."""
    for name, places in (("zarr.json", ("attributes",)), (".zattrs", ())):
        try:
            attributes = json.loads((path / name).read_bytes())
            for place in places:
                attributes = attributes[place]
            marked = attributes[KEY] == kind
        except (OSError, ValueError, KeyError, TypeError):
            continue
        return marked and all(_STORE_FILES.fullmatch(file.name) for file in path.rglob("*") if not file.is_dir())
    return False


def is_replaceable_folder(path: Path, kind: str | None) -> bool:
    """Whether a folder can be made at a path: nothing is there, an empty folder, or a store of that kind."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return True
    return path.is_dir() and kind is not None and is_marked_store(path, kind)
