"""Training crops with fresh noise, and evaluation images with the stored one."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from iphasenet.dataset import MaterialData
from iphasenet.errors import InputError
from iphasenet.noise import TrainingNoise, record
from iphasenet.sampling import generator
from iphasenet.symmetry import OPERATIONS, transformed

Item = tuple[Tensor, Tensor, Tensor, int]
"""Segments (4, y, x), metadata (4,), potential (y, x) [V Å], and the sample's number among all of the data."""


class Frame(NamedTuple):
    """
    A noise-free image, and which part of it is the crop.

    Attributes
    ----------
    segments : (4, y, x) array
        Fractions of the beam current.
    potential : (y, x) array
        Projected potential [V Å].
    metadata : (4,) float32 array
        Thickness [nm], alpha, beta, gamma [degrees].
    window : (slice, slice)
        Rows and columns of the crop, after the symmetry operation.
    """

    segments: NDArray[np.float32]
    potential: NDArray[np.float32]
    metadata: NDArray[np.float32]
    window: tuple[slice, slice]


class Crops(Dataset[Item], ABC):
    """
    Random crops of every epoch with fresh noise.

    Place, dose, noise and symmetry operation are keyed by (seed, material, epoch, crop): an epoch is the same on any
    number of processes and after a resume. Items are numbered through all epochs: item = epoch x crops of an epoch +
    crop.

    Parameters
    ----------
    sizes : sequence of (str, int)
        Name of each material and number of its samples.
    sampling : float
        Pixel size [Å].
    noise : TrainingNoise
        Noise model.
    crops_per_sample : int
        Crops of each sample in an epoch.
    seed : int
        Key of the random numbers.
    augmentation : {'none', 'turns', 'symmetry'}
        Quarter turns, without or with mirrors.
    """

    def __init__(
        self,
        sizes: Sequence[tuple[str, int]],
        sampling: float,
        noise: TrainingNoise,
        crops_per_sample: int,
        seed: int,
        augmentation: Literal["none", "turns", "symmetry"] = "none",
    ) -> None:
        self.names, self.sampling, self.noise, self.seed = [name for name, _ in sizes], sampling, noise, seed
        self.operations = {"none": 1, "turns": OPERATIONS // 2, "symmetry": OPERATIONS}[augmentation]
        index = [(material, sample) for material, (_, size) in enumerate(sizes) for sample in range(size)]
        self.index, self.samples = index * crops_per_sample, len(index)

    def __len__(self) -> int:
        return len(self.index)

    @property
    @abstractmethod
    def sample_names(self) -> list[str]:
        """Names of the samples in the order of their numbers."""

    @abstractmethod
    def frame(self, material: int, sample: int, rng: np.random.Generator) -> Frame:
        """Find a sample's image and choose the crop."""

    def __getitem__(self, item: int) -> Item:
        epoch, crop = divmod(item, len(self.index))
        material, sample = self.index[crop]
        rng = generator(self.seed, self.names[material], "training", epoch, crop)
        frame = self.frame(material, sample, rng)
        # The scan sees the turned crystal: its lines are rows of what comes out.
        operation = int(rng.integers(self.operations))
        clean, truth, metadata = transformed(frame.segments, frame.potential, frame.metadata, operation)
        dose = self.noise.draw_dose(rng)
        noisy = record(clean, dose, self.sampling, self.noise.acquisition, rng, frame.window)
        arrays = (noisy, metadata, truth[frame.window])
        segments, described, potential = (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
        return segments, described, potential, crop % self.samples


class TrainingCrops(Crops):
    """
    Crops of stored samples, at random places of their images.

    Parameters
    ----------
    data : sequence of MaterialData
        Training split.
    noise, crops_per_sample, seed, augmentation
        As in `Crops`.
    crop_pixels : int
        Side of a crop.
    """

    def __init__(
        self,
        data: Sequence[MaterialData],
        noise: TrainingNoise,
        crop_pixels: int,
        crops_per_sample: int,
        seed: int,
        augmentation: Literal["none", "turns", "symmetry"] = "none",
    ) -> None:
        self.data, self.crop = data, crop_pixels
        sizes = [(material.material, len(material.potential)) for material in data]
        super().__init__(sizes, data[0].sampling, noise, crops_per_sample, seed, augmentation)

    @property
    def sample_names(self) -> list[str]:
        """Names of the stored samples."""
        return [str(name) for data in self.data for name in data.coordinates["sample_id"]]

    def frame(self, material: int, sample: int, rng: np.random.Generator) -> Frame:
        """Choose a crop of a stored image."""
        data = self.data[material]
        rows, columns = data.potential.shape[1:]
        top, left = rng.integers(0, rows - self.crop + 1), rng.integers(0, columns - self.crop + 1)
        window = (slice(top, top + self.crop), slice(left, left + self.crop))
        return Frame(data.segments[sample], data.potential[sample], data.metadata[sample], window)


class EpochSampler(Sampler[int]):
    """
    Items of one epoch for one process, in an order that depends on seed and epoch alone.

    A global batch is the same set of crops on any number of processes; each process takes its share of it.

    Parameters
    ----------
    crops : int
        Crops of an epoch.
    batch_size : int
        Crops in a global batch, a multiple of `processes`. A last short batch is left out, unless it is the only one.
    seed : int
        Key of the order.
    process, processes : int
        Number of this process, and of all.
    """

    def __init__(self, crops: int, batch_size: int, seed: int, process: int = 0, processes: int = 1) -> None:
        self.crops, self.seed, self.epoch = crops, seed, 0
        self.process, self.share = process, min(batch_size, crops) // processes
        if self.share == 0:
            raise InputError(f"training: found {crops} crops in an epoch; allowed: at least {processes}, one a process")
        self.batch, self.batches = self.share * processes, crops // min(batch_size, crops)

    def __len__(self) -> int:
        return self.batches * self.share

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this when one begins, after a resume too."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        order = generator(self.seed, "", "order", self.epoch).permutation(self.crops)
        for batch in range(self.batches):
            start = batch * self.batch + self.process * self.share
            yield from (self.epoch * self.crops + order[start : start + self.share]).tolist()


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
            torch.from_numpy(data.noisy_segments[sample, dose].astype(np.float32)),
            torch.from_numpy(data.metadata[sample]),
            torch.from_numpy(data.potential[sample]),
            item // len(data.doses),
        )
