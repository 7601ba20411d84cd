"""Crops, and a training process that is killed and started again."""

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pandas
import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import Dataset

from iphasenet.base.devices import room_for_images
from iphasenet.base.errors import InputError
from iphasenet.dataset.material_data import MaterialData
from iphasenet.dataset.reader import StoredRows, read_split
from iphasenet.microscope.acquisition import Acquisition, TrainingNoise
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.settings import ModelSettings
from iphasenet.training.callbacks import FiniteLosses
from iphasenet.training.checkpoints import Provenance
from iphasenet.training.crops import Crops, EpochSampler, NoisyImages
from iphasenet.training.frames import StoredFrames
from iphasenet.training.module import CropLoader, learning_rate_factor
from iphasenet.training.settings import TERMS, TrainingSettings
from iphasenet.training.trained_on import segment_sums, trained_ranges
from tests.unit.dataset.test_reader import make

NOISE = TrainingNoise((1e9, 1e9), Acquisition())
SETTINGS = {
    "noise": {"dose": [1e4, 1e6], "acquisition": {"readout_electrons": 0.5, "jitter_angstrom": 0.02}},
    "model": {
        "feature_size": 12,
        "norm": "instance",
        "conditioning": "film",
        "window_size": 8,
        "inputs": "fraction",
        "projection": "columns",
        "uncertainty": True,
    },
    "training": {
        "seed": 3,
        "epochs": 3,
        "crops_per_sample": 1,
        "crop_pixels": 64,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "loss": {"l1": 1.0, "l2": 0.0, "gradient_l1": 0.1, "spectral_l1": 0.1, "spread": 0.1},
        "relative_loss": True,
        "output_scale_v": 20,
        "augmentation": "symmetry",
        "ema_decay": 0.9,
        "patience": 0,
        "source": "stored",
        "precision": "32-true",
    },
}


def material(samples: int = 3) -> MaterialData:
    """Potential = 10,000 times the first segment, so that a crop's alignment shows."""
    rng = np.random.default_rng(0)
    segments = rng.random((samples, 4, 96, 96), np.float32) * 0.1 + 0.01
    names = ("thickness_nm", "alpha", "beta", "gamma")
    return MaterialData(
        material="GaN",
        segments=segments,
        potential=1e4 * segments[:, 0],
        noisy_segments=np.repeat(segments[:, None], 2, axis=1),
        doses=np.array([1e4, 1e6]),
        sampling=0.2,
        coordinates={name: np.arange(samples) + 10.0 * i for i, name in enumerate(names)},
    )


def crops(augmentation: Literal["none", "symmetry"] = "none", noise: TrainingNoise = NOISE) -> Crops:
    return Crops(StoredFrames([material()], 64), noise, crops_per_sample=2, seed=1, augmentation=augmentation)


def epoch_of(sampler: EpochSampler, epoch: int) -> list[int]:
    sampler.set_epoch(epoch)
    return list(sampler)


def test_images_and_truth_are_cut_from_the_same_place() -> None:
    data = crops()
    for segments, _, potential, _ in (data[item] for item in range(2 * len(data))):
        assert segments.shape == (4, 64, 64) and potential.shape == (64, 64)
        torch.testing.assert_close(1e4 * segments[0], potential, rtol=0.01, atol=0)


def test_an_epoch_is_the_same_again_and_the_next_one_is_not() -> None:
    first, again, later = (crops()[item][0] for item in (4, 4, 4 + len(crops())))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


@pytest.mark.parametrize("room", [0, 10**9])
def test_crops_are_the_same_wherever_their_images_are_kept(room: int) -> None:
    """Rows of arrays, or of tensors where there is room for all of them."""
    noise = TrainingNoise((1e4, 1e6), Acquisition(1.0, 0.01, 0.05, 0.2))
    data, moved = crops("symmetry", noise), crops("symmetry", noise)
    moved.frames.to(torch.device("cpu"), room)
    assert isinstance(moved.frames.images[0][0], torch.Tensor) == (room > 0)
    for item in range(len(data)):
        for one, other in zip(data[item][:3], moved[item][:3], strict=True):
            assert torch.equal(one, other)


