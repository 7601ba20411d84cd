"""Samples of a data set whose crystal has no small cell: any orientation, a vacuum edge, a wedge."""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from ase import Atoms

from iphasenet.base.files import atomic_file
from iphasenet.base.reading import read_arrays, whole_file
from iphasenet.multislice.settings import Numerics
from iphasenet.simulation.drawn_optics import PlannedOptics
from iphasenet.simulation.grid import Sample
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Rendered, sample_metadata
from iphasenet.simulation.specimen import Progress, Simulator, Specimen
from iphasenet.simulation.tilts import lab_angles
from iphasenet.simulation.truth import Truth


def simulate_slabs(
    planned: Sequence[Sample],
    cell: Atoms,
    optics: PlannedOptics,
    numerics: Numerics,
    image: Image,
    parametrization: str = "lobato",
    device: str = "cpu",
    progress: Progress | None = None,
    seed: Sequence[int] = (0,),
    truth: Truth = "thermal",
    material: str = "",
) -> Iterator[Rendered]:
    """
    Simulate the samples of one orientation as slabs of atoms: one multislice pass per rotation for all thicknesses.

    Parameters
    ----------
    planned : sequence of Sample
        Samples of one orientation, by rotation and thickness.
    cell : ase.Atoms
        Orthogonal cell of the crystal.
    optics : PlannedOptics
        Microscope of each rotation.
    numerics, image, parametrization, device, progress, truth
        As in `iphasenet.simulation.specimen`.
    seed : sequence of int
        Seed of this orientation; each rotation has its own displacements and occupation.
    material : str
        Name of the material, part of the key of drawn optics.

    Yields
    ------
    Rendered
        One sample after another, in their order.
    """
    for _, group in groupby(planned, key=lambda sample: sample.rotation_index):
        thicknesses = list(group)
        first = thicknesses[0]
        specimen = Specimen(
            cell,
            thickness_nm=tuple(sample.thickness_nm for sample in thicknesses),
            tilt_deg=lab_angles(first),
            rotation_deg=first.gamma,
            offset=first.offset,
            seed=_seed((*seed, first.rotation_index)),
            shape=first.orientation.shape,
        )
        microscope = optics.of_sample(material, first)
        data = Simulator(microscope, numerics, image, parametrization, device, truth).simulate(specimen, progress)
        for index, sample in enumerate(thicknesses):
            one = data.isel(thickness=index)
            noise = float(one["thermal_noise"]) if "thermal_noise" in one else None
            metadata = sample_metadata(sample, 10 * float(one["thickness"]), specimen.point[:2], noise)
            metadata |= optics.recorded(material, sample)
            yield Rendered(one["segments"].values, one["potential"].values, metadata)


def _seed(key: Sequence[int]) -> int:
    """One seed that a key of several numbers gives."""
    return int(np.random.SeedSequence(key).generate_state(1)[0])


def save_rendered(path: str | Path, rendered: Sequence[Rendered]) -> None:
    """Write samples to an .npz file, which appears whole or not at all."""
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            segments=np.stack([sample.segments for sample in rendered]),
            potential=np.stack([sample.potential for sample in rendered]),
            metadata=np.array([json.dumps(sample.metadata) for sample in rendered]),
        )


def load_rendered(path: str | Path) -> list[Rendered]:
    """Read what `save_rendered` wrote; InputError names a damaged file."""
    data = read_arrays(path, "segments", "potential", "metadata")
    with whole_file(Path(path), "samples of slabs"):
        columns = zip(data["segments"], data["potential"], data["metadata"], strict=True)
        return [Rendered(segments, potential, json.loads(str(text))) for segments, potential, text in columns]
