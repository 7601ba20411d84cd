"""Predictions belong to their images, whatever the number of doses."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
import zarr

from iphasenet.ablation import FIELDS, Coverage, shuffled, summarise_ablation
from iphasenet.dataset import read_split
from iphasenet.errors import InputError
from iphasenet.evaluate import ablate, baseline_scale, evaluate, predict, predict_idpc, summarise
from iphasenet.metrics import METRICS
from iphasenet.model import ModelSettings, PotentialNetwork
from iphasenet.weights import save_weights
from tests.unit.test_dataset import make
from tests.unit.test_training import material

SETTINGS = ModelSettings(feature_size=12)


class Echo(PotentialNetwork):
    """Answers with the first segment plus the rotation: what it was asked shows in what it says."""

    def forward(self, segments: torch.Tensor, metadata: torch.Tensor) -> tuple[torch.Tensor, None]:
        return segments[:, 0] + metadata[:, 3, None, None], None


def test_predictions_pair_images_and_metadata() -> None:
    data = material(samples=5)
    noisy = data.noisy_segments
    noisy[:, 1] += 1
    predicted, spread = predict(Echo(SETTINGS), data, batch_size=3)
    assert spread is None
    thickness, gamma = (data.coordinates[name][:, None, None, None] for name in ("thickness_nm", "gamma"))
    np.testing.assert_allclose(predicted, 10 * thickness * (noisy[:, :, 0] + gamma), rtol=1e-5)


def test_a_prediction_that_is_not_a_number_is_refused() -> None:
    data = material()
    data.noisy_segments[1, 0, 0, 3, 3] = np.nan
    with pytest.raises(InputError, match="GaN"):
        predict(Echo(SETTINGS), data)


def test_the_baseline_has_the_fitted_mean_and_scale() -> None:
    data = material()
    data.coordinates["thickness_nm"] += 10
    thickness = 10 * data.coordinates["thickness_nm"]
    images = predict_idpc(data, (0.0, 12.0))
    np.testing.assert_allclose(images, np.broadcast_to(12 * thickness[:, None, None, None], images.shape), rtol=1e-6)
    bright = predict_idpc(data, (5.0, 12.0)) - images
    np.testing.assert_allclose(predict_idpc(data, (10.0, 12.0)) - images, 2 * bright, atol=1e-2)
    scale, mean = baseline_scale([data])
    assert mean == pytest.approx(float(data.potential.mean() / thickness.mean()), rel=0.2)
    assert np.isfinite(scale)


def test_evaluation_of_a_store(tmp_path: Path) -> None:
    """Two doses, two materials: a row for each image and method, and a summary that is their mean."""
    dataset, weights = make(tmp_path), tmp_path / "w.safetensors"
    torch.manual_seed(0)
    save_weights(weights, PotentialNetwork(replace(SETTINGS, uncertainty=True)), {})
    outputs = (tmp_path / "p.zarr", tmp_path / "t.csv", tmp_path / "s.json")
    evaluate(dataset, weights, *outputs, device="cpu")
    table = pandas.read_csv(outputs[1])
    test = {data.material: list(data.coordinates["sample_id"]) for data in read_split(dataset, "test")}
    assert len(table) == sum(len(ids) for ids in test.values()) * 2 * 2
    root = zarr.open_group(outputs[0], mode="r")
    for name, ids in test.items():
        assert list(root[name]["sample_id"][:]) == ids
        assert root[name]["model"].shape == (len(ids), 2, 64, 64)
    summary = json.loads(outputs[2].read_text())
    means = json.loads(json.dumps(summarise(table)))
    assert {name: summary[name] for name in means} == means and summary["doses"] == [1e4, 1e6]
    # All samples of this set have one tilt.
    assert list(summary["shuffled_metadata"]) == ["nothing", "thickness", "gamma", "all"]
    nearest = table[(table["method"] == "model") & (table["dose"] == 1e4)]
    assert summary["shuffled_metadata"]["nothing"]["mae"] == pytest.approx(nearest["mae"].mean())
    assert 0 <= summary["uncertainty"]["90%"] <= 1
    means = table[table["method"] == "idpc"][list(METRICS)].mean()
    assert summary["idpc"]["mae"] == pytest.approx(means["mae"])


@pytest.mark.parametrize("field", list(FIELDS))
def test_shuffling_moves_every_row_of_its_field_and_nothing_else(field: str) -> None:
    metadata = np.arange(28, dtype=np.float32).reshape(7, 4)
    other = shuffled(metadata, field, "GaN")
    moved = list(FIELDS[field])
    assert (other[:, moved] != metadata[:, moved]).all()
    assert sorted(map(tuple, other[:, moved])) == sorted(map(tuple, metadata[:, moved]))
    kept = [column for column in range(4) if column not in moved]
    np.testing.assert_array_equal(other[:, kept], metadata[:, kept])


@pytest.mark.parametrize(("factor", "sign"), [(1.0, 0), (0.5, -1), (2.0, 1)])
def test_coverage_tells_a_right_spread_from_a_narrow_and_a_wide_one(factor: float, sign: int) -> None:
    rng = np.random.default_rng(0)
    spread = rng.uniform(1, 50, (4, 200, 200)).astype(np.float32)
    truth = rng.laplace(0, spread).astype(np.float32)
    coverage = Coverage()
    for index in range(4):
        coverage.add(np.zeros_like(truth[index]), factor * spread[index], truth[index])
    found = coverage.summary()
    assert found.pop("spread_over_error") == pytest.approx(factor, rel=0.02)
    for level, share in found.items():
        difference = share - float(level.rstrip("%")) / 100
        assert abs(difference) < 0.005 if sign == 0 else sign * difference > 0.005


def test_a_field_that_cannot_be_mistaken_is_not_in_the_summary() -> None:
    """One thickness: shuffled, it is what it was, and would seem not to be used."""
    data = material(samples=4)
    data.coordinates["thickness_nm"] = np.full(4, 40.0)
    table = ablate(Echo(SETTINGS), data)
    assert list(summarise_ablation(table)) == ["nothing", "tilt", "gamma", "all"]
