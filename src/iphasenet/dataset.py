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

from iphasenet.errors import InputError
from iphasenet.files import atomic_directory
from iphasenet.noise import Noise, add_noise
from iphasenet.optics import SEGMENTS
from iphasenet.render import Rendered
from iphasenet.sampling import SPLITS, Sample, Split, generator

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
    pixels: int,
    sampling: float,
    noise: Noise,
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
    pixels : int
        Pixels along each side.
    sampling : float
        Pixel size [Å].
    noise : Noise
        Noise of the fixed noisy images of the validation and test splits.
    seed : int
        Seed of the run.
    material : str
        Name of the material.
    attributes : mapping
        Attributes of the group.
    """
    evaluated = [index for index, sample in enumerate(samples) if sample.orientation.split != "train"]
    doses = noise.evaluation_doses
    image = (pixels, pixels)
    with atomic_directory(path) as temporary:
        group = zarr.open_group(temporary, mode="w", zarr_format=3)
        coordinates = " ".join(name for name in _COORDINATES)
        group.attrs.update({"material": material, **attributes, "coordinates": coordinates})
        segments = _image_array(
            group, "segments", (len(samples), 4, *image), ("sample", "segment", "y", "x"),
            units="1", description="fraction of the beam current, noise-free",
        )  # fmt: skip
        potential = _image_array(
            group, "potential", (len(samples), *image), ("sample", "y", "x"),
            units="V Å", description="projected electrostatic potential",
        )  # fmt: skip
        noisy = _image_array(
            group, "noisy_segments", (len(evaluated), len(doses), 4, *image),
            ("evaluation_sample", "dose", "segment", "y", "x"),
            units="1", description="validation and test images with fixed noise",
        )  # fmt: skip
        metadata: list[dict[str, Any]] = []
        for start in range(0, len(samples), SHARD_SAMPLES):
            shard = [next(rendered) for _ in samples[start : start + SHARD_SAMPLES]]
            segments[start : start + len(shard)] = np.stack([r.segments for r in shard])
            potential[start : start + len(shard)] = np.stack([r.potential for r in shard])
            metadata += [r.metadata for r in shard]
            rows = [row for row, index in enumerate(evaluated) if start <= index < start + len(shard)]
            if rows:
                drawn = [
                    _fixed_noise(
                        shard[evaluated[row] - start],
                        samples[evaluated[row]],
                        noise,
                        sampling,
                        seed,
                        material,
                    )
                    for row in rows
                ]
                noisy[rows[0] : rows[-1] + 1] = np.stack(drawn)
        for name, (dtype, attrs) in _COORDINATES.items():
            _coordinate(group, name, [m[name] for m in metadata], dtype, "sample", attrs)
        _coordinate(group, "evaluation_sample", evaluated, "int64", "evaluation_sample",
                    {"description": "index along sample of the images with fixed noise"})  # fmt: skip
        _coordinate(group, "dose", list(doses), "float64", "dose", {"units": "e/Å²"})
        _coordinate(group, "segment", list(SEGMENTS), "str", "segment", {"description": "as seen in the image"})
        position = ((np.arange(pixels) - (pixels - 1) / 2) * sampling).tolist()
        _coordinate(group, "x", position, "float64", "x", {"units": "Å", "description": "to the right"})
        _coordinate(group, "y", position, "float64", "y", {"units": "Å", "description": "down; row 0 is the top"})


def _fixed_noise(
    rendered: Rendered, sample: Sample, noise: Noise, sampling: float, seed: int, material: str
) -> NDArray[np.float32]:
    """Noisy images (dose, segment, y, x) of one sample."""
    picometres = round(sample.thickness_nm * 1000)
    key = (sample.orientation.index, sample.rotation_index, picometres)
    return np.stack(
        [
            add_noise(
                rendered.segments, dose, sampling, noise.readout_electrons,
                generator(seed, material, "noise", *key, round(dose * 1000)),
            )
            for dose in noise.evaluation_doses
        ]
    )  # fmt: skip


def _image_array(
    group: zarr.Group, name: str, shape: tuple[int, ...], dimensions: tuple[str, ...], **attributes: Any
) -> zarr.Array[Any]:
    chunks = (1, *shape[1:])
    # Shards of equal size even for a short set: the file layout does not depend on the number of samples.
    return group.create_array(
        name,
        shape=shape,
        dtype="float32",
        chunks=chunks,
        shards=(SHARD_SAMPLES, *shape[1:]),
        dimension_names=dimensions,
        attributes=dict(attributes),
    )


def _coordinate(
    group: zarr.Group,
    name: str,
    values: Sequence[Any],
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
        with warnings.catch_warnings():
            # One metadata file makes opening fast; readers that do not know the extension ignore it.
            warnings.filterwarnings("ignore", "Consolidated metadata", category=UserWarning)
            zarr.consolidate_metadata(temporary, zarr_format=3)


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


def read_split(path: str | Path, split: Split) -> list[MaterialData]:
    """
    Read one split of every material into memory.

    Parameters
    ----------
    path : path
        Assembled store.
    split : {'train', 'validation', 'test'}
        Which samples.

    Returns
    -------
    list of MaterialData
        One a material, in the order of their names.
    """
    root = open_dataset(path)
    return [_read_material(name, group, split) for name, group in sorted(root.groups())]


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
