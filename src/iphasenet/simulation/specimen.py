"""Simulation of one specimen: of the crystal's small cell if its images repeat, else of a slab of atoms."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

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
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.numerics import Numerics, check_thicknesses, sampled_potential
from iphasenet.multislice.periodic_images import ComplexArray, PeriodicImages, simulate_images
from iphasenet.simulation.rendering import Field, Image, render
from iphasenet.simulation.tilts import crystal_tilt

Progress = Callable[[int, int], object]

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
    thicknesses : tuple of float
        Thicknesses, rising [Å].
    tilt : (float, float)
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
    thicknesses: tuple[float, ...]
    tilt: tuple[float, float] = (0.0, 0.0)
    rotation_deg: float = 0.0
    offset: tuple[float, float] = (0.0, 0.0)
    rms_displacements: Mapping[str, float] | None = None
    phonons: int = 0
    seed: int = 0
    shape: Shape = INFINITE

    def __post_init__(self) -> None:
        for name, angle in (("alpha", self.tilt[0]), ("beta", self.tilt[1]), ("rotation", self.rotation_deg)):
            quantities.ANGLE.check(angle, name)
        for share in self.offset:
            quantities.OFFSET.check(share, "offset")
        check_thicknesses(self.thicknesses)
        quantities.SNAPSHOTS.check(self.phonons, "frozen phonons")
        quantities.SEED.check(self.seed, "seed")

    @property
    def has_small_cell(self) -> bool:
        """Whether the images repeat with the cell: no frozen phonons, a small tilt, no edge or wedge."""
        return (
            self.phonons == 0
            and self.shape == INFINITE
            and max(abs((angle + 180) % 360 - 180) for angle in self.tilt) <= SMALL_TILT
        )

    @property
    def point(self) -> tuple[float, float, float]:
        """Point of the crystal under the image's centre, on the first atomic layer [Å]."""
        a, b, _ = self.cell.cell.lengths()
        return float(self.offset[0] * a), float(self.offset[1] * b), float(self.cell.positions[:, 2].min())


def simulate_specimen(
    specimen: Specimen,
    microscope: Microscope,
    numerics: Numerics,
    image: Image,
    parametrization: str = "lobato",
    device: str = "cpu",
    progress: Progress | None = None,
) -> xarray.Dataset:
    """
    Simulate the images and the projected potential of a specimen at all thicknesses.

    Parameters
    ----------
    specimen : Specimen
        Crystal and orientation.
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
    progress : callable, optional
        Called with the numbers of plane waves done so far and in all.

    Returns
    -------
    xarray.Dataset
        segments (thickness, segment, y, x), fractions of the beam current; potential (thickness, y, x) [V Å].
    """
    count = len(specimen.thicknesses) * (len(microscope.channels) + 1)
    # Images are complex while they are rendered, then real.
    check_memory(12 * count * image.pixels**2, f"{count} images of {image.pixels} x {image.pixels} pixels")
    simulate = _simulate_cell if specimen.has_small_cell else _simulate_slab
    images, slabs, field = simulate(specimen, microscope, numerics, image, parametrization, device, progress)
    return simulation_dataset(images, slabs, microscope, field)


def _projected(
    potential: CrystalPotential, slicing: Slicing, images: PeriodicImages, tilt: tuple[float, float] = (0.0, 0.0)
) -> ComplexArray:
    """Projected potential (thickness, ...) of the slabs that the waves of `images` passed."""
    totals = [slicing.nearest(thickness) for thickness in images.thicknesses]
    return np.stack([potential.projected(slicing, total, tilt) for total in totals])


def _simulate_cell(
    specimen: Specimen,
    microscope: Microscope,
    numerics: Numerics,
    image: Image,
    parametrization: str,
    device: str,
    progress: Progress | None,
) -> tuple[PeriodicImages, ComplexArray, Field]:
    pixels = (numerics.sampling_angstrom, image.sampling_angstrom)
    potential = sampled_potential(specimen.cell, *pixels, parametrization, specimen.rms_displacements)
    tilt = crystal_tilt(*specimen.tilt, specimen.rotation_deg)
    images = simulate_images(
        potential, microscope, numerics, specimen.thicknesses, tilt, [specimen.rotation_deg], device, progress=progress
    )
    field = Field(image, specimen.rotation_deg, specimen.point[:2])
    slicing = potential.slicing(numerics.slice_thickness_angstrom)
    return images, _projected(potential, slicing, images, tilt), field


