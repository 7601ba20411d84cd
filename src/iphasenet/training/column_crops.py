"""Crops for the network for any crystal, rendered from periodic images: of any crystal, tilt, thickness and optics."""

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from iphasenet.base.devices import send
from iphasenet.base.errors import InputError
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.microscope.acquisition import TrainingNoise
from iphasenet.multislice.periodic_images import PeriodicImages, blurred, load_images, stacked
from iphasenet.network.symmetry import OPERATIONS, transformed_maps, transformed_metadata, transformed_segments
from iphasenet.simulation.drawn_optics import PlannedOptics
from iphasenet.simulation.grid import Grid, Orientation, Split, generator, orientations
from iphasenet.simulation.image import Image
from iphasenet.simulation.noise import Imperfections, draw_imperfections, recorded, together
from iphasenet.simulation.rendering import Field, Series, SeriesTable
from iphasenet.simulation.tilts import lab_tilt
from iphasenet.simulation.truth import configured_truth, truth_potential
from iphasenet.training.column_settings import ColumnTraining

_ROUNDED = 10.0
"""Largest difference of a thickness from its nominal value [Å]: half of a thick slice."""

_SEGMENTS = 4

ColumnItem = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""Batch of segments (4, y, x), columns (y, x) [V], conditions (7,), which of them are told (7,), crystals' numbers."""


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

    def field(self, view: "ColumnView", image: Image) -> Field:
        """Pixels of a view."""
        gamma = self.orientations[view.tilt].rotations_deg[view.rotation]
        return Field(image, gamma, (view.place[0] * self.lengths[0], view.place[1] * self.lengths[1]))


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

    def read(name: str) -> ColumnMaterial | None:
        """Material, or None if it has no such tilts."""
        images = _tilts(data / "images" / name, batches[name], orientations(configuration["seed"], name, grid), grid)
        kept = [(tilt, one) for tilt, one in images if tilt.split in splits]
        if not kept:
            return None
        potential = CrystalPotential.load(data / "potential" / f"{name}.npz")
        crystal = truth_potential(potential, configured_truth(configuration))
        lengths = (float(crystal.lengths[0]), float(crystal.lengths[1]))
        thickness = configuration["simulation"]["multislice"]["slice_thickness_angstrom"]
        columns = column_series(crystal, thickness, configuration["column_network"]["model"]["resolution_angstrom"])
        return ColumnMaterial(
            name=name,
            orientations=[tilt for tilt, _ in kept],
            segments=Series.visible(stacked([one for _, one in kept]), lengths, sampling).occurring(),
            columns=Series.visible(columns, lengths, sampling).occurring(),
            lengths=lengths,
            thicknesses=kept[0][1].depths / 10,
            nominal_nm=np.array(grid.thickness_nm, np.float64),
            optics=np.array([_optics(optics, name, tilt) for tilt, _ in kept]),
        )

    # Reading and choosing terms release the interpreter.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return [one for one in pool.map(read, sorted(batches)) if one is not None]


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


@dataclass(frozen=True)
class _Known:
    """What is known of a material's images, without the images: processes that draw crops need no more."""

    name: str
    orientations: Sequence[Orientation]
    shape: tuple[int, int, int]
    thicknesses: NDArray[np.float64]
    optics: NDArray[np.float64]

    @classmethod
    def of(cls, material: ColumnMaterial) -> "_Known":
        tilts, thicknesses, rotations = material.segments.terms.shape[:3]
        shape = (tilts, thicknesses, rotations)
        return cls(material.name, material.orientations, shape, material.thicknesses, material.optics)

    def conditions(self, view: ColumnView) -> list[float]:
        """`CONDITIONS` of a view."""
        orientation = self.orientations[view.tilt]
        defocus, *angles = map(float, self.optics[view.tilt, view.rotation])
        tilt = lab_tilt(orientation.lean, orientation.rotations_deg[view.rotation])
        return [float(self.thicknesses[view.thickness]), *tilt, defocus, *angles]


def drawn_view(materials: Sequence[_Known], crystals: Sequence[Sequence[int]], rng: np.random.Generator) -> ColumnView:
    """Draw a crystal, one of its zone axes, and what is shown of it."""
    axes = crystals[int(rng.integers(len(crystals)))]
    number = axes[int(rng.integers(len(axes)))]
    tilt, thickness, rotation = (int(rng.integers(count)) for count in materials[number].shape)
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
    return *_clean(material, view, image), _Known.of(material).conditions(view)


def _clean(material: ColumnMaterial, view: ColumnView, image: Image) -> tuple[Tensor, Tensor]:
    """Segments (4, y, x) and columns (y, x) of one view."""
    field = material.field(view, image)
    segments = material.segments[view.tilt, view.thickness, view.rotation].on_pixels(field)
    return segments, material.columns.on_pixels(field)


class ColumnDraw(NamedTuple):
    """
    All that is drawn for a crop, before it is rendered; of several crops, every part has a further first axis.

    Attributes
    ----------
    view : (4,) integer array
        Indices of the material, and of its tilt, thickness and rotation.
    place : (2,) array
        Point of the cell under the crop's centre, in fractions of the cell.
    operation : () integer array
        Symmetry operation of the image.
    imperfections : Imperfections
        Of the scan and the detector.
    conditions : (7,) float32 array
        `CONDITIONS` of the turned image.
    told : (7,) bool array
        Which of them are told.
    """

    view: NDArray[np.int64]
    place: NDArray[np.float64]
    operation: NDArray[np.int64]
    imperfections: Imperfections
    conditions: NDArray[np.float32]
    told: NDArray[np.bool_]


