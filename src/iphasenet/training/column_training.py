"""The network for any crystal with its loss, optimiser and validation, in the form that Lightning needs."""

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from iphasenet.network.column_network import ColumnNetwork, ColumnOutput, column_loss
from iphasenet.network.column_settings import ColumnModel
from iphasenet.network.losses import correlations
from iphasenet.training.column_crops import ColumnCrops, ColumnItem
from iphasenet.training.column_settings import ColumnTraining
from iphasenet.training.module import CropSplits, FittedModule, images_of
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
    """

    def __init__(self, model: ColumnModel, settings: ColumnTraining, sampling: float, steps: int) -> None:
        super().__init__(settings.learning_rate, settings.weight_decay, steps)
        self.kernel_learning_rate = settings.kernel_learning_rate
        self.network = ColumnNetwork(model, sampling).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

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
    settings : ColumnTraining
        How to train.
    processes : int
        Training processes.
    """

    def __init__(self, crops: ColumnCrops, validation: ColumnCrops, settings: ColumnTraining, processes: int) -> None:
        super().__init__(crops, settings.epochs, settings.batch_size, settings.seed, processes)
        self.validation = validation

    def val_dataloader(self) -> DataLoader[ColumnItem]:
        """Share fixed crops among the processes."""
        share = images_of(len(self.validation), self.process, self.processes)
        return DataLoader(self.validation, batch_size=8, sampler=share)
