"""What the training loop adds to the network's forward and backward pass, and what it gains over the published one.

    python benchmarks/training_loop.py DATASET [CONFIG] [BATCH]

In turn, on one GPU or on one CPU thread, crops a second of: the bare network with its loss on tensors that stand ready;
the real loop (crops, noise, augmentation, optimiser, averaging, logging) of CONFIG (config/laptop.yaml by default); and
a loop with the published one's settings: float32, one .npz a sample, read by the training process and cut to the
crop's side, no noise drawn. On a CPU in processor time, on a GPU in wall time. For crops: the share of the loop between
the end of a step and the next one's batch, in which a GPU draws crops or does nothing.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
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
from iphasenet.callbacks import FiniteLosses
from iphasenet.crops import Crops, Item
from iphasenet.dataset import read_split
from iphasenet.devices import choose_device, use_threads
from iphasenet.export import export_npz
from iphasenet.frames import StoredFrames
from iphasenet.model import ModelSettings
from iphasenet.tilt_cost import device_clock
from iphasenet.trainer import optional_callbacks
from iphasenet.training import Splits, Training
from iphasenet.training_settings import TrainingSettings

WARM_UP, STEPS, ROUNDS = 10, 50, 5
Source = Splits | DataLoader[Item]


class Clock(Callback):
    """When each step began and ended for the device: a GPU notes it when it comes there, and is not waited for."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.ended: list[Any] = []

    def on_train_batch_start(self, _trainer: Any, module: lightning.LightningModule, *_rest: Any) -> None:
        """Note when the batch was there."""
        self.begun.append(_now(module.device))

    def on_train_batch_end(self, _trainer: Any, module: lightning.LightningModule, *_rest: Any) -> None:
        """Note when the step was done."""
        self.ended.append(_now(module.device))

    def times(self) -> tuple[float, float]:
        """Time of a step after the warm-up, and that between one's end and the next one's batch [s]."""
        steps = range(WARM_UP, WARM_UP + STEPS)
        waited = sum(_between(self.ended[step], self.begun[step + 1]) for step in steps)
        return _between(self.ended[WARM_UP], self.ended[WARM_UP + STEPS]) / STEPS, waited / STEPS


def _now(device: torch.device) -> Any:
    if device.type == "cpu":
        return time.process_time()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _between(first: Any, last: Any) -> float:
    if isinstance(first, float):
        return float(last - first)
    last.synchronize()
    return float(first.elapsed_time(last)) / 1000


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


def looped(module: Training, source: Source, settings: TrainingSettings, names: Sequence[str]) -> tuple[float, float]:
    """Seconds a step of a whole loop, and those in which the device had no batch to train on."""
    timer = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            devices=1,
            max_steps=WARM_UP + STEPS + 1,
            limit_val_batches=0,
            use_distributed_sampler=False,
            precision=settings.precision,  # type: ignore[arg-type]
            gradient_clip_val=1.0,
            logger=CSVLogger(folder),
            callbacks=[FiniteLosses(names), *optional_callbacks(settings), timer],
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
        )
        trainer.fit(module, source)
    return timer.times()


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
    names = frames.sample_names
    plain = replace(settings, precision="32-true", ema_decay=0.0)
    for _ in range(ROUNDS):
        batch_there = [part.to(device) for part in next(iter(DataLoader(crops, batch_size=size)))]
        splits = Splits(crops, train, settings, 1)
        fresh = partial(Training, model, sampling=frames.sampling, steps=splits.steps)
        alone = bare(fresh(settings=settings), batch_there, settings)
        loop, waited = looped(fresh(settings=settings), splits, settings, names)
        published, _ = looped(fresh(settings=plain), DataLoader(files, size, shuffle=True), plain, names)
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
