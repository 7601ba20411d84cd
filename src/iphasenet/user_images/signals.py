"""Microscopy files through RosettaSciIO: what is in them, opened lazily, and every failure in one line."""

import importlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
from numpy.typing import NDArray

from iphasenet.errors import InputError

READERS = {
    ".emd": "emd",
    ".h5": "emd",
    ".hdf5": "emd",
    ".dm3": "digitalmicrograph",
    ".dm4": "digitalmicrograph",
    ".hspy": "hspy",
    ".zspy": "zspy",
    ".nxs": "nexus",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".mib": "quantumdetector",
}
"""Module of RosettaSciIO that reads each ending; .h5 is py4DSTEM's."""

_OPTIONS: dict[str, dict[str, Any]] = {
    # Spectrum streams of a Velox file are neither wanted nor small.
    "emd": {"select_type": "images", "stack_group": False},
    # Lazy reading opens for writing unless told otherwise.
    "zspy": {"lazy": True, "mode": "r"},
    "tiff": {"lazy": False},
}

_ANGSTROM = {
    **dict.fromkeys(("\u00c5", "\u212b", "A", "angstrom"), 1.0),
    **dict.fromkeys(("\u00b5m", "\u03bcm", "um", "micron"), 1e4),
    **{"pm": 1e-2, "nm": 10.0, "mm": 1e7, "m": 1e10},
}
"""Units of length [\u00c5]: angstrom and micro are written in two ways each."""


