"""Noise-free images from which training crops are cut, on the device that trains."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iphasenet.base.devices import send
from iphasenet.dataset.material_data import MaterialData

_Rows = NDArray[np.float32] | Tensor
"""Images in the host's memory, in the store (`dataset.reader.StoredRows`) or on the device that trains; the first axis
is the sample."""


Wanted = tuple[int, int, np.random.Generator]
"""Index of a material, index of its sample, and the generator of a crop's random numbers."""


class Frame(NamedTuple):
    """
    Noise-free images of one size, and the window of the crop.

    Attributes
    ----------
    segments : (image, 4, y, x) tensor
        Fractions of the beam current.
    potential : (image, y, x) tensor
        Projected potential [V Å].
    metadata : (image, 4) float32 tensor
        Thickness [nm], alpha, beta, gamma [degrees]; in the host's memory, which is faster for few numbers.
    window : (slice, slice)
        Rows and columns of the crop, after the symmetry operation.
    """

    segments: Tensor
    potential: Tensor
    metadata: Tensor
    window: tuple[slice, slice]


class Frames(Protocol):
    """Source of the images from which crops are cut."""

    @property
    def sampling(self) -> float:
        """Pixel size [Å]."""

    @property
    def sizes(self) -> list[tuple[str, int]]:
        """Name of each material and number of its samples."""

    @property
    def sample_names(self) -> list[str]:
        """Names of the samples, material by material."""

    def to(self, device: torch.device, room: int, /) -> None:
        """Return frames on a device from now on, and keep images there that fit into `room` bytes."""

    def frames(self, wanted: Sequence[Wanted]) -> list[Frame]:
        """Find the images of samples and choose crops, in the given order; a frame holds one or several images."""


class StoredFrames:
    """
    Images of stored samples, with a crop at a random place.

    Parameters
    ----------
    data : sequence of MaterialData
        Training split.
    crop_pixels : int
        Side of a crop.
    """

    def __init__(self, data: Sequence[MaterialData], crop_pixels: int) -> None:
        self.data, self.crop, self.device = data, crop_pixels, torch.device("cpu")
        self.images: list[tuple[_Rows, _Rows]] = [(material.segments, material.potential) for material in data]

    @property
    def sampling(self) -> float:
        """Pixel size [Å]."""
        return self.data[0].sampling

    @property
    def sizes(self) -> list[tuple[str, int]]:
        """Name of each material and number of its samples."""
        return [(material.material, len(material.potential)) for material in self.data]

    @property
    def sample_names(self) -> list[str]:
        """Names of the stored samples."""
        return [str(name) for data in self.data for name in data.coordinates["sample_id"]]

    def to(self, device: torch.device, room: int, /) -> None:
        """
        Return frames on a device from now on.

        Parameters
        ----------
        device : torch.device
            Device that trains.
        room : int
            Memory that images may take there [bytes]: all of them are kept there, or none.
        """
        self.device = device
        in_memory = [image for pair in self.images for image in pair if isinstance(image, np.ndarray)]
        if len(in_memory) == 2 * len(self.images) and sum(image.nbytes for image in in_memory) <= room:
            self.images = [
                (torch.from_numpy(segments).to(device), torch.from_numpy(potential).to(device))
                for segments, potential in self.images
            ]

    def frames(self, wanted: Sequence[Wanted]) -> list[Frame]:
        """Choose a crop of each stored image."""
        return [self._frame(*one) for one in wanted]

    def _frame(self, material: int, sample: int, rng: np.random.Generator) -> Frame:
        segments, potential = (self._row(images, sample) for images in self.images[material])
        rows, columns = potential.shape
        top, left = rng.integers(0, rows - self.crop + 1), rng.integers(0, columns - self.crop + 1)
        window = (slice(top, top + self.crop), slice(left, left + self.crop))
        metadata: NDArray[np.float32] = self.data[material].metadata[sample]
        return Frame(segments[None], potential[None], torch.from_numpy(metadata)[None], window)

    def _row(self, images: _Rows, sample: int) -> Tensor:
        row = images[sample]
        return row if isinstance(row, Tensor) else send(row, self.device)
