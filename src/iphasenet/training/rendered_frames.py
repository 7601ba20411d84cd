"""Frames that are rendered from periodic images when needed: new places and rotations of the same tilts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from iphasenet.base.devices import send
from iphasenet.base.errors import InputError
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.multislice.periodic_images import PeriodicImages, load_images
from iphasenet.simulation.grid import NOTHING, Grid, LeftOut, Sample, samples
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Field, Series
from iphasenet.simulation.tilts import lab_angles
from iphasenet.simulation.truth import configured_truth, truth_potential
from iphasenet.training.frames import Frame, Wanted

_CACHED = 2**16
"""Pixels of the crops that a CPU distorts together; more do not fit into its cache."""


@dataclass(frozen=True)
class SimulatedMaterial:
    """
    Periodic images of a material's training tilts.

    Attributes
    ----------
    material : str
        Name of the material.
    planned : sequence of Sample
        Training samples: their tilts and thicknesses are used, their rotations and places are not.
    images : mapping
        Series of each tilt.
    potential : CrystalPotential
        Potential of the cell whose projection is the truth.
    slice_thickness : float
        Atomic layers this close form one slice [Å].
    """

    material: str
    planned: Sequence[Sample]
    images: Mapping[int, PeriodicImages]
    potential: CrystalPotential
    slice_thickness: float

    def visible(self, sampling: float) -> tuple[Series, Series]:
        """
        Series of images and projected potentials, limited to frequencies that pixels of size `sampling` [Å] show.

        Returns
        -------
        segments : Series
            (tilt, thickness, rotation, segment, term), fractions of the beam current.
        potential : Series
            (tilt, thickness, term) [V Å].
        """
        lengths, slicing = self.potential.lengths[:2], self.potential.slicing(self.slice_thickness)
        segments, slabs = [], []
        for number, tilt in self.tilts.items():
            images = self.images[number]
            projected = [self.potential.projected(slicing, slicing.nearest(t), tilt) for t in images.depths]
            segments.append(Series.visible(images.coefficients, lengths, sampling))
            slabs.append(Series.visible(np.stack(projected), lengths, sampling))
        stacked = [replace(part[0], terms=torch.stack([one.terms for one in part])) for part in (segments, slabs)]
        return stacked[0], stacked[1]

    @cached_property
    def tilts(self) -> dict[int, tuple[float, float]]:
        """Tilts of the planned samples, by their numbers."""
        return {sample.orientation.index: sample.orientation.lean for sample in self.planned}


def load_simulated(
    files: Sequence[Path], configuration: Mapping[str, Any] | None, left_out: LeftOut = NOTHING
) -> list[SimulatedMaterial]:
    """
    Read the simulations of a run's training tilts.

    Parameters
    ----------
    files : sequence of path
        `potential/<material>.npz` and `images/<material>/batch<number>.npz` of all materials.
    configuration : mapping
        Configuration that the data set's root attributes hold.
    left_out : LeftOut
        Samples of which no crops are rendered.

    Returns
    -------
    list of SimulatedMaterial
        Materials in the order of their names; InputError if a simulation is missing or of another grid.
    """
    if configuration is None:
        raise InputError(
            "simulations: found a data set without its configuration; allowed: a data set that this workflow assembled"
        )
    found = [_load(files, configuration, material, left_out) for material in sorted(configuration["materials"])]
    return [simulated for simulated in found if simulated is not None]


def _load(
    files: Sequence[Path], configuration: Mapping[str, Any], material: str, left_out: LeftOut
) -> SimulatedMaterial | None:
    """Read a material's simulations and check them; None if training leaves the material out."""
    potential = [path for path in files if path.parent.name == "potential" and path.stem == material]
    batches = [path for path in files if path.parent.name == material and path.stem.startswith("batch")]
    ordered = sorted(batches, key=lambda path: int(path.stem.removeprefix("batch")))
    series = [images for path in ordered for images in load_images(path)]
    every = samples(configuration["seed"], material, Grid(**configuration["grid"]))
    planned = [sample for sample in every if sample.orientation.is_periodic]
    rotations = {sample.orientation.index: sample.orientation.rotations_deg for sample in planned}
    tilts = sorted(rotations)
    if len(potential) != 1 or len(series) != len(tilts):
        raise InputError(
            f"simulations of {material}: found {len(potential)} potentials and {len(series)} tilts; allowed: one "
            f"potential, and the data set's {len(tilts)} tilts"
        )
    if material in left_out.materials:
        return None
    images = dict(zip(tilts, series, strict=True))
    if not all(np.array_equal(images[tilt].rotations, rotations[tilt]) for tilt in tilts):
        raise InputError(f"simulations of {material}: found other rotations; allowed: those of the data set's grid")
    kept = ~left_out.mask(material, np.array([sample.thickness_nm for sample in planned]))
    return SimulatedMaterial(
        material,
        [one for one, keep in zip(planned, kept, strict=True) if keep and one.orientation.split == "train"],
        images,
        truth_potential(CrystalPotential.load(potential[0]), configured_truth(configuration)),
        configuration["simulation"]["multislice"]["slice_thickness_angstrom"],
    )


