"""Checksums of a store's files, in a list that `sha256sum --check` reads too."""

import hashlib
from pathlib import Path, PurePosixPath

from iphasenet.errors import InputError
from iphasenet.storage import Folder, Place

LIST = "checksums.sha256"
_IGNORED = {LIST, ".snakemake_timestamp"}


def write_checksums(store: Path) -> None:
    """Write the list of all files of a store, in the order of their names, into the store."""
    folder = Folder(store)
    lines = [f"{_sha256(folder, name)}  {name}\n" for name in _files(folder)]
    (store / LIST).write_text("".join(lines))


def check_presence(store: Place) -> None:
    """
    Refuse a store that lacks a file.

    Readers of Zarr take a missing shard for zeros.

    Parameters
    ----------
    store : path or URL
        Store with a list of its files.

    Raises
    ------
    InputError
        Where a file or the list is missing, or a URL is not reached.
    """
    folder = Folder(store)
    listed, found = listed_files(folder), set(_files(folder))
    missing = [name for name in listed if name not in found]
    if missing:
        raise InputError(f"{store}: found no {missing[0]} ({len(missing)} missing); allowed: a complete store")


def check_files(store: Place) -> None:
    """Refuse a store of which any file is missing or changed: InputError names the first."""
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
        One line a file that is missing, changed or not in the list.
    """
    folder = Folder(store)
    listed, found = listed_files(folder), set(_files(folder))
    problems = [f"{name}: missing" for name in listed if name not in found]
    problems += [f"{name}: not in {LIST}" for name in sorted(found - set(listed))]
    return problems + [
        f"{name}: changed" for name, checksum in listed.items() if name in found and _sha256(folder, name) != checksum
    ]


def listed_files(folder: Folder) -> dict[str, str]:
    """Checksums of a store's files by name, as its list says; InputError where there is no such list."""
    try:
        with folder.open(LIST) as stream:
            lines = stream.read().decode().splitlines()
        return {name: checksum for checksum, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{folder.place}: found no readable {LIST}; allowed: a store that this workflow assembled"
        ) from error


def _files(folder: Folder) -> list[str]:
    return [name for name in folder.sizes() if PurePosixPath(name).name not in _IGNORED]


def _sha256(folder: Folder, name: str) -> str:
    with folder.open(name) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