def test_half_of_a_gpus_free_memory_is_for_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (600, 1000))
    assert room_for_images(torch.device("cuda", 0)) == 300
    assert room_for_images(torch.device("cpu")) == 0


def test_a_streamed_set_is_not_kept_on_the_device(tmp_path: Path) -> None:
    data = list(read_split(make(tmp_path), "train", stream=True))
    frames = StoredFrames(data, 64)
    frames.to(torch.device("cpu"), 10**12)
    assert isinstance(frames.images[0][0], StoredRows)
    expected = StoredFrames(list(read_split(tmp_path / "dataset.zarr", "train")), 64)
    found, kept = (source.frames([(0, 1, np.random.default_rng(2))])[0] for source in (frames, expected))
    assert torch.equal(found.segments, kept.segments) and found.window == kept.window


def test_every_sample_comes_as_often_as_asked() -> None:
    data = crops()
    for epoch in (0, 5):
        items = epoch_of(EpochSampler(len(data), batch_size=3, seed=1), epoch)
        assert sorted(float(data[item][1][0]) for item in items) == [0, 0, 1, 1, 2, 2]


class Numbers(Dataset[int]):
    """Items that are their own numbers."""

    def __len__(self) -> int:
        return 21

    def __getitem__(self, item: int) -> int:
        return item


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_goes_on_where_it_was_stopped(workers: int) -> None:
    whole = epoch_of(EpochSampler(21, batch_size=6, seed=1, process=1, processes=3), 2)
    order = EpochSampler(21, 6, 1, 1, 3)
    order.set_epoch(2)
    loader = CropLoader(Numbers(), order, workers)
    started = [number for batch in itertools.islice(loader, 2) for number in batch.tolist()]
    kept = loader.state_dict()
    # The one that processes have drawn ahead is not among them.
    assert kept == {"batches": 2}
    again = EpochSampler(21, 6, 1, 1, 3)
    resumed = CropLoader(Numbers(), again, workers)
    resumed.load_state_dict(kept)
    again.set_epoch(2)
    rest = [number for batch in resumed for number in batch.tolist()]
    assert started + rest == whole and len(again) == len(whole)
    assert resumed.state_dict() == {"batches": 3}
    # The next epoch is whole, and one that was given whole is followed by a whole one.
    assert epoch_of(again, 3) == epoch_of(EpochSampler(21, 6, 1, 1, 3), 3)
    resumed.load_state_dict({"batches": 3})
    assert epoch_of(again, 3) == epoch_of(EpochSampler(21, 6, 1, 1, 3), 3)


