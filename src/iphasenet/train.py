"""Training: one process or many, started by torchrun.

torchrun --standalone --nproc-per-node=1 -m iphasenet.train --help
"""

import argparse
import hashlib
import json
import math
import os
import sys
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas
import torch
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler, Sampler
from torchmetrics.functional import pearson_corrcoef

from iphasenet.checksums import check_files
from iphasenet.crops import EpochSampler, Item, NoisyImages, TrainingCrops
from iphasenet.dataset import MaterialData, read_split
from iphasenet.errors import InputError
from iphasenet.files import atomic_file
from iphasenet.losses import weighted_loss
from iphasenet.model import ModelSettings, PotentialNetwork
from iphasenet.noise import Acquisition, TrainingNoise
from iphasenet.stage import STAGE_VERSIONS
from iphasenet.weights import save_weights


@dataclass(frozen=True)
class TrainingSettings:
    """
    How a network is trained.

    Attributes
    ----------
    seed : int
        Seed of weights, crops and noise.
    epochs : int
        Passes over the training split.
    crops_per_sample : int
        Random crops of each sample in an epoch.
    crop_pixels : int
        Side of a crop: a multiple of 32, at least 64.
    batch_size : int
        Crops in a step, over all processes.
    learning_rate, weight_decay : float
        Of AdamW; the rate rises over the first twentieth of the steps and falls as a cosine.
    loss : mapping
        Weights of `iphasenet.losses.weighted_loss`, on the mean potential in units of `output_scale_v`.
    output_scale_v : float
        Mean potential that a network output of 1 stands for [V].
    precision : str
        Lightning's precision, e.g. '32-true' or 'bf16-mixed'.
    """

    seed: int
    epochs: int
    crops_per_sample: int
    crop_pixels: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    loss: Mapping[str, float]
    output_scale_v: float
    precision: str

    def __post_init__(self) -> None:
        # The coarsest stage is 32 times smaller, and an instance norm needs more than one pixel there.
        if self.crop_pixels % 32 or self.crop_pixels < 64:
            raise InputError(f"training.crop_pixels: found {self.crop_pixels}; allowed: 64, 96, 128, ...")
        if not any(self.loss.values()):
            raise InputError(f"training.loss: found {dict(self.loss)}; allowed: at least one weight above 0")


def learning_rate_factor(step: int, steps: int) -> float:
    """Learning rate as a share of the highest: a linear rise over a twentieth of the steps, then a cosine to zero."""
    warm_up = math.ceil(steps / 20)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


