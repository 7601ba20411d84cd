"""Curves and scores: what they show, and what they refuse."""

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from iphasenet.base.drawing import METHODS, material_looks, pearson_axis
from iphasenet.base.errors import InputError
from iphasenet.reporting.crystal_figures import draw_atomic_columns, draw_spectra, draw_windows
from iphasenet.reporting.evaluation_figures import draw_calibration, draw_distribution, draw_potentials
from iphasenet.reporting.score_figures import draw_alterations, draw_errors, draw_loss, draw_scores
from tests.figure_tables import PEARSON, TYPES, Tables, metrics_csv

FIGURES: dict[str, Callable[[Tables, list[Path]], None]] = {
    "loss": lambda t, o: draw_loss(t.history(), o),
    "scores": lambda t, o: draw_scores(t.samples(), o),
    "errors": lambda t, o: draw_errors(t.summary(), o),
    "alterations": lambda t, o: draw_alterations(t.altered(), o),
    "potentials": lambda t, o: draw_potentials(t.samples(), o),
    "distribution": lambda t, o: draw_distribution(t.samples(), o),
    "calibration": lambda t, o: draw_calibration(t.coverage(), o),
    "spectra": lambda t, o: draw_spectra(t.spectra(), o, 1.2),
    "windows": lambda t, o: draw_windows(t.windows(), o),
    "atomic_columns": lambda t, o: draw_atomic_columns(t.columns(), t.summary(), o),
}


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path)


def curves(axes: Axes) -> dict[str, tuple[list[float], list[float]]]:
    """x and y of each labelled line."""
    return {
        str(line.get_label()): (line.get_xdata(orig=False).tolist(), line.get_ydata(orig=False).tolist())
        for line in axes.lines
        if not str(line.get_label()).startswith("_")
    }


@pytest.mark.parametrize("name", FIGURES)
def test_a_large_figure_names_its_axes_and_its_texts_have_room(name: str, drawn: list[Figure], tmp_path: Path) -> None:
    large = Tables(tmp_path, tuple(TYPES), (20.0, 40.0, 60.0, 80.0, 100.0, 120.0, 150.0), (1e4, 3e4, 1e5, 3e5, 1e6))
    FIGURES[name](large, [tmp_path / f"{name}.png"])
    figure = drawn[0]
    figure.draw_without_rendering()
    inked, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert inked.x0 >= 0 and inked.y0 >= 0 and inked.x1 <= width and inked.y1 <= height
    for axes in (axes for axes in figure.axes if axes.axison):
        place = axes.get_subplotspec()
        assert axes.get_ylabel() or not place.is_first_col()
        assert axes.get_xlabel() or not place.is_last_row() or name == "atomic_columns"
        low, high = axes.get_xlim()
        # Inner axes have ticks without labels.
        ticks = zip(axes.get_xticks(), axes.get_xticklabels(), strict=False)
        boxes = [label.get_window_extent() for tick, label in ticks if low <= tick <= high and label.get_text()]
        if name != "atomic_columns":  # its labels are inclined
            assert all(a.x1 < b.x0 for a, b in itertools.pairwise(sorted(boxes, key=lambda box: box.x0)))


@pytest.mark.parametrize("name", FIGURES)
def test_one_material_dose_thickness_and_method_are_enough(name: str, tmp_path: Path) -> None:
    smallest = Tables(tmp_path, ("GaN",), (20.0,), (1e4,), ("model",))
    FIGURES[name](smallest, [tmp_path / f"{name}.png", tmp_path / f"{name}.svg"])
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "</svg>" in (tmp_path / f"{name}.svg").read_text()


def test_the_same_input_gives_the_same_bytes(tables: Tables, tmp_path: Path) -> None:
    written = []
    for run in ("first", "second"):
        folder = tmp_path / run
        for name in ("scores", "distribution"):
            FIGURES[name](tables, [folder / f"{name}.svg", folder / f"{name}.png"])
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert len(written[0]) == 4
    assert written[0] == written[1]


def test_colour_is_never_the_only_cue() -> None:
    drawn = {name: look for name, look in METHODS.items() if f"{name}_told" not in METHODS}
    for looks in (drawn, material_looks(["A", "B", "C", "D", "E", "F", "G"])):
        for first, second in itertools.combinations(looks.values(), 2):
            assert first.colour != second.colour and first.marker != second.marker
    assert len({look.line for look in drawn.values()}) == len({look.hatch for look in drawn.values()}) == 5


