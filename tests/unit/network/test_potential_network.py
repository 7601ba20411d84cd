"""The network's inputs, its metadata and its weights."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from iphasenet.base.errors import InputError
from iphasenet.network.losses import contrast, training_loss
from iphasenet.network.potential_network import PotentialNetwork, encode
from iphasenet.network.settings import ModelSettings
from iphasenet.network.symmetry import transformed, turned
from iphasenet.network.weights import load_weights, save_weights

SETTINGS = ModelSettings(feature_size=12, norm="instance", conditioning="film", window_size=8)
METADATA = torch.tensor([[40.0, 0.1, -0.2, 90.0], [60.0, 0.0, 0.3, 270.0]])


def batch(pixels: int = 64) -> torch.Tensor:
    return torch.rand(2, 4, pixels, pixels, generator=torch.Generator().manual_seed(0)) * 0.1


def trained() -> PotentialNetwork:
    """A network whose conditioning no longer is the identity that it starts as."""
    torch.manual_seed(0)
    network = PotentialNetwork(SETTINGS).eval()
    assert network.modulation is not None
    for head in network.modulation.heads:
        torch.nn.init.normal_(head.weight, std=0.1)
    return network


def test_channels_have_the_published_order_and_scale() -> None:
    segments = batch()
    channels = encode(segments, METADATA)
    assert channels.shape == (2, 8, 64, 64)
    images = channels[:, :4].flatten(1)
    torch.testing.assert_close(images.amin(1), torch.zeros(2))
    torch.testing.assert_close(images.amax(1), torch.ones(2))
    # Jointly scaled: the ratio of two segments' contrasts stays.
    torch.testing.assert_close(
        channels[:, 0].std() / channels[:, 1].std(), segments[:, 0].std() / segments[:, 1].std(), rtol=0.1, atol=0
    )
    expected = METADATA / torch.tensor([100.0, 360.0, 360.0, 360.0])
    torch.testing.assert_close(channels[:, 4:], expected[:, :, None, None].expand(-1, -1, 64, 64))


def test_a_flat_image_is_encoded_without_infinities() -> None:
    assert torch.isfinite(encode(torch.full((1, 4, 32, 32), 0.05), METADATA[:1])).all()


@pytest.mark.parametrize("column", range(4))
def test_every_number_of_the_metadata_reaches_the_output(column: int) -> None:
    network, segments = trained(), batch()
    changed = METADATA.clone()
    changed[:, column] += torch.tensor([20.0, 0.3, 0.3, 60.0])[column]
    with torch.no_grad():
        difference = network(segments, changed)[0] - network(segments, METADATA)[0]
    assert difference.abs().mean() > 1e-3


def test_projected_potential_is_mean_potential_times_thickness() -> None:
    network, segments = trained(), batch()
    with torch.no_grad():
        ratio = network.projected_potential(segments, METADATA)[0] / network(segments, METADATA)[0]
    torch.testing.assert_close(ratio, torch.tensor([400.0, 600.0])[:, None, None].expand_as(ratio))


def test_the_mean_over_quarter_turns_turns_with_the_image() -> None:
    """Before the projection, which looks for a lattice: of any network, and of its spread; one prediction does not."""
    torch.manual_seed(1)
    network, segments = PotentialNetwork(replace(SETTINGS, projection="direct", uncertainty=True)).eval(), batch()
    for turns, alike in ((1, False), (4, True)):
        with torch.no_grad():
            plain = network.projected_potential(segments, METADATA, turns)
            other = network.projected_potential(*turned(segments, METADATA, 1), turns)
        for one, two in zip(plain, other, strict=True):
            error = (one.rot90(1, (1, 2)) - two).abs().max() / one.std()
            assert (error < 1e-3) == alike


@pytest.mark.parametrize("turns", range(4))
def test_a_batch_is_turned_as_a_sample_is(turns: int) -> None:
    segments, metadata = turned(batch(), METADATA, turns)
    for index in range(2):
        expected = transformed(batch()[index], batch()[index, 0], METADATA[index], turns)
        torch.testing.assert_close(segments[index], expected[0], rtol=0, atol=0)
        torch.testing.assert_close(metadata[index], expected[2], rtol=1e-5, atol=1e-6)


def test_published_size() -> None:
    """The published network has 25.1 million parameters."""
    network = PotentialNetwork(ModelSettings(48, conditioning="maps", window_size=7))
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(25.1e6, rel=0.005)


def test_weights_come_back(tmp_path: Path) -> None:
    network = trained()
    save_weights(tmp_path / "w.safetensors", network, {"materials": ["GaN"]})
    loaded, described = load_weights(tmp_path / "w.safetensors")
    assert described == {"materials": ["GaN"]}
    with torch.no_grad():
        torch.testing.assert_close(loaded(batch(), METADATA)[0], network(batch(), METADATA)[0], rtol=0, atol=0)


def test_half_precision_halves_the_file_and_hardly_moves_the_prediction(tmp_path: Path) -> None:
    """Sixteen bits hold eleven digits of a weight: predictions move by about 2^-11 of their contrast."""
    network = trained()
    for half in (False, True):
        save_weights(tmp_path / f"{half}.safetensors", network, {}, half=half)
    sizes = [(tmp_path / f"{half}.safetensors").stat().st_size for half in (False, True)]
    assert sizes[1] < 0.55 * sizes[0]
    loaded, _ = load_weights(tmp_path / "True.safetensors")
    with torch.no_grad():
        exact, rounded = (one(batch(), METADATA)[0] for one in (network, loaded))
    assert 0 < float((rounded - exact).abs().mean() / exact.std()) < 2e-3


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"no weights")
    for name in ("w.safetensors", "missing.safetensors"):
        with pytest.raises(InputError, match=name):
            load_weights(tmp_path / name)


def test_a_changed_byte_of_weights_is_noticed(tmp_path: Path) -> None:
    """Of a tensor, of a tensor's name and of what the weights say of themselves."""
    path = tmp_path / "w.safetensors"
    save_weights(path, PotentialNetwork(SETTINGS), {"materials": ["GaN"]})
    content = path.read_bytes()
    for place in (len(content) - 100, content.index(b"GaN"), content.index(b"film")):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(InputError, match=r"w\.safetensors: found no usable weights .*; allowed: ") as caught:
            load_weights(path)
        assert "\n" not in str(caught.value)
    path.write_bytes(content[:-100])
    with pytest.raises(InputError, match=r"w\.safetensors"):
        load_weights(path)


