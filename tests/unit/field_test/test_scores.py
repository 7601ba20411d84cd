"""Scores of the ways, pictures and tables."""

import math
from pathlib import Path

import numpy as np
import pandas
import pytest
from scipy.ndimage import gaussian_filter

from iphasenet.field_test.fits import NOT_TRIED, FieldFit, load_fits, not_fitted, save_fits
from iphasenet.field_test.pictures import (
    draw_pictures,
    failures,
    gallery_images,
    load_picture,
    picture,
    save_pictures,
    shown_images,
)
from iphasenet.field_test.plan import field_specimens
from iphasenet.field_test.recording import Recorder
from iphasenet.field_test.scores import score_rows, site_heights
from iphasenet.field_test.simulation import FieldTruth
from iphasenet.field_test.tables import (
    condition_table,
    defect_table,
    estimate_table,
    picture_title,
    summary_table,
    unusable_table,
)
from iphasenet.field_test.ways import Result
from iphasenet.microscope.acquisition import Acquisition
from tests.unit.field_test.test_plan import configuration

SPECIMEN = field_specimens(configuration())[0]
IMAGE = SPECIMEN.images[0]
PIXEL, SIDE = 0.2, 96


def columns(missing: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Columns on a square lattice of 3 Å, one of which may lack two thirds; and their places."""
    places = np.stack(np.meshgrid(*2 * [np.arange(10, SIDE - 5, 15)], indexing="ij"), axis=-1).reshape(-1, 2)
    image = np.zeros((SIDE, SIDE))
    for number, (y, x) in enumerate(places):
        image[y, x] = 1 / 3 if number == missing else 1.0
    return 10 + 3000 * gaussian_filter(image, 2.0), places.astype(float)


def truth(missing: int | None = 7) -> FieldTruth:
    image, places = columns(missing)
    facts = {"thickness_nm": 40.0, "tilt_deg": [0.1, -0.2], "mean_potential_v": image.mean(), "thermal_noise": 0.01}
    defects = np.arange(len(places)) == (-1 if missing is None else missing)
    segments = np.stack(4 * [0.1 + 1e-3 * image]).astype(np.float32)
    return FieldTruth(segments, (400 * image).astype(np.float32), image.astype(np.float32), places, defects, facts)


def rows_of(*results: Result) -> pandas.DataFrame:
    return pandas.DataFrame(score_rows(SPECIMEN, IMAGE, truth(), PIXEL, list(results)))


def exact(way: str = "told exactly", **more: object) -> Result:
    image = columns(7)[0]
    return Result(way, PIXEL, 400 * image, image, blurred=True, **more)  # type: ignore[arg-type]


def test_the_truth_itself_has_no_error() -> None:
    row = rows_of(exact()).iloc[0]
    assert row["columns_pearson"] == pytest.approx(1) and row["potential_pearson"] == pytest.approx(1)
    assert abs(row["level_error"]) < 1e-6 and row["integrated_error"] < 1e-6 and row["position_error_pm"] < 0.1
    assert row["columns_found"] == 1 and row["columns_false"] == 0
    assert (row["defects"], row["defects_found"], row["false_alarms"]) == (1, 1, 0)


def test_errors_are_those_that_were_made() -> None:
    image = columns(7)[0]
    moved = np.roll(image, 1, axis=1)
    row = rows_of(Result("told roughly", PIXEL, None, 1.25 * moved, blurred=True)).iloc[0]
    assert row["level_error"] == pytest.approx(0.25) and row["position_error_pm"] == pytest.approx(20, rel=0.05)
    assert math.isnan(row.get("potential_pearson", math.nan))
    # A perfect lattice hides the defect.
    hidden = rows_of(Result("fit", PIXEL, None, columns(None)[0], blurred=True)).iloc[0]
    assert hidden["defects_found"] == 0 and hidden["false_alarms"] == 0


def test_a_baseline_has_no_volts() -> None:
    row = rows_of(Result("sum", PIXEL, columns(7)[0], columns(7)[0], blurred=True, scaled=False)).iloc[0]
    assert row["columns_pearson"] == pytest.approx(1) and "level_error" not in row.dropna()


def test_coverage_counts_pixels_within_the_expected_error() -> None:
    image = columns(7)[0]
    wide = rows_of(Result("nothing told", PIXEL, None, image + 1, image * 0 + 1, blurred=True)).iloc[0]
    narrow = rows_of(Result("nothing told", PIXEL, None, image + 1, image * 0 + 0.8, blurred=True)).iloc[0]
    assert (wide["covered"], narrow["covered"]) == (1, 0)


def test_sites_are_found_on_other_pixels() -> None:
    """Pixels of 0.3 Å have the same middle."""
    from iphasenet.microscope_files.resampling import resampled

    one = truth()
    heights = site_heights(one, PIXEL, resampled(one.columns, PIXEL, 0.3).astype(np.float64), 0.3)
    assert int(heights.argmin()) == 7
    np.testing.assert_allclose(np.delete(heights, 7), np.median(heights), rtol=0.15)


def table() -> pandas.DataFrame:
    """Scores of four images of two crystals."""
    frames = []
    for number, specimen in enumerate(field_specimens(configuration(specimens_of_known=1, images=2))):
        for image in specimen.images:
            level = 1 + 0.3 * number
            found = {"thickness_nm": 41.0, "thickness_nm_error": 2.0, "alpha_deg": 0.1, "alpha_deg_error": 0.1,
                     "beta_deg": 0.0, "beta_deg_error": 0.1, "defocus_angstrom": 0.0,
                     "defocus_angstrom_error": 100.0}  # fmt: skip
            nothing = Result("nothing told", PIXEL, None, level * columns(7)[0], blurred=True, found=found)
            fit = Result("fit", refused="24 % unexplained" if number else NOT_TRIED)
            frames += score_rows(specimen, image, truth(), PIXEL, [exact(), nothing, fit])
    return pandas.DataFrame(frames)


def test_tables_count_what_was_used_and_what_was_wrong() -> None:
    scores = table()
    summary = summary_table(scores).set_index("way")
    assert summary.index.to_list() == ["told exactly", "nothing told", "fit"]
    assert (summary.loc["nothing told", "images"], summary.loc["nothing told", "used"]) == (4, 4)
    # What was not tried is no failure.
    assert (summary.loc["fit", "images"], summary.loc["fit", "used"]) == (2, 0)
    assert summary.loc["nothing told", "level_wrong"] == summary.loc["nothing told", "level_wrong_unwarned"] == 2
    assert summary.loc["told exactly", "columns_pearson_low"] == pytest.approx(1)
    conditions = condition_table(scores)
    assert set(conditions["condition"]) == {"kind", "nominal_nm", "dose"}
    assert conditions[conditions["condition"] == "kind"].groupby("way")["images"].sum()["nothing told"] == 4
    unusable = unusable_table(scores)
    assert len(unusable) == 2 and set(unusable["refused"]) == {"24 % unexplained"}
    defects = defect_table(scores)
    assert set(defects["way"]) == {"told exactly", "nothing told"} and (defects["found_percent"] == 100).all()
    estimates = estimate_table(scores).iloc[0]
    assert estimates["thickness_nm"] == pytest.approx(1) and estimates["thickness_nm_within"] == 100
    # alpha is right, beta is off by 0.2 and expected to be off by 0.1.
    assert estimates["tilt_deg_within"] == 50


def test_the_shown_image_is_that_of_the_median() -> None:
    scores = pandas.DataFrame(
        [
            {"image": f"GaN-0-{number}", "material": "GaN", "kind": kind, "dose": dose, "way": "nothing told",
             "refused": "", "columns_pearson": r, "thickness_nm": 20.0, "tilt_deg": 0.3}
            for number, (kind, dose, r) in enumerate(
                [("crystal", 1e5, 0.9), ("crystal", 1e6, 0.5), ("wedge", 1e5, 0.7), ("carbon", 1e5, 0.8),
                 ("crystal", 1e3, 0.6)]
            )
        ]
    )  # fmt: skip
    scores["group"] = "known"
    assert shown_images(scores) == ["GaN-0-2"]
    assert picture_title(scores, "GaN-0-2").startswith("GaN, wedge\n20 nm, 0.30°")
    fitted = scores.assign(way="fit").iloc[:1]
    assert shown_images(pandas.concat([scores, fitted])) == ["GaN-0-0"]
    assert gallery_images(scores) == ["GaN-0-4", "GaN-0-2", "GaN-0-3"]
    assert failures(scores) == ["GaN-0-1", "GaN-0-2", "GaN-0-3"]


def test_pictures_are_drawn_with_and_without_results(tmp_path: Path) -> None:
    recorded = Recorder(PIXEL, Acquisition(), 0.0, 0.0, 1).image(IMAGE, truth().segments)
    nothing = Result("nothing told", PIXEL, None, columns(7)[0], blurred=True)
    kept = [picture(recorded, truth(), [nothing, fit]) for fit in (exact("fit"), Result("fit", refused="why"))]
    save_pictures(tmp_path / "one.npz", kept)
    again = {str(number): load_picture(tmp_path / "one.npz", number) for number in range(2)}
    np.testing.assert_array_equal(again["0"].potential, kept[0].potential)
    assert again["1"].potential.size == 0 and again["0"].pixels == (PIXEL, PIXEL)
    draw_pictures(again, {"0": "first", "1": "second"}, [tmp_path / "one.png"])
    assert (tmp_path / "one.png").stat().st_size > 20_000


def test_fits_are_read_as_they_were_written(tmp_path: Path) -> None:
    one = FieldFit({"parameters": {"alpha_deg": {"value": 0.1, "error": None}}, "unexplained": 0.3, "seconds": 1.0},
                   np.ones((4, 4), np.float32), np.zeros((4, 4), np.float32))  # fmt: skip
    save_fits(tmp_path / "fits.npz", [one, not_fitted("no lattice")])
    first, second = load_fits(tmp_path / "fits.npz")
    assert first.value("alpha_deg") == 0.1 and math.isnan(first.error("alpha_deg"))
    np.testing.assert_array_equal(first.potential, one.potential)
    # More than `iphasenet fit` accepts.
    assert "30.0 % of the contrast unexplained" in first.refused and second.refused == "no lattice"
