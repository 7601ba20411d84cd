"""Files and folders that appear whole or not at all."""

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Parsing the workflow must not load it.
    from pandas import DataFrame


_UNITS = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """
    Write beside `path`, then rename.

    Parameters
    ----------
    path : path
        The file to be made; its folder is made when it is missing.

    Yields
    ------
    Path
        A temporary path in the same folder, with the same ending. It replaces `path` when the block ends and is
        removed when the block raises.
    """
    path = Path(path)
    temporary = _temporary(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_table(table: "DataFrame", path: Path) -> None:
    """Write a table without its index, as Parquet or CSV by the path's ending; it appears whole or not at all."""
    write = {".parquet": partial(table.to_parquet, write_page_checksum=True), ".csv": table.to_csv}[path.suffix]
    with atomic_file(path) as temporary:
        write(temporary, index=False)


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Make a folder beside `path`, then put it in its place; as `atomic_file`."""
    path = Path(path)
    temporary = _temporary(path)
    try:
        yield temporary
        shutil.rmtree(path, ignore_errors=True)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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


def _temporary(path: Path) -> Path:
    """Name beside `path`, in a folder that is made; what a killed process left of the same output is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".partial-*-{glob.escape(path.name)}"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
    return path.with_name(f".partial-{os.getpid()}-{path.name}")
