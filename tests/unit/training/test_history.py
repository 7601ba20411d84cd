"""Losses of epochs that were stopped or done again."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from iphasenet.training.history import EpochLoss, next_log, read_history


def log(folder: Path, start: int, text: str) -> None:
    path = folder / "history" / f"version_{start}" / "metrics.csv"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def test_of_a_step_that_was_done_again_the_newest_values_are_kept(tmp_path: Path) -> None:
    log(tmp_path, 0, "epoch,step,train_loss,validation_loss\n0,5,,0.9\n0,5,0.8,\n1,11,,0.7\n1,11,0.6,\n2,17,,0.5\n")
    # The second goes on from the end of epoch 1, of which it logs the training loss once more.
    log(tmp_path, 2, "epoch,step,train_loss,validation_loss\n1,11,0.65,\n2,17,,0.4\n2,17,0.3,\n")
    log(tmp_path, 10, "epoch,lr,step\n,0.1,19\n")
    history = read_history(tmp_path)
    assert list(history["step"]) == [5, 11, 17, 19]
    assert list(history["train_loss"])[:3] == [0.8, 0.65, 0.3]
    assert list(history["validation_loss"])[:3] == [0.9, 0.7, 0.4]
    assert next_log(tmp_path) == 11 and next_log(tmp_path / "new") == 0


@pytest.mark.parametrize("content", [b"", b"epoch,ste", b"epoch,step\n0,5\n\x00\xff,1,2,3"])
def test_a_damaged_log_is_named_and_left_out(content: bytes, tmp_path: Path) -> None:
    log(tmp_path, 0, "epoch,step,train_loss\n0,5,0.8\n")
    log(tmp_path, 1, "")
    damaged = tmp_path / "history" / "version_1" / "metrics.csv"
    damaged.write_bytes(content)
    with pytest.warns(UserWarning, match=r"version_1/metrics\.csv: no readable log"):
        assert list(read_history(tmp_path)["train_loss"]) == [0.8]


class Processes:
    """All processes of a training, one after the other in one."""

    root_device = torch.device("cpu")

    def __init__(self, totals: list[float]) -> None:
        self.totals = totals

    def reduce(self, _total: torch.Tensor, reduce_op: str) -> torch.Tensor:
        assert reduce_op == "mean"
        return torch.tensor(self.totals).mean()


def steps(loss: EpochLoss, epoch: int, *values: float) -> None:
    trainer: Any = SimpleNamespace(current_epoch=epoch)
    for value in values:
        loss.on_train_batch_end(trainer, None, {"loss": torch.tensor(value)}, None, 0)


def logged(loss: EpochLoss, epoch: int) -> float | None:
    found: dict[str, float] = {}
    module: Any = SimpleNamespace(device=torch.device("cpu"), log=lambda name, value, **_: found.update({name: value}))
    trainer: Any = SimpleNamespace(current_epoch=epoch)
    loss.on_train_epoch_end(trainer, module)
    return found.get("train_loss")


def test_an_epochs_loss_covers_the_batches_before_and_after_a_stop_on_any_number_of_processes() -> None:
    """Three batches before, on two processes; one after, on three: the mean of all four."""
    before = [EpochLoss(), EpochLoss()]
    for loss, values in zip(before, ([1.0, 2.0, 3.0], [3.0, 4.0, 5.0]), strict=True):
        steps(loss, 0, 100.0)
        steps(loss, 1, *values)
    checkpoint: dict[str, Any] = {}
    trainer: Any = SimpleNamespace(strategy=Processes([float(loss.total) for loss in before]))
    before[0].on_save_checkpoint(trainer, None, checkpoint)
    after = [EpochLoss() for _ in range(3)]
    means = []
    for loss, value in zip(after, (6.0, 7.0, 8.0), strict=True):
        loss.on_load_checkpoint(None, None, checkpoint)
        steps(loss, 1, value)
        means.append(logged(loss, 1))
    assert sum(float(mean or 0) for mean in means) / 3 == pytest.approx((2 + 3 + 4 + 7) / 4)


def test_the_next_epoch_begins_anew_and_an_old_checkpoint_says_nothing() -> None:
    loss = EpochLoss()
    loss.on_load_checkpoint(None, None, {})
    assert logged(loss, 0) is None
    steps(loss, 0, 1.0)
    steps(loss, 1, 3.0, 5.0)
    assert logged(loss, 1) == 4
