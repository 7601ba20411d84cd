"""Crops, and a training process that is killed and started again."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from safetensors.torch import load_file

from iphasenet.crops import EpochSampler, NoisyImages, TrainingCrops
from iphasenet.dataset import MaterialData
from iphasenet.errors import InputError
from iphasenet.model import ModelSettings
from iphasenet.noise import Acquisition, TrainingNoise
from iphasenet.stage import STAGE_VERSIONS
from iphasenet.train import describe_run, run_identity
from iphasenet.training import learning_rate_factor
from iphasenet.training_settings import TERMS, TrainingSettings
from tests.unit.test_dataset import make

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


def crops() -> TrainingCrops:
    return TrainingCrops([material()], NOISE, crop_pixels=64, crops_per_sample=2, seed=1)


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


def test_every_sample_comes_as_often_as_asked() -> None:
    data = crops()
    for epoch in (0, 5):
        items = epoch_of(EpochSampler(len(data), batch_size=3, seed=1), epoch)
        assert sorted(float(data[item][1][0]) for item in items) == [0, 0, 1, 1, 2, 2]


def test_a_global_batch_is_the_same_on_any_number_of_processes() -> None:
    alone = epoch_of(EpochSampler(21, batch_size=6, seed=1), 2)
    shares = [epoch_of(EpochSampler(21, 6, 1, process, 3), 2) for process in range(3)]
    for batch in range(3):
        together = [item for share in shares for item in share[2 * batch : 2 * batch + 2]]
        assert sorted(together) == sorted(alone[6 * batch : 6 * batch + 6])
    assert len(set(alone)) == 18 and {item // 21 for item in alone} == {2}
    assert alone != epoch_of(EpochSampler(21, batch_size=6, seed=1), 3)


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
        ({"loss": dict.fromkeys(TERMS, 0)}, "loss"),
    ],
)
def test_bad_settings_are_named(change: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        replace(TrainingSettings(**SETTINGS["training"]), **change)


def identity(data: MaterialData, **change: object) -> str:
    settings = replace(TrainingSettings(**SETTINGS["training"]), **change)
    return run_identity(describe_run([data], NOISE, ModelSettings(**SETTINGS["model"]), settings))


def test_only_the_same_run_is_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything that changes the weights changes the name under which checkpoints are looked for."""
    data = material()
    turned = {**data.coordinates, "gamma": data.coordinates["gamma"] + 1}
    names = [
        identity(data),
        identity(replace(data, material="MoS2")),
        identity(replace(data, coordinates=turned)),
        identity(replace(data, noisy_segments=data.noisy_segments + 0.1)),
        identity(data, epochs=4),
    ]
    monkeypatch.setitem(STAGE_VERSIONS, "model", 99)
    names.append(identity(data))
    assert len(set(names)) == len(names)
    monkeypatch.undo()
    assert identity(material()) == names[0]


@pytest.mark.parametrize("steps", [2, 19, 20, 21, 400])
def test_learning_rate_rises_and_falls(steps: int) -> None:
    factors = [learning_rate_factor(step, steps) for step in range(steps + 1)]
    assert max(factors) == pytest.approx(1)
    assert factors[-1] == pytest.approx(0, abs=1e-12)
    peak = factors.index(max(factors))
    assert peak <= max(1, steps / 20)
    assert sorted(factors[: peak + 1]) == factors[: peak + 1]
    assert sorted(factors[peak:], reverse=True) == factors[peak:]


def command(folder: Path, dataset: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1"),
        *("-m", "iphasenet.train", "--dataset", str(dataset), "--settings", json.dumps(SETTINGS)),
        *("--weights", str(folder / "weights.safetensors"), "--history", str(folder / "history.csv")),
        *("--checkpoints", str(folder / "checkpoints")),
    ]


def kill_after_checkpoint(folder: Path, dataset: Path, epoch: int) -> None:
    """Start a training and kill all of its processes as soon as it has finished an epoch."""
    process = subprocess.Popen(
        command(folder, dataset),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 200
    while not any(
        torch.load(path, weights_only=True)["epoch"] >= epoch for path in folder.glob("checkpoints/*/last.ckpt")
    ):
        assert process.poll() is None and time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.01)
    # torchrun gives each worker a session of its own.
    workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout
    for pid in [*map(int, workers.split()), process.pid]:
        os.kill(pid, signal.SIGKILL)
    process.wait()


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
    whole, killed = (
        torch.load(next((tmp_path / name).glob("checkpoints/*/last.ckpt")), weights_only=True)["state_dict"]
        for name in ("whole", "killed")
    )
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    published = [load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "killed")]
    assert all(torch.equal(published[0][name], published[1][name]) for name in published[0])
    history = pandas.read_csv(tmp_path / "killed" / "history.csv")
    assert set(history["epoch"].dropna()) == {0, 1, 2}