def test_a_global_batch_is_the_same_on_any_number_of_processes() -> None:
    alone = epoch_of(EpochSampler(21, batch_size=6, seed=1), 2)
    shares = [epoch_of(EpochSampler(21, 6, 1, process, 3), 2) for process in range(3)]
    for batch in range(3):
        together = [item for share in shares for item in share[2 * batch : 2 * batch + 2]]
        assert sorted(together) == sorted(alone[6 * batch : 6 * batch + 6])
    assert len(set(alone)) == 18 and {item // 21 for item in alone} == {2}
    assert alone != epoch_of(EpochSampler(21, batch_size=6, seed=1), 3)


def test_more_processes_than_crops_are_refused() -> None:
    with pytest.raises(InputError, match="3 crops in an epoch; allowed: at least 4"):
        EpochSampler(3, batch_size=8, seed=1, process=0, processes=4)


def test_a_set_smaller_than_a_batch_is_one_batch() -> None:
    sampler = EpochSampler(5, batch_size=8, seed=1)
    assert len(sampler) == len(list(sampler)) == 5 == sampler.share


def test_evaluation_images_pair_every_sample_with_every_dose() -> None:
    images = NoisyImages([material()])
    assert len(images) == 3 * 2
    torch.testing.assert_close(images[5][0], images[4][0])
    assert images[5][1][0] == 2


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"crop_pixels": 32}, "crop_pixels"),
        ({"crop_pixels": 100}, "crop_pixels"),
        ({"loss": dict.fromkeys((*TERMS, "spread"), 0)}, "loss"),
        ({"loss": {"l1": 1}}, "loss"),
        (
            {"loss": {**SETTINGS["training"]["loss"], "l2": float("inf")}},
            r"loss\.l2: found inf; allowed: 0 to 1e\+06",
        ),
        ({"learning_rate": float("nan")}, r"training\.learning_rate: found nan; allowed: above 0 to 1"),
        ({"learning_rate": 1e30}, r"learning_rate: found 1e\+30"),
        ({"learning_rate": "1e-3"}, "learning_rate: found '1e-3'"),
        ({"weight_decay": float("inf")}, "weight_decay: found inf"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"output_scale_v": float("nan")}, r"output_scale_v: found nan; allowed: above 0 to 1e\+06 V"),
        ({"ema_decay": 1}, "ema_decay: found 1"),
        ({"epochs": float("inf")}, "epochs: found inf; allowed: a whole number"),
        ({"epochs": 10**12}, "epochs"),
        ({"patience": 1.5}, "patience: found 1.5"),
        ({"seed": True}, "seed: found True"),
        ({"precision": "64"}, "precision: found '64'; allowed: 32-true, bf16-mixed"),
        ({"relative_loss": 1}, "relative_loss: found 1; allowed: true, false"),
        ({"leave_out": {"thickness_nm": [float("nan")]}}, "leave_out.thickness_nm: found nan"),
    ],
)
def test_bad_settings_are_named(change: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        replace(TrainingSettings(**SETTINGS["training"]), **change)


@pytest.mark.parametrize("steps", [2, 19, 20, 21, 400])
def test_learning_rate_rises_and_falls(steps: int) -> None:
    factors = [learning_rate_factor(step, steps) for step in range(steps + 1)]
    assert max(factors) == pytest.approx(1)
    assert factors[-1] == pytest.approx(0, abs=1e-12)
    peak = factors.index(max(factors))
    assert peak <= max(1, steps / 20)
    assert sorted(factors[: peak + 1]) == factors[: peak + 1]
    assert sorted(factors[peak:], reverse=True) == factors[peak:]


def torchrun(processes: int = 1) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]


def options(folder: Path, dataset: Path, **training: object) -> list[str]:
    settings = {**SETTINGS, "training": {**SETTINGS["training"], **training}}
    return [
        *("--dataset", str(dataset), "--settings", json.dumps(settings)),
        *("--weights", str(folder / "weights.safetensors"), "--history", str(folder / "history.csv")),
        # Bit for bit, and two processes on a machine with one GPU.
        *("--checkpoints", str(folder / "checkpoints"), "--accelerator", "cpu"),
    ]


def command(folder: Path, dataset: Path, processes: int = 1, **training: object) -> list[str]:
    return [*torchrun(processes), "-m", "iphasenet.training.train", *options(folder, dataset, **training)]


def start_until_checkpoint(
    folder: Path, dataset: Path, epoch: int, processes: int = 1, **popen: Any
) -> subprocess.Popen[str]:
    """Start a training and come back as soon as it has finished an epoch."""
    process = subprocess.Popen(
        command(folder, dataset, processes), stderr=subprocess.STDOUT, start_new_session=True, text=True, **popen
    )
    deadline = time.monotonic() + 200
    while not any(
        torch.load(path, weights_only=True)["epoch"] >= epoch for path in folder.glob("checkpoints/*/last.ckpt")
    ):
        assert process.poll() is None and time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.01)
    return process


