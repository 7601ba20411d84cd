"""Doses and imperfections of scan and detector; without torch, which the Snakefile has none of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.base.quantities import DOSE, Quantity

_QUANTITIES = {
    "readout_electrons": Quantity("electrons", 0, 1e6),
    "gain_mismatch": Quantity("", 0, 0.5),
    "jitter_angstrom": Quantity("Å", 0, 2),
    "drift_angstrom": Quantity("Å", 0, 10),
}


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
        for name, quantity in _QUANTITIES.items():
            quantity.check(getattr(self, name), f"noise.acquisition.{name}")

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
        for dose in self.doses:
            DOSE.check(dose, "noise.evaluation_doses")
        if len(set(self.doses)) != len(self.doses):
            raise InputError(f"noise.evaluation_doses: found {list(self.doses)}; allowed: each once")


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
        # Beyond its range the electrons of a pixel are more than a GPU's generator of Poisson numbers can count.
        for dose in self.dose:
            DOSE.check(dose, "noise.training_dose")
        if low > high:
            raise InputError(f"noise.training_dose: found [{low:g}, {high:g}] e/Å²; allowed: the lower dose first")

    def draw_dose(self, rng: np.random.Generator) -> float:
        """Draw a dose [e/Å²]."""
        low, high = np.log(self.dose)
        return float(np.exp(rng.uniform(low, high)))
