"""The probe's plane waves, sorted into the Bloch blocks of a crystal."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iphasenet.optics import Microscope


@dataclass(frozen=True)
class Block:
    """
    Incident plane waves that share one kappa.

    Attributes
    ----------
    kappa : (2,) array
        Fractional wave vector (x, y) [1/Å].
    orders : (wave, 2) integer array
        Orders (x, y) of the plane waves inside the aperture.
    amplitudes : (wave,) array
        Their amplitudes in the probe; the squares of all blocks sum to 1.
    """

    kappa: NDArray[np.float64]
    orders: NDArray[np.int64]
    amplitudes: NDArray[np.float64]


def window_cells(lengths: tuple[float, float], window: float) -> tuple[int, int]:
    """Whole cells along x and y that fill a window of at least `window` [Å]."""
    return math.ceil(window / lengths[0] - 1e-9), math.ceil(window / lengths[1] - 1e-9)


def probe_blocks(lengths: tuple[float, float], cells: tuple[int, int], microscope: Microscope) -> list[Block]:
    """
    Sort the probe's plane waves into blocks of one kappa.

    Parameters
    ----------
    lengths : (float, float)
        Periods along x and y [Å].
    cells : (int, int)
        Cells of the window along x and y: the mesh of kappa.
    microscope : Microscope
        Aperture.

    Returns
    -------
    list of Block
        Blocks with at least one wave.
    """
    pixel = (1 / (cells[0] * lengths[0]), 1 / (cells[1] * lengths[1]))
    reach = microscope.frequency(microscope.semiangle_mrad) + max(pixel)
    nx, ny = math.ceil(reach / pixel[0]), math.ceil(reach / pixel[1])
    index_x, index_y = (m.ravel() for m in np.meshgrid(np.arange(-nx, nx + 1), np.arange(-ny, ny + 1)))
    amplitude = microscope.aperture(index_x * pixel[0], index_y * pixel[1], pixel)
    amplitude /= np.sqrt((amplitude**2).sum())
    blocks = []
    for i in range(cells[0]):
        for j in range(cells[1]):
            # kappa in the half-open zone around 0 keeps kappa + G on the grid symmetric.
            offset = (i - cells[0] * (2 * i >= cells[0]), j - cells[1] * (2 * j >= cells[1]))
            member = (amplitude > 0) & (index_x % cells[0] == i) & (index_y % cells[1] == j)
            if member.any():
                orders = np.stack(
                    [(index_x[member] - offset[0]) // cells[0], (index_y[member] - offset[1]) // cells[1]],
                    axis=1,
                )
                kappa = np.array([offset[0] * pixel[0], offset[1] * pixel[1]])
                blocks.append(Block(kappa, orders, amplitude[member]))
    return blocks


def batches(blocks: Sequence[Block], waves: int) -> Iterator[list[Block]]:
    """Group blocks so that a group carries at most `waves` plane waves, or is one block."""
    batch: list[Block] = []
    for block in blocks:
        if batch and sum(len(b.orders) for b in batch) + len(block.orders) > waves:
            yield batch
            batch = []
        batch.append(block)
    if batch:
        yield batch