def workers(process: subprocess.Popen[str]) -> list[int]:
    """Training processes of a torchrun, which gives each a session of its own."""
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout
    return [int(pid) for pid in found.split()]


def kill_after_checkpoint(folder: Path, dataset: Path, epoch: int) -> None:
    process = start_until_checkpoint(folder, dataset, epoch, stdout=subprocess.DEVNULL)
    for pid in [*workers(process), process.pid]:
        os.kill(pid, signal.SIGKILL)
    process.wait()


def newest_checkpoint(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(next(folder.glob("checkpoints/*/last.ckpt")), weights_only=True)
    return found


def epochs_of(folder: Path) -> np.ndarray:
    """Losses and metrics of every epoch of a history, which has every step once."""
    history = pandas.read_csv(folder / "history.csv")
    assert history["step"].is_unique and history["step"].is_monotonic_increasing
    return history[["epoch", "train_loss", "validation_loss", "validation_pearson"]].dropna().to_numpy()


def assert_the_same_weights(one: Path, other: Path) -> None:
    """Averaged ones and those that are trained on, after the last step."""
    first, second = newest_checkpoint(one), newest_checkpoint(other)
    assert first["global_step"] == second["global_step"]
    for kind in ("state_dict", "current_model_state"):
        assert first[kind].keys() == second[kind].keys() and len(first[kind]) > 100
        assert all(torch.equal(weight, second[kind][name]) for name, weight in first[kind].items())


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_killed_training_goes_on_to_the_same_weights(tmp_path: Path, epoch: int) -> None:
    """SIGKILL after an epoch's checkpoint, then the same command: an uninterrupted run's weights, bit for bit.

    Weights of the last epoch, not of the best: those may come from before the kill.
    """
    dataset = make(tmp_path / "data")
    subprocess.run(command(tmp_path / "whole", dataset), check=True, capture_output=True, timeout=300)
    kill_after_checkpoint(tmp_path / "killed", dataset, epoch)
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    resumed = subprocess.run(command(tmp_path / "killed", dataset), check=True, capture_output=True, timeout=300)
    assert b"Restored all states" in resumed.stdout + resumed.stderr
    assert_the_same_weights(tmp_path / "whole", tmp_path / "killed")
    published = [load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "killed")]
    assert all(torch.equal(published[0][name], published[1][name]) for name in published[0])
    np.testing.assert_array_equal(epochs_of(tmp_path / "whole"), epochs_of(tmp_path / "killed"))
    assert list(epochs_of(tmp_path / "killed")[:, 0]) == [0, 1, 2]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def test_five_processes_and_two_nodes_have_the_gradients_and_scores_of_one_process(tmp_path: Path) -> None:
    """The first step's gradients, over gloo, of the same global batch, and the score after it: sums in another order.

    Neither the 24 crops of the only batch nor the 16 validation images can be shared evenly among five.
    """
    dataset, gradients = make(tmp_path / "data"), {}
    meeting = ["--nnodes=2", "--nproc-per-node=1", "--master-addr=127.0.0.1", f"--master-port={free_port()}"]
    node = [sys.executable, "-m", "torch.distributed.run", *meeting]
    launches = {
        "one": [torchrun(1)],
        "five": [torchrun(5)],
        "nodes": [[*node, "--node-rank=0"], [*node, "--node-rank=1"]],
    }
    for name, starts in launches.items():
        script = [str(Path(__file__).with_name("gradients.py")), str(tmp_path / f"{name}.pt")]
        arguments = json.dumps(options(tmp_path / name, dataset, epochs=1, batch_size=40))
        started = [subprocess.Popen([*start, *script, arguments], stdout=subprocess.DEVNULL) for start in starts]
        assert [process.wait(300) for process in started] == [0] * len(starts)
        gradients[name] = torch.load(tmp_path / f"{name}.pt", weights_only=True)
        np.testing.assert_allclose(epochs_of(tmp_path / name), epochs_of(tmp_path / "one"), rtol=1e-3)
    one = gradients.pop("one")
    largest = max(float(gradient.abs().max()) for gradient in one.values())
    for other in gradients.values():
        assert one.keys() == other.keys() and len(one) > 100
        assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-5 * largest


