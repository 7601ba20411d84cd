"""Pixels of simulated images."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.quantities import IMAGE_PIXELS, IMAGE_SAMPLING
from iphasenet.base.settings import Setting, Settings


@dataclass(frozen=True)
class Image(Settings, section="image"):
    """Pixels of an image."""

    pixels: Annotated[
        int,
        Setting(
            "Number of pixels along each side, a multiple of 32 and at least 64.",
            IMAGE_PIXELS,
            configured=replace(IMAGE_PIXELS, low=64, step=32),
        ),
    ]
    sampling_angstrom: Annotated[
        float, Setting("Pixel size.", IMAGE_SAMPLING, configured=replace(IMAGE_SAMPLING, high=1))
    ]

    @property
    def positions(self) -> NDArray[np.floating[Any]]:
        """Positions of the pixels along an axis, 0 at the image's centre [Å]."""
        return (np.arange(self.pixels) - (self.pixels - 1) / 2) * self.sampling_angstrom
