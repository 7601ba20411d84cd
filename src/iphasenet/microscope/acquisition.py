"""Doses and imperfections of scan and detector. torch is not needed, because the Snakefile runs without it."""

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
        "Doses of the noisy images that are stored for the validation and test splits.",
        DOSE,
        least=1,
        most=100,
        once=True,
        called="evaluation_doses",
    ),
]
# Above the largest dose a pixel has more electrons than a GPU's generator of Poisson numbers can count.
TrainingDose = Annotated[
    tuple[float, float],
    Setting(
        "Lowest and highest dose in training. A dose between them is drawn for every crop, log-uniformly.",
        DOSE,
        called="training_dose",
    ),
]


@dataclass(frozen=True)
class Acquisition(Settings, section="noise.acquisition"):
    """Imperfections of scan and detector; zeros describe perfect ones."""

    readout_electrons: Annotated[
        float,
        Setting(
            "Standard deviation of the Gaussian read-out noise of each segment in each pixel.",
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
        """Whether jitter or drift displaces the scan."""
        return self.jitter_angstrom > 0 or self.drift_angstrom > 0

    def displacements(self, lines: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """
        Draw the displacement of every scan line of a frame.

        Parameters
        ----------
        lines : int
            Number of scan lines, from top to bottom.
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


Imperfections = Annotated[Acquisition, Setting("Imperfections of scan and detector; zeros describe perfect ones.")]


@dataclass(frozen=True)
class FixedNoise(Settings, section="noise"):
    """Noise of the validation and test images."""

    doses: EvaluationDoses
    acquisition: Imperfections


@dataclass(frozen=True)
class TrainingNoise(Settings, section="noise"):
    """Noise of the training, drawn anew for every crop."""

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
