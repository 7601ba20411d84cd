"""Callbacks of training: progress, averaged weights, checks, stopping by signals, pictures."""

import os
import signal
import subprocess
from collections.abc import Sequence
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, TQDMProgressBar, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_file
from iphasenet.dataset.material_data import MaterialData
from iphasenet.dataset.names import file_name
from iphasenet.training.module import Training

STEPS_BETWEEN_AVERAGES = 8
"""Steps between two updates of the average; one update takes 1/25 of a step of a small network."""

GPU_STEPS_BETWEEN_CHECKS = 16
"""Steps between two checks among all processes on GPUs, about a second."""


class ProgressBar(TQDMProgressBar):
    """Progress bar with losses and metrics, without the logger's version number."""

    def get_metrics(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> dict[str, Any]:
        """Items to be shown."""
        return {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}


def rising_decay(decay: float, steps: int) -> float:
    """
    Decay per step of a moving average that forgets the first steps of a training.

    Parameters
    ----------
    decay : float
        Highest decay.
    steps : int
        Steps of the training so far.

    Returns
    -------
    float
        The smaller of `decay` and (1 + steps) / (10 + steps), as in timm and TensorFlow. While it is the second, more
        than half of the average comes from the last tenth of the steps, however few there are.
    """
    return min(decay, (1 + steps) / (10 + steps))


class AveragedWeights(WeightAveraging):
    """
    Exponential moving average of the weights.

    It is updated every `STEPS_BETWEEN_AVERAGES` steps, before every validation and at the end. Buffers are copied,
    because an average of the attention's integer indices has no meaning. The decay depends only on the number of
    steps, and every checkpoint holds the step of the last update, so a resumed training gives the same average.

    Parameters
    ----------
    decay : float
        Highest decay per step (`rising_decay`).
    """

    _latest_update_step: int

    def __init__(self, decay: float) -> None:
        super().__init__(use_buffers=False, multi_avg_fn=self._average)
        self.decay, self.step = decay, 0

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average if it is due."""
        self.step = trainer.global_step
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Whether Lightning should average after a step."""
        return step_idx is not None and epoch_idx is None and self.step % STEPS_BETWEEN_AVERAGES == 0

    def on_validation_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Update the average before it is validated."""
        self._catch_up(trainer, pl_module)
        super().on_validation_epoch_start(trainer, pl_module)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Update the average at the end."""
        self._catch_up(trainer, pl_module)
        super().on_train_end(trainer, pl_module)

    def _catch_up(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Add the steps since the last update to the average."""
        self.step = trainer.global_step
        if self._average_model is not None and self.step > self._latest_update_step:
            self._average_model.update_parameters(pl_module)
            self._latest_update_step = self.step

    def _average(self, averaged: Any, current: Any, count: Any) -> None:
        passed = self.step - self._latest_update_step
        get_ema_multi_avg_fn(rising_decay(self.decay, self.step) ** passed)(averaged, current, count)


def _steps_between_checks(trainer: lightning.Trainer) -> int:
    """Choose the steps between two checks among all processes: several on GPUs, because a check waits for the GPU."""
    return 1 if trainer.strategy.root_device.type == "cpu" else GPU_STEPS_BETWEEN_CHECKS


class FiniteLosses(Callback):
    """
    Ends all processes after the same batch if any of them has found a loss that is not finite.

    If one process ended alone, the others would wait for its gradients for ever. Validation and checkpoints come after
    a check, so weights from such a loss are never kept.

    Parameters
    ----------
    names : sequence of str
        Names of the training samples.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.unchecked: list[tuple[Tensor, Tensor]] = []

    def on_train_batch_end(
        self, trainer: lightning.Trainer, _module: Any, outputs: Any, batch: Sequence[Tensor], batch_idx: int
    ) -> None:
        """Note a batch's loss and its samples; InputError with the samples if a loss is not finite."""
        self.unchecked.append((outputs["loss"], batch[-1]))
        if not trainer.is_last_batch and (batch_idx + 1) % _steps_between_checks(trainer):
            return
        losses = torch.stack([loss for loss, _ in self.unchecked]).tolist()
        bad = [(loss, samples) for loss, (_, samples) in zip(losses, self.unchecked, strict=True) if not isfinite(loss)]
        self.unchecked = []
        if not trainer.strategy.reduce_boolean_decision(bool(bad), all=False):
            return
        if not bad:
            raise InputError("training: another process found a loss that is not finite")
        loss, samples = bad[0]
        names = ", ".join(self.names[number] for number in samples.tolist())
        raise InputError(
            f"training: found a loss of {loss} in epoch {trainer.current_epoch}, batch of {names}; allowed: finite "
            "numbers; lower training.learning_rate, or look at these samples"
        )


class Stopped(SystemExit):
    """Training was asked to stop."""


def ask_nobody_of_signals(trainer: lightning.Trainer) -> None:
    """
    Stop Lightning from asking all processes for signals before each batch, which would wait for the GPU.

    Lightning 2.6 has no option for that (its issue 21487, pull request 21640), so a method that is not public is
    replaced. If another release renames this method, training only becomes slower, because `StopBySignal` has replaced
    the handler in question. `tests/unit/training/test_callbacks.py` then fails with a message about it.
    """
    loop: Any = trainer.fit_loop.epoch_loop
    loop._broadcast_sigterm_tensor = lambda: None


class StopBySignal(Callback):
    """
    Stops all processes after the same batch when any of them gets a signal to stop.

    The signals are SIGTERM, SIGUSR1 (Slurm's warning), SIGINT (Ctrl-C) and SIGHUP. A checkpoint is written first; after
    Slurm's warning, the job then goes back into the queue. The handlers only note the signal: communication with other
    processes in a handler, as in Lightning's, blocks if these are elsewhere in their step. A second Ctrl-C ends at
    once.

    Parameters
    ----------
    checkpoint : path
        Checkpoint to be written.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.received: set[int] = set()

    def on_train_start(self, trainer: lightning.Trainer, *_rest: Any) -> None:
        """Install the handlers of the signals."""
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP):
            # Under nohup, the terminal may close.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._note)
        ask_nobody_of_signals(trainer)

    def _note(self, number: int, _frame: Any) -> None:
        self.received.add(number)
        if number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, _module: Any, _outputs: Any, _batch: Any, batch_idx: int
    ) -> None:
        """Stop if any process got a signal."""
        # A resume after an epoch's last batch would skip its validation, so stop after the next epoch's first batch.
        if batch_idx % _steps_between_checks(trainer) or (trainer.is_last_batch and batch_idx):
            return
        agree = partial(trainer.strategy.reduce_boolean_decision, all=False)
        if not agree(bool(self.received)):
            return
        warned, interrupted = (agree(number in self.received) for number in (signal.SIGUSR1, signal.SIGINT))
        # An epoch of a single batch is repeated instead.
        if not trainer.is_last_batch:
            trainer.save_checkpoint(self.checkpoint)
        job = os.environ.get("SLURM_JOB_ID")
        if warned and job and trainer.is_global_zero:
            subprocess.run(["scontrol", "requeue", job], check=False)
        # The first process to end also ends the others, including the one that puts the job back into the queue.
        trainer.strategy.barrier()
        raise Stopped(128 + signal.SIGINT if interrupted else 1)


class ValidationPictures(Callback):
    """
    Shows input, truth, prediction and difference of one validation sample per material every few epochs.

    Parameters
    ----------
    validation : sequence of MaterialData
        Validation split; of each material the first of the thickest samples is shown, at its highest dose.
    folder : path
        Folder of PNG files, one per material; each picture replaces the last one. TensorBoard keeps all of them.
    every : int
        Epochs between two pictures.
    """

    def __init__(self, validation: Sequence[MaterialData], folder: Path, every: int = 5) -> None:
        self.validation, self.folder, self.every = validation, folder, every

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Draw the pictures, only in the first process."""
        last = trainer.current_epoch + 1 == trainer.max_epochs
        if not trainer.is_global_zero or not (last or trainer.current_epoch % self.every == 0):
            return
        assert isinstance(pl_module, Training)
        for data in self.validation:
            figure = _picture(pl_module, data)
            with atomic_file(self.folder / f"{file_name(data.material)}.png") as temporary:
                figure.savefig(temporary, dpi=80)
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    logger.experiment.add_figure(f"validation/{data.material}", figure, trainer.current_epoch)


def _picture(module: Training, data: MaterialData) -> Figure:
    sample, dose = int(data.coordinates["thickness_nm"].argmax()), int(data.doses.argmax())
    segments = torch.from_numpy(data.noisy_segments[sample, dose].astype("float32"))[None].to(module.device)
    metadata = torch.from_numpy(data.metadata[sample])[None].to(module.device)
    with torch.no_grad():
        predicted = module.network.projected_potential(segments, metadata)[0][0].cpu().numpy()
    truth = data.potential[sample]
    difference = predicted - truth
    largest = float(np.abs(difference).max())
    limits = {"vmin": float(truth.min()), "vmax": float(truth.max())}
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    panels: tuple[tuple[str, Any, dict[str, Any]], ...] = (
        ("top-left segment", segments[0, 0].cpu().numpy(), {}),
        ("truth [V Å]", truth, limits),
        ("prediction [V Å]", predicted, limits),
        ("difference [V Å]", difference, {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}),
    )
    figure.suptitle(f"{data.coordinates['sample_id'][sample]}, {data.doses[dose]:.3g} e/Å²", fontsize=9)
    for axes, (title, image, style) in zip(figure.subplots(1, 4), panels, strict=True):
        axes.set_title(title, fontsize=8)
        axes.set_axis_off()
        figure.colorbar(axes.imshow(image, **{"cmap": "viridis", **style}), ax=axes)
    return figure
