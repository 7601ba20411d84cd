"""Checksums of a store's files, in a list that `sha256sum --check` reads too."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from iphasenet.base.errors import InputError
from iphasenet.base.marks import LIST, UNLISTED
from iphasenet.base.storage import Folder, Place

ROOT = "zarr.json"
"""File with the metadata of a store's root and of everything in the store."""

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def write_checksums(store: Path, known: Mapping[str, str]) -> None:
    """Write the checksums of all files of a store into the store, ordered by name; `known` holds some of them."""
    folder = Folder(store)
    lines = [f"{known.get(name) or _sha256(folder, name)}  {name}\n" for name in _files(folder)]
    (store / LIST).write_text("".join(lines), encoding="utf-8")


def check_seal(store: Place) -> None:
    """
    Refuse a store that lacks a file, or whose metadata were changed.

    Zarr reads a missing shard as zeros. The root's metadata file holds the metadata of the whole store: no other
    is read.

    Parameters
    ----------
    store : path or URL
        Store with a list of its files.

    Raises
    ------
    InputError
        Where a file or the list is missing, the metadata are changed, or a URL is not reached.
    """
    folder = Folder(store)
    listed, found = listed_files(folder), set(_files(folder))
    missing = [name for name in listed if name not in found]
    if missing:
        raise InputError(f"{store}: found no {missing[0]} ({len(missing)} missing); allowed: a complete store")
    if ROOT not in listed or _sha256(folder, ROOT) != listed[ROOT]:
        raise InputError(f"{store}: found a changed {ROOT}; allowed: a store as it was made")


def check_files(store: Place) -> None:
    """Refuse a store with a missing or changed file: InputError names the first."""
    problems = damaged_files(store)
    if problems:
        raise InputError(f"{store}: found {problems[0]} ({len(problems)} such files); allowed: a store as it was made")


def damaged_files(store: Place) -> list[str]:
    """
    Compare all files of a store with its list; all of them are read.

    Parameters
    ----------
    store : path or URL
        Store with a list of its files.

    Returns
    -------
    list of str
        One line for each file that is missing, changed or not in the list.
    """
    folder = Folder(store)
    listed, found = listed_files(folder), set(_files(folder))
    problems = [f"{name}: missing" for name in listed if name not in found]
    problems += [f"{name}: not in {LIST}" for name in sorted(found - set(listed))]
    return problems + [
        f"{name}: changed" for name, checksum in listed.items() if name in found and _sha256(folder, name) != checksum
    ]


def listed_files(folder: Folder) -> dict[str, str]:
    """Checksums of a store's files by name, from its list; InputError if there is no such list."""
    try:
        with folder.open(LIST) as stream:
            lines = stream.read().decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{folder.place}: found no readable {LIST}; allowed: a store that this workflow made and sealed"
        ) from error
    found: dict[str, str] = {}
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None or not _is_inside(match[2]) or match[2] in found:
            raise InputError(
                f"{folder.place}: found the line {line[:100]!r} in {LIST}; allowed: a checksum and the name of a file "
                "in the store, each name once"
            )
        found[match[2]] = match[1]
    return found


def _is_inside(name: str) -> bool:
    """Whether the name of a file stays within its store, however it is joined to a path."""
    return "\\" not in name and not {"", ".", ".."} & set(name.split("/"))


def _files(folder: Folder) -> list[str]:
    return [name for name in folder.sizes() if PurePosixPath(name).name not in UNLISTED]


def _sha256(folder: Folder, name: str) -> str:
    with folder.open(name) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
