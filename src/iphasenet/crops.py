"""Training crops with fresh noise, and evaluation images with the stored one."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from iphasenet.dataset import MaterialData
from iphasenet.noise import TrainingNoise, add_noise
from iphasenet.sampling import generator

Item = tuple[Tensor, Tensor, Tensor]


class TrainingCrops(Dataset[Item]):
    """
    Random crops of one epoch.

    An item is (segments (4, y, x), metadata (4,), potential (y, x) [V Å]). Position, dose and noise are keyed by
    (seed, material, epoch, item): an epoch is the same on any number of processes and after a resume.

    Parameters
    ----------
    data : sequence of MaterialData
        Training split.
    noise : TrainingNoise
        Noise model.
    crop_pixels : int
        Side of a crop.
    crops_per_sample : int
        Crops of each sample in an epoch.
    seed, epoch : int
        Keys of the random numbers.
    """

    def __init__(
        self,
        data: Sequence[MaterialData],
        noise: TrainingNoise,
        crop_pixels: int,
        crops_per_sample: int,
        seed: int,
        epoch: int,
    ) -> None:
        self.data, self.noise, self.crop = data, noise, crop_pixels
        self.seed, self.epoch = seed, epoch
        index = [(m, s) for m, material in enumerate(data) for s in range(len(material.potential))]
        self.index = index * crops_per_sample

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, item: int) -> Item:
        material_index, sample = self.index[item]
        data = self.data[material_index]
        rng = generator(self.seed, data.material, "training", self.epoch, item)
        rows, columns = data.potential.shape[1:]
        top, left = rng.integers(0, rows - self.crop + 1), rng.integers(0, columns - self.crop + 1)
        window = (slice(top, top + self.crop), slice(left, left + self.crop))
        dose = self.noise.draw_dose(rng)
        segments = data.segments[(sample, slice(None), *window)]
        noisy = add_noise(segments, dose, data.sampling, self.noise.readout_electrons, rng)
        potential = np.ascontiguousarray(data.potential[(sample, *window)])
        return torch.from_numpy(noisy), torch.from_numpy(data.metadata[sample]), torch.from_numpy(potential)


class NoisyImages(Dataset[Item]):
    """Whole images of a validation or test split with their fixed noise, every dose of every sample in turn."""

    def __init__(self, data: Sequence[MaterialData]) -> None:
        self.data = data
        self.index = [
            (m, sample, dose)
            for m, material in enumerate(data)
            for sample in range(len(material.potential))
            for dose in range(len(material.doses))
        ]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, item: int) -> Item:
        material_index, sample, dose = self.index[item]
        data = self.data[material_index]
        return (
            torch.from_numpy(data.noisy_segments[sample, dose]),
            torch.from_numpy(data.metadata[sample]),
            torch.from_numpy(data.potential[sample]),
        )
