"""Data of the crystals in a packed folder: potentials, periodic images of all tilts, references, configuration.

Images are real, so that half the plane of a Fourier series suffices. It is stored as half-precision numbers relative to
the largest of each image, which rounds a coefficient by at most 0.05 % of itself. One tilt of each crystal is also
stored in single precision, for comparison with the GPU's own simulation.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.files import atomic_file
from iphasenet.base.reading import read_arrays, read_json
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.dataset.names import file_name
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.periodic_images import PeriodicImages, load_images, save_images, stacked
from iphasenet.multislice.settings import Numerics
from iphasenet.simulation.grid import Grid, Sample, samples

CONFIGURATION, PHONONS = "configuration.json", "phonons.npz"
_CONFIGURATIONS = ("configuration", "full", "published", "phonons")


@dataclass(frozen=True)
class Material:
    """
    A crystal and its images.

    Attributes
    ----------
    name : str
        Its name.
    potential : CrystalPotential
        Potential of its cell, up to the frequencies of the finest multislice.
    images : mapping of int to PeriodicImages
        Series of each tilt.
    reference : PeriodicImages
        Series of the first tilt by a CPU.
    """

    name: str
    potential: CrystalPotential
    images: Mapping[int, PeriodicImages]
    reference: PeriodicImages

    def drawn(self, sampling: float) -> CrystalPotential:
        """Potential up to the frequencies of images with a pixel [Å] alone: what is rendered of it takes less."""
        _, ny, nx = self.potential.form_factors.shape
        highest = np.sqrt(0.5) / sampling
        my, mx = (
            min(size // 2, int(np.ceil(highest * length)))
            for size, length in ((ny, self.potential.lengths[1]), (nx, self.potential.lengths[0]))
        )
        part = (slice(None), slice(ny // 2 - my, ny // 2 + my + 1), slice(nx // 2 - mx, nx // 2 + mx + 1))
        return replace(self.potential, form_factors=self.potential.form_factors[part])


@dataclass(frozen=True)
class Packed:
    """
    All data in a packed folder.

    Attributes
    ----------
    configuration : mapping
        Configuration of the run that simulated the images.
    full, published : mapping
        config/config.yaml, and config/published.yaml upon it.
    phonons : mapping
        Settings of the slab with frozen phonons: material, thickness [Å], slice [Å], numerics, displacements [Å] of its
        elements.
    materials : tuple of Material
        The crystals.
    folder : path
        Folder of the data.
    """

    configuration: Mapping[str, Any]
    full: Mapping[str, Any]
    published: Mapping[str, Any]
    phonons: Mapping[str, Any]
    materials: tuple[Material, ...]
    folder: Path

    @property
    def grid(self) -> Grid:
        """Tilts, rotations and thicknesses."""
        return Grid(**self.configuration["grid"])

    @property
    def microscope(self) -> Microscope:
        """Probe and detectors."""
        return Microscope(**self.configuration["optics"])

    @property
    def numerics(self) -> Numerics:
        """Numerics of the images."""
        return Numerics(**self.configuration["simulation"]["multislice"])

    @property
    def finest(self) -> Numerics:
        """Numerics of config/config.yaml."""
        return Numerics(**self.full["simulation"]["multislice"])

    def slab(self) -> CrystalPotential:
        """Potential of the slab with frozen phonons, atoms at rest."""
        return CrystalPotential.load(self.folder / PHONONS)

    def planned(self, material: str) -> list[Sample]:
        """Plan the samples of a crystal."""
        return samples(self.configuration["seed"], material, self.grid)


def write_data(packed: Packed) -> None:
    """Write crystals and configuration into the folder; the slab with frozen phonons is written by itself."""
    for material in packed.materials:
        name = file_name(material.name)
        single = replace(material.potential, form_factors=material.potential.form_factors.astype(np.float32))
        single.save(packed.folder / f"{name}-potential.npz")
        save_images(packed.folder / f"{name}-reference.npz", [material.reference])
        _write_half(packed.folder / f"{name}-images.npz", material.images)
    known = {name: getattr(packed, name) for name in _CONFIGURATIONS}
    named = {**known, "materials": [material.name for material in packed.materials]}
    with atomic_file(packed.folder / CONFIGURATION) as temporary:
        temporary.write_text(json.dumps(named, indent=1), encoding="utf-8")


def read_data(folder: Path) -> Packed:
    """Read what `write_data` wrote; InputError names a file that is missing or damaged."""
    known = read_json(folder / CONFIGURATION)
    materials = []
    for name in known["materials"]:
        potential = CrystalPotential.load(folder / f"{name}-potential.npz")
        (reference,) = load_images(folder / f"{name}-reference.npz")
        materials.append(Material(name, potential, _read_half(folder / f"{name}-images.npz"), reference))
    return Packed(**{name: known[name] for name in _CONFIGURATIONS}, materials=tuple(materials), folder=folder)


def _write_half(path: Path, images: Mapping[int, PeriodicImages]) -> None:
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **half_arrays(images))


def _read_half(path: Path) -> dict[int, PeriodicImages]:
    return whole_images(read_arrays(path, *HALF))


HALF = ("lengths", "thicknesses", "tilts", "rotations", "shape", "places", "scales", "parts")
"""Arrays of `half_arrays`."""

_OCCURRING = 1e-6
"""Share of the largest coefficient below which one does not occur, as those that a centred lattice does not have."""


def half_arrays(images: Mapping[int, PeriodicImages]) -> dict[str, NDArray[Any]]:
    """
    Series of a crystal's tilts in half precision: terms of half of the plane, without those that do not occur.

    Parameters
    ----------
    images : mapping of int to PeriodicImages
        Series of each tilt, of one grid; where their optics differ, some may have fewer coefficients.

    Returns
    -------
    dict
        Arrays `HALF`.
    """
    first, series = next(iter(images.values())), stacked(list(images.values()))
    rows, columns = series.shape[-2:]
    half = series.reshape(*series.shape[:-2], -1)[..., rows * columns // 2 :]
    largest = np.abs(half).max(axis=tuple(range(half.ndim - 1)))
    # The constant term is the first.
    places = np.union1d([0], np.flatnonzero(largest >= _OCCURRING * largest.max()))
    half = half[..., places]
    scales = np.maximum(np.abs(half).max(axis=-1, keepdims=True), np.finfo(np.float32).tiny).astype(np.float32)
    return {
        "lengths": np.array(first.lengths),
        "thicknesses": first.depths,
        "tilts": np.array(list(images)),
        "rotations": np.stack([one.rotations for one in images.values()]),
        "shape": np.array([rows, columns]),
        "places": places,
        "scales": scales,
        "parts": np.stack([half.real / scales, half.imag / scales], axis=-1).astype(np.float16),
    }


def whole_images(data: Mapping[str, NDArray[Any]]) -> dict[int, PeriodicImages]:
    """Series of each tilt, from the arrays that `half_arrays` made."""
    lengths = (float(data["lengths"][0]), float(data["lengths"][1]))
    rows, columns = map(int, data["shape"])
    found = {}
    for tilt, rotations, scales, parts in zip(
        data["tilts"], data["rotations"], data["scales"], data["parts"], strict=True
    ):
        terms = scales * parts.astype(np.float32).view(np.complex64)[..., 0]
        numbers = np.zeros((*terms.shape[:-1], rows * columns // 2 + 1), np.complex64)
        numbers[..., data["places"]] = terms
        # The other half-plane is the first one's conjugate, seen from the centre.
        whole = np.concatenate([numbers[..., :0:-1].conj(), numbers], axis=-1)
        series = whole.reshape(*whole.shape[:-1], rows, columns)
        found[int(tilt)] = PeriodicImages(lengths, data["thicknesses"], rotations, series)
    return found
