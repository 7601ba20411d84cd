"""The network with its loss and optimiser, and the splits that it reads, in the form that Lightning needs."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

from iphasenet.base.devices import room_for_images
from iphasenet.dataset.material_data import MaterialData
from iphasenet.network.losses import contrast, correlations, training_loss
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.settings import ModelSettings
from iphasenet.training.crops import Crops, EpochSampler, Item, NoisyImages
from iphasenet.training.settings import TrainingSettings


def learning_rate_factor(step: int, steps: int) -> float:
    """Learning rate as a share of the highest: a linear rise over a twentieth of the steps, then a cosine to zero."""
    warm_up = math.ceil(steps / 20)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


class FittedModule(lightning.LightningModule):
    """
    Optimiser, clipping and validation of a network, whichever it is.

    Parameters
    ----------
    learning_rate, weight_decay : float
        Highest learning rate and constant weight decay of AdamW.
    steps : int
        Steps of the whole training, over which the learning rate rises and falls.

    Attributes
    ----------
    weight : float
        Weight of this process's mean loss in the mean over processes (`EpochSampler.weight`).
    """

    def __init__(self, learning_rate: float, weight_decay: float, steps: int) -> None:
        super().__init__()
        self.learning_rate, self.weight_decay, self.steps = learning_rate, weight_decay, steps
        self.weight, self.validated = 1.0, list[Tensor]()

    def on_validation_epoch_start(self) -> None:
        """Reset the sums of the last validation."""
        self.validated = []

    def log_means(self, index: int, images: int, means: Mapping[str, Tensor]) -> None:
        """Add means over a batch of validation images; the last batch logs those over all images of all processes."""
        rows = [*means.values(), torch.ones_like(next(iter(means.values())))]
        self.validated.append(images * torch.stack(rows).double())
        if index + 1 == self.trainer.num_val_batches[0]:
            # Lightning's own mean over processes divides by a mean number of images, rounded down to an integer.
            sums = self.all_gather(torch.stack(self.validated).sum(dim=0))
            assert isinstance(sums, Tensor)
            *totals, count = sums.reshape(-1, len(rows)).sum(dim=0)
            for name, total in zip(means, totals, strict=True):
                self.log(f"validation_{name}", (total / count).float(), prog_bar=True, batch_size=1)

    def optimizer(self) -> Optimizer:
        """Build the optimiser of all weights."""
        # On a CPU, fused takes a quarter of the time of `foreach`.
        return torch.optim.AdamW(self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)

    def configure_optimizers(self) -> Any:
        """Build the optimiser with a linear warm-up and a cosine to zero."""
        optimizer = self.optimizer()
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(learning_rate_factor, steps=self.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, **_algorithm: Any
    ) -> None:
        """Clip gradients by their norm: Lightning's own refuses a fused optimiser in any mixed precision."""
        assert gradient_clip_val is not None
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        torch.nn.utils.clip_grad_norm_(weights, gradient_clip_val)


class Training(FittedModule):
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
    steps : int
        Steps of the whole training, over which the learning rate rises and falls.
    """

    def __init__(self, model: ModelSettings, settings: TrainingSettings, sampling: float, steps: int) -> None:
        super().__init__(settings.learning_rate, settings.weight_decay, steps)
        self.network = PotentialNetwork(model, settings.output_scale_v, sampling)
        self.settings = settings

    def loss(self, outputs: tuple[Tensor, Tensor | None], metadata: Tensor, potential: Tensor) -> Tensor:
        """Loss of the network's outputs; metadata (batch, 4), projected potential (batch, y, x) [V Å]."""
        target = potential / (10 * metadata[:, :1, None])
        scale = contrast(target) if self.settings.relative_loss else self.settings.output_scale_v
        prediction, spread = outputs
        return training_loss(prediction, spread, target, scale, vars(self.settings.loss))

    def training_step(self, batch: Item, _index: int) -> Tensor:
        """Loss of this process's crops of a batch, weighted so that the processes' mean is the batch's."""
        segments, metadata, potential, _ = batch
        return self.weight * self.loss(self.network(segments, metadata), metadata, potential)

    def validation_step(self, batch: Item, index: int) -> None:
        """Compute loss and Pearson correlation of whole images; the last batch logs their means over all processes."""
        segments, metadata, potential, _ = batch
        outputs = self.network(segments, metadata)
        pearson = correlations(outputs[0], potential).mean()
        self.log_means(index, len(segments), {"loss": self.loss(outputs, metadata, potential), "pearson": pearson})


