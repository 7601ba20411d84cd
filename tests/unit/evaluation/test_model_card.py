"""What stands beside the weights."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from monai.networks.nets import SwinUNETR

from iphasenet.evaluation.alterations import FIELDS
from iphasenet.evaluation.metrics import METRICS
from iphasenet.evaluation.model_card import describe_model
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.settings import ModelSettings
from iphasenet.network.weights import save_weights

TRAINED = {
    "data": "0123abcd",
    "materials": ["GaN", "MoS2"],
    "sampling_angstrom": 0.2,
    "noise": {"dose": [1e4, 1e6]},
    "training": {"epochs": 3},
    "ranges": {"thickness_nm": [20, 150], "tilt_deg": [0.05, 0.91]},
    "validation_pearson": 0.9321,
}


def write(folder: Path, settings: ModelSettings) -> tuple[str, dict[str, torch.Tensor], PotentialNetwork]:
    network = PotentialNetwork(settings)
    save_weights(folder / "w.safetensors", network, {**TRAINED, "model": vars(settings)})
    row = dict.fromkeys(METRICS, 0.876)
    method = {"model": {name: {"mean": 0.876, "low": 0.8, "high": 0.9} for name in METRICS}}
    scores = {"scores": method, "by": {"material": {"GaN": method}}, "samples": 12, "doses": [1e5]}
    scores |= {"shuffled_metadata": dict.fromkeys(("nothing", *FIELDS), row)}
    scores |= {"uncertainty": {"90%": 0.871, "spread_over_error": 1.1}} if settings.uncertainty else {}
    (folder / "s.json").write_text(json.dumps(scores))
    describe_model(folder / "w.safetensors", folder / "s.json", folder / "README.md", folder / "s.pt", "tiny")
    return (folder / "README.md").read_text(), torch.load(folder / "s.pt", weights_only=True), network


@pytest.mark.parametrize("uncertainty", [False, True])
def test_a_card_says_data_ranges_scores_and_configuration(tmp_path: Path, uncertainty: bool) -> None:
    settings = ModelSettings(12, projection="columns", uncertainty=uncertainty)
    text, _, _ = write(tmp_path, settings)
    for part in ("`0123abcd`", "GaN, MoS2", "| thickness_nm | 20 | 150 |", "0.9321", "| GaN | 0.876 |", "epochs: 3"):
        assert part in text
    assert ("| 87.1% | 1.10 |" in text) == uncertainty
    assert "is\nnot in it" in text


def test_the_state_dict_is_monais(tmp_path: Path) -> None:
    """A network of the published kind is whole in it: loaded by MONAI alone, it says the same."""
    text, state, network = write(tmp_path, replace(ModelSettings(12), conditioning="maps"))
    assert "it is the whole network" in text
    bare = SwinUNETR(in_channels=8, out_channels=1, feature_size=12, window_size=8, spatial_dims=2).eval()
    bare.load_state_dict(state)
    channels = torch.rand(1, 8, 64, 64)
    with torch.inference_mode():
        # Fused attention rounds differently.
        torch.testing.assert_close(bare(channels), network.network.eval()(channels), rtol=0, atol=1e-5)