def test_slurms_warning_stops_all_processes_after_a_batch_and_puts_the_job_back(tmp_path: Path) -> None:
    """The signal reaches one of two processes: both stop at the same batch, from where they go on, bit for bit.

    Putting the job back takes a while: the other process must not end, and torchrun the first, before it is done.
    """
    dataset, folder = make(tmp_path / "data"), tmp_path / "run"
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\nsleep 2\necho "$@" >> {tmp_path}/called\n')
    scontrol.chmod(0o755)
    environment = {**os.environ, "PATH": f"{scontrol.parent}:{os.environ['PATH']}", "SLURM_JOB_ID": "17"}
    process = start_until_checkpoint(folder, dataset, 0, 2, stdout=subprocess.PIPE, env=environment)
    os.kill(workers(process)[1], signal.SIGUSR1)
    output, _ = process.communicate(timeout=100)
    assert process.returncode != 0 and "goes on from its newest checkpoint" in output
    assert (tmp_path / "called").read_text() == "requeue 17\n"
    assert not (folder / "weights.safetensors").exists()
    # Six batches an epoch, of three: the checkpoint is no longer that of the first epoch's end.
    assert 6 < newest_checkpoint(folder)["global_step"] <= 18
    for unfinished in (folder, tmp_path / "whole"):
        subprocess.run(command(unfinished, dataset, 2), check=True, capture_output=True, timeout=300)
        assert (unfinished / "weights.safetensors").exists()
    assert_the_same_weights(folder, tmp_path / "whole")
    # The loss of the stopped epoch is that of all its batches, on both processes.
    np.testing.assert_allclose(epochs_of(folder), epochs_of(tmp_path / "whole"), rtol=1e-6)


@pytest.mark.parametrize(("step", "stopped_after"), [(8, 9), (11, 13), (17, None)])
def test_a_signalled_training_goes_on_at_the_next_batch(tmp_path: Path, step: int, stopped_after: int | None) -> None:
    """Six batches an epoch; after an epoch's last one, validation and the next epoch's first come before the stop.

    Losses and metrics are those of a training that was not stopped, each step once.
    """
    dataset, folder = make(tmp_path / "data"), tmp_path / "run"
    arguments = [str(step), json.dumps(options(folder, dataset)), str(signal.SIGTERM.value)]
    script = [str(Path(__file__).with_name("signalled.py")), *arguments]
    signalled = subprocess.run([*torchrun(), *script], capture_output=True, text=True, timeout=300)
    assert newest_checkpoint(folder)["global_step"] == (stopped_after or 18)
    assert (signalled.returncode == 0) == (stopped_after is None)
    for unfinished in (folder, tmp_path / "whole"):
        subprocess.run(command(unfinished, dataset), check=True, capture_output=True, timeout=300)
    assert_the_same_weights(folder, tmp_path / "whole")
    weights, histories = [], []
    for name in ("run", "whole"):
        weights.append(load_file(tmp_path / name / "weights.safetensors"))
        histories.append(epochs_of(tmp_path / name))
    assert all(torch.equal(weight, weights[1][name]) for name, weight in weights[0].items())
    np.testing.assert_array_equal(*histories)