def test_weights_without_a_checksum_are_read(tmp_path: Path) -> None:
    """As training wrote them before it kept one."""
    network, path = PotentialNetwork(SETTINGS), tmp_path / "w.safetensors"
    save_weights(path, network, {"materials": ["GaN"]})
    with safe_open(path, "pt") as stream:
        header, tensors = stream.metadata(), {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    del header["checksum"]
    save_file(tensors, path, header)
    loaded, described = load_weights(path)
    assert described == {"materials": ["GaN"]}
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in loaded.state_dict().items())


WRITE = """
import sys
from pathlib import Path
import torch
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.settings import ModelSettings
from iphasenet.network.weights import save_weights, write_pytorch
torch.manual_seed(0)
network = PotentialNetwork(ModelSettings(12))
folder = Path(sys.argv[1])
save_weights(folder / "weights.safetensors", network, {"materials": ["GaN"], "dose": [1e4, 1e6], "title": "Å"})
write_pytorch(folder / "swinunetr.pt", network.network.state_dict())
"""


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    """Whatever their numbers and the order of their sets and hash maps."""
    written = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", WRITE, str(folder)], check=True, env=environment, timeout=100)
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert set(written[0]) == {"weights.safetensors", "swinunetr.pt"} and written[0] == written[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feature_size": 0}, "model.feature_size: found 0; allowed: a whole number, 12 to 1,200"),
        ({"feature_size": 20}, "model.feature_size: found 20; allowed: a whole number, 12 to 1,200 in steps of 12"),
        ({"feature_size": float("nan")}, "model.feature_size: found nan"),
        ({"feature_size": 12 * 10**9}, "model.feature_size: found 12000000000"),
        ({"window_size": float("inf")}, "model.window_size: found inf; allowed: a whole number, 2 to 64 tokens"),
        ({"norm": "layer"}, "model.norm: found 'layer'; allowed: instance, batch, group"),
        ({"uncertainty": "no"}, "model.uncertainty: found 'no'; allowed: true, false"),
    ],
)
def test_settings_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        replace(SETTINGS, **change)


def loss(prediction: torch.Tensor, weights: dict[str, float]) -> float:
    return float(training_loss(prediction, None, torch.zeros_like(prediction), 1.0, weights))


def test_loss_terms() -> None:
    """A single wrong pixel: its size enters each term as its definition says."""
    prediction = torch.zeros(1, 8, 8)
    prediction[0, 3, 3] = 4.0
    assert loss(prediction, {"l1": 1}) == pytest.approx(4 / 64)
    assert loss(prediction, {"l2": 1}) == pytest.approx(16 / 64)
    assert loss(prediction, {"gradient_l1": 1}) == pytest.approx(2 * 8 / 56)
    # The spectrum of a delta is flat: 4 / sqrt(64) everywhere.
    assert loss(prediction, {"spectral_l1": 1}) == pytest.approx(0.5)
    assert loss(prediction, {"l1": 2, "l2": 0.5, "spectral_l1": 0}) == pytest.approx(8 / 64 + 8 / 64)


def test_a_relative_loss_does_not_know_the_contrast() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(1, 32, 32, generator=generator) * 30
    prediction = target + torch.rand(1, 32, 32, generator=generator)
    first, second = (
        training_loss(factor * prediction, None, factor * target, contrast(factor * target), {"l1": 1.0, "l2": 0.5})
        for factor in (1, 4)
    )
    torch.testing.assert_close(first, second)


def test_the_spread_is_best_where_it_is_the_mean_absolute_error_and_moves_no_prediction() -> None:
    target = torch.distributions.Laplace(0.0, 3.0).sample((1, 200, 200))
    prediction = torch.zeros_like(target, requires_grad=True)
    error = float(target.abs().mean())
    losses = [
        training_loss(prediction, torch.full_like(target, factor * error), target, 1.0, {"spread": 1.0})
        for factor in (0.8, 1.0, 1.25)
    ]
    assert losses[1] < losses[0] and losses[1] < losses[2]
    assert not losses[1].requires_grad