def test_a_baseline_is_drawn_as_much_told_as_the_network(drawn: list[Figure], tmp_path: Path) -> None:
    told = "Wiener filter, told the tilt"
    for methods, label in ((("model", "wiener", "wiener_told"), told), (("model", "wiener"), "Wiener filter")):
        tables = Tables(tmp_path, methods=methods)
        for draw in ("scores", "errors", "distribution", "spectra", "atomic_columns"):
            FIGURES[draw](tables, [tmp_path / "figure.png"])
            legends = [*drawn[-1].legends, *(a.get_legend() for a in drawn[-1].axes if a.get_legend())]
            labels = {text.get_text() for legend in legends for text in legend.get_texts()}
            assert label in labels and not any(text.startswith("Wiener") for text in labels - {label})


def test_correlations_keep_their_order_and_one_is_on_the_axis() -> None:
    axes = Figure().subplots()
    axes.plot([-0.5, 1.0])
    pearson_axis(axes)
    values = np.array([-1, -0.5, 0, 0.5, 0.9, 0.95, 0.99, 1])
    places = axes.yaxis.get_transform().transform(values)
    assert np.all(np.diff(places) > 0)
    np.testing.assert_allclose(axes.yaxis.get_transform().inverted().transform(places), values, atol=1e-12)
    low, high = axes.get_ylim()
    assert low < -0.5 and high > 1


def test_last_run_of_an_epoch_counts(drawn: list[Figure], tmp_path: Path) -> None:
    first = [(0, 2.0, 3.0, 0.1), (1, 1.0, 2.0, 0.2), (2, 0.9, 1.9, 0.99)]
    resumed = [(1, 1.1, 2.1, 0.3), (2, 0.8, 1.8, 0.4), (3, 0.7, 1.7, 0.5)]
    draw_loss(metrics_csv(tmp_path / "metrics.csv", first + resumed), [tmp_path / "loss.png"])
    loss, pearson = drawn[0].axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[2.0, 1.1, 0.8, 0.7], [3.0, 2.1, 1.8, 1.7]]
    assert list(pearson.lines[0].get_xdata()) == [0, 1, 2, 3]
    assert list(pearson.lines[0].get_ydata()) == [0.1, 0.3, 0.4, 0.5]
    assert pearson.lines[1].get_label() == "best: 0.500 at epoch 3"


def test_scores_box_the_network_and_three_baselines_by_material(tables: Tables, drawn: list[Figure]) -> None:
    draw_scores(tables.samples(), [tables.folder / "scores.png"])
    axes = drawn[0].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["GaN", "LiCoO2"]
    means = {(round(x), round(y, 3)) for line in axes.lines if line.get_marker() in "os^v"
             for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)}  # fmt: skip
    assert means == {
        (place, PEARSON[method]) for place in (0, 1) for method in ("model", "wiener_told", "idpc_told", "nearest")
    }
    labels = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert labels == ["network", "Wiener filter, told the tilt", "iDPC, told the tilt", "nearest training sample"]