class Training(lightning.LightningModule):
    """The network with its loss, optimiser and validation metrics."""

    def __init__(self, model: ModelSettings, settings: TrainingSettings) -> None:
        super().__init__()
        self.network = PotentialNetwork(model, settings.output_scale_v)
        self.settings = settings

    def _loss(self, prediction: Tensor, metadata: Tensor, potential: Tensor) -> Tensor:
        mean_potential = potential / (10 * metadata[:, :1, None])
        scale = self.settings.output_scale_v
        return weighted_loss(prediction / scale, mean_potential / scale, self.settings.loss)

    def training_step(self, batch: Item, _index: int) -> Tensor:
        """Loss of a batch of crops."""
        segments, metadata, potential = batch
        loss = self._loss(self.network(segments, metadata), metadata, potential)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, sync_dist=True)
        return loss

    def validation_step(self, batch: Item, _index: int) -> None:
        """Loss and mean Pearson correlation of a batch of whole images."""
        segments, metadata, potential = batch
        prediction = self.network(segments, metadata)
        columns = prediction.flatten(1).T, potential.flatten(1).T
        pearson = torch.atleast_1d(pearson_corrcoef(columns[0].squeeze(-1), columns[1].squeeze(-1)))
        # The correlation of a constant prediction is not defined: it is worth nothing.
        pearson = pearson.nan_to_num(0.0).mean()
        loss = self._loss(prediction, metadata, potential)
        size = len(segments)
        self.log("validation_loss", loss, prog_bar=True, batch_size=size, sync_dist=True)
        self.log("validation_pearson", pearson, prog_bar=True, batch_size=size, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Build AdamW with a linear warm-up and a cosine to zero."""
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Splits(lightning.LightningDataModule):
    """Training crops, new every epoch, and validation images; all in memory."""

    def __init__(
        self,
        train: Sequence[MaterialData],
        validation: Sequence[MaterialData],
        noise: TrainingNoise,
        settings: TrainingSettings,
        processes: int,
    ) -> None:
        super().__init__()
        self.train, self.validation, self.noise = train, validation, noise
        self.settings, self.processes = settings, processes

    def train_dataloader(self) -> DataLoader[Item]:
        """Crops of the current epoch; the sampler knows which it is."""
        settings = self.settings
        crops = TrainingCrops(self.train, self.noise, settings.crop_pixels, settings.crops_per_sample, settings.seed)
        process = self.trainer.global_rank if self.trainer is not None else 0
        sampler = EpochSampler(len(crops), settings.batch_size, settings.seed, process, self.processes)
        return DataLoader(crops, batch_size=sampler.share, sampler=sampler)

    def val_dataloader(self) -> DataLoader[Item]:
        """Whole validation images with their fixed noise, shared among the processes."""
        images = NoisyImages(self.validation)
        sampler: Sampler[int] | None = None
        if self.processes > 1:
            sampler = DistributedSampler(images, shuffle=False)
        return DataLoader(images, batch_size=4, sampler=sampler)


class ProgressBar(TQDMProgressBar):
    """Losses and metrics, without the logger's version number."""

    def get_metrics(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> dict[str, Any]:
        """Items to be shown."""
        return {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that appear whole or not at all."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write beside, then rename."""
        with atomic_file(Path(path)) as temporary:
            super().save_checkpoint(checkpoint, temporary, storage_options)


def run_identity(
    data: Sequence[MaterialData], noise: TrainingNoise, model: ModelSettings, settings: TrainingSettings
) -> str:
    """
    Name a run: only one with the same data, code stage, noise, model and settings may be resumed.

    Parameters
    ----------
    data : sequence of MaterialData
        Training and validation splits.
    noise : TrainingNoise
        Noise model.
    model : ModelSettings
        Architecture.
    settings : TrainingSettings
        How to train.

    Returns
    -------
    str
        Twelve hexadecimal digits.
    """
    checksum = 0
    for part in data:
        for array in (part.segments, part.potential, part.noisy_segments, part.metadata):
            checksum = zlib.crc32(np.ascontiguousarray(array).data, checksum)
    names = [part.material for part in data]
    settled = [asdict(noise), asdict(model), asdict(settings)]
    described = json.dumps([checksum, names, STAGE_VERSIONS["model"], *settled], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()[:12]


def fit(
    dataset: Path,
    weights: Path,
    history: Path,
    checkpoints: Path,
    noise: TrainingNoise,
    model: ModelSettings,
    settings: TrainingSettings,
) -> None:
    """
    Train, or go on training, and write the weights of the best epoch on the validation split.

    Parameters
    ----------
    dataset : path
        Assembled store.
    weights : path
        safetensors file to be made.
    history : path
        CSV file of losses and metrics to be made.
    checkpoints : path
        Folder in which each run keeps checkpoints, logs and TensorBoard events under its identity.
    noise : TrainingNoise
        Noise model.
    model : ModelSettings
        Architecture.
    settings : TrainingSettings
        How to train.
    """
    lightning.seed_everything(settings.seed, verbose=False)
    # Damage anywhere, also where training does not read: the test split judges the network.
    if int(os.environ.get("RANK", "0")) == 0:
        check_files(dataset)
    train, validation = list(read_split(dataset, "train")), list(read_split(dataset, "validation"))
    smallest = min(min(data.potential.shape[1:]) for data in train)
    if settings.crop_pixels > smallest:
        raise InputError(f"training.crop_pixels: found {settings.crop_pixels}; allowed: at most {smallest}")
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if settings.batch_size % processes:
        raise InputError(
            f"training.batch_size: found {settings.batch_size}; allowed: a multiple of {processes} processes"
        )
    folder = checkpoints / run_identity([*train, *validation], noise, model, settings)
    best = ModelCheckpoint(folder, "best", monitor="validation_pearson", mode="max", enable_version_counter=False)
    # ModelCheckpoint's own save_last only follows the best one: an epoch that was no better would be done again.
    newest = ModelCheckpoint(folder, "last", enable_version_counter=False)
    trainer = lightning.Trainer(
        accelerator="auto",
        devices=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
        num_nodes=processes // int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
        strategy="ddp" if processes > 1 else "auto",
        precision=settings.precision,  # type: ignore[arg-type]
        max_epochs=settings.epochs,
        use_distributed_sampler=False,
        gradient_clip_val=1.0,
        logger=[
            # CSVLogger empties its folder when it starts: every start has one of its own.
            CSVLogger(folder, name="history", version=len(_histories(folder)), flush_logs_every_n_steps=1),
            TensorBoardLogger(folder, name="", version="tensorboard"),
        ],
        callbacks=[best, newest, LearningRateMonitor(), ProgressBar(refresh_rate=20)],
        plugins=[AtomicCheckpoints()],
        num_sanity_val_steps=0,
        log_every_n_steps=20,
        enable_model_summary=False,
    )
    module = Training(model, settings)
    last = folder / "last.ckpt"
    data = Splits(train, validation, noise, settings, processes)
    trainer.fit(module, data, ckpt_path=last if last.is_file() else None, weights_only=True)
    if trainer.is_global_zero:
        state = torch.load(folder / "best.ckpt", map_location="cpu", weights_only=True)["state_dict"]
        module.load_state_dict(state)
        described = {
            "sampling_angstrom": train[0].sampling,
            "materials": [data.material for data in train],
            "training": asdict(settings),
            "noise": asdict(noise),
            "validation_pearson": float(best.best_model_score or "nan"),
        }
        with atomic_file(history) as temporary:
            pandas.concat([pandas.read_csv(path) for path in _histories(folder)]).to_csv(temporary, index=False)
        save_weights(weights, module.network, model, described)


def _histories(folder: Path) -> list[Path]:
    """CSV logs of a run, one a start, in their order."""
    return sorted(folder.glob("history/version_*/metrics.csv"), key=lambda path: int(path.parent.name.split("_")[1]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of a training process."""
    parser = argparse.ArgumentParser(prog="iphasenet.train", description="Train the network on an assembled data set.")
    parser.add_argument("--dataset", type=Path, required=True, help="assembled Zarr store")
    parser.add_argument("--weights", type=Path, required=True, help="safetensors file to be made")
    parser.add_argument("--history", type=Path, required=True, help="CSV file of losses and metrics to be made")
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder of checkpoints, kept between runs")
    parser.add_argument("--settings", type=json.loads, required=True, help="JSON: noise, model, training")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of all processes of this machine")
    options = parser.parse_args(arguments)
    noise = options.settings["noise"]
    # In the process, not by OMP_NUM_THREADS: Snakemake also sets MKL_NUM_THREADS, and two libraries that count
    # differently put twice as many threads on the cores, twenty times slower.
    torch.set_num_threads(max(1, options.threads // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    # Everything is in memory: the loader needs no worker processes.
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    try:
        fit(
            options.dataset,
            options.weights,
            options.history,
            options.checkpoints,
            TrainingNoise(noise["dose"], Acquisition(**noise["acquisition"])),
            ModelSettings(**options.settings["model"]),
            TrainingSettings(**options.settings["training"]),
        )
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
