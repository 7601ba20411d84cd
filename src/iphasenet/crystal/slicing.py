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

_DECIMALS = 6
"""Decimals to which heights, and the gaps between them, are compared: equal ones must not differ by rounding [Å]."""

_ROUNDING = 1e-9
"""A slice may be thicker by this much [Å]."""

_REACH = 4
"""Atoms of one slice are at most this many thicknesses apart: very light ones would count nowhere."""


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
    heights : (atom,) array
        Heights of the atoms that the slices hold [Å]: one of the top of the cell that belongs to the first slice is
        below its bottom.
    """

    distances: FloatArray
    owner: IntArray
    origin: float
    heights: FloatArray

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


def layer_slicing(
    heights: FloatArray, weights: FloatArray, length: float, slice_thickness: float, repeats: bool = True
) -> Slicing:
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
        Largest thickness of a slice: that of a uniform layer whose scattering power has the same rms distance from its
        plane [Å]. Light atoms may thus be farther from heavy ones than these from each other, but no two atoms farther
        than four thicknesses.
    repeats : bool
        Whether the cell repeats along the beam, so that a slice may hold atoms of its top and of its bottom.

    Returns
    -------
    Slicing
        Slices, exact for atoms in layers with any spacing; slices of equal thickness would displace the layers. The
        first one holds the lowest atom. One cut of a cell that repeats is in the widest gap between its layers.
    """
    order = np.argsort(heights, kind="stable")
    gaps = np.diff(heights[order], prepend=heights[order[-1]] - length).round(_DECIMALS)
    start = int(np.argmax(gaps)) if repeats else 0
    unwrapped = heights.copy()
    unwrapped[order[:start]] += length
    order = np.roll(order, -start)
    owner = np.empty(len(heights), dtype=np.int64)
    owner[order] = _thin_slices(unwrapped[order], weights[order], slice_thickness)
    count, first = int(owner.max()) + 1, owner[np.argmin(heights)]
    if start:
        unwrapped[owner >= first] -= length
        owner = (owner - first) % count
    planes = np.bincount(owner, weights * unwrapped) / np.bincount(owner, weights)
    return Slicing(np.diff(planes, append=planes[0] + length), owner, float(planes[0]), unwrapped)


def _thin_slices(heights: FloatArray, weights: FloatArray, thickness: float) -> IntArray:
    """
    Put atoms, from rising heights, into the fewest slices that are thin enough.

    Of several ways to cut as few slices, the one with the least mean square distance from their planes is taken.
    """
    layers, layer = np.unique(heights.round(_DECIMALS), return_inverse=True)
    power = np.bincount(layer, weights)
    # Sums up to each layer give the moments of all slices that end at one.
    moments = [np.concatenate([[0.0], np.cumsum(power * layers**n)]) for n in range(3)]
    # Of the layers before each one: the fewest slices, their least spread, and where the last of them begins.
    counts, costs = np.zeros(len(layers) + 1, np.int64), np.zeros(len(layers) + 1)
    begins = np.zeros(len(layers) + 1, np.int64)
    starts = np.searchsorted(layers, layers - _REACH * thickness - _ROUNDING)
    for end, lowest in enumerate(starts, start=1):
        total, first, second = (moment[end] - moment[lowest:end] for moment in moments)
        spread = np.maximum(second - first**2 / total, 0.0)
        # One more heavy layer can make a slice thinner, so each is looked at; a single layer is always thin.
        thin = 12 * spread <= total * (thickness + _ROUNDING) ** 2
        thin[-1] = True
        few = thin & (counts[lowest:end] == counts[lowest:end][thin].min())
        cost = np.where(few, costs[lowest:end] + spread, np.inf)
        best = lowest + int(np.argmin(cost))
        counts[end], costs[end], begins[end] = counts[best] + 1, cost[best - lowest], best
    numbers, end = np.empty(len(layers), np.int64), len(layers)
    while end:
        numbers[begins[end] : end] = counts[end] - 1
        end = int(begins[end])
    return numbers[layer.ravel()]
