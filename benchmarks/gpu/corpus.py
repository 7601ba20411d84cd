"""A corpus in a packed folder: potentials and images, from which a network for any crystal is trained there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.data import HALF, half_arrays, whole_images
from iphasenet.base.files import atomic_file
from iphasenet.base.reading import read_json
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.multislice.periodic_images import PeriodicImages
from iphasenet.simulation.grid import Grid, Orientation, Split, orientations

FOLDER, PLAN, ARRAYS = "corpus", "plan.json", "arrays.npz"

_PARTS = ("lengths", "positions", "elements", "translations", "displacements", "occupancies")
_FORM_FACTORS, _SCATTERING = "quarter", "tables"


@dataclass(frozen=True)
class Corpus:
    """
    Crystals along their zone axes, and the configuration of their simulation and of the network.

    Attributes
    ----------
    configuration : mapping
        Configuration of the run.
    splits : mapping
        Split of each material: those of training and validation.
    potentials : mapping
        Potential of each material.
    images : mapping
        Series of the tilts that were simulated, by material and index.
    """

    configuration: Mapping[str, Any]
    splits: Mapping[str, Split]
    potentials: Mapping[str, CrystalPotential]
    images: Mapping[str, Mapping[int, PeriodicImages]]


def planned_tilts(configuration: Mapping[str, Any], name: str, split: Split) -> list[Orientation]:
    """Tilts of a material that train or validate: of crystals that are trained on, those of the test split test."""
    tilts = orientations(configuration["seed"], name, Grid(**configuration["grid"]))
    return [tilt for tilt in tilts if tilt.split != "test"] if split == "train" else tilts[:2]


def write_corpus(corpus: Corpus, folder: Path) -> None:
    """
    Write a corpus: a quarter of each form factor, which is even along both axes, and each element's scattering once.

    Parameters
    ----------
    corpus : Corpus
        What to write.
    folder : path
        Folder to be made.
    """
    folder.mkdir(parents=True)
    elements: dict[bytes, int] = {}
    arrays: dict[str, Any] = {}
    for name, potential in corpus.potentials.items():
        _, ny, nx = potential.form_factors.shape
        quarter = potential.form_factors[:, ny // 2 :, nx // 2 :].astype(np.float32)
        parts = {part: getattr(potential, part) for part in _PARTS} | {_FORM_FACTORS: quarter}
        parts["translations"] = np.array(potential.translations, np.int64).reshape(-1, 3)
        if potential.scattering is not None:
            tables = [table.astype(np.float32) for table in potential.scattering]
            parts[_SCATTERING] = np.array([elements.setdefault(one.tobytes(), len(elements)) for one in tables])
            arrays |= {f"{elements[one.tobytes()]}": one for one in tables}
        arrays |= {f"{name}/{part}": value for part, value in parts.items() if value is not None}
    for name, images in corpus.images.items():
        arrays |= {f"{name}/images/{part}": value for part, value in half_arrays(images).items()}
    with atomic_file(folder / ARRAYS) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
    known = {"configuration": corpus.configuration, "splits": corpus.splits}
    with atomic_file(folder / PLAN) as temporary:
        temporary.write_text(json.dumps(known), encoding="utf-8")


def read_corpus(folder: Path, with_images: bool = True) -> Corpus:
    """Read what `write_corpus` wrote; without images, for a process that simulates others."""
    known = read_json(folder / PLAN)
    with np.load(folder / ARRAYS, allow_pickle=False) as file:
        potentials = {name: _potential(file, name) for name in known["splits"]}
        there = {name.removesuffix("/images/parts") for name in file if with_images and name.endswith("/images/parts")}
        images = {name: whole_images({part: file[f"{name}/images/{part}"] for part in HALF}) for name in sorted(there)}
    return Corpus(known["configuration"], known["splits"], potentials, images)


def _potential(file: Mapping[str, NDArray[Any]], name: str) -> CrystalPotential:
    parts: dict[str, Any] = {part: file[f"{name}/{part}"] for part in _PARTS if f"{name}/{part}" in file}
    quarter = file[f"{name}/{_FORM_FACTORS}"].astype(np.float64)
    half = np.concatenate([quarter[:, :, :0:-1], quarter], axis=2)
    parts["form_factors"] = np.concatenate([half[:, :0:-1], half], axis=1)
    if f"{name}/{_SCATTERING}" in file:
        parts["scattering"] = np.stack([file[str(one)] for one in file[f"{name}/{_SCATTERING}"]]).astype(np.float64)
    parts["lengths"] = tuple(map(float, parts["lengths"]))
    parts["translations"] = [(int(u), int(v), int(n)) for u, v, n in parts["translations"]]
    return CrystalPotential(**parts)
