"""What the training loop adds to the network's forward and backward pass, and what it gains over the published one.

    python benchmarks/training_loop.py DATASET [CONFIG] [BATCH]

In turn, on one GPU or on one CPU thread, crops a second of: the bare network with its loss on tensors that stand ready;
the real loop (crops, noise, augmentation, optimiser, averaging, logging) of CONFIG (config/laptop.yaml by default); and
a loop with the published one's settings: float32, one .npz a sample, read by the training process and cut to the
crop's side, no noise drawn. On a CPU in processor time, on a GPU in wall time.
"""

import argparse
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from ablation import CONFIG, configuration
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, Dataset

from iphasenet.acquisition import Acquisition, TrainingNoise
from iphasenet.crops import Crops, Item
from iphasenet.dataset import read_split
from iphasenet.devices import choose_device, use_threads
from iphasenet.export import export_npz
from iphasenet.frames import StoredFrames
from iphasenet.model import ModelSettings
from iphasenet.tilt_cost import device_clock
from iphasenet.train import optional_callbacks
from iphasenet.training import Splits, Training
from iphasenet.training_settings import TrainingSettings

WARM_UP, STEPS, ROUNDS = 10, 50, 5
Source = Splits | DataLoader[Item]


class Clock(Callback):
    """
    Time of all steps after the first ones, or how long the loop waited for their batches.

    Parameters
    ----------
    waiting : bool
        Measure the waiting: a GPU then ends each step before the next batch is made, which otherwise is made meanwhile.
    """

    def __init__(self, waiting: bool) -> None:
        self.waiting, self.step = waiting, 0
        self.left = self.started = self.stopped = self.waited = 0.0

    def on_train_batch_start(self, _trainer: Any, module: lightning.LightningModule, _batch: Any, _index: int) -> None:
        """Note how long the batch took to come."""
        if self.waiting and self.step > WARM_UP:
            self.waited += device_clock(module.device.type)() - self.left

    def on_train_batch_end(self, _trainer: Any, module: lightning.LightningModule, *_rest: Any) -> None:
        """Start after the warm-up, stop after the last step."""
        if self.waiting or self.step in (WARM_UP, WARM_UP + STEPS):
            self.left = device_clock(module.device.type)()
        if self.step == WARM_UP:
            self.started = self.left
        self.stopped, self.step = self.left, self.step + 1


class NpzImages(Dataset[Item]):
    """Images as the published loader reads them: one .npz a sample, opened anew each time; cut to a side."""

    def __init__(self, folder: Path, side: int) -> None:
        self.files, self.side = sorted(folder.rglob("*.npz")), side

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, item: int) -> Item:
        with np.load(self.files[item]) as data:
            segments, potential = (data[name].astype(np.float32) for name in ("input", "potential"))
            gamma, alpha, beta = data["rotation"]
            metadata = np.array([data["thickness_nm"], alpha, beta, gamma], np.float32)
        part = (..., slice(self.side), slice(self.side))
        return (
            torch.from_numpy(segments[part]),
            torch.from_numpy(metadata),
            torch.from_numpy(potential[part]),
            torch.tensor(item),
        )


def bare(module: Training, batch: list[torch.Tensor], settings: TrainingSettings) -> float:
    """Seconds a step of forward and backward on a batch that stands ready."""
    device = batch[0].device
    module.to(device)
    clock = device_clock(device.type)
    segments, metadata, potential, _ = batch
    mixed = settings.precision == "bf16-mixed"
    for step in range(WARM_UP + STEPS):
        if step == WARM_UP:
            started = clock()
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            loss = module.loss(module.network(segments, metadata), metadata, potential)
        loss.backward()
        module.zero_grad()
    return (clock() - started) / STEPS


def looped(module: Training, source: Source, settings: TrainingSettings, waiting: bool = False) -> float:
    """Seconds a step of a whole loop, or those that it waits for crops."""
    timer = Clock(waiting)
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            devices=1,
            max_steps=WARM_UP + STEPS + 1,
            limit_val_batches=0,
            use_distributed_sampler=False,
            precision=settings.precision,  # type: ignore[arg-type]
            gradient_clip_val=1.0,
            logger=CSVLogger(folder),
            callbacks=[*optional_callbacks(settings), timer],
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
        )
        trainer.fit(module, source)
    return (timer.waited if waiting else timer.stopped - timer.started) / STEPS


def read_settings(path: Path, batch: int | None) -> tuple[ModelSettings, TrainingSettings, TrainingNoise]:
    """Read the settings of a configuration that stands upon config.yaml."""
    config = configuration(path)
    settings, noise = TrainingSettings(**config["training"]), config["noise"]
    return (
        ModelSettings(**config["model"]),
        replace(settings, batch_size=batch or settings.batch_size),
        TrainingNoise(noise["training_dose"], Acquisition(**noise["acquisition"])),
    )


def measure(dataset: Path, folder: Path, config: Path, batch: int | None) -> None:
    """Measure in turn, print the ratios of each round."""
    model, settings, noise = read_settings(config, batch)
    device, size = torch.device(choose_device("auto")), settings.batch_size
    train = list(read_split(dataset, "train"))
    settings.check_image(min(data.potential.shape[1] for data in train))
    frames = StoredFrames(train, settings.crop_pixels)
    crops = Crops(frames, noise, settings.crops_per_sample, settings.seed, settings.augmentation)
    export_npz(dataset, folder / "npz")
    files = NpzImages(folder / "npz" / "train", settings.crop_pixels)
    plain = replace(settings, precision="32-true", ema_decay=0.0)
    for _ in range(ROUNDS):
        batch_there = [part.to(device) for part in next(iter(DataLoader(crops, batch_size=size)))]
        alone = bare(Training(model, settings, frames.sampling), batch_there, settings)
        splits = Splits(crops, train, settings, 1)
        loop, waited = (
            looped(Training(model, settings, frames.sampling), splits, settings, waiting) for waiting in (False, True)
        )
        published = looped(Training(model, plain, frames.sampling), DataLoader(files, size, shuffle=True), plain)
        print(
            f"{settings.precision}, batch {size}: bare {size / alone:.1f}, loop {size / loop:.1f} crops/s, "
            f"{loop / alone - 1:+.1%}; {waited / loop:.1%} for crops; published settings "
            f"{size / published:.1f} crops/s, gain {published / loop:.2f}",
            flush=True,
        )


def main() -> None:
    """Command line."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description="Speed of the network, of its training loop and of the published one.")
    parser.add_argument("dataset", type=Path, help="assembled Zarr store")
    parser.add_argument("config", type=Path, nargs="?", default=CONFIG / "laptop.yaml", help="upon config/config.yaml")
    parser.add_argument("batch", type=int, nargs="?", help="crops a step, the configuration's by default")
    options = parser.parse_args()
    with use_threads(1), tempfile.TemporaryDirectory() as folder:
        measure(options.dataset, Path(folder), options.config, options.batch)


if __name__ == "__main__":
    main()
