"""Memory of a simulation, estimated before it starts: it sets how many waves are propagated together."""

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class SimulationSize:
    """
    Numbers on which the memory of a simulation depends.

    Attributes
    ----------
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
    points : int
        Points of the grid of one image.
    images : int
        Images of an exit plane: rotations x channels.
    dtype : torch.dtype
        float32 or float64.
    """

    grid: CellGrid
    slices: int
    exits: int
    blocks: Sequence[Block]
    beams: int
    points: int
    images: int
    dtype: torch.dtype

    def waves_together(self, memory_mb: float, device: str) -> int:
        """
        Plane waves that can be propagated together.

        Parameters
        ----------
        memory_mb : float
            Memory that the simulation may use [MB].
        device : str
            Torch device.

        Returns
        -------
        int
            Number of waves; InputError with the memory needed if not even one fits.
        """
        size = 16 if self.dtype == torch.float64 else 8
        x, y = self.grid.gpts
        # Potential, transmission functions in both spaces and a temporary copy, a propagator for each slice.
        crystal = self.slices * x * y * (8 + 4 * size)
        # Images in double and single precision; for a few hundred beams, spectra, their transforms and intensities.
        together = 3 * size * min(BEAMS_TOGETHER, self.beams)
        fixed = crystal + self.exits * self.points * (self.images * (16 + size) + together)
        column, flight = self.exits * self.beams * size + 8 * self.beams, _FLIGHT * x * y * size
        largest = max(len(block.orders) for block in self.blocks)
        # All columns of a block are kept, however few waves are propagated at a time.
        needed = (fixed + largest * column + flight) / 1e6
        if needed > memory_mb:
            raise InputError(
                f"memory: found a simulation of {x} x {y} points, {self.slices} slices, {largest} waves a block and "
                f"{self.exits} thicknesses, which needs {needed:,.1f} MB; allowed: memory_mb {memory_mb:g}; raise it, "
                "or simulate a smaller cell, fewer thicknesses or larger pixels"
            )
        free = memory_mb * 1e6 - fixed
        fit = int(min((free - largest * column) / flight, free / (column + flight)))
        return max(1, fit if device != "cpu" else min(fit, _CACHED_WAVES))
