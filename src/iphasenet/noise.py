"""Shot noise and read-out noise of the segments."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.errors import InputError


@dataclass(frozen=True)
class FixedNoise:
    """
    Noise that validation and test images carry.

    Attributes
    ----------
    doses : tuple of float
        Doses, each different [e/Å²].
    readout_electrons : float
        Standard deviation of the Gaussian read-out noise, a pixel and segment [electrons].
    """

    doses: tuple[float, ...]
    readout_electrons: float

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
    readout_electrons : float
        Standard deviation of the Gaussian read-out noise, a pixel and segment [electrons].
    """

    dose: tuple[float, float]
    readout_electrons: float

    def __post_init__(self) -> None:
        low, high = (float(d) for d in self.dose)
        object.__setattr__(self, "dose", (low, high))
        if not 0 < low <= high:
            raise InputError(f"noise.training_dose: found [{low:g}, {high:g}]; allowed: 0 < lowest <= highest")

    def draw_dose(self, rng: np.random.Generator) -> float:
        """Draw a dose [e/Å²]."""
        low, high = np.log(self.dose)
        return float(np.exp(rng.uniform(low, high)))


def add_noise(
    segments: NDArray[np.floating[Any]],
    dose: float,
    sampling: float,
    readout_electrons: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """
    Draw the image that a detector would record.

    N = Poisson(I D p²) + Normal(0, s), returned as N / (D p²).

    Parameters
    ----------
    segments : (..., segment, y, x) array
        Noise-free images I, fractions of the beam current.
    dose : float
        Dose D [e/Å²].
    sampling : float
        Pixel size p [Å].
    readout_electrons : float
        Read-out noise s [electrons].
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    (..., segment, y, x) float32 array
        Noisy images, fractions of the beam current.
    """
    electrons = dose * sampling**2
    # A Fourier series may undershoot zero by rounding, where no electrons arrive.
    counts = rng.poisson(np.maximum(segments, 0) * electrons).astype(np.float64)
    if readout_electrons:
        counts += rng.normal(0.0, readout_electrons, counts.shape)
    return (counts / electrons).astype(np.float32)
