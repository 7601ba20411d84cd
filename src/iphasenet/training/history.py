"""Losses and metrics of a run's epochs, joined over all of its starts."""

import warnings
from pathlib import Path
from typing import Any

import lightning
import pandas
import torch
from lightning.pytorch.callbacks import Callback


class EpochLoss(Callback):
    """
    Mean loss of an epoch's batches over all processes, also for an epoch that was stopped and resumed.

    Lightning's own means include only the batches since the last start. A checkpoint keeps the mean over the
    processes, so that any number of processes may resume.
    """

    def __init__(self) -> None:
        self.epoch, self.batches, self.total = -1, 0, torch.zeros(())

    def on_train_batch_end(self, trainer: lightning.Trainer, _module: Any, outputs: Any, *_batch: Any) -> None:
        """Add a batch's loss."""
        loss = outputs["loss"].detach().float()
        if trainer.current_epoch != self.epoch:
            self.epoch, self.batches, self.total = trainer.current_epoch, 0, torch.zeros_like(loss)
        self.total, self.batches = self.total.to(loss.device) + loss, self.batches + 1

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log the mean; a resume from the end of an epoch calls this once more."""
        if trainer.current_epoch == self.epoch:
            mean = self.total.to(pl_module.device) / self.batches
            pl_module.log("train_loss", mean, prog_bar=True, sync_dist=True)

    def on_save_checkpoint(self, trainer: lightning.Trainer, _module: Any, checkpoint: dict[str, Any]) -> None:
        """Save the sums; all processes must call this together."""
        total = trainer.strategy.reduce(self.total.clone().to(trainer.strategy.root_device), reduce_op="mean")
        checkpoint["epoch_loss"] = {"epoch": self.epoch, "batches": self.batches, "total": float(total)}

    def on_load_checkpoint(self, _trainer: Any, _module: Any, checkpoint: dict[str, Any]) -> None:
        """Restore the sums from a checkpoint."""
        kept = checkpoint.get("epoch_loss")
        if kept:
            self.epoch, self.batches, self.total = kept["epoch"], kept["batches"], torch.tensor(kept["total"])


def next_log(folder: Path) -> int:
    """Choose the number of a start's log; each start needs its own folder, because CSVLogger empties it first."""
    return 1 + max((_number(path) for path in folder.glob("history/version_*")), default=-1)


def read_history(folder: Path) -> pandas.DataFrame:
    """
    Join the logs of all starts of a run.

    Parameters
    ----------
    folder : path
        Folder of the run.

    Returns
    -------
    DataFrame
        One row per logged step, in their order; for a repeated step, the newest values.
    """
    tables = []
    for path in sorted(folder.glob("history/version_*/metrics.csv"), key=lambda path: _number(path.parent)):
        try:
            tables.append(pandas.read_csv(path).astype({"step": int}))
        except (ValueError, KeyError, TypeError) as error:
            # A log that a power cut damaged must not cost the weights.
            reason = " ".join(str(error).split())[:120]
            warnings.warn(f"{path}: no readable log ({reason}); its epochs are missing in the history", stacklevel=2)
    if not tables:
        return pandas.DataFrame(columns=["epoch", "step", "train_loss", "validation_loss", "validation_pearson"])
    return pandas.concat(tables).groupby("step", as_index=False).last()


def _number(folder: Path) -> int:
    return int(folder.name.removeprefix("version_"))
