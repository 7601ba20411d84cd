"""Writing of the data set: a sharded Zarr v3 store with one group per material, which xarray opens.

Every rendered material is a store of its own; assembling copies their files unchanged into one store.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec

from iphasenet.base.checksums import check_files, listed_files
from iphasenet.base.marks import UNLISTED
from iphasenet.base.seals import GUARDED, open_store, sealed_store
from iphasenet.base.storage import Folder
from iphasenet.dataset.names import material_of
from iphasenet.microscope.acquisition import FixedNoise
from iphasenet.microscope.detector import SEGMENTS
from iphasenet.simulation.grid import SPLITS, Sample
from iphasenet.simulation.image import Image
from iphasenet.simulation.noise import fixed_noise
from iphasenet.simulation.rendering import Rendered

FORMAT_VERSION = "2"

STRUCTURE = "structure"
"""Attribute of a material's group: the hash of its structure, whatever its name (`iphasenet.crystal.identity`)."""

TEMPERATURE = "temperature_k"
"""Attribute of a material's group: the temperature of its atoms' motion [K]. At rest there is none."""

THERMAL_MOTION = "thermal_motion"
"""Attribute of the group, where atoms move: rms displacement [Å] and its source by element."""

SHARD_SAMPLES = 64
"""Samples in one shard, which is one file. Each sample is one chunk, readable without its neighbours."""

COORDINATES: dict[str, tuple[str, dict[str, Any]]] = {
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

SHAPE_COORDINATES: dict[str, tuple[str, dict[str, Any]]] = {
    "edge_azimuth": ("float64", {"units": "degrees", "description": "direction from x to y in which vacuum lies"}),
    "edge_distance": ("float64", {"units": "1", "description": "edge from the image's centre, over half its side"}),
    "wedge_azimuth": ("float64", {"units": "degrees", "description": "direction from x to y in which it gets thinner"}),
    "wedge_angle": ("float64", {"units": "degrees", "description": "inclination of the entrance surface"}),
}
"""Coordinates of a store with edges or wedges only; NaN for samples without."""

THERMAL_COORDINATES: dict[str, tuple[str, dict[str, Any]]] = {
    "thermal_noise": (
        "float64",
        {
            "units": "1",
            "description": "standard error of the mean over thermal motion, over the images' contrast; "
            "an upper bound after a single pass",
        },
    ),
}
"""Coordinates of a store whose group has a `TEMPERATURE` only; NaN for samples of which the noise is not known."""

OPTICS_COORDINATES: dict[str, tuple[str, dict[str, Any]]] = {
    "defocus": ("float64", {"units": "Å", "description": "defocus of the probe, -C10"}),
    "cs": ("float64", {"units": "Å", "description": "spherical aberration C30"}),
    "astigmatism": ("float64", {"units": "Å", "description": "twofold astigmatism C12"}),
    "astigmatism_angle": ("float64", {"units": "degrees", "description": "its angle phi12, from x to y"}),
    "source_size": ("float64", {"units": "Å", "description": "standard deviation of the Gaussian source"}),
    "semiangle": ("float64", {"units": "mrad", "description": "convergence semiangle"}),
    "detector_inner": ("float64", {"units": "mrad", "description": "inner collection angle"}),
    "detector_outer": ("float64", {"units": "mrad", "description": "outer collection angle"}),
}
"""Coordinates of a store whose optics were drawn for each tilt and rotation only."""


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
    Write the store of one material, sealed; it appears whole or not at all.

    Parameters
    ----------
    path : path
        Store to be made.
    rendered : iterator of Rendered
        Arrays of the samples, in the order of `samples`.
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
    with sealed_store(path, "material") as temporary:
        group = zarr.open_group(temporary, mode="w", zarr_format=3)
        group.attrs.update({"material": material, "seed": seed, **attributes})
        arrays = _create_images(group, len(samples), len(evaluated), noise, image)
        segments, potential, noisy = (_ShardWriter(array) for array in arrays)
        metadata: list[dict[str, Any]] = []
        for sample, result in zip(samples, rendered, strict=True):
            segments.append(result.segments)
            potential.append(result.potential)
            metadata.append(result.metadata)
            if sample.orientation.split != "train":
                noisy.append(fixed_noise(result.segments, sample, noise, image, seed, material))
        for writer in (segments, potential, noisy):
            writer.flush()
        _write_coordinates(group, metadata, evaluated, noise, image)


class _ShardWriter:
    """Appends samples to an array, one whole shard at a time: part of a shard would be read and written again."""

    def __init__(self, array: zarr.Array[Any]) -> None:
        self.array, self.start, self.waiting = array, 0, list[NDArray[Any]]()

    def append(self, sample: NDArray[Any]) -> None:
        self.waiting.append(sample)
        if len(self.waiting) == SHARD_SAMPLES:
            self.flush()

    def flush(self) -> None:
        if self.waiting:
            stop = self.start + len(self.waiting)
            self.array[self.start : stop] = np.stack(self.waiting)
            self.start, self.waiting = stop, []


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
            "float16",
        ),
    )


def _image_array(
    group: zarr.Group, name: str, sizes: Mapping[str, int], attributes: Mapping[str, Any], dtype: str = "float32"
) -> zarr.Array[Any]:
    shape = tuple(sizes.values())
    return group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=(1, *shape[1:]),
        # Shards are equal even in a short set, so that the layout does not depend on the number of samples.
        shards=(SHARD_SAMPLES, *shape[1:]),
        compressors=GUARDED,
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
    optional = {**SHAPE_COORDINATES, **OPTICS_COORDINATES}
    some = {name: entry for name, entry in optional.items() if any(name in row for row in metadata)}
    thermal = THERMAL_COORDINATES if TEMPERATURE in group.attrs else {}
    group.attrs["coordinates"] = " ".join([*COORDINATES, *some, *thermal])
    for name, (dtype, attributes) in {**COORDINATES, **some, **thermal}.items():
        _coordinate(group, name, [row.get(name, np.nan) for row in metadata], dtype, "sample", attributes)
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
        compressors=(Crc32cCodec(),),
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
        Store of each material, as `write_material` wrote it.
    attributes : mapping
        Attributes of the root: configuration, seed, versions, licence.

    Raises
    ------
    InputError
        If a store is damaged, or belongs to another material.
    """
    known: dict[str, str] = {}
    with sealed_store(path, "dataset", known) as temporary:
        root = zarr.open_group(temporary, mode="w", zarr_format=3)
        root.attrs.update(json.loads(json.dumps({"format_version": FORMAT_VERSION, **attributes})))
        for name, source in materials.items():
            material_of(open_store(source, "material"), name)
            check_files(source)
            shutil.copytree(source, temporary / name, ignore=shutil.ignore_patterns(*UNLISTED))
            known |= {f"{name}/{file}": checksum for file, checksum in listed_files(Folder(source)).items()}
