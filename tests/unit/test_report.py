"""Figures and report: what they show, and what they refuse."""

import base64
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr
from matplotlib.figure import Figure

from iphasenet import drawing, figures, metrics, sheets
from iphasenet.dataset import read_split
from iphasenet.errors import InputError
from iphasenet.noise import Acquisition, FixedNoise
from iphasenet.render import Image, Rendered
from iphasenet.report import METRICS, write_report
from iphasenet.sampling import SPLITS, Grid, Sample, samples
from iphasenet.store import assemble, write_material

PIXELS, SAMPLING = 16, 0.5
DOSES = (1e3, 1e5)
MATERIALS = ("GaN", "MoS2")
GRID = Grid(thickness_nm=(20, 40, 60), tilts=3, tilt_std_deg=0.3, rotations=1, validation_share=0.2, test_share=0.2)
MIDDLE = 1


def rendered(planned: list[Sample], rng: np.random.Generator) -> Iterator[Rendered]:
    for sample in planned:
        metadata = {
            **dict.fromkeys(("alpha", "beta", "offset_x", "offset_y"), 0.1),
            "sample_id": sample.sample_id,
            "thickness_nm": sample.thickness_nm,
            "slab_thickness": 10 * sample.thickness_nm,
            "gamma": sample.gamma,
            "tilt": sample.orientation.index,
            "split": SPLITS.index(sample.orientation.split),
        }
        image = rng.random((5, PIXELS, PIXELS), dtype=np.float32)
        yield Rendered(0.05 + 0.1 * image[:4], 1e4 * image[4], metadata)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    noise, rng = FixedNoise(DOSES, Acquisition(readout_electrons=0.3)), np.random.default_rng(0)
    for name in MATERIALS:
        planned = samples(1, name, GRID)
        write_material(folder / name, rendered(planned, rng), planned, Image(PIXELS, SAMPLING), noise, 1, name, {})
    assemble(folder / "dataset.zarr", {name: folder / name for name in MATERIALS}, {})
    return folder / "dataset.zarr"


@pytest.fixture
def predictions(dataset: Path, tmp_path: Path) -> Path:
    """Predictions that are worse at the lower dose, and iDPC of the wrong sign."""
    path = tmp_path / "predictions.zarr"
    root = zarr.open_group(path, mode="w", zarr_format=3)
    root.attrs["doses"] = list(DOSES)
    rng = np.random.default_rng(1)
    for data in read_split(dataset, "test"):
        group = root.create_group(data.material)
        noise = rng.normal(0, 1, (len(data.potential), 2, PIXELS, PIXELS)) * np.array([9e3, 1e3])[:, None, None]
        group.create_array("model", data=(data.potential[:, None] + noise).astype(np.float32))
        group.create_array("idpc", data=(5e3 - data.potential[:, None] + 2 * noise).astype(np.float32))
        ids = group.create_array("sample_id", shape=(len(data.potential),), dtype=str)
        ids[:] = data.coordinates["sample_id"]
    return path


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures that were saved."""
    saved: list[Figure] = []
    save = drawing.save_figure

    def spy(figure: Figure, outputs: Any, **options: int) -> None:
        saved.append(figure)
        save(figure, outputs, **options)

    for module in (figures, sheets):
        monkeypatch.setattr(module, "save_figure", spy)
    return saved


def samples_csv(path: Path, pearson: float = 0.9) -> Path:
    rows = [
        {"sample_id": f"{material}-{tilt}-{thickness}", "material": material, "tilt": tilt, "thickness_nm": thickness,
         "dose": dose, "method": method, "pearson": pearson if method == "model" else 0.2}
        for material in MATERIALS for tilt in (3, 7) for thickness in (20, 40) for dose in DOSES
        for method in ("model", "idpc")
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def metrics_csv(path: Path, epochs: list[tuple[int, float, float, float]]) -> Path:
    """Training's log: a row for validation, a row for training, one for the learning rate."""
    rows: list[dict[str, float]] = []
    for epoch, train, validation, pearson in epochs:
        rows.append({"epoch": epoch, "validation_loss": validation, "validation_pearson": pearson})
        rows.append({"epoch": epoch, "train_loss": train})
        rows.append({"epoch": epoch, "learning_rate": 1e-4})
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def correlation(image: np.ndarray, truth: np.ndarray) -> float:
    image, truth = image - image.mean(dtype=float), truth - truth.mean(dtype=float)
    return float((image * truth).sum() / np.sqrt((image**2).sum() * (truth**2).sum()))


