"""Simulations of the coarse search, kept on disk: a second image of the same crystal takes its search from there."""

import contextlib
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_file, describe_entry
from iphasenet.base.running_library import running_library
from iphasenet.microscope.optics import Microscope

Arrays = dict[str, NDArray[Any]]

LARGEST = 2e9
"""Bytes that a folder may hold; the entries that were not used for the longest time are removed."""


def default_folder() -> Path:
    """Folder of the user's caches: that of XDG_CACHE_HOME, or ~/.cache; InputError if there is no home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "iphasenet" / "fit"
    except RuntimeError as error:
        raise InputError("home: found no folder of the user; allowed: set HOME or XDG_CACHE_HOME") from error


@dataclass(frozen=True)
class SimulationCache:
    """
    A folder of arrays, each named by a digest of all that it depends on.

    Attributes
    ----------
    folder : Path
        Folder; it is made when it is needed. If it cannot be read or written, everything is computed.

    Raises
    ------
    InputError
        If something other than a folder is there.
    """

    folder: Path

    def __post_init__(self) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder}: found {describe_entry(self.folder)}; allowed: a folder, or a new name")

    @property
    def warning(self) -> str:
        """Say that nothing can be kept; nothing if the folder can be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            writable = os.access(self.folder, os.W_OK)
        except OSError:
            writable = False
        return "" if writable else f"{self.folder} cannot be written: simulations are not kept for other images"

    def get(self, key: Mapping[str, Any], names: Sequence[str], compute: Callable[[], Arrays]) -> Arrays:
        """
        Read arrays, or compute and keep them.

        Parameters
        ----------
        key : mapping
            All that the arrays depend on besides the library itself, in JSON's types.
        names : sequence of str
            Names of the arrays.
        compute : callable
            Computes them.

        Returns
        -------
        dict of str to array
            The arrays.
        """
        path = self._path(key)
        try:
            # The zip's checksums tell damaged arrays.
            with path.open("rb") as file, zipfile.ZipFile(file) as kept:
                found = {name: np.lib.format.read_array(BytesIO(kept.read(f"{name}.npy"))) for name in names}
            os.utime(path)
        except (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error):
            found = compute()
            # A full disk, or another program that writes the same, is no reason to lose a fit.
            with contextlib.suppress(OSError, InputError), atomic_file(path) as temporary:
                np.savez(temporary, **found)  # type: ignore[arg-type]
        return found

    def holds(self, key: Mapping[str, Any]) -> bool:
        """Whether there is an entry, be it damaged."""
        return self._path(key).is_file()

    def _path(self, key: Mapping[str, Any]) -> Path:
        text = json.dumps({"library": running_library().source, **key}, sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"

    def trim(self) -> None:
        """Remove the entries that were not used for the longest time, if there are too many."""
        with contextlib.suppress(OSError):
            entries = sorted(((one.stat(), one) for one in self.folder.glob("*.npz")), key=lambda e: -e[0].st_mtime)
            total = 0
            for state, path in entries:
                total += state.st_size
                if total > LARGEST:
                    path.unlink(missing_ok=True)


def crystal_key(cell: Atoms, microscope: Microscope) -> dict[str, Any]:
    """
    Describe a crystal and a microscope in JSON's types.

    Parameters
    ----------
    cell : ase.Atoms
        Cell, with displacements and occupancies.
    microscope : Microscope
        Probe and detectors.

    Returns
    -------
    dict
        Part of a key.
    """
    arrays = {name: array.tolist() for name, array in sorted(cell.arrays.items())}
    return {"cell": cell.cell.array.tolist(), "atoms": arrays, "microscope": repr(asdict(microscope))}
