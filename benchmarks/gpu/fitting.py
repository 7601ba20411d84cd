"""Trainings of a given time: each validation is a row, and the weights of the best one are kept at once."""

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import lightning
from lightning.pytorch.callbacks import Callback

from benchmarks.gpu.context import Context
from benchmarks.gpu.loop import Until, bare_trainer
from benchmarks.gpu.pieces import joined, split
from iphasenet.training.callbacks import AveragedWeights, FiniteLosses
from iphasenet.training.column_settings import ColumnTraining
from iphasenet.training.module import CropSplits, FittedModule
from iphasenet.training.settings import TrainingSettings

Found = TypeVar("Found")

Save = Callable[[Path, float, int], None]
"""Writes the network's weights to a file, given the validation's correlation and the number of steps."""


@dataclass(frozen=True)
class Kept:
    """
    How weights are kept: what ends a training leaves what it had reached.

    Attributes
    ----------
    name : str
        Their file's name.
    save : callable
        Writes them.
    facts : mapping
        What the step's results say of them.
    """

    name: str
    save: Save
    facts: Mapping[str, Any]

    def write(self, context: Context, pearson: float, step: int) -> None:
        """Write the weights in pieces; run.sh removes those that they replace."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / self.name
            self.save(path, pearson, step)
            pieces = split(path.read_bytes(), context.output, self.name)
        context.facts["weights"] = {**pieces, **self.facts}


def read_kept(context: Context, kept: Mapping[str, Any], load: Callable[[Path], Found]) -> Found:
    """Read weights that go back."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        path.write_bytes(joined(context.output, kept))
        return load(path)


class _Curve(Callback):
    """
    Keeps each validation, and the weights of the best one.

    It comes before `AveragedWeights`, which takes the averages out again after a validation.
    """

    def __init__(self, context: Context, kept: Kept, batch_size: int, shown: Mapping[str, str]) -> None:
        self.context, self.kept, self.batch_size, self.shown = context, kept, batch_size, shown
        self.best, self.step, self.started = -math.inf, 0, time.monotonic()

    def on_validation_epoch_end(self, trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        """Add a row; keep the weights where they are better than all before."""
        found = {name: float(value) for name, value in trainer.callback_metrics.items()}
        pearson, step = found["validation_pearson"], trainer.global_step
        if self.context.is_first and pearson > self.best:
            self.best, self.step = pearson, step
            self.kept.write(self.context, pearson, step)
        row = {"step": step, "crops": self.batch_size * step, "seconds": time.monotonic() - self.started}
        shown = {title: found[name] for title, name in self.shown.items()}
        self.context.keep("Validation", row | {"validation Pearson": pearson} | shown)


def accelerator(context: Context) -> str:
    """Lightning's accelerator."""
    return "cpu" if context.device.type == "cpu" else "auto"


def fit_until(
    context: Context,
    module: FittedModule,
    source: CropSplits,
    settings: TrainingSettings | ColumnTraining,
    names: Sequence[str],
    ended: float,
    kept: Kept,
    shown: Mapping[str, str],
) -> tuple[float, int]:
    """
    Train for the module's steps, or until the time is over.

    Parameters
    ----------
    context : Context
        Step.
    module, source : FittedModule, CropSplits
        Network and crops.
    settings : TrainingSettings or ColumnTraining
        How to train.
    names : sequence of str
        Names of the training samples.
    ended : float
        When to end (`time.monotonic`) [s].
    kept : Kept
        How weights are kept.
    shown : mapping
        Titles and names of further metrics in the rows.

    Returns
    -------
    pearson, step
        Of the best validation.
    """
    curve = _Curve(context, kept, settings.batch_size, shown)
    ending = Until(lambda: min(ended - time.monotonic(), context.left()))
    chosen = [FiniteLosses(names), curve, AveragedWeights(settings.ema_decay), ending]
    with tempfile.TemporaryDirectory() as folder:
        limits = {"max_steps": module.steps, "max_epochs": -1, "num_sanity_val_steps": 0}
        every = {"val_check_interval": max(1, module.steps // context.sizes.curve), "check_val_every_n_epoch": None}
        trainer = bare_trainer(settings, folder, accelerator(context), chosen, **limits, **every)
        trainer.fit(module, source)
        # The averages after the last step, which no validation may have followed.
        trainer.validate(module, source, verbose=False)
    return curve.best, curve.step