@pytest.mark.parametrize(
    ("draw", "changed", "message"),
    [
        (draw_scores, {"pearson": np.nan}, "GaN-20: pearson: found nan"),
        (draw_scores, {"method": "guess"}, "method: found 'guess'; allowed: model, idpc"),
        (draw_potentials, {"maximum_true": np.inf}, "GaN-20: maximum_true: found inf"),
        (draw_potentials, {"method": "idpc"}, "method: found no 'model'"),
        (draw_distribution, {"mae_share_of_max": np.nan}, "GaN-20: mae_share_of_max: found nan"),
    ],
)
def test_samples_that_cannot_be_drawn_are_refused(tables: Tables, draw: Any, changed: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        draw(tables.samples(**changed), [tables.folder / "out.png"])
    assert not (tables.folder / "out.png").exists()


def test_errors_show_means_and_intervals_against_thickness_and_dose(tables: Tables, drawn: list[Figure]) -> None:
    draw_errors(tables.summary(), [tables.folder / "errors.png"])
    shares, _, thickness, dose = drawn[0].axes
    for axes, levels in ((thickness, tables.thicknesses), (dose, tables.doses)):
        network, *baselines = axes.containers
        assert len(baselines) == 4
        assert list(network.lines[0].get_xdata()) == list(levels)
        np.testing.assert_allclose(network.lines[0].get_ydata(orig=False), [0.98, 0.97, 0.96])
        bar = network.lines[2][0].get_segments()[0]
        np.testing.assert_allclose(bar[:, 1], [0.97, 0.99])
    np.testing.assert_allclose(shares.containers[0].lines[0].get_ydata(orig=False), [0.4, 0.6, 0.8])


def test_a_level_without_an_interval_is_drawn_without_one(tables: Tables, drawn: list[Figure]) -> None:
    draw_errors(tables.summary(half_width=None), [tables.folder / "errors.png"])
    network = drawn[0].axes[0].containers[0]
    assert np.isfinite(network.lines[0].get_ydata(orig=False)).all()
    assert not any(np.size(bar) and np.isfinite(bar).all() for bar in network.lines[2][0].get_segments())


def test_errors_leave_out_what_has_one_level(tmp_path: Path, drawn: list[Figure]) -> None:
    draw_errors(Tables(tmp_path, doses=(1e5,)).summary(), [tmp_path / "errors.png"])
    assert [axes.get_xlabel() for axes in drawn[0].axes] == ["", "thickness [nm]"]


def test_errors_refuse_a_missing_number(tables: Tables) -> None:
    path = tables.summary()
    summary = json.loads(path.read_text())
    summary["by"]["dose"]["1e+06"]["wiener"]["pearson"]["mean"] = None
    path.write_text(json.dumps(summary))
    with pytest.raises(InputError, match=r"by\.dose\.1e\+06\.wiener\.pearson: found NaN"):
        draw_errors(path, [tables.folder / "errors.png"])
    del summary["by"]["dose"]["1e+06"]["wiener"]["pearson"]
    path.write_text(json.dumps(summary))
    with pytest.raises(InputError, match=r"by\.dose\.1e\+06\.wiener\.pearson: found NaN"):
        draw_errors(path, [tables.folder / "errors.png"])
    path.write_text(json.dumps({"by": {}}))
    with pytest.raises(InputError, match=r"by\.thickness_nm: found no scores"):
        draw_errors(path, [tables.folder / "errors.png"])


def test_potentials_are_one_point_a_sample_at_one_dose(tables: Tables, drawn: list[Figure]) -> None:
    draw_potentials(tables.samples(), [tables.folder / "potentials.png"])
    mean, maximum = drawn[0].axes
    assert set(curves(mean)) == {"GaN", "LiCoO2", "predicted = true"}
    true, predicted = curves(mean)["GaN"]
    np.testing.assert_allclose(true, [4, 12, 24])
    np.testing.assert_allclose(predicted, [3.96, 11.88, 23.76])
    np.testing.assert_allclose(curves(maximum)["LiCoO2"][1], [12.6, 37.8, 75.6])
    assert mean.get_xlim() == mean.get_ylim()
    assert "kV Å" in mean.get_xlabel() and "100\u2009000 e/Å²" in mean.get_title()


def test_distribution_holds_every_image_once_and_the_bias(tables: Tables, drawn: list[Figure]) -> None:
    draw_distribution(tables.samples(), [tables.folder / "distribution.png"])
    histogram, bias = drawn[0].axes
    shares = {step.get_label(): step.get_data().values.sum() for step in histogram.patches if step.get_label()}
    assert set(shares) >= {look.label for name, look in METHODS.items() if f"{name}_told" not in METHODS}
    assert all(share == pytest.approx(100) for share in shares.values())
    assert curves(histogram)["published mean: 3.4 %"][0] == [3.4, 3.4]
    np.testing.assert_allclose(curves(bias)["GaN"][1], [-40, -120, -240])
    assert "mean −133 V Å" in bias.get_title()


def test_perfect_predictions_have_a_distribution(tables: Tables, drawn: list[Figure]) -> None:
    draw_distribution(tables.samples(mae_share_of_max=0.0), [tables.folder / "distribution.png"])
    shares = [step.get_data().values.sum() for step in drawn[0].axes[0].patches if step.get_label()]
    assert shares and all(share == pytest.approx(100) for share in shares)


def test_alterations_show_materials_and_their_mean(tables: Tables, drawn: list[Figure]) -> None:
    draw_alterations(tables.altered(), [tables.folder / "alterations.png"])
    _, _, metadata, noise = drawn[0].axes
    np.testing.assert_allclose(curves(metadata)["LiCoO2"][1], [0.88, 0.78, 0.68, 0.58, 0.48])
    assert [text.get_text() for text in metadata.texts] == ["0.890", "0.790", "0.690", "0.590", "0.490"]
    ticks = [label.get_text() for label in noise.get_xticklabels()]
    assert ticks == ["none", "shot", "shot +\nread-out", "shot +\ngains", "shot +\nscan", "all"]


def test_alterations_of_one_kind_stand_alone(tables: Tables, drawn: list[Figure]) -> None:
    draw_alterations(tables.altered(["noise"]), [tables.folder / "alterations.png"])
    assert [axes.get_xlabel() for axes in drawn[0].axes] == ["", "noise of the images"]


def test_alterations_that_cannot_be_drawn_are_refused(tables: Tables) -> None:
    with pytest.raises(InputError, match="GaN-20: pearson: found nan"):
        draw_alterations(tables.altered(pearson=np.nan), [tables.folder / "alterations.png"])
    with pytest.raises(InputError, match="kind: found 'weather'"):
        draw_alterations(tables.altered(["noise", "weather"]), [tables.folder / "alterations.png"])


def test_calibration_compares_coverage_with_the_level(tables: Tables, drawn: list[Figure]) -> None:
    draw_calibration(tables.coverage(), [tables.folder / "calibration.png"])
    covered, ratio = drawn[0].axes
    np.testing.assert_allclose(curves(covered)["GaN"], [[50, 80, 90, 95, 99], [40, 70, 80, 85, 89]])
    assert curves(covered)["calibrated"] == ([0, 100], [0, 100])
    np.testing.assert_allclose(curves(ratio)["GaN"], [tables.doses, [0.9, 1.0, 1.1]])


def test_a_network_without_uncertainty_gets_a_sentence(tables: Tables, drawn: list[Figure]) -> None:
    path = tables.write("coverage", [])
    draw_calibration(path, [tables.folder / "calibration.png"])
    (text,) = drawn[0].axes[0].texts
    assert text.get_text().startswith("This network predicts no uncertainty")


def test_spectra_are_those_of_the_middle_dose_in_order_of_frequency(tables: Tables, drawn: list[Figure]) -> None:
    draw_spectra(tables.spectra(), [tables.folder / "spectra.png"], information_limit=1.2)
    gan, _ = drawn[0].axes
    frequency, power = curves(gan)["truth"]
    assert frequency == [0.1, 0.5, 1.5]
    np.testing.assert_allclose(power, [10**-0.2, 0.1, 1e-3])
    assert len(curves(gan)) == 7 and curves(gan)["2α/λ of the probe"][0] == [1.2, 1.2]
    assert gan.get_yscale() == "log"


def test_spectra_need_no_limit_of_information(tables: Tables, drawn: list[Figure]) -> None:
    draw_spectra(tables.spectra(), [tables.folder / "spectra.png"])
    assert not any("probe" in label for label in curves(drawn[0].axes[0]))


def test_windows_are_a_line_a_thickness_in_percent(tables: Tables, drawn: list[Figure]) -> None:
    draw_windows(tables.windows(), [tables.folder / "windows.png"])
    gan, other = drawn[0].axes
    assert (gan.get_title(), other.get_title()) == ("GaN", "LiCoO2")
    size, difference = curves(gan)["60 nm"]
    assert size == [25, 40, 50] and list(curves(gan)) == ["20 nm", "60 nm", "120 nm"]
    np.testing.assert_allclose(difference, 6 * np.exp(-np.array(size) / 10))


def test_light_columns_stand_apart_and_what_was_not_found_has_no_position(tables: Tables, drawn: list[Figure]) -> None:
    draw_atomic_columns(tables.columns(), tables.summary(), [tables.folder / "columns.png"])
    found, position, _ = drawn[0].axes
    ticks = [label.get_text() for label in found.get_figure().axes[-1].get_xticklabels()]
    assert ticks == ["Ga+N\nGaN", "Co\nLiCoO2", "Li\nLiCoO2", "O\nLiCoO2"]
    places = found.get_figure().axes[-1].get_xticks()
    assert places[1] - places[0] == places[3] - places[2] < places[2] - places[1]
    (shade,) = [patch for patch in found.patches if patch.get_hatch()]
    assert places[1] < shade.get_x() < places[2]
    np.testing.assert_allclose(curves(found)["network"][1], [98, 98, 49, 49])
    assert np.isnan(curves(position)["phase inversion, told the tilt"][1]).tolist() == [False, False, True, True]
    assert curves(found)["phase inversion, told the tilt"][1][2:] == [0, 0]


def test_a_type_of_column_without_numbers_is_refused(tables: Tables) -> None:
    path = tables.summary()
    summary = json.loads(path.read_text())
    del summary["columns"]["idpc_told"]["LiCoO2: Li"]
    path.write_text(json.dumps(summary))
    with pytest.raises(InputError, match=r"columns\.idpc_told\.LiCoO2: Li: found None"):
        draw_atomic_columns(tables.columns(), path, [tables.folder / "columns.png"])
