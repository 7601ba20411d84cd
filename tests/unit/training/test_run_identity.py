"""The name under which a training's checkpoints are kept: that of all that it reads."""

import copy
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iphasenet.base.stage_versions import STAGE_VERSIONS
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.dataset.material_data import MaterialData
from iphasenet.dataset.reader import read_split
from iphasenet.microscope.acquisition import Acquisition, TrainingNoise
from iphasenet.multislice.periodic_images import PeriodicImages
from iphasenet.network.potential_network import ModelSettings
from iphasenet.simulation.grid import Grid, samples
from iphasenet.training.rendered_frames import SimulatedMaterial
from iphasenet.training.settings import TrainingSettings
from iphasenet.training.trained_on import TrainingInputs, describe_run, run_identity
from tests.unit.dataset.test_reader import make

TRAINING = {
    **{"seed": 3, "epochs": 3, "crops_per_sample": 1, "crop_pixels": 64, "batch_size": 4, "learning_rate": 1e-3},
    "loss": {"l1": 1.0, "l2": 0.5, "gradient_l1": 0.1, "spectral_l1": 0.1, "spread": 0.1},
    **{"weight_decay": 0.0, "relative_loss": True, "output_scale_v": 20, "augmentation": "symmetry"},
    **{"ema_decay": 0.9, "patience": 0, "source": "rendered", "precision": "32-true"},
}
"""The settings of a training."""


def material(samples: int) -> MaterialData:
    segments = np.random.default_rng(samples).random((samples, 4, 8, 8), np.float32)
    names = ("thickness_nm", "alpha", "beta", "gamma")
    coordinates = {name: np.arange(samples) + 10.0 * i for i, name in enumerate(names)}
    return MaterialData("GaN", segments, segments[:, 0], segments[:, None], np.array([1e4]), 0.2, coordinates)


def simulated() -> SimulatedMaterial:
    """Two tilts whose images are noise: only their numbers count here."""
    rng = np.random.default_rng(1)
    grid = Grid((2.0, 4.0), tilts=4, tilt_std_deg=0.3, rotations=1, validation_share=0.2, test_share=0.2)
    planned = [sample for sample in samples(1, "GaN", grid) if sample.orientation.split == "train"]

    def images() -> PeriodicImages:
        return PeriodicImages((4.0, 5.0), np.array([20.0, 40.0]), np.array([12.0]), rng.random((2, 1, 4, 3, 3)) + 0j)

    potential = CrystalPotential((4.0, 5.0, 3.0), rng.random((2, 3)), np.array([0, 1]), rng.random((2, 3, 3)))
    tilts = {sample.orientation.index for sample in planned}
    return SimulatedMaterial("GaN", planned, {tilt: images() for tilt in sorted(tilts)}, potential, 0.3)


def inputs() -> TrainingInputs:
    noise, model, training = TrainingNoise((1e4, 1e6), Acquisition()), ModelSettings(12), TrainingSettings(**TRAINING)
    return TrainingInputs({"train": [material(3)], "validation": [material(2)]}, [simulated()], noise, model, training)


def parts(value: Any, path: str = "") -> Iterator[str]:
    """Paths of all single numbers, texts and arrays that a value is compared by."""
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value) if field.compare}
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from parts(child, f"{path}/{key}")
    elif value not in ({}, None) if not isinstance(value, np.ndarray) else value.size:
        yield path


def changed(value: Any, path: str) -> Any:
    """A copy with one part changed, whatever it is; no dataclass is asked whether it may be so."""
    if not path:
        if isinstance(value, np.ndarray):
            other = value.copy()
            other.flat[-1] = other.flat[-1] + 1
            return other
        return f"{value}x" if isinstance(value, str) else not value if isinstance(value, bool) else value + 1
    key, _, rest = path.removeprefix("/").partition("/")
    rest = rest and f"/{rest}"
    if is_dataclass(value):
        other = copy.copy(value)
        object.__setattr__(other, key, changed(getattr(value, key), rest))
        return other
    if isinstance(value, list | tuple):
        return type(value)(changed(one, rest) if number == int(key) else one for number, one in enumerate(value))
    return {name: changed(one, rest) if str(name) == key else one for name, one in value.items()}


def test_a_run_is_all_that_its_training_reads() -> None:
    """Whatever is changed of it is another run: no checkpoint of the first is looked for."""
    read = inputs()
    names = {path: run_identity(describe_run(changed(read, path))) for path in parts(read)}
    assert {path.split("/")[1] for path in names} == {field.name for field in fields(TrainingInputs)}
    arrays = ["potential/form_factors", "planned/0/orientation/rotations_deg/0", "slice_thickness"]
    tilt = next(iter(read.simulations[0].images))
    arrays += [f"images/{tilt}/coefficients", f"images/{tilt}/rotations"]
    assert {f"/simulations/0/{name}" for name in arrays} <= names.keys()
    # What is only written beside the weights makes no other training.
    (named,) = (replace(one, structure="0123") for one in read.data["validation"])
    same = run_identity(describe_run(replace(read, data={**read.data, "validation": [named]})))
    assert same == run_identity(describe_run(inputs()))
    assert len({same, *names.values()}) == 1 + len(names)


def test_another_stage_is_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    before = run_identity(describe_run(inputs()))
    monkeypatch.setitem(STAGE_VERSIONS, "model", 99)
    assert run_identity(describe_run(inputs())) != before


def test_a_streamed_training_is_the_same_run(tmp_path: Path) -> None:
    """Images that are read when they are needed count as those in memory."""
    dataset = make(tmp_path)
    found = []
    for stream in (False, True):
        data = {split: list(read_split(dataset, split, stream=stream)) for split in ("train", "validation")}
        found.append(describe_run(replace(inputs(), data=data)))
    assert found[0] == found[1]
