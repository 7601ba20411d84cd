"""Writing of HyperSpy's files: .zspy (Zarr) and .hspy (HDF5), with any number of signals in one file."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import rsciio
import zarr
from rsciio import hspy

from iphasenet.base.checksums import write_checksums
from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_directory, atomic_file
from iphasenet.base.marks import KEY, mark_text
from iphasenet.microscope_files.hdf5_files import NamedMemory
from iphasenet.microscope_files.signals import Signal

ENDINGS = (".zspy", ".hspy")


def image_axes(
    shape: Sequence[int], sampling: float | None, *stacked: str, origin: tuple[float, float] = (0.0, 0.0)
) -> tuple[dict[str, Any], ...]:
    """
    Describe the axes of images: y and x are signal axes, `stacked` before them are navigation axes.

    Parameters
    ----------
    shape : sequence of int
        Shape of the array.
    sampling : float, optional
        Pixel size [Å].
    *stacked : str
        Names of the axes before y and x.
    origin : (float, float)
        Position of the first pixel's centre: x, y [Å].

    Returns
    -------
    tuple of dict
        HyperSpy's description of each axis.
    """
    before, sizes = shape[: len(stacked)], zip(("y", "x"), shape[len(stacked) :], origin[::-1], strict=True)
    scale, units = (1.0, None) if sampling is None else (sampling, "Å")
    return (
        *(uniform_axis(name, size, navigate=True) for name, size in zip(stacked, before, strict=True)),
        *(uniform_axis(name, size, False, scale, units, first) for name, size, first in sizes),
    )


def uniform_axis(
    name: str, size: int, navigate: bool, scale: float = 1.0, units: str | None = None, offset: float = 0.0
) -> dict[str, Any]:
    """Describe an evenly spaced axis in HyperSpy's terms."""
    return {
        "_type": "UniformDataAxis",
        "name": name,
        "size": int(size),
        "is_binned": False,
        "scale": float(scale),
        "offset": float(offset),
        "units": units,
        "navigate": navigate,
    }


def write_hyperspy(path: Path, signals: Sequence[Signal], kind: str) -> None:
    """
    Write signals in one file; it appears whole or not at all.

    Parameters
    ----------
    path : path
        File to be made, .zspy or .hspy.
    signals : sequence of Signal
        Signals with different titles, arrays in memory and axes from `image_axes`.
    kind : str
        Mark of the file (`iphasenet.base.marks`); a .zspy of the same kind is replaced.

    Raises
    ------
    InputError
        If the ending is another one.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise InputError(f"{path}: found the ending '{path.suffix}'; allowed: {', '.join(ENDINGS)}")
    if ending == ".zspy":
        with atomic_directory(path, kind) as temporary:
            _write_zspy(temporary, signals, kind)
            gather_metadata(temporary)
            write_checksums(temporary, {})
    else:
        with atomic_file(path) as temporary:
            temporary.write_bytes(_hspy(signals, kind))


def _metadata(signal: Signal) -> dict[str, Any]:
    general = {"General": {"title": signal.title}, "Signal": {"signal_type": ""}}
    return {key: general.get(key, {}) | dict(signal.metadata.get(key, {})) for key in general | dict(signal.metadata)}


def _write_zspy(path: Path, signals: Sequence[Signal], kind: str) -> None:
    """Write HyperSpy's layout with Zarr 3; RosettaSciIO 0.15 can do so only with Zarr 2."""
    experiments = create_zspy(path, {KEY: kind})
    for signal in signals:
        trees: dict[str, Mapping[str, Any]] = {f"axis-{index}": axis for index, axis in enumerate(signal.axes)}
        trees |= {"metadata": _metadata(signal), "original_metadata": signal.original}
        data = np.asarray(signal.data)
        chunks = (*(1,) * (data.ndim - 2), *data.shape[-2:])
        create_signal(experiments, signal.title, trees, data.shape, chunks, data.dtype)[...] = data


def gather_metadata(path: Path) -> None:
    """Consolidate the metadata of a .zspy, and of each of its signals, for Zarr and xarray."""
    signals = [f"Experiments/{title}" for title in zarr.open_group(path / "Experiments", mode="r").group_keys()]
    for name in (*signals, None):
        zarr.consolidate_metadata(path, path=name, zarr_format=2)


def create_zspy(path: Path, attributes: Mapping[str, str] | None = None) -> zarr.Group:
    """Create a .zspy without signals, with the given attributes; returns the group to which signals are added."""
    root = zarr.open_group(path, mode="w", zarr_format=2)
    root.attrs.update({"file_format": "ZSpy", "file_format_version": "3.3", **(attributes or {})})
    return root.create_group("Experiments")


def create_signal(
    experiments: zarr.Group,
    title: str,
    trees: Mapping[str, Mapping[str, Any]],
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: Any = np.float32,
) -> Any:
    """
    Create a signal of a .zspy.

    Parameters
    ----------
    experiments : zarr.Group
        Group from `create_zspy`.
    title : str
        Title of the signal.
    trees : mapping
        HyperSpy's `axis-0`, `axis-1`, ..., `metadata` and `original_metadata`.
    shape, chunks : tuple of int
        Shape of the array and of its chunks.
    dtype : type
        Type of the array.

    Returns
    -------
    zarr.Array
        Array for the values, still empty.
    """
    group: Any = experiments.create_group(title)
    for name, tree in trees.items():
        group.create_group(name).attrs.update(dict(tree))
    names = [dict(trees.get(f"axis-{index}", {})).get("name") for index in range(len(shape))]
    return group.create_array(
        "data",
        # Names of the axes for xarray.
        attributes={"_ARRAY_DIMENSIONS": [name or f"axis-{index}" for index, name in enumerate(names)]},
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        compressors={"id": "blosc", "cname": "zstd", "clevel": 1, "shuffle": 1},
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )


def _hspy(signals: Sequence[Signal], kind: str) -> bytes:
    """
    Write each signal with RosettaSciIO, which writes one per file, and join them.

    In memory: of a full disk HDF5 makes a segmentation fault, when Python ends.
    """
    gathered = BytesIO()
    with h5py.File(gathered, "w") as file:
        file.attrs[KEY] = mark_text(kind)
        for signal in signals:
            single = NamedMemory()
            hspy.file_writer(single, _described(signal), show_progressbar=False)
            with h5py.File(single) as written:
                for name, value in written.attrs.items():
                    file.attrs[name] = value
                written.copy(f"Experiments/{signal.title}", file.require_group("Experiments"))
    return gathered.getvalue()


def _described(signal: Signal) -> dict[str, Any]:
    """Describe a signal in the form that RosettaSciIO's writers need."""
    return {
        "data": np.asarray(signal.data),
        "axes": [dict(axis) for axis in signal.axes],
        "metadata": _metadata(signal),
        "original_metadata": dict(signal.original),
        "attributes": {"_lazy": False, "ragged": False},
        "learning_results": {},
        "models": {},
        "tmp_parameters": {},
        # HyperSpy imports it, and warns where it cannot.
        "package_info": {"package": "rsciio", "package_version": rsciio.__version__},
    }
