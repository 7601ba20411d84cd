"""Memory of a simulation, estimated before it starts: it sets how many waves are propagated together."""

from collections.abc import Sequence

import torch

from iphasenet.base.errors import InputError
from iphasenet.microscope.probe import Block
from iphasenet.multislice.detection import BEAMS_TOGETHER
from iphasenet.multislice.propagation import CellGrid

_CACHED_WAVES = 128
"""Waves that a CPU propagates together: more do not fit into its cache."""

_FLIGHT = 4
"""Copies of a wave field during one slice: the field, in real space, its transform, its propagator."""

MATRICES = 0.5
"""Share of the memory that transfer matrices may take; if they need more, waves are transformed slice by slice."""


def waves_together(
    memory_mb: float,
    grid: CellGrid,
    slices: int,
    exits: int,
    blocks: Sequence[Block],
    beams: int,
    image: int,
    images: int,
    dtype: torch.dtype,
    device: str,
) -> int:
    """
    Plane waves that can be propagated together.

    Parameters
    ----------
    memory_mb : float
        Memory that the simulation may use [MB].
    grid : CellGrid
        Grid of the cell.
    slices : int
        Slices of the cell.
    exits : int
        Exit planes.
    blocks : sequence of Block
        Incident waves.
    beams : int
        Outgoing beams of a block that are kept.
    image : int
        Points of the grid of one image.
    images : int
        Images of an exit plane: rotations x channels.
    dtype : torch.dtype
        float32 or float64.
    device : str
        Torch device.

    Returns
    -------
    int
        Number of waves; InputError with the memory needed if not even one fits.
    """
    size = 16 if dtype == torch.float64 else 8
    points = grid.gpts[0] * grid.gpts[1]
    # Potential, transmission functions in both spaces and a temporary copy, a propagator for each slice.
    crystal = slices * points * (8 + 4 * size)
    # Images in double and single precision; for a few hundred beams, spectra, their transforms and intensities.
    signals = exits * image * (images * (16 + size) + 3 * size * min(BEAMS_TOGETHER, beams))
    fixed = crystal + signals
    column, flight = exits * beams * size + 8 * beams, _FLIGHT * points * size
    largest = max(len(block.orders) for block in blocks)
    # All columns of a block are kept, however few waves are propagated at a time.
    needed = (fixed + largest * column + flight) / 1e6
    if needed > memory_mb:
        raise InputError(
            f"memory: found a simulation of {grid.gpts[0]} x {grid.gpts[1]} points, {slices} slices, {largest} waves a "
            f"block and {exits} thicknesses, which needs {needed:,.1f} MB; allowed: memory_mb {memory_mb:g}; raise "
            "it, or simulate a smaller cell, fewer thicknesses or larger pixels"
        )
    free = memory_mb * 1e6 - fixed
    fit = int(min((free - largest * column) / flight, free / (column + flight)))
    return max(1, fit if device != "cpu" else min(fit, _CACHED_WAVES))
