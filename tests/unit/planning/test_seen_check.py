"""A test of another run's network on nothing but what it has seen is refused before anything is simulated."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from iphasenet.base.errors import InputError
from iphasenet.crystal.identity import structure_hash
from iphasenet.crystal.structure import crystal_cell
from iphasenet.dataset.material_data import MaterialData
from iphasenet.planning.seen_check import check_unseen
from iphasenet.simulation.grid import Grid, samples
from iphasenet.training.seen import describe_seen, planned_coordinates
from tests.unit.planning.test_configuration import ROOT, SHIPPED

GRID = Grid(**SHIPPED["grid"])


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(ROOT)
    return {**copy.deepcopy(SHIPPED), "trained": "other"}


def trained_on(config: dict[str, Any], results: Path, called: str, split: str) -> Path:
    """Weights that have seen a split of GaN's tilts, under some name."""
    planned = [one for one in samples(config["seed"], "GaN", GRID) if one.orientation.split == split]
    none, structure = np.zeros((0, 4, 1, 1), np.float32), structure_hash(crystal_cell(config["materials"]["GaN"]))
    known = dict(planned_coordinates(planned))
    data = MaterialData(called, none, none[:, 0], none[:, None], np.array([1e5]), 0.2, known, structure)
    described = {"model": {}, "training": {}, "noise": {"dose": [1e4, 1e6]}, "seen": describe_seen([data], [])}
    path = results / "other" / "model" / "weights.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"w": np.zeros(1)}, path, metadata={"description": json.dumps(described)})
    return results


@pytest.mark.parametrize("called", ["GaN", "GaN_001"])
def test_a_test_of_what_was_seen_alone_is_one_line(called: str, config: dict[str, Any], tmp_path: Path) -> None:
    results = trained_on(config, tmp_path, called, "test")
    with pytest.raises(InputError, match=r"^trained: other: test split: found [\d,]+ samples, all of which") as found:
        check_unseen(config, ["GaN"], results)
    assert "\n" not in str(found.value)
    check_unseen(config, ["GaN", "MoS2"], results)


def test_what_is_new_in_any_way_is_tested(config: dict[str, Any], tmp_path: Path) -> None:
    check_unseen(config, ["GaN"], trained_on(config, tmp_path, "GaN", "train"))
    results = trained_on(config, tmp_path, "GaN", "test")
    thicker = {**config, "grid": {**config["grid"], "thickness_nm": [*config["grid"]["thickness_nm"], 200]}}
    check_unseen(thicker, ["GaN"], results)
    # Another structure under the same name.
    config["materials"]["GaN"]["zone_axis"] = [1, 0, 0]
    check_unseen(config, ["GaN"], results)


def test_weights_that_do_not_say_are_no_reason(config: dict[str, Any], tmp_path: Path) -> None:
    check_unseen(config, ["GaN"], tmp_path)


def test_the_check_needs_no_torch() -> None:
    """Snakemake's own environment need not have it."""
    heavy = {"torch", "abtem", "zarr", "monai", "pandas"}
    code = f"import iphasenet.planning.seen_check, sys; print({heavy} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
