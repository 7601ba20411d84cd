"""Transfer matrices: many cells along the beam as one matrix product.

A Bloch block has a few hundred beams. The matrix that carries them through one cell, squared again and again, passes
2, 4, 8, ... cells at once; where a block has many slices and few beams this costs less than two Fourier transforms a
slice. It is the same multislice: the same transmission functions, propagators and band limit. This module depends on
torch alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from iphasenet.multislice.propagation import CellGrid

_FFT_COST = 6.0
"""Complex multiply-adds of a matrix product in the time of one slice by Fourier transforms, over n log2(n) of its n
points: measured with MKL on an x86 core, 4.9 to 5.5 for the transforms alone."""


@dataclass(frozen=True)
class Passage:
    """
    How a wave field gets from the entrance surface to its exit planes.

    Attributes
    ----------
    slices : int
        Slices of one cell.
    squarings : int
        Largest power: 2**squarings cells in one product.
    steps : tuple of (tuple of int, int)
        For each exit plane: exponents of the powers that lead to it from the exit plane before it, in whole cells, and
        the slices of the next cell that follow.
    """

    slices: int
    squarings: int
    steps: tuple[tuple[tuple[int, ...], int], ...]

    @property
    def matrices(self) -> int:
        """Matrices in memory at the same time: slices, powers, and those with which the slices are multiplied."""
        return self.slices + self.squarings + 5

    @property
    def products(self) -> int:
        """Products of a matrix with the wave field."""
        return sum(len(powers) + rest for powers, rest in self.steps)


def passage(exit_slices: Sequence[int], slices: int, squarings: int) -> Passage:
    """Plan a passage to `exit_slices` (rising) through cells of `slices`, with powers up to 2**squarings cells."""
    steps, cell = [], 0
    for exit_slice in exit_slices:
        whole, rest = divmod(exit_slice, slices)
        remaining, powers = whole - cell, []
        for exponent in range(squarings, -1, -1):
            count, remaining = divmod(remaining, 2**exponent)
            powers += [exponent] * count
        steps.append((tuple(powers), rest))
        cell = whole
    return Passage(slices, squarings, tuple(steps))


def best_passage(exit_slices: Sequence[int], slices: int, beams: int, waves: int, grid: CellGrid) -> Passage | None:
    """
    Cheapest passage by transfer matrices, or None where Fourier transforms cost less.

    Parameters
    ----------
    exit_slices : sequence of int, rising
        Numbers of slices after which the waves are collected.
    slices : int
        Slices of one cell.
    beams : int
        Outgoing beams of the block.
    waves : int
        Incident waves of the block.
    grid : CellGrid
        Grid that the Fourier transforms would use.

    Returns
    -------
    Passage or None
        The passage with the fewest complex multiply-adds.
    """
    cells = exit_slices[-1] // slices
    if cells == 0:
        return None
    plans = [passage(exit_slices, slices, squarings) for squarings in range(int(math.log2(cells)) + 1)]

    def cost(plan: Passage) -> float:
        return beams**3 * (slices - 1 + plan.squarings) + beams**2 * waves * plan.products

    best = min(plans, key=cost)
    points = grid.gpts[0] * grid.gpts[1]
    by_transforms = _FFT_COST * waves * exit_slices[-1] * points * math.log2(points)
    return best if cost(best) < by_transforms else None


def transfer_columns(
    incident: Tensor,
    beams: Tensor,
    detected: Tensor,
    transmission: Tensor,
    propagator: Sequence[Tensor],
    plan: Passage,
) -> Tensor:
    """
    Columns of a block's scattering matrix from powers of its transfer matrix.

    Parameters
    ----------
    incident : (wave, 2) integer tensor
        Orders (x, y) of the incident plane waves.
    beams : (beam, 2) integer tensor
        Orders (x, y) of all beams inside the band limit that the crystal couples with them.
    detected : (detected beam,) integer tensor
        Indices of the beams that are returned.
    transmission : (slice, y, x) complex tensor
        Fourier coefficients of the band-limited transmission functions of one cell, in the order of the FFT.
    propagator : sequence of (beam,) complex tensor
        Propagator after each slice.
    plan : Passage
        Plan from `best_passage`.

    Returns
    -------
    (exit, wave, detected beam) complex tensor
        Amplitudes at the exit planes.
    """
    ny, nx = transmission.shape[-2:]
    # Differences of beams beyond the grid's range wrap around to coefficients that the band limit has set to zero.
    difference = beams[:, None] - beams[None]
    index = (difference[..., 1] % ny) * nx + difference[..., 0] % nx
    layers = [
        phases[:, None] * coefficients.flatten()[index]
        for phases, coefficients in zip(propagator, transmission, strict=True)
    ]
    powers = [_product(layers)]
    for _ in range(plan.squarings):
        powers.append(powers[-1] @ powers[-1])
    waves = (beams[:, None] == incident[None]).all(dim=2).to(transmission.dtype)
    exits = []
    for exponents, rest in plan.steps:
        for exponent in exponents:
            waves = powers[exponent] @ waves
        leaving = waves
        for layer in layers[:rest]:
            leaving = layer @ leaving
        exits.append(leaving[detected].T)
    return torch.stack(exits)


def _product(layers: Sequence[Tensor]) -> Tensor:
    """Product of the slices of one cell, the first slice acting first."""
    total = layers[0]
    for layer in layers[1:]:
        total = layer @ total
    return total
