"""`iphasenet reconstruct`: the library's prediction in the user's file, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch

from iphasenet.base.errors import InputError
from iphasenet.cli import main
from iphasenet.evaluation.prediction import predict_images
from iphasenet.microscope_files.foreign_files import write_image
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.settings import ModelSettings
from iphasenet.network.weights import save_weights
from iphasenet.reconstruction import reconstruct as reconstruct_module
from iphasenet.reconstruction.figure import draw_reconstruction
from iphasenet.reconstruction.preparation import quarter_turned
from iphasenet.reconstruction.reconstruct import (
    Choices,
    Reconstruction,
    load_trained,
    reconstruct,
    shipped_weights,
)
from iphasenet.reconstruction.thickness_scan import describe_scan, draw_scan, parse_thicknesses
from tests.unit.microscope_files.segmented_images import fractions
from tests.unit.reconstruction.test_preparation import RANGES
from tests.unit.reconstruction.test_tiled_prediction import image as lattice

ROTATION = (0.3, -0.2, 20.0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = PotentialNetwork(
        ModelSettings(12, inputs="fraction", projection="columns", uncertainty=True), sampling=0.2
    )
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(path, network, {"ranges": RANGES, "segment_sum": {"thickness_nm": [20, 150], "mean": [0.3, 0.3]}})
    return path


def recorded(**known: Any) -> SegmentedImage:
    """Segments of a lattice; the file's order is not ours."""
    told = {"thickness_nm": 40.0, "tilt_deg": ROTATION[:2], "rotation_deg": ROTATION[2]}
    made = fractions(order=(2, 0, 3, 1), sampling=0.2, scan_rotation_deg=0.0, **told)
    return replace(made, **{"segments": lattice(96, 128)[[1, 3, 0, 2]], **known})


@pytest.fixture
def command(tmp_path: Path, weights: Path) -> Callable[..., Path]:
    """Write an image, reconstruct it, and return the output's path."""

    def run(*options: str, output: str = "out.npz", **known: Any) -> Path:
        source = tmp_path / "in.npz"
        write_image(recorded(**known), source)
        turns = [] if any(":" in option for option in options) else ["--turns", "1"]
        main(["reconstruct", str(source), "--weights", str(weights), "--device", "cpu", *turns,
              "--output", str(tmp_path / output), *options])  # fmt: skip
        return tmp_path / output

    return run


def test_a_file_holds_what_the_network_says(command: Callable[..., Path], weights: Path, tmp_path: Path) -> None:
    exact = ("--tilt-error", "0", "--thickness-error", "0")
    with np.load(command("--no-check", *exact, "--figure", str(tmp_path / "all.png"))) as made:
        metadata = np.array([[40, *ROTATION]], np.float32)
        potential, spread = predict_images(load_trained(weights).network, lattice(96, 128)[None], metadata)
        assert spread is not None
        np.testing.assert_allclose(made["potential"], potential[0], atol=1e-4 * potential.std())
        np.testing.assert_allclose(made["mean_potential"], potential[0] / 400, atol=1e-4 * potential.std() / 400)
        np.testing.assert_allclose(made["spread"], spread[0], rtol=1e-3)
        assert made["idpc"].shape == (96, 128) and float(made["sampling"]) == 0.2
        assert load_trained(weights).sha256 in str(made["attributes"])
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")


