"""Means, and how sure they are."""

import json
from pathlib import Path

import numpy as np
import pandas
import pytest

from iphasenet.base.errors import InputError
from iphasenet.evaluation.metrics import METRICS, POTENTIALS
from iphasenet.evaluation.scores import Tables
from iphasenet.evaluation.summary import scores, summarise, summarise_columns, write_summary

ALTERED = pandas.DataFrame(
    [
        {"kind": kind, "altered": name, **dict.fromkeys(METRICS, value)}
        for kind, name, value in [("metadata", "nothing", 0.9), ("metadata", "tilt", 0.1), ("noise", "none", 0.95)]
        for _ in range(2)
    ]
)


def sample_table(tilts: int = 8, spread: float = 0.1, each: int = 3) -> pandas.DataFrame:
    """Two materials; what a tilt adds to the scores is normal, all of its samples are alike."""
    rng = np.random.default_rng(0)
    rows = []
    for material in ("GaN", "MoS2"):
        for tilt in range(tilts):
            level = 0.8 + rng.normal(0, spread)
            for sample in range(each):
                known = {"sample_id": f"{material}-{tilt}-{sample}", "material": material, "tilt": tilt}
                known |= {
                    "thickness_nm": 20.0 * (1 + sample),
                    "tilt_deg": 0.15 * tilt,
                    "held_out": "tilt",
                }
                for method, lower in (("model", 0.0), ("idpc", 0.5)):
                    numbers = dict.fromkeys(METRICS, level - lower) | dict.fromkeys(POTENTIALS, 1000.0)
                    rows.append({**known, "dose": 1e5, "method": method, **numbers})
    return pandas.DataFrame(rows)


COUNTS = pandas.DataFrame({"material": ["GaN", "MoS2", "KNbO3"], "scored": [24, 24, 0], "left_out": [0, 2, 5]})


def column_table() -> pandas.DataFrame:
    """GaN: 10 columns seen, 8 found off by 3 pm, and 2 found off by 5 pm of 5 light ones; one peak too many."""
    common = {"material": "GaN", "method": "model", "sample_id": "GaN-0-0"}
    numbers = ("column", "light", "expected", "visible", "found", "position_error_pm", "integrated_error")
    rows = [
        dict(zip(numbers, row, strict=True))
        for row in [
            ("Ga", False, 10, 10, 8, 3.0, 0.1),
            ("N", True, 10, 5, 2, 5.0, -0.2),
            ("O", True, 4, 0, 0, np.nan, np.nan),
            ("spurious", False, 0, 0, 1, np.nan, np.nan),
        ]
    ]
    table = pandas.DataFrame([{**common, **row} for row in rows])
    return table.assign(integrated_absolute_error=table["integrated_error"].abs())


def test_an_interval_holds_what_the_groups_say_and_shrinks_with_their_number() -> None:
    few, many = (scores(sample_table(tilts))["model"]["pearson"] for tilts in (5, 80))
    for found in (few, many):
        assert found["low"] < found["mean"] < found["high"]
    # Of 160 groups of standard deviation 0.1: +- 1.96 x 0.1 / sqrt(160).
    assert many["high"] - many["low"] == pytest.approx(2 * 1.96 * 0.1 / np.sqrt(160), rel=0.2)
    assert few["high"] - few["low"] > 2 * (many["high"] - many["low"])


def test_more_samples_of_the_same_tilts_make_nothing_surer() -> None:
    once, often = (scores(sample_table(each=each))["model"]["pearson"] for each in (1, 20))
    assert often["high"] - often["low"] == pytest.approx(once["high"] - once["low"])


def test_materials_are_no_sample() -> None:
    """A difference between the materials alone leaves no doubt of their mean."""
    table = sample_table(spread=0.0)
    table.loc[table["material"] == "GaN", "pearson"] += 0.3
    found = scores(table)["model"]["pearson"]
    assert found["low"] == pytest.approx(found["high"]) == pytest.approx(found["mean"])


def test_one_tilt_group_has_no_interval() -> None:
    found = scores(sample_table(tilts=1))["model"]["pearson"]
    assert found["low"] is None and found["high"] is None and found["mean"] > 0


def test_a_summary_breaks_down_by_everything(tmp_path: Path) -> None:
    samples = sample_table()
    coverage = pandas.DataFrame(
        {"material": "GaN", "dose": 1e5, "level": [0.5, 0.9], "covered": [0.4, 0.8], "spread_over_error": 0.7}
    )
    tables = Tables(samples, column_table(), pandas.DataFrame({"material": []}), coverage, COUNTS)
    summary = summarise(tables, ALTERED, "a test")
    assert json.loads(json.dumps(summary)) == summary
    assert (summary["samples"], summary["tilt_groups"], summary["doses"]) == (48, 16, [1e5])
    assert (summary["left_out"], summary["left_out_materials"]) == (7, ["KNbO3"])
    assert list(summary["by"]["thickness_nm"]) == ["20", "40", "60"]
    assert list(summary["by"]["tilt_deg"]) == ["0–0.2", "0.2–0.4", "0.4–0.6", "0.6–0.8", "0.8–1", "1–1.5"]
    thin = samples[(samples["thickness_nm"] == 20) & (samples["method"] == "idpc")]
    assert summary["by"]["thickness_nm"]["20"]["idpc"]["mae"]["mean"] == pytest.approx(thin["mae"].mean())
    assert summary["shuffled_metadata"]["tilt"]["pearson"] == 0.1 and list(summary["noise"]) == ["none"]
    assert summary["uncertainty"] == {"50%": 0.4, "90%": 0.8, "spread_over_error": 0.7}
    tables.save(tmp_path / "GaN")
    ALTERED.to_parquet(tmp_path / "a.parquet")
    write_summary([tmp_path / "GaN"], [tmp_path / "a.parquet"], tmp_path, "a test")
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    pandas.testing.assert_frame_equal(pandas.read_csv(tmp_path / "samples.csv"), samples, check_dtype=False)


def test_columns_are_counted_not_averaged() -> None:
    found = summarise_columns(column_table())
    assert found["all"]["detection_rate"] == pytest.approx(10 / 15) and found["heavy"]["detection_rate"] == 0.8
    assert found["light"]["visible"] == pytest.approx(5 / 14)
    assert found["all"]["position_error_pm"] == pytest.approx(np.sqrt((8 * 9 + 2 * 25) / 10))
    assert found["all"]["integrated_error"] == pytest.approx((10 * 0.1 - 5 * 0.2) / 15)
    assert found["GaN: O"] == {**dict.fromkeys(found["all"]), "visible": 0.0}
    assert found["false_rate"] == pytest.approx(1 / 11)


def test_a_score_that_is_not_a_number_is_named(tmp_path: Path) -> None:
    samples = sample_table(tilts=2)
    samples.loc[3, "mae"] = np.inf
    none = pandas.DataFrame({"material": []})
    Tables(samples, column_table(), none, none, COUNTS).save(tmp_path / "GaN")
    ALTERED.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=f"{samples.loc[3, 'sample_id']}: mae"):
        write_summary([tmp_path / "GaN"], [tmp_path / "a.parquet"], tmp_path, "a test")
    assert not (tmp_path / "summary.json").exists()
