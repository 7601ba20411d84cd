"""Checkpoints that are damaged, lost or moved, and the weights in the end."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from iphasenet.base.errors import InputError
from iphasenet.network.weights import load_weights, write_pytorch
from iphasenet.training.alone import alone_in
from iphasenet.training.checkpoints import BestCheckpoint, read_checkpoint, starting_point
from tests.unit.dataset.test_reader import make
from tests.unit.training.test_training import SETTINGS, epochs_of, options

CHECKPOINT = {"callbacks": {}, "state_dict": {"weight": torch.arange(1000.0)}, "loops": {}}


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def change(path: Path) -> None:
    """A bit of a weight: PyTorch reads the file as if nothing was."""
    content = bytearray(path.read_bytes())
    place = content.index(torch.arange(1000.0).numpy().tobytes()) if path.stat().st_size < 10_000 else len(content) // 2
    content[place + 2] ^= 1
    path.write_bytes(content)


def run_folder(folder: Path, *names: str) -> Path:
    for name in names:
        write_pytorch(folder / name, CHECKPOINT)
    return folder


def test_a_changed_bit_of_a_checkpoint_is_noticed(tmp_path: Path) -> None:
    path = run_folder(tmp_path, "last.ckpt") / "last.ckpt"
    assert torch.equal(read_checkpoint(path)["state_dict"]["weight"], torch.arange(1000.0))
    change(path)
    assert torch.load(path, weights_only=True)["state_dict"]["weight"].shape == (1000,)
    with pytest.raises(InputError, match=r"last\.ckpt: found a damaged checkpoint \(.*\); allowed"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_what_is_no_checkpoint_is_one_line_with_its_path(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    if content is None:
        torch.save([1, 2], path)
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.ckpt: found no checkpoint") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", [truncate, change, Path.unlink])
def test_the_best_checkpoint_stands_in_for_the_newest(damage: Any, tmp_path: Path) -> None:
    folder = run_folder(tmp_path, "last.ckpt", "best.ckpt")
    assert starting_point(folder) == folder / "last.ckpt"
    damage(folder / "last.ckpt")
    with pytest.warns(UserWarning, match=r"last\.ckpt: damaged or lost; training goes on from .*best\.ckpt"):
        assert starting_point(folder) == folder / "best.ckpt"


def test_where_no_checkpoint_is_left_the_way_on_is_told(tmp_path: Path) -> None:
    assert starting_point(tmp_path / "new") is None
    folder = run_folder(tmp_path, "last.ckpt", "best.ckpt")
    truncate(folder / "best.ckpt")
    with pytest.raises(InputError, match=r"best\.ckpt: .*; remove it to go on from last\.ckpt .* or remove"):
        starting_point(folder)
    truncate(folder / "last.ckpt")
    with pytest.raises(InputError, match=rf"best\.ckpt: found .*; remove {folder}, and training starts anew"):
        starting_point(folder)
    (folder / "best.ckpt").unlink()
    with pytest.raises(InputError, match=r"last\.ckpt: .*; remove it, and training starts anew"):
        starting_point(folder)


def test_a_moved_folder_keeps_its_best_epoch(tmp_path: Path) -> None:
    """Lightning compares the folder's path with the one in the checkpoint."""
    old, new = BestCheckpoint(tmp_path / "old"), BestCheckpoint(tmp_path / "new")
    here = str(tmp_path / "old" / "best.ckpt")
    old.best_model_score = old.kth_value = torch.tensor(0.519)
    old.best_model_path = old.kth_best_model_path = here
    old.best_k_models = {here: torch.tensor(0.519)}
    run_folder(tmp_path / "new", "best.ckpt")
    new.load_state_dict(old.state_dict())
    assert new.best_model_path == str(tmp_path / "new" / "best.ckpt")
    worse, better = (new.check_monitor_top_k(trainer(), torch.tensor(score)) for score in (0.280, 0.6))
    assert better and not worse


def trainer() -> Any:
    class Alone:
        class strategy:  # noqa: N801
            @staticmethod
            def reduce_boolean_decision(decision: bool) -> bool:
                return bool(decision)

    return Alone()


