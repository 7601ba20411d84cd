"""Simulation of one specimen: of the crystal's small cell if its images repeat, else of a slab of atoms."""

import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, replace

import numpy as np
import xarray
from ase import Atoms

from iphasenet.base import quantities
from iphasenet.base.memory import check_memory
from iphasenet.crystal.places import random_occupation
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.crystal.slab import cut_slab, frozen_phonons, shape_slab, slab_side
from iphasenet.crystal.slab_shape import INFINITE, Shape
from iphasenet.crystal.slicing import Slicing
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.numerics import check_thicknesses, sampled_potential
from iphasenet.multislice.periodic_images import ComplexArray, PeriodicImages, simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.multislice.thermal_images import mean_noise
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Field
from iphasenet.simulation.simulation_data import simulation_dataset
from iphasenet.simulation.tilts import crystal_lean
from iphasenet.simulation.truth import Truth, truth_potential

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
        Orthogonal cell, beam along z. Its arrays may hold ``displacements`` and ``occupancies``
        (`iphasenet.crystal.structure.read_structure`).
    thickness_nm : tuple of float
        Thicknesses, rising [nm].
    tilt_deg : (float, float)
        alpha and beta [degrees]: after the rotation by gamma, the crystal is tilted by alpha about lab x, then by beta
        about lab y.
    rotation_deg : float
        Rotation gamma of the crystal about the beam [degrees].
    offset : (float, float)
        Point of the cell under the image's centre, as fractions of its periods.
    phonons : int
        Number of snapshots of a slab with displaced atoms, simulated without tricks: the reference. 0: passes through
        moving atoms until their noise is as low as the numerics say.
    seed : int
        Seed of displacements and of what partly occupied places of a slab hold.
    shape : Shape
        How the slab ends.
    """

    cell: Atoms
    _: KW_ONLY
    thickness_nm: tuple[float, ...]
    tilt_deg: tuple[float, float] = (0.0, 0.0)
    rotation_deg: float = 0.0
    offset: tuple[float, float] = (0.0, 0.0)
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
    truth : {'thermal', 'rest'}
        Whether the projected potential is averaged over thermal motion.
    """

    microscope: Microscope
    numerics: Numerics
    image: Image
    parametrization: str = "lobato"
    device: str = "cpu"
    truth: Truth = "thermal"

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
            segments (thickness, segment, y, x), fractions of the beam current; potential (thickness, y, x) [V Å];
            thermal_noise (thickness), share of the images' contrast, if atoms move.
        """
        count, pixels = len(specimen.thickness_nm) * (len(self.microscope.channels) + 1), self.image.pixels
        # Images are complex while they are rendered, then real.
        check_memory(12 * count * pixels**2, f"{count} images of {pixels} x {pixels} pixels")
        passed = self._cell if specimen.has_small_cell else self._slab
        return simulation_dataset(*passed(specimen, progress), self.microscope, self.truth)

    def _potential(self, atoms: Atoms) -> CrystalPotential:
        """Potential up to the frequencies that multislice and images need."""
        pixels = (self.numerics.sampling_angstrom, self.image.sampling_angstrom)
        return sampled_potential(atoms, *pixels, self.parametrization)

    def _cell(self, specimen: Specimen, progress: Progress | None) -> _Passed:
        """Simulate the crystal's own cell with all kappas."""
        potential = self._potential(specimen.cell)
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
            seed=specimen.seed,
        )
        slicing = potential.slicing(self.numerics.slice_thickness_angstrom)
        field = Field(self.image, specimen.rotation_deg, specimen.point[:2])
        return images, self._projected(potential, slicing, images, lean), field

    def _slab(self, specimen: Specimen, progress: Progress | None) -> _Passed:
        """Simulate the slab as one cell with a single kappa."""
        # A slab's atoms lie at all heights.
        dz = max(SLAB_SLICE, self.numerics.slice_thickness_angstrom)
        slab, side, rise = self._cut(specimen, dz)
        potential = self._potential(slab)
        # Displaced atoms stay in their slices, so that all snapshots end at the same depths.
        slicing = potential.slicing(dz, repeats=False)
        above = 0.0 if specimen.shape.wedge is None else rise + dz / 2 - slicing.origin

        def images(atoms: CrystalPotential, advance: Progress | None) -> PeriodicImages:
            return simulate_images(
                atoms,
                self.microscope,
                replace(self.numerics, slice_thickness_angstrom=dz),
                [depth + above for depth in specimen.depths],
                device=self.device,
                progress=advance,
                slicing=slicing,
                seed=specimen.seed,
            )

        if specimen.phonons:
            snapshots = frozen_phonons(slab, specimen.phonons, specimen.seed)
            steps = (_part(progress, index, specimen.phonons) for index in range(specimen.phonons))
            mean = _mean([images(self._potential(atoms), step) for atoms, step in zip(snapshots, steps, strict=True)])
        else:
            mean = images(potential, progress)
        projected = self._projected(potential, slicing, mean)
        return replace(mean, depths=mean.depths - above), projected, Field(self.image, 0.0, (side / 2, side / 2))

    def _cut(self, specimen: Specimen, dz: float) -> tuple[Atoms, float, float]:
        """
        Slab of whole slices of a specimen, its side, and the rise of an inclined surface above its middle [Å].

        Partly occupied places hold one atom or none.
        """
        field_of_view, wedge = self.image.pixels * self.image.sampling_angstrom, specimen.shape.wedge
        deepest, window = specimen.depths[-1], self.numerics.window_angstrom
        side = slab_side(field_of_view, deepest, self.microscope.semiangle_mrad, window)
        # An inclined surface rises above the image's centre.
        rise = 0.0 if wedge is None else math.tan(math.radians(wedge[1])) * side * math.sqrt(0.5)
        lead, depth = rise + dz / 2, max(1, round((deepest + rise) / dz)) * dz
        angles = (*specimen.tilt_deg, specimen.rotation_deg)
        slab = cut_slab(specimen.cell, angles, depth, (side, side), specimen.point, lead)
        return random_occupation(shape_slab(slab, specimen.shape, field_of_view, lead), specimen.seed), side, rise

    def _projected(
        self, potential: CrystalPotential, slicing: Slicing, images: PeriodicImages, lean: tuple[float, float] = (0, 0)
    ) -> ComplexArray:
        """Projected potential (thickness, ...) of the slabs that the waves of `images` passed."""
        truth = truth_potential(potential, self.truth)
        return np.stack([truth.projected(slicing, slicing.nearest(depth), lean) for depth in images.depths])


def _mean(snapshots: Sequence[PeriodicImages]) -> PeriodicImages:
    """Mean of the images of frozen snapshots, with its standard error."""
    coefficients = np.stack([images.coefficients for images in snapshots])
    noise = np.array([mean_noise(list(found)) for found in coefficients.swapaxes(0, 1)])
    return replace(snapshots[0], coefficients=coefficients.mean(axis=0), noise=noise)


def _part(progress: Progress | None, index: int, count: int) -> Progress | None:
    """Progress of one of several equal parts as progress of the whole."""
    return progress and (lambda done, waves: progress(index * waves + done, count * waves))