def test_a_loss_that_is_no_number_ends_all_processes_with_the_samples(tmp_path: Path) -> None:
    script = [str(Path(__file__).with_name("overflowing.py")), json.dumps(options(tmp_path, make(tmp_path / "data")))]
    result = subprocess.run([*torchrun(2), *script], capture_output=True, text=True, timeout=100)
    lines = [line for line in result.stderr.splitlines() if line.startswith("training: found a loss of")]
    assert result.returncode == 1 and lines
    assert re.match(r"training: found a loss of (nan|inf) in epoch 0, batch of (GaN|MoS2)-.*, (GaN|MoS2)-", lines[0])
    assert "allowed: finite numbers" in lines[0] and not list(tmp_path.glob("checkpoints/*/*.ckpt"))


@pytest.mark.parametrize("change", [{"model": {"feature_size": 24}}, {"training": {"epochs": 9}}])
def test_a_foreign_checkpoint_is_one_line_that_names_the_keys(
    tmp_path: Path, change: dict[str, dict[str, int]]
) -> None:
    """Also where the weights would not even fit, and where the file is none."""
    dataset = make(tmp_path / "data")
    subprocess.run(command(tmp_path, dataset, epochs=1), check=True, capture_output=True, timeout=300)
    last = next(tmp_path.glob("checkpoints/*/last.ckpt"))
    settings = {part: {**values, **change.get(part, {})} for part, values in SETTINGS.items()}
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    key = next(f"{part}.{name}" for part, values in change.items() for name in values)
    for file, expected in ((last, key), (tmp_path / "text.ckpt", "found no checkpoint"), (tmp_path / "no", "no such")):
        other = command(tmp_path / "other", dataset)
        other[other.index("--settings") + 1] = json.dumps(settings)
        result = subprocess.run([*other, "--resume", str(file)], capture_output=True, text=True, timeout=300)
        lines = [line for line in result.stderr.splitlines() if expected in line.lower()]
        assert result.returncode != 0 and lines and "allowed: one" in lines[0]


def test_averaged_weights_keep_the_attentions_indices(tmp_path: Path) -> None:
    """Integers, of which an average in floating point is something else: with a decay of 0.9, 64 of 225."""
    subprocess.run(command(tmp_path, make(tmp_path / "data")), check=True, capture_output=True, timeout=300)
    kept, fresh = load_file(tmp_path / "weights.safetensors"), PotentialNetwork(ModelSettings(**SETTINGS["model"]))
    indices = {name: value for name, value in fresh.named_buffers() if not value.is_floating_point()}
    assert indices and all(torch.equal(kept[name], value) for name, value in indices.items())


def test_a_checkpoint_of_another_run_is_refused_and_the_keys_are_named() -> None:
    described = {"data": "0a", "training": {"epochs": 3, "loss": {"l1": 1.0}}, "materials": ["GaN"]}
    Provenance(described).load_state_dict(Provenance(described).state_dict())
    other = {**described, "training": {"epochs": 4, "loss": {"l1": 1.0}}}
    with pytest.raises(InputError, match=r"training\.epochs \(3, now 4\)") as caught:
        Provenance(other).load_state_dict(described)
    assert "l1" not in str(caught.value) and "materials" not in str(caught.value)


class Strategy:
    """One of several processes, of which another may have decided."""

    def __init__(self, device: str, other: bool) -> None:
        self.root_device, self.other = torch.device(device), other

    def reduce_boolean_decision(self, decision: bool, all: bool) -> bool:
        assert not all
        return decision or self.other


def losses_of(values: list[float], device: str = "cpu", other: bool = False, last: bool = False) -> None:
    """Training steps with these losses, sample 0 in the first batch, 1 in the second."""
    strategy, callback = Strategy(device, other), FiniteLosses("abcdef")
    for index, value in enumerate(values):
        trainer: Any = SimpleNamespace(strategy=strategy, current_epoch=4, is_last_batch=last)
        batch = (torch.empty(0), torch.empty(0), torch.empty(0), torch.tensor([index, index + 1]))
        callback.on_train_batch_end(trainer, None, {"loss": torch.tensor(value)}, batch, index)


