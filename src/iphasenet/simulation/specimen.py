"""Simulation of one specimen: of the crystal's small cell if its images repeat, else of a slab of atoms."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, replace

import numpy as np
import xarray
from ase import Atoms
from numpy.dtypes import StringDType

from iphasenet.base import quantities
from iphasenet.base.memory import check_memory
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.crystal.slab import cut_slab, frozen_phonons, shape_slab, slab_side
from iphasenet.crystal.slab_shape import INFINITE, Shape
from iphasenet.crystal.slicing import Slicing
from iphasenet.crystal.thermal_motion import with_displacements
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.numerics import check_thicknesses, sampled_potential
from iphasenet.multislice.periodic_images import ComplexArray, PeriodicImages, simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Field, render
from iphasenet.simulation.tilts import crystal_lean

Progress = Callable[[int, int], object]

_Passed = tuple[PeriodicImages, ComplexArray, Field]
"""Series of the images, Fourier coefficients of the slabs' projected potential, and how the crystal lies."""

SMALL_TILT = 2.0
"""Largest tilt that the propagator describes; above it the atoms of a slab are rotated [degrees]."""

SLAB_SLICE = 1.0
"""Thinnest slices of a slab [Å]."""


@dataclass(frozen=True)
class Specimen:
    """
    A crystal and its orientation in the beam.

    Attributes
    ----------
    cell : ase.Atoms
        Orthogonal cell, beam along z.
    thickness_nm : tuple of float
        Thicknesses, rising [nm].
    tilt_deg : (float, float)
        alpha and beta [degrees]: after the rotation by gamma, the crystal is tilted by alpha about lab x, then by beta
        about lab y.
    rotation_deg : float
        Rotation gamma of the crystal about the beam [degrees].
    offset : (float, float)
        Point of the cell under the image's centre, as fractions of its periods.
    rms_displacements : mapping
        Thermal displacement along one axis for elements [Å].
    phonons : int
        Number of frozen-phonon configurations; 0: Debye-Waller factors instead.
    seed : int
        Seed of the configurations.
    shape : Shape
        How the slab ends.
    """

    cell: Atoms
    _: KW_ONLY
    thickness_nm: tuple[float, ...]
    tilt_deg: tuple[float, float] = (0.0, 0.0)
    rotation_deg: float = 0.0
    offset: tuple[float, float] = (0.0, 0.0)
    rms_displacements: Mapping[str, float] | None = None
    phonons: int = 0
    seed: int = 0
    shape: Shape = INFINITE

    def __post_init__(self) -> None:
        for name, angle in (("alpha", self.tilt_deg[0]), ("beta", self.tilt_deg[1]), ("rotation", self.rotation_deg)):
            quantities.ANGLE.check(angle, name)
        for share in self.offset:
            quantities.OFFSET.check(share, "offset")
        check_thicknesses(self.thickness_nm)
        quantities.SNAPSHOTS.check(self.phonons, "frozen phonons")
        quantities.SEED.check(self.seed, "seed")

    @property
    def has_small_cell(self) -> bool:
        """Whether the images repeat with the cell: no frozen phonons, a small tilt, no edge or wedge."""
        return (
            self.phonons == 0
            and self.shape == INFINITE
            and max(abs((angle + 180) % 360 - 180) for angle in self.tilt_deg) <= SMALL_TILT
        )

    @property
    def depths(self) -> tuple[float, ...]:
        """Thicknesses in the unit of the multislice [Å]."""
        return tuple(10 * thickness for thickness in self.thickness_nm)

    @property
    def point(self) -> tuple[float, float, float]:
        """Point of the crystal under the image's centre, on the first atomic layer [Å]."""
        a, b, _ = self.cell.cell.lengths()
        return float(self.offset[0] * a), float(self.offset[1] * b), float(self.cell.positions[:, 2].min())


