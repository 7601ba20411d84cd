"""The moving average of the weights, and what processes share: the same numbers on any number of them."""

import math
import warnings
from typing import Any, cast

import lightning
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

from iphasenet.training import fit
from iphasenet.training.callbacks import AveragedWeights, rising_decay
from iphasenet.training.crops import EpochSampler
from iphasenet.training.module import images_of


class Line(lightning.LightningModule):
    """A weight that is pulled from 0 to 1: by 63 steps it is there."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.validated: list[float] = []

    def training_step(self, _batch: Any, _index: int) -> torch.Tensor:
        return ((self.weight - 1) ** 2).sum()

    def validation_step(self, _batch: Any, _index: int) -> None:
        self.validated.append(float(self.weight))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.02)


def trained(
    folder: Any, decay: float, steps: int, epochs: int, first: int | None = None, **options: Any
) -> tuple[Line, float]:
    """Average that is kept, and the weight without it; stopped after `first` epochs and gone on with."""
    module, data = Line(), DataLoader(TensorDataset(torch.zeros(steps)))
    last: list[float] = []

    class Watch(lightning.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            last.append(float(module.weight))

    options |= {"accelerator": "cpu", "logger": False, "enable_progress_bar": False}
    options |= {"enable_model_summary": False, "num_sanity_val_steps": 0}
    path = folder / "stopped.ckpt"
    for until in (first, epochs) if first else (epochs,):
        trainer = lightning.Trainer(
            max_epochs=until,
            callbacks=[
                Watch(),
                AveragedWeights(decay),
                ModelCheckpoint(folder, "stopped", enable_version_counter=False),
            ],
            **options,
        )
        trainer.fit(module, data, data, ckpt_path=path if path.is_file() else None, weights_only=True)
    return module, last[-1]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("steps", "epochs"), [(21, 3), (4, 2), (1, 3), (20, 10)])
def test_an_average_of_few_steps_is_of_the_last_ones(tmp_path: Any, steps: int, epochs: int) -> None:
    """With 0.999 at every step from the first on, 63 steps kept 94 % of it."""
    module, last = trained(tmp_path, 0.999, steps, epochs)
    kept = float(module.weight)
    assert kept >= 0.75 * last
    # What is validated is the average as it is after the epoch's last step, not of some step before.
    assert kept == pytest.approx(module.validated[-1])
    assert module.validated == sorted(module.validated) and len(set(module.validated)) == epochs


@pytest.mark.filterwarnings("ignore")
def test_what_is_validated_within_an_epoch_is_the_average_of_all_steps_so_far(tmp_path: Any) -> None:
    """As the GPU machine's training validates: every fifth step, and the last of 23 steps without a validation."""
    module, last = trained(
        tmp_path, 0.999, 23, 1, val_check_interval=5, limit_val_batches=1, check_val_every_n_epoch=None
    )
    weights, averages, passed = [1 - 0.96**step for step in range(24)], {}, 0
    for step in sorted({*range(5, 24, 5), 8, 16, 23}):
        share = rising_decay(0.999, step) ** (step - passed) if averages else 0.0
        averages[step] = share * averages.get(passed, 0.0) + (1 - share) * weights[step]
        passed = step
    assert module.validated == pytest.approx([averages[step] for step in (5, 10, 15, 20)])
    assert float(module.weight) == pytest.approx(averages[23]) and last == pytest.approx(weights[23])


@pytest.mark.filterwarnings("ignore")
def test_an_average_goes_on_after_a_resume(tmp_path: Any) -> None:
    whole, _ = trained(tmp_path / "whole", 0.9, 5, 4)
    (tmp_path / "parts").mkdir()
    parts, _ = trained(tmp_path / "parts", 0.9, 5, 4, first=2)
    assert float(parts.weight) == pytest.approx(float(whole.weight), rel=1e-6)


@pytest.mark.parametrize(("kept", "told"), [(0.258, True), (0.855, False), (0.9, False)])
def test_an_average_that_is_worse_than_what_was_trained_is_told(
    kept: float, told: bool, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By more than chance; the weights without it score 0.859."""
    module = Line()
    monkeypatch.setattr(fit, "read_checkpoint", lambda _path: {"current_model_state": module.state_dict()})
    monkeypatch.setattr(fit, "validation_score", lambda *_: 0.859)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit._tell_of_average(cast(Any, module), [], tmp_path, kept, torch.device("cpu"))
    assert [
        f"has a validation_pearson of {kept:.3f}, the weights without it 0.859" in str(w.message) for w in caught
    ] == ([True] * told)


@given(st.floats(0.5, 0.9999), st.integers(1, 10_000))
def test_no_step_of_the_first_half_weighs_much(decay: float, steps: int) -> None:
    """What is left of the first half of the steps: less than an even mean of all leaves of it."""
    left = math.prod(rising_decay(decay, step) for step in range(steps // 2 + 1, steps + 1))
    assert left <= 0.5 and rising_decay(decay, steps) <= decay


@given(st.integers(1, 200), st.integers(1, 9))
def test_processes_validate_every_image_equally_often(images: int, processes: int) -> None:
    seen = [image for process in range(processes) for image in images_of(images, process, processes)]
    assert set(seen) == set(range(images))
    assert len(seen) == images if images >= processes else len(seen) == images * processes
    assert all(len(images_of(images, process, processes)) for process in range(processes))


@given(st.integers(1, 60), st.integers(1, 16), st.integers(1, 8))
def test_an_epoch_has_the_same_crops_on_any_number_of_processes(crops: int, batch: int, processes: int) -> None:
    alone = EpochSampler(crops, batch, 1)
    if alone.batch < processes:
        return
    shares = [EpochSampler(crops, batch, 1, process, processes) for process in range(processes)]
    assert sorted(alone) == sorted(item for share in shares for item in share)
    assert {share.batches for share in shares} == {alone.batches}
    # The processes' mean of weighted means is the mean of the batch.
    assert sum(share.weight for share in shares) == pytest.approx(processes)
    assert all(share.weight == pytest.approx(processes * share.share / alone.batch) for share in shares)
