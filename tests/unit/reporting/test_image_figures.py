"""Sheets of images: what they show, and what they refuse."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from iphasenet.dataset.reader import read_split
from iphasenet.dataset.writer import assemble, write_material
from iphasenet.microscope.acquisition import Acquisition, FixedNoise
from iphasenet.reporting import image_figures
from iphasenet.reporting.examples import Example
from iphasenet.simulation.grid import SPLITS, Grid, Sample, samples
from iphasenet.simulation.rendering import Image, Rendered

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
        write_material(
            folder / f"{name}.zarr", rendered(planned, rng), planned, Image(PIXELS, SAMPLING), noise, 1, name, {}
        )
    assemble(folder / "dataset.zarr", {name: folder / f"{name}.zarr" for name in MATERIALS}, {})
    return folder / "dataset.zarr"


@pytest.fixture
def examples(dataset: Path) -> list[Example]:
    """Predictions that are nearly right, and iDPC of the wrong sign."""
    rng, found = np.random.default_rng(1), []
    for data in read_split(dataset, "test"):
        truth, noise = data.potential[MIDDLE], rng.normal(0, 1e3, (PIXELS, PIXELS)).astype(np.float32)
        known = {name: values[MIDDLE] for name, values in data.coordinates.items()}
        predictions = {"model": truth + noise, "idpc": 5e3 - truth + 2 * noise}
        noisy = data.noisy_segments[MIDDLE, 1].astype(np.float32)
        found.append(Example(data.material, SAMPLING, known, DOSES[1], noisy, truth, predictions))
    return found


def correlation(image: np.ndarray, truth: np.ndarray) -> float:
    image, truth = image - image.mean(dtype=float), truth - truth.mean(dtype=float)
    return float((image * truth).sum() / np.sqrt((image**2).sum() * (truth**2).sum()))


def test_titles_show_the_correlation(examples: list[Example], drawn: list[Figure], tmp_path: Path) -> None:
    image_figures.draw_predictions(examples, [tmp_path / "predictions.svg"])
    titles = [axes.get_title() for axes in drawn[0].axes]
    for example in examples:
        for method, label in (("model", "Prediction"), ("idpc", "iDPC")):
            r = correlation(example.predictions[method], example.truth)
            assert f"{label}, r = {r:.3f}".replace("-", "−") in titles


def test_truth_and_prediction_share_a_scale(examples: list[Example], drawn: list[Figure], tmp_path: Path) -> None:
    image_figures.draw_predictions(examples, [tmp_path / "predictions.png"])
    images = {a.get_title().split(",")[0]: a.images[0] for a in reversed(drawn[0].axes) if a.images}
    truth = examples[0].truth
    assert images["Truth"].get_clim() == images["Prediction"].get_clim() == (truth.min(), truth.max())
    assert np.array_equal(images["Input: top-left"].get_array(), examples[0].noisy[0])


def test_all_differences_share_one_scale_of_shares(
    examples: list[Example], drawn: list[Figure], tmp_path: Path
) -> None:
    examples[0].predictions["model"][0, 0] += 1e5  # one wrong pixel of 512
    image_figures.draw_predictions(examples, [tmp_path / "predictions.png"])
    panels = [axes.images[0] for axes in drawn[0].axes if axes.get_title() == "Prediction − truth"]
    shares = [100 * (example.predictions["model"] - example.truth) / example.truth.max() for example in examples]
    for panel, share in zip(panels, shares, strict=True):
        np.testing.assert_allclose(panel.get_array(), share, rtol=1e-5)
    (low, high), other = (panel.get_clim() for panel in panels)
    assert (low, high) == other and -low == high
    assert high == pytest.approx(np.percentile(np.abs(shares), 99.5), rel=0.05)
    labels = [axes.get_xlabel() for axes in drawn[0].axes]
    assert labels.count("difference / maximum [%]") == len(MATERIALS)


def test_sample_sheet_shows_segments_of_the_middle_thickness_on_one_scale(
    dataset: Path, drawn: list[Figure], tmp_path: Path
) -> None:
    image_figures.draw_samples(dataset, [tmp_path / "samples.png"])
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


def test_a_materials_sheet_has_a_row_a_thickness(dataset: Path, drawn: list[Figure], tmp_path: Path) -> None:
    image_figures.draw_material(dataset.with_name("GaN.zarr"), [tmp_path / "GaN.png"])
    data = next(read_split(dataset, "test"))
    thicknesses = np.unique(data.coordinates["thickness_nm"])
    shown = [axes.images[0].get_array() for axes in drawn[0].axes if axes.images and len(axes.get_title())]
    assert data.material == "GaN" and len(shown) == 5 * len(thicknesses)
    np.testing.assert_array_equal(shown[-1], data.potential[len(thicknesses) - 1])


def test_the_same_input_gives_the_same_bytes(dataset: Path, examples: list[Example], tmp_path: Path) -> None:
    written = []
    for run in ("first", "second"):
        folder = tmp_path / run
        image_figures.draw_samples(dataset, [folder / "samples.svg", folder / "samples.png"])
        image_figures.draw_predictions(examples, [folder / "predictions.svg", folder / "predictions.png"])
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert len(written[0]) == 4
    assert written[0] == written[1]
