"""Settings of the network for any crystal and of its training; this module needs no torch."""

from dataclasses import dataclass
from typing import Annotated

from iphasenet.base.quantities import Quantity
from iphasenet.base.settings import Setting, Settings
from iphasenet.network.column_settings import ColumnModel
from iphasenet.training.settings import EmaDecay, LearningRate, Patience, Precision, WeightDecay

_COUNT = Quantity("", 1, 10_000_000, whole=True)
_SHARE = Quantity("", 0, 1)


@dataclass(frozen=True)
class ColumnTraining(Settings, section="column_network.training"):
    """How the network for any crystal is trained."""

    seed: Annotated[int, Setting("Seed of weights, crops and noise.", Quantity("", 0, 2**32 - 1, whole=True))]
    epochs: Annotated[int, Setting("Number of validations; each follows `crops_per_epoch` new crops.", _COUNT)]
    crops_per_epoch: Annotated[int, Setting("Number of crops between two validations.", _COUNT)]
    validation_crops: Annotated[int, Setting("Number of crops of the crystals that validate the network.", _COUNT)]
    crop_pixels: Annotated[
        int, Setting("Side of a crop, a multiple of 32.", Quantity("pixels", 64, 1024, whole=True, step=32))
    ]
    batch_size: Annotated[int, Setting("Number of crops in a step, over all processes.", _COUNT)]
    learning_rate: LearningRate
    weight_decay: WeightDecay
    kernel_learning_rate: Annotated[
        float,
        Setting(
            "Highest learning rate of convolution kernels, which Muon trains; 0: AdamW trains them, too.",
            Quantity("", 0, 1),
        ),
    ] = 0.02
    told_share: Annotated[
        float,
        Setting(
            "Share of the crops of which the network is told something of thickness, tilt and defocus; of these it is "
            "told each with a probability of one half.",
            _SHARE,
        ),
    ] = 0.5
    optics_told_share: Annotated[
        float, Setting("Share of the crops of which it is told semiangle and collection angles.", _SHARE)
    ] = 0.7
    ema_decay: EmaDecay = 0.998
    patience: Patience = 0
    start: Annotated[
        str | None,
        Setting(
            "Weights of the same architecture from which training begins, such as those of an earlier run.", path=True
        ),
    ] = None
    precision: Precision = "32-true"


@dataclass(frozen=True)
class ColumnNetworkSettings(Settings, section="column_network"):
    """The network for any crystal, in place of `model` and `training`."""

    model: Annotated[ColumnModel, Setting("Architecture.")]
    training: Annotated[ColumnTraining, Setting("How it is trained.")]
