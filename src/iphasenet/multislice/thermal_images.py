"""Images of a crystal whose atoms move: means over configurations, with an estimate of what is left of their noise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.microscope.probe import parities
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

    After the first pass, the difference of the images of its two halves bounds the noise from above: it holds the error
    of half the window, too. After more, passes are compared. They end at the deepest thickness that is still noisy.

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
    # A single block has no halves: its noise shows in a second pass only.
    allowed = numerics.thermal_passes if len(set(simulation.half)) == 2 else max(2, numerics.thermal_passes)
    images: list[list[ComplexArray]] = [[] for _ in exits]
    first: list[float] = []
    for number in range(allowed):

        def advance(done: int, every: int, passed: int = number) -> None:
            if progress is not None:
                progress(passed * every + done, (passed + 1) * every)

        halves, shares = one_pass(simulation, exits, [*([seed] if isinstance(seed, int) else seed), number], advance)
        for found, half in zip(images, halves, strict=False):
            found.append(half.sum(axis=0))
            if number == 0:
                first.append(_first_noise(half, shares))
        noise = np.array([mean_noise(found, bound) for found, bound in zip(images, first, strict=True)])
        noisy = np.flatnonzero(noise > numerics.thermal_noise)
        if not len(noisy):
            break
        exits = exits[: noisy[-1] + 1]
    means = np.stack([np.mean(found, axis=0) for found in images])
    return ThermalMean(means, noise, np.array([len(found) for found in images]))


def one_pass(
    simulation: ThermalPass, exits: Sequence[int], seed: Seed, progress: Callable[[int, int], object] | None = None
) -> tuple[ComplexArray, FloatArray]:
    """
    Pass all blocks, each through its own configuration.

    Parameters
    ----------
    simulation : ThermalPass
        Crystal, microscope and numerics.
    exits : sequence of int, rising
        Numbers of slices after which the waves are recorded.
    seed : int or sequence of int
        Seed of the displacements.
    progress : callable, optional
        Called with the numbers of plane waves of this pass done so far and in all.

    Returns
    -------
    (thickness, half, rotation, channel, 2 my + 1, 2 mx + 1) complex array, (2,) array
        Fourier series of the intensities that each half of the blocks gives, with the translations of the mean crystal,
        and the halves' shares of the probe.
    """
    columns = simulation.displaced_columns(exits, seed)
    total = simulation.summed_intensity(columns, len(exits), simulation.half.tolist(), progress)
    incident = [float((block.amplitudes**2).sum()) for block in simulation.blocks]
    shares = np.bincount(simulation.half, incident, minlength=2).astype(float)
    orders = simulation.image_grid[0]
    (mx, my), (x, y) = orders, simulation.repeats
    # A configuration breaks the translations of the crystal, its mean does not.
    h, k = np.arange(-(mx // x), mx // x + 1), np.arange(-(my // y), my // y + 1)
    series = centred_coefficients(total.transpose(0, 1), orders)[..., (my + y * k)[:, None], mx + x * h]
    allowed = (parities(*np.meshgrid(h, k), simulation.potential.translations) == 0).all(axis=-1)
    return np.asarray(series * allowed), shares


def _first_noise(halves: ComplexArray, shares: FloatArray) -> float:
    """Bound on the standard error of the sum of two halves, as a share of the contrast; infinite for a single half."""
    if not shares.all():
        return float("inf")
    difference = halves[0] / shares[0] - halves[1] / shares[1]
    return np.sqrt(shares.prod()) * _rms(difference) / _contrast(halves.sum(axis=0))


def mean_noise(images: Sequence[ComplexArray], first: float = float("nan")) -> float:
    """
    Estimate the standard error of the mean of several images.

    Parameters
    ----------
    images : sequence of (rotation, channel, 2 my + 1, 2 mx + 1) complex array
        Fourier series of images of other configurations.
    first : float
        What is returned if there is only one.

    Returns
    -------
    float
        rms over all positions of all images, as a share of their contrast.
    """
    count, mean = len(images), np.mean(images, axis=0)
    if count == 1:
        return first
    return _rms(np.stack(images) - mean) / np.sqrt(count * (count - 1)) / _contrast(mean)


def _rms(series: ComplexArray) -> float:
    """Root of the sum of squares of Fourier coefficients: that of the images' mean squares."""
    return float(np.sqrt((np.abs(series) ** 2).sum()))


def _contrast(series: ComplexArray) -> float:
    """`_rms` without the mean of each image; NaN where there is nothing but rounding errors."""
    varying = series.copy()
    varying[..., series.shape[-2] // 2, series.shape[-1] // 2] = 0
    found = _rms(varying)
    return found if found > 1e-9 * _rms(series) else float("nan")
