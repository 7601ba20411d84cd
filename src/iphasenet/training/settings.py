"""Settings of the training, checked before anything runs; this module needs no torch."""

from dataclasses import dataclass
from typing import Annotated, Literal

from iphasenet.base.errors import InputError
from iphasenet.base.quantities import IMAGE_PIXELS, Quantity
from iphasenet.base.settings import Setting, Settings
from iphasenet.simulation.grid import NOTHING, LeftOut

TERMS = ("l1", "l2", "gradient_l1", "spectral_l1")
"""Terms of the loss that train the mean potential; `spread` trains only the uncertainty."""

_COUNT = Quantity("", 1, 1_000_000, whole=True)
_WEIGHT = Quantity("", 0, 1e6)


LearningRate = Annotated[
    float,
    Setting(
        "Highest learning rate of AdamW, reached after a twentieth of the steps; then it falls as a cosine.",
        Quantity("", 0, 1, above=True),
    ),
]
WeightDecay = Annotated[float, Setting("Weight decay of AdamW, constant.", Quantity("", 0, 10))]
EmaDecay = Annotated[
    float,
    Setting(
        "Decay in each step of the moving average of the weights; the averaged weights are validated and kept. "
        "After n steps the decay is at most (1 + n) / (10 + n). 0: no average.",
        Quantity("", 0, 1, below=True),
    ),
]
Patience = Annotated[
    int,
    Setting(
        "Number of epochs without a better validation after which training stops; 0: it never stops early.",
        Quantity("epochs", 0, 1_000_000, whole=True),
    ),
]
Precision = Annotated[Literal["32-true", "bf16-mixed"], Setting("Precision of the training, by Lightning's names.")]
"""Settings that every network's training has."""


@dataclass(frozen=True)
class LossWeights(Settings, section="training.loss"):
    """Weights of the terms of the loss (`iphasenet.network.losses.training_loss`)."""

    l1: Annotated[
        float, Setting("Mean absolute error of the mean potential (projected potential / thickness).", _WEIGHT)
    ]
    l2: Annotated[float, Setting("Mean squared error of the mean potential.", _WEIGHT)]
    gradient_l1: Annotated[
        float, Setting("Mean absolute error of the differences between neighbouring pixels.", _WEIGHT)
    ]
    spectral_l1: Annotated[float, Setting("Mean absolute error of the Fourier amplitudes.", _WEIGHT)]
    spread: Annotated[
        float,
        Setting(
            "Likelihood of the predicted uncertainty. It trains only the uncertainty and does not change the "
            "potential.",
            _WEIGHT,
        ),
    ]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any(getattr(self, term) for term in TERMS):
            raise InputError(
                f"training.loss: found only zeros; allowed: at least one weight of {', '.join(TERMS)} above 0"
            )


@dataclass(frozen=True)
class TrainingSettings(Settings, section="training"):
    """How a network is trained."""

    seed: Annotated[int, Setting("Seed of weights, crops and training noise.", Quantity("", 0, 2**32 - 1, whole=True))]
    epochs: Annotated[int, Setting("Number of passes over the training split.", _COUNT)]
    crops_per_sample: Annotated[int, Setting("Number of random crops of each sample in an epoch.", _COUNT)]
    crop_pixels: Annotated[
        int,
        # The coarsest stage is 32 times smaller, and an instance norm needs more than one pixel there.
        Setting(
            "Side of a crop, a multiple of 32, at least 64 and at most `image.pixels`.",
            Quantity("pixels", 64, IMAGE_PIXELS.high, whole=True, step=32),
        ),
    ]
    batch_size: Annotated[int, Setting("Number of crops in a step, over all processes.", _COUNT)]
    learning_rate: LearningRate
    weight_decay: WeightDecay
    loss: Annotated[LossWeights, Setting("Weights of the terms of the loss; published: 1, 0, 0.1, 0.1.")]
    relative_loss: Annotated[
        bool,
        Setting(
            "If true, the errors of a crop are divided by the standard deviation of its true potential, so that thick "
            "tilted crystals with little contrast count as much as thin ones. Otherwise they are divided by "
            "`output_scale_v`, as published."
        ),
    ]
    output_scale_v: Annotated[
        float,
        Setting("Mean potential for a network output of 1.", Quantity("V", 0, 1e6, above=True)),
    ]
    augmentation: Annotated[
        Literal["none", "turns", "symmetry"],
        Setting(
            "`turns`: random quarter turns of image, detector and crystal together. `symmetry`: also mirror images. "
            "`none`: neither. The results are exact images of the turned or mirrored crystal."
        ),
    ]
    ema_decay: EmaDecay
    patience: Patience
    source: Annotated[
        Literal["stored", "rendered"],
        Setting(
            "`stored`: crops are cut from the stored samples. `rendered`: every crop is rendered from the simulation "
            "of its tilt, at a new place of the crystal and with any of the simulated rotations."
        ),
    ]
    precision: Precision
    leave_out: Annotated[
        LeftOut,
        Setting(
            "Samples that training, the choice of the epoch and the baselines do not use, for tests on unseen samples.",
            required=True,
        ),
    ] = NOTHING

    def check_image(self, pixels: int) -> None:
        """Refuse crops that are larger than images with sides of `pixels`."""
        if self.crop_pixels > pixels:
            raise InputError(f"training.crop_pixels: found {self.crop_pixels}; allowed: at most image.pixels, {pixels}")

    def check_processes(self, processes: int, norm: str) -> None:
        """Refuse settings with which several processes would train another network than one process does."""
        if processes > 1 and norm == "batch":
            raise InputError(
                f"model.norm: found 'batch' with {processes} training processes, each of which would use "
                "the statistics of its own share of a batch; allowed: instance, group"
            )
        if self.batch_size % processes:
            raise InputError(
                f"training.batch_size: found {self.batch_size}; allowed: a multiple of {processes} processes"
            )
