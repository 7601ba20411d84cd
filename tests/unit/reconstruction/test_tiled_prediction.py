"""Tiles of a large image against the image as a whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from iphasenet.base.errors import InputError
from iphasenet.evaluation.prediction import predict_images
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.settings import ModelSettings
from iphasenet.reconstruction import tiled_prediction
from iphasenet.reconstruction.tiled_prediction import Tiling, predict_large, project_large

SETTINGS = ModelSettings(feature_size=12, inputs="fraction", projection="columns", uncertainty=True)
METADATA = np.array([40.0, 0.3, -0.2, 20.0], np.float32)


def network(settings: ModelSettings = SETTINGS) -> PotentialNetwork:
    torch.manual_seed(0)
    made = PotentialNetwork(settings, sampling=0.2).eval()
    assert made.modulation is not None
    for head in made.modulation.heads:
        torch.nn.init.normal_(head.weight, std=0.1)
    return made


def image(rows: int, columns: int) -> np.ndarray:
    """Segments of a lattice of columns, and a slow change over the field."""
    y, x = np.arange(rows)[:, None] / 12, np.arange(columns) / 15
    lattice = np.cos(2 * np.pi * y) + np.cos(2 * np.pi * x)
    return np.stack([0.05 + 0.01 * k + 0.01 * lattice + 1e-4 * k * (x + y) for k in range(4)]).astype(np.float32)


class Pointwise(PotentialNetwork):
    """Needs no neighbours, but knows the description: tiles must agree to rounding, if they are told the same."""

    def columns(self, inputs: Tensor, description: Tensor) -> Tensor:
        value = inputs[:, :2] + description.sum(dim=1)[:, None, None, None]
        return torch.cat([value[:, :1], value[:, 1:].exp()], dim=1)


@pytest.mark.parametrize("turns", [1, 4])
def test_an_image_of_one_tile_is_predicted_as_ever(turns: int) -> None:
    segments = image(96, 96)
    made = network()
    expected = predict_images(made, segments[None], METADATA[None], turns)
    for found, known in zip(predict_large(made, segments, METADATA, turns), expected, strict=True):
        assert found is not None and known is not None
        np.testing.assert_allclose(found, known[0], atol=2e-5 * known.std(), rtol=1e-5)


@pytest.mark.parametrize("shape", [(160, 224), (224, 100), (65, 70)])
@pytest.mark.parametrize("turns", [1, 4])
def test_tiles_know_the_whole_image(shape: tuple[int, int], turns: int) -> None:
    """Of any shape, and turned."""
    made = Pointwise(replace(SETTINGS, projection="direct"))
    segments = image(*shape)
    expected = predict_images(made, segments[None], METADATA[None], turns)
    found = predict_large(made, segments, METADATA, turns, Tiling(96, 0.25))
    for one, known in zip(found, expected, strict=True):
        assert one is not None and known is not None
        np.testing.assert_allclose(one, known[0], rtol=1e-5)


def test_blocks_project_as_the_whole_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside: a border of 40 pixels, where the lattice is continued from another place, is left out."""
    y, x = np.arange(320)[:, None] / 14, np.arange(300) / 14
    lattice = torch.from_numpy(np.exp(2 * np.cos(2 * np.pi * x) + 2 * np.cos(2 * np.pi * y))).float()[None, None]
    known, made = torch.from_numpy(METADATA)[None], network()
    whole = project_large(made, lattice, known)
    monkeypatch.setattr(tiled_prediction, "_BLOCK", 100)
    blocks = project_large(made, lattice, known)
    inside = (slice(None), slice(None), slice(40, -40), slice(40, -40))
    assert not torch.equal(blocks, whole)
    assert (blocks - whole)[inside].abs().max() < 0.01 * whole.std()
    assert (whole - lattice)[inside].std() > 0.1 * whole.std()


class Elsewhere(PotentialNetwork):
    """Lies where nothing is computed, and notes where it is asked to project."""

    def project(self, columns: Tensor, metadata: Tensor) -> Tensor:
        self.seen = {*getattr(self, "seen", ()), columns.device.type, metadata.device.type}
        return torch.zeros(columns.shape)


@pytest.mark.parametrize("block", [32, 384])
def test_the_device_that_predicts_projects(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block by block, and small images as a whole."""
    monkeypatch.setattr(tiled_prediction, "_BLOCK", block)
    made = Elsewhere(SETTINGS, sampling=0.2).to("meta")
    found = project_large(made, torch.ones(1, 1, 96, 80), torch.from_numpy(METADATA)[None])
    assert made.seen == {"meta"}
    assert (found.device.type, found.shape, float(found.abs().max())) == ("cpu", (1, 1, 96, 80), 0)


def test_every_tile_is_counted() -> None:
    told: list[tuple[int, int]] = []
    predict_large(Pointwise(SETTINGS), image(150, 260), METADATA, 4, Tiling(96, 0.5, 3), lambda *n: told.append(n))
    done, every = zip(*told, strict=True)
    assert set(every) == {4 * 3 * 5} and done[-1] == every[0] and list(done) == sorted(done)


def test_what_cannot_be_tiled_is_refused() -> None:
    with pytest.raises(InputError, match="63 x 80"):
        predict_large(network(), image(63, 80), METADATA)
    for wrong in ((100, 0.5, 4), (32, 0.5, 4), (128, 1.0, 4), (128, 0.5, 0)):
        with pytest.raises(InputError, match="tile"):
            Tiling(*wrong)


def test_a_prediction_that_is_not_a_number_is_refused() -> None:
    segments = image(64, 64)
    segments[0, 3, 3] = np.nan
    with pytest.raises(InputError, match="NaN"):
        predict_large(network(), segments, METADATA)
