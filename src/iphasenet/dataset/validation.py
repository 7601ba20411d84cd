"""Check of all that readers of an assembled data set rely on."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from iphasenet.base.checksums import damaged_files
from iphasenet.base.errors import InputError
from iphasenet.base.seals import KINDS, kind_of, open_root
from iphasenet.base.storage import Place
from iphasenet.dataset.names import material_of
from iphasenet.dataset.reader import read_rows
from iphasenet.dataset.writer import COORDINATES, FORMAT_VERSION, OPTICS_COORDINATES, TEMPERATURE, THERMAL_COORDINATES
from iphasenet.simulation.grid import SPLITS

LAYOUT = {
    "segments": (("sample", "segment", "y", "x"), "float32", "1"),
    "potential": (("sample", "y", "x"), "float32", "V Å"),
    "noisy_segments": (("evaluation_sample", "dose", "segment", "y", "x"), "float16", "1"),
}
"""Dimensions, type and unit of the images."""

CHECKS = ("checksums", "layout", "finite", "energy", "splits")


@dataclass(frozen=True)
class Problem:
    """
    Something wrong with a store.

    Attributes
    ----------
    check : str
        One of `CHECKS`.
    text : str
        Place of the problem, and what was found.
    """

    check: str
    text: str


def validate(store: Place, progress: Callable[[int, int], object] | None = None) -> list[Problem]:
    """
    Check files, shapes, units, numbers, energy and splits of a data set.

    Parameters
    ----------
    store : path or URL
        Assembled store.
    progress : callable, optional
        Called with the numbers of samples checked so far and in all.

    Returns
    -------
    list of Problem
        Empty if all of this holds: files agree with their checksums; arrays have the dimensions, types and units of the
        format; names of materials and samples have the right form; numbers are finite, and no image is 0 everywhere;
        where atoms move, the noise that this has left is a number of 0 or more, or not known;
        segments are 0 or more and sum to less than the beam, potentials have a mean above 0; no tilt is in two
        splits, no planned split is empty, and no sample is there twice.
    """
    problems = [Problem("checksums", text) for text in damaged_files(store)]
    try:
        root = open_root(store, "dataset")
    except InputError as error:
        return [*problems, Problem("layout", str(error))]
    if (kind := kind_of(store)) not in ("dataset", None):
        problems.append(Problem("layout", f"{KINDS[kind]}, not {KINDS['dataset']}"))
    if root.attrs.get("format_version") != FORMAT_VERSION:
        found = root.attrs.get("format_version")
        problems.append(Problem("layout", f"format_version is {found!r}, not {FORMAT_VERSION!r}"))
    planned = _planned_splits(root)
    groups = sorted(root.groups())
    if not groups:
        problems.append(Problem("layout", "no material"))
    counts = {name: _samples(group) for name, group in groups}
    done = 0
    for name, group in groups:
        layout = [Problem("layout", text) for text in (*_named(group), *(f"{name}/{text}" for text in _layout(group)))]
        problems += layout
        if layout:
            # Arrays without the right shape cannot be checked further.
            continue
        problems += [Problem("splits", f"{name}: {text}") for text in _splits(group, planned)]
        problems += [Problem("finite", f"{name}/{text}") for text in _thermal(group)]
        for checked, found_problems in _numbers(name, group):
            problems += found_problems
            if progress is not None:
                progress(done + checked, sum(counts.values()))
        done += counts[name]
    return problems


def _samples(group: zarr.Group) -> int:
    array: Any = group.get("sample_id")
    return 0 if array is None else int(array.shape[0])


def _named(group: zarr.Group) -> Iterator[str]:
    """Report a group whose name differs from its material's."""
    try:
        material_of(group)
    except InputError as error:
        yield str(error)


