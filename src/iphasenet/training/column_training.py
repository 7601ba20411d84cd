"""The network for any crystal with its loss, optimiser and validation, in the form that Lightning needs."""

from collections.abc import Sequence
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from iphasenet.network.column_network import ColumnNetwork, ColumnOutput, column_loss, correlations
from iphasenet.network.column_settings import ColumnModel, ColumnTraining
from iphasenet.training.column_crops import ColumnCrops, ColumnItem
from iphasenet.training.crops import EpochSampler
from iphasenet.training.module import CropLoader, adamw, clip_gradients, images_of

WEIGHTS = {"pattern": 1.0, "likeness": 1.0, "estimates": 0.25, "spread": 0.1}
"""Weights of the terms of the loss."""


class ColumnTrainer(lightning.LightningModule):
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
        super().__init__()
        self.network = ColumnNetwork(model, sampling).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.settings, self.steps = settings, steps
        self.validated: list[Tensor] = []

    def found(self, batch: ColumnItem) -> tuple[ColumnOutput, dict[str, Tensor]]:
        """Output of the network for a batch, and the terms of its loss."""
        segments, columns, conditions, told, _ = batch
        known = torch.where(told, conditions, torch.nan)
        output = self.network(segments.contiguous(memory_format=torch.channels_last), known)
        absolute = self.network.settings.held == "direct"
        return output, dict(column_loss(output, columns, conditions, told, absolute))

    def training_step(self, batch: ColumnItem, _index: int) -> Tensor:
        """Loss of a batch."""
        _, terms = self.found(batch)
        return torch.stack([WEIGHTS[name] * term for name, term in terms.items()]).sum()

    def on_validation_epoch_start(self) -> None:
        """Reset the sums of the last validation."""
        self.validated = []

    def validation_step(self, batch: ColumnItem, index: int) -> None:
        """Measure crops of crystals that are not trained on; the last batch logs the means over all processes."""
        output, terms = self.found(batch)
        pearson = correlations(output.columns, batch[1])
        level = (output.columns.mean(dim=(1, 2)) / batch[1].mean(dim=(1, 2))).log().abs()
        loss = torch.stack([WEIGHTS[name] * term for name, term in terms.items()]).sum()
        size = len(pearson)
        self.validated.append(torch.stack([size * loss, pearson.sum(), level.sum(), pearson.new_tensor(size)]).double())
        if index + 1 == self.trainer.num_val_batches[0]:
            sums = self.all_gather(torch.stack(self.validated).sum(dim=0))
            assert isinstance(sums, Tensor)
            *totals, images = sums.reshape(-1, 4).sum(dim=0)
            for name, total in zip(("loss", "pearson", "level_error"), totals, strict=True):
                self.log(f"validation_{name}", (total / images).float(), prog_bar=True, batch_size=1)

    def configure_optimizers(self) -> Any:
        """Build AdamW with a linear warm-up and a cosine to zero."""
        return adamw(self.parameters(), self.settings.learning_rate, self.settings.weight_decay, self.steps)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, **_algorithm: Any
    ) -> None:
        """Clip gradients by their norm: Lightning's own refuses a fused optimiser in any mixed precision."""
        clip_gradients(optimizer, gradient_clip_val)


class ColumnSplits(lightning.LightningDataModule):
    """
    Crops of the crystals that train the network, new every epoch, and fixed ones of those that validate it.

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
        super().__init__()
        self.crops, self.validation, self.settings, self.processes = crops, validation, settings, processes

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.settings.epochs * self._order(0).batches

    def _order(self, process: int) -> EpochSampler:
        return EpochSampler(len(self.crops), self.settings.batch_size, self.settings.seed, process, self.processes)

    def train_dataloader(self) -> DataLoader[ColumnItem]:
        """Crops of the current epoch; the sampler knows which epoch it is."""
        return CropLoader(self.crops, self._order(0 if self.trainer is None else self.trainer.global_rank))

    def val_dataloader(self) -> DataLoader[ColumnItem]:
        """Share fixed crops among the processes."""
        process = 0 if self.trainer is None else self.trainer.global_rank
        share: Sequence[int] = images_of(len(self.validation), process, self.processes)
        return DataLoader(self.validation, batch_size=8, sampler=share)
