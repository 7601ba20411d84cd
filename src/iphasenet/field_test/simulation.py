"""Simulation of the specimens of a field test, and their truth on the images' pixels."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from iphasenet.base.files import atomic_file
from iphasenet.base.reading import read_arrays
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.crystal.slicing import Slicing
from iphasenet.field_test.altered_crystals import Altered, with_carbon, with_defect, with_edge
from iphasenet.field_test.plan import SUPERCELLS, FieldImage, FieldSpecimen
from iphasenet.microscope.optics import rotate
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.multislice.periodic_images import ComplexArray, PeriodicImages, simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.planning.field_settings import FieldTest
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Field, render
from iphasenet.training.column_crops import column_series

FloatArray = NDArray[np.floating[Any]]
FloatImage = NDArray[np.float32]

RESOLUTION = 0.6
"""Full width at half maximum to which the true columns are blurred [Å], as those of the network for any crystal."""

_WIDTH = 2.3
"""Width of the window over semiangle times thickness, as wide as a probe spreads (docs/fit.md)."""


@dataclass(frozen=True)
class FieldTruth:
    """
    One simulated image, and what it shows.

    Attributes
    ----------
    segments : (4, y, x) float32 array
        Images without noise, fractions of the beam current.
    potential : (y, x) float32 array
        Projected potential of the crystal [V Å].
    columns : (y, x) float32 array
        Potential averaged along the beam, columns where they meet the entrance surface, blurred to `RESOLUTION` [V].
    sites : (site, 2) float64 array
        Places (y, x) of the columns that are like an altered one [pixels]; none without a defect.
    defects : (site,) bool array
        Which of them are altered.
    facts : dict
        Thickness in the image's centre [nm], tilt [degrees], mean potential [V], noise of the simulation.
    """

    segments: FloatImage
    potential: FloatImage
    columns: FloatImage
    sites: NDArray[np.float64]
    defects: NDArray[np.bool_]
    facts: dict[str, Any]


_ARRAYS = ("segments", "potential", "columns", "sites", "defects")


def save_truths(path: Path, truths: Sequence[FieldTruth]) -> None:
    """Write the images of a specimen to an .npz file, which appears whole or not at all."""
    arrays = {f"{name}_{number}": getattr(one, name) for number, one in enumerate(truths) for name in _ARRAYS}
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, facts=np.array([json.dumps(one.facts) for one in truths]), **arrays)


def load_truths(path: Path) -> list[FieldTruth]:
    """Read what `save_truths` wrote; InputError names a damaged file."""
    facts = [json.loads(str(text)) for text in read_arrays(path, "facts")["facts"]]
    names = [[f"{name}_{number}" for name in _ARRAYS] for number in range(len(facts))]
    arrays = read_arrays(path, *(name for part in names for name in part))
    found = ([arrays[name] for name in part] for part in names)
    return [
        FieldTruth(**dict(zip(_ARRAYS, part, strict=True)), facts=one) for part, one in zip(found, facts, strict=True)
    ]


@dataclass(frozen=True)
class FieldSimulator:
    """
    What specimens are simulated with.

    Attributes
    ----------
    test : FieldTest
        Settings.
    numerics : Numerics
        Of crystals that repeat with their cell.
    sampling : float
        Pixel of the images [Å].
    parametrization : str
        Scattering factors.
    device : str
        Torch device.
    """

    test: FieldTest
    numerics: Numerics
    sampling: float
    parametrization: str = "kirkland"
    device: str = "cpu"

    @classmethod
    def of(cls, config: Mapping[str, Any], device: str = "cpu") -> "FieldSimulator":
        """Read a configuration."""
        simulation = config["simulation"]
        return cls(
            FieldTest(**config["field_test"]),
            Numerics(**simulation["multislice"]),
            config["image"]["sampling_angstrom"],
            simulation["parametrization"],
            device,
        )

    def simulate(self, specimen: FieldSpecimen, cell: Atoms) -> list[FieldTruth]:
        """
        Simulate all images of a specimen.

        Parameters
        ----------
        specimen : FieldSpecimen
            Specimen.
        cell : ase.Atoms
            Orthogonal cell of the perfect crystal, with the displacements of its structure.

        Returns
        -------
        list of FieldTruth
            Images in the order of the specimen's.
        """
        moved = cell.copy()
        if moved.has("displacements"):
            moved.arrays["displacements"] = moved.arrays["displacements"] * self.test.displacement_factor**2
        if specimen.kind == "wedge":
            return self._wedge(specimen, moved)
        return self._even(specimen, moved)

    def _even(self, specimen: FieldSpecimen, cell: Atoms) -> list[FieldTruth]:
        """Images of a specimen of even thickness."""
        numerics = self.test.cell_multislice if specimen.kind in SUPERCELLS else self.numerics
        depths = sorted({10 * image.thickness_nm for image in specimen.images})
        altered = self._altered(specimen, cell, depths[-1])
        potential = sampled_potential(altered.atoms, numerics.sampling_angstrom, self.sampling, self.parametrization)
        slicing = potential.slicing(numerics.slice_thickness_angstrom, repeats=not altered.cover)
        # What lies above the crystal's first layer.
        above = altered.cover - slicing.origin if altered.cover else 0.0
        images = self._images(specimen, potential, numerics, [depth + above for depth in depths], slicing)
        # The truth is the crystal alone.
        crystal = self._averaged(cell) if altered.cover else potential.averaged()
        own = crystal.slicing(numerics.slice_thickness_angstrom)
        columns = column_series(crystal, numerics.slice_thickness_angstrom, RESOLUTION)
        period, lengths = (float(crystal.lengths[0]), float(crystal.lengths[1])), images.lengths
        found = []
        for number, image in enumerate(specimen.images):
            place = depths.index(10 * image.thickness_nm)
            field = self._field(image, lengths)
            # Columns begin below the cover, where the tilt has moved them.
            lower = replace(field, offset=_less(field.offset, specimen.lean, above))
            depth = float(images.depths[place]) - above
            series = crystal.projected(own, own.nearest(depth), specimen.lean)
            found.append(
                FieldTruth(
                    segments=render(images.coefficients[place, number], lengths, field),
                    potential=render(series, period, lower),
                    columns=render(columns, period, lower),
                    **_sites(altered, field),
                    facts=_facts(specimen, image, depth, columns)
                    | {"share": altered.share, "thermal_noise": _noise(images, place)},
                )
            )
        return found

    def _wedge(self, specimen: FieldSpecimen, cell: Atoms) -> list[FieldTruth]:
        """Images of wedges: blended, pixel by pixel, from those of slabs of whole cells that lie next to each other."""
        height = float(cell.cell.lengths()[2])
        maps = [_thickness_map(image, self.sampling, height) for image in specimen.images]
        counts = sorted({count for one in maps for count in _whole(one, height)})
        potential = sampled_potential(cell, self.numerics.sampling_angstrom, self.sampling, self.parametrization)
        images = self._images(specimen, potential, self.numerics, [height * count for count in counts])
        crystal = potential.averaged()
        own = crystal.slicing(self.numerics.slice_thickness_angstrom)
        columns = column_series(crystal, self.numerics.slice_thickness_angstrom, RESOLUTION)
        found = []
        for number, (image, depths) in enumerate(zip(specimen.images, maps, strict=True)):
            field = self._field(image, images.lengths)
            segments, potential_image = np.zeros((4, *depths.shape)), np.zeros(depths.shape)
            for count in _whole(depths, height):
                share = np.clip(1 - np.abs(depths / height - count), 0, 1)
                place = counts.index(count)
                segments += share * render(images.coefficients[place, number], images.lengths, field)
                series = crystal.projected(own, count * own.count, specimen.lean)
                potential_image += share * render(series, images.lengths, field)
            found.append(
                FieldTruth(
                    segments=segments.astype(np.float32),
                    potential=potential_image.astype(np.float32),
                    columns=render(columns, images.lengths, field),
                    sites=np.zeros((0, 2)),
                    defects=np.zeros(0, bool),
                    facts=_facts(specimen, image, 10 * image.thickness_nm, columns)
                    | {"wedge_deg": image.wedge[1], "thermal_noise": _noise(images, len(counts) // 2)},
                )
            )
        return found

    def _altered(self, specimen: FieldSpecimen, cell: Atoms, depth: float) -> Altered:
        """Cell of a specimen of even thickness up to `depth` [Å]."""
        rng, side = np.random.default_rng([*specimen.seed, len(specimen.material)]), self.test.cell_angstrom
        if specimen.kind == "edge":
            return with_edge(cell, side)
        if specimen.kind == "carbon":
            return with_carbon(cell, side, depth, 10 * self.test.carbon_nm, rng)
        if specimen.kind in ("vacancy", "antisite"):
            return with_defect(cell, side, specimen.kind == "antisite", rng)
        return Altered.without_defect(cell)

    def _averaged(self, cell: Atoms) -> CrystalPotential:
        """Potential of a cell, averaged over thermal motion."""
        pixel = self.numerics.sampling_angstrom
        return sampled_potential(cell, pixel, self.sampling, self.parametrization).averaged()

    def _images(
        self,
        specimen: FieldSpecimen,
        potential: CrystalPotential,
        numerics: Numerics,
        depths: Sequence[float],
        slicing: Slicing | None = None,
    ) -> PeriodicImages:
        """Pass of one tilt, with all rotations and optics."""
        microscopes = [image.microscope for image in specimen.images]
        semiangle = max(1e-3 * microscope.semiangle_mrad for microscope in microscopes)
        window = max(numerics.window_angstrom, _WIDTH * semiangle * depths[-1])
        return simulate_images(
            potential,
            microscopes,
            replace(numerics, window_angstrom=window),
            depths,
            specimen.lean,
            [image.rotation_deg for image in specimen.images],
            self.device,
            slicing=slicing,
            seed=specimen.seed,
        )

    def _field(self, image: FieldImage, lengths: tuple[float, float]) -> Field:
        x, y = (share * length for share, length in zip(image.offset, lengths, strict=True))
        return Field(Image(image.pixels, self.sampling), image.rotation_deg, (x, y))


def _facts(specimen: FieldSpecimen, image: FieldImage, depth: float, columns: ComplexArray) -> dict[str, Any]:
    """Facts of an image of a slab of some depth [Å]; the central term of its columns is their mean."""
    rows, width = columns.shape
    return {
        "thickness_nm": depth / 10,
        "tilt_deg": list(specimen.tilt_deg(image)),
        "mean_potential_v": float(columns[rows // 2, width // 2].real),
    }


def told(specimen: FieldSpecimen, image: FieldImage, truth: FieldTruth, roughly: bool) -> dict[str, Any]:
    """
    Tell thickness, tilt and rotation of a specimen, exactly or as a microscope tells them.

    Returns
    -------
    dict
        `thickness_nm`, `tilt_deg` and `rotation_deg` of a `SegmentedImage`.
    """
    alpha, beta = specimen.tilt_deg(image)
    off = image.told_error if roughly else (0.0, 0.0, 0.0)
    return {
        "thickness_nm": float(truth.facts["thickness_nm"]) * (1 + off[2]),
        "tilt_deg": (alpha + off[0], beta + off[1]),
        "rotation_deg": image.rotation_deg,
    }


def _less(offset: tuple[float, float], lean: tuple[float, float], depth: float) -> tuple[float, float]:
    return offset[0] - lean[0] * depth, offset[1] - lean[1] * depth


def _noise(images: PeriodicImages, place: int) -> float:
    """Noise of the simulation as a share of the contrast; 0 at rest."""
    return float(images.noise[place]) if len(images.noise) else 0.0


def _thickness_map(image: FieldImage, sampling: float, height: float) -> FloatArray:
    """Thickness at each pixel of a wedge [Å], at least that of one cell."""
    place = (np.arange(image.pixels) - (image.pixels - 1) / 2) * sampling
    azimuth, angle = map(math.radians, image.wedge)
    along = place[None, :] * math.cos(azimuth) + place[:, None] * math.sin(azimuth)
    return np.asarray(np.maximum(10 * image.thickness_nm + math.tan(angle) * along, height))


def _whole(depths: FloatArray, height: float) -> range:
    """Numbers of whole cells between which thicknesses [Å] lie."""
    return range(max(1, math.floor(depths.min() / height)), math.ceil(depths.max() / height) + 1)


def _sites(altered: Altered, field: Field) -> dict[str, Any]:
    """Places (y, x) [pixels] in an image of all columns that are like an altered one, and which of them are altered."""
    if not len(altered.sites):
        return {"sites": np.zeros((0, 2)), "defects": np.zeros(0, bool)}
    side = field.image.pixels * field.image.sampling_angstrom
    lengths = altered.atoms.cell.lengths()[:2]
    far = [math.ceil(side / length) + 2 for length in lengths]
    cells = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in far), indexing="ij"), axis=-1).reshape(-1, 1, 2)
    places = (cells * lengths + altered.sites - np.array(field.offset)).reshape(-1, 2)
    x, y = rotate(places[:, 0], places[:, 1], field.rotation_deg)
    pixels = np.stack([y, x], axis=1) / field.image.sampling_angstrom + (field.image.pixels - 1) / 2
    # A column's surroundings must lie within the image.
    margin = 1.0 / field.image.sampling_angstrom
    inside = ((pixels >= margin) & (pixels <= field.image.pixels - 1 - margin)).all(axis=1)
    return {"sites": pixels[inside], "defects": np.tile(altered.defects, len(cells))[inside]}