def collated(drawn: Sequence[ColumnDraw]) -> ColumnDraw:
    """Stack what was drawn for the crops of a batch."""
    view, place, operation, imperfections, conditions, told = zip(*drawn, strict=True)
    stacked = (np.stack(part) for part in (view, place, operation, conditions, told))
    views, places, operations, known, given = stacked
    return ColumnDraw(views, places, operations, together(imperfections), known, given)


class ColumnCrops(Dataset[ColumnDraw]):
    """
    What is drawn for crops with fresh noise, from the key (seed, epoch, crop); `ColumnRenderer` makes images of it.

    Parameters
    ----------
    materials : sequence of ColumnMaterial
        Crystals along their zone axes. Crystals are drawn with equal chances, whatever the number of their axes.
    settings : ColumnTraining
        Size and number of crops, shares of what is told.
    noise : TrainingNoise
        Noise model.
    count : int
        Crops of an epoch.
    told : bool
        Whether something may be told; if not, every condition is unknown but those of the optics.
    first : int
        Number of the first material among all that the renderer knows.
    """

    def __init__(
        self,
        materials: Sequence[ColumnMaterial],
        settings: ColumnTraining,
        noise: TrainingNoise,
        count: int,
        told: bool = True,
        first: int = 0,
    ) -> None:
        self.settings, self.noise, self.count, self.told, self.first = settings, noise, count, told, first
        self.known = [_Known.of(material) for material in materials]

    @cached_property
    def crystals(self) -> list[list[int]]:
        """Indices of the zone axes of each crystal."""
        found: dict[str, list[int]] = {}
        for number, material in enumerate(self.known):
            found.setdefault(material.name.split("_")[0], []).append(number)
        return list(found.values())

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, item: int) -> ColumnDraw:
        epoch, crop = divmod(item, self.count)
        rng = generator(self.settings.seed, "", "training", epoch, crop)
        view = drawn_view(self.known, self.crystals, rng)
        operation = int(rng.integers(OPERATIONS))
        known = self.known[view.material].conditions(view)
        angles = torch.tensor([[known[0], known[1], known[2], 0.0]])
        turned = transformed_metadata(angles, [operation])[0, :3].tolist()
        dose = self.noise.draw_dose(rng)
        imperfections = draw_imperfections(dose, self.settings.crop_pixels, _SEGMENTS, self.noise.acquisition, rng)
        return ColumnDraw(
            np.array([view.material + self.first, view.tilt, view.thickness, view.rotation]),
            np.array(view.place),
            np.array(operation),
            imperfections,
            np.array([*turned, *known[3:]], np.float32),
            self._drawn_told(rng),
        )

    def _drawn_told(self, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Draw which conditions are told; alpha and beta, and the angles of the optics, together."""
        some = self.told and rng.random() < self.settings.told_share
        thickness, tilt, defocus = some & (rng.random(3) < 0.5)
        optics = rng.random() < self.settings.optics_told_share
        return np.array([thickness, tilt, tilt, defocus, optics, optics, optics])


class ColumnRenderer:
    """
    Renders drawn crops on the device that trains: a GPU all crops of a batch at once, a CPU one after the other.

    Parameters
    ----------
    materials : sequence of ColumnMaterial
        All crystals, those of the training and of the validation.
    image : Image
        Pixels of a crop.
    readout_electrons : float
        Standard deviation of the read-out noise [electrons].
    """

    def __init__(self, materials: Sequence[ColumnMaterial], image: Image, readout_electrons: float) -> None:
        self.materials, self.image, self.readout = materials, image, readout_electrons
        self.tables: tuple[SeriesTable, SeriesTable] | None = None

    def to(self, device: torch.device) -> None:
        """Keep the series of all crystals on a GPU from now on; a CPU leaves them where they are."""
        if device.type != "cpu" and self.tables is None:
            self.tables = (
                SeriesTable([one.segments for one in self.materials], device),
                SeriesTable([one.columns[None] for one in self.materials], device),
            )

    def crops(self, drawn: ColumnDraw) -> ColumnItem:
        """
        Render crops.

        Parameters
        ----------
        drawn : ColumnDraw
            Of a batch.

        Returns
        -------
        ColumnItem
            Batch of crops on the renderer's device.
        """
        segments, columns = self._clean(drawn.view, drawn.place)
        operations, device = drawn.operation.tolist(), segments.device
        turned, truth = transformed_segments(segments, operations), transformed_maps(columns, operations)
        noisy = recorded(turned, drawn.imperfections, self.image.sampling_angstrom, self.readout)
        known, told, numbers = (send(part, device) for part in (drawn.conditions, drawn.told, drawn.view[:, 0]))
        return noisy, truth, known, told, numbers

    def _clean(self, views: NDArray[np.int64], places: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        """Noise-free segments (crop, 4, y, x) and columns (crop, y, x)."""
        numbered = zip(views.tolist(), places.tolist(), strict=True)
        drawn = [ColumnView(m, t, z, r, (x, y)) for (m, t, z, r), (x, y) in numbered]
        if self.tables is None:
            shown = [_clean(self.materials[view.material], view, self.image) for view in drawn]
            images, truths = map(torch.stack, zip(*shown, strict=True))
            return images, truths
        fields = [self.materials[view.material].field(view, self.image) for view in drawn]
        shapes = np.array([self.materials[view.material].segments.terms.shape[1:3] for view in drawn])
        material, tilt, thickness, rotation = views.T
        rows = (tilt * shapes[:, 0] + thickness) * shapes[:, 1] + rotation
        segments, columns = self.tables
        return segments.on_fields(material, rows, fields), columns.on_fields(material, 0 * rows, fields)[:, 0]