def test_a_best_epoch_whose_file_is_gone_is_forgotten(tmp_path: Path) -> None:
    best = BestCheckpoint(tmp_path)
    state = {**best.state_dict(), "best_model_score": torch.tensor(0.519)}
    with pytest.warns(UserWarning, match=r"best\.ckpt: this file is missing"):
        best.load_state_dict(state)
    assert best.check_monitor_top_k(trainer(), torch.tensor(0.280))
    with pytest.raises(InputError, match=rf"best\.ckpt: found no checkpoint .*: remove {tmp_path}, and"):
        best.read()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set and a training that came to its end."""
    folder = tmp_path_factory.mktemp("trained")
    assert train(folder, make(folder / "data")).returncode == 0
    return folder


def train(folder: Path, dataset: Path, **popen: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "iphasenet.training.train", *options(folder, dataset, epochs=2)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **popen)


def copied(trained: Path, folder: Path) -> Path:
    """The run's folder elsewhere: its checkpoints were moved."""
    shutil.copytree(trained / "checkpoints", folder / "checkpoints")
    return next((folder / "checkpoints").iterdir())


def test_a_truncated_newest_checkpoint_costs_an_epoch_and_no_more(trained: Path, tmp_path: Path) -> None:
    run = copied(trained, tmp_path)
    assert starting_point(run) == run / "last.ckpt"
    truncate(run / "last.ckpt")
    result = train(tmp_path, trained / "data" / "dataset.zarr")
    assert result.returncode == 0, result.stderr
    assert str(run / "last.ckpt") in result.stdout and "Traceback" not in result.stdout + result.stderr
    weights, expected = (load_file(folder / "weights.safetensors") for folder in (tmp_path, trained))
    assert all(torch.equal(weight, expected[name]) for name, weight in weights.items())
    assert (epochs_of(tmp_path) == epochs_of(trained)).all()


def test_without_any_checkpoint_left_history_holds_each_epoch_once(trained: Path, tmp_path: Path) -> None:
    """And a folder that was moved ends with the same bytes."""
    run = copied(trained, tmp_path)
    for path in run.glob("*.ckpt"):
        path.unlink()
    assert train(tmp_path, trained / "data" / "dataset.zarr").returncode == 0
    assert len(list(run.glob("history/version_*"))) == 2
    assert (tmp_path / "history.csv").read_bytes() == (trained / "history.csv").read_bytes()
    assert (tmp_path / "weights.safetensors").read_bytes() == (trained / "weights.safetensors").read_bytes()


def test_a_damaged_best_checkpoint_is_one_line(trained: Path, tmp_path: Path) -> None:
    run = copied(trained, tmp_path)
    change(run / "best.ckpt")
    result = train(tmp_path, trained / "data" / "dataset.zarr")
    lines = [line for line in result.stderr.splitlines() if "best.ckpt" in line]
    assert result.returncode == 1 and len(lines) == 1 and lines[0].startswith(f"training: {run / 'best.ckpt'}: found")
    assert "Traceback" not in result.stdout + result.stderr


def test_a_second_start_waits_for_the_first_and_says_so(trained: Path, tmp_path: Path) -> None:
    run, command = copied(trained, tmp_path), options(tmp_path, trained / "data" / "dataset.zarr", epochs=2)
    with alone_in(run):
        second = subprocess.Popen(
            [sys.executable, "-m", "iphasenet.training.train", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert second.stdout is not None
        waiting = next(line for line in second.stdout if "waiting up to" in line)
        assert f"{run}: process {os.getpid()} on " in waiting and second.poll() is None
    second.communicate(timeout=200)
    assert second.returncode == 0 and (tmp_path / "weights.safetensors").exists()


def test_the_header_of_weights_says_which_epoch_was_the_best(trained: Path) -> None:
    network, described = load_weights(trained / "weights.safetensors")
    assert described["validation_pearson"] == pytest.approx(epochs_of(trained)[:, 3].max(), rel=1e-6)
    assert json.dumps(described["model"]) and network.settings.feature_size == SETTINGS["model"]["feature_size"]
