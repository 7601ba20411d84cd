"""Architecture and training of the network for any crystal; this module needs no torch."""

from dataclasses import dataclass
from typing import Annotated, Literal

from iphasenet.base.quantities import Quantity
from iphasenet.base.settings import Setting, Settings

_COUNT = Quantity("", 1, 10_000_000, whole=True)
_SHARE = Quantity("", 0, 1)


@dataclass(frozen=True)
class ColumnModel(Settings, section="column_network.model"):
    """Architecture of the network for any crystal, which its weights must fit."""

    width: Annotated[
        int,
        Setting(
            "Channels at half of the image's resolution, a multiple of 8; two, three and four times as many below.",
            Quantity("", 8, 512, whole=True, step=8),
            required=True,
        ),
    ] = 40
    blocks: Annotated[int, Setting("Residual blocks of each resolution.", Quantity("", 1, 8, whole=True))] = 1
    resolution_angstrom: Annotated[
        float,
        Setting(
            "Full width at half maximum of the Gaussian by which true columns are blurred. Images hold no detail finer "
            "than half the wavelength over the semiangle, 0.6 Å at 200 kV and 20 mrad.",
            Quantity("Å", 0, 10),
            required=True,
        ),
    ] = 0.6
    held: Annotated[
        Literal["level", "direct"],
        Setting(
            "What the network holds of the columns. `level`: their mean, by one number for the image, and a pattern "
            "of mean 1. `direct`: the potential of each pixel."
        ),
    ] = "level"


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
    learning_rate: Annotated[
        float,
        Setting(
            "Highest learning rate of AdamW, reached after a twentieth of the steps; then it falls as a cosine.",
            Quantity("", 0, 1, above=True),
        ),
    ]
    weight_decay: Annotated[float, Setting("Weight decay of AdamW, constant.", Quantity("", 0, 10))]
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
    ema_decay: Annotated[
        float, Setting("Decay in each step of the moving average of the weights.", Quantity("", 0, 1, below=True))
    ] = 0.998
    patience: Annotated[
        int,
        Setting(
            "Number of epochs without a better validation after which training stops; 0: it never stops early.",
            Quantity("epochs", 0, 1_000_000, whole=True),
        ),
    ] = 0
    start: Annotated[
        str | None,
        Setting(
            "Weights of the same architecture from which training begins, such as those of an earlier run.", path=True
        ),
    ] = None
    precision: Annotated[
        Literal["32-true", "bf16-mixed"], Setting("Precision of the training, by Lightning's names.")
    ] = "32-true"


@dataclass(frozen=True)
class ColumnNetworkSettings(Settings, section="column_network"):
    """The network for any crystal, in place of `model` and `training`."""

    model: Annotated[ColumnModel, Setting("Architecture.")]
    training: Annotated[ColumnTraining, Setting("How it is trained.")]
