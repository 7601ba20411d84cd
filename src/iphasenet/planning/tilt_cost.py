"""Cost of a simulation, estimated from a few seconds of its work on this machine.

Measured are one batch of plane waves in a few slices, or one block in a few products of its transfer matrix, and the
complete detection of one block. These times are scaled by the numbers of slices and waves, or by the numbers of
multiplications that `iphasenet.multislice.transfer_matrix` compares. Of moving atoms, some blocks are measured in a few
slices; the number of passes, which their noise decides, is assumed.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from iphasenet.crystal.potential import CrystalPotential
from iphasenet.microscope.optics import Microscope
from iphasenet.microscope.probe import Block, batches
from iphasenet.multislice.displacements import draw_normals
from iphasenet.multislice.multislice_pass import MultislicePass
from iphasenet.multislice.scattering_matrix import Crystal, Orders, columns, matrix_columns
from iphasenet.multislice.settings import Numerics
from iphasenet.multislice.thermal_pass import ThermalPass
from iphasenet.multislice.transfer_matrix import Passage, best_passage

Clock = Callable[[], float]

_MULTIPLICATIONS = 2e9
"""Largest block that is measured in full [multiplications], about half a second; for larger ones, one product is."""

_POINTS = 2e7
"""Number of points, over all waves and slices, that are measured: about a second."""

_SLICES = 4
"""Smallest number of slices that are measured."""


ASSUMED_PASSES = 2
"""Passes through moving atoms that a tilt is taken to need, if as many are allowed."""


@dataclass(frozen=True)
class TiltCost:
    """
    Cost of one tilt of a crystal.

    Attributes
    ----------
    waves : int
        Plane waves of the probe.
    slices : int
        Slices of the thickest slab.
    by_matrices : int
        Plane waves that are propagated by transfer matrices; others are transformed slice by slice.
    seconds : float
        Estimated time of one tilt [s].
    passes : int
        Passes that it was estimated with; 0 if atoms are at rest.
    """

    waves: int
    slices: int
    by_matrices: int
    seconds: float
    passes: int = 0

    @property
    def method(self) -> str:
        """Method by which the waves are propagated."""
        if self.by_matrices == self.waves:
            return "matrices"
        return "mixed" if self.by_matrices else "FFT"


def device_clock(device: str) -> Clock:
    """Clock [s] for work of one thread: processor time, which other programs do not increase, or a GPU's wall time."""
    if device == "cpu":
        return time.process_time

    def synchronised() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return synchronised


def timed(work: Callable[[], object], clock: Clock, repeats: int = 5) -> float:
    """Time of some work [s]: of its first run if that is long, else the median of at most `repeats` further runs."""
    times: list[float] = []
    while len(times) <= repeats and sum(times) < 1:
        started = clock()
        work()
        times.append(clock() - started)
    return float(np.median(times[1:] or times))