def test_titles_show_the_correlation_at_the_highest_dose(
    dataset: Path, predictions: Path, drawn: list[Figure], tmp_path: Path
) -> None:
    sheets.draw_predictions(dataset, predictions, [tmp_path / "predictions.svg"])
    titles = [axes.get_title() for axes in drawn[0].axes]
    stored = zarr.open_group(predictions, mode="r")
    for data in read_split(dataset, "test"):
        truth = data.potential[MIDDLE]
        for method, label in (("model", "Prediction"), ("idpc", "iDPC")):
            r = correlation(stored[f"{data.material}/{method}"][MIDDLE, 1], truth)
            assert f"{label}, r = {r:.3f}".replace("-", "−") in titles


def test_truth_and_prediction_share_a_scale_and_the_difference_is_symmetric(
    dataset: Path, predictions: Path, drawn: list[Figure], tmp_path: Path
) -> None:
    sheets.draw_predictions(dataset, predictions, [tmp_path / "predictions.png"])
    data, axes = next(read_split(dataset, "test")), drawn[0].axes
    images = {a.get_title().split(",")[0]: a.images[0] for a in reversed(axes) if a.images}
    truth = data.potential[MIDDLE]
    assert images["Truth"].get_clim() == images["Prediction"].get_clim() == (truth.min(), truth.max())
    low, high = images["Prediction − truth"].get_clim()
    difference = zarr.open_group(predictions, mode="r")["GaN/model"][MIDDLE, 1] - truth
    assert -low == high == pytest.approx(np.abs(difference).max())
    assert np.array_equal(images["Input: top-left"].get_array(), data.noisy_segments[MIDDLE, 1, 0])


def test_sample_sheet_shows_segments_of_the_middle_thickness_on_one_scale(
    dataset: Path, drawn: list[Figure], tmp_path: Path
) -> None:
    sheets.draw_samples(dataset, [tmp_path / "samples.png"])
    data = list(read_split(dataset, "test"))[1]
    row = [axes.images[0] for axes in drawn[0].axes if axes.images][5:]
    assert all(np.array_equal(row[i].get_array(), data.segments[MIDDLE, i]) for i in range(4))
    assert len({image.get_clim() for image in row[:4]}) == 1
    assert np.array_equal(row[4].get_array(), data.potential[MIDDLE])
    texts = [text.get_text() for text in drawn[0].texts]
    assert "MoS2" in texts
    assert any(
        f"40 nm     α = 0.10°     β = 0.10°     γ = {data.coordinates['gamma'][MIDDLE]:.1f}°" in t for t in texts
    )
    # A field of 8 Å: 2 Å is the longest bar that leaves room.
    assert [text.get_text() for text in drawn[0].axes[0].texts] == ["0.2 nm"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: root.attrs.update(doses=[1.0, 2.0]), "doses: found [1.0, 2.0]"),
        (lambda root: root["GaN/sample_id"].__setitem__(0, "other"), "GaN: sample_id differs"),
        (lambda root: root.__delitem__("MoS2"), "found no MoS2"),
    ],
)
def test_predictions_of_another_data_set_are_refused(
    dataset: Path, predictions: Path, tmp_path: Path, spoil: Any, message: str
) -> None:
    spoil(zarr.open_group(predictions, mode="a"))
    with pytest.raises(InputError, match=re.escape(message)):
        sheets.draw_predictions(dataset, predictions, [tmp_path / "predictions.png"])
    assert not (tmp_path / "predictions.png").exists()


def test_a_materials_sheet_has_a_row_a_thickness(dataset: Path, drawn: list[Figure], tmp_path: Path) -> None:
    sheets.draw_material(dataset / "GaN", [tmp_path / "GaN.png"])
    data = next(read_split(dataset, "test"))
    thicknesses = np.unique(data.coordinates["thickness_nm"])
    shown = [axes.images[0].get_array() for axes in drawn[0].axes if axes.images and len(axes.get_title())]
    assert data.material == "GaN" and len(shown) == 5 * len(thicknesses)
    np.testing.assert_array_equal(shown[-1], data.potential[len(thicknesses) - 1])