def test_an_unsure_tilt_and_thickness_widen_the_uncertainty(
    command: Callable[..., Path], weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the variance of the potential over what may be true, drawn many times; the potential stays."""
    network, segments = load_trained(weights).network, lattice(96, 128)[None]
    found, potentials = {}, []
    for errors in (("0", "0"), ("0.1", "0"), ("0.1", "5"), ("0.125", "12.5")):
        with np.load(command("--no-check", "--tilt-error", errors[0], "--thickness-error", errors[1])) as made:
            found[errors] = made["spread"]
            potentials.append(made["potential"])
            assert "holds for a tilt of 0.3 and -0.2" in json.loads(str(made["attributes"]))["holds"]
        assert f"(± {errors[0]}°) and 40 nm (± {errors[1]} %); whether they are true was not tested" in (
            capsys.readouterr().out
        )
    np.testing.assert_array_equal(potentials[0], potentials[2])
    rng = np.random.default_rng(0)
    drawn = np.array([40, *ROTATION], np.float32) + rng.normal(size=(40, 4)).astype(np.float32) * [2, 0.1, 0.1, 0]
    others, _ = predict_images(network, np.repeat(segments, len(drawn), axis=0), drawn.astype(np.float32))
    variance = ((others - potentials[0]) ** 2).mean(axis=0)
    added = 2 * (found["0.1", "5"] ** 2 - found["0", "0"] ** 2)
    assert added.mean() == pytest.approx(variance.mean(), rel=0.35)
    assert found["0", "0"].mean() < found["0.1", "0"].mean() < found["0.1", "5"].mean()


@pytest.mark.parametrize(("turns", "runs"), [(1, 6), (4, 7)])
def test_what_was_predicted_is_not_predicted_again(
    turns: int, runs: int, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six other told values; the told ones once more where the mean over turns is another potential."""
    told: list[Any] = []
    predict = reconstruct_module.predict_large

    def counted(network: Any, segments: Any, metadata: Any, *rest: Any) -> Any:
        told.append(metadata)
        return predict(network, segments, metadata, *rest)

    monkeypatch.setattr(reconstruct_module, "predict_large", counted)
    reconstruct(recorded(beam_intensity=1.0, order=(2, 0, 3, 1)), load_trained(weights), Choices(turns))
    assert len(told) == runs


def test_columns_at_the_entrance_surface_need_no_tilt(command: Callable[..., Path]) -> None:
    """Those of a tilt that is told 0.5° off differ less than the potentials that are projected along it."""
    near, far = {}, {}
    for kept, tilt in ((near, "0.3"), (far, "0.8")):
        with np.load(command("--no-check", "--columns", "--tilt", tilt, "-0.2", "--rotation", "20")) as made:
            kept |= {name: made[name] for name in ("columns", "potential")}
    apart = {name: np.std(near[name] - far[name]) / np.std(near[name]) for name in near}
    assert apart["columns"] < 0.5 * apart["potential"]


def test_options_say_what_the_file_does_not(command: Callable[..., Path]) -> None:
    """Whether a number comes from the file or from an option."""
    with np.load(command("--no-check")) as made:
        expected = made["potential"]
    unknown = dict.fromkeys(
        ("sampling", "energy_kev", "semiangle_mrad", "detector_inner_mrad", "detector_outer_mrad", "order",
         "thickness_nm", "tilt_deg", "rotation_deg", "beam_intensity")
    )  # fmt: skip
    options = [
        *("--sampling", "0.2", "--energy", "200", "--semiangle", "20", "--detector", "10", "50"),
        *("--thickness", "40", "--tilt", "0.3", "-0.2", "--rotation", "20"),
        *("--beam-intensity", "2", "--dark-intensity", "0.5"),
        *("--segment-order", "c", "a", "4", "2", "--no-check"),
    ]
    told = command(*options, segments=0.5 + 1.5 * recorded().segments, **unknown)
    with np.load(told) as made:
        np.testing.assert_allclose(made["potential"], expected, atol=1e-4 * expected.std())


@pytest.mark.parametrize("ending", [".emd", ".hspy", ".zspy", ".tif", ".npy"])
def test_the_potential_does_not_depend_on_the_format(
    ending: str, command: Callable[..., Path], weights: Path, tmp_path: Path
) -> None:
    """To 1e-4 of its contrast."""
    with np.load(command("--no-check")) as made:
        expected = made["potential"]
    source = tmp_path / f"in{ending}"
    write_image(recorded(), source)
    order = ["--segment-order", "1", "2", "3", "4"] if ending in (".tif", ".npy") else []
    main(["reconstruct", str(source), "--weights", str(weights), "--device", "cpu", "--turns", "1", "--no-check",
          "--output", str(tmp_path / "other.npz"), "--sampling", "0.2", "--energy", "200", "--semiangle", "20",
          "--detector", "10", "50", "--thickness", "40", "--tilt", *map(str, ROTATION[:2]), "--rotation",
          str(ROTATION[2]), "--beam-intensity", "1",
          "--dark-intensity", "0", "--scan-rotation", "0", *order])  # fmt: skip
    with np.load(tmp_path / "other.npz") as made:
        np.testing.assert_allclose(made["potential"], expected, atol=1e-4 * expected.std())


def test_a_quarter_turn_of_the_scan_is_another_order(command: Callable[..., Path]) -> None:
    with np.load(command("--no-check", "--scan-rotation", "90")) as made:
        turned = made["potential"]
    with np.load(command("--no-check", order=quarter_turned((2, 0, 3, 1), 1))) as made:
        np.testing.assert_array_equal(made["potential"], turned)
    with np.load(command("--no-check")) as made:
        assert np.abs(made["potential"] - turned).max() > 0.01 * turned.std()


def test_flip_exchanges_left_and_right(command: Callable[..., Path]) -> None:
    with np.load(command("--no-check", "--flip")) as made:
        flipped = made["potential"]
    with np.load(command("--no-check", order=(0, 2, 1, 3))) as made:
        np.testing.assert_array_equal(made["potential"], flipped)


def test_what_the_network_was_not_trained_for_is_printed_and_kept(
    command: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = command("--no-check", "--thickness", "170", scan_rotation_deg=None, dose=10.0)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert [line.split(":")[1].strip() for line in lines] == ["thickness_nm", "dose", "scan rotation"]
    with np.load(path) as made:
        assert json.loads(str(made["attributes"]))["warnings"] == [line.removeprefix("warning: ") for line in lines]


def test_a_guessed_beam_is_told(command: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(command("--no-check", "--beam-intensity", "auto", segments=7 * recorded().segments)) as made:
        assert '"beam_intensity"' in str(made["attributes"])
    assert "guessed" in capsys.readouterr().err


def test_a_range_of_thicknesses_is_a_table_and_a_figure(command: Callable[..., Path], tmp_path: Path) -> None:
    path = command("--thickness", "30:50:10", "--figure", str(tmp_path / "scan.svg"), output="scan.csv")
    table = pandas.read_csv(path)
    assert table["thickness_nm"].tolist() == [30, 40, 50] and table["trained"].all()
    assert "assumed thickness" in (tmp_path / "scan.svg").read_text()


@pytest.mark.parametrize(
    ("options", "known", "parts"),
    [
        ([], {"energy_kev": None}, ["energy_kev", "--energy"]),
        ([], {"beam_intensity": None}, ["--beam-intensity"]),
        (["--beam-intensity", "much"], {}, ["'much'", "auto"]),
        (["--beam-intensity", "-1"], {}, ["beam_intensity", "-1"]),
        (["--segment-order", "1", "2", "3", "3"], {}, ["order", "each once"]),
        (["--segment-order", "1", "2", "3", "e"], {}, ["'e'", "a, b, c, d"]),
        (["--flip"], {"order": None}, ["--segment-order"]),
        (["--thickness", "thick"], {}, ["'thick'", "FIRST:LAST:STEP"]),
        (["--thickness", "20:40:10"], {}, [".csv"]),
        (["--thickness", "0"], {}, ["above 0"]),
        (["--tilt-error", "-1"], {}, ["--tilt-error", "0 to 10"]),
        (["--thickness", "20:40:10", "--tilt-error", "1"], {}, ["--tilt-error", "a range of thicknesses"]),
        (["--output", "out.jpg"], {}, [".jpg", ".zspy"]),
        (["--figure", "out.jpg"], {}, [".jpg", ".png"]),
        (["--threads", "0"], {}, ["--threads", "1 to 1,024"]),
        (["--tile", "100"], {}, ["100", "multiples of 32"]),
        (["--weights", "none.safetensors"], {}, ["none.safetensors", "weights"]),
        (["--sampling", "0.05"], {}, ["24 x 32", "at least 64"]),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    options: list[str], known: dict[str, Any], parts: list[str], command: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as caught:
        command(*options, **known)
    message = str(caught.value.code)
    assert message.startswith("iphasenet: ") and "\n" not in message
    for part in parts:
        assert part in message
    assert [path.name for path in tmp_path.iterdir()] == ["in.npz"]


@pytest.mark.parametrize(
    ("text", "expected"), [("40", [40.0]), ("20:50:10", [20, 30, 40, 50]), ("20:45:10", [20, 30, 40]), ("5:5:1", [5])]
)
def test_thicknesses_are_read(text: str, expected: list[float]) -> None:
    assert parse_thicknesses(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "20:40", "40:20:5", "20:40:0", "nan", "1:1000:1", "20:40:-5"])
def test_ranges_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--thickness"):
        parse_thicknesses(text)


@pytest.mark.parametrize(
    ("agreement", "said"),
    [
        # GaN of 40 nm: 50 nm was said to explain the images best.
        ([0.60, 0.826, 0.833, 0.841, 0.70], "30 to 50 nm explain the images alike: they cannot be told apart"),
        ([0.60, 0.70, 0.85, 0.71, 0.50], "40 nm explains the images best of 5 thicknesses (agreement 0.85 to 0.85)"),
        ([0.60, 0.70, 0.75, 0.80, 0.85], "60 nm explains the images best of 5 thicknesses (agreement 0.85 to 0.85); "
         "the table ends at 60 nm"),
        ([0.84, 0.55, 0.50, 0.83, 0.40], "20 and 50 nm explain the images alike: they cannot be told apart"),
        ([0.1, 0.2, 0.3, 0.49, np.nan], "no thickness explains the images"),
    ],
)  # fmt: skip
def test_a_scan_says_the_range_that_cannot_be_told_apart(agreement: list[float], said: str, tmp_path: Path) -> None:
    known = {"thickness_nm": [20.0, 30.0, 40.0, 50.0, 60.0], "agreement": agreement, "phase_object": np.nan}
    table = pandas.DataFrame({**known, "phase_object_means": False, "trained": True})
    table["agreement_means"] = table["agreement"] >= 0.5
    assert describe_scan(table).startswith(said)
    draw_scan(table, tmp_path / "scan.svg")
    assert ("alike: 30 to 50 nm" in (tmp_path / "scan.svg").read_text()) == ("30 to 50" in said)


def test_a_scan_without_a_lattice_is_drawn_and_says_nothing(tmp_path: Path) -> None:
    table = pandas.DataFrame(
        {
            "thickness_nm": [2.0, 20.0],
            "agreement": np.nan,
            "phase_object": np.nan,
            "agreement_means": False,
            "phase_object_means": [True, False],
            "trained": True,
        }
    )
    draw_scan(table, tmp_path / "scan.svg")
    text = (tmp_path / "scan.svg").read_text()
    assert "means nothing" in text and "best" not in text


def test_a_reconstruction_without_uncertainty_is_drawn_without_its_panel(tmp_path: Path) -> None:
    made = np.random.default_rng(0).random((70, 90)).astype(np.float32)
    for spread, panels in ((made, 4), (None, 3)):
        whole = Reconstruction(made, made, spread, made, 0.2, 40.0, ROTATION[:2], ROTATION[2])
        draw_reconstruction(whole, tmp_path / "all.svg")
        assert (tmp_path / "all.svg").read_text().count("<image") >= panels
        assert ("Uncertainty" in (tmp_path / "all.svg").read_text()) == (spread is not None)


def test_images_that_do_not_belong_together_are_refused() -> None:
    made = np.ones((70, 90), np.float32)
    with pytest.raises(InputError, match="idpc"):
        Reconstruction(made, made, None, made[1:], 0.2, 40.0, ROTATION[:2], ROTATION[2])
    with pytest.raises(InputError, match="spread"):
        Reconstruction(made, made, np.nan * made, made, 0.2, 40.0, ROTATION[:2], ROTATION[2])


def test_weights_are_asked_for_where_the_repository_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shipped_weights().name == "laptop.safetensors"
    monkeypatch.setattr(reconstruct_module, "SHIPPED", Path("no") / "such.safetensors")
    with pytest.raises(InputError, match="--weights"):
        shipped_weights()


def test_a_detector_without_the_discs_edge_has_no_scale_of_the_idpc(weights: Path) -> None:
    made = reconstruct(recorded(detector_inner_mrad=25.0), load_trained(weights), Choices(turns=1))
    assert any(line.startswith("idpc:") for line in made.attributes["warnings"])
