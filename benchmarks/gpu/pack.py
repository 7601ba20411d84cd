"""Writing the folder that goes to a GPU machine: code, data, wheels, and the script that runs it all."""

import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.gpu.corpus import FOLDER, Corpus, write_corpus
from benchmarks.gpu.data import Packed, write_data
from benchmarks.gpu.layout import CARRIED, LIMIT, ROOT
from benchmarks.gpu.wheels import write_wheels
from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_directory, file_bytes, format_bytes

_CODE = ("src/iphasenet", "benchmarks/gpu", "tests/gpu", "resources/models")
_FILES = ("benchmarks/__init__.py", "tests/__init__.py")


def pack(folder: Path, make: Callable[[Path], Packed] | None, wheels: bool, corpus: Corpus | None = None) -> int:
    """
    Write a folder for a GPU machine.

    Parameters
    ----------
    folder : path
        Folder to be made, new or empty; it appears whole or not at all.
    make : callable
        Makes the data for a folder (`benchmarks.gpu.simulated`); None: nothing but the corpus.
    wheels : bool
        Add wheels of packages that the machine may lack.
    corpus : Corpus, optional
        Crystals for a network for any crystal.

    Returns
    -------
    int
        Size of the folder [bytes]; InputError if it is larger than `LIMIT`.
    """
    with atomic_directory(folder) as temporary:
        data = temporary / "data"
        data.mkdir(parents=True)
        if make is not None:
            write_data(make(data))
        if corpus is not None:
            write_corpus(corpus, data / FOLDER)
        for name in _CODE:
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "py.typed")
            shutil.copytree(ROOT / name, temporary / name, ignore=ignored)
        for name in _FILES:
            shutil.copy(ROOT / name, temporary / name)
        shutil.copy(ROOT / "benchmarks" / "gpu" / "run.sh", temporary)
        if wheels:
            write_wheels(CARRIED, temporary / "wheels")
        size = file_bytes(temporary)
        if size > LIMIT:
            raise InputError(
                f"{folder}: found {format_bytes(size)}, of which the images {format_bytes(file_bytes(data))}; allowed: "
                f"{format_bytes(LIMIT)}; take fewer tilts, rotations or crystals"
            )
    return size
