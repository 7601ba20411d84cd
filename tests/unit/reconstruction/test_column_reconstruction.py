"""`iphasenet reconstruct` by the network for any crystal: what is told, what is estimated, what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from iphasenet.base.errors import InputError
from iphasenet.cli import main
from iphasenet.microscope_files.foreign_files import write_image
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.network.column_network import ColumnNetwork
from iphasenet.network.column_prediction import predict_columns
from iphasenet.network.column_projection import column_shift, project_columns
from iphasenet.network.column_settings import ColumnModel
from iphasenet.network.weights import save_column_weights
from iphasenet.reconstruction.column_reconstruction import reconstruct_columns
from iphasenet.reconstruction.reconstruct import Trained, load_trained, reconstruct
from tests.unit.reconstruction.test_preparation import RANGES
from tests.unit.reconstruction.test_reconstruct import recorded

UNTOLD: dict[str, Any] = {"thickness_nm": None, "tilt_deg": None, "rotation_deg": None}
TOLD: dict[str, Any] = {"thickness_nm": 40.0, "tilt_deg": (0.3, -0.2), "rotation_deg": 20.0}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network whose weights all act, and that finds usual what it sees."""
    torch.manual_seed(3)
    network = ColumnNetwork(ColumnModel(width=8), sampling=0.2)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    path = tmp_path_factory.mktemp("weights") / "any.safetensors"
    save_column_weights(path, network, {"ranges": RANGES})
    return path


@pytest.fixture(scope="module")
def trained(weights: Path) -> Trained:
    return load_trained(weights)


@pytest.fixture
def command(tmp_path: Path, weights: Path) -> Callable[..., dict[str, Any]]:
    """Write an image, reconstruct it, and return the arrays of the output."""

    def run(*options: str, **known: Any) -> dict[str, Any]:
        write_image(recorded(**known), tmp_path / "in.npz")
        main(["reconstruct", str(tmp_path / "in.npz"), "--weights", str(weights), "--device", "cpu",
              "--output", str(tmp_path / "out.npz"), *options])  # fmt: skip
        with np.load(tmp_path / "out.npz") as made:
            return dict(made)

    return run


