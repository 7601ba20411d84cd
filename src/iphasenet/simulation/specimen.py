"""One simulation of one crystal: of its small cell where it has one, else of a slab of atoms."""

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
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.numerics import Numerics, check_thicknesses, sampled_potential
from iphasenet.multislice.periodic_images import ComplexArray, PeriodicImages, simulate_images
from iphasenet.simulation.rendering import Field, Image, render
from iphasenet.simulation.tilts import crystal_lean

Progress = Callable[[int, int], object]

SMALL_TILT = 2.0
"""Largest tilt that the propagator carries; beyond it the slab's atoms are rotated [degrees]."""

SLAB_SLICE = 1.0
"""Thinnest slices of a slab [Å]."""


@dataclass(frozen=True)
class Specimen:
    """
    A crystal and how it stands in the beam.

    Attributes
    ----------
    cell : ase.Atoms
        Orthogonal cell, beam along z.
    thickness_nm : tuple of float
        Thicknesses, rising [nm].
    tilt_deg : (float, float)
        alpha, beta: the crystal, rotated by gamma, is tilted by alpha about lab x, then by beta about lab y [degrees].
    rotation_deg : float
        gamma [degrees].
    offset : (float, float)
        Point of the cell under the image's centre, as shares of its periods.
    rms_displacements : mapping
        Thermal displacement along one axis for elements [Å].
    phonons : int
        Frozen-phonon configurations; 0 takes Debye-Waller factors instead.
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
        """Whether the cell's periods hold: atoms at their sites, tilted little, no end in sight."""
        return (
            self.phonons == 0
            and self.shape == INFINITE
            and max(abs((angle + 180) % 360 - 180) for angle in self.tilt_deg) <= SMALL_TILT
        )

    @property
    def depths(self) -> tuple[float, ...]:
        """Thicknesses as the multislice has them [Å]."""
        return tuple(10 * thickness for thickness in self.thickness_nm)

    @property
    def point(self) -> tuple[float, float, float]:
        """Point of the crystal under the image's centre: on the first atomic layer [Å]."""
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
        Called with the number of plane waves done so far and that of all.

    Returns
    -------
    xarray.Dataset
        segments (thickness, segment, y, x), fractions of the beam current; potential (thickness, y, x) [V Å].
    """
    count = len(specimen.thickness_nm) * (len(microscope.channels) + 1)
    # Complex while they are rendered, then real.
    check_memory(12 * count * image.pixels**2, f"{count} images of {image.pixels} x {image.pixels} pixels")
    simulate = _simulate_cell if specimen.has_small_cell else _simulate_slab
    images, slabs, field = simulate(specimen, microscope, numerics, image, parametrization, device, progress)
    return simulation_dataset(images, slabs, microscope, field)


def _projected(
    potential: CrystalPotential, slicing: Slicing, images: PeriodicImages, lean: tuple[float, float] = (0.0, 0.0)
) -> ComplexArray:
    """Projected potential (thickness, ...) of what the waves of `images` passed."""
    totals = [slicing.nearest(depth) for depth in images.depths]
    return np.stack([potential.projected(slicing, total, lean) for total in totals])


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
    lean = crystal_lean(*specimen.tilt_deg, specimen.rotation_deg)
    images = simulate_images(
        potential, microscope, numerics, specimen.depths, lean, [specimen.rotation_deg], device, progress=progress
    )
    field = Field(image, specimen.rotation_deg, specimen.point[:2])
    slicing = potential.slicing(numerics.slice_thickness_angstrom)
    return images, _projected(potential, slicing, images, lean), field


def _simulate_slab(
    specimen: Specimen,
    microscope: Microscope,
    numerics: Numerics,
    image: Image,
    parametrization: str,
    device: str,
    progress: Progress | None,
) -> tuple[PeriodicImages, ComplexArray, Field]:
    """One kappa, and the slab as the cell; the mean over thermal configurations."""
    side = slab_side(
        image.pixels * image.sampling_angstrom,
        specimen.depths[-1],
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
    depth = max(1, round((specimen.depths[-1] + rise) / dz)) * dz
    angles = (*specimen.tilt_deg, specimen.rotation_deg)
    slab = cut_slab(specimen.cell, angles, depth, (side, side), specimen.point, lead)
    slab = shape_slab(slab, specimen.shape, image.pixels * image.sampling_angstrom, lead)
    damping = None if specimen.phonons else specimen.rms_displacements
    pixels = (numerics.sampling_angstrom, image.sampling_angstrom)
    # Displaced atoms stay in their slices: all snapshots end at the same depths.
    slicing = sampled_potential(slab, *pixels, parametrization).slicing(dz)
    above = 0.0 if wedge is None else lead - slicing.origin
    depths = [depth + above for depth in specimen.depths]
    series, projected = [], []
    for atoms, advance in _snapshots(slab, specimen, progress):
        potential = sampled_potential(atoms, *pixels, parametrization, damping)
        series.append(
            simulate_images(potential, microscope, numerics, depths, device=device, progress=advance, slicing=slicing)
        )
        projected.append(_projected(potential, slicing, series[-1]))
    mean = replace(
        series[0],
        depths=series[0].depths - above,
        coefficients=np.mean([images.coefficients for images in series], axis=0),
    )
    return mean, np.mean(projected, axis=0), Field(image, 0.0, (side / 2, side / 2))


def _snapshots(slab: Atoms, specimen: Specimen, progress: Progress | None) -> Iterator[tuple[Atoms, Progress]]:
    """Thermal configurations of a slab, or the slab itself, each with what tells its part of the whole progress."""
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
        Names of the channels; annular dark field, where there is one, becomes an array of its own.
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
            "thickness": ("thickness", images.depths / 10, {"units": "nm", "description": "whole slices"}),
            "segment": ("segment", np.array(names, dtype=StringDType())),
            "y": ("y", field.image.positions, position),
            "x": ("x", field.image.positions, position),
        },
    )
