"""Headers that lie: what a file claims to hold is compared with its size, before anything is allocated."""

import math
from collections.abc import Sequence

from iphasenet.errors import InputError
from iphasenet.files import format_bytes

MOST = 10_000
"""Bytes of values that a compressed byte may stand for: Deflate reaches 1032, almost empty patterns ten times that."""

SMALL = 2**26
"""Bytes that any file may claim: chunks of zeros alone need not be stored."""


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
    claimed = math.prod(map(int, shape)) * itemsize
    if claimed > (max(MOST * stored, SMALL) if compressed else stored) or min(shape, default=0) < 0:
        sizes = " x ".join(f"{size:,}" for size in shape)
        raise InputError(
            f"{source}: found a header that claims {sizes} values, {format_bytes(claimed)}, in {format_bytes(stored)}; "
            "allowed: a whole file"
        )
