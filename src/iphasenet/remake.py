"""One sample of a data set again, from its crystal structure alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from iphasenet.config import potential_image_sampling
from iphasenet.errors import InputError
from iphasenet.images import simulate_images
from iphasenet.noise import Acquisition, FixedNoise
from iphasenet.numerics import Numerics, sampled_potential
from iphasenet.optics import Microscope
from iphasenet.render import Image, Rendered, render_sample
from iphasenet.sampling import Grid, Sample, samples
from iphasenet.simulation import Progress
from iphasenet.slab_samples import simulate_slabs
from iphasenet.store import fixed_noise
from iphasenet.structure import orthogonal_cell, read_structure


@dataclass(frozen=True)
class Remade:
    """
    A sample made again.

    Attributes
    ----------
    material : str
        Its crystal.
    rendered : Rendered
        Noise-free images, potential and metadata.
    noisy_segments : (dose, 4, y, x) float16 array, or None
        Images with fixed noise of a validation or test sample.
    """

    material: str
    rendered: Rendered
    noisy_segments: NDArray[np.float16] | None


def find_sample(configuration: Mapping[str, Any], sample_id: str) -> tuple[str, Sample]:
    """
    Find a sample in the plan of a data set.

    Parameters
    ----------
    configuration : mapping
        Configuration that the data set's root attributes hold.
    sample_id : str
        Name of the sample.

    Returns
    -------
    material : str
        Name of its material.
    sample : Sample
        Its tilt, rotation, thickness and offset.

    Raises
    ------
    InputError
        Where there is no such sample.
    """
    grid = Grid(**configuration["grid"])
    for material in configuration["materials"]:
        if sample_id.startswith(f"{material}-tilt"):
            planned = samples(configuration["seed"], material, grid)
            for sample in planned:
                if sample.sample_id == sample_id:
                    return material, sample
            raise InputError(
                f"sample: found {sample_id!r}; allowed: {planned[0].sample_id} ... {planned[-1].sample_id}"
            )
    allowed = ", ".join(configuration["materials"])
    raise InputError(f"sample: found {sample_id!r}; allowed: MATERIAL-tilt... of {allowed}")


def remake_sample(
    configuration: Mapping[str, Any],
    sample_id: str,
    folder: Path = Path(),
    device: str = "cpu",
    memory_mb: float = 2000.0,
    progress: Progress | None = None,
) -> Remade:
    """
    Simulate, render and add noise for one sample, as the workflow did.

    The bytes are those of the data set where processor, library versions and device are the same.

    Parameters
    ----------
    configuration : mapping
        Configuration that the data set's root attributes hold.
    sample_id : str
        Name of the sample.
    folder : Path
        Folder that the paths of the structures are relative to.
    device : str
        Torch device.
    memory_mb : float
        Memory for the waves [MB].
    progress : callable, optional
        Called with the number of plane waves done so far and that of all.

    Returns
    -------
    Remade
        The sample.
    """
    material, sample = find_sample(configuration, sample_id)
    # One thread, as in the workflow: sums are taken in the same order.
    torch.set_num_threads(1)
    render = _periodic if sample.orientation.is_periodic else _slab
    image = Image(**configuration["image"])
    numerics = Numerics(**configuration["simulation"]["multislice"], memory_mb=memory_mb)
    crystal = configuration["materials"][material]
    cell = orthogonal_cell(read_structure(folder / crystal["cif"]), tuple(crystal["zone_axis"]))
    rendered = render(configuration, material, sample, cell, image, numerics, device, progress)
    noisy = None
    if sample.orientation.split != "train":
        settings = configuration["noise"]
        noise = FixedNoise(settings["evaluation_doses"], Acquisition(**settings["acquisition"]))
        noisy = fixed_noise(rendered.segments, sample, noise, image, configuration["seed"], material)
    return Remade(material, rendered, noisy)


def _periodic(
    configuration: Mapping[str, Any],
    material: str,
    sample: Sample,
    cell: Atoms,
    image: Image,
    numerics: Numerics,
    device: str,
    progress: Progress | None,
) -> Rendered:
    """All rotations and thicknesses of the tilt, as the workflow's job has them."""
    potential = sampled_potential(
        cell,
        numerics.sampling_angstrom,
        potential_image_sampling(configuration),
        configuration["simulation"]["parametrization"],
        configuration["materials"][material].get("rms_displacement_angstrom"),
    )
    images = simulate_images(
        potential,
        Microscope(**configuration["optics"]),
        numerics,
        [10 * thickness for thickness in Grid(**configuration["grid"]).thickness_nm],
        sample.orientation.tilt,
        sample.orientation.rotations_deg,
        device,
        progress=progress,
    )
    return render_sample(sample, images, potential, potential.slicing(numerics.slice_thickness_angstrom), image)


def _slab(
    configuration: Mapping[str, Any],
    material: str,
    sample: Sample,
    cell: Atoms,
    image: Image,
    numerics: Numerics,
    device: str,
    progress: Progress | None,
) -> Rendered:
    """All thicknesses of the rotation, in one pass."""
    planned = [
        other
        for other in samples(configuration["seed"], material, Grid(**configuration["grid"]))
        if (other.orientation, other.rotation_index) == (sample.orientation, sample.rotation_index)
    ]
    made = simulate_slabs(
        planned,
        cell,
        Microscope(**configuration["optics"]),
        numerics,
        image,
        configuration["simulation"]["parametrization"],
        configuration["materials"][material].get("rms_displacement_angstrom"),
        device,
        progress,
    )
    return list(made)[planned.index(sample)]
