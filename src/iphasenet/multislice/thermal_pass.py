"""One pass of a probe's plane waves through a crystal whose atoms move, each block through its own configuration."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from iphasenet.base.devices import send
from iphasenet.microscope.probe import Block, Translations, window_cells
from iphasenet.multislice.displaced_cell import DisplacedCell
from iphasenet.multislice.displacements import Seed, draw_displacements, serpentine
from iphasenet.multislice.lattice_grid import LatticeGrid, lateral_atoms, nearest_wave
from iphasenet.multislice.multislice_pass import MultislicePass
from iphasenet.multislice.propagation import propagators
from iphasenet.multislice.scattering_matrix import Orders

_POINTS_TOGETHER = 2**16
"""Points of transmission functions that a CPU computes together: more do not fit into its cache."""


@dataclass(frozen=True)
class ThermalPass(MultislicePass):
    """
    Passes through displaced atoms, with the preparations of `MultislicePass`.

    Atoms are displaced alike in all primitive cells across the beam, and independently along it. Every slice differs, so
    nothing is gained by transfer matrices, and the waves may fill the whole grid: a product that leaves it comes back far
    outside the detectors.
    """

    @cached_property
    def repeats(self) -> tuple[int, int]:
        """Cells along x and y after which displacements repeat."""
        a, b, _ = self.potential.lengths
        return window_cells((a, b), self.numerics.thermal_period_angstrom)

    @property
    def lengths(self) -> tuple[float, float]:
        """Periods of the displaced crystal along x and y [Å]."""
        (a, b, _), (x, y) = self.potential.lengths, self.repeats
        return x * a, y * b

    @property
    def translations(self) -> Translations:
        """Translations of the displaced crystal: those of the mean one if displacements repeat with its cell."""
        return self.potential.translations if self.repeats == (1, 1) else ()

    @cached_property
    def grid(self) -> LatticeGrid:
        """Grid of the primitive cell of the displaced crystal."""
        return LatticeGrid.of_lattice(self.lengths, self.numerics.sampling_angstrom, self.translations)

    @cached_property
    def halves(self) -> list[list[Block]]:
        """Blocks divided like the fields of a chessboard: two meshes of kappa, each of which holds half of the probe."""
        index = np.array([np.rint(nearest_wave(block, self.lengths)[0] / self.pixel) for block in self.blocks])
        order, odd = serpentine(index), index.sum(axis=1) % 2 != 0
        parts = [[self.blocks[number] for number in order if odd[number] == half] for half in (False, True)]
        return [part for part in parts if part]

    @cached_property
    def displaced(self) -> DisplacedCell:
        """The crystal on its grid."""
        sigma = self.microscope.interaction_constant
        atoms = lateral_atoms(self.potential, self.grid, self.repeats)
        device = torch.device(self.device)
        return DisplacedCell(self.potential, atoms, self.slicing, self.grid, sigma, device, self.dtype)

    def displaced_columns(
        self, blocks: Sequence[Block], exits: Sequence[int], seed: Seed
    ) -> Iterator[tuple[Block, Orders, Tensor]]:
        """
        Columns of the scattering matrix, block by block, each for its own configuration of the atoms.

        Parameters
        ----------
        blocks : sequence of Block
            Blocks among which displacements are balanced.
        exits : sequence of int, rising
            Numbers of slices after which the waves are collected.
        seed : int or sequence of int
            Seed of the displacements.

        Yields
        ------
        Block, (beam, 2) array, (exit, wave, beam) complex tensor
            A block, the orders of its outgoing beams and its columns.
        """
        assert self.potential.displacements is not None
        repeats, tensors = math.ceil(exits[-1] / self.slicing.count), self.potential.displacements
        shifts = draw_displacements(tensors[self.displaced.atoms.origin], len(blocks), repeats, seed)
        largest = max(len(block.orders) for block in blocks)
        # On a CPU, one block at a time stays in the cache.
        together = 1 if self.device == "cpu" else max(1, self.waves_together // largest)
        for start in range(0, len(blocks), together):
            chosen = slice(start, start + together)
            yield from self._passed(blocks[chosen], exits, send(shifts[chosen], self.displaced.device))

    def _passed(
        self, blocks: Sequence[Block], exits: Sequence[int], shifts: Tensor
    ) -> Iterator[tuple[Block, Orders, Tensor]]:
        """Send some blocks through the crystal together; those with fewer waves carry empty ones."""
        device, (nx, ny) = self.displaced.device, self.grid.gpts
        kept = [self._beams(block) for block in blocks]
        complex_type = torch.complex128 if self.dtype == torch.float64 else torch.complex64
        waves = torch.zeros(
            len(blocks), max(len(b.orders) for b in blocks), ny, nx, dtype=complex_type, device=device
        )
        for field, block in zip(waves, blocks, strict=True):
            points = send(self.grid.points(block.orders - nearest_wave(block, self.lengths)[1]), device)
            field.flatten(1)[torch.arange(len(points), device=device), points] = 1
        columns: list[list[Tensor]] = [[] for _ in blocks]
        propagator = self._propagators(blocks)
        for number, transmission in self._transmissions(shifts, exits[-1]):
            real = torch.fft.ifft2(waves, norm="forward")
            real *= transmission[:, None]
            waves = torch.fft.fft2(real, norm="forward")
            waves *= propagator[number % self.slicing.count][:, None]
            if number + 1 in exits:
                for found, block, field, (_, points) in zip(columns, blocks, waves, kept, strict=True):
                    found.append(field[: len(block.orders)].flatten(1)[:, points])
        for block, (orders, _), found in zip(blocks, kept, columns, strict=True):
            yield block, orders, torch.stack(found)

    def _transmissions(self, shifts: Tensor, slices: int) -> Iterator[tuple[int, Tensor]]:
        """Number and transmission functions (block, y, x) of one slice after another."""
        points = len(shifts) * self.grid.gpts[0] * self.grid.gpts[1]
        together = max(1, _POINTS_TOGETHER // points)
        for start in range(0, slices, together):
            numbers = range(start, min(slices, start + together))
            computed = self.displaced.transmissions(shifts, numbers)
            for place, number in enumerate(numbers):
                yield number, computed[:, place]

    def _propagators(self, blocks: Sequence[Block]) -> list[Tensor]:
        """Propagators (block, y, x) after each slice of a cell; slices of one distance share theirs."""
        kappa = send(np.stack([nearest_wave(block, self.lengths)[0] for block in blocks]), self.displaced.device)
        complex_type = torch.complex128 if self.dtype == torch.float64 else torch.complex64
        keys = [round(distance, 9) for distance in self.slicing.distances.tolist()]
        phases = {
            key: propagators(self.grid, kappa, self.microscope.wavelength, key, self.lean).to(complex_type)
            for key in set(keys)
        }
        return [phases[key] for key in keys]

    def _beams(self, block: Block) -> tuple[Orders, Tensor]:
        """Orders (beam, 2) that reach a detector, and their points of the grid."""
        orders = nearest_wave(block, self.lengths)[1] + self.grid.all_orders()
        k = block.kappa + orders / np.array(self.lengths)
        points = np.flatnonzero(np.hypot(k[:, 0], k[:, 1]) < self.reach)
        return orders[points], send(points, self.displaced.device)
