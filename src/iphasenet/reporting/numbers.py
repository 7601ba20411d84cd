"""Numbers of the report: their format, and the check of the summary from which they come."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from iphasenet.base.errors import InputError
from iphasenet.base.reading import read_json
from iphasenet.base.wording import METHODS as NAMES
from iphasenet.base.wording import capitalised, number_text
from iphasenet.evaluation.metrics import POTENTIALS


@dataclass(frozen=True)
class Cell:
    """Text, a smaller second line, and whether it is the best of its row or column."""

    text: str
    note: str = ""
    best: bool = False


class Metric(NamedTuple):
    """Format of a number: `shown` formats the value times `factor`; `higher_is_better` is None if neither is better."""

    label: str
    unit: str
    higher_is_better: bool | None
    shown: str
    factor: float = 1.0
    definition: str = ""

    def text(self, value: float | None) -> str:
        """Value as the report shows it, without its unit; a dash for None."""
        return "–" if value is None else number_text(self.shown, value * self.factor)

    def interval(self, score: Mapping[str, float | None]) -> str:
        """Interval of a score; empty if there is none."""
        low, high = score["low"], score["high"]
        return "" if low is None or high is None else f"{self.text(low)} to {self.text(high)}"

    @property
    def heading(self) -> Cell:
        """Label, with an arrow towards better values, and unit."""
        arrow = {True: "\u00a0↑", False: "\u00a0↓", None: ""}[self.higher_is_better]
        return Cell(self.label + arrow, self.unit and f"[{self.unit}]")


METRICS = {
    "pearson": Metric("Pearson correlation", "", True, "{:z.3f}"),
    "mae": Metric("MAE", "V Å", False, "{:,.1f}", 1, "mean absolute error"),
    "mae_share_of_max": Metric("MAE, share", "%", False, "{:.2f}", 100, "of each image's largest true potential"),
    "psnr_own_range": Metric("PSNR", "dB", True, "{:.2f}", 1, "with the range of each true image"),
    "psnr_published_range": Metric("PSNR, published range", "dB", True, "{:.2f}", 1, "600\u202f000\u00a0V\u00a0Å"),
    "peak_error": Metric("Peak error", "%", False, "{:.1f}", 100, "mean |P − T| / T, highest 0.5 % of the true pixels"),
    "ssim": Metric("SSIM", "", True, "{:z.3f}"),
}

METHODS = {method: capitalised(name) for method, name in NAMES.items()}
"""Name of each method in a heading."""

BREAKDOWNS = {
    "material": "material",
    "thickness_nm": "thickness [nm]",
    "tilt_deg": "tilt [°]",
    "dose": "dose [e/Å²]",
    "held_out": "what training has not seen",
}
"""Keys of the summary's `by`."""

ALTERED = ("pearson", "mae", "mae_share_of_max", "peak_error")
"""Metrics of predictions from altered inputs."""

COLUMNS = {
    "visible": Metric("Visible in the truth", "%", None, "{:.1f}", 100),
    "detection_rate": Metric("Found", "% of visible", True, "{:.1f}", 100),
    "position_error_pm": Metric("Position error", "pm, rms", False, "{:.1f}"),
    "integrated_error": Metric("Integrated potential, bias", "%", None, "{:+z.1f}", 100),
    "integrated_absolute_error": Metric("Integrated potential, error", "%", False, "{:.1f}", 100),
}

KINDS = {"all": "All columns", "heavy": "Heavy columns", "light": "Light columns (Z ≤ 8)"}


def read_summary(path: Path) -> dict[str, Any]:
    """
    Read the summary of an evaluation.

    Parameters
    ----------
    path : path
        summary.json (`iphasenet.evaluation.summary`).

    Returns
    -------
    dict
        The summary.

    Raises
    ------
    InputError
        If a number is missing or not finite; ends of intervals and numbers of atomic columns may be null.
    """
    summary = read_json(path)
    for keys, value in _leaves(summary, ()):
        if keys == ("title",) or (value is None and (keys[-1] in ("low", "high") or keys[0] == "columns")):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError(f"{path}: {'.'.join(keys)}: found {value!r}; allowed: a finite number")
    for keys in _required(summary, path):
        _get(summary, keys, path)
    return summary


def _leaves(part: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(part, Mapping | list):
        for key, value in part.items() if isinstance(part, Mapping) else enumerate(part):
            yield from _leaves(value, (*keys, str(key)))
    else:
        yield keys, part


def _required(summary: Mapping[str, Any], path: Path) -> Iterator[tuple[str, ...]]:
    yield from (("samples",), ("tilt_groups",), ("doses",), ("by", "material"))
    methods = list(_get(summary, ("scores",), path))
    if "model" not in methods or not set(methods) <= set(METHODS):
        raise InputError(f"{path}: scores: found {methods}; allowed: model and any of {', '.join(METHODS)}")
    by = _get(summary, ("by",), path)
    parts = [("scores",), *(("by", key, level) for key in by for level in _get(summary, ("by", key), path))]
    for part in parts:
        for method in methods:
            yield from ((*part, method, name, end) for name in METRICS for end in ("mean", "low", "high"))
    yield from (("potentials", "model", name) for name in POTENTIALS)
    for kind in ("shuffled_metadata", "noise"):
        yield from ((kind, level, name) for level in summary.get(kind, {}) for name in ALTERED)
    for method in summary.get("columns", {}):
        yield ("columns", method, "false_rate")
        kinds = (name for name in {**KINDS, **_get(summary, ("columns", method), path)} if name != "false_rate")
        yield from (("columns", method, kind, name) for kind in kinds for name in COLUMNS)


def _get(values: Any, keys: Sequence[str], path: Path) -> Any:
    """Value at the keys, which may be null where `read_summary` allows it."""
    for depth, key in enumerate(keys, 1):
        if not isinstance(values, Mapping) or key not in values or values[key] in ({}, []):
            raise InputError(f"{path}: {'.'.join(keys[:depth])} is missing")
        values = values[key]
    return values


def scored_methods(summary: Mapping[str, Any]) -> list[str]:
    """Methods that a summary has scores of, in the order of `METHODS`."""
    return [method for method in METHODS if method in summary["scores"]]