def test_a_loss_that_is_no_number_names_the_samples() -> None:
    losses_of([1.0, 2.0])
    for device, last in (("cpu", False), ("cuda", True)):
        with pytest.raises(InputError, match=r"nan in epoch 4, batch of b, c"):
            losses_of([1.0, float("nan"), 1.0][: 2 if last else 3], device, last=last)


def test_gpus_are_not_waited_for_after_every_step() -> None:
    """A loss is looked at in the sixteenth, then all of them."""
    losses_of([float("inf")] * 5, "cuda")
    with pytest.raises(InputError, match=r"inf in epoch 4, batch of a, b"):
        losses_of([float("inf")] + [1.0] * 15, "cuda")


def test_processes_end_together() -> None:
    """This one's losses are finite, another's are not."""
    with pytest.raises(InputError, match="another process"):
        losses_of([1.0], other=True)


def test_trained_ranges_are_those_of_the_data() -> None:
    data = material()
    coordinates = {**data.coordinates, "thickness_nm": np.array([20.0, 80, 150]), "beta": np.array([0.0, 0.3, -0.4])}
    optics = {"energy_kev": 200, "aberrations": {"C10": 5}}
    data = replace(data, coordinates={**coordinates, "alpha": np.array([0.1, 0.0, 0.3])})
    configuration = {"optics": optics, "simulation": {"temperature_k": 293}}
    ranges = trained_ranges([data], NOISE, {"configuration": configuration})
    assert ranges["temperature_k"] == [293, 293]
    assert trained_ranges([data], NOISE, {"configuration": {"simulation": {}}})["temperature_k"] == [0, 0]
    assert ranges["thickness_nm"] == [20, 150] and ranges["energy_kev"] == [200, 200] and "aberrations" not in ranges
    assert ranges["tilt_deg"] == pytest.approx([0.1, 0.5], rel=1e-4)


def test_segment_sums_are_means_over_the_samples_of_a_thickness() -> None:
    """Of all materials together, whichever has a thickness."""
    first = material()
    images = np.ones_like(first.segments) * np.array([0.1, 0.2, 0.15], np.float32)[:, None, None, None]
    first = replace(first, segments=images, coordinates={**first.coordinates, "thickness_nm": np.array([20.0, 40, 20])})
    second = replace(first, coordinates={**first.coordinates, "thickness_nm": np.array([60.0, 40, 40])})
    found = segment_sums([first, second])
    assert found["thickness_nm"] == [20, 40, 60]
    assert found["mean"] == pytest.approx([0.5, (0.8 + 0.8 + 0.6) / 3, 0.4], abs=1e-6)
    assert found["deviation"] == pytest.approx([0.1, np.std([0.8, 0.8, 0.6]), 0], abs=1e-6)


def test_pictures_of_every_material_replace_each_other(tmp_path: Path) -> None:
    """Drawn in the first epoch and the last; a run of three epochs is too short for a second every five."""
    subprocess.run(command(tmp_path, make(tmp_path / "data")), check=True, capture_output=True, timeout=300)
    pictures = sorted(next(tmp_path.glob("checkpoints/*/pictures")).iterdir())
    assert [path.name for path in pictures] == ["GaN.png", "MoS2.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    assert len(list(tmp_path.glob("checkpoints/*/tensorboard/events*"))) == 1


def test_training_stops_where_validation_no_longer_improves(tmp_path: Path) -> None:
    """A network that hardly moves, in a GPU's mixed precision: the second epoch is no better, a third is not begun."""
    dataset = make(tmp_path / "data")
    still = {"learning_rate": 1e-12, "ema_decay": 0, "precision": "bf16-mixed"}
    patient = command(tmp_path, dataset, patience=1, epochs=6, **still)
    subprocess.run(patient, check=True, capture_output=True, timeout=300)
    history = pandas.read_csv(tmp_path / "history.csv")
    assert set(history["epoch"].dropna()) == {0, 1}
