"""Images of a crystal whose atoms move: means over configurations, with an estimate of what is left of their noise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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

    Passes on a coarse grid are cheap, and nearly all of their noise is that of the fine ones with the same
    displacements. So the mean is that of the differences of a few such pairs, and of many more coarse passes: it has no
    more bias than fine passes alone, and less noise for the same time.

    After the first pair, the difference of the images of its two halves bounds the noise from above: it holds the error
    of half the window, too. After more, they are compared. They end at the deepest thickness that is still noisy.

    Parameters
    ----------
    simulation : ThermalPass
        Crystal, microscope and numerics; `numerics.thermal_noise`, `numerics.thermal_passes` and
        `numerics.thermal_coarse_passes` say when to stop.
    seed : int or sequence of int
        Seed of the displacements.
    progress : callable, optional
        Called with the numbers of plane waves done so far and, as far as known, in all.

    Returns
    -------
    ThermalMean
        Images in all channels of the microscope, their noise, and the passes taken.
    """
    numerics, coarse = simulation.numerics, simulation.coarse
    seeds = [seed] if isinstance(seed, int) else list(seed)
    # A single block has no halves: its noise shows in a second pass only.
    allowed = numerics.thermal_passes if len(set(simulation.half)) == 2 else max(2, numerics.thermal_passes)
    means = [_Mean() for _ in simulation.exits]
    count = len(means)
    for number in range(allowed):

        def advance(done: int, every: int, passed: int = number) -> None:
            if progress is not None:
                progress(passed * every + done, (passed + 1) * every)

        halves, shares = one_pass(simulation, simulation.exits[:count], [*seeds, number], advance)
        if coarse is not None:
            halves = halves - one_pass(coarse, coarse.exits[:count], [*seeds, number])[0]
        for mean, found in zip(means, halves, strict=False):
            mean.add(found, shares)
        if coarse is not None:
            _add_coarse(coarse, means[:count], [*seeds, number])
        noisy = np.flatnonzero([mean.noise > numerics.thermal_noise for mean in means])
        if not len(noisy):
            break
        count = int(noisy[-1]) + 1
    return ThermalMean(
        np.stack([mean.images for mean in means]),
        np.array([mean.noise for mean in means]),
        np.array([len(mean.fine) for mean in means]),
    )


def _add_coarse(coarse: ThermalPass, means: Sequence["_Mean"], seed: Sequence[int]) -> None:
    """Add coarse passes until the noise is low enough, theirs is half of that, or as many as allowed are done."""
    asked = coarse.numerics.thermal_noise
    for number in range(coarse.numerics.thermal_coarse_passes):
        if all(len(mean.coarse) > 1 and (mean.noise <= asked or mean.coarse_noise < asked / 2) for mean in means):
            break
        # Never the seed of a pair: zeros at the end of a seed change nothing.
        images, _ = one_pass(coarse, coarse.exits[: len(means)], [*seed, number + 1])
        for mean, found in zip(means, images, strict=True):
            mean.coarse.append(found.sum(axis=0))


@dataclass
class _Mean:
    """
    Passes through a crystal of one thickness.

    Attributes
    ----------
    fine : list of (rotation, channel, 2 my + 1, 2 mx + 1) complex array
        Fourier series of the images of passes; where there are coarse passes, of what they differ from theirs.
    coarse : list of arrays of the same shape
        Images of further coarse passes.
    bound : float
        Bound on the error of the first of `fine`.
    """

    fine: list[ComplexArray] = field(default_factory=list)
    coarse: list[ComplexArray] = field(default_factory=list)
    bound: float = float("inf")

    def add(self, halves: ComplexArray, shares: FloatArray) -> None:
        """Add a pass, given by the images of its halves and their shares of the probe."""
        self.fine.append(halves.sum(axis=0))
        # A single block has no halves.
        if len(self.fine) == 1 and shares.all():
            self.bound = float(np.sqrt(shares.prod()) * _rms(halves[0] / shares[0] - halves[1] / shares[1]))

    @property
    def images(self) -> ComplexArray:
        """Fourier series of the mean images."""
        mean = np.mean(self.fine, axis=0)
        return np.asarray(mean + np.mean(self.coarse, axis=0) if self.coarse else mean)

    @property
    def coarse_noise(self) -> float:
        """Standard error that the further coarse passes leave, as a share of the contrast."""
        return _standard_error(self.coarse) / _contrast(self.images)

    @property
    def noise(self) -> float:
        """Standard error of the mean, as a share of its contrast; infinite where nothing bounds it yet."""
        fine = self.bound if len(self.fine) == 1 else _standard_error(self.fine)
        if fine == float("inf"):
            return fine
        coarse = _standard_error(self.coarse) if self.coarse else 0.0
        return float(np.hypot(fine, coarse)) / _contrast(self.images)


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


def mean_noise(images: Sequence[ComplexArray]) -> float:
    """
    Estimate the standard error of the mean of several images.

    Parameters
    ----------
    images : sequence of (rotation, channel, 2 my + 1, 2 mx + 1) complex array
        Fourier series of images of other configurations.

    Returns
    -------
    float
        rms over all positions of all images, as a share of their contrast; NaN if there is only one.
    """
    return _standard_error(images) / _contrast(np.mean(images, axis=0))


def _standard_error(images: Sequence[ComplexArray]) -> float:
    """Rms error of the mean of several images; NaN if there is only one."""
    count = len(images)
    if count == 1:
        return float("nan")
    return _rms(np.stack(images) - np.mean(images, axis=0)) / float(np.sqrt(count * (count - 1)))


def _rms(series: ComplexArray) -> float:
    """Root of the sum of squares of Fourier coefficients: that of the images' mean squares."""
    return float(np.sqrt((np.abs(series) ** 2).sum()))


def _contrast(series: ComplexArray) -> float:
    """`_rms` without the mean of each image; NaN where there is nothing but rounding errors."""
    varying = series.copy()
    varying[..., series.shape[-2] // 2, series.shape[-1] // 2] = 0
    found = _rms(varying)
    return found if found > 1e-9 * _rms(series) else float("nan")