def test_last_run_of_an_epoch_counts(drawn: list[Figure], tmp_path: Path) -> None:
    first = [(0, 2.0, 3.0, 0.1), (1, 1.0, 2.0, 0.2), (2, 0.9, 1.9, 0.99)]
    resumed = [(1, 1.1, 2.1, 0.3), (2, 0.8, 1.8, 0.4), (3, 0.7, 1.7, 0.5)]
    figures.draw_loss(metrics_csv(tmp_path / "metrics.csv", first + resumed), [tmp_path / "loss.png"])
    loss, pearson = drawn[0].axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[2.0, 1.1, 0.8, 0.7], [3.0, 2.1, 1.8, 1.7]]
    assert list(pearson.lines[0].get_xdata()) == [0, 1, 2, 3]
    assert list(pearson.lines[0].get_ydata()) == [0.1, 0.3, 0.4, 0.5]
    assert pearson.lines[1].get_label() == "best: 0.500 at epoch 3"


def test_scores_show_the_means_of_both_methods(drawn: list[Figure], tmp_path: Path) -> None:
    figures.draw_scores(samples_csv(tmp_path / "samples.csv"), [tmp_path / "scores.png"])
    boxes, thickness, dose = drawn[0].axes
    assert [label.get_text() for label in boxes.get_xticklabels()] == list(MATERIALS)
    for axes, levels in ((thickness, [20, 40]), (dose, list(DOSES))):
        assert [line.get_label() for line in axes.lines] == ["network", "iDPC"]
        assert [list(line.get_xdata()) for line in axes.lines] == [levels, levels]
        assert [list(line.get_ydata()) for line in axes.lines] == [pytest.approx([0.9] * 2), pytest.approx([0.2] * 2)]


def test_scores_refuse_nan(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="GaN-3-20: pearson: found NaN"):
        figures.draw_scores(samples_csv(tmp_path / "samples.csv", float("nan")), [tmp_path / "scores.png"])


def test_the_same_input_gives_the_same_bytes(dataset: Path, predictions: Path, tmp_path: Path) -> None:
    log, table = metrics_csv(tmp_path / "m.csv", [(0, 2.0, 3.0, 0.1)]), samples_csv(tmp_path / "s.csv")
    written = []
    for run in ("first", "second"):
        folder = tmp_path / run
        sheets.draw_samples(dataset, [folder / "samples.svg", folder / "samples.png"])
        sheets.draw_predictions(dataset, predictions, [folder / "predictions.svg", folder / "predictions.png"])
        figures.draw_loss(log, [folder / "loss.svg", folder / "loss.png"])
        figures.draw_scores(table, [folder / "scores.svg", folder / "scores.png"])
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert len(written[0]) == 8
    assert written[0] == written[1]


def numbers(shift: float) -> dict[str, float]:
    return {
        "pearson": 0.9123 - shift,
        "mae": 1234.56 + 1000 * shift,
        "mae_share_of_max": 0.0321 + shift,
        "psnr_own_range": 21.234 - shift,
        "psnr_published_range": 48.765 - shift,
        "peak_error": 0.1876 + shift,
        "ssim": 0.8127 - shift,
    }


@pytest.fixture
def summary() -> dict[str, Any]:
    materials = {
        name: {"model": numbers(0.01 * i), "idpc": numbers(0.3 + 0.01 * i)} for i, name in enumerate(MATERIALS, 1)
    }
    return {
        "model": numbers(0), "idpc": numbers(0.25), "by_material": materials, "samples": 1008, "doses": list(DOSES)
    }  # fmt: skip


def report(folder: Path, summary: Any, configuration: dict[str, Any] | None = None) -> Path:
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "plot.png").write_bytes(b"\x89PNG plot")
    (folder / "plot.rst").write_text("First line\nof <b> & more.\n\nSecond paragraph.\n")
    write_report(
        output=folder / "reports" / "report.html",
        summary=folder / "summary.json",
        samples=samples_csv(folder / "samples.csv"),
        figures={"predictions": folder / "plot.png", "loss": folder / "plot.png"},
        captions={"predictions": folder / "plot.rst"},
        configuration=configuration or {"run": "trial <7>", "grid": {"thickness_nm": [20, 40]}},
        dataset=folder / "data set.zarr",
    )
    return folder / "reports" / "report.html"


