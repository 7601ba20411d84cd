"""One multislice pass of a probe's plane waves through a crystal, with all preparations for the first wave."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import torch
from torch import Tensor

from iphasenet.base.devices import exact_float32
from iphasenet.base.errors import InputError
from iphasenet.base.quantities import counted
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.crystal.slicing import Slicing
from iphasenet.microscope.optics import Microscope
from iphasenet.microscope.probe import Block, Translations, probe_blocks, window_cells
from iphasenet.multislice.detection import Detection, image_grid
from iphasenet.multislice.memory import MATRICES, SimulationSize
from iphasenet.multislice.numerics import cell_grid, check_band, exit_planes
from iphasenet.multislice.propagation import CellGrid, transmission_functions
from iphasenet.multislice.scattering_matrix import Crystal, Orders, columns
from iphasenet.multislice.settings import Numerics


@dataclass(frozen=True)
class MultislicePass:
    """
    A crystal, a microscope and the numerics with which the probe's waves are propagated through the crystal.

    Attributes
    ----------
    potential : CrystalPotential
        Potential of the cell.
    microscope : Microscope
        Probe and detectors.
    numerics : Numerics
        Grid, slices, window and memory.
    depths : sequence of float, rising
        Depths [Å]; each is rounded to whole slices.
    lean : (float, float)
        Lateral shift of an atomic column per depth (x, y), in the crystal's frame.
    rotations : sequence of float
        In-plane rotations gamma of the crystal [degrees].
    device : str
        Torch device.
    dtype : torch.dtype
        float32 or float64.
    given_slicing : Slicing, optional
        Slices of the cell; if not given, by the slice thickness of `numerics`.
    optics : sequence of Microscope
        Microscope for each rotation, within the probe and the detectors of `microscope`; if empty, `microscope` itself.

    Raises
    ------
    InputError
        If an angle is undefined, the probe or a detector reaches beyond the grid's band limit, two depths give the same
        number of slices, a depth is below one slice, or not even one wave fits into the memory.
    """

    potential: CrystalPotential
    microscope: Microscope
    numerics: Numerics
    depths: Sequence[float]
    lean: tuple[float, float] = (0.0, 0.0)
    rotations: Sequence[float] = (0.0,)
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    given_slicing: Slicing | None = None
    optics: Sequence[Microscope] = ()

    def __post_init__(self) -> None:
        if not np.isfinite([*self.lean, *self.rotations]).all():
            raise InputError(f"lean {self.lean}, rotations {list(self.rotations)}: found an undefined angle; allowed: "
                             "finite numbers")  # fmt: skip
        if self.optics and len(self.optics) != len(self.rotations):
            found = f"{len(self.optics)} for {counted(len(self.rotations), 'rotation')}"
            raise InputError(f"microscopes: found {found}; allowed: one for each")
        check_band(self.microscope, self.grid)
        # Checks depths and memory before anything large is made.
        _ = self.waves_together

    def at(self, lean: tuple[float, float], depths: Sequence[float], displacement: float = 1.0) -> Self:
        """
        Pass of the same crystal at another tilt, to other depths.

        Parameters
        ----------
        lean, depths
            As in this class.
        displacement : float
            Factor for the displacements of all atoms, if they move.

        Returns
        -------
        MultislicePass
            It shares what does not depend on them: grid, slices, waves and the crystal on its grid.
        """
        other = replace(self, potential=self.potential.displaced(displacement), lean=lean, depths=depths)
        for name in self._shared:
            vars(other)[name] = getattr(self, name)
        return other

    @property
    def _shared(self) -> tuple[str, ...]:
        """Preparations that depend on neither tilt nor depth."""
        return ("grid", "slicing", "cells", "blocks")

    @property
    def lengths(self) -> tuple[float, float]:
        """Periods along x and y [Å]."""
        a, b, _ = self.potential.lengths
        return a, b

    @cached_property
    def grid(self) -> CellGrid:
        """Grid of the cell."""
        return cell_grid(self.lengths, self.numerics.sampling_angstrom, self.potential.translations)

    @cached_property
    def slicing(self) -> Slicing:
        """Slices of the cell."""
        given = self.given_slicing
        return self.potential.slicing(self.numerics.slice_thickness_angstrom) if given is None else given

    @cached_property
    def exits(self) -> list[int]:
        """Numbers of slices after which the waves are recorded."""
        return exit_planes(self.depths, self.slicing)

    @cached_property
    def cells(self) -> tuple[int, int]:
        """Number of cells of the window along x and y."""
        return window_cells(self.lengths, self.numerics.window_angstrom)

    @property
    def pixel(self) -> tuple[float, float]:
        """Size of a reciprocal pixel of the window [1/Å]."""
        (a, b), cells = self.lengths, self.cells
        return 1 / (cells[0] * a), 1 / (cells[1] * b)

    @property
    def translations(self) -> Translations:
        """Lateral translations that leave what the waves pass unchanged."""
        return self.potential.translations

    @cached_property
    def blocks(self) -> list[Block]:
        """Incident waves."""
        return probe_blocks(self.lengths, self.cells, self.microscope, self.translations)

    @property
    def image_grid(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Highest orders of the images, and a grid of probe positions that holds them (x, y)."""
        aperture = self.microscope.frequency(self.microscope.semiangle_mrad)
        return image_grid(self.lengths, 2 * aperture + 2 * max(self.pixel))

    @property
    def reach(self) -> float:
        """Spatial frequency below which outgoing beams are kept [1/Å]."""
        return self.microscope.detector_reach + max(self.pixel)

    @cached_property
    def detections(self) -> list[Detection]:
        """How the outgoing beams are recorded: by one microscope, or by one for each rotation."""
        size = self.image_grid[1]
        if not self.optics:
            return [Detection(self.microscope, self.lengths, self.pixel, self.rotations, size)]
        pairs = zip(self.optics, self.rotations, strict=True)
        return [Detection(one, self.lengths, self.pixel, [rotation], size, True) for one, rotation in pairs]

    @property
    def _size(self) -> SimulationSize:
        (a, b), (_, size) = self.lengths, self.image_grid
        # Beams of a block that a detector sees: area of the detected disc over that of one mesh of reciprocal space.
        beams = math.ceil(math.pi * (self.reach + max(1 / a, 1 / b)) ** 2 * a * b)
        images = len(self.rotations) * len(self.microscope.channels)
        return SimulationSize(
            self.grid, self.slicing.count, len(self.exits), self.blocks, beams, size[0] * size[1], images, self.dtype
        )

    @cached_property
    def waves_together(self) -> int:
        """Number of plane waves that are propagated together."""
        return self._size.waves_together(self.numerics.memory_mb, self.device)

    @property
    def matrix_memory(self) -> float:
        """Memory that transfer matrices may take [bytes]."""
        return MATRICES * 1e6 * self.numerics.memory_mb

    @cached_property
    def crystal(self) -> Crystal:
        """The crystal on its grid."""
        slices = self.potential.slices(self.slicing, self.grid.gpts)
        potential = torch.as_tensor(slices, dtype=self.dtype, device=self.device)
        coefficients = transmission_functions(potential, self.grid, self.microscope.interaction_constant)
        distances, wavelength = self.slicing.distances.tolist(), self.microscope.wavelength
        return Crystal(self.grid, coefficients, distances, wavelength, self.lean, self.potential.translations)

    def summed_intensity(
        self,
        columns: Iterable[tuple[Block, Orders, Tensor]],
        exits: int,
        parts: Sequence[int],
        progress: Callable[[int, int], object] | None = None,
    ) -> Tensor:
        """
        Sum the intensities that blocks give.

        Parameters
        ----------
        columns : iterable of (Block, (beam, 2) array, (exit, wave, beam) complex tensor)
            Columns of the scattering matrix, in the order of `parts`.
        exits : int
            Number of exit planes.
        parts : sequence of int
            Number, from 0, of the sum to which each block belongs.
        progress : callable, optional
            Called with the numbers of plane waves done so far and in all.

        Returns
        -------
        (part, exit, rotation, channel, y, x) float64 tensor
            Intensities on the grid of probe positions.
        """
        _, (nx, ny) = self.image_grid
        shape = (max(parts) + 1, exits, len(self.rotations), len(self.microscope.channels), ny, nx)
        total = torch.zeros(shape, dtype=torch.float64, device=self.device)
        done, every = 0, sum(len(block.orders) for block in self.blocks)
        with exact_float32(total.device):
            for part, (block, beams, matrix) in zip(parts, columns, strict=True):
                # A small detector may see none of a block's beams.
                if len(beams):
                    found = [detection.intensity(matrix, block, beams) for detection in self.detections]
                    total[part] += torch.cat(found, dim=1)
                done += len(block.orders)
                if progress is not None:
                    progress(done, every)
        return total

    def columns(self) -> Iterator[tuple[Block, Orders, Tensor]]:
        """Columns of the scattering matrix, block by block (`scattering_matrix.columns`)."""
        return columns(self.blocks, self.crystal, self.exits, self.reach, self.waves_together, self.matrix_memory)
