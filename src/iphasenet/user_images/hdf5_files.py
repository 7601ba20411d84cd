"""What stands in an HDF5 file: which program wrote it, whether its size is true, and the axes of NeXus."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from iphasenet.claims import check_claim
from iphasenet.user_images.signals import Signal


def is_velox_file(path: Path) -> bool:
    """Whether Velox wrote a file: it holds images alone, which need not be read lazily, keeping the file open."""
    with h5py.File(path) as file:
        return "Version" in file and "Data" in file


def reader_name(path: Path, usual: str) -> str:
    """
    Name the reader of an HDF5 file by its content: HyperSpy's older ones end in .hdf5, others' too.

    Parameters
    ----------
    path : path
        The file.
    usual : str
        Reader of its ending, where the content does not tell.
    """
    with h5py.File(path) as file:
        if isinstance(file.get("Experiments"), h5py.Group):
            return "hspy"
        classes = {_text(entry.attrs.get("NX_class", "")) for entry in file.values() if isinstance(entry, h5py.Group)}
        return "nexus" if "NXentry" in classes else usual


def check_hdf5(path: Path) -> None:
    """Refuse a file of which an array claims more than it can hold, of its own or of the files that it refers to."""

    def check(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Dataset) and entry.shape:
            files = [path.parent / source.file_name for source in entry.virtual_sources()] if entry.is_virtual else []
            stored = sum(file.stat().st_size for file in {path, *files} if file.is_file())
            check_claim(f"{path}: {name}", entry.shape, entry.dtype.itemsize, stored)

    with h5py.File(path) as file:
        file.visititems(check)


def py4dstem_signals(path: Path, signals: Sequence[Signal]) -> list[Signal]:
    """
    Give patterns of py4DSTEM before version 0.13 the order that they have in the file, and in files of later versions.

    RosettaSciIO transposes them, as it must all others of that age, so that their camera comes before the scan.
    """
    with h5py.File(path) as file:
        if "4DSTEM_experiment" not in file:
            return list(signals)
    return [
        replace(signal, data=signal.data.T, axes=signal.axes[::-1])
        if len(signal.shape) == 4 and str(signal.axes[0].get("name")).startswith("Q")
        else signal
        for signal in signals
    ]


def nexus_signals(path: Path, signals: Sequence[Signal]) -> list[Signal]:
    """
    Give signals of NeXus the steps and units of their axes, where the reader found none.

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
