"""What a microscope adds to an image: scan distortion, shot noise, gains and read-out noise of the segments."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import i0

from iphasenet.errors import InputError

HALF_WIDTH = 8
"""Of the interpolation kernel [pixels]."""

KAISER_BETA = 9.0
"""Of the kernel's window: off by less than 0.01 % of the contrast at 0.1 and 0.2 Å, for 20 mrad."""


@dataclass(frozen=True)
class Acquisition:
    """
    Imperfections of scan and detector; all zero is a perfect one.

    Attributes
    ----------
    readout_electrons : float
        Standard deviation of the Gaussian read-out noise, a pixel and segment [electrons].
    gain_mismatch : float
        Relative standard deviation of the segments' gains about 1, drawn once an image.
    jitter_angstrom : float
        Standard deviation of each scan line's displacement along x and along y [Å].
    drift_angstrom : float
        Standard deviation, along x and along y, of how far the specimen drifts during a frame [Å].
    """

    readout_electrons: float = 0.0
    gain_mismatch: float = 0.0
    jitter_angstrom: float = 0.0
    drift_angstrom: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < math.inf:
                raise InputError(f"noise.{name}: found {value}; allowed: from 0")

    @property
    def distorts(self) -> bool:
        """Whether the scan is displaced at all."""
        return self.jitter_angstrom > 0 or self.drift_angstrom > 0

    def displacements(self, lines: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """
        Draw the displacement of every scan line of a frame.

        Parameters
        ----------
        lines : int
            Scan lines, from top to bottom.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        (line, 2) array
            Displacement (y, x) of the probe on the specimen [Å]: jitter, and drift that is zero at mid-frame.
        """
        time = (np.arange(lines) + 0.5) / lines - 0.5
        drift = rng.normal(0.0, 1.0, 2) * self.drift_angstrom
        jitter = rng.normal(0.0, 1.0, (lines, 2)) * self.jitter_angstrom
        return np.asarray(time[:, None] * drift + jitter)


@dataclass(frozen=True)
class FixedNoise:
    """
    Noise that validation and test images carry.

    Attributes
    ----------
    doses : tuple of float
        Doses, each different [e/Å²].
    acquisition : Acquisition
        Scan and detector.
    """

    doses: tuple[float, ...]
    acquisition: Acquisition

    def __post_init__(self) -> None:
        object.__setattr__(self, "doses", tuple(float(d) for d in self.doses))
        if len(set(self.doses)) != len(self.doses) or not all(d > 0 for d in self.doses):
            raise InputError(f"noise.evaluation_doses: found {list(self.doses)}; allowed: above 0, each once")


@dataclass(frozen=True)
class TrainingNoise:
    """
    Noise that is drawn anew for every crop.

    Attributes
    ----------
    dose : (float, float)
        Range of the dose, drawn log-uniformly [e/Å²].
    acquisition : Acquisition
        Scan and detector.
    """

    dose: tuple[float, float]
    acquisition: Acquisition

    def __post_init__(self) -> None:
        low, high = (float(d) for d in self.dose)
        object.__setattr__(self, "dose", (low, high))
        if not 0 < low <= high:
            raise InputError(f"noise.training_dose: found [{low:g}, {high:g}]; allowed: 0 < lowest <= highest")

    def draw_dose(self, rng: np.random.Generator) -> float:
        """Draw a dose [e/Å²]."""
        low, high = np.log(self.dose)
        return float(np.exp(rng.uniform(low, high)))


def record(
    segments: NDArray[np.floating[Any]],
    dose: float,
    sampling: float,
    acquisition: Acquisition,
    rng: np.random.Generator,
    window: tuple[slice, slice] = (slice(None), slice(None)),
) -> NDArray[np.float32]:
    """
    Draw the image that a microscope would record, or a crop of it.

    N = Poisson(I(R + d) D p²), returned as (g N + Normal(0, s)) / (D p²): displacement d of the scan line, the same
    in all segments; gain g of the segment; read-out noise s.

    Parameters
    ----------
    segments : (segment, y, x) array
        Noise-free images I of the whole frame, fractions of the beam current.
    dose : float
        Dose D [e/Å²].
    sampling : float
        Pixel size p [Å].
    acquisition : Acquisition
        Scan and detector.
    rng : numpy.random.Generator
        Source of randomness.
    window : (slice, slice)
        Rows and columns of the crop.

    Returns
    -------
    (segment, y, x) float32 array
        Noisy images, fractions of the beam current.
    """
    if acquisition.distorts:
        lines = acquisition.displacements(segments.shape[1], rng) / sampling
        scanned = displaced(segments, lines, window)
    else:
        scanned = segments[:, *window]
    electrons = dose * sampling**2
    # A Fourier series may undershoot zero by rounding, where no electrons arrive.
    counts = rng.poisson(np.maximum(scanned, 0) * electrons).astype(np.float64)
    if acquisition.gain_mismatch:
        counts *= 1 + rng.normal(0.0, acquisition.gain_mismatch, (len(segments), 1, 1))
    if acquisition.readout_electrons:
        counts += rng.normal(0.0, acquisition.readout_electrons, counts.shape)
    return (counts / electrons).astype(np.float32)


def displaced(
    segments: NDArray[np.floating[Any]],
    lines: NDArray[np.float64],
    window: tuple[slice, slice] = (slice(None), slice(None)),
) -> NDArray[np.float32]:
    """
    Interpolate images at displaced scan lines; beyond the frame they are mirrored.

    Parameters
    ----------
    segments : (segment, y, x) array
        Images of the whole frame.
    lines : (y, 2) array
        Displacement (y, x) of each line of the frame [pixels].
    window : (slice, slice)
        Rows and columns of the crop.

    Returns
    -------
    (segment, y, x) float32 array
        The crop as the displaced scan sees it.
    """
    rows, columns = (np.arange(size)[part] for size, part in zip(segments.shape[1:], window, strict=True))
    dy, dx = lines[rows].T
    reach = HALF_WIDTH + math.ceil(np.abs(lines[rows]).max())
    # All pixels of a scan line are displaced alike: first whole lines are mixed, then each line's pixels.
    near = np.arange(rows[0] - reach, rows[-1] + reach + 1)
    part = segments[:, _mirrored(near, segments.shape[1])]
    part = part[:, :, _mirrored(np.arange(columns[0] - reach, columns[-1] + reach + 1), segments.shape[2])]
    mixed = _kernel((rows + dy)[:, None] - near).astype(np.float32) @ part
    steps = np.arange(-reach, reach + 1)
    weights = _kernel(dx[:, None] - steps).astype(np.float32)
    result = np.zeros((len(segments), len(rows), len(columns)), np.float32)
    for step, weight in zip(steps + reach, weights.T, strict=True):
        result += weight[:, None] * mixed[:, :, step : step + len(columns)]
    return result


def _mirrored(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Bring indices into a frame that is mirrored about its outermost pixels, again and again."""
    period = max(1, 2 * (size - 1))
    return np.asarray(size - 1 - np.abs(np.mod(index, period) - (size - 1)))


def _kernel(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sinc under a Kaiser window; weights sum to 1 along the last axis."""
    window = i0(KAISER_BETA * np.sqrt(np.clip(1 - (distance / HALF_WIDTH) ** 2, 0, None))) / i0(KAISER_BETA)
    weights = np.sinc(distance) * np.where(np.abs(distance) < HALF_WIDTH, window, 0.0)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))
