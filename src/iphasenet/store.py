"""The data set: a sharded Zarr v3 store, one group a material, that xarray opens.

Every rendered material is a store of its own; assembling copies their files, bytes unchanged, into one.
"""

import json
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from iphasenet.detector import SEGMENTS
from iphasenet.errors import InputError
from iphasenet.files import atomic_directory
from iphasenet.noise import FixedNoise, add_noise
from iphasenet.render import Image, Rendered
from iphasenet.sampling import SPLITS, Sample, Split, generator, picometres

FORMAT_VERSION = "1"

SHARD_SAMPLES = 64
"""Samples in one shard: one file. A sample is a chunk of its own, readable without its neighbours."""

_COORDINATES: dict[str, tuple[str, dict[str, Any]]] = {
    "sample_id": ("str", {"description": "material, tilt, rotation, thickness"}),
    "thickness_nm": ("float64", {"units": "nm", "description": "nominal thickness of the slab"}),
    "slab_thickness": (
        "float64",
        {"units": "Å", "description": "thickness that was simulated, whole slices"},
    ),
    "alpha": ("float64", {"units": "degrees", "description": "tilt about lab x, after gamma"}),
    "beta": ("float64", {"units": "degrees", "description": "tilt about lab y, after alpha"}),
    "gamma": ("float64", {"units": "degrees", "description": "rotation about the beam, from x to y"}),
    "tilt": ("int64", {"description": "number of the tilt: with the material, the group of the split"}),
    "split": ("int8", {"flag_values": [0, 1, 2], "flag_meanings": " ".join(SPLITS)}),
    "offset_x": ("float64", {"units": "Å", "description": "crystal's point under the image's centre"}),
    "offset_y": ("float64", {"units": "Å", "description": "crystal's point under the image's centre"}),
}


def write_material(
    path: str | Path,
    rendered: Iterator[Rendered],
    samples: Sequence[Sample],
    image: Image,
    noise: FixedNoise,
    seed: int,
    material: str,
    attributes: Mapping[str, Any],
) -> None:
    """
    Write the store of one material; it appears whole or not at all.

    Parameters
    ----------
    path : path
        Store to be made.
    rendered : iterator of Rendered
        The samples' arrays, in the order of `samples`.
    samples : sequence of Sample
        Samples of the material.
    image : Image
        Pixels.
    noise : FixedNoise
        Noise of the noisy images of the validation and test splits.
    seed : int
        Seed of the run.
    material : str
        Name of the material.
    attributes : mapping
        Attributes of the group.
    """
    evaluated = np.array([i for i, sample in enumerate(samples) if sample.orientation.split != "train"])
    with atomic_directory(path) as temporary:
        group = zarr.open_group(temporary, mode="w", zarr_format=3)
        group.attrs.update({"material": material, **attributes, "coordinates": " ".join(_COORDINATES)})
        segments, potential, noisy = _create_images(group, len(samples), len(evaluated), noise, image)
        metadata: list[dict[str, Any]] = []
        for start in range(0, len(samples), SHARD_SAMPLES):
            stop = min(start + SHARD_SAMPLES, len(samples))
            shard = [next(rendered) for _ in range(start, stop)]
            segments[start:stop] = np.stack([r.segments for r in shard])
            potential[start:stop] = np.stack([r.potential for r in shard])
            metadata += [r.metadata for r in shard]
            rows = np.flatnonzero((evaluated >= start) & (evaluated < stop))
            if len(rows):
                chosen = [(shard[i - start], samples[i]) for i in evaluated[rows]]
                drawn = [_fixed_noise(r.segments, s, noise, image, seed, material) for r, s in chosen]
                noisy[rows[0] : rows[-1] + 1] = np.stack(drawn)
        _write_coordinates(group, metadata, evaluated, noise, image)
        _consolidate(temporary)