def _layout(group: zarr.Group) -> Iterator[str]:
    """Report arrays that are missing or contradict the format."""
    sizes: dict[str, int] = {}
    # Stores of crystals at rest, and older ones, have no temperature.
    known = COORDINATES | (THERMAL_COORDINATES if TEMPERATURE in group.attrs else {})
    # Optics are recorded where they were drawn.
    known |= OPTICS_COORDINATES if any(name in group for name in OPTICS_COORDINATES) else {}
    coordinates = {name: (("sample",), dtype, attributes.get("units")) for name, (dtype, attributes) in known.items()}
    evaluated = {"evaluation_sample": (("evaluation_sample",), "int64", None), "dose": (("dose",), "float64", "e/Å²")}
    for name, (dimensions, dtype, units) in {**LAYOUT, **coordinates, **evaluated}.items():
        array: Any = group.get(name)
        if array is None:
            yield f"{name}: missing"
            continue
        if array.metadata.dimension_names != dimensions:
            yield f"{name}: dimensions {array.metadata.dimension_names}, not {dimensions}"
            continue
        if dtype != "str" and array.dtype != dtype:
            yield f"{name}: {array.dtype}, not {dtype}"
        if array.attrs.get("units") != units:
            yield f"{name}: units {array.attrs.get('units')!r}, not {units!r}"
        for dimension, size in zip(dimensions, array.shape, strict=True):
            if sizes.setdefault(dimension, size) != size:
                yield f"{name}: {size} along {dimension}, not {sizes[dimension]}"


def _planned_splits(root: zarr.Group) -> tuple[str, ...]:
    """Read from the configuration which splits the data set was made with; all if it does not say."""
    found: Any = root.attrs.get("configuration")
    for key in ("grid", "splits"):
        found = found.get(key) if isinstance(found, dict) else None
    return tuple(name for name in SPLITS if name in found) if isinstance(found, list) else SPLITS


def _splits(group: zarr.Group, planned: Sequence[str]) -> Iterator[str]:
    """Report tilts in two splits, and samples that are missing or there twice."""
    try:
        split, tilt_index, identity, evaluated = (
            read_rows(group, name) for name in ("split", "tilt", "sample_id", "evaluation_sample")
        )
    except InputError as error:
        yield str(error)
        return
    for number in np.unique(tilt_index):
        owners = np.unique(split[tilt_index == number])
        if len(owners) > 1:
            yield f"tilt {number} is in {' and '.join(SPLITS[owner] for owner in owners)}"
    for index, name in enumerate(SPLITS):
        if name in planned and not (split == index).any():
            yield f"no sample in {name}"
    names, counts = np.unique([str(name) for name in identity], return_counts=True)
    for name in names[counts > 1]:
        yield f"{name} is there twice"
    if not np.array_equal(evaluated, np.flatnonzero(split != SPLITS.index("train"))):
        yield "evaluation_sample does not list the validation and test samples"


def _thermal(group: zarr.Group) -> Iterator[str]:
    """Report a temperature, or noise of moving atoms, that cannot be."""
    if TEMPERATURE not in group.attrs:
        return
    temperature: Any = group.attrs[TEMPERATURE]
    if not isinstance(temperature, int | float) or not 0 < temperature < math.inf:
        yield f"{TEMPERATURE}: {temperature!r}, not a number above 0"
    for name in THERMAL_COORDINATES:
        noise = read_rows(group, name)
        bad = noise[(noise < 0) | np.isinf(noise)]
        if len(bad):
            yield f"{name}: {bad[0]:g}, not a share of 0 or more"


def _numbers(material: str, group: zarr.Group) -> Iterator[tuple[int, list[Problem]]]:
    """Check the images sample by sample; yields the number of checked samples and the problems found."""
    try:
        identity = read_rows(group, "sample_id")
        evaluated = {int(sample): row for row, sample in enumerate(read_rows(group, "evaluation_sample"))}
    except InputError as error:
        yield 0, [Problem("finite", str(error))]
        return
    for sample in range(_samples(group)):
        rows = {"segments": sample, "potential": sample, "noisy_segments": evaluated.get(sample)}
        problems = []
        for name, row in rows.items():
            if row is None:
                continue
            try:
                image = read_rows(group, name, np.array([row]))[0]
            except InputError as error:
                problems.append(Problem("finite", str(error)))
                continue
            if name != "noisy_segments":
                where = f"{material}/{name}: {identity[sample]}"
                problems += [Problem("energy", f"{where}: {text}") for text in _energy(name, image)]
        yield sample + 1, problems


def _energy(name: str, image: NDArray[np.float32]) -> Iterator[str]:
    if name == "potential":
        if image.mean() <= 0:
            yield f"mean {image.mean():.3g} V Å"
    elif image.min() < -1e-6 or image.sum(axis=0).max() >= 1:
        yield f"from {image.min():.3g}, sums up to {image.sum(axis=0).max():.3g} of the beam"