@dataclass(frozen=True)
class Simulator:
    """
    A microscope and the numerics by which it is simulated.

    Attributes
    ----------
    microscope : Microscope
        Probe and detectors.
    numerics : Numerics
        Grid, slices, window and memory.
    image : Image
        Pixels.
    parametrization : {'lobato', 'kirkland'}
        Scattering factors.
    device : str
        Torch device.
    """

    microscope: Microscope
    numerics: Numerics
    image: Image
    parametrization: str = "lobato"
    device: str = "cpu"

    def simulate(self, specimen: Specimen, progress: Progress | None = None) -> xarray.Dataset:
        """
        Simulate the images and the projected potential of a specimen at all thicknesses.

        Parameters
        ----------
        specimen : Specimen
            Crystal and orientation.
        progress : callable, optional
            Called with the numbers of plane waves done so far and in all.

        Returns
        -------
        xarray.Dataset
            segments (thickness, segment, y, x), fractions of the beam current; potential (thickness, y, x) [V Å].
        """
        count, pixels = len(specimen.thickness_nm) * (len(self.microscope.channels) + 1), self.image.pixels
        # Images are complex while they are rendered, then real.
        check_memory(12 * count * pixels**2, f"{count} images of {pixels} x {pixels} pixels")
        passed = self._cell if specimen.has_small_cell else self._slab
        return simulation_dataset(*passed(specimen, progress), self.microscope)

    def _potential(self, atoms: Atoms, rms_displacements: Mapping[str, float] | None = None) -> CrystalPotential:
        """Potential up to the frequencies that multislice and images need."""
        pixels = (self.numerics.sampling_angstrom, self.image.sampling_angstrom)
        return sampled_potential(atoms, *pixels, self.parametrization, rms_displacements)

    def _cell(self, specimen: Specimen, progress: Progress | None) -> _Passed:
        """Simulate the crystal's own cell with all kappas."""
        potential = self._potential(specimen.cell, specimen.rms_displacements)
        lean = crystal_lean(*specimen.tilt_deg, specimen.rotation_deg)
        images = simulate_images(
            potential,
            self.microscope,
            self.numerics,
            specimen.depths,
            lean,
            [specimen.rotation_deg],
            self.device,
            progress=progress,
        )
        slicing = potential.slicing(self.numerics.slice_thickness_angstrom)
        field = Field(self.image, specimen.rotation_deg, specimen.point[:2])
        return images, _projected(potential, slicing, images, lean), field

    def _slab(self, specimen: Specimen, progress: Progress | None) -> _Passed:
        """Simulate the slab as one cell with a single kappa, averaged over thermal configurations."""
        # A slab's atoms lie at all heights.
        dz = max(SLAB_SLICE, self.numerics.slice_thickness_angstrom)
        numerics = replace(self.numerics, slice_thickness_angstrom=dz)
        slab, side, rise = self._cut(specimen, dz)
        damping = None if specimen.phonons else specimen.rms_displacements
        # Displaced atoms stay in their slices, so that all snapshots end at the same depths.
        slicing = self._potential(slab).slicing(dz)
        above = 0.0 if specimen.shape.wedge is None else rise + dz / 2 - slicing.origin
        depths = [depth + above for depth in specimen.depths]
        series, projected = [], []
        for atoms, advance in _snapshots(slab, specimen, progress):
            potential = self._potential(atoms, damping)
            images = simulate_images(
                potential,
                self.microscope,
                numerics,
                depths,
                device=self.device,
                progress=advance,
                slicing=slicing,
            )
            series.append(images)
            projected.append(_projected(potential, slicing, images))
        coefficients = np.mean([images.coefficients for images in series], axis=0)
        mean = replace(series[0], depths=series[0].depths - above, coefficients=coefficients)
        return mean, np.mean(projected, axis=0), Field(self.image, 0.0, (side / 2, side / 2))

    def _cut(self, specimen: Specimen, dz: float) -> tuple[Atoms, float, float]:
        """Slab of whole slices of a specimen, its side, and the rise of an inclined surface above its middle [Å]."""
        field_of_view, wedge = self.image.pixels * self.image.sampling_angstrom, specimen.shape.wedge
        deepest, window = specimen.depths[-1], self.numerics.window_angstrom
        side = slab_side(field_of_view, deepest, self.microscope.semiangle_mrad, window)
        # An inclined surface rises above the image's centre.
        rise = 0.0 if wedge is None else math.tan(math.radians(wedge[1])) * side * math.sqrt(0.5)
        lead, depth = rise + dz / 2, max(1, round((deepest + rise) / dz)) * dz
        angles = (*specimen.tilt_deg, specimen.rotation_deg)
        slab = cut_slab(specimen.cell, angles, depth, (side, side), specimen.point, lead)
        return shape_slab(slab, specimen.shape, field_of_view, lead), side, rise


def _projected(
    potential: CrystalPotential, slicing: Slicing, images: PeriodicImages, lean: tuple[float, float] = (0.0, 0.0)
) -> ComplexArray:
    """Projected potential (thickness, ...) of the slabs that the waves of `images` passed."""
    totals = [slicing.nearest(depth) for depth in images.depths]
    return np.stack([potential.projected(slicing, total, lean) for total in totals])


def _snapshots(slab: Atoms, specimen: Specimen, progress: Progress | None) -> Iterator[tuple[Atoms, Progress]]:
    """Thermal configurations of a slab, or the slab itself, each with a function that reports its progress."""
    count = max(1, specimen.phonons)
    snapshots: Iterable[Atoms] = [slab]
    if specimen.phonons:
        moving = with_displacements(slab, specimen.rms_displacements or {})
        snapshots = frozen_phonons(moving, count, specimen.seed)
    for index, atoms in enumerate(snapshots):

        def advance(done: int, waves: int, index: int = index) -> None:
            if progress is not None:
                progress(index * waves + done, count * waves)

        yield atoms, advance


def simulation_dataset(
    images: PeriodicImages, slabs: ComplexArray, field: Field, microscope: Microscope
) -> xarray.Dataset:
    """
    Render all thicknesses of one simulation.

    Parameters
    ----------
    images : PeriodicImages
        Series at one rotation.
    slabs : (thickness, 2 my + 1, 2 mx + 1) complex array
        Fourier coefficients of the slabs' projected potential [V Å].
    field : Field
        Image and how the crystal lies under it.
    microscope : Microscope
        Gives the names of the channels; an annular dark-field image becomes a separate array.

    Returns
    -------
    xarray.Dataset
        segments (thickness, segment, y, x), dark_field (thickness, y, x), fractions of the beam current; potential
        (thickness, y, x) [V Å].
    """
    rendered = render(images.coefficients[:, 0], images.lengths, field)
    names = microscope.detectors[0].names
    current = {"units": "1", "description": "fraction of the beam current"}
    position = {"units": "Å"}
    arrays: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]] = {
        "segments": (("thickness", "segment", "y", "x"), rendered[:, : len(names)], current),
        "potential": (
            ("thickness", "y", "x"),
            render(slabs, images.lengths, field),
            {"units": "V Å", "description": "projected electrostatic potential"},
        ),
    }
    if microscope.dark_field_mrad is not None:
        arrays["dark_field"] = (("thickness", "y", "x"), rendered[:, -1], current)
    return xarray.Dataset(
        arrays,
        coords={
            "thickness": ("thickness", images.depths / 10, {"units": "nm", "description": "whole slices"}),
            "segment": ("segment", np.array(names, dtype=StringDType())),
            "y": ("y", field.image.positions, position),
            "x": ("x", field.image.positions, position),
        },
    )
