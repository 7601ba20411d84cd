"""The scattering matrix of a crystal, block by block, by whichever of two ways costs less.

Fourier transforms slice by slice (`iphasenet.multislice`) or powers of a cell's transfer matrix
(`iphasenet.transfer`): the same multislice, so the choice changes rounding errors alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iphasenet.multislice import CellGrid, propagators, scatter
from iphasenet.probe import Block, Translations, batches, parities
from iphasenet.transfer import Passage, best_passage, transfer_columns

Orders = NDArray[np.int64]


@dataclass(frozen=True)
class Crystal:
    """
    A crystal on its grid, as plane waves meet it.

    Attributes
    ----------
    grid : CellGrid
        Grid of one cell.
    coefficients : (slice, y, x) complex tensor
        Fourier coefficients of the transmission functions of one cell (`multislice.transmission_functions`).
    thicknesses : sequence of float
        Distance that waves travel after each slice [Å].
    wavelength : float
        Electron wavelength [Å].
    tilt : (float, float)
        Lateral shift of an atomic column per depth (x, y).
    translations : sequence of (u, v, n)
        Lateral translations that leave the crystal unchanged.
    """

    grid: CellGrid
    coefficients: Tensor
    thicknesses: Sequence[float]
    wavelength: float
    tilt: tuple[float, float]
    translations: Translations

    @cached_property
    def transmission(self) -> Tensor:
        """Transmission functions on the grid."""
        return torch.fft.ifft2(self.coefficients, norm="forward")

    def propagators(self, blocks: Sequence[Block]) -> list[Tensor]:
        """Propagators (block, y, x) after each slice; slices of one thickness share theirs."""
        kappa = np.stack([block.kappa for block in blocks])
        vectors = torch.as_tensor(kappa, dtype=torch.float64, device=self.coefficients.device)
        # Equal but for rounding is equal.
        keys = [round(thickness, 9) for thickness in self.thicknesses]
        phases = {
            key: propagators(self.grid, vectors, self.wavelength, key, self.tilt).to(self.coefficients.dtype)
            for key in set(keys)
        }
        return [phases[key] for key in keys]

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
        Slices after which they are collected.
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
            yield _by_matrices(block, inside, crystal, plan, reach)
    for batch in batches(transformed, waves):
        yield from _by_transforms(batch, crystal, exits, reach, waves)


def _by_matrices(
    block: Block, inside: Orders, crystal: Crystal, plan: Passage, reach: float
) -> tuple[Block, Orders, Tensor]:
    (a, b), device = crystal.grid.lengths, crystal.coefficients.device
    k = block.kappa + inside / (a, b)
    detected = np.hypot(k[:, 0], k[:, 1]) < reach
    nx, ny = crystal.grid.gpts
    propagator = [phases[0, inside[:, 1] % ny, inside[:, 0] % nx] for phases in crystal.propagators([block])]
    matrix = transfer_columns(
        torch.as_tensor(block.orders, device=device),
        torch.as_tensor(inside, device=device),
        torch.as_tensor(detected, device=device),
        crystal.coefficients,
        propagator,
        plan,
        crystal.grid,
    )
    return block, inside[detected], matrix


def _by_transforms(
    batch: Sequence[Block], crystal: Crystal, exits: Sequence[int], reach: float, waves: int
) -> Iterator[tuple[Block, Orders, Tensor]]:
    device, (nx, ny) = crystal.coefficients.device, crystal.grid.gpts
    beams = [crystal.beams(block, reach) for block in batch]
    propagator = crystal.propagators(batch)
    incident = torch.as_tensor(np.concatenate([block.orders for block in batch]), device=device)
    owner = torch.repeat_interleave(torch.tensor([len(block.orders) for block in batch])).to(device)
    points = torch.zeros(len(batch), max(map(len, beams)), dtype=torch.int64, device=device)
    for index, orders in enumerate(beams):
        points[index, : len(orders)] = torch.as_tensor(orders[:, 1] % ny * nx + orders[:, 0] % nx, device=device)
    parts: list[list[Tensor]] = [[] for _ in batch]
    for start in range(0, len(incident), waves):
        owners = owner[start : start + waves]
        together = incident[start : start + waves]
        passed = scatter(together, owners, crystal.transmission, propagator, exits, points, crystal.grid)
        for index in owners.unique().tolist():
            parts[index].append(passed[:, owners == index, : len(beams[index])])
    for block, orders, part in zip(batch, beams, parts, strict=True):
        yield block, orders, torch.cat(part, dim=1)
