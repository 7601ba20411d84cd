"""Architecture of the network for any crystal; this module needs no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from iphasenet.base.quantities import Quantity
from iphasenet.base.reading import read_safetensors_header
from iphasenet.base.settings import Setting, Settings


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
    filters: Annotated[
        int,
        Setting(
            "Fourier filters of the segments, made for each image from what its spectra say; 0 for neither filters nor "
            "spectra.",
            Quantity("", 0, 64, whole=True),
        ),
    ] = 8
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


def holds_columns(path: str | Path) -> bool:
    """Whether a file holds weights of a network for any crystal; false for one that cannot be read."""
    try:
        return "column_model" in read_safetensors_header(path)
    except (OSError, KeyError, TypeError, ValueError):
        return False
