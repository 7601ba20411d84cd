"""Crops for the network for any crystal, rendered from periodic images: of any crystal, tilt, thickness and optics."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from iphasenet.base.errors import InputError
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.microscope.acquisition import TrainingNoise
from iphasenet.multislice.periodic_images import PeriodicImages, blurred, load_images, stacked
from iphasenet.network.symmetry import OPERATIONS, transformed_images
from iphasenet.simulation.drawn_optics import PlannedOptics
from iphasenet.simulation.grid import Grid, Orientation, Split, generator, orientations
from iphasenet.simulation.image import Image
from iphasenet.simulation.noise import record_images
from iphasenet.simulation.rendering import Field, Series
from iphasenet.simulation.tilts import lab_tilt
from iphasenet.simulation.truth import configured_truth, truth_potential
from iphasenet.training.column_settings import ColumnTraining

_ROUNDED = 10.0
"""Largest difference of a thickness from its nominal value [Å]: half of a thick slice."""

ColumnItem = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""Segments (4, y, x), columns (y, x) [V], conditions (7,), which of them are told (7,), number of the crystal."""


@dataclass(frozen=True)
class ColumnMaterial:
    """
    Periodic images of the tilts of one crystal along one zone axis.

    Attributes
    ----------
    name : str
        Name of the material.
    orientations : sequence of Orientation
        Tilts, with their rotations.
    segments : Series
        (tilt, thickness, rotation, segment, term), fractions of the beam current.
    columns : Series
        (term,), potential averaged along the beam [V].
    lengths : (float, float)
        Periods along x and y [Å].
    thicknesses : (thickness,) array
        Thicknesses that were simulated [nm].
    nominal_nm : (thickness,) array
        The same before they were rounded to slices [nm].
    optics : (tilt, rotation, 4) array
        Defocus [Å], semiangle, inner and outer collection angle [mrad].
    """

    name: str
    orientations: Sequence[Orientation]
    segments: Series
    columns: Series
    lengths: tuple[float, float]
    thicknesses: NDArray[np.float64]
    nominal_nm: NDArray[np.float64]
    optics: NDArray[np.float64]

    @property
    def mean_potential(self) -> float:
        """Mean potential of the crystal [V]."""
        return float(self.columns.terms[0].real)


def column_series(
    potential: CrystalPotential, slice_thickness: float, resolution: float = 0.0
) -> NDArray[np.complexfloating[Any, Any]]:
    """
    Fourier coefficients of the potential averaged along the beam, of a crystal that is not tilted.

    Parameters
    ----------
    potential : CrystalPotential
        Potential of the cell.
    slice_thickness : float
        Atomic layers this close form one slice [Å].
    resolution : float
        Full width at half maximum of the Gaussian by which it is blurred [Å].

    Returns
    -------
    (2 my + 1, 2 mx + 1) complex array
        Coefficients [V].
    """
    slicing = potential.slicing(slice_thickness)
    coefficients = potential.projected(slicing, slicing.count) / potential.lengths[2]
    return blurred(coefficients, potential.lengths[:2], resolution / math.sqrt(8 * math.log(2)))


def load_materials(
    data: Path,
    batches: Mapping[str, Mapping[str, Sequence[int]]],
    configuration: Mapping[str, Any],
    sampling: float,
    splits: Sequence[Split],
) -> list[ColumnMaterial]:
    """
    Read the simulations of some materials.

    Parameters
    ----------
    data : path
        Folder of `potential/<material>.npz` and `images/<material>/batch<number>.npz`.
    batches : mapping
        Indices of the tilts in each of a material's files, by the file's number.
    configuration : mapping
        Configuration of the run, one zone axis each.
    sampling : float
        Pixel size of the images [Å].
    splits : sequence of {'train', 'validation', 'test'}
        Tilts that are read.

    Returns
    -------
    list of ColumnMaterial
        Materials that have such tilts, in the order of their names; InputError if files are missing or of another grid.
    """
    grid, optics = Grid(**configuration["grid"]), PlannedOptics.of(configuration)
    found = []
    for name in sorted(batches):
        images = _tilts(data / "images" / name, batches[name], orientations(configuration["seed"], name, grid), grid)
        kept = [(tilt, one) for tilt, one in images if tilt.split in splits]
        if not kept:
            continue
        potential = CrystalPotential.load(data / "potential" / f"{name}.npz")
        crystal = truth_potential(potential, configured_truth(configuration))
        lengths = (float(crystal.lengths[0]), float(crystal.lengths[1]))
        thickness = configuration["simulation"]["multislice"]["slice_thickness_angstrom"]
        columns = column_series(crystal, thickness, configuration["column_network"]["model"]["resolution_angstrom"])
        found.append(
            ColumnMaterial(
                name=name,
                orientations=[tilt for tilt, _ in kept],
                segments=Series.visible(stacked([one for _, one in kept]), lengths, sampling),
                columns=Series.visible(columns, lengths, sampling),
                lengths=lengths,
                thicknesses=kept[0][1].depths / 10,
                nominal_nm=np.array(grid.thickness_nm, np.float64),
                optics=np.array([_optics(optics, name, tilt) for tilt, _ in kept]),
            )
        )
    return found


def _tilts(
    folder: Path, batches: Mapping[str, Sequence[int]], planned: Sequence[Orientation], grid: Grid
) -> list[tuple[Orientation, PeriodicImages]]:
    """Read all tilts of one material, with their images; InputError if they are not those of the grid."""
    of_index = {tilt.index: tilt for tilt in planned}
    tilts = [of_index[tilt] for number in batches for tilt in batches[number] if tilt in of_index]
    images = [one for number in batches for one in load_images(folder / f"batch{number}.npz")]
    named = sum(map(len, batches.values()))
    if not (len(images) == len(tilts) == named and all(map(partial(_is_of, grid), images, tilts))):
        raise InputError(
            f"simulations of {folder.name}: found other tilts or thicknesses; allowed: those of the configuration's "
            "grid"
        )
    return list(zip(tilts, images, strict=True))


