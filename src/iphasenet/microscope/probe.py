"""The probe's plane waves, sorted into the Bloch blocks of a crystal."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.microscope.optics import Microscope

Translations = Sequence[tuple[int, int, int]]


@dataclass(frozen=True)
class Block:
    """
    Incident plane waves that the crystal couples with the same beams.

    Attributes
    ----------
    kappa : (2,) array
        Fractional wave vector (x, y) [1/Å].
    parity : tuple of int
        (u h + v k) mod n for their orders (h, k) and each lateral translation (u, v, n) of the crystal.
    orders : (wave, 2) integer array
        Orders (x, y) of the plane waves inside the aperture.
    amplitudes : (wave,) array
        Their amplitudes in the probe; the squares of all blocks sum to 1.
    """

    kappa: NDArray[np.float64]
    parity: tuple[int, ...]
    orders: NDArray[np.int64]
    amplitudes: NDArray[np.float64]


def window_cells(lengths: tuple[float, float], window: float) -> tuple[int, int]:
    """Whole cells along x and y that fill a window of at least `window` [Å]."""
    return math.ceil(window / lengths[0] - 1e-9), math.ceil(window / lengths[1] - 1e-9)


def parities(h: Any, k: Any, translations: Translations) -> Any:
    """(u h + v k) mod n of orders (h, k) for each translation (u, v, n), along a new last axis."""
    return np.stack([(u * h + v * k) % n for u, v, n in translations] or [0 * (h + k)], axis=-1)


def probe_blocks(
    lengths: tuple[float, float], cells: tuple[int, int], microscope: Microscope, translations: Translations = ()
) -> list[Block]:
    """
    Sort the probe's plane waves into blocks.

    Parameters
    ----------
    lengths : (float, float)
        Periods along x and y [Å].
    cells : (int, int)
        Cells of the window along x and y: the mesh of kappa.
    microscope : Microscope
        Aperture.
    translations : sequence of (u, v, n)
        Lateral translations that leave the crystal unchanged: n of them divide a block of one kappa into n.

    Returns
    -------
    list of Block
        Blocks with at least one wave.
    """
    pixel = (1 / (cells[0] * lengths[0]), 1 / (cells[1] * lengths[1]))
    index, amplitude = _illuminated(pixel, microscope)
    amplitude /= np.sqrt((amplitude**2).sum())
    index, amplitude = index[amplitude > 0], amplitude[amplitude > 0]
    # kappa in the half-open zone around 0 keeps kappa + G on the grid symmetric.
    offset = index % cells
    offset -= cells * (2 * offset >= cells)
    orders = (index - offset) // cells
    parity = parities(orders[:, 0], orders[:, 1], translations)
    keys, owner = np.unique(np.concatenate([offset, parity], axis=1), axis=0, return_inverse=True)
    owner = owner.ravel()
    return [
        Block(key[:2] * pixel, tuple(key[2:].tolist()), orders[owner == number], amplitude[owner == number])
        for number, key in enumerate(keys)
    ]


def aperture_norm(pixel: tuple[float, float], microscope: Microscope) -> float:
    """Root of the summed squares of the aperture over the waves of a window with this reciprocal pixel [1/Å]."""
    return float(np.sqrt((_illuminated(pixel, microscope)[1] ** 2).sum()))


def _illuminated(
    pixel: tuple[float, float], microscope: Microscope
) -> tuple[NDArray[np.int64], NDArray[np.floating[Any]]]:
    """Waves (wave, 2) of a window, in reciprocal pixels, that hold those of the probe, and the aperture there."""
    reach = microscope.frequency(microscope.semiangle_mrad) + max(pixel)
    nx, ny = math.ceil(reach / pixel[0]), math.ceil(reach / pixel[1])
    index = np.stack(np.meshgrid(np.arange(-nx, nx + 1), np.arange(-ny, ny + 1)), axis=-1).reshape(-1, 2)
    return index, microscope.aperture(index[:, 0] * pixel[0], index[:, 1] * pixel[1], pixel)


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
