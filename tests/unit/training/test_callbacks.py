"""What Lightning does between batches, and how much of it is left of its questions about signals."""

from collections.abc import Iterator
from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel
from torch import distributed

from iphasenet.training.callbacks import ask_nobody_of_signals

BATCHES = 3


@pytest.fixture
def one_of_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A group of one process, whose trainer believes that there are two: it asks what it would ask the other."""
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    monkeypatch.setattr(lightning.Trainer, "world_size", 2)
    yield
    distributed.destroy_process_group()


def questions(folder: Path, silenced: bool, monkeypatch: pytest.MonkeyPatch) -> int:
    """Collective broadcasts during a fit of a few batches."""
    asked: list[object] = []
    monkeypatch.setattr(distributed, "broadcast", lambda *args, **_: asked.append(args))
    trainer = lightning.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        limit_train_batches=BATCHES,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    if silenced:
        ask_nobody_of_signals(trainer)
    data = torch.utils.data.DataLoader(torch.ones(BATCHES, 32))
    trainer.fit(BoringModel(), data)
    return len(asked)


@pytest.mark.usefixtures("one_of_two")
# Lightning's own, of its surroundings and of torch.
@pytest.mark.filterwarnings("ignore")
def test_lightning_asks_no_process_of_signals_before_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning has no public switch: this says where a release changed the method that is replaced."""
    asks, silenced = (questions(tmp_path, silent, monkeypatch) for silent in (False, True))
    assert asks >= BATCHES, (
        "Lightning no longer asks all processes before each batch: delete training.callbacks.ask_nobody_of_signals"
    )
    assert silenced == asks - BATCHES, (
        "Lightning asks all processes of signals in another method than _TrainingEpochLoop._broadcast_sigterm_tensor, "
        f"{silenced} times in {BATCHES} batches: look for its new name or option for ask_nobody_of_signals"
    )
