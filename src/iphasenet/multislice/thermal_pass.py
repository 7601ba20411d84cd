"""One pass of a probe's plane waves through a crystal whose atoms move, each block through its own configuration."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from iphasenet.base.devices import send
from iphasenet.base.quantities import MULTISLICE_SAMPLING
from iphasenet.microscope.probe import Block, Translations, probe_blocks, window_cells
from iphasenet.multislice.displaced_cell import DisplacedCell
from iphasenet.multislice.displacements import Seed, draw_normals, serpentine, square_roots
from iphasenet.multislice.lattice_grid import FloatArray, IntArray, LatticeGrid, lateral_atoms, nearest_wave
from iphasenet.multislice.multislice_pass import MultislicePass
from iphasenet.multislice.propagation import slice_propagators
from iphasenet.multislice.scattering_matrix import Orders
from iphasenet.multislice.transforms import transform_pair

_COARSE_PIXEL = 0.4
"""Pixel of the coarse grid over the smallest distance that probe and detector see: 0.2 Å for 50 mrad at 200 kV."""

_COARSE_POWER_SHARE = 1.6
"""A side of the coarse grid is a power of two if that has at most this many times the points that are needed."""

_WORTHWHILE = 2
"""Smallest ratio of the fine grid's points to the coarse one's."""

_POINTS_TOGETHER = 2**16
"""Points of transmission functions that a CPU computes together: more do not fit into its cache."""


@dataclass(frozen=True)
class ThermalPass(MultislicePass):
    """
    Passes through displaced atoms, with the preparations of `MultislicePass`.

    Atoms are displaced alike in all primitive cells across the beam, and independently along it. Every slice differs,
    so nothing is gained by transfer matrices, and the waves may fill the whole grid: a product that leaves it comes
    back far outside the detectors.
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

    @property
    def _shared(self) -> tuple[str, ...]:
        return (*super()._shared, "displaced")

    @cached_property
    def grid(self) -> LatticeGrid:
        """Grid of the primitive cell of the displaced crystal."""
        return LatticeGrid.of_lattice(self.lengths, self.numerics.sampling_angstrom, self.translations)

    @cached_property
    def blocks(self) -> list[Block]:
        """Incident waves, neighbours in kappa next to each other."""
        blocks = probe_blocks(self.lengths, self.cells, self.microscope, self.translations)
        return [blocks[number] for number in serpentine(self._fields(blocks))]

    @cached_property
    def half(self) -> IntArray:
        """Half, 0 or 1, of each block: they are divided like the fields of a chessboard, into two meshes of kappa."""
        return self._fields(self.blocks).sum(axis=1) % 2

    def _fields(self, blocks: Sequence[Block]) -> IntArray:
        """Places (block, 2) of blocks on the mesh of the window's wave vectors."""
        waves = np.array([nearest_wave(block, self.lengths)[0] for block in blocks])
        return np.rint(waves / self.pixel).astype(np.int64)

    @cached_property
    def coarse(self) -> "ThermalPass | None":
        """
        Passes with the same displacements in the same slices, on a grid that just holds what the detectors see.

        None if none are asked for, or if that grid is hardly coarser.
        """
        sampling = min(_COARSE_PIXEL / self.microscope.reach, MULTISLICE_SAMPLING.high)
        grid = LatticeGrid.of_lattice(self.lengths, sampling, self.translations, _COARSE_POWER_SHARE)
        if not self.numerics.thermal_coarse_passes or math.prod(self.grid.gpts) < _WORTHWHILE * math.prod(grid.gpts):
            return None
        numerics = replace(self.numerics, sampling_angstrom=sampling)
        same = {item.name: getattr(self, item.name) for item in fields(self)}
        return CoarsePass(**{**same, "numerics": numerics, "given_slicing": self.slicing})

    @cached_property
    def displaced(self) -> DisplacedCell:
        """The crystal on its grid."""
        sigma = self.microscope.interaction_constant
        atoms = lateral_atoms(self.potential, self.grid, self.repeats)
        device = torch.device(self.device)
        return DisplacedCell(self.potential, atoms, self.slicing, self.grid, sigma, device, self.dtype)

    def displaced_columns(
        self, exits: Sequence[int], seed: Seed, chosen: slice = slice(None)
    ) -> Iterator[tuple[Block, Orders, Tensor]]:
        """
        Columns of the scattering matrix, block by block, each for its own configuration of the atoms.

        Parameters
        ----------
        exits : sequence of int, rising
            Numbers of slices after which the waves are collected.
        seed : int or sequence of int
            Seed of the displacements.
        chosen : slice
            Blocks that are passed; displacements are balanced over all of them.

        Yields
        ------
        Block, (beam, 2) array, (exit, wave, beam) complex tensor
            A block, the orders of its outgoing beams and its columns.
        """
        shifts = self._shifts(math.ceil(exits[-1] / self.slicing.count), seed)[chosen]
        blocks, largest = self.blocks[chosen], max(len(block.orders) for block in self.blocks)
        # On a CPU, one block at a time stays in the cache.
        together = 1 if self.device == "cpu" else max(1, self.waves_together // largest)
        for start in range(0, len(blocks), together):
            group = slice(start, start + together)
            yield from self._passed(blocks[group], exits, send(shifts[group], self.displaced.device))

    def _shifts(self, repeats: int, seed: Seed) -> FloatArray:
        """Displacements (block, repeat, atom, 2) of all independent atoms [Å]; those of one place move together."""
        assert self.potential.displacements is not None
        atoms = self.displaced.atoms
        normals = draw_normals(len(self.blocks), repeats, atoms.place_count, seed)[:, :, atoms.places]
        roots = square_roots(self.potential.displacements[atoms.origin])
        return np.einsum("aij,braj->brai", roots, normals)

    def _passed(
        self, blocks: Sequence[Block], exits: Sequence[int], shifts: Tensor
    ) -> Iterator[tuple[Block, Orders, Tensor]]:
        """Send some blocks through the crystal together, as many of their waves at a time as fit into the memory."""
        kept = [self._beams(block) for block in blocks]
        left: list[list[list[Tensor]]] = [[[] for _ in exits] for _ in blocks]
        propagator, largest = self._propagators(blocks), max(len(block.orders) for block in blocks)
        for start in range(0, largest, self.waves_together):
            parts = self._incident(blocks, slice(start, start + self.waves_together))
            transforms = [transform_pair(part) for part in parts]
            for numbers, transmissions in self._transmissions(shifts, exits[-1]):
                for index, (part, (to_values, to_coefficients)) in enumerate(zip(parts, transforms, strict=True)):
                    for place, number in enumerate(numbers):
                        values = to_values(part)
                        values *= transmissions[:, place, None]
                        part = to_coefficients(values)
                        part *= propagator[number % self.slicing.count][:, None]
                        if number + 1 in exits:
                            for found, field, (_, points) in zip(left, part, kept, strict=True):
                                found[exits.index(number + 1)].append(field.flatten(1)[:, points])
                    parts[index] = part
        for found, block, (orders, _) in zip(left, blocks, kept, strict=True):
            yield block, orders, torch.stack([torch.cat(fields)[: len(block.orders)] for fields in found])

    def _incident(self, blocks: Sequence[Block], chosen: slice) -> list[Tensor]:
        """Cut plane waves (block, wave, y, x), some of each block, into parts; blocks with fewer carry empty ones."""
        device, (nx, ny) = self.displaced.device, self.grid.gpts
        orders = [block.orders[chosen] - nearest_wave(block, self.lengths)[1] for block in blocks]
        complex_type = torch.complex128 if self.dtype == torch.float64 else torch.complex64
        waves = torch.zeros(len(blocks), max(map(len, orders)), ny, nx, dtype=complex_type, device=device)
        for field, found in zip(waves, orders, strict=True):
            points = send(self.grid.points(found), device)
            field.flatten(1)[torch.arange(len(points), device=device), points] = 1
        chunk = max(1, _POINTS_TOGETHER // (nx * ny)) if self.device == "cpu" else waves.shape[1]
        return list(waves.split(chunk, dim=1))

    def _transmissions(self, shifts: Tensor, slices: int) -> Iterator[tuple[range, Tensor]]:
        """Numbers and transmission functions (block, slice, y, x) of some slices after the others."""
        points = len(shifts) * self.grid.gpts[0] * self.grid.gpts[1]
        together = max(1, _POINTS_TOGETHER // points)
        for start in range(0, slices, together):
            numbers = range(start, min(slices, start + together))
            yield numbers, self.displaced.transmissions(shifts, numbers)

    def _propagators(self, blocks: Sequence[Block]) -> list[Tensor]:
        """Propagators (block, y, x) after each slice of a cell, over the number of points of a transform."""
        kappa = np.stack([nearest_wave(block, self.lengths)[0] for block in blocks])
        vectors, distances = send(kappa, self.displaced.device), self.slicing.distances.tolist()
        complex_type = torch.complex128 if self.dtype == torch.float64 else torch.complex64
        found = slice_propagators(self.grid, vectors, self.microscope.wavelength, distances, self.lean, complex_type)
        # Slices of one distance share theirs.
        for propagator in {id(one): one for one in found}.values():
            propagator /= self.grid.gpts[0] * self.grid.gpts[1]
        return found

    def _beams(self, block: Block) -> tuple[Orders, Tensor]:
        """Orders (beam, 2) that reach a detector, and their points of the grid."""
        orders = nearest_wave(block, self.lengths)[1] + self.grid.all_orders()
        k = block.kappa + orders / np.array(self.lengths)
        points = np.flatnonzero(np.hypot(k[:, 0], k[:, 1]) < self.reach)
        return orders[points], send(points, self.displaced.device)


@dataclass(frozen=True)
class CoarsePass(ThermalPass):
    """A pass on a coarse grid, whose sides are powers of two where possible: small ones are transformed fastest."""

    @cached_property
    def grid(self) -> LatticeGrid:
        """Grid of the primitive cell of the displaced crystal."""
        pixel = self.numerics.sampling_angstrom
        return LatticeGrid.of_lattice(self.lengths, pixel, self.translations, _COARSE_POWER_SHARE)
