"""Reading the data set into memory."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from iphasenet import __version__
from iphasenet.base.errors import InputError
from iphasenet.base.seals import open_store
from iphasenet.base.storage import Place
from iphasenet.dataset.material_data import MaterialData
from iphasenet.dataset.names import check_samples, material_of
from iphasenet.dataset.writer import COORDINATES, FORMAT_VERSION, STRUCTURE
from iphasenet.simulation.grid import NOTHING, SPLITS, LeftOut, Split

Choice = Callable[[Mapping[str, NDArray[Any]]], NDArray[np.int64]]
"""Function that chooses samples of a split by their coordinates: it returns indices within the split."""


class StoredRows:
    """
    Rows of a stored array that are read on each access; indexed like a NumPy array, first by the row.

    Parameters
    ----------
    group : zarr.Group
        Group of one material.
    name : str
        Array in it.
    rows : (row,) integer array
        Indices of the rows along the first axis.
    """

    def __init__(self, group: zarr.Group, name: str, rows: NDArray[np.int64]) -> None:
        array: Any = group[name]
        self.group, self.name, self.rows = group, name, rows
        self.shape = (len(rows), *array.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        row, *rest = key if isinstance(key, tuple) else (key,)
        value: NDArray[Any] = read_rows(self.group, self.name, self.rows[row : row + 1])[0][tuple(rest)]
        return value


def open_dataset(path: Place) -> zarr.Group:
    """Open an assembled data set by `base.seals.open_store`; InputError if its format has another version."""
    root = open_store(path, "dataset")
    if root.attrs.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{path}: found format_version {root.attrs.get('format_version')!r}; allowed: {FORMAT_VERSION!r}, which "
            f"iphasenet {__version__} reads"
        )
    return root


def material_groups(root: zarr.Group) -> dict[str, zarr.Group]:
    """Find the groups of a data set by name; InputError if a group and its material have different names."""
    return {material_of(group): group for _, group in sorted(root.groups())}


def find_material(root: zarr.Group, name: str) -> zarr.Group:
    """Find a material's group; InputError where there is none."""
    found = material_groups(root)
    if name not in found:
        raise InputError(f"material: found {name!r}; allowed: {', '.join(found)}, the materials of the data set")
    return found[name]


def structure_of(group: zarr.Group) -> str:
    """Read the hash of a material's structure (`iphasenet.crystal.identity`); empty if an older store does not say."""
    return str(group.attrs.get(STRUCTURE, ""))


def configuration(root: zarr.Group) -> dict[str, Any]:
    """Read the configuration that a data set was made with; InputError where its root holds none."""
    found: Any = root.attrs.get("configuration")
    if not isinstance(found, dict):
        raise InputError(f"{root.store}: found no configuration; allowed: a data set that this workflow assembled")
    return found


def read_split(
    path: Place, split: Split, stream: bool = False, left_out: LeftOut = NOTHING, choose: Choice | None = None
) -> Iterator[MaterialData]:
    """
    Read one split, material by material.

    Parameters
    ----------
    path : path or URL
        Assembled store.
    split : {'train', 'validation', 'test'}
        Split to read.
    stream : bool
        Read all images once to check them, then on each access (`StoredRows`); else keep them in memory.
    left_out : LeftOut
        Samples that are not read.
    choose : callable, optional
        Chooses which of the other samples are read; all if not given.

    Yields
    ------
    MaterialData
        One per material, in the order of their names; none for a material that is left out.

    Raises
    ------
    InputError
        If a URL is not reached, a file is missing, a chunk is damaged, an image is not finite or zero everywhere, or
        the split is empty.
    """
    groups = material_groups(open_dataset(path))
    names = list(groups)
    for key in left_out.materials:
        if key not in names:
            raise InputError(f"left out: found {key!r}; allowed: materials of the data set, {', '.join(names)}")
    chosen = [name for name in names if name not in left_out.materials]
    if not chosen:
        raise InputError(f"left out: found all materials, {', '.join(names)}; allowed: all but at least one")
    for name in chosen:
        yield read_material(groups[name], split, stream, left_out, choose)


