"""Images of a crystal whose atoms move: means over configurations, with an estimate of what is left of their noise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from iphasenet.base.devices import exact_float32
from iphasenet.microscope.probe import Block, parities
from iphasenet.multislice.detection import centred_coefficients
from iphasenet.multislice.displacements import Seed
from iphasenet.multislice.thermal_pass import ThermalPass

ComplexArray = NDArray[np.complexfloating[Any, Any]]
FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ThermalMean:
    """
    Mean over passes.

    Attributes
    ----------
    coefficients : (thickness, rotation, channel, 2 my + 1, 2 mx + 1) complex array
        Fourier series of the images.
    noise : (thickness,) array
        Standard error of the mean, rms over the positions of all images, as a share of their contrast.
    passes : (thickness,) integer array
        Passes behind each thickness.
    """

    coefficients: ComplexArray
    noise: FloatArray
    passes: NDArray[np.int64]


def thermal_mean(
    simulation: ThermalPass,
    seed: Seed,
    progress: Callable[[int, int], object] | None = None,
) -> ThermalMean:
    """
    Average passes through displaced atoms until their noise is as low as asked for.

    A pass goes through all blocks of the probe, in two halves that each give an image. After the first pass, the halves'
    difference bounds the noise from above: it holds the error of half the window, too. After more, halves are compared
    with themselves. Passes end at the deepest thickness whose noise is too large.

    Parameters
    ----------
    simulation : ThermalPass
        Crystal, microscope and numerics; `numerics.thermal_noise` and `numerics.thermal_passes` say when to stop.
    seed : int or sequence of int
        Seed of the displacements.
    progress : callable, optional
        Called with the numbers of plane waves done so far and, as far as known, in all.

    Returns
    -------
    ThermalMean
        Images in all channels of the microscope, their noise, and the passes taken.
    """
    numerics, exits = simulation.numerics, list(simulation.exits)
    every = sum(len(block.orders) for block in simulation.blocks)
    halves = simulation.halves if len(simulation.halves) == 2 else 2 * simulation.halves
    shares = np.array([sum(float((block.amplitudes**2).sum()) for block in half) for half in halves])
    images: list[list[ComplexArray]] = [[] for _ in exits]
    done = 0

    def advance(waves: int) -> None:
        nonlocal done
        done += waves
        if progress is not None:
            progress(done, every * max(1, -(-done // every)))

    for number in range(numerics.thermal_passes):
        parts = [
            _half(simulation, half, exits, [*_key(seed), number, index], advance) / share
            for index, (half, share) in enumerate(zip(halves, shares, strict=True))
        ]
        for index in range(len(exits)):
            images[index].append(np.stack([part[index] for part in parts]))
        noise = np.array([_noise(np.stack(found), shares) for found in images])
        noisy = np.flatnonzero(noise > numerics.thermal_noise)
        if not len(noisy):
            break
        exits = exits[: noisy[-1] + 1]
    mean = np.stack([_mean(np.stack(found), shares) for found in images])
    return ThermalMean(mean, noise, np.array([len(found) for found in images]))


def _key(seed: Seed) -> list[int]:
    return [seed] if isinstance(seed, int) else list(seed)


def _half(
    simulation: ThermalPass,
    blocks: Sequence[Block],
    exits: Sequence[int],
    seed: Seed,
    advance: Callable[[int], None],
) -> ComplexArray:
    """Fourier series of the intensities that some blocks give, with the translations of the mean crystal."""
    detection, (orders, size) = simulation.detection, simulation.image_grid
    shape = (len(exits), len(simulation.rotations), len(simulation.microscope.channels), size[1], size[0])
    total = torch.zeros(shape, dtype=torch.float64, device=simulation.device)
    with exact_float32(total.device):
        for block, beams, matrix in simulation.displaced_columns(blocks, exits, seed):
            # A small detector may see none of a block's beams.
            if len(beams):
                total += detection.intensity(matrix, block, beams)
            advance(len(block.orders))
    (mx, my), (x, y) = orders, simulation.repeats
    # A configuration breaks the translations of the crystal, its mean does not.
    h, k = np.arange(-(mx // x), mx // x + 1), np.arange(-(my // y), my // y + 1)
    series = centred_coefficients(total, orders)[..., (my + y * k)[:, None], mx + x * h]
    allowed = (parities(*np.meshgrid(h, k), simulation.potential.translations) == 0).all(axis=-1)
    return np.asarray(series * allowed)


def _mean(images: ComplexArray, shares: FloatArray) -> ComplexArray:
    """Mean (...) of the halves of several passes, (pass, half, ...), weighted by their shares of the probe."""
    return np.asarray(np.tensordot(shares / shares.sum(), images.mean(axis=0), axes=1))


def _noise(images: ComplexArray, shares: FloatArray) -> float:
    """Standard error of the mean of halves (pass, half, rotation, channel, y, x), as a share of the contrast."""
    passes, weights = len(images), shares / shares.sum()
    if passes == 1:
        variance = (weights.prod() * np.abs(images[0, 0] - images[0, 1]) ** 2).sum()
    else:
        scatter = np.abs(images - images.mean(axis=0)) ** 2
        variance = np.tensordot(weights**2, scatter.sum(axis=0), axes=1).sum() / (passes - 1) / passes
    mean = _mean(images, shares)
    mean[..., mean.shape[-2] // 2, mean.shape[-1] // 2] = 0
    return float(np.sqrt(variance / max(float((np.abs(mean) ** 2).sum()), np.finfo(float).tiny)))
