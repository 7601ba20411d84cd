"""The network for any crystal with its loss, optimiser and validation, in the form that Lightning needs."""

import os

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from iphasenet.network.column_network import ColumnNetwork, ColumnOutput, column_loss
from iphasenet.network.column_settings import ColumnModel
from iphasenet.network.losses import correlations
from iphasenet.training.column_crops import ColumnCrops, ColumnDraw, ColumnItem, ColumnRenderer, collated
from iphasenet.training.column_settings import ColumnTraining
from iphasenet.training.crops import EpochSampler
from iphasenet.training.module import CropLoader, CropSplits, FittedModule, images_of
from iphasenet.training.orthogonal import OrthogonalAdamW

WEIGHTS = {"pattern": 1.0, "likeness": 1.0, "estimates": 0.25, "spread": 0.1}
"""Weights of the terms of the loss."""


class ColumnTrainer(FittedModule):
    """
    The network with its loss, optimiser and validation metrics.

    Parameters
    ----------
    model : ColumnModel
        Architecture.
    settings : ColumnTraining
        How to train.
    sampling : float
        Pixel size of the images [Å].
    steps : int
        Steps of the whole training, over which the learning rate rises and falls.
    energy_kev : float
        Beam energy of the images [keV].
    """

    def __init__(
        self, model: ColumnModel, settings: ColumnTraining, sampling: float, steps: int, energy_kev: float = 200.0
    ) -> None:
        super().__init__(settings.learning_rate, settings.weight_decay, steps)
        self.kernel_learning_rate = settings.kernel_learning_rate
        network = ColumnNetwork(model, sampling, energy_kev)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def optimizer(self) -> Optimizer:
        """Build AdamW, with Muon for kernels if they have a learning rate of their own."""
        if not self.kernel_learning_rate:
            return super().optimizer()
        return OrthogonalAdamW(self.parameters(), self.learning_rate, self.kernel_learning_rate, self.weight_decay)

    def found(self, batch: ColumnItem) -> tuple[ColumnOutput, Tensor]:
        """Output of the network for a batch, and its loss."""
        segments, columns, conditions, told, _ = batch
        known = torch.where(told, conditions, torch.nan)
        output, first = self.network.find(segments.contiguous(memory_format=torch.channels_last), known)
        absolute = self.network.settings.held == "direct"
        terms = column_loss(output, first, columns, conditions, told, absolute)
        return output, torch.stack([WEIGHTS[name] * term for name, term in terms.items()]).sum()

    def training_step(self, batch: ColumnItem, _index: int) -> Tensor:
        """Loss of this process's crops of a batch, weighted so that the processes' mean is the batch's."""
        return self.weight * self.found(batch)[1]

    def validation_step(self, batch: ColumnItem, index: int) -> None:
        """Measure crops of crystals that are not trained on; the last batch logs the means over all processes."""
        output, loss = self.found(batch)
        pearson = correlations(output.columns, batch[1]).mean()
        level = (output.columns.mean(dim=(1, 2)) / batch[1].mean(dim=(1, 2))).log().abs().mean()
        self.log_means(index, len(batch[0]), {"loss": loss, "pearson": pearson, "level_error": level})


class ColumnSplits(CropSplits):
    """
    Crops of the crystals that train the network, and fixed ones of those that validate it.

    Parameters
    ----------
    crops, validation : ColumnCrops
        Crops for training and validation.
    renderer : ColumnRenderer
        Renders both.
    settings : ColumnTraining
        How to train.
    processes : int
        Training processes.
    """

    def __init__(
        self,
        crops: ColumnCrops,
        validation: ColumnCrops,
        renderer: ColumnRenderer,
        settings: ColumnTraining,
        processes: int,
    ) -> None:
        super().__init__(crops, settings.epochs, settings.batch_size, settings.seed, processes)
        self.validation, self.renderer = validation, renderer

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU trains."""
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"

    def _loader(self, order: EpochSampler) -> CropLoader:
        """Loader whose crops are drawn by other processes for a GPU, which would wait for one alone."""
        workers = max(1, len(os.sched_getaffinity(0)) // self.processes - 2) if self.on_gpu else 0
        return CropLoader(self.crops, order, workers, collated)

    def val_dataloader(self) -> DataLoader[ColumnDraw]:
        """Share fixed crops among the processes."""
        share = images_of(len(self.validation), self.process, self.processes)
        size = 128 if self.on_gpu else 8
        return DataLoader(self.validation, batch_size=size, sampler=share, collate_fn=collated)

    def transfer_batch_to_device(self, batch: ColumnDraw, device: torch.device, _dataloader_idx: int) -> ColumnItem:
        """Render the crops of a batch on the device."""
        self.renderer.to(device)
        return self.renderer.crops(batch)
