"""Reading of JSON and arrays that an earlier stage wrote: a damaged file is one line that names it."""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.errors import InputError

_LONGEST_HEADER = 100_000_000
"""Largest header that safetensors allows [bytes]."""


@contextmanager
def whole_file(path: Path, what: str) -> Iterator[None]:
    """
    Turn any error of reading a file into one line.

    Parameters
    ----------
    path : path
        The file.
    what : str
        What it should be, for the message.

    Raises
    ------
    InputError
        If the file is missing, damaged or something else.
    """
    try:
        yield
    except (InputError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; allowed: {what}") from error
    # A damaged file may make a parser raise anything: zlib.error, struct.error, RuntimeError, KeyError.
    except Exception as error:
        told = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: found damage or another file ({told}); allowed: {what}, whole") from error


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON object; InputError names a file that is missing, damaged or something else."""
    path = Path(path)
    with whole_file(path, "a JSON file"):
        found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise InputError(f"{path}: found a {type(found).__name__}; allowed: a JSON object")
    return found


def read_safetensors_header(path: str | Path) -> dict[str, str]:
    """Read the texts in a safetensors file's header alone; OSError, KeyError or ValueError for other files."""
    with Path(path).open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(min(size, _LONGEST_HEADER)))
    texts: dict[str, str] = header["__metadata__"]
    return texts


def read_arrays(path: str | Path, *names: str, optional: Collection[str] = ()) -> dict[str, NDArray[Any]]:
    """Read arrays of a .npz file, each of which ends with a checksum; InputError as `read_json`."""
    path = Path(path)
    # Opened here, because NumPy leaves a damaged file open.
    with (
        whole_file(path, f"a .npz file with {', '.join(names)}"),
        path.open("rb") as stream,
        np.load(stream, allow_pickle=False) as file,
    ):
        return {name: file[name] for name in (*names, *(name for name in optional if name in file))}
