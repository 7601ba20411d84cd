"""A small report for the tests of its HTML and of what a browser makes of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from iphasenet.reporting.numbers import METHODS
from iphasenet.reporting.page import Report, write_report
from iphasenet.reporting.viewer import ViewerSample, sample_views

MATERIALS = ("GaN", "MoS2")


def numbers(shift: float = 0.0) -> dict[str, float]:
    """Metrics that get worse with the shift."""
    return {
        "pearson": 0.9123 - shift,
        "mae": 1234.56 + 1000 * shift,
        "mae_share_of_max": 0.0321 + shift,
        "psnr_own_range": 21.234 - shift,
        "psnr_published_range": 48.765 - shift,
        "peak_error": 0.1876 + shift,
        "ssim": 0.8127 - shift,
    }


def scores(shift: float = 0.0, interval: bool = True) -> dict[str, Any]:
    """Scores of all methods; each is 0.1 worse than the one before."""
    return {
        method: {
            name: {"mean": value, **{end: value * f if interval else None for end, f in (("low", 0.9), ("high", 1.1))}}
            for name, value in numbers(shift + 0.1 * order).items()
        }
        for order, method in enumerate(METHODS)
    }


def columns() -> dict[str, Any]:
    """Atomic columns of one method: light ones are harder to find."""
    heavy = {"visible": 0.95, "detection_rate": 0.987, "position_error_pm": 7.25, "integrated_error": -0.021,
             "integrated_absolute_error": 0.043}  # fmt: skip
    light = {**heavy, "visible": 0.5, "detection_rate": 0.612}
    return {"all": heavy, "heavy": heavy, "light": light, "GaN: Ga+N": heavy, "MoS2: O": light, "false_rate": 0.015}


def summary() -> dict[str, Any]:
    """Build a summary with every optional part."""
    return {
        "title": "a trial of <everything>",
        "samples": 1008,
        "tilt_groups": 4,
        "doses": [1e3, 1e5],
        "scores": scores(),
        "by": {
            "material": {name: scores(0.01 * i) for i, name in enumerate(MATERIALS, 1)},
            "thickness_nm": {"20": scores(0.01), "40": scores(0.02)},
            "tilt_deg": {"0–0.2": scores(0.01), "0.2–0.4": scores(0.02, interval=False)},
            "dose": {"1000": scores(0.04), "100000": scores(0.03)},
            "held_out": {"tilt": scores(0.01)},
        },
        "potentials": {
            "model": {
                "mean_predicted": 2101.4,
                "mean_true": 2050.2,
                "maximum_predicted": 30510.0,
                "maximum_true": 32100.0,
            }
        },
        "shuffled_metadata": {"nothing": numbers(), "tilt": numbers(0.5)},
        "noise": {"none": numbers(), "shot+scan": numbers(0.25)},
        "uncertainty": {"50%": 0.481, "90%": 0.883, "spread_over_error": 0.973},
        "columns": {"model": columns(), "idpc": columns()},
    }  # fmt: skip


def viewer_samples(pixels: int = 24) -> list[ViewerSample]:
    """Two samples of random images."""
    rng = np.random.default_rng(0)
    samples = []
    for material in MATERIALS:
        segments, images = rng.random((4, pixels, pixels)) / 8, 2e4 * rng.random((3, pixels, pixels))
        samples.append(ViewerSample(f"{material} & <more>", 0.2, sample_views(segments, *images), "Prediction"))
    return samples


def write_example(folder: Path, found: dict[str, Any] | None = None, **options: Any) -> Path:
    """Write a report of two figures, one with a caption, and return its path."""
    (folder / "summary.json").write_text(json.dumps(found or summary()))
    Image.fromarray(np.full((40, 90), 200, dtype=np.uint8)).save(folder / "plot.png")
    (folder / "plot.rst").write_text("First line\nof <b> & more.\n\nSecond paragraph.\n")
    arguments: dict[str, Any] = {
        "figures": {"predictions": folder / "plot.png", "loss": folder / "plot.png"},
        "captions": {"predictions": folder / "plot.rst"},
        "configuration": {"run": "trial <7>", "grid": {"thickness_nm": [20, 40]}},
        "dataset": folder / "data set.zarr",
        **options,
    }
    output = folder / "reports" / "report.html"
    write_report(Report(folder / "summary.json", folder / "samples.csv", **arguments), output)
    return output
