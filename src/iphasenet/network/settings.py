"""Architecture of a network; this module needs no torch."""

from dataclasses import dataclass
from typing import Annotated, Literal

from iphasenet.base.errors import InputError
from iphasenet.base.quantities import Quantity
from iphasenet.base.settings import Setting, Settings


@dataclass(frozen=True)
class ModelSettings(Settings, section="model"):
    """Architecture of a network, which its weights must fit."""

    feature_size: Annotated[
        int,
        Setting(
            "Width of the first stage of the SwinUNETR, a multiple of 12. 12, 24 and 48 give 1.6, 6.3 and 25.1 million "
            "parameters.",
            Quantity("", 12, 1200, whole=True, step=12),
        ),
    ]
    norm: Annotated[
        Literal["instance", "batch", "group"],
        Setting("Normalisation of the convolutional path.", required=True),
    ] = "instance"
    conditioning: Annotated[
        Literal["maps", "film"],
        Setting(
            "How thickness and angles enter the network. `maps`: as constant channels, as published, which instance "
            "norms nearly erase. `film`: also as scale and shift of the encoder's features.",
            required=True,
        ),
    ] = "film"
    window_size: Annotated[
        int,
        Setting(
            "Side of an attention window. The value 8 fits the token grids of images whose sides are multiples of 128.",
            Quantity("tokens", 2, 64, whole=True),
            required=True,
        ),
    ] = 8
    inputs: Annotated[
        Literal["minmax", "fraction"],
        Setting(
            "Scale of the images. `minmax`: the four images together are scaled to 0 to 1, as published. `fraction`: "
            "they are fractions of the beam current, minus their mean.",
            required=True,
        ),
    ] = "minmax"
    projection: Annotated[
        Literal["direct", "columns"],
        Setting(
            "What the last layer predicts. `direct`: the mean potential, as published. `columns`: the potential of the "
            "untilted columns, which a fixed layer then averages along the tilt; for small tilts only.",
            required=True,
        ),
    ] = "direct"
    uncertainty: Annotated[
        bool,
        Setting("If true, the network also predicts the expected error of each pixel.", required=True),
    ] = False
    angles: Annotated[
        Literal["shares", "sines"],
        Setting(
            "How the maps encode alpha, beta and gamma: as fractions of 360°, or as three sines and then three "
            "cosines. Only the published system's weights use sines (`iphasenet.network.published`).",
            key=False,
        ),
    ] = "shares"
    output: Annotated[
        Literal["mean", "projected"],
        Setting(
            "Which potential the last layer predicts: the mean one or, in the published system's weights, the "
            "projected one.",
            key=False,
        ),
    ] = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.output == "projected" and (self.uncertainty or self.projection != "direct"):
            raise InputError(
                "model.output: found 'projected' with projection 'columns' or an uncertainty; allowed: mean"
            )
