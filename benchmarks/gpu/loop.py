"""Speed of the bare network, of this training loop and of one with the published settings, in steps a second."""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader, Dataset

from benchmarks.gpu.context import OutOfTimeError
from iphasenet.planning.tilt_cost import device_clock
from iphasenet.training.callbacks import FiniteLosses, ask_nobody_of_signals
from iphasenet.training.column_settings import ColumnTraining
from iphasenet.training.crops import Item
from iphasenet.training.module import Splits, Training
from iphasenet.training.settings import TrainingSettings
from iphasenet.training.trainer import optional_callbacks

Source = Splits | DataLoader[Item]


@dataclass(frozen=True)
class Steps:
    """
    Steps that are timed.

    Attributes
    ----------
    warm_up : int
        Steps before them.
    timed : int
        Their number.
    """

    warm_up: int = 10
    timed: int = 50


class Clock(Callback):
    """When each step began and ended for the device: a GPU notes it when it comes there, and is not waited for."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
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
        first, count = self.steps.warm_up, len(self.ended) - 1 - self.steps.warm_up
        if count < 1:
            raise OutOfTimeError(f"its time was over after {len(self.ended)} steps")
        waited = sum(_between(self.ended[step], self.begun[step + 1]) for step in range(first, first + count))
        return _between(self.ended[first], self.ended[first + count]) / count, waited / count


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


class Until(Callback):
    """
    Ends a training when its time is over, in all processes after the same step.

    Parameters
    ----------
    left : callable
        Seconds that are left.
    every : int
        Steps between two questions to all processes.
    """

    def __init__(self, left: Callable[[], float], every: int = 16) -> None:
        self.left, self.every, self.told = left, every, signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: lightning.Trainer, *_rest: Any) -> None:
        """Give signals back to whom Lightning took them from, and have it not ask all processes before each batch."""
        signal.signal(signal.SIGTERM, self.told)
        ask_nobody_of_signals(trainer)

    def on_train_batch_end(self, trainer: lightning.Trainer, *_rest: Any) -> None:
        """Ask whether any process's time is over."""
        alone = trainer.world_size == 1
        if (alone or trainer.global_step % self.every == 0) and trainer.strategy.reduce_boolean_decision(
            self.left() <= 0, all=False
        ):
            trainer.should_stop = True


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


def bare(module: Training, batch: list[torch.Tensor], settings: TrainingSettings, steps: Steps) -> float:
    """Seconds a step of forward and backward on a batch that stands ready."""
    device = batch[0].device
    module.to(device)
    clock = device_clock(device.type)
    segments, metadata, potential, _ = batch
    mixed = settings.precision == "bf16-mixed"
    for step in range(steps.warm_up + steps.timed):
        if step == steps.warm_up:
            started = clock()
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            loss = module.loss(module.network(segments, metadata), metadata, potential)
        loss.backward()
        module.zero_grad()
    return (clock() - started) / steps.timed


def bare_trainer(
    settings: TrainingSettings | ColumnTraining,
    folder: str,
    accelerator: str,
    callbacks: Sequence[Callback],
    **options: Any,
) -> lightning.Trainer:
    """Lightning's trainer with this loop's settings, on as many processes as there are, and nothing it does besides."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    return lightning.Trainer(
        accelerator=accelerator,
        devices=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
        strategy=DDPStrategy(broadcast_buffers=False) if processes > 1 else "auto",
        use_distributed_sampler=False,
        precision=settings.precision,  # type: ignore[arg-type]
        gradient_clip_val=1.0,
        logger=CSVLogger(folder),
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        **options,
    )


def looped(
    module: Training,
    source: Source,
    settings: TrainingSettings | ColumnTraining,
    names: Sequence[str],
    steps: Steps,
    accelerator: str = "auto",
    callbacks: Sequence[Callback] = (),
) -> tuple[float, float]:
    """Seconds a step of a whole loop, and those in which the device had no batch to train on."""
    timer = Clock(steps)
    chosen = [FiniteLosses(names), *optional_callbacks(settings), *callbacks, timer]
    with tempfile.TemporaryDirectory() as folder:
        last = steps.warm_up + steps.timed + 1
        trainer = bare_trainer(settings, folder, accelerator, chosen, max_steps=last, limit_val_batches=0)
        trainer.fit(module, source)
    return timer.times()
