"""Samples for training and judging networks, rendered from the packed images."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from benchmarks.gpu.data import Material, Packed
from iphasenet.dataset.material_data import MaterialData
from iphasenet.microscope.acquisition import Acquisition, FixedNoise, TrainingNoise
from iphasenet.simulation.grid import Sample, Split
from iphasenet.simulation.image import Image
from iphasenet.simulation.noise import fixed_noise
from iphasenet.simulation.rendering import Rendered, render_sample, sample_metadata
from iphasenet.training.rendered_frames import RenderedFrames, SimulatedMaterial

DOSE = 1e5
"""Dose at which networks are judged [e/Å²]."""


def training_noise(packed: Packed) -> TrainingNoise:
    """Noise of training crops."""
    noise = packed.configuration["noise"]
    return TrainingNoise(noise["training_dose"], Acquisition(**noise["acquisition"]))


def crop_frames(packed: Packed, image: Image) -> RenderedFrames:
    """Frames of all training tilts, rendered when they are needed."""
    thickness = packed.numerics.slice_thickness_angstrom
    data = [
        SimulatedMaterial(
            material.name,
            _split(packed, material, "train"),
            material.images,
            material.drawn(image.sampling_angstrom),
            thickness,
        )
        for material in packed.materials
    ]
    return RenderedFrames(data, image)


def rendered_split(packed: Packed, split: Split, image: Image, count: int, noisy: bool = True) -> list[MaterialData]:
    """
    Render samples of every crystal.

    Parameters
    ----------
    packed : Packed
        Periodic images.
    split : {'train', 'validation', 'test'}
        Whose tilts.
    image : Image
        Pixels.
    count : int
        Samples of each crystal at most, evenly among all.
    noisy : bool
        Whether they carry the fixed noise of `DOSE`.

    Returns
    -------
    list of MaterialData
        One a crystal.
    """
    return [_rendered(packed, material, split, image, count, noisy) for material in packed.materials]


def planned_split(packed: Packed, split: Split, sampling: float) -> list[MaterialData]:
    """Say what all samples of a split are, on pixels of some size [Å], without their images."""
    none, found = np.zeros((0, 4, 1, 1), np.float32), []
    for material in packed.materials:
        known = [
            sample_metadata(sample, float(images.depths[sample.thickness_index]), (0.0, 0.0))
            for sample in _split(packed, material, split)
            for images in (material.images[sample.orientation.index],)
        ]
        coordinates = {key: np.array([one[key] for one in known]) for key in known[0]}
        found.append(
            MaterialData(material.name, none, none[:, 0], none[:, None], np.array([DOSE]), sampling, coordinates)
        )
    return found


def _split(packed: Packed, material: Material, split: Split) -> list[Sample]:
    return [sample for sample in packed.planned(material.name) if sample.orientation.split == split]


def _rendered(packed: Packed, material: Material, split: Split, image: Image, count: int, noisy: bool) -> MaterialData:
    # Neighbours differ in tilt and rotation: a stride meets every thickness.
    every = sorted(_split(packed, material, split), key=lambda sample: sample.thickness_index)
    chosen = [every[i] for i in np.unique(np.linspace(0, len(every) - 1, min(count, len(every))).round().astype(int))]
    potential = material.drawn(image.sampling_angstrom)
    slicing = potential.slicing(packed.numerics.slice_thickness_angstrom)

    def one(sample: Sample) -> Rendered:
        return render_sample(sample, material.images[sample.orientation.index], potential, slicing, image)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(one, chosen))
        noise = FixedNoise((DOSE,), Acquisition(**packed.configuration["noise"]["acquisition"]))
        draw = partial(fixed_noise, noise=noise, image=image, seed=packed.configuration["seed"], material=material.name)
        drawn = list(pool.map(draw, [one.segments for one in found], chosen)) if noisy else []
    keys = found[0].metadata.keys()
    return MaterialData(
        material=material.name,
        segments=np.stack([one.segments for one in found]),
        potential=np.stack([one.potential for one in found]),
        noisy_segments=np.stack(drawn).astype(np.float32) if drawn else np.zeros((0, 1, 4, 1, 1), np.float32),
        doses=np.array([DOSE]),
        sampling=image.sampling_angstrom,
        coordinates={key: np.array([one.metadata[key] for one in found]) for key in keys},
    )


def as_npz(data: Sequence[MaterialData], folder: Any) -> None:
    """Write samples as the published loader reads them (`microscope_files.export.export_npz`), as far as it does."""
    for material in data:
        for number in range(len(material.potential)):
            thickness, alpha, beta, gamma = material.metadata[number]
            np.savez(
                folder / f"{material.material}-{number}.npz",
                input=material.segments[number].astype(np.float16),
                potential=material.potential[number],
                thickness_nm=thickness,
                rotation=np.array([gamma, alpha, beta], np.float32),
            )
