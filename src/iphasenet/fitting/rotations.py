"""Rotations about the beam that an image's lattice allows, and which of them are the same to the crystal."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from iphasenet.fitting.crystal_model import CrystalModel
from iphasenet.fitting.harmonics import Pixels, measure_harmonics
from iphasenet.fitting.image_lattice import ImageLattice
from iphasenet.fitting.orientation import Orientation
from iphasenet.fitting.symmetry import distinct, rotations_about_beam
from iphasenet.fitting.task import Task


@dataclass(frozen=True)
class Rotations:
    """
    Rotations about the beam that an image's lattice allows.

    Attributes
    ----------
    task : Task
        Image, crystal and what is known.
    pixels : Pixels
        Image.
    lattices : sequence of ImageLattice
        Lattices of the crystal in the image, one for each rotation, the likeliest first.
    """

    task: Task
    pixels: Pixels
    lattices: Sequence[ImageLattice]

    @cached_property
    def different(self) -> list[float]:
        """Rotations [degrees], the likeliest first: of those that are the same to the crystal, the smallest."""
        kept = distinct(sorted(self._by_rotation), self._symmetry)
        return [rotation for rotation in self._by_rotation if rotation in kept]

    def orientation(self, rotation_deg: float) -> Orientation:
        """Measure the image at one of the lattices."""
        task, lattice, orders = self.task, self._by_rotation[rotation_deg], self.task.orders()
        harmonics = measure_harmonics(self.pixels, orders @ lattice.reciprocal)
        model = CrystalModel(task.cell, task.microscope, rotation_deg, orders, task.parametrization, task.device)
        return Orientation(task, lattice, harmonics, model)

    def other_slabs(self, orientation: Orientation) -> list[Orientation]:
        """Rotations that are the same to the crystal but not to its slab, whose surfaces lie at another height."""
        rotation = orientation.model.rotation_deg
        same = [one for one in self._by_rotation if distinct([rotation, one], self._symmetry) == [rotation]]
        others = distinct([rotation, *same], rotations_about_beam(self.task.cell, screws=False))[1:]
        return [self.orientation(one) for one in others]

    @cached_property
    def _by_rotation(self) -> dict[float, ImageLattice]:
        return {lattice.rotation_deg: lattice for lattice in self.lattices}

    @cached_property
    def _symmetry(self) -> list[float]:
        return rotations_about_beam(self.task.cell)
