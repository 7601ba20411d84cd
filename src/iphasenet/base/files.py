"""Files and folders that appear whole or not at all: written under another name, flushed to the disk, then renamed."""

import errno
import hashlib
import os
import re
import shutil
import socket
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from iphasenet.base.errors import InputError
from iphasenet.base.marks import is_replaceable_folder, mark_text

if TYPE_CHECKING:
    # Parsing the workflow must not load pandas.
    from pandas import DataFrame


_UNITS = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))

LONGEST_NAME = 255
"""Longest name of a file [bytes]."""


def _process_space() -> str:
    """Name of the space in which process numbers are unique: the machine, and on Linux the container."""
    host = re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())[:40]
    try:
        return f"{host}.{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return host


_HOST = _process_space()
"""Part of temporary names, because machines and containers share folders."""


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """
    Write beside `path`, then rename.

    Parameters
    ----------
    path : path
        The file to be made; its folder is made when it is missing. If it is a link, the file that it leads to is
        replaced.

    Yields
    ------
    Path
        A temporary path in the same folder, with the same ending. It replaces `path` when the block ends and is
        removed when the block raises.

    Raises
    ------
    InputError
        If the file cannot be written, or something other than a file is there.
    """
    path = Path(os.path.realpath(path))
    with _temporary(path) as temporary:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: found {describe_entry(path)}; allowed: a new name, or a file to be replaced")
        before = _state(path)
        yield temporary
        _flush(temporary)
        if _state(path) != before:
            raise InputError(f"{path}: another program wrote this file meanwhile; give each program its own output")
        temporary.replace(path)


def write_table(table: "DataFrame", path: Path) -> None:
    """Write a table without its index, as Parquet or CSV by the path's ending; it appears whole or not at all."""
    write = {".parquet": partial(table.to_parquet, write_page_checksum=True), ".csv": table.to_csv}[path.suffix]
    with atomic_file(path) as temporary:
        write(temporary, index=False)


def write_npz(path: Path, arrays: Mapping[str, Any], kind: str) -> None:
    """Write arrays as .npz, with a mark of their kind (`base.marks`); the file appears whole or not at all."""
    with atomic_file(path) as temporary, temporary.open("w+b") as stream:
        np.savez(stream, **arrays)
        with zipfile.ZipFile(stream, "a") as archive:
            archive.comment = mark_text(kind).encode()


@contextmanager
def atomic_directory(path: str | Path, kind: str | None = None) -> Iterator[Path]:
    """
    Make a folder beside `path`, then rename it, like `atomic_file`.

    Parameters
    ----------
    path : path
        The folder to be made.
    kind : str, optional
        Mark of a store that may be replaced (`iphasenet.base.marks`); without it, only an empty folder may.

    Raises
    ------
    InputError
        If the folder cannot be written, or what is there must not be replaced.
    """
    path = Path(os.path.realpath(path))
    with _temporary(path) as temporary:
        _check_replaceable(path, kind)
        yield temporary
        _flush(temporary)
        _check_replaceable(path, kind)
        _exchange(temporary, path)


def _exchange(temporary: Path, path: Path) -> None:
    """Replace a folder by another one; if that fails, the old one is put back."""
    old = _beside(path, "replaced")
    try:
        if path.exists() and any(path.iterdir()):
            path.replace(old)
        temporary.replace(path)
    except BaseException as error:
        if old.exists() and not path.exists():
            old.replace(path)
        if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise InputError(f"{path}: another program wrote this folder meanwhile; give each program its own output") \
                from error  # fmt: skip
        raise
    finally:
        if path.exists():
            _remove(old)


def _state(path: Path) -> tuple[int, int, int] | None:
    """Numbers that identify a file, and change when another one takes its place; None if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _check_replaceable(path: Path, kind: str | None) -> None:
    if not is_replaceable_folder(path, kind):
        raise InputError(f"{path}: found {describe_entry(path)}; allowed: a new name or an empty folder")


def describe_entry(path: Path) -> str:
    """Say what lies at a path."""
    if path.is_dir():
        names = sorted(entry.name for entry in path.iterdir())
        shown = ", ".join([*names[:2], "..."] if len(names) > 2 else names)
        return f"a folder with {shown}" if names else "an empty folder"
    return "a file" if path.is_file() else "a device or pipe"


def file_bytes(path: str | Path) -> int:
    """Size of a file, or of all files in a folder [bytes]."""
    path = Path(path)
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def format_bytes(size: float) -> str:
    """Size in kB, MB, GB or TB (powers of ten)."""
    unit, value = next((unit, size / scale) for unit, scale in _UNITS if size >= 0.9995 * scale or unit == "kB")
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:,.0f} {unit}"


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Temporary name beside `path`, whose folder is made; what is left under this name at the end is removed."""
    temporary = _beside(path, "partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _tidy(path)
        # An earlier process may have had the number of this one.
        _remove(temporary)
        yield temporary
        _sync(path.parent)
    except OSError as error:
        told = Path(error.filename) if isinstance(error.filename, str) else temporary
        # Errors of other files and of a closed pipe pass unchanged.
        if isinstance(error, BrokenPipeError) or not (told.is_relative_to(temporary) or path.is_relative_to(told)):
            raise
        raise InputError(
            f"{path}: could not be written ({error.strerror or error}); allowed: a writable folder with room"
        ) from error
    finally:
        _remove(temporary)


def _beside(path: Path, state: str, process: int | None = None) -> Path:
    """Temporary name beside `path`, with its state ('partial' or 'replaced'), the process and the machine."""
    name = f".{state}-{process or os.getpid()}-{_HOST}-{path.name}"
    if len(os.fsencode(name)) > LONGEST_NAME:
        digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
        name = name.removesuffix(path.name) + digest + path.suffix
    return path.with_name(name)


def _tidy(path: Path) -> None:
    """Remove what ended processes of this machine left of the same output; a folder that they had moved is put back."""
    for state in ("replaced", "partial"):
        for process in _processes(path, state):
            left = _beside(path, state, process)
            if _is_alive(process):
                continue
            if state == "replaced" and not path.exists():
                left.replace(path)
            else:
                _remove(left)


def _processes(path: Path, state: str) -> list[int]:
    """Numbers of the processes that left temporary files of an output in its folder."""
    known = re.compile(rf"\.{state}-(\d+)-{re.escape(_HOST)}-")
    found = [int(match[1]) for entry in path.parent.iterdir() if (match := known.match(entry.name))]
    return [process for process in found if _beside(path, state, process).exists()]


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        # If one of Zarr's threads fails, the others may still be writing, and so make the folder again.
        for pause in (0.02, 0.1, 0.5):
            shutil.rmtree(path, ignore_errors=True)
            time.sleep(pause)
            if not path.exists():
                break
    elif os.path.lexists(path):
        path.unlink()


def _flush(path: Path) -> None:
    """Flush a file, or a folder and all in it, to the disk, before it gets its final name."""
    for entry in (*path.rglob("*"), path) if path.is_dir() else (path,):
        _sync(entry)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
