"""What Lightning trains: the network with its loss and optimiser, and the splits that it reads."""

import math
from collections.abc import Sequence
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler, Sampler
from torchmetrics.functional import pearson_corrcoef

from iphasenet.crops import Crops, EpochSampler, Item, NoisyImages
from iphasenet.dataset import MaterialData
from iphasenet.devices import room_for_images
from iphasenet.errors import InputError
from iphasenet.losses import contrast, training_loss
from iphasenet.model import ModelSettings, PotentialNetwork
from iphasenet.training_settings import TrainingSettings


def learning_rate_factor(step: int, steps: int) -> float:
    """Learning rate as a share of the highest: a linear rise over a twentieth of the steps, then a cosine to zero."""
    warm_up = math.ceil(steps / 20)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


class Training(lightning.LightningModule):
    """
    The network with its loss, optimiser and validation metrics.

    Parameters
    ----------
    model : ModelSettings
        Architecture.
    settings : TrainingSettings
        How to train.
    sampling : float
        Pixel size of the images [Å].
    names : sequence of str
        Names of the training samples: those of a batch whose loss is not finite are told.
    """

    def __init__(
        self, model: ModelSettings, settings: TrainingSettings, sampling: float, names: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.network = PotentialNetwork(model, settings.output_scale_v, sampling)
        self.settings, self.names = settings, names

    def loss(self, outputs: tuple[Tensor, Tensor | None], metadata: Tensor, potential: Tensor) -> Tensor:
        """Loss of the network's outputs; metadata (batch, 4), projected potential (batch, y, x) [V Å]."""
        target = potential / (10 * metadata[:, :1, None])
        scale = contrast(target) if self.settings.relative_loss else self.settings.output_scale_v
        prediction, spread = outputs
        return training_loss(prediction, spread, target, scale, self.settings.loss)

    def training_step(self, batch: Item, _index: int) -> Tensor:
        """Loss of a batch of crops; InputError where it is not finite."""
        segments, metadata, potential, numbers = batch
        loss = self.loss(self.network(segments, metadata), metadata, potential)
        if not torch.isfinite(loss):
            names = ", ".join(self.names[int(number)] for number in numbers)
            raise InputError(
                f"training: found a loss of {float(loss.detach())} in epoch {self.current_epoch}, batch of {names}; "
                "allowed: finite numbers; lower training.learning_rate, or look at these samples"
            )
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, sync_dist=True)
        return loss

    def validation_step(self, batch: Item, _index: int) -> None:
        """Loss and mean Pearson correlation of a batch of whole images."""
        segments, metadata, potential, _ = batch
        outputs = self.network(segments, metadata)
        columns = outputs[0].flatten(1).T, potential.flatten(1).T
        pearson = torch.atleast_1d(pearson_corrcoef(columns[0].squeeze(-1), columns[1].squeeze(-1)))
        # The correlation of a constant prediction is not defined: it is worth nothing.
        pearson = pearson.nan_to_num(0.0).mean()
        loss = self.loss(outputs, metadata, potential)
        size = len(segments)
        self.log("validation_loss", loss, prog_bar=True, batch_size=size, sync_dist=True)
        self.log("validation_pearson", pearson, prog_bar=True, batch_size=size, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Build AdamW with a linear warm-up and a cosine to zero."""
        # A quarter of the time of `foreach` on a CPU; in mixed precision Lightning cannot clip its gradients.
        mixed = self.settings.precision.endswith("mixed")
        optimizer = torch.optim.AdamW(
            self.parameters(),
            lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
            foreach=mixed,
            fused=not mixed,
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Splits(lightning.LightningDataModule):
    """
    Training crops, new every epoch, and validation images.

    Parameters
    ----------
    crops : Crops
        Training crops.
    validation : sequence of MaterialData
        Validation split.
    settings : TrainingSettings
        How to train.
    processes : int
        Training processes.
    """

    def __init__(
        self, crops: Crops, validation: Sequence[MaterialData], settings: TrainingSettings, processes: int
    ) -> None:
        super().__init__()
        self.crops, self.validation, self.settings, self.processes = crops, validation, settings, processes

    def train_dataloader(self) -> DataLoader[Item]:
        """Crops of the current epoch, drawn on a GPU that trains; the sampler knows which epoch it is."""
        settings, process = self.settings, 0
        if self.trainer is not None:
            process, device = self.trainer.global_rank, self.trainer.strategy.root_device
            # Other accelerators have no Poisson numbers.
            if device.type == "cuda":
                self.crops.frames.to(device, room_for_images(device))
        sampler = EpochSampler(len(self.crops), settings.batch_size, settings.seed, process, self.processes)
        return DataLoader(self.crops, batch_size=sampler.share, sampler=sampler)

    def val_dataloader(self) -> DataLoader[Item]:
        """Whole validation images with their fixed noise, shared among the processes."""
        images = NoisyImages(self.validation)
        sampler: Sampler[int] | None = None
        if self.processes > 1:
            sampler = DistributedSampler(images, shuffle=False)
        return DataLoader(images, batch_size=4, sampler=sampler)
