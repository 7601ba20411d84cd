"""Doses and imperfections of scan and detector; without torch, which the Snakefile has none of."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.base.quantities import DOSE, Quantity
from iphasenet.base.settings import Setting, Settings

EvaluationDoses = Annotated[
    tuple[float, ...],
    Setting(
        "Doses of the fixed noisy images of the validation and test splits.",
        DOSE,
        least=1,
        most=100,
        once=True,
        called="evaluation_doses",
    ),
]
# Beyond the range of doses the electrons of a pixel are more than a GPU's generator of Poisson numbers can count.
TrainingDose = Annotated[
    tuple[float, float],
    Setting(
        "Lowest and highest dose of training. Every crop draws one between them, log-uniformly.",
        DOSE,
        called="training_dose",
    ),
]


@dataclass(frozen=True)
class Acquisition(Settings, section="noise.acquisition"):
    """Imperfections of scan and detector; all zero is a perfect one."""

    readout_electrons: Annotated[
        float,
        Setting(
            "Standard deviation of the Gaussian read-out noise of a pixel in a segment.",
            Quantity("electrons", 0, 1e6),
            required=True,
        ),
    ] = 0.0
    gain_mismatch: Annotated[
        float,
        Setting(
            "Relative standard deviation of the segments' gains about 1, drawn once for each image.",
            Quantity("", 0, 0.5),
            required=True,
        ),
    ] = 0.0
    jitter_angstrom: Annotated[
        float,
        Setting(
            "Standard deviation of each scan line's displacement, along x and along y.",
            Quantity("Å", 0, 2),
            required=True,
        ),
    ] = 0.0
    drift_angstrom: Annotated[
        float,
        Setting(
            "Standard deviation of the specimen's drift during a frame, along x and along y; zero at mid-frame.",
            Quantity("Å", 0, 10),
            required=True,
        ),
    ] = 0.0

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


Imperfections = Annotated[Acquisition, Setting("Imperfections of scan and detector; zeros are a perfect one.")]


@dataclass(frozen=True)
class FixedNoise(Settings, section="noise"):
    """Noise that validation and test images carry."""

    doses: EvaluationDoses
    acquisition: Imperfections


@dataclass(frozen=True)
class TrainingNoise(Settings, section="noise"):
    """Noise that is drawn anew for every crop."""

    dose: TrainingDose
    acquisition: Imperfections

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = self.dose
        if low > high:
            raise InputError(f"noise.training_dose: found [{low:g}, {high:g}] e/Å²; allowed: the lower dose first")

    def draw_dose(self, rng: np.random.Generator) -> float:
        """Draw a dose [e/Å²]."""
        low, high = np.log(self.dose)
        return float(np.exp(rng.uniform(low, high)))
