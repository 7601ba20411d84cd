"""Reading of microscopy files by RosettaSciIO; arrays are opened lazily."""

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from iphasenet.base.errors import InputError
from iphasenet.base.file_checks import check_claim, check_file
from iphasenet.microscope_files.hdf5_files import (
    check_hdf5,
    has_contiguous_signals,
    is_velox_file,
    nexus_signals,
    py4dstem_signals,
    read_contiguous,
    reader_name,
)
from iphasenet.microscope_files.signals import Signal, reading, walk
from iphasenet.microscope_files.tif_files import check_tif, planar_signals, unnamed_pages, unnamed_stacks

READERS = {
    ".emd": "emd",
    ".h5": "emd",
    ".hdf5": "emd",
    ".dm3": "digitalmicrograph",
    ".dm4": "digitalmicrograph",
    ".hspy": "hspy",
    ".zspy": "zspy",
    ".nxs": "nexus",
    ".tif": "tiff",
    ".tiff": "tiff",
}
"""Module of RosettaSciIO for each ending; for HDF5 files, the content may name another."""

_OPTIONS: dict[str, dict[str, Any]] = {
    # Spectrum streams of a Velox file are large and not needed.
    "emd": {"select_type": "images", "stack_group": False},
    # By default, lazy reading opens a file for writing.
    "zspy": {"lazy": True, "mode": "r"},
    "tiff": {"lazy": False},
}

_MENDED: dict[str, Callable[[Path, Sequence[Signal]], list[Signal]]] = {
    "nexus": nexus_signals,
    "emd": py4dstem_signals,
    "tiff": unnamed_pages,
    "digitalmicrograph": unnamed_stacks,
}
"""Corrections for each reader, which adds to or omits from what a file says about axes."""


def read_signals(path: Path) -> list[Signal]:
    """
    Read the signals of a file.

    Parameters
    ----------
    path : path
        File with an ending of `READERS`, or the folder of a .zspy.

    Returns
    -------
    list of Signal
        All signals in the file's order, not only images; values are read on access, except those of .tif.

    Raises
    ------
    InputError
        If the file is missing, of an unknown format, damaged, truncated, or claims more than it holds.
    """
    ending = path.suffix.lower()
    if ending == ".hdr":
        mib = path.with_suffix(".mib")
        there = "beside it" if mib.exists() else "not there"
        raise InputError(f"{path}: found the description of {mib.name}, which is {there}; give the .mib, with its "
                         ".hdr beside it")  # fmt: skip
    if ending not in READERS:
        allowed = ", ".join(sorted({*READERS, ".mib", ".npy", ".npz", ".zarr"}))
        raise InputError(f"{path}: found the ending '{path.suffix}'; allowed: {allowed}")
    check_file(path, folder=ending == ".zspy")
    with reading(path):
        name = READERS[ending]
        if path.is_file() and h5py.is_hdf5(path):
            check_hdf5(path)
            name = reader_name(path, name)
        elif name == "zspy":
            _check_zspy(path)
        elif name == "tiff":
            check_tif(path)
            if planar := planar_signals(path):
                return [signal.arranged for signal in planar]
        lazy = not (name == "emd" and is_velox_file(path))
        if name == "hspy" and has_contiguous_signals(path):
            found = read_contiguous(path, _reader(name))
        else:
            found = _reader(name)(str(path), **{"lazy": lazy, **_OPTIONS.get(name, {})})
        mended = _MENDED.get(name)
        signals = [_signal(entry) for entry in found]
        return [signal.arranged for signal in (mended(path, signals) if mended else signals)]


def _check_zspy(path: Path) -> None:
    """Refuse a folder with missing metadata, arrays of lists, damaged chunks, or arrays larger than their files."""
    headers = {file.relative_to(path).as_posix(): json.loads(file.read_text("utf-8")) for file in path.rglob(".zarray")}
    gathered = path / ".zmetadata"
    for name, header in (json.loads(gathered.read_text("utf-8"))["metadata"] if gathered.is_file() else {}).items():
        if not (path / name).is_file():
            raise ValueError(f"no {name}")
        if name.rpartition("/")[2] == ".zarray":
            headers[name] = header
    for name, header in headers.items():
        folder, dtype = (path / name).parent, np.dtype(header["dtype"])
        source = f"{path}: {folder.relative_to(path).as_posix()}"
        # Texts of the metadata are also stored as objects.
        if dtype.hasobject and (path / name).match("Experiments/*/data/.zarray"):
            raise InputError(f"{source}: found lists of different lengths; allowed: images of one shape")
        chunks = [file for file in folder.rglob("[0-9]*") if file.is_file()]
        check_claim(source, header["shape"], dtype.itemsize, sum(file.stat().st_size for file in chunks))
        if (header.get("compressor") or {}).get("id") == "blosc":
            _check_blosc(chunks)


def _check_blosc(chunks: Sequence[Path]) -> None:
    """Refuse chunks of another size than they claim; for a cut chunk, Blosc would return arbitrary memory."""
    for file in chunks:
        with file.open("rb") as stream:
            start = stream.read(16)
        if file.stat().st_size != int.from_bytes(start[12:16], "little"):
            raise ValueError(f"a damaged chunk, {file.parent.name}/{file.name}")


def _reader(name: str) -> Any:
    try:
        return importlib.import_module(f"rsciio.{name}").file_reader
    except ImportError as error:
        raise InputError(
            f"RosettaSciIO: found no reader '{name}' ({error}); install it: pip install 'rosettasciio[hdf5,tiff]'"
        ) from error


def _signal(entry: Mapping[str, Any]) -> Signal:
    metadata = entry.get("metadata") or {}
    return Signal(
        title=str(walk(metadata, "General.title") or ""),
        data=entry["data"],
        axes=_in_order(entry["axes"]),
        metadata=_plain(metadata),
        original=_plain(entry.get("original_metadata") or {}),
        mapping=entry.get("mapping") or {},
    )


def _in_order(axes: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Put descriptions of axes in the array's order; those of NeXus come in the order of the file."""
    places = [axis.get("index_in_array") for axis in axes]
    is_told = sorted(place for place in places if place is not None) == list(range(len(axes)))
    return tuple(sorted(axes, key=lambda axis: int(axis["index_in_array"])) if is_told else axes)


def _plain(tree: Any) -> Any:
    """Convert a reader's own kind of dictionaries into ordinary ones."""
    if hasattr(tree, "to_dict"):
        tree = tree.to_dict()
    return {key: _plain(value) for key, value in tree.items()} if isinstance(tree, Mapping) else tree