class View(NamedTuple):
    """
    Content of a crop.

    Attributes
    ----------
    material, number : int
        Indices of the material and of its planned sample, whose tilt and thickness are shown.
    place : (float, float)
        Point of the cell under the crop's centre, in fractions of the cell.
    rotation_index : int
        Index of the rotation.
    """

    material: int
    number: int
    place: tuple[float, float]
    rotation_index: int


class RenderedFrames:
    """
    Images of the size of a crop, each at a new place of the crystal and one of its simulated rotations.

    They are rendered on the device that trains. Scan noise treats the crop as the whole frame.

    Parameters
    ----------
    data : sequence of SimulatedMaterial
        Training tilts.
    image : Image
        Pixels of a crop.
    """

    def __init__(self, data: Sequence[SimulatedMaterial], image: Image) -> None:
        self.data, self.image, self.device = data, image, torch.device("cpu")
        self.series = [material.visible(image.sampling_angstrom) for material in data]
        self.rows = [{tilt: row for row, tilt in enumerate(material.tilts)} for material in data]

    @property
    def sampling(self) -> float:
        """Pixel size [Å]."""
        return self.image.sampling_angstrom

    @property
    def sizes(self) -> list[tuple[str, int]]:
        """Name of each material and number of its planned samples."""
        return [(material.material, len(material.planned)) for material in self.data]

    @property
    def sample_names(self) -> list[str]:
        """Names of the planned samples whose tilt and thickness are rendered."""
        return [sample.sample_id for material in self.data for sample in material.planned]

    def to(self, device: torch.device, room: int, /) -> None:
        """
        Render on a device from now on.

        Parameters
        ----------
        device : torch.device
            The one that trains.
        room : int
            Memory that series may take there [bytes]: series of as many materials as fit are kept; for other materials,
            the series of a crop are sent with it.
        """
        self.device = device
        for index, (segments, potential) in enumerate(self.series):
            size = segments.nbytes + potential.nbytes
            if size <= room:
                self.series[index], room = (segments.to(device), potential.to(device)), room - size

    def frames(self, wanted: Sequence[Wanted]) -> list[Frame]:
        """Render each sample's tilt and thickness at a random place and rotation; a GPU renders all at once."""
        views = []
        for material, sample, rng in wanted:
            x, y = rng.random(2)
            rotation = int(rng.integers(len(self.data[material].planned[sample].orientation.rotations_deg)))
            views.append(View(material, sample, (float(x), float(y)), rotation))
        most = max(1, _CACHED // self.image.pixels**2 if self.device.type == "cpu" else len(views))
        return [self.rendered(views[start : start + most]) for start in range(0, len(views), most)]

    def rendered(self, views: Sequence[View]) -> Frame:
        """Render views; those of one material together, because they share its frequencies."""
        samples = [replace(self.data[v.material].planned[v.number], rotation_index=v.rotation_index) for v in views]
        order: list[int] = []
        parts: list[tuple[Tensor, Tensor]] = []
        for material in sorted({view.material for view in views}):
            chosen = [number for number, view in enumerate(views) if view.material == material]
            order += chosen
            parts.append(self._of_material(material, [(views[number], samples[number]) for number in chosen]))
        images, truths = parts[0]
        if len(parts) > 1:
            back = send(np.argsort(order), self.device)
            images, truths = (torch.cat(part).index_select(0, back) for part in zip(*parts, strict=True))
        known = [[sample.thickness_nm, *lab_angles(sample), sample.gamma] for sample in samples]
        return Frame(images, truths, torch.tensor(known, dtype=torch.float32), (slice(None), slice(None)))

    def _of_material(self, material: int, views: Sequence[tuple[View, Sample]]) -> tuple[Tensor, Tensor]:
        """Segments (view, 4, y, x) and potentials (view, y, x) of views of one material."""
        a, b, _ = self.data[material].potential.lengths
        fields = [Field(self.image, s.gamma, (view.place[0] * a, view.place[1] * b)) for view, s in views]
        segments, potential = self.series[material]
        rows = self.rows[material]
        chosen = [(rows[s.orientation.index], s.thickness_index, view.rotation_index) for view, s in views]
        tilt, thickness, rotation = send(np.array(chosen).T, segments.terms.device)
        shown = (segments[tilt, thickness, rotation], potential[tilt, thickness])
        images, truths = (series.to(self.device).on_fields(fields) for series in shown)
        return images, truths