def validation_score(module: Training, validation: Sequence[MaterialData], device: torch.device) -> float:
    """Mean Pearson correlation of the validation images, computed by one process."""
    module.to(device).eval()
    with torch.inference_mode():
        found = [
            correlations(module.network(segments.to(device), metadata.to(device))[0], potential.to(device))
            for segments, metadata, potential, _ in DataLoader(NoisyImages(validation), batch_size=4)
        ]
    return float(torch.cat(found).mean())


class CropLoader(DataLoader[Any]):
    """
    Batches of crops; after a stop within an epoch, it continues at the same place.

    Parameters
    ----------
    crops : Dataset
        Training crops.
    sampler : EpochSampler
        Order of the crops.
    workers : int
        Processes that draw crops ahead; 0: the training process draws them.
    collate : callable, optional
        Puts crops together to a batch.
    """

    def __init__(self, crops: Dataset[Any], sampler: EpochSampler, workers: int = 0, collate: Any = None) -> None:
        kept = {"num_workers": workers, "persistent_workers": workers > 0, "collate_fn": collate}
        super().__init__(crops, batch_size=sampler.share, sampler=sampler, **kept)
        self.order = sampler

    def __iter__(self) -> Any:
        """Hand out batches, and count them: with workers, the sampler is ahead of them."""
        first = self.order.skipped
        for number, batch in enumerate(super().__iter__(), first + 1):
            self.order.given = number
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return the state that a checkpoint keeps: the number of batches handed out in the epoch."""
        return {"batches": self.order.given}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Skip, once, the batches of a checkpoint's epoch."""
        self.order.skipped = state_dict["batches"] % self.order.batches


def images_of(images: int, process: int, processes: int) -> range:
    """
    Choose the images that a process validates: each image once in total, so that the mean is that of one process.

    If there are fewer images than processes, every process takes all of them, which gives the same mean; otherwise the
    others would wait for a process without images.
    """
    return range(process, images, processes) if images >= processes else range(images)


class CropSplits(lightning.LightningDataModule):
    """
    Training crops, new every epoch, shared among the processes.

    Parameters
    ----------
    crops : Dataset
        Training crops, numbered through all epochs.
    epochs, batch_size, seed : int
        Of the training.
    processes : int
        Training processes.
    """

    def __init__(self, crops: Dataset[Any], epochs: int, batch_size: int, seed: int, processes: int) -> None:
        super().__init__()
        self.crops, self.epochs, self.batch_size, self.seed, self.processes = crops, epochs, batch_size, seed, processes

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.epochs * self._order(0).batches

    @property
    def process(self) -> int:
        """Index of this process."""
        return 0 if self.trainer is None else self.trainer.global_rank

    def train_dataloader(self) -> DataLoader[Any]:
        """Crops of the current epoch; the sampler knows which epoch it is."""
        order = self._order(self.process)
        if self.trainer is not None and isinstance(module := self.trainer.lightning_module, FittedModule):
            module.weight = order.weight
        return self._loader(order)

    def _loader(self, order: EpochSampler) -> CropLoader:
        """Loader of an epoch's crops."""
        return CropLoader(self.crops, order)

    def _order(self, process: int) -> EpochSampler:
        crops = len(self.crops)  # type: ignore[arg-type]
        return EpochSampler(crops, self.batch_size, self.seed, process, self.processes)


class Splits(CropSplits):
    """
    Training crops and validation images of a data set.

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
        super().__init__(crops, settings.epochs, settings.batch_size, settings.seed, processes)
        self.frames, self.validation = crops.frames, validation

    def train_dataloader(self) -> DataLoader[Any]:
        """Crops of the current epoch, drawn on a GPU that trains."""
        # Other accelerators cannot draw Poisson numbers.
        if self.trainer is not None and (device := self.trainer.strategy.root_device).type == "cuda":
            self.frames.to(device, room_for_images(device))
        return super().train_dataloader()

    def val_dataloader(self) -> DataLoader[Item]:
        """Whole validation images with their fixed noise, shared among the processes."""
        images = NoisyImages(self.validation)
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        share = images_of(len(images), self.process, self.processes)
        return DataLoader(images, batch_size=16 if on_gpu else 4, sampler=share)
