"""Checks before a file is read: that it is a file, and that it can hold what its header claims."""

import math
from collections.abc import Sequence
from pathlib import Path

from iphasenet.base.errors import InputError
from iphasenet.base.files import describe_entry, format_bytes

MOST = 10_000
"""Largest compression allowed: Deflate reaches a factor of 1032, almost empty patterns reach ten times that."""

SMALL = 2**26
"""Size that any file may claim [bytes]: chunks that hold only zeros need not be stored."""


def check_regular(path: Path) -> None:
    """Refuse what is neither a file nor a folder: opening a pipe without a writer waits for ever."""
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
        One line that says which.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such file; give the path of a file that exists")
    check_regular(path)
    if path.is_dir() and not folder:
        raise InputError(f"{path}: this is a folder; give the path of a file")
    if path.is_file() and not path.stat().st_size:
        raise InputError(f"{path}: this file is empty; give a whole file")


def check_claim(source: str, shape: Sequence[int], itemsize: int, stored: int, compressed: bool = True) -> None:
    """
    Refuse an array that cannot be in its file.

    Parameters
    ----------
    source : str
        Name of the file, and of the array in it, for the message.
    shape : sequence of int
        Shape that the header claims.
    itemsize : int
        Size of a value [bytes].
    stored : int
        Size of the file or files that hold the array [bytes].
    compressed : bool
        Whether the file may compress values or leave some out.

    Raises
    ------
    InputError
        One line with what is claimed and the file's size.
    """
    sizes = " x ".join(f"{size:,}" for size in shape)
    if min(shape, default=0) < 0:
        raise InputError(f"{source}: found a header that claims {sizes} values; allowed: a whole file, without "
                         "negative sizes")  # fmt: skip
    claimed = math.prod(map(int, shape)) * itemsize
    if claimed > (max(MOST * stored, SMALL) if compressed else stored):
        raise InputError(
            f"{source}: found a header that claims {sizes} values, {format_bytes(claimed)}, in {format_bytes(stored)}; "
            "allowed: a whole file"
        )