def _fixed_noise(
    segments: NDArray[np.float32], sample: Sample, noise: FixedNoise, image: Image, seed: int, material: str
) -> NDArray[np.float32]:
    """Noisy images (dose, segment, y, x) of one sample."""
    key = (sample.orientation.index, sample.rotation_index, picometres(sample.thickness_nm))
    streams = [generator(seed, material, "noise", *key, round(dose * 1000)) for dose in noise.doses]
    sampling, readout = image.sampling_angstrom, noise.readout_electrons
    pairs = zip(noise.doses, streams, strict=True)
    return np.stack([add_noise(segments, dose, sampling, readout, rng) for dose, rng in pairs])


def _create_images(
    group: zarr.Group, samples: int, evaluated: int, noise: FixedNoise, image: Image
) -> tuple[zarr.Array[Any], zarr.Array[Any], zarr.Array[Any]]:
    """Create the empty arrays segments, potential and noisy_segments."""
    pixels, doses = (image.pixels, image.pixels), len(noise.doses)
    return (
        _image_array(
            group,
            "segments",
            {"sample": samples, "segment": 4, "y": pixels[0], "x": pixels[1]},
            {"units": "1", "description": "fraction of the beam current, noise-free"},
        ),
        _image_array(
            group,
            "potential",
            {"sample": samples, "y": pixels[0], "x": pixels[1]},
            {"units": "V Å", "description": "projected electrostatic potential"},
        ),
        _image_array(
            group,
            "noisy_segments",
            {"evaluation_sample": evaluated, "dose": doses, "segment": 4, "y": pixels[0], "x": pixels[1]},
            {"units": "1", "description": "validation and test images with fixed noise"},
        ),
    )


def _image_array(
    group: zarr.Group, name: str, sizes: Mapping[str, int], attributes: Mapping[str, Any]
) -> zarr.Array[Any]:
    shape = tuple(sizes.values())
    return group.create_array(
        name,
        shape=shape,
        dtype="float32",
        chunks=(1, *shape[1:]),
        # Equal shards even for a short set: the layout does not depend on the number of samples.
        shards=(SHARD_SAMPLES, *shape[1:]),
        dimension_names=tuple(sizes),
        attributes=dict(attributes),
    )


def _write_coordinates(
    group: zarr.Group,
    metadata: Sequence[Mapping[str, Any]],
    evaluated: NDArray[np.int64],
    noise: FixedNoise,
    image: Image,
) -> None:
    for name, (dtype, attributes) in _COORDINATES.items():
        _coordinate(group, name, [row[name] for row in metadata], dtype, "sample", attributes)
    index = {"description": "index along sample of the images with fixed noise"}
    _coordinate(group, "evaluation_sample", evaluated, "int64", "evaluation_sample", index)
    _coordinate(group, "dose", noise.doses, "float64", "dose", {"units": "e/Å²"})
    _coordinate(group, "segment", SEGMENTS, "str", "segment", {"description": "as seen in the image"})
    for axis, direction in (("x", "to the right"), ("y", "down; row 0 is the top")):
        _coordinate(group, axis, image.positions, "float64", axis, {"units": "Å", "description": direction})


def _coordinate(
    group: zarr.Group,
    name: str,
    values: Any,
    dtype: str,
    dimension: str,
    attributes: Mapping[str, Any],
) -> None:
    array = group.create_array(
        name,
        shape=(len(values),),
        dtype=str if dtype == "str" else dtype,
        chunks=(max(1, len(values)),),
        dimension_names=(dimension,),
        attributes=dict(attributes),
    )
    array[:] = np.array(values, dtype=object if dtype == "str" else dtype)


def assemble(path: str | Path, materials: Mapping[str, str | Path], attributes: Mapping[str, Any]) -> None:
    """
    Copy the materials' stores into one store, bytes unchanged.

    Parameters
    ----------
    path : path
        Store to be made; it appears whole or not at all.
    materials : mapping
        Store of each material.
    attributes : mapping
        Attributes of the root: configuration, seed, versions, licence.
    """
    with atomic_directory(path) as temporary:
        root = zarr.open_group(temporary, mode="w", zarr_format=3)
        root.attrs.update(json.loads(json.dumps({"format_version": FORMAT_VERSION, **attributes})))
        for name, source in materials.items():
            shutil.copytree(source, temporary / name, ignore=shutil.ignore_patterns(".snakemake_timestamp"))
        _consolidate(temporary)


