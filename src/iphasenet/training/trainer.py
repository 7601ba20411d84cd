"""Lightning's trainer: devices, precision, logs, checkpoints."""

import os
from collections.abc import Sequence
from pathlib import Path

import lightning
from lightning.pytorch.callbacks import Callback, EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy

from iphasenet.training.callbacks import AveragedWeights, ProgressBar, StopBySignal
from iphasenet.training.checkpoints import NEWEST, AtomicCheckpoints, BestCheckpoint
from iphasenet.training.column_settings import ColumnTraining
from iphasenet.training.history import EpochLoss, next_log
from iphasenet.training.settings import TrainingSettings


def make_trainer(
    folder: Path, settings: TrainingSettings | ColumnTraining, accelerator: str, callbacks: Sequence[Callback]
) -> tuple[lightning.Trainer, BestCheckpoint]:
    """
    Make Lightning's trainer for as many processes as torchrun has started.

    Parameters
    ----------
    folder : path
        Folder of the run: checkpoints, logs and TensorBoard events.
    settings : TrainingSettings
        How to train.
    accelerator : str
        Lightning's accelerator: 'auto' uses GPUs if there are any, 'cpu' does not use them.
    callbacks : sequence of Callback
        Further callbacks, which are called first.

    Returns
    -------
    trainer : lightning.Trainer
        Trainer that fits `iphasenet.training.module.Training` to `iphasenet.training.module.Splits`.
    best : BestCheckpoint
        Callback of the trainer that keeps the best epoch.
    """
    best = BestCheckpoint(folder)
    # ModelCheckpoint's save_last writes only with a new best epoch: other epochs would be repeated after a resume.
    newest = ModelCheckpoint(folder, Path(NEWEST).stem, enable_version_counter=False)
    processes, here = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    trainer = lightning.Trainer(
        accelerator=accelerator,
        devices=here,
        num_nodes=processes // here,
        # Buffers are the attention's indices, which are the same in all processes and never change.
        strategy=DDPStrategy(broadcast_buffers=False) if processes > 1 else "auto",
        precision=settings.precision,  # type: ignore[arg-type]
        max_epochs=settings.epochs,
        use_distributed_sampler=False,
        gradient_clip_val=1.0,
        logger=[
            CSVLogger(folder, name="history", version=next_log(folder), flush_logs_every_n_steps=1),
            TensorBoardLogger(folder, name="", version="tensorboard"),
        ],
        # Pictures come before the averaging, which restores the unaveraged weights when validation ends; the stop comes
        # after it, so that its checkpoint holds the average that includes the last batch.
        callbacks=[
            *callbacks,
            *optional_callbacks(settings),
            EpochLoss(),
            StopBySignal(folder / NEWEST),
            best,
            newest,
            LearningRateMonitor(),
            ProgressBar(refresh_rate=20),
        ],
        plugins=[AtomicCheckpoints()],
        num_sanity_val_steps=0,
        log_every_n_steps=20,
        enable_model_summary=False,
    )
    return trainer, best


def optional_callbacks(settings: TrainingSettings | ColumnTraining) -> list[Callback]:
    """Callbacks for averaged weights and early stopping, if the settings ask for them."""
    chosen: list[Callback] = []
    if settings.ema_decay:
        chosen.append(AveragedWeights(settings.ema_decay))
    if settings.patience:
        chosen.append(EarlyStopping("validation_pearson", patience=settings.patience, mode="max"))
    return chosen
