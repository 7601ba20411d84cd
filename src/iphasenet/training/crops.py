"""Training crops with fresh noise, and validation images with their stored noise."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from iphasenet.base.devices import send
from iphasenet.base.errors import InputError
from iphasenet.dataset.material_data import MaterialData
from iphasenet.microscope.acquisition import TrainingNoise
from iphasenet.network.symmetry import OPERATIONS, transformed_images
from iphasenet.simulation.grid import generator
from iphasenet.simulation.noise import record_images
from iphasenet.training.frames import Frame, Frames, Wanted

Item = tuple[Tensor, Tensor, Tensor, Tensor]
"""Segments (4, y, x), metadata (4,), potential (y, x) [V Å], and the sample's number among all of the data."""


class Crops(Dataset[Item]):
    """
    Random crops of every epoch with fresh noise, drawn on the device of their frames.

    Place, dose, noise and symmetry operation have the key (seed, material, epoch, crop): an epoch is the same on any
    number of processes of one kind of device and after a resume. On a GPU it is the same up to the rounding of float32,
    which depends on the crops that are rendered together. Items are numbered through all epochs: item = epoch x
    crops of an epoch + crop.

    Parameters
    ----------
    frames : Frames
        Images from which crops are cut.
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
        frames: Frames,
        noise: TrainingNoise,
        crops_per_sample: int,
        seed: int,
        augmentation: Literal["none", "turns", "symmetry"] = "none",
    ) -> None:
        self.frames, self.noise, self.seed = frames, noise, seed
        self.names = [name for name, _ in frames.sizes]
        self.operations = {"none": 1, "turns": OPERATIONS // 2, "symmetry": OPERATIONS}[augmentation]
        index = [(material, sample) for material, (_, size) in enumerate(frames.sizes) for sample in range(size)]
        self.index, self.samples = index * crops_per_sample, len(index)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, item: int) -> Item:
        return self.__getitems__([item])[0]

    def __getitems__(self, items: Sequence[int]) -> list[Item]:
        """Draw the crops of a batch; DataLoader calls this."""
        wanted = [self._wanted(item) for item in items]
        found: list[Item] = []
        for frame in self.frames.frames(wanted):
            part = slice(len(found), len(found) + len(frame.segments))
            numbers = np.array([item % self.samples for item in items[part]])
            found += self._recorded(frame, [rng for _, _, rng in wanted[part]], numbers)
        return found

    def _wanted(self, item: int) -> Wanted:
        epoch, crop = divmod(item, len(self.index))
        material, sample = self.index[crop]
        return material, sample, generator(self.seed, self.names[material], "training", epoch, crop)

    def _recorded(self, frame: Frame, rngs: Sequence[np.random.Generator], numbers: NDArray[np.int64]) -> list[Item]:
        """Turn the images of a frame, and draw their noise."""
        # The scan lines are rows of the turned image.
        operations = [int(rng.integers(self.operations)) for rng in rngs]
        clean, truth, metadata = transformed_images(frame.segments, frame.potential, frame.metadata, operations)
        doses = [self.noise.draw_dose(rng) for rng in rngs]
        noisy = record_images(clean, doses, self.frames.sampling, self.noise.acquisition, rngs, frame.window)
        described, known = (send(array, noisy.device) for array in (metadata.numpy(), numbers))
        return list(zip(noisy, described, truth[:, *frame.window], known, strict=True))


class EpochSampler(Sampler[int]):
    """
    Items of one epoch for one process, in an order that depends only on seed and epoch.

    A global batch is the same set of crops on any number of processes; each process takes its share of it. If the set
    is smaller than a batch, shares may differ by a crop and are weighted by their number of crops (`weight`).

    Parameters
    ----------
    crops : int
        Crops of an epoch.
    batch_size : int
        Crops in a global batch. A last short batch is left out, unless it is the only one.
    seed : int
        Key of the order.
    process, processes : int
        Index of this process, and number of all.

    Attributes
    ----------
    share : int
        Crops of each batch for this process.
    weight : float
        Weight of the share's mean in the mean over processes; 1 if all shares are equal.
    given : int
        Batches of the current epoch that were handed out.
    skipped : int
        Batches that the next epoch leaves out, because they were handed out before the training was stopped.
    """

    def __init__(self, crops: int, batch_size: int, seed: int, process: int = 0, processes: int = 1) -> None:
        self.crops, self.seed, self.epoch, self.given, self.skipped = crops, seed, 0, 0, 0
        self.batch = min(batch_size, crops)
        if self.batch < processes:
            raise InputError(f"training: found {crops} crops in an epoch; allowed: at least {processes}, one a process")
        self.batches = crops // self.batch
        self.first, last = (number * self.batch // processes for number in (process, process + 1))
        self.share = last - self.first
        self.weight = self.share * processes / self.batch

    def __len__(self) -> int:
        return self.batches * self.share

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this when one begins, after a resume too."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        order = generator(self.seed, "", "order", self.epoch).permutation(self.crops)
        first, self.skipped = self.skipped, 0
        for batch in range(first, self.batches):
            start = batch * self.batch + self.first
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
            torch.tensor(item // len(data.doses)),
        )