def _consolidate(path: Path) -> None:
    """Gather a store's metadata in one file: opening is fast, and Snakemake's time stamp is no part of the store."""
    with warnings.catch_warnings():
        # An extension that readers may ignore.
        warnings.filterwarnings("ignore", "Consolidated metadata", category=UserWarning)
        zarr.consolidate_metadata(path, zarr_format=3)


@dataclass(frozen=True)
class MaterialData:
    """
    Samples of one material and some splits, in memory.

    Attributes
    ----------
    material : str
        Name of the material.
    segments : (sample, 4, y, x) float32 array
        Noise-free images, fractions of the beam current.
    potential : (sample, y, x) float32 array
        Projected potential [V Å].
    noisy_segments : (sample, dose, 4, y, x) float32 array
        Images with fixed noise; empty along the first axis for the training split.
    doses : (dose,) array
        Doses of the fixed noise [e/Å²].
    sampling : float
        Pixel size [Å].
    coordinates : dict of (sample,) arrays
        Metadata of the samples.
    """

    material: str
    segments: NDArray[np.float32]
    potential: NDArray[np.float32]
    noisy_segments: NDArray[np.float32]
    doses: NDArray[np.float64]
    sampling: float
    coordinates: dict[str, NDArray[Any]]

    @cached_property
    def metadata(self) -> NDArray[np.float32]:
        """Thickness [nm], alpha, beta and gamma [degrees] as a (sample, 4) array."""
        names = ("thickness_nm", "alpha", "beta", "gamma")
        return np.stack([self.coordinates[name] for name in names], axis=1).astype(np.float32)


def open_dataset(path: str | Path) -> zarr.Group:
    """Open the store for reading; InputError where there is none."""
    try:
        return zarr.open_group(path, mode="r", zarr_format=3)
    except FileNotFoundError as error:
        raise InputError(f"{path}: found no Zarr v3 store; allowed: a data set made by this workflow") from error


def read_split(path: str | Path, split: Split) -> Iterator[MaterialData]:
    """
    Read one split into memory, material by material.

    Parameters
    ----------
    path : path
        Assembled store.
    split : {'train', 'validation', 'test'}
        Which samples.

    Yields
    ------
    MaterialData
        One a material, in the order of their names.
    """
    for name, group in sorted(open_dataset(path).groups()):
        yield _read_material(name, group, split)


def _values(group: zarr.Group, name: str, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
    """Rows of an array along its first axis, or all of it."""
    array: Any = group[name]
    return np.asarray(array[:] if rows is None else array.oindex[rows])


def _read_material(name: str, group: zarr.Group, split: Split) -> MaterialData:
    coordinates = {key: _values(group, key) for key in _COORDINATES}
    chosen = np.flatnonzero(coordinates["split"] == SPLITS.index(split))
    if not len(chosen):
        raise InputError(f"{name}: the {split} split is empty; allowed: at least one sample")
    evaluated = _values(group, "evaluation_sample")
    rows = np.flatnonzero(np.isin(evaluated, chosen))
    position = _values(group, "x")
    data = MaterialData(
        material=name,
        segments=_values(group, "segments", chosen),
        potential=_values(group, "potential", chosen),
        noisy_segments=_values(group, "noisy_segments", rows),
        doses=_values(group, "dose"),
        sampling=float(position[1] - position[0]),
        coordinates={key: values[chosen] for key, values in coordinates.items()},
    )
    if not (np.isfinite(data.segments).all() and np.isfinite(data.potential).all()):
        raise InputError(f"{name}: the {split} split holds NaN or infinity; allowed: finite numbers only")
    return data
