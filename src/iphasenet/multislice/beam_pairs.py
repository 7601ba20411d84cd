"""Images of a slab for any lenses: what the slab does to each pair of the probe's plane waves, as the detectors see it.

The probe at R is sum_i A_i exp(-2 pi i k_i.R) |k_i>. With the columns S of the scattering matrix and the weights W of a
detector, its signal is sum_ij A_i A_j* P_ij exp(-2 pi i (k_i - k_j).R), P_ij = sum_k W_k S_ki S_kj*. The pairs P do not
depend on the lenses: images for any defocus, aberration and source are sums over them, a thousandth of a pass's time.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iphasenet.base.devices import exact_float32, send
from iphasenet.base.memory import check_memory
from iphasenet.microscope.optics import Microscope
from iphasenet.microscope.probe import Block, parities
from iphasenet.multislice.detection import Detection
from iphasenet.multislice.displacements import Seed
from iphasenet.multislice.multislice_pass import MultislicePass
from iphasenet.multislice.scattering_matrix import Orders
from iphasenet.multislice.thermal_pass import ThermalPass

ComplexArray = NDArray[np.complexfloating[Any, Any]]


@dataclass(frozen=True)
class PairTable:
    """
    Pairs of incident waves by the image's Fourier coefficient to which they add, and what of them a probe needs.

    Attributes
    ----------
    lengths : (float, float)
        Periods of the images along x and y [Å].
    orders : (image, 2) integer array
        Orders (x, y) of the coefficients in one half-plane, that of the mean first.
    starts : (image,) integer array
        First pair of each coefficient.
    first, second : (pair,) integer array
        Waves of each pair.
    waves : (wave, 2) array
        Spatial frequencies (x, y) in the crystal's frame [1/Å].
    amplitudes : (wave,) array
        Aperture; its squares sum to 1.
    """

    lengths: tuple[float, float]
    orders: Orders
    starts: Orders
    first: Orders
    second: Orders
    waves: NDArray[np.float64]
    amplitudes: NDArray[np.float64]

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """Spatial frequencies (image, 2) of the coefficients [1/Å]."""
        return self.orders / np.array(self.lengths)


@dataclass(frozen=True)
class BeamPairs:
    """
    Pairs of incident waves behind a slab of several thicknesses.

    Attributes
    ----------
    table : PairTable
        Which pairs these are.
    depths : (exit,) array
        Thicknesses [Å].
    rotation_deg : float
        Rotation gamma of the crystal about the beam, which decides on which segment a beam falls [degrees].
    values : (exit, channel, pair) complex64 array
        P_ij.
    """

    table: PairTable
    depths: NDArray[np.float64]
    rotation_deg: float
    values: ComplexArray

    def exits(self, chosen: slice) -> "BeamPairs":
        """Pairs at some of the thicknesses, without a copy."""
        return replace(self, depths=self.depths[chosen], values=self.values[chosen])

    def coefficients(self, microscope: Microscope) -> ComplexArray:
        """
        Fourier coefficients of the images.

        Parameters
        ----------
        microscope : Microscope
            Lenses and source; energy, semiangle and detectors are those of the pass.

        Returns
        -------
        (exit, channel, image) complex array
            I(R) = sum_G I_G exp(2 pi i G.R), fractions of the beam current, at the table's orders.
        """
        table = self.table
        phases = np.zeros(len(table.first), np.complex128)
        for focus, share in microscope.foci():
            kx, ky = table.waves.T
            probe = table.amplitudes * microscope.aberration_phase(kx, ky, self.rotation_deg, focus)
            phases += share * probe[table.first] * probe[table.second].conj()
        products = self.values * phases.astype(np.complex64)
        sums = np.add.reduceat(products, table.starts, axis=-1)
        blur = np.exp(-2 * (np.pi * microscope.source_size_angstrom) ** 2 * (table.frequencies**2).sum(axis=1))
        return np.asarray(sums * blur)


@dataclass(frozen=True)
class PairPlan:
    """
    What of a pass's pairs depends on neither tilt nor depths nor displacements, so that many passes share it.

    Parameters
    ----------
    simulation : MultislicePass
        A pass; the plan serves all that `MultislicePass.at` makes of it.
    """

    simulation: MultislicePass
    _weights: dict[int, Tensor] = field(default_factory=dict, init=False, compare=False, repr=False)

    @cached_property
    def table(self) -> PairTable:
        """Pairs of all blocks."""
        return self._sorted[0]

    def add(self, total: ComplexArray, block: Block, orders: Orders, columns: Tensor) -> None:
        """
        Add the pairs of one block to sums.

        Parameters
        ----------
        total : (exit, channel, pair) complex array
            Sums.
        block : Block
            One of the pass's blocks, in any order.
        orders : (beam, 2) array
            Its outgoing beams, the same at every call.
        columns : (exit, wave, beam) complex tensor
            Its columns of the scattering matrix.
        """
        # A small detector may see none of a block's beams.
        if not len(orders):
            return
        rows, first, second = self._sorted[1][id(block)]
        if id(block) not in self._weights:
            self._weights[id(block)] = self._detection.weights(orders, block, columns)[0]
        weights = self._weights[id(block)]
        pairs = tuple(send(part, columns.device) for part in (first, second))
        for exit_, passed in enumerate(columns):
            products = (weights[:, None, :] * passed) @ passed.mH
            total[exit_][:, rows] += products[(..., *pairs)].cpu().numpy()

    @cached_property
    def _detection(self) -> Detection:
        made = self.simulation
        return Detection(made.microscope, made.lengths, made.pixel, made.rotations, (1, 1))

    @cached_property
    def _sorted(self) -> tuple[PairTable, dict[int, tuple[Orders, Orders, Orders]]]:
        """Pairs in the order of their image coefficients; rows and waves of each block's pairs, by the block's id."""
        return _table(self.simulation)


def simulate_pairs(
    simulation: MultislicePass,
    seeds: Sequence[Seed] = (0,),
    progress: Callable[[int, int], object] | None = None,
    plan: PairPlan | None = None,
) -> BeamPairs:
    """
    Send a probe's waves through a slab.

    Parameters
    ----------
    simulation : MultislicePass
        Crystal, microscope, numerics, depths, tilt and one rotation; its lenses do not matter.
    seeds : sequence
        Seeds of the displacements, if the atoms move: one pass each. With the same seeds, the result is a smooth
        function of the tilt.
    progress : callable, optional
        Called with the numbers of passes done so far and in all.
    plan : PairPlan, optional
        Plan of the pass of which `MultislicePass.at` made this one; made if not given.

    Returns
    -------
    BeamPairs
        Mean over the passes.
    """
    plan = plan or PairPlan(simulation)
    (rotation,) = simulation.rotations
    shape = (len(simulation.exits), len(simulation.microscope.channels), len(plan.table.first))
    # The sum, and its product with the lenses' phases.
    check_memory(16.0 * math.prod(shape), f"pairs of {len(plan.table.waves):,} waves at {shape[0]} thicknesses")
    total = np.zeros(shape, np.complex64)
    passes = seeds if isinstance(simulation, ThermalPass) else seeds[:1]
    with exact_float32(torch.device(simulation.device)):
        for number, seed in enumerate(passes):
            for block, orders, columns in _columns(simulation, seed):
                plan.add(total, block, orders, columns)
            if progress is not None:
                progress(number + 1, len(passes))
    depths = np.array([simulation.slicing.depth(count) for count in simulation.exits])
    return BeamPairs(plan.table, depths, float(rotation), total / len(passes))


def _columns(simulation: MultislicePass, seed: Seed) -> Iterator[tuple[Block, Orders, Tensor]]:
    if isinstance(simulation, ThermalPass):
        return simulation.displaced_columns(simulation.exits, seed)
    return simulation.columns()


def _table(simulation: MultislicePass) -> tuple[PairTable, dict[int, tuple[Orders, Orders, Orders]]]:
    repeats = simulation.repeats if isinstance(simulation, ThermalPass) else (1, 1)
    found, waves, amplitudes, count = [], [], [], 0
    for block in simulation.blocks:
        waves.append(block.kappa + block.orders / np.array(simulation.lengths))
        amplitudes.append(block.amplitudes)
        first, second = np.meshgrid(*[np.arange(len(block.orders))] * 2, indexing="ij")
        # exp(-2 pi i (k_i - k_j).R) belongs to the frequency k_j - k_i.
        difference = block.orders[second] - block.orders[first]
        found.append((first + count, second + count, difference))
        count += len(block.orders)
    one, other, difference = (
        np.concatenate([part[number].reshape(-1, *part[number].shape[2:]) for part in found]) for number in range(3)
    )
    owner = np.repeat(np.arange(len(found)), [part[0].size for part in found])
    local = [np.concatenate([part[number].ravel() - part[0].min() for part in found]) for number in range(2)]
    x, y = difference.T
    # Orders of the mean crystal's own cell, in one half-plane.
    kept = ((y > 0) | ((y == 0) & (x >= 0))) & (x % repeats[0] == 0) & (y % repeats[1] == 0)
    mean = difference // np.array(repeats)
    kept &= (parities(mean[:, 0], mean[:, 1], simulation.potential.translations) == 0).all(axis=-1)
    chosen = np.flatnonzero(kept)
    chosen = chosen[np.lexsort(mean[chosen].T)]
    orders, starts = np.unique(mean[chosen][:, ::-1], axis=0, return_index=True)
    a, b, _ = simulation.potential.lengths
    table = PairTable(
        (a, b), orders[:, ::-1], starts, one[chosen], other[chosen], np.concatenate(waves), np.concatenate(amplitudes)
    )
    rows = [np.flatnonzero(owner[chosen] == number) for number in range(len(found))]
    return table, {
        id(block): (row, local[0][chosen[row]], local[1][chosen[row]])
        for block, row in zip(simulation.blocks, rows, strict=True)
    }