def _simulate_slab(
    specimen: Specimen,
    microscope: Microscope,
    numerics: Numerics,
    image: Image,
    parametrization: str,
    device: str,
    progress: Progress | None,
) -> tuple[PeriodicImages, ComplexArray, Field]:
    """Simulate the slab as one cell with a single kappa, averaged over thermal configurations."""
    side = slab_side(
        image.pixels * image.sampling_angstrom,
        specimen.thicknesses[-1],
        microscope.semiangle_mrad,
        numerics.window_angstrom,
    )
    # A slab's atoms lie at all heights.
    numerics = replace(numerics, slice_thickness_angstrom=max(SLAB_SLICE, numerics.slice_thickness_angstrom))
    dz = numerics.slice_thickness_angstrom
    wedge = specimen.shape.wedge
    # An inclined surface rises above the image's centre.
    rise = 0.0 if wedge is None else math.tan(math.radians(wedge[1])) * side * math.sqrt(0.5)
    lead = rise + dz / 2
    thickness = max(1, round((specimen.thicknesses[-1] + rise) / dz)) * dz
    angles = (*specimen.tilt, specimen.rotation_deg)
    slab = cut_slab(specimen.cell, angles, thickness, (side, side), specimen.point, lead)
    slab = shape_slab(slab, specimen.shape, image.pixels * image.sampling_angstrom, lead)
    damping = None if specimen.phonons else specimen.rms_displacements
    pixels = (numerics.sampling_angstrom, image.sampling_angstrom)
    # Displaced atoms stay in their slices, so that all snapshots end at the same depths.
    slicing = sampled_potential(slab, *pixels, parametrization).slicing(dz)
    above = 0.0 if wedge is None else lead - slicing.origin
    depths = [thickness + above for thickness in specimen.thicknesses]
    series, projected = [], []
    for atoms, advance in _snapshots(slab, specimen, progress):
        potential = sampled_potential(atoms, *pixels, parametrization, damping)
        series.append(
            simulate_images(potential, microscope, numerics, depths, device=device, progress=advance, slicing=slicing)
        )
        projected.append(_projected(potential, slicing, series[-1]))
    mean = replace(
        series[0],
        thicknesses=series[0].thicknesses - above,
        coefficients=np.mean([images.coefficients for images in series], axis=0),
    )
    return mean, np.mean(projected, axis=0), Field(image, 0.0, (side / 2, side / 2))


def _snapshots(slab: Atoms, specimen: Specimen, progress: Progress | None) -> Iterator[tuple[Atoms, Progress]]:
    """Thermal configurations of a slab, or the slab itself, each with a function that reports its progress."""
    count = max(1, specimen.phonons)
    snapshots: Iterable[Atoms] = [slab]
    if specimen.phonons:
        snapshots = frozen_phonons(slab, count, specimen.rms_displacements or {}, specimen.seed)
    for index, atoms in enumerate(snapshots):

        def advance(done: int, waves: int, index: int = index) -> None:
            if progress is not None:
                progress(index * waves + done, count * waves)

        yield atoms, advance


def simulation_dataset(
    images: PeriodicImages, slabs: ComplexArray, microscope: Microscope, field: Field
) -> xarray.Dataset:
    """
    Render all thicknesses of one simulation.

    Parameters
    ----------
    images : PeriodicImages
        Series at one rotation.
    slabs : (thickness, 2 my + 1, 2 mx + 1) complex array
        Fourier coefficients of the slabs' projected potential [V Å].
    microscope : Microscope
        Gives the names of the channels; an annular dark-field image becomes a separate array.
    field : Field
        Image and how the crystal lies under it.

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
            "thickness": ("thickness", images.thicknesses / 10, {"units": "nm", "description": "whole slices"}),
            "segment": ("segment", np.array(names, dtype=StringDType())),
            "y": ("y", field.image.positions, position),
            "x": ("x", field.image.positions, position),
        },
    )