@dataclass(frozen=True)
class Signal:
    """
    One signal of a file: HyperSpy's terms.

    Attributes
    ----------
    title : str
        Its name in the file.
    data : array
        Values, possibly a dask array that reads when asked.
    axes : tuple of dict
        Of each axis of the array: name, size, scale, units, navigate.
    metadata, original : mapping
        HyperSpy's metadata; those of the file's own format.
    mapping : mapping
        Where the file's own metadata hold one of HyperSpy's, and how it is converted.
    """

    title: str
    data: Any
    axes: tuple[Mapping[str, Any], ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    original: Mapping[str, Any] = field(default_factory=dict)
    mapping: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(self.data.shape)

    def lookup(self, path: str) -> Any:
        """Value of HyperSpy's metadata at a dotted path, such as Acquisition_instrument.TEM.beam_energy, or None."""
        value = walk(self.metadata, path)
        for place, (target, convert) in self.mapping.items():
            if value is None and target == path and (found := walk(self.original, place)) is not None:
                value = convert(found) if convert else found
        return value

    @property
    def origin(self) -> tuple[float, float]:
        """Where the last two axes have the first pixel's centre: x, y [Å]; 0 where the file gives no length."""
        y, x = (float(axis.get("offset") or 0) * (length(str(axis.get("units") or "")) or 0) for axis in self.axes[-2:])
        return x, y

    def sampling(self, source: str) -> float | None:
        """Pixel size along the last two axes [Å]; None where the file gives no length."""
        sizes = [_step(axis) for axis in self.axes[-2:]]
        if len(sizes) < 2 or sizes[0] is None or sizes[1] is None:
            return None
        if abs(sizes[0] - sizes[1]) > 1e-3 * sizes[1]:
            raise InputError(f"{source}: found pixels of {sizes[1]:g} x {sizes[0]:g} Å; allowed: square pixels")
        return sizes[1]


def _step(axis: Mapping[str, Any]) -> float | None:
    """Step of an axis [Å], or None where its unit is no length."""
    unit, scale = length(str(axis.get("units") or "")), float(axis.get("scale") or 0)
    return abs(scale) * unit if unit and scale else None


def length(unit: str) -> float | None:
    """Length that a unit's symbol stands for [\u00c5], None where it is no length."""
    return _ANGSTROM.get(unit.strip())


def walk(tree: Any, path: str) -> Any:
    """Value of nested mappings at a dotted path, or None; a blank of a name may be written as an underscore."""
    for key in path.split("."):
        if not isinstance(tree, Mapping):
            return None
        tree = tree.get(key, tree.get(key.replace("_", " ")))
    return tree


def read_signals(path: Path, **options: Any) -> list[Signal]:
    """
    Read the signals of a file.

    Parameters
    ----------
    path : path
        File with an ending of `READERS`, or the folder of a .zspy.
    **options
        For RosettaSciIO's reader.

    Returns
    -------
    list of Signal
        In the file's order, images and everything else; read when asked for, but for .tif.

    Raises
    ------
    InputError
        When the file is missing, of an unknown format, damaged or truncated.
    """
    ending = path.suffix.lower()
    if ending not in READERS:
        allowed = ", ".join(sorted({*READERS, ".npy", ".npz", ".zarr"}))
        raise InputError(f"{path}: found the ending '{path.suffix}'; allowed: {allowed}")
    if not path.exists():
        raise InputError(f"{path}: found no such file; allowed: a file that exists")
    name = READERS[ending]
    reader = _reader(name)
    with reading(path):
        if name == "tiff":
            _check_tif(path)
        if name == "emd" and _is_velox(path):
            options["lazy"] = False
        found = reader(str(path), **{"lazy": True, **_OPTIONS.get(name, {}), **options})
        return [_signal(entry) for entry in found]


def _check_tif(path: Path) -> None:
    """Read a .tif once: RosettaSciIO leaves a damaged one open."""
    with tifffile.TiffFile(path) as file:
        if not file.series:
            raise ValueError("no image in it")
        for series in file.series:
            series.asarray()
        # Of a stack that is cut off, ImageJ's first image is still there.
        wanted, found = (file.imagej_metadata or {}).get("images", 0), sum(len(series) for series in file.series)
        if found < wanted:
            raise ValueError(f"{found} of {wanted} images")


def _is_velox(path: Path) -> bool:
    """Whether Velox wrote a file: it holds images alone, which need not be read lazily, keeping the file open."""
    with h5py.File(path) as file:
        return "Version" in file


def _reader(name: str) -> Any:
    try:
        return importlib.import_module(f"rsciio.{name}").file_reader
    except ImportError as error:
        raise InputError(
            f"RosettaSciIO: found no reader '{name}' ({error}); allowed: pip install 'rosettasciio[hdf5,tiff]'"
        ) from error


def _signal(entry: Mapping[str, Any]) -> Signal:
    metadata = entry.get("metadata") or {}
    return Signal(
        title=str(walk(metadata, "General.title") or ""),
        data=entry["data"],
        axes=tuple(entry["axes"]),
        metadata=_plain(metadata),
        original=_plain(entry.get("original_metadata") or {}),
        mapping=entry.get("mapping") or {},
    )


def _plain(tree: Any) -> Any:
    """Ordinary dictionaries in the place of a reader's own kind."""
    if hasattr(tree, "to_dict"):
        tree = tree.to_dict()
    return {key: _plain(value) for key, value in tree.items()} if isinstance(tree, Mapping) else tree


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """
    Turn whatever a reader raises on a damaged file into one line.

    Parsers of foreign formats fail in every way there is, from KeyError to struct.error; none is a fault of this
    program, and which one it is tells the user less than that the file is damaged.
    """
    # What it logs of a damaged file comes back as the line below.
    talkative = logging.getLogger("tifffile")
    level = talkative.level
    talkative.setLevel(logging.CRITICAL)
    try:
        yield
    except (InputError, MemoryError):
        raise
    except ImportError as error:
        raise InputError(f"{path}: found no way to read it ({error}); allowed: with that package") from error
    except Exception as error:
        told = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{path}: found no readable {path.suffix or 'data'} ({told}); allowed: a whole file"
        ) from error
    finally:
        talkative.setLevel(level)


def load(signal: Signal, path: Path) -> NDArray[Any]:
    """Read the values of a signal into memory."""
    with reading(path):
        return np.asarray(signal.data)
