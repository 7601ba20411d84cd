"""Checksums of a store's files, in a list that `sha256sum --check` reads too."""

import hashlib
from pathlib import Path

from iphasenet.errors import InputError

LIST = "checksums.sha256"
_IGNORED = {LIST, ".snakemake_timestamp"}


def write_checksums(store: Path) -> None:
    """Write the list of all files of a store, in the order of their names, into the store."""
    lines = [f"{_sha256(store / name)}  {name}\n" for name in _files(store)]
    (store / LIST).write_text("".join(lines))


def check_presence(store: Path) -> None:
    """
    Refuse a store that lacks a file.

    Readers of Zarr take a missing shard for zeros.

    Parameters
    ----------
    store : Path
        Store with a list of its files.

    Raises
    ------
    InputError
        Where a file or the list is missing.
    """
    missing = [name for name in _listed(store) if not (store / name).is_file()]
    if missing:
        raise InputError(f"{store}: found no {missing[0]} ({len(missing)} missing); allowed: a complete store")


def check_files(store: Path) -> None:
    """Refuse a store of which any file is missing or changed: InputError names the first."""
    problems = damaged_files(store)
    if problems:
        raise InputError(f"{store}: found {problems[0]} ({len(problems)} such files); allowed: a store as it was made")


def damaged_files(store: Path) -> list[str]:
    """
    Compare all files of a store with its list.

    Parameters
    ----------
    store : Path
        Store with a list of its files.

    Returns
    -------
    list of str
        One line a file that is missing, changed or not in the list.
    """
    listed, found = _listed(store), set(_files(store))
    problems = [f"{name}: missing" for name in listed if name not in found]
    problems += [f"{name}: not in {LIST}" for name in sorted(found - set(listed))]
    return problems + [
        f"{name}: changed" for name, checksum in listed.items() if name in found and _sha256(store / name) != checksum
    ]


def _files(store: Path) -> list[str]:
    paths = (path for path in store.rglob("*") if path.is_file() and path.name not in _IGNORED)
    return sorted(path.relative_to(store).as_posix() for path in paths)


def _listed(store: Path) -> dict[str, str]:
    try:
        lines = (store / LIST).read_text().splitlines()
        return {name: checksum for checksum, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError) as error:
        raise InputError(f"{store}: found no readable {LIST}; allowed: a store that this workflow assembled") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
