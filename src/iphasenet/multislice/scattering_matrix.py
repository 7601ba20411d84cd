"""The scattering matrix of a crystal, block by block, by the cheaper of two methods.

The methods are Fourier transforms slice by slice (`iphasenet.multislice.propagation`) and powers of a cell's transfer
matrix (`iphasenet.multislice.transfer_matrix`). Both are the same multislice: they differ only by rounding errors.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iphasenet.base.devices import send
from iphasenet.microscope.probe import Block, Translations, batches, parities
from iphasenet.multislice.propagation import CellGrid, scatter, slice_propagators
from iphasenet.multislice.transfer_matrix import Passage, best_passage, transfer_columns

Orders = NDArray[np.int64]


@dataclass(frozen=True)
class Crystal:
    """
    A crystal on its grid: all that the propagation of plane waves needs.

    Attributes
    ----------
    grid : CellGrid
        Grid of one cell.
    coefficients : (slice, y, x) complex tensor
        Fourier coefficients of the transmission functions of one cell (`multislice.transmission_functions`).
    distances : sequence of float
        Distance that waves travel after each slice [Å].
    wavelength : float
        Electron wavelength [Å].
    lean : (float, float)
        Lateral shift of an atomic column per depth (x, y).
    translations : sequence of (u, v, n)
        Lateral translations that leave the crystal unchanged.
    """

    grid: CellGrid
    coefficients: Tensor
    distances: Sequence[float]
    wavelength: float
    lean: tuple[float, float]
    translations: Translations

    @cached_property
    def transmission(self) -> Tensor:
        """Transmission functions on the grid."""
        return torch.fft.ifft2(self.coefficients, norm="forward")

    def propagators(self, blocks: Sequence[Block]) -> list[Tensor]:
        """Propagators (block, y, x) after each slice."""
        kappa = np.stack([block.kappa for block in blocks])
        vectors, kind = send(kappa, self.coefficients.device), self.coefficients.dtype
        return slice_propagators(self.grid, vectors, self.wavelength, self.distances, self.lean, kind)

    def beams(self, block: Block, reach: float) -> Orders:
        """Orders (beam, 2) below a spatial frequency [1/Å] that the crystal couples with a block's waves."""
        nx, ny = self.grid.gpts
        h, k = np.meshgrid(np.arange(nx) - nx // 2, np.arange(ny) - ny // 2)
        kx, ky = block.kappa[0] + h / self.grid.lengths[0], block.kappa[1] + k / self.grid.lengths[1]
        coupled = (parities(h, k, self.translations) == block.parity).all(axis=-1)
        keep = coupled & (np.hypot(kx, ky) < reach)
        return np.stack([h[keep], k[keep]], axis=1)


def columns(
    blocks: Sequence[Block], crystal: Crystal, exits: Sequence[int], reach: float, waves: int, memory: float
) -> Iterator[tuple[Block, Orders, Tensor]]:
    """
    Columns of the scattering matrix.

    Parameters
    ----------
    blocks : sequence of Block
        Incident waves.
    crystal : Crystal
        What they pass.
    exits : sequence of int, rising
        Numbers of slices after which the waves are collected.
    reach : float
        Outgoing beams are returned below this spatial frequency [1/Å].
    waves : int
        Plane waves that Fourier transforms carry at a time.
    memory : float
        Memory that transfer matrices may take [bytes].

    Yields
    ------
    Block, (beam, 2) array, (exit, wave, beam) complex tensor
        A block, the orders of its outgoing beams and its columns.
    """
    transformed = []
    for block in blocks:
        inside = crystal.beams(block, crystal.grid.band_limit)
        plan = best_passage(exits, len(crystal.coefficients), len(inside), len(block.orders), crystal.grid)
        if plan is None or plan.matrices * len(inside) ** 2 * crystal.coefficients.element_size() > memory:
            transformed.append(block)
        else:
            yield block, *matrix_columns(block, inside, crystal, plan, reach)
    for batch in batches(transformed, waves):
        yield from _by_transforms(batch, crystal, exits, reach, waves)


def matrix_columns(
    block: Block, inside: Orders, crystal: Crystal, plan: Passage, reach: float
) -> tuple[Orders, Tensor]:
    """
    Columns of one block by transfer matrices.

    Parameters
    ----------
    block : Block
        Incident waves.
    inside : (beam, 2) array
        Orders of all beams that the crystal couples with them.
    crystal : Crystal
        What they pass.
    plan : Passage
        Passage through all slices of the crystal, or through the first of them.
    reach : float
        Outgoing beams are returned below this spatial frequency [1/Å].

    Returns
    -------
    (beam, 2) array, (exit, wave, beam) complex tensor
        Orders of the outgoing beams, and the columns.
    """
    (a, b), (nx, ny), device = crystal.grid.lengths, crystal.grid.gpts, crystal.coefficients.device
    k = block.kappa + inside / (a, b)
    detected = np.flatnonzero(np.hypot(k[:, 0], k[:, 1]) < reach)
    points = send(inside[:, 1] % ny * nx + inside[:, 0] % nx, device)
    propagator = [phases[0].flatten()[points] for phases in crystal.propagators([block])[: plan.slices]]
    matrix = transfer_columns(
        send(block.orders, device),
        send(inside, device),
        send(detected, device),
        crystal.coefficients[: plan.slices],
        propagator,
        plan,
    )
    return inside[detected], matrix


def _by_transforms(
    batch: Sequence[Block], crystal: Crystal, exits: Sequence[int], reach: float, waves: int
) -> Iterator[tuple[Block, Orders, Tensor]]:
    device, (nx, ny) = crystal.coefficients.device, crystal.grid.gpts
    beams = [crystal.beams(block, reach) for block in batch]
    propagator = crystal.propagators(batch)
    incident = send(np.concatenate([block.orders for block in batch]), device)
    owner = np.repeat(np.arange(len(batch)), [len(block.orders) for block in batch])
    table = np.zeros((len(batch), max(map(len, beams))), np.int64)
    for row, orders in zip(table, beams, strict=True):
        row[: len(orders)] = orders[:, 1] % ny * nx + orders[:, 0] % nx
    points = send(table, device)
    parts: list[list[Tensor]] = [[] for _ in batch]
    for start in range(0, len(owner), waves):
        # The waves of one block follow each other.
        found, first, count = np.unique(owner[start : start + waves], return_index=True, return_counts=True)
        owners = send(owner[start : start + waves] if len(found) > 1 else found, device)
        together = incident[start : start + waves]
        passed = scatter(together, owners, crystal.transmission, propagator, exits, points)
        for index, row, rows in zip(found, first, count, strict=True):
            parts[index].append(passed[:, row : row + rows, : len(beams[index])])
    for block, orders, part in zip(batch, beams, parts, strict=True):
        yield block, orders, torch.cat(part, dim=1)
