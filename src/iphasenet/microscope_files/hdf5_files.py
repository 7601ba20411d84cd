"""Contents of an HDF5 file: the program that wrote it, a check of its size, and the axes of NeXus."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from iphasenet.base.file_checks import check_claim
from iphasenet.microscope_files.signals import Signal


class NamedMemory(BytesIO):
    """A file in memory with a name, as RosettaSciIO needs it."""

    def __fspath__(self) -> str:
        return "memory.hspy"


def is_velox_file(path: Path) -> bool:
    """Whether Velox wrote a file: it holds only images, so that lazy reading, which keeps it open, is not needed."""
    with h5py.File(path) as file:
        return "Version" in file and "Data" in file


def reader_name(path: Path, usual: str) -> str:
    """
    Name the reader of an HDF5 file by its content, because older files of HyperSpy end in .hdf5, like other files.

    Parameters
    ----------
    path : path
        The file.
    usual : str
        Reader for its ending, if the content does not tell.
    """
    with h5py.File(path) as file:
        if isinstance(file.get("Experiments"), h5py.Group):
            return "hspy"
        classes = {_text(entry.attrs.get("NX_class", "")) for entry in file.values() if isinstance(entry, h5py.Group)}
        return "nexus" if "NXentry" in classes else usual


def check_hdf5(path: Path) -> None:
    """Refuse a file with an array that claims more than the file, or the files it refers to, can hold."""

    def check(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Dataset) and entry.shape:
            files = [path.parent / source.file_name for source in entry.virtual_sources()] if entry.is_virtual else []
            stored = sum(file.stat().st_size for file in {path, *files} if file.is_file())
            check_claim(f"{path}: {name}", entry.shape, entry.dtype.itemsize, stored)

    with h5py.File(path) as file:
        file.visititems(check)


def has_contiguous_signals(path: Path) -> bool:
    """Whether a file of HyperSpy holds an unchunked array, which RosettaSciIO does not open lazily."""
    with h5py.File(path) as file:
        return any(array.chunks is None for array in _hyperspy_arrays(file))


def read_contiguous(path: Path, reader: Any) -> list[dict[str, Any]]:
    """
    Read a .hspy file with unchunked arrays.

    RosettaSciIO reads a copy in memory without the values of the arrays; these are then opened lazily from the file.
    """
    file = h5py.File(path)
    copy = NamedMemory()
    with h5py.File(copy, "w") as stripped:
        for name, value in file.attrs.items():
            stripped.attrs[name] = value
        for title, group in file["Experiments"].items():
            target = stripped.require_group(f"Experiments/{title}")
            for name, value in group.attrs.items():
                target.attrs[name] = value
            for name in group:
                if name != "data":
                    file.copy(group[name], target, name)
            target["data"] = np.zeros((1,) * group["data"].ndim, np.uint8)
    # It takes most of a second to import, and few files need it.
    import dask.array

    found: list[dict[str, Any]] = reader(copy, lazy=False)
    for entry, array in zip(found, _hyperspy_arrays(file), strict=True):
        chunks = array.chunks or ("auto",) * (array.ndim - 2) + array.shape[-2:]
        entry["data"] = dask.array.from_array(array, chunks=chunks)
    return found


def _hyperspy_arrays(file: Any) -> list[Any]:
    return [group["data"] for group in file["Experiments"].values()]


def py4dstem_signals(path: Path, signals: Sequence[Signal]) -> list[Signal]:
    """
    Rename the axes of patterns of py4DSTEM, whose x runs down; before version 0.13, also restore the file's order.

    RosettaSciIO transposes files of before that version, so that the camera comes before the scan.
    """
    with h5py.File(path) as file:
        is_old = "4DSTEM_experiment" in file
        if not is_old and _text(file.attrs.get("emd_group_type", "")) != "file":
            return list(signals)
    return [_py4dstem_signal(signal, is_old) for signal in signals]


def _py4dstem_signal(signal: Signal, is_old: bool) -> Signal:
    axes, data = signal.axes, signal.data
    if is_old and len(signal.shape) == 4 and str(axes[0].get("name")).startswith("Q"):
        axes, data = axes[::-1], data.T
    return replace(signal, data=data, axes=tuple({**axis, "name": _py4dstem_name(axis.get("name"))} for axis in axes))


def _py4dstem_name(name: Any) -> str:
    match = re.fullmatch("([RQ])_?([xy])", str(name or ""))
    return (
        {"R": "scan ", "Q": "camera "}[match[1]] + {"x": "row", "y": "column"}[match[2]] if match else str(name or "")
    )


def nexus_signals(path: Path, signals: Sequence[Signal]) -> list[Signal]:
    """
    Add steps and units of axes to signals of NeXus, if the reader found none.

    Two ways of naming axes are older than the one that RosettaSciIO reads: a list in the attribute `axes` of the array
    itself, such as "segment:y:x", and a number in the attribute `axis` of each axis.
    """
    with h5py.File(path) as file:
        groups = list(_data_groups(file))
        return [_described(signal, groups) for signal in signals]


def _data_groups(file: Any) -> Iterator[Any]:
    found: list[Any] = []
    file.visititems(lambda _, entry: found.append(entry) if isinstance(entry, h5py.Group) else None)
    return (group for group in found if _text(group.attrs.get("NX_class", "")) == "NXdata")


def _described(signal: Signal, groups: Sequence[Any]) -> Signal:
    if any(axis.get("units") for axis in signal.axes):
        return signal
    for group in groups:
        name = _text(group.attrs.get("signal", "data"))
        array = group.get(name if name in group else "data")
        if array is None or array.shape != signal.shape:
            continue
        # RosettaSciIO names a signal by its group, or by all of its path.
        if signal.title in (group.name.rpartition("/")[2], array.name.strip("/").replace("/", "_")):
            names = _axis_names(group, array)
            axes = [_axis(group, name, size) for name, size in zip(names, array.shape, strict=True)]
            return replace(signal, axes=tuple(axes))
    return signal


def _axis_names(group: Any, array: Any) -> list[str]:
    """Names of an array's axes, in its order; empty where there is none."""
    listed = array.attrs.get("axes", group.attrs.get("axes"))
    names = [""] * array.ndim
    if listed is not None:
        found = _text(listed).strip("[]").replace(",", ":").split(":") if np.ndim(listed) == 0 else map(_text, listed)
        for index, name in enumerate(list(found)[: array.ndim]):
            names[index] = name.strip()
        return names
    for name, entry in group.items():
        number = int(np.ravel(entry.attrs.get("axis", 0))[0])
        if 0 < number <= array.ndim:
            names[number - 1] = name
    return names


def _axis(group: Any, name: str, size: int) -> dict[str, Any]:
    values = group.get(name) if name else None
    if not isinstance(values, h5py.Dataset) or values.shape != (size,) or size < 2:
        return {"name": name, "size": size}
    ends = float(values[0]), float(values[-1])
    step = abs(ends[1] - ends[0]) / (size - 1)
    even = np.allclose(values[:], np.linspace(*ends, size), rtol=0, atol=1e-2 * step)
    return {"name": name, "size": size, "scale": step if even else 0, "units": _text(values.attrs.get("units", ""))}


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