def _is_of(grid: Grid, images: PeriodicImages, tilt: Orientation) -> bool:
    """Whether images are those of a tilt of the grid; thicknesses are rounded to slices."""
    nominal = 10 * np.array(grid.thickness_nm)
    return (
        np.array_equal(images.rotations, tilt.rotations_deg)
        and len(images.depths) == len(nominal)
        and bool((abs(images.depths - nominal) < _ROUNDED).all())
    )


def _optics(planned: PlannedOptics, name: str, tilt: Orientation) -> NDArray[np.float64]:
    """Optics (rotation, 4) of a tilt's rotations."""
    found = [planned.one(name, tilt.index, rotation) for rotation in range(len(tilt.rotations_deg))]
    return np.array(
        [[one.defocus_angstrom, one.semiangle_mrad, one.detector_inner_mrad, one.detector_outer_mrad] for one in found]
    )


class ColumnView(NamedTuple):
    """
    What a crop shows.

    Attributes
    ----------
    material, tilt, thickness, rotation : int
        Indices of the material, and of its tilt, thickness and rotation.
    place : (float, float)
        Point of the cell under the crop's centre, in fractions of the cell.
    """

    material: int
    tilt: int
    thickness: int
    rotation: int
    place: tuple[float, float]


def drawn_view(
    materials: Sequence[ColumnMaterial], crystals: Sequence[Sequence[int]], rng: np.random.Generator
) -> ColumnView:
    """Draw a crystal, one of its zone axes, and what is shown of it."""
    axes = crystals[int(rng.integers(len(crystals)))]
    number = axes[int(rng.integers(len(axes)))]
    tilts, thicknesses, rotations = materials[number].segments.terms.shape[:3]
    tilt, thickness, rotation = (int(rng.integers(count)) for count in (tilts, thicknesses, rotations))
    x, y = rng.random(2)
    return ColumnView(number, tilt, thickness, rotation, (float(x), float(y)))


def rendered(material: ColumnMaterial, view: ColumnView, image: Image) -> tuple[Tensor, Tensor, list[float]]:
    """
    Render one view.

    Returns
    -------
    segments : (4, y, x) tensor
        Fractions of the beam current.
    columns : (y, x) tensor
        Columns at the entrance surface [V].
    conditions : list of float
        `CONDITIONS`.
    """
    orientation, (a, b) = material.orientations[view.tilt], material.lengths
    gamma = orientation.rotations_deg[view.rotation]
    field = Field(image, gamma, (view.place[0] * a, view.place[1] * b))
    segments = material.segments[view.tilt, view.thickness, view.rotation].on_pixels(field)
    defocus, *angles = map(float, material.optics[view.tilt, view.rotation])
    known = [float(material.thicknesses[view.thickness]), *lab_tilt(orientation.lean, gamma), defocus, *angles]
    return segments, material.columns.on_pixels(field), known


class ColumnCrops(Dataset[ColumnItem]):
    """
    Crops with fresh noise, all drawn from the key (seed, epoch, crop).

    Parameters
    ----------
    materials : sequence of ColumnMaterial
        Crystals along their zone axes. Crystals are drawn with equal chances, whatever the number of their axes.
    settings : ColumnTraining
        Size and number of crops, shares of what is told.
    noise : TrainingNoise
        Noise model.
    sampling : float
        Pixel size [Å].
    count : int
        Crops of an epoch.
    told : bool
        Whether something may be told; if not, every condition is unknown but those of the optics.
    """

    def __init__(
        self,
        materials: Sequence[ColumnMaterial],
        settings: ColumnTraining,
        noise: TrainingNoise,
        sampling: float,
        count: int,
        told: bool = True,
    ) -> None:
        self.materials, self.settings, self.noise, self.count, self.told = materials, settings, noise, count, told
        self.image = Image(settings.crop_pixels, sampling)

    @cached_property
    def crystals(self) -> list[list[int]]:
        """Indices of the zone axes of each crystal."""
        found: dict[str, list[int]] = {}
        for number, material in enumerate(self.materials):
            found.setdefault(material.name.split("_")[0], []).append(number)
        return list(found.values())

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, item: int) -> ColumnItem:
        epoch, crop = divmod(item, self.count)
        rng = generator(self.settings.seed, "", "training", epoch, crop)
        view = drawn_view(self.materials, self.crystals, rng)
        segments, columns, known = rendered(self.materials[view.material], view, self.image)
        operation = int(rng.integers(OPERATIONS))
        angles = torch.tensor([[known[0], known[1], known[2], 0.0]])
        clean, truth, turned = transformed_images(segments[None], columns[None], angles, [operation])
        dose = self.noise.draw_dose(rng)
        noisy = record_images(clean, [dose], self.image.sampling_angstrom, self.noise.acquisition, [rng])[0]
        conditions = torch.tensor([*turned[0, :3].tolist(), *known[3:]], dtype=torch.float32)
        return noisy, truth[0], conditions, self._drawn_told(rng), torch.tensor(view.material)

    def _drawn_told(self, rng: np.random.Generator) -> Tensor:
        """Draw which conditions are told; alpha and beta, and the angles of the optics, together."""
        some = self.told and rng.random() < self.settings.told_share
        thickness, tilt, defocus = some & (rng.random(3) < 0.5)
        optics = rng.random() < self.settings.optics_told_share
        return torch.tensor([thickness, tilt, tilt, defocus, optics, optics, optics])
