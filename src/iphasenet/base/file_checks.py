"""Before a file is read: whether it is one, and whether it can hold what its header claims."""

import math
from collections.abc import Sequence
from pathlib import Path

from iphasenet.base.errors import InputError
from iphasenet.base.files import describe_entry, format_bytes

MOST = 10_000
"""Bytes of values that a compressed byte may stand for: Deflate reaches 1032, almost empty patterns ten times that."""

SMALL = 2**26
"""Bytes that any file may claim: chunks of zeros alone need not be stored."""


def check_regular(path: Path) -> None:
    """Refuse what is neither a file nor a folder: whoever opens a pipe without a writer waits for ever."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise InputError(f"{path}: found {describe_entry(path)}, which is no regular file; allowed: a regular file")


def check_file(path: Path, folder: bool = False) -> None:
    """
    Refuse a file that is not there, is of another kind, or empty.

    Parameters
    ----------
    path : path
        The file.
    folder : bool
        Whether it may be a folder, as some stores are.

    Raises
    ------
    InputError
        One line.
    """
    if not path.exists():
        raise InputError(f"{path}: found no such file; allowed: a file that exists")
    check_regular(path)
    if path.is_dir() and not folder:
        raise InputError(f"{path}: found a folder; allowed: a file")
    if path.is_file() and not path.stat().st_size:
        raise InputError(f"{path}: found an empty file; allowed: a whole file")


def check_claim(source: str, shape: Sequence[int], itemsize: int, stored: int, compressed: bool = True) -> None:
    """
    Refuse an array that cannot be in its file.

    Parameters
    ----------
    source : str
        Where it is said to be.
    shape : sequence of int
        Shape that the header claims.
    itemsize : int
        Size of a value [bytes].
    stored : int
        Size of the file, or of the files that the array may be in [bytes].
    compressed : bool
        Whether its values may be compressed or left out; otherwise all of them stand in the file.

    Raises
    ------
    InputError
        One line with what is claimed and the file's size.
    """
    sizes = " x ".join(f"{size:,}" for size in shape)
    if min(shape, default=0) < 0:
        raise InputError(f"{source}: found a header that claims {sizes} values; allowed: a whole file, none of whose "
                         "sizes is below 0")  # fmt: skip
    claimed = math.prod(map(int, shape)) * itemsize
    if claimed > (max(MOST * stored, SMALL) if compressed else stored):
        raise InputError(
            f"{source}: found a header that claims {sizes} values, {format_bytes(claimed)}, in {format_bytes(stored)}; "
            "allowed: a whole file"
        )
