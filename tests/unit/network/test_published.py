"""State dicts of the published system: MONAI's network alone, fed as its scripts feed it, against this library's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets import SwinUNETR

from iphasenet.base.errors import InputError
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.published import OUTPUT_SCALE, load_published
from iphasenet.network.weights import load_weights, save_weights
from iphasenet.reconstruction.tiled_prediction import predict_large

THICKNESS, ALPHA, BETA, GAMMA = 40.0, 0.3, -0.2, 130.0


def bare(channels: int, feature_size: int = 12) -> SwinUNETR:
    """MONAI's network with its defaults, as the scripts build it."""
    torch.manual_seed(0)
    return SwinUNETR(in_channels=channels, out_channels=1, feature_size=feature_size, spatial_dims=2).eval()


def stacked(segments: np.ndarray, rotation: list[float], sines: bool) -> torch.Tensor:
    """What the scripts make of a file's segments, thickness and rotation."""
    images = (segments - segments.min()) / (segments.max() - segments.min())
    turns = np.deg2rad(rotation)
    known = [THICKNESS / 100, *(np.r_[np.sin(turns), np.cos(turns)] if sines else np.array(rotation) / 360)]
    maps = [np.full(segments.shape[1:], value, np.float32) for value in known]
    return torch.from_numpy(np.concatenate([images, np.stack(maps)]))[None].float()


def image() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.01, 0.2, (4, 64, 96)).astype(np.float32)


@pytest.mark.parametrize("channels", [8, 11])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_published_network_says_what_its_scripts_say(channels: int, wrapped: bool, tmp_path: Path) -> None:
    """Angles in the order of the published files: rz, rx, ry."""
    network, segments = bare(channels), image()
    state: dict[str, Any] = network.state_dict()
    if wrapped:
        state = {"state_dict": {f"module.{name}": value for name, value in state.items()}, "epoch": 3}
    torch.save(state, tmp_path / "best_model.pt")
    loaded = load_published(tmp_path / "best_model.pt")
    with torch.inference_mode():
        expected = network(stacked(segments, [GAMMA, ALPHA, BETA], channels == 11))[0, 0] * OUTPUT_SCALE
    metadata = np.array([THICKNESS, ALPHA, BETA, GAMMA], np.float32)
    potential, spread = predict_large(loaded, segments, metadata)
    assert spread is None
    np.testing.assert_allclose(potential, expected, rtol=0, atol=1e-4 * float(expected.std()))
    # Other angles are seen.
    other, _ = predict_large(loaded, segments, metadata[[0, 2, 1, 3]])
    assert np.abs(other - potential).max() > 0


def test_the_order_of_the_angles_can_be_told(tmp_path: Path) -> None:
    network, segments = bare(11), image()
    torch.save(network.state_dict(), tmp_path / "a.pt")
    loaded = load_published(tmp_path / "a.pt", angles=("alpha", "beta", "gamma"), output_scale=1e5)
    with torch.inference_mode():
        expected = network(stacked(segments, [ALPHA, BETA, GAMMA], sines=True))[0, 0] * 1e5
    found, _ = predict_large(loaded, segments, np.array([THICKNESS, ALPHA, BETA, GAMMA], np.float32))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * float(expected.std()))
    with pytest.raises(InputError, match=r"angles: found alpha, alpha, beta; allowed: alpha, beta, gamma"):
        load_published(tmp_path / "a.pt", angles=("alpha", "alpha", "beta"))


def test_the_published_size_loads_and_is_kept_as_safetensors(tmp_path: Path) -> None:
    network = bare(8, feature_size=48)
    torch.save(network.state_dict(), tmp_path / "best_model.pt")
    loaded, described = load_weights(tmp_path / "best_model.pt", allow_pickle=True)
    assert sum(weight.numel() for weight in loaded.parameters()) == pytest.approx(25.1e6, rel=0.005)
    assert described == {} and loaded.settings.window_size == 7 and loaded.sampling == 0.1
    save_weights(tmp_path / "w.safetensors", loaded, described)
    again, _ = load_weights(tmp_path / "w.safetensors")
    state = loaded.state_dict()
    assert again.settings == loaded.settings
    assert all(torch.equal(value, state[name]) for name, value in again.state_dict().items())


def test_a_pickle_is_refused_unless_asked_for(tmp_path: Path) -> None:
    torch.save(bare(8).state_dict(), tmp_path / "best_model.pt")
    with pytest.raises(InputError, match=r"best_model\.pt: found a pickle.*allowed: .*--allow-pickle"):
        load_weights(tmp_path / "best_model.pt")


class Code:
    """What a pickle runs when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("run"),))


def test_what_is_no_state_dict_is_one_line_and_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wrong = {
        "code.pt": Code(),
        "list.pt": [torch.zeros(3)],
        "unet.pt": {"model.0.weight": torch.zeros(3, 3)},
        "channels.pt": bare(9).state_dict(),
        "outputs.pt": SwinUNETR(in_channels=8, out_channels=2, feature_size=12, spatial_dims=2).state_dict(),
    }
    for name, value in wrong.items():
        torch.save(value, tmp_path / name)
    (tmp_path / "text.pt").write_text("no weights")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "unet.pt").read_bytes()[:200])
    for name in (*wrong, "text.pt", "cut.pt", "missing.pt"):
        with pytest.raises(
            InputError, match=name.replace(".", r"\.") + ": (found .*; allowed: |there is no such file; give )"
        ) as caught:
            load_weights(tmp_path / name, allow_pickle=True)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_tensors_of_another_network_are_one_line(tmp_path: Path) -> None:
    """Also in safetensors."""
    network = load_published(_saved(tmp_path))
    network.network = PotentialNetwork(network.settings).network.swinViT
    save_weights(tmp_path / "w.safetensors", network, {})
    with pytest.raises(InputError, match=r"w\.safetensors: found no usable weights .*; allowed: a file"):
        load_weights(tmp_path / "w.safetensors")


def _saved(folder: Path) -> Path:
    torch.save(bare(8).state_dict(), folder / "a.pt")
    return folder / "a.pt"
