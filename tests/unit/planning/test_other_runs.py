"""What a run takes from others: there, whole, and made as this run says."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from iphasenet.base.errors import InputError
from iphasenet.microscope_files.folder import check_weights
from iphasenet.planning.configuration_form import one_form
from iphasenet.planning.other_runs import check_other_runs, recorded_configuration, trained_settings
from tests.unit.planning.test_configuration import ROOT

SHIPPED = one_form(yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8")))
MATERIALS = ["GaN", "MoS2"]


def config(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(SHIPPED), "run": "mine", **changes}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Results of a run `tiny` that ended, as far as names go, and of one that has a data set alone."""
    made = ["evaluation/baselines.npz", "evaluation/summary.json", "evaluation/samples.parquet"]
    for name in MATERIALS:
        made += [f"potential/{name}.npz", f"materials/{name}.zarr/zarr.json"]
        made += [f"images/{name}/batch{number}.npz" for number in (0, 1)]
    for file in made:
        (tmp_path / "tiny" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tiny" / file).touch()
    recorded = recorded_configuration(config(run="tiny"), MATERIALS)
    # As an earlier version wrote it.
    recorded["grid"] = {**recorded["grid"], "thickness_nm": [float(t) for t in recorded["grid"]["thickness_nm"]]}
    for run in ("tiny", "young"):
        store = tmp_path / run / "dataset.zarr"
        store.mkdir(parents=True)
        (store / "zarr.json").write_text(json.dumps({"attributes": {"configuration": recorded}}))
    (tmp_path / "tiny" / "model").mkdir()
    training = {**SHIPPED["training"], "epochs": 7, "learning_rate": 1e-3}
    described = {"model": {**SHIPPED["model"], "feature_size": 12, "angles": ["alpha"]}, "training": training}
    described["noise"] = {"dose": [1e4, 1e6], "acquisition": {}}
    weights = tmp_path / "tiny" / "model" / "weights.safetensors"
    save_file({"w": np.zeros(1)}, weights, metadata={"description": json.dumps(described)})
    return tmp_path


def check(results: Path, **changes: Any) -> None:
    check_other_runs(config(**changes), MATERIALS, lambda _: (0, 1), results)


def test_runs_that_are_there_are_accepted(results: Path) -> None:
    check(results)
    check(results, compare=["mine", "tiny"])
    for key in ("dataset", "trained"):
        check(results, **{key: "tiny"})
    check(results, dataset="tiny", training={**SHIPPED["training"], "source": "rendered"})


@pytest.mark.parametrize("key", ["dataset", "trained", "compare"])
def test_a_run_that_is_not_there_is_one_line_with_those_that_are(key: str, results: Path) -> None:
    named: Any = ["tiny", "tinny"] if key == "compare" else "tinny"
    there = "tiny, young" if key == "dataset" else "tiny$"
    with pytest.raises(InputError, match=rf"^configuration: {key}: found 'tinny', a run without .*{there}"):
        check(results, **{key: named})


@pytest.mark.parametrize(
    ("key", "lost", "hint"),
    [
        ("trained", "evaluation/baselines.npz", "a run that ended$"),
        ("compare", "evaluation/samples.parquet", "a run that ended$"),
        ("dataset", "potential/MoS2.npz", "a run that ended$"),
        ("dataset", "images/MoS2/batch1.npz", "jobs.tilts_per_job$"),
    ],
)
def test_what_another_run_lacks_is_named(key: str, lost: str, hint: str, results: Path) -> None:
    (results / "tiny" / lost).unlink()
    named: Any = ["tiny"] if key == "compare" else "tiny"
    training = {**SHIPPED["training"], "source": "rendered"}
    with pytest.raises(InputError, match=rf"{key}: found 'tiny', which lacks {lost} \(1 missing\).*{hint}"):
        check(results, **{key: named}, training=training)


@pytest.mark.parametrize(
    ("section", "key", "value", "found"),
    [
        ("optics", "semiangle_mrad", 25, "optics.semiangle_mrad: found 25,.*'tiny'.*value of that run, 20$"),
        ("optics", "aberrations", {"C30": 1e4}, r"optics.aberrations.C30: found 10000\.0,.*value of that run, none$"),
        ("grid", "thickness_nm", [10, 20], r"grid.thickness_nm: found \[10, 20\],.*\[20, 40"),
        ("image", "pixels", 96, "image.pixels: found 96"),
        ("noise", "evaluation_doses", [1000], "noise.evaluation_doses"),
    ],
)
def test_settings_that_another_runs_data_set_contradicts_are_refused(
    section: str, key: str, value: Any, found: str, results: Path
) -> None:
    with pytest.raises(InputError, match=f"^configuration: {found}"):
        check(results, dataset="tiny", **{section: {**SHIPPED[section], key: value}})
    # A run of its own may have them, with another run's network, which knows images of one size.
    if section != "image":
        check(results, trained="tiny", **{section: {**SHIPPED[section], key: value}})


@pytest.mark.parametrize(("key", "value"), [("pixels", 96), ("sampling_angstrom", 0.15)])
def test_images_that_another_runs_network_does_not_take_are_refused(key: str, value: float, results: Path) -> None:
    line = rf"^configuration: image\.{key}: found {value}, which contradicts .*'tiny' \(trained\); allowed: as they"
    with pytest.raises(InputError, match=line):
        check(results, trained="tiny", image={**SHIPPED["image"], key: value})


def test_another_selection_than_the_data_sets_is_refused(results: Path) -> None:
    """The training reads all of it."""
    with pytest.raises(InputError, match=r"select: found GaN; allowed: all crystals .*'tiny' \(dataset\), GaN, MoS2"):
        check_other_runs(config(dataset="tiny"), ["GaN"], lambda _: (0, 1), results)


def test_the_settings_of_another_runs_network_are_its_own(results: Path) -> None:
    found = trained_settings(config(trained="tiny"), results)
    assert found["training"]["epochs"] == 7 and found["training"]["learning_rate"] == 1e-3
    assert found["model"] == {**SHIPPED["model"], "feature_size": 12}
    assert found["noise"] == {**SHIPPED["noise"], "training_dose": [10_000, 1_000_000]}
    assert trained_settings(config(), results) == {}
    assert trained_settings(config(trained="young"), results) == {}


def test_weights_that_are_not_there_are_one_line(tmp_path: Path) -> None:
    check_weights({})
    key = r"configuration: reconstruction\.weights: found"
    with pytest.raises(InputError, match=rf"{key} .*labtop\.safetensors', which does not exist; allowed: a file"):
        check_weights({"weights": str(tmp_path / "labtop.safetensors")})
    (tmp_path / "model.safetensors").touch()
    check_weights({"weights": str(tmp_path / "model.safetensors")})
    with pytest.raises(InputError, match=rf"{key} .*, a folder; allowed: .*model\.safetensors, which is in it"):
        check_weights({"weights": str(tmp_path)})


def test_networks_for_any_crystal_share_simulations(results: Path) -> None:
    """By the plan of a run, which has no data set; another network may have other pixels, but not another grid."""
    plan = results / "tiny/columns/plan.json"
    plan.parent.mkdir()
    plan.write_text(json.dumps({"configuration": recorded_configuration(config(run="tiny"), ())}))
    columns: dict[str, Any] = {"dataset": "tiny", "column_network": {}}
    check(results, **columns)
    check(results, **columns, image={"pixels": 64, "sampling_angstrom": 0.3})
    with pytest.raises(InputError, match=r"grid\.tilts: found 50, which contradicts the data set of 'tiny'"):
        check(results, **columns, grid={**SHIPPED["grid"], "tilts": 50})
    with pytest.raises(InputError, match=r"found 'young', a run without .*columns/plan\.json; allowed: .* tiny"):
        check(results, dataset="young", column_network={})
    (results / "tiny/images/MoS2/batch1.npz").unlink()
    with pytest.raises(InputError, match=r"which lacks images/MoS2/batch1\.npz"):
        check(results, **columns)
