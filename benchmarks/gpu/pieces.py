"""Weights split into pieces that are returned one by one, and joined again."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.gpu.layout import PIECE
from benchmarks.gpu.results import write_whole
from iphasenet.base.errors import InputError


def split(content: bytes, folder: Path, name: str) -> dict[str, Any]:
    """
    Write a file in pieces of at most `PIECE` bytes, each of which appears whole or not at all.

    Parameters
    ----------
    content : bytes
        The file.
    folder : path
        Where to.
    name : str
        Its name; pieces are called NAME-CHECKSUM.1-of-3 and so on, beside those of other contents.

    Returns
    -------
    dict
        What `joined` needs: names of the pieces, checksum of the file.
    """
    checksum = hashlib.sha256(content).hexdigest()
    parts = [content[start : start + PIECE] for start in range(0, len(content), PIECE)]
    names = [f"{name}-{checksum[:8]}.{number}-of-{len(parts)}" for number in range(1, len(parts) + 1)]
    for part, piece in zip(parts, names, strict=True):
        write_whole(folder / piece, part)
    return {"pieces": names, "sha256": checksum}


def joined(folder: Path, known: Mapping[str, Any]) -> bytes:
    """Read what `split` wrote; InputError where a piece is missing or damaged."""
    lost = [name for name in known["pieces"] if not (folder / name).is_file()]
    if lost:
        raise InputError(f"{folder}: found no {', '.join(lost)}; allowed: all pieces of the weights")
    content = b"".join((folder / name).read_bytes() for name in known["pieces"])
    if hashlib.sha256(content).hexdigest() != known["sha256"]:
        raise InputError(
            f"{folder}: found other weights in {', '.join(known['pieces'])}; allowed: the weights as they were written"
        )
    return content