class Page(HTMLParser):
    """Resources, links, cells and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.sources: list[str] = []
        self.links: list[str] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.in_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "srcset", "poster", "data")]
        self.links += [value or "" for name, value in attrs if name == "href"]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.in_cell:
            self.rows[-1][-1] += " ".join(data.split())


def test_report_needs_nothing_beside_it(tmp_path: Path, summary: dict[str, Any]) -> None:
    html = report(tmp_path, summary).read_text()
    page = Page(html)
    embedded = "data:image/png;base64," + base64.b64encode(b"\x89PNG plot").decode()
    assert page.sources == [embedded, embedded]
    assert not page.tags & {"script", "link", "iframe", "object"}
    assert not re.search(r"https?:|@import|url\(", html)


def test_report_shows_the_numbers_of_the_summary(tmp_path: Path, summary: dict[str, Any]) -> None:
    page = Page(report(tmp_path, summary).read_text())
    pairs = [tuple(row[1:]) for row in page.rows[1:8]]
    assert pairs == [
        ("0.912", "0.662"),
        ("1 234.6", "1 484.6"),
        ("3.21", "28.21"),
        ("21.23", "20.98"),
        ("48.77", "48.52"),
        ("18.8", "43.8"),
        ("0.813", "0.563"),
    ]
    rows = {tuple(row[:2]): row for row in page.rows}
    assert rows["GaN", "Network"][2:5] == ["0.902", "1 244.6", "4.21"]
    assert rows["MoS2", "Network"][-2:] == ["20.8", "0.793"]
    published = {row[1]: row[2] for row in page.rows[-4:]}
    assert published == {"54.45": "48.77", "897.8": "1 234.6", "0.72": "0.912", "23.8": "18.8"}


def test_report_begins_with_the_summary_in_words(tmp_path: Path, summary: dict[str, Any]) -> None:
    text = Page(report(tmp_path, summary).read_text()).text
    start = text[: text.index("Scores on held-out tilts")]
    assert "1\u202f008 samples of 2 materials (GaN, MoS2) at 1\u202f000 and 100\u202f000 e/Å²" in start
    assert "4 crystal tilts" in start
    assert "0.912 for the network and 0.662 for iDPC" in start
    assert "18.8 % for the network and 43.8 % for iDPC" in start


def test_report_escapes_names_and_captions_and_links_from_its_folder(tmp_path: Path, summary: dict[str, Any]) -> None:
    html = report(tmp_path, summary).read_text()
    assert "<h1>trial &lt;7&gt;</h1>" in html
    assert "<p>First line of &lt;b&gt; &amp; more.</p>\n<p>Second paragraph.</p>" in html
    assert "run: trial &lt;7&gt;\ngrid:\n  thickness_nm:\n  - 20\n" in html
    links = Page(html).links
    assert links[0] == "../data%20set.zarr"
    assert "../samples.csv" in links


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("model", "ssim"), float("nan"), "model.ssim: found nan"),
        (("by_material", "MoS2", "idpc", "mae"), float("inf"), "by_material.MoS2.idpc.mae: found inf"),
        (("by_material", "GaN", "model", "pearson"), None, "by_material.GaN.model.pearson: found nothing"),
        (("idpc",), {}, "idpc: found nothing"),
        (("by_material",), {}, "by_material: found nothing"),
        (("samples",), "many", "samples: found 'many'"),
        (("doses",), [], "doses: found nothing"),
    ],
)
def test_report_refuses_a_missing_number(
    tmp_path: Path, summary: dict[str, Any], path: tuple[str, ...], value: Any, message: str
) -> None:
    part = summary
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    with pytest.raises(InputError, match=re.escape(f"summary.json: {message}")) as error:
        report(tmp_path, summary)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "reports").exists()


def test_report_knows_every_metric() -> None:
    assert tuple(METRICS) == metrics.METRICS


def test_report_shows_shuffled_metadata_and_the_uncertainty_where_they_were_measured(
    tmp_path: Path, summary: dict[str, Any]
) -> None:
    plain = Page(report(tmp_path, summary).read_text())
    assert "Shuffled" not in plain.text and "uncertainty" not in plain.text
    summary["shuffled_metadata"] = {"nothing": numbers(0), "tilt": numbers(0.5)}
    summary["uncertainty"] = {"50%": 0.481, "90%": 0.883, "spread_over_error": 0.973}
    page = Page(report(tmp_path, summary).read_text())
    assert ["tilt", "0.412", "1 734.6", "68.8"] in page.rows
    assert ["Pixels within", "48.1 %", "88.3 %"] in page.rows
    assert "is 0.97 times the true one" in page.text