def read_rows(group: zarr.Group, name: str, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
    """
    Read rows of an array; all arrays of stores are read by this function.

    Parameters
    ----------
    group : zarr.Group
        Group of one material, or root of a store that holds one material.
    name : str
        Array in it.
    rows : (row,) integer array, optional
        Indices of the rows along the first axis; all if not given.

    Returns
    -------
    (row, ...) array
        The rows.

    Raises
    ------
    InputError
        If there is no such array, a chunk is damaged, an image is not finite or zero everywhere, or a sample's name has
        the wrong form.
    """
    where, array = f"{group.path or group.attrs.get('material', group.store)}/{name}", group.get(name)
    if not isinstance(array, zarr.Array):
        raise InputError(f"{where}: there is no such array; allowed: a store that `iphasenet validate` accepts")
    if rows is None:
        rows = np.arange(array.shape[0])
    result = _read(array, rows, where)
    if name == "sample_id":
        check_samples(material_of(group), result)
    if result.ndim > 2:
        for row, image in zip(rows, result, strict=True):
            # Zarr reads a lost chunk as zeros, and no image is zero everywhere.
            problem = "zeros alone" if not image.any() else "" if np.isfinite(image).all() else "NaN or infinity"
            if problem:
                sample = _sample(group, array, int(row))
                raise InputError(f"{where}: found {problem} in {sample}; allowed: finite numbers, not all of them 0")
    return result


def _read(array: zarr.Array[Any], rows: NDArray[np.int64], where: str) -> NDArray[Any]:
    """Read rows; InputError names the first that is damaged."""
    try:
        # Runs of neighbours by slices: a selection by a list takes zarr several times the time and memory.
        runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
        result = np.empty((len(rows), *array.shape[1:]), array.dtype)
        for start, run in zip(np.cumsum([0, *map(len, runs[:-1])]), runs, strict=True):
            if len(run):
                result[start : start + len(run)] = array[run[0] : run[-1] + 1]
        return result
    except (ValueError, RuntimeError, LookupError) as error:
        if len(rows) > 1:
            for row in rows:
                _read(array, np.array([row]), where)
        raise InputError(
            f"{where}: found a damaged chunk at row {rows[0]}; allowed: a store that `iphasenet validate` accepts"
        ) from error


def _sample(group: zarr.Group, array: zarr.Array[Any], row: int) -> str:
    """Name of the sample that a row of images belongs to; its number where the store names none."""
    if "sample_id" not in group:
        return f"row {row}"
    if getattr(array.metadata, "dimension_names", ("",))[0] == "evaluation_sample":
        row = int(read_rows(group, "evaluation_sample")[row])
    return str(read_rows(group, "sample_id")[row])


def read_material(
    group: zarr.Group,
    split: Split,
    stream: bool = False,
    left_out: LeftOut = NOTHING,
    choose: Choice | None = None,
) -> MaterialData:
    """Read one material's samples of a split, as `read_split`, from its group or its own store."""
    name = material_of(group)
    coordinates = {key: read_rows(group, key) for key in COORDINATES}
    kept = ~left_out.mask(name, coordinates["thickness_nm"])
    chosen = np.flatnonzero((coordinates["split"] == SPLITS.index(split)) & kept)
    if not len(chosen):
        raise InputError(f"{name}: the {split} split is empty; allowed: at least one sample")
    if choose:
        chosen = chosen[choose({key: values[chosen] for key, values in coordinates.items()})]
    rows = np.flatnonzero(np.isin(read_rows(group, "evaluation_sample"), chosen))
    position = read_rows(group, "x")
    read: Any = StoredRows if stream else read_rows
    images = {
        "segments": read(group, "segments", chosen),
        "potential": read(group, "potential", chosen),
        "noisy_segments": read(group, "noisy_segments", rows),
    }
    if stream:
        # What is wrong is said before hours of training.
        for stored in images.values():
            for row in range(len(stored)):
                stored[row]
    return MaterialData(
        material=name,
        **images,
        doses=read_rows(group, "dose"),
        sampling=float(position[1] - position[0]),
        coordinates={key: values[chosen] for key, values in coordinates.items()},
        structure=structure_of(group),
    )
