"""Make one sample of a data set again from its crystal structure and settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from iphasenet.base.devices import use_threads
from iphasenet.base.errors import InputError
from iphasenet.crystal.structure import crystal_cell
from iphasenet.microscope.acquisition import Acquisition, FixedNoise
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.multislice.periodic_images import simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.planning.configuration import potential_image_sampling, temperature
from iphasenet.simulation.drawn_optics import PlannedOptics
from iphasenet.simulation.grid import Grid, Sample, random_key, samples
from iphasenet.simulation.image import Image
from iphasenet.simulation.noise import fixed_noise
from iphasenet.simulation.rendering import Rendered, render_sample
from iphasenet.simulation.slabs import simulate_slabs
from iphasenet.simulation.specimen import Progress
from iphasenet.simulation.truth import configured_truth, truth_potential


@dataclass(frozen=True)
class Remade:
    """
    A sample made again.

    Attributes
    ----------
    material : str
        Name of its material.
    rendered : Rendered
        Noise-free images, potential and metadata.
    noisy_segments : (dose, 4, y, x) float16 array, or None
        Images with fixed noise; None for a training sample.
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
        If there is no such sample.
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
    raise InputError(f"sample: found {sample_id!r}; allowed: MATERIAL-tilt... with a MATERIAL of {allowed}")


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

    The bytes are those of the data set if processor, library versions and device are the same.

    Parameters
    ----------
    configuration : mapping
        Configuration that the data set's root attributes hold.
    sample_id : str
        Name of the sample.
    folder : Path
        Folder to which the paths of the structures are relative.
    device : str
        Torch device.
    memory_mb : float
        Memory that the waves may take [MB].
    progress : callable, optional
        Called with the numbers of plane waves done so far and in all.

    Returns
    -------
    Remade
        The sample.
    """
    material, sample = find_sample(configuration, sample_id)
    crystal = configuration["materials"][material]
    cell = crystal_cell(crystal, folder, temperature(configuration))
    recipe = _Recipe(configuration, material, sample, cell, device, memory_mb, progress)
    # As in the workflow, so that sums are taken in the same order.
    with use_threads(1):
        rendered = recipe.periodic() if sample.orientation.is_periodic else recipe.slab()
    noisy = None
    if sample.orientation.split != "train":
        settings = configuration["noise"]
        noise = FixedNoise(settings["evaluation_doses"], Acquisition(**settings["acquisition"]))
        noisy = fixed_noise(rendered.segments, sample, noise, recipe.image, configuration["seed"], material)
    return Remade(material, rendered, noisy)


@dataclass(frozen=True)
class _Recipe:
    """Inputs of one sample, as the workflow's jobs read them from the configuration."""

    configuration: Mapping[str, Any]
    material: str
    sample: Sample
    cell: Atoms
    device: str
    memory_mb: float
    progress: Progress | None

    @property
    def image(self) -> Image:
        return Image(**self.configuration["image"])

    @property
    def optics(self) -> PlannedOptics:
        return PlannedOptics.of(self.configuration)

    @property
    def numerics(self) -> Numerics:
        return Numerics(**self.configuration["simulation"]["multislice"], memory_mb=self.memory_mb)

    @property
    def parametrization(self) -> str:
        return str(self.configuration["simulation"]["parametrization"])

    @property
    def seed(self) -> tuple[int, ...]:
        """Seed of the displacements of the tilt."""
        return random_key(self.configuration["seed"], self.material, "thermal", self.sample.orientation.index)

    def periodic(self) -> Rendered:
        """Simulate all rotations and thicknesses of the tilt, and render one."""
        finest = potential_image_sampling(self.configuration)
        potential = sampled_potential(self.cell, self.numerics.sampling_angstrom, finest, self.parametrization)
        images = simulate_images(
            potential,
            self.optics.rotations(
                self.material, self.sample.orientation.index, len(self.sample.orientation.rotations_deg)
            ),
            self.numerics,
            [10 * thickness for thickness in Grid(**self.configuration["grid"]).thickness_nm],
            self.sample.orientation.lean,
            self.sample.orientation.rotations_deg,
            self.device,
            progress=self.progress,
            seed=self.seed,
        )
        slicing = potential.slicing(self.numerics.slice_thickness_angstrom)
        truth = truth_potential(potential, configured_truth(self.configuration))
        recorded = self.optics.recorded(self.material, self.sample)
        return render_sample(self.sample, images, truth, slicing, self.image, recorded)

    def slab(self) -> Rendered:
        """Simulate all thicknesses of the rotation, and take one."""
        planned = [
            other
            for other in samples(self.configuration["seed"], self.material, Grid(**self.configuration["grid"]))
            if (other.orientation, other.rotation_index) == (self.sample.orientation, self.sample.rotation_index)
        ]
        made = simulate_slabs(
            planned,
            self.cell,
            self.optics,
            self.numerics,
            self.image,
            self.parametrization,
            device=self.device,
            progress=self.progress,
            seed=self.seed,
            truth=configured_truth(self.configuration),
            material=self.material,
        )
        return list(made)[planned.index(self.sample)]
