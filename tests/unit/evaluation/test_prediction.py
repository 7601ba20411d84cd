"""Predictions belong to their images, whatever the number of doses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from iphasenet.base.errors import InputError
from iphasenet.evaluation.prediction import predict, predict_altered
from iphasenet.evaluation.predictions import open_predictions, write_predictions
from iphasenet.microscope.acquisition import Acquisition
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.settings import ModelSettings
from tests.unit.evaluation.test_alterations import named

SETTINGS = ModelSettings(feature_size=12)


class Echo(PotentialNetwork):
    """Answers with the first segment plus the rotation: what it was asked shows in what it says."""

    def image_columns(self, segments: torch.Tensor, metadata: torch.Tensor) -> torch.Tensor:
        return segments[:, :1] + metadata[:, 3, None, None, None]


def test_predictions_pair_images_and_metadata() -> None:
    data = named(samples=5)
    noisy = data.noisy_segments
    noisy[:, 1] += 1
    predicted, spread = predict(Echo(SETTINGS), data)
    assert spread is None
    thickness, gamma = (data.coordinates[name][:, None, None, None] for name in ("thickness_nm", "gamma"))
    np.testing.assert_allclose(predicted, 10 * thickness * (noisy[:, :, 0] + gamma), rtol=1e-5)


def test_a_prediction_that_is_not_a_number_is_refused() -> None:
    data = named()
    data.noisy_segments[1, 0, 0, 3, 3] = np.nan
    with pytest.raises(InputError, match="NaN"):
        predict(Echo(SETTINGS), data)


def test_altered_inputs_are_scored_against_their_own_truth() -> None:
    """The echo follows gamma alone: shuffled, it is wrong, and shuffled thickness scales it."""
    data = named(samples=6)
    data.noisy_segments[:] = data.segments[:, None]
    data.coordinates["thickness_nm"] += 10
    gamma = data.coordinates["gamma"][:, None, None].astype(np.float32)
    thickness = 10 * data.coordinates["thickness_nm"][:, None, None].astype(np.float32)
    truth = thickness * (data.segments[:, 0] + gamma)
    table = predict_altered(Echo(SETTINGS), replace(data, potential=truth), Acquisition())
    error = table.groupby(["kind", "altered"])["mae"].mean()
    assert error["metadata", "nothing"] == pytest.approx(0, abs=1e-2)
    assert min(error["metadata", name] for name in ("thickness", "gamma", "all")) > 10
    assert error["metadata", "tilt"] == pytest.approx(error["metadata", "nothing"])
    assert set(table["material"]) == {"GaN"} and len(table) == 6 * len(error)


def test_predictions_of_other_data_are_refused(tmp_path: Path) -> None:
    data, path = named(), tmp_path / "p.zarr"
    with pytest.raises(InputError, match=r"no Zarr v3 store; allowed: .*predictions"):
        open_predictions(path, data)
    images = np.repeat(data.potential[:, None], 2, axis=1)
    write_predictions(path, data, images, 0.1 * images, {"left_out": {}, "held_out": []})
    np.testing.assert_array_equal(open_predictions(path, data)[0]["model_spread"][:], 0.1 * images)
    with pytest.raises(InputError, match="doses"):
        open_predictions(path, replace(data, doses=np.array([1e4, 1e5])))
    reversed_ids = {**data.coordinates, "sample_id": data.coordinates["sample_id"][::-1]}
    _, rows = open_predictions(path, replace(data, coordinates=reversed_ids))
    np.testing.assert_array_equal(rows, np.arange(len(images))[::-1])
    other = {**data.coordinates, "sample_id": np.array(["other", *data.coordinates["sample_id"][1:]])}
    with pytest.raises(InputError, match="sample_id: found no prediction of other"):
        open_predictions(path, replace(data, coordinates=other))