def estimate_tilt(
    potential: CrystalPotential,
    microscope: Microscope,
    numerics: Numerics,
    depths: Sequence[float],
    lean: tuple[float, float],
    rotations: Sequence[float],
    device: str = "cpu",
) -> TiltCost:
    """
    Estimate the time of `iphasenet.multislice.periodic_images.simulate_images` with the same arguments.

    Returns
    -------
    TiltCost
        Cost with the number of threads that torch uses now; InputError if the simulation would raise one.
    """
    clock = device_clock(device)
    started = clock()
    if potential.is_warm:
        warm = ThermalPass(potential, microscope, numerics, depths, lean, rotations, device)
        return _by_displacements(warm, clock() - started, clock)
    simulation = MultislicePass(potential, microscope, numerics, depths, lean, rotations, device)
    blocks = simulation.blocks
    plans = passages(blocks, simulation.crystal, simulation.exits, simulation.matrix_memory)
    total = clock() - started
    multiplied = [(block, *plan) for block, plan in zip(blocks, plans, strict=True) if plan is not None]
    transformed = [block for block, plan in zip(blocks, plans, strict=True) if plan is None]
    if multiplied:
        total += _by_matrices(multiplied, simulation, clock)
    if transformed:
        total += _by_transforms(transformed, simulation, clock)
    block = blocks[len(blocks) // 2]
    orders = simulation.crystal.beams(block, simulation.reach)
    total += len(blocks) * _detection(simulation, block, orders, clock)
    waves = sum(len(block.orders) for block in blocks)
    return TiltCost(waves, simulation.exits[-1], sum(len(block.orders) for block, *_ in multiplied), total)


def passages(
    blocks: Sequence[Block], crystal: Crystal, exits: Sequence[int], memory: float
) -> list[tuple[Passage, int] | None]:
    """Passage of each block by transfer matrices and its beams; None where `scattering.columns` transforms."""
    size = crystal.coefficients.element_size()
    found: list[tuple[Passage, int] | None] = []
    for block in blocks:
        beams = len(crystal.beams(block, crystal.grid.band_limit))
        plan = best_passage(exits, len(crystal.coefficients), beams, len(block.orders), crystal.grid)
        fits = plan is not None and plan.matrices * beams**2 * size <= memory
        found.append((plan, beams) if plan is not None and fits else None)
    return found


def _multiplications(plan: Passage, beams: int, waves: int) -> float:
    """Complex multiply-adds of a passage (`iphasenet.multislice.transfer_matrix.best_passage`)."""
    return float(beams) ** 3 * (plan.slices - 1 + plan.squarings) + float(beams) ** 2 * waves * plan.products


def _shortened(plan: Passage) -> Passage:
    """Passage shortened to one product of two matrices, and the matching share of the products with waves."""
    slices = min(2, plan.slices)
    shares = max(1, round(plan.products / max(1, plan.slices - 1 + plan.squarings)))
    return Passage(slices, 2 - slices, (((0,) * shares, 0),))


def _by_matrices(planned: Sequence[tuple[Block, Passage, int]], simulation: MultislicePass, clock: Clock) -> float:
    """Time of all blocks that are propagated by transfer matrices [s]."""
    crystal, reach = simulation.crystal, simulation.reach
    block, plan, beams = planned[len(planned) // 2]
    whole = _multiplications(plan, beams, len(block.orders))
    short = plan if whole < _MULTIPLICATIONS else _shortened(plan)
    # Without any product: the time that a block takes in addition to its multiplications.
    bare = Passage(1, 0, (((), 0),))

    def passing(plan: Passage) -> None:
        matrix_columns(block, crystal.beams(block, crystal.grid.band_limit), crystal, plan, reach)

    fixed = timed(lambda: passing(bare), clock)
    each = (timed(lambda: passing(short), clock) - fixed) / _multiplications(short, beams, len(block.orders))
    every = sum(_multiplications(plan, beams, len(block.orders)) for block, plan, beams in planned)
    return len(planned) * fixed + max(0.0, each) * every


def _by_transforms(blocks: Sequence[Block], simulation: MultislicePass, clock: Clock) -> float:
    """Time of all blocks that are transformed slice by slice [s]."""
    crystal, exits = simulation.crystal, simulation.exits
    reach, together = simulation.reach, simulation.waves_together
    groups = list(batches(blocks, together))
    group = groups[len(groups) // 2]
    waves = sum(len(block.orders) for block in group)
    points = waves * crystal.grid.gpts[0] * crystal.grid.gpts[1]
    slices = min(exits[-1], 1 + max(_SLICES, round(_POINTS / points)))

    def passing(count: int) -> float:
        # Without memory for matrices, all blocks are transformed.
        return timed(lambda: list(columns(group, crystal, [count], reach, together, 0.0)), clock)

    first, last = passing(1), passing(slices)
    each = (last - first) / (slices - 1) if slices > 1 else first
    share = sum(len(block.orders) for block in blocks) / waves
    return len(groups) * max(0.0, first - each) + share * exits[-1] * each


def _by_displacements(simulation: ThermalPass, made: float, clock: Clock) -> TiltCost:
    """Cost of a tilt of moving atoms (`iphasenet.multislice.thermal_images.thermal_mean`)."""
    passes = min(ASSUMED_PASSES, simulation.numerics.thermal_passes)
    seconds = made + _passes_seconds(simulation, passes, clock)
    if simulation.coarse is not None:
        seconds += _passes_seconds(simulation.coarse, passes * (1 + simulation.numerics.thermal_coarse_passes), clock)
    waves = sum(len(block.orders) for block in simulation.blocks)
    return TiltCost(waves, simulation.exits[-1], 0, seconds, passes)


def _passes_seconds(simulation: ThermalPass, passes: int, clock: Clock) -> float:
    """Time of some passes through moving atoms, with their preparation [s]."""
    started = clock()
    # The first block makes what a tilt needs once.
    block, orders, _ = next(iter(simulation.displaced_columns([1], 0, slice(0, 1))))
    blocks, cell = simulation.blocks, simulation.slicing.count
    prepared = clock() - started
    exits, waves = simulation.exits, sum(len(block.orders) for block in blocks)
    slices = min(exits[-1], 1 + max(cell, _SLICES))
    points = waves / len(blocks) * simulation.grid.gpts[0] * simulation.grid.gpts[1]
    number = min(len(blocks), max(1, round(_POINTS / points / slices)))
    if simulation.device != "cpu":
        # At least as many together as in the simulation.
        number = min(len(blocks), max(number, round(simulation.waves_together * len(blocks) / waves)))
    first_block = (len(blocks) - number) // 2
    chosen = slice(first_block, first_block + number)

    def passing(count: int) -> float:
        passed = timed(lambda: list(simulation.displaced_columns([count], 0, chosen)), clock)
        # Displacements are drawn for all blocks, however few pass.
        return max(0.0, passed - _draws(simulation, math.ceil(count / cell), clock))

    first, last = passing(1), passing(slices)
    each = max(0.0, last - first) / (slices - 1) if slices > 1 else first
    share = waves / sum(len(block.orders) for block in blocks[chosen])
    one_pass = share * (max(0.0, first - each) + exits[-1] * each)
    one_pass += _draws(simulation, math.ceil(exits[-1] / cell), clock)
    one_pass += len(blocks) * _detection(simulation, block, orders, clock)
    return prepared + passes * one_pass


def _draws(simulation: ThermalPass, repeats: int, clock: Clock) -> float:
    """Time to draw the displacements of all blocks in some cells along the beam [s]."""
    blocks, places = len(simulation.blocks), simulation.displaced.atoms.place_count
    # Numbers are balanced for half as many coordinates as blocks at a time; the time is that of many such groups.
    few = min(repeats, max(1, blocks // (4 * places)))
    return repeats / few * timed(lambda: draw_normals(blocks, few, places, 0), clock)


def _detection(simulation: MultislicePass, block: Block, orders: Orders, clock: Clock) -> float:
    """Time to compute the intensities of one block from its beams [s]."""
    shape, double = (len(simulation.exits), len(block.orders), len(orders)), simulation.dtype == torch.float64
    complex_type = torch.complex128 if double else torch.complex64
    matrix = torch.randn(shape, dtype=complex_type, device=simulation.device)

    def detecting() -> None:
        for detection in simulation.detections:
            detection.intensity(matrix, block, orders)

    return timed(detecting, clock) if len(orders) else 0.0