def test_a_file_of_which_nothing_is_told_has_estimates(command: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    made = command("--figure", str(tmp_path / "all.png"), "--columns", **UNTOLD)
    attributes = json.loads(str(made["attributes"]))
    assert attributes["told"] == []
    estimates = attributes["estimates"]
    assert set(estimates) == {"mean_potential_v", "thickness_nm", "alpha_deg", "beta_deg", "defocus_angstrom"}
    assert all(one["error"] > 0 for one in estimates.values())
    assert float(made["columns"].mean()) == pytest.approx(estimates["mean_potential_v"]["value"], rel=1e-4)
    assert float(made["thickness_nm"]) == pytest.approx(estimates["thickness_nm"]["value"])
    assert made["columns"].shape == made["columns_error"].shape == made["potential"].shape == (96, 128)
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_told_is_taken_and_not_estimated(trained: Trained) -> None:
    """The potential is the network's columns, projected along the told tilt."""
    image = recorded(**TOLD)
    made = reconstruct_columns(image, trained)
    assert made.attributes["told"] == ["thickness_nm", "tilt_deg"]
    assert set(made.attributes["estimates"]) == {"mean_potential_v", "defocus_angstrom"}
    network = trained.network
    assert isinstance(network, ColumnNetwork)
    conditions = torch.tensor([[40.0, 0.3, -0.2, torch.nan, 20.0, 10.0, 50.0]])
    output = predict_columns(network, torch.from_numpy(image.arranged)[None], conditions)
    np.testing.assert_allclose(made.columns, output.columns[0], rtol=1e-5)
    mean = project_columns(output.columns, column_shift(torch.tensor([[40.0, 0.3, -0.2, 0.0]])), 0.2)[0]
    np.testing.assert_allclose(made.potential, 400 * mean, rtol=1e-4)
    np.testing.assert_allclose(made.mean_potential, mean, rtol=1e-4)


def test_a_quarter_turn_of_the_image_turns_the_result(trained: Trained) -> None:
    """Nothing is told; the scan is turned against the detector."""
    first = reconstruct_columns(recorded(**UNTOLD), trained)
    image = recorded(**UNTOLD)
    turned = np.rot90(image.arranged.reshape(2, 2, 96, 128), 1, (0, 1))
    turned = np.ascontiguousarray(np.rot90(turned, 1, (2, 3)).reshape(4, 128, 96))
    second = reconstruct_columns(replace(image, segments=turned, order=(0, 1, 2, 3)), trained)
    assert first.columns is not None and second.columns is not None
    np.testing.assert_allclose(np.rot90(first.columns), second.columns, rtol=1e-3, atol=1e-3)
    assert first.thickness_nm == pytest.approx(second.thickness_nm, rel=1e-3)


def test_an_estimated_thickness_widens_the_uncertainty_of_the_potential(trained: Trained) -> None:
    untold = reconstruct_columns(recorded(**UNTOLD), trained)
    estimate = untold.attributes["estimates"]["thickness_nm"]
    told = replace(recorded(**UNTOLD), thickness_nm=estimate["value"])
    made = reconstruct_columns(told, trained)
    assert untold.spread is not None and made.spread is not None
    relative = [one.spread.mean() / one.potential.mean() for one in (untold, made) if one.spread is not None]
    # A standard error is the square root of 2 of a Laplace distribution's scale.
    scale = estimate["error"] / estimate["value"] / np.sqrt(2)
    assert relative[0] - relative[1] == pytest.approx(scale, rel=0.2)


@pytest.mark.parametrize("sides", [(64, 64), (65, 64), (79, 97)])
def test_sides_need_not_divide(trained: Trained, sides: tuple[int, int]) -> None:
    image = recorded(**UNTOLD)
    made = reconstruct_columns(replace(image, segments=image.segments[:, : sides[0], : sides[1]]), trained)
    assert made.columns is not None and made.columns.shape == sides


def test_an_image_is_not_continued_beyond_its_rim(trained: Trained) -> None:
    """The first row of 65 is that of the first 64 alone, the last one that of the last 64."""
    image = recorded(**UNTOLD)
    whole, first, last = (
        reconstruct_columns(replace(image, segments=image.segments[:, rows, :64]), trained).columns
        for rows in (slice(0, 65), slice(0, 64), slice(1, 65))
    )
    assert whole is not None and first is not None and last is not None
    np.testing.assert_allclose(whole[0], first[0], rtol=1e-5)
    np.testing.assert_allclose(whole[64], last[63], rtol=1e-5)
    # In between, one fades into the other, without a seam.
    share = ((np.arange(1, 64) - 0.5) / 63)[:, None]
    np.testing.assert_allclose(whole[1:64], (1 - share) * first[1:] + share * last[:-1], rtol=1e-4)


def test_estimated_tilts_are_those_of_the_file(trained: Trained) -> None:
    """The detector is turned by 10°: typed back, what was estimated is the tilt along which columns were projected."""
    image = replace(recorded(**UNTOLD), scan_rotation_deg=10.0)
    found = reconstruct_columns(image, trained)
    estimated = tuple(found.attributes["estimates"][name]["value"] for name in ("alpha_deg", "beta_deg"))
    told = reconstruct_columns(replace(image, tilt_deg=estimated), trained)
    assert told.tilt_deg == pytest.approx(found.tilt_deg, abs=1e-6)
    assert found.tilt_deg != pytest.approx(estimated, abs=1e-4)


def test_images_too_small_are_one_line(trained: Trained) -> None:
    image = recorded(**UNTOLD)
    with pytest.raises(InputError, match=r"found 16 x 128 of the network's pixels, 0\.2 Å; allowed: at least 64"):
        reconstruct_columns(replace(image, segments=image.segments[:, :16]), trained)


@pytest.mark.parametrize("factor", [-1.0, 100.0, 1e-4])
def test_images_that_are_no_fractions_of_a_beam_are_refused(trained: Trained, factor: float) -> None:
    image = recorded(**UNTOLD)
    with pytest.raises(InputError, match="% of the beam; allowed: none below 0, all together 1 to 100 %"):
        reconstruct_columns(replace(image, segments=factor * image.segments), trained)


def test_images_that_the_network_does_not_know_are_refused(trained: Trained) -> None:
    """No estimate of them means anything: a thickness of 0.1 ± 0.0004 nm was found in noise."""
    network = trained.network
    assert isinstance(network, ColumnNetwork)
    before = network.feature_precision.clone()
    try:
        network.feature_precision.copy_(1e6 * torch.eye(len(before)))
        with pytest.raises(InputError, match="nothing that the network knows"):
            reconstruct_columns(recorded(**UNTOLD), trained)
    finally:
        network.feature_precision.copy_(before)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"thickness_nm": 5000.0}, "thickness: found 5000 nm; allowed with this network: at most"),
        ({"tilt_deg": (89.0, 0.0)}, "tilt: found 89 degrees; allowed with this network: at most"),
    ],
)
def test_what_is_told_may_not_be_far_from_the_training(trained: Trained, told: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        reconstruct_columns(recorded(**UNTOLD | told), trained)


def test_a_tilt_may_be_an_array(trained: Trained) -> None:
    told: Any = np.array([0.3, -0.2])
    made = reconstruct_columns(recorded(**UNTOLD | {"tilt_deg": told}), trained)
    assert made.tilt_deg == pytest.approx((0.3, -0.2))


def test_a_range_of_thicknesses_is_refused_at_once(weights: Path, tmp_path: Path) -> None:
    """Before the ending of the output, which would have to be another one."""
    write_image(recorded(), tmp_path / "in.npz")
    with pytest.raises(SystemExit, match="with a network for any crystal; allowed: one thickness"):
        main(["reconstruct", str(tmp_path / "in.npz"), "--weights", str(weights), "--thickness", "10:30:10",
              "--output", str(tmp_path / "out.npz")])  # fmt: skip


def test_images_unlike_the_training_are_told(trained: Trained) -> None:
    network = trained.network
    assert isinstance(network, ColumnNetwork)
    usual = reconstruct_columns(recorded(**UNTOLD), trained)
    assert not [line for line in usual.attributes["warnings"] if "unlike" in line]
    # 22 with 1e4.
    network.feature_precision.copy_(1e3 * torch.eye(128))
    strange = reconstruct_columns(recorded(**UNTOLD), trained)
    network.feature_precision.zero_()
    assert [line for line in strange.attributes["warnings"] if "unlike those that it was trained on" in line]


@pytest.mark.parametrize("option", [("--turns", "1"), ("--no-check",), ("--tile", "64")])
def test_options_without_effect_are_refused(command: Callable[..., Any], option: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit, match=f"{option[0]} has no effect with any.safetensors"):
        command(*option, **UNTOLD)


def test_the_microscope_must_be_known(command: Callable[..., Any]) -> None:
    with pytest.raises(SystemExit, match=r"in\.npz: semiangle_mrad is missing: give --semiangle$"):
        command(**UNTOLD, semiangle_mrad=None)


def test_the_library_says_which_weights_it_needs(trained: Trained) -> None:
    image: SegmentedImage = recorded(**TOLD)
    with pytest.raises(InputError, match="found a network for any crystal, which this cannot use"):
        reconstruct(image, trained)
