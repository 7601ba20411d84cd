"""How a cell is cut into slices along the beam: between its atomic layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.errors import InputError

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Slicing:
    """
    Slices of one cell; they repeat along the beam.

    Attributes
    ----------
    distances : (slice,) array
        Distance that waves travel after each slice's atoms [Å]; their sum is the cell's height.
    owner : (atom,) integer array
        Slice that holds each atom.
    origin : float
        Height of the entrance surface: the plane of the first slice's atoms [Å].
    """

    distances: FloatArray
    owner: IntArray
    origin: float

    @property
    def count(self) -> int:
        """Slices of one cell."""
        return len(self.distances)

    def depth(self, total: int) -> float:
        """Depth of the first `total` slices of a crystal [Å]."""
        cells, rest = divmod(total, self.count)
        return float(cells * self.distances.sum() + self.distances[:rest].sum())

    def nearest(self, depth: float) -> int:
        """Count the slices whose total depth is nearest to `depth` [Å]; InputError if it is below one slice."""
        if not depth >= self.distances[0] - 1e-9:
            raise InputError(
                f"thickness {depth / 10:g} nm is below one slice; allowed: from {self.distances[0] / 10:.3g} nm"
            )
        start = int(depth // self.distances.sum()) * self.count
        candidates = range(max(1, start), start + self.count + 1)
        return min(candidates, key=lambda total: abs(self.depth(total) - depth))

    def exits(self, depths: Sequence[float]) -> list[int]:
        """Count the slices nearest to each of several rising depths [Å]; InputError if two give the same slab."""
        totals = [self.nearest(depth) for depth in depths]
        for (first, before), (second, total) in pairwise(zip(depths, totals, strict=True)):
            if before == total:
                raise InputError(
                    f"thickness: found {first / 10:g} and {second / 10:g} nm, which are the same {total} slices, "
                    f"{self.depth(total) / 10:.4g} nm; allowed: thicknesses of different slabs, or one of them"
                )
        return totals


def layer_slicing(heights: FloatArray, weights: FloatArray, length: float, slice_thickness: float) -> Slicing:
    """
    Cut a cell between its atomic layers.

    Parameters
    ----------
    heights : (atom,) array
        Heights of the atoms in the cell [Å].
    weights : (atom,) array
        Scattering power of each atom: the atoms of a slice act at their weighted mean height.
    length : float
        Height of the cell [Å].
    slice_thickness : float
        A slice holds the atoms up to this far above its lowest one [Å].

    Returns
    -------
    Slicing
        Slices, exact for atoms in layers with any spacing; slices of equal thickness would displace the layers.
    """
    order = np.argsort(heights, kind="stable")
    owner = np.empty(len(heights), dtype=np.int64)
    number, lowest = -1, -np.inf
    for atom in order:
        if heights[atom] - lowest > slice_thickness:
            number, lowest = number + 1, heights[atom]
        owner[atom] = number
    planes = np.bincount(owner, weights * heights) / np.bincount(owner, weights)
    return Slicing(np.diff(planes, append=planes[0] + length), owner, float(planes[0]))
