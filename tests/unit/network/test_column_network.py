"""The network for any crystal: its outputs, symmetry, loss and weights."""

import math
from pathlib import Path

import pytest
import torch

from iphasenet.base.errors import InputError
from iphasenet.network.column_network import (
    ColumnNetwork,
    ColumnOutput,
    Estimates,
    column_loss,
    describe_images,
    expected_correlation,
    true_estimates,
)
from iphasenet.network.column_prediction import predict_columns
from iphasenet.network.column_settings import ColumnModel, holds_columns
from iphasenet.network.losses import correlations
from iphasenet.network.weights import load_column_weights, load_weights, save_column_weights

KNOWN = torch.tensor([[40.0, 0.2, -0.1, 50.0, 20.0, 10.0, 50.0]])


def network(held: str = "level", seed: int = 1, filters: int = 2) -> ColumnNetwork:
    """A small network with weights of which every one acts."""
    torch.manual_seed(seed)
    made = ColumnNetwork(ColumnModel(width=8, held=held, filters=filters))
    for weights in made.parameters():
        torch.nn.init.normal_(weights, std=0.15)
    return made.eval()


def images(count: int = 1, sides: tuple[int, int] = (64, 64), seed: int = 2) -> torch.Tensor:
    return 0.02 + 0.02 * torch.rand((count, 4, *sides), generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def test_columns_have_the_level_that_is_told() -> None:
    found = network()(images(3), KNOWN.expand(3, -1))
    assert found.columns.shape == found.spread.shape == (3, 64, 64)
    assert found.columns.min() > 0 and found.spread.min() > 0 and found.errors.min() > 0
    torch.testing.assert_close(found.columns.mean(dim=(1, 2)).log(), found.estimates[:, 0])


@pytest.mark.parametrize("filters", [0, 2])
@pytest.mark.parametrize("fraction", [0.0, 0.1])
@torch.inference_mode()
def test_an_image_without_contrast_has_finite_columns(filters: int, fraction: float) -> None:
    found = network(filters=filters)(torch.full((1, 4, 64, 64), fraction), KNOWN)
    assert all(part.isfinite().all() for part in found)


@torch.inference_mode()
def test_images_may_have_any_sides_that_divide_by_16() -> None:
    assert network()(images(1, (80, 112)), KNOWN).columns.shape == (1, 80, 112)


@torch.inference_mode()
def test_what_is_unknown_does_not_act() -> None:
    """A number that is not told is described as unknown, whatever it is."""
    told = torch.where(torch.tensor([True, False, False, False, True, True, True]), KNOWN, torch.nan)
    described = describe_images(images(), told)
    assert described.isfinite().all() and described[0, 7:14].tolist() == [1, 0, 0, 0, 1, 1, 1]
    assert not torch.equal(network()(images(), told).columns, network()(images(), KNOWN).columns)


@torch.inference_mode()
def test_a_mean_over_symmetries_turns_with_the_image() -> None:
    """A quarter turn of image and detector turns the columns and the tilt, and nothing else."""
    first = predict_columns(network(), images(), KNOWN)
    # Top-left goes where bottom-left was: a turn from x towards -y.
    turned = images().unflatten(1, (2, 2)).rot90(1, (1, 2)).rot90(1, (3, 4)).flatten(1, 2)
    second = predict_columns(network(), turned, _turned_tilt(KNOWN))
    torch.testing.assert_close(second.columns, first.columns.rot90(1, (1, 2)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(second.spread, first.spread.rot90(1, (1, 2)), rtol=1e-4, atol=1e-4)
    # alpha comes before beta, which matters by 1e-4, and more after random layers.
    torch.testing.assert_close(_turned_tilt(first.estimates), second.estimates, rtol=5e-2, atol=5e-2)
    torch.testing.assert_close(second.errors, first.errors[:, [0, 1, 3, 2, 4]], rtol=1e-4, atol=1e-4)


def _turned_tilt(values: torch.Tensor) -> torch.Tensor:
    """Tilts of crystals after a quarter turn, by the rule that tests of `symmetry.transformed` check."""
    from iphasenet.network.symmetry import transformed_images

    places = [1, 2] if values.shape[1] == 7 else [2, 3]
    angles = torch.zeros(len(values), 4)
    angles[:, 1:3] = values[:, places]
    blank = torch.zeros(len(values), 4, 4, 4)
    changed = values.clone()
    changed[:, places] = transformed_images(blank, blank[:, 0], angles, [1] * len(values))[2][:, 1:3]
    return changed


def output(columns: torch.Tensor, known: torch.Tensor, error: float = 0.1) -> ColumnOutput:
    """What a network that knows the truth would give."""
    estimates = true_estimates(columns, known)
    return ColumnOutput(
        columns, torch.full_like(columns, 1.0), estimates, torch.full_like(estimates, error), torch.zeros(1, 128)
    )


def test_the_truth_has_no_loss_but_that_of_the_errors_it_told() -> None:
    columns = 1 + 20 * torch.rand(1, 64, 64)
    terms = column_loss(output(columns, KNOWN), None, columns, KNOWN, torch.zeros(1, 7, dtype=torch.bool))
    assert terms["pattern"].item() == pytest.approx(0, abs=1e-5)
    assert terms["likeness"].item() == pytest.approx(0, abs=1e-5)
    assert terms["estimates"].item() == pytest.approx(5 * math.log(0.1), rel=1e-4)


def test_what_is_told_is_not_learnt_from() -> None:
    """Wrong estimates of thickness and tilt cost nothing where the network was told them."""
    columns = 1 + 20 * torch.rand(1, 64, 64)
    right = output(columns, KNOWN)
    wrong = right._replace(estimates=right.estimates + torch.tensor([[0.0, 1.0, 0.3, 0.0, 0.0]]))
    told = torch.tensor([[True, True, True, False, False, False, False]])
    losses = [column_loss(found, None, columns, KNOWN, told)["estimates"].item() for found in (right, wrong)]
    assert losses[0] == losses[1]
    untold = torch.zeros_like(told)
    assert (
        column_loss(wrong, None, columns, KNOWN, untold)["estimates"]
        > column_loss(right, None, columns, KNOWN, untold)["estimates"]
    )


def test_a_wrong_level_leaves_the_pattern_right() -> None:
    columns = 1 + 20 * torch.rand(1, 64, 64)
    found = output(columns, KNOWN)._replace(columns=2 * columns)
    assert column_loss(found, None, columns, KNOWN, torch.ones(1, 7, dtype=torch.bool))["pattern"].item() < 1e-5
    assert correlations(2 * columns + 1, columns).item() == pytest.approx(1)
    assert correlations(-columns, columns).item() == pytest.approx(-1)


def test_a_network_of_pixels_learns_the_level_from_them() -> None:
    """With `held: direct`, columns that are twice too high are wrong, and the level is that of the columns."""
    columns = 1 + 20 * torch.rand(1, 64, 64)
    found, told = output(columns, KNOWN), torch.ones(1, 7, dtype=torch.bool)
    twice = found._replace(columns=2 * columns)
    losses = [column_loss(one, None, columns, KNOWN, told, absolute=True)["pattern"].item() for one in (found, twice)]
    assert losses[0] < 1e-5 and losses[1] > 0.5
    with torch.inference_mode():
        made = network("direct")(images(), KNOWN)
    torch.testing.assert_close(made.columns.mean(dim=(1, 2)).log(), made.estimates[:, 0])


def test_weights_give_the_same_network_again(tmp_path: Path) -> None:
    made = network()
    made.error_factors.fill_(1.5)
    save_column_weights(tmp_path / "w.safetensors", made, {"crystals": ["GaN"]})
    read, described = load_column_weights(tmp_path / "w.safetensors")
    assert described == {"crystals": ["GaN"]} and holds_columns(tmp_path / "w.safetensors")
    with torch.inference_mode():
        first, second = made(images(), KNOWN), read(images(), KNOWN)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_half_precision_keeps_what_was_measured(tmp_path: Path) -> None:
    """Numbers beyond half precision's largest, and columns within 1 %."""
    made = network()
    made.feature_precision.copy_(1e6 * torch.eye(128))
    for name, half in (("whole", False), ("half", True)):
        save_column_weights(tmp_path / f"{name}.safetensors", made, {}, half)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("whole", "half")]
    read, _ = load_column_weights(tmp_path / "half.safetensors")
    assert torch.equal(read.feature_precision, made.feature_precision) and sizes[1] < 0.8 * sizes[0]
    with torch.inference_mode():
        first, second = made(images(), KNOWN).columns, read(images(), KNOWN).columns
    assert float((first - second).abs().max() / first.mean()) < 0.05


def test_weights_of_an_earlier_version_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iphasenet.network.weights.asdict", lambda _: {"width": 8, "blocks": 1})
    save_column_weights(tmp_path / "w.safetensors", network(), {})
    with pytest.raises(InputError, match=r"found no usable weights \(their network is of an earlier version\)"):
        load_column_weights(tmp_path / "w.safetensors")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_column_weights(tmp_path / "w.safetensors", network(), {})
    with pytest.raises(InputError, match=r"w\.safetensors: found a network for any crystal; allowed here: one of"):
        load_weights(tmp_path / "w.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes()[:-100])
    with pytest.raises(InputError, match=r"cut\.safetensors: found no usable weights"):
        load_column_weights(tmp_path / "cut.safetensors")
    assert not holds_columns(tmp_path / "none.safetensors")


@pytest.mark.parametrize("scale", [0.3, 2.0, 6.0])
def test_the_expected_correlation_is_that_of_errors_as_large_as_expected(scale: float) -> None:
    """Columns with Laplace errors that do not depend on what was found, of the scale that the network told."""
    torch.manual_seed(3)
    guess = 10 + 3 * torch.randn(4, 128, 128)
    truth = guess + torch.distributions.Laplace(0.0, scale).sample(guess.shape)
    found = output(guess, KNOWN.expand(4, -1))._replace(spread=torch.full_like(guess, scale))
    torch.testing.assert_close(expected_correlation(found), correlations(guess, truth), rtol=0.02, atol=0.03)
    assert expected_correlation(found._replace(columns=torch.ones_like(guess))).max() < 1e-3


@pytest.mark.parametrize("told", [True, False])
def test_first_estimates_are_trained_as_the_last_ones(told: bool) -> None:
    columns = 1 + 20 * torch.rand(1, 64, 64)
    last = output(columns, KNOWN)
    values = last.estimates + torch.tensor([[0.0, 0.5, 0.0, 0.0, 0.0]])
    known = torch.tensor([[told, False, False, False, False, False, False]])
    alone, both = (
        column_loss(last, first, columns, KNOWN, known)["estimates"].item()
        for first in (None, Estimates(values, last.errors))
    )
    # Its share of the right ones, and 0.5 of an error of 0.1 where the thickness is not told.
    assert both == pytest.approx(2 * alone + (0 if told else 5), rel=1e-4)


@torch.inference_mode()
def test_weak_images_are_scaled_and_their_contrast_is_told_apart() -> None:
    """A hundredth of the contrast changes the description, and what the convolutions see not at all."""
    strong = images()
    weak = strong.mean(dim=(2, 3), keepdim=True) + 0.01 * (strong - strong.mean(dim=(2, 3), keepdim=True))
    first, second = (describe_images(one, KNOWN) for one in (strong, weak))
    torch.testing.assert_close(first[:, :18], second[:, :18])
    torch.testing.assert_close(first[:, 18:] - second[:, 18:], torch.full((1, 4), math.log(100)), rtol=1e-3, atol=1e-3)
    made = network(filters=0)
    for layer in made.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.weight.zero_()
    torch.testing.assert_close(made(strong, KNOWN).columns, made(weak, KNOWN).columns, rtol=1e-3, atol=1e-3)


def test_strangeness_is_a_distance_from_usual_features() -> None:
    made = network()
    made.feature_precision.copy_(torch.eye(128))
    made.usual_features.fill_(2.0)
    assert made.strangeness(torch.full((1, 128), 2.0)).item() == 0
    assert made.strangeness(torch.full((1, 128), 5.0)).item() == pytest.approx(3)
