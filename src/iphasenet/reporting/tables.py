"""Tables of the report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ase.data import atomic_numbers

from iphasenet.base.wording import capitalised, number_text
from iphasenet.evaluation.column_structure import LIGHT
from iphasenet.reporting.numbers import (
    ALTERED,
    BREAKDOWNS,
    COLUMNS,
    KINDS,
    METHODS,
    METRICS,
    Cell,
    Metric,
    scored_methods,
)

_THIN = "\u202f"

COMPARED = ("pearson", "mae_share_of_max", "psnr_own_range", "peak_error")
"""Metrics by which methods are compared, level by level."""

FALSE_RATE = Metric("False peaks", "% of found", False, "{:.1f}", 100)


@dataclass(frozen=True)
class Table:
    """A table with its name in the page; the first cell of each row is the row's heading."""

    name: str
    heading: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    title: str = ""


def score_table(summary: Mapping[str, Any]) -> Table:
    """Metrics of all methods."""
    methods = scored_methods(summary)
    rows = [
        [_metric_head(metric), *_compared(metric, [summary["scores"][method][name] for method in methods])]
        for name, metric in METRICS.items()
    ]
    return Table("scores", [Cell("Metric"), *(Cell(METHODS[method]) for method in methods)], rows)


def _metric_head(metric: Metric) -> Cell:
    heading = metric.heading
    return Cell(f"{heading.text} {heading.note}".strip(), metric.definition)


def _compared(metric: Metric, scores: Sequence[Mapping[str, Any]]) -> list[Cell]:
    """Cells with the scores of several methods; the best is marked."""
    values = [score["mean"] for score in scores]
    best = max(values) if metric.higher_is_better else min(values)
    return [Cell(metric.text(score["mean"]), metric.interval(score), score["mean"] == best) for score in scores]


def breakdown_tables(summary: Mapping[str, Any], key: str) -> list[Table]:
    """
    Scores by the levels of one key of `BREAKDOWNS`.

    Parameters
    ----------
    summary : mapping
        The summary.
    key : str
        One of `BREAKDOWNS`.

    Returns
    -------
    list of Table
        One table of the network's metrics, then one of all methods for each of `COMPARED`; empty if there are fewer
        than two levels.
    """
    levels = summary["by"].get(key, {})
    if len(levels) < 2:
        return []
    corner, methods = Cell(capitalised(BREAKDOWNS[key])), scored_methods(summary)
    # The published range is used only for the comparison with the published table.
    own = {name: metric for name, metric in METRICS.items() if name != "psnr_published_range"}
    network = [
        [Cell(level_text(key, level)), *(score_cell(metric, scores["model"][name]) for name, metric in own.items())]
        for level, scores in levels.items()
    ]
    tables = [Table(f"by-{key}", [corner, *(metric.heading for metric in own.values())], network)]
    for name in COMPARED:
        metric = METRICS[name]
        rows = [
            [Cell(level_text(key, level)), *_compared(metric, [scores[method][name] for method in methods])]
            for level, scores in levels.items()
        ]
        heading = [corner, *(Cell(METHODS[method]) for method in methods)]
        tables.append(Table(f"by-{key}-{name}", heading, rows, _metric_head(metric).text))
    return tables


def score_cell(metric: Metric, score: Mapping[str, Any]) -> Cell:
    """Show a score with its interval as the note."""
    return Cell(metric.text(score["mean"]), metric.interval(score))


def level_text(key: str, level: str) -> str:
    """Level of a breakdown as the report shows it."""
    if key == "held_out":
        return f"{level} alone" if level in ("tilt", "thickness") else level
    try:
        return number_text("{:,.7g}", float(level))
    except ValueError:
        return level


def altered_table(summary: Mapping[str, Any], key: str, corner: str) -> Table | None:
    """Scores of the network from altered inputs, `shuffled_metadata` or `noise`; None if none were measured."""
    if not summary.get(key):
        return None
    rows = [
        [Cell(level.replace("+", " + ")), *(Cell(METRICS[name].text(scores[name])) for name in ALTERED)]
        for level, scores in summary[key].items()
    ]
    return Table(key.replace("_", "-"), [Cell(corner), *(METRICS[name].heading for name in ALTERED)], rows)


def uncertainty_table(summary: Mapping[str, Any]) -> Table | None:
    """Share of the pixels inside each predicted interval; None if the network predicts no uncertainty."""
    levels = {name: value for name, value in summary.get("uncertainty", {}).items() if name != "spread_over_error"}
    if not levels:
        return None
    shares = [Cell(number_text("{:.1f} %", 100 * value)) for value in levels.values()]
    return Table(
        "uncertainty",
        [Cell("Predicted interval"), *(Cell(name.replace("%", " %")) for name in levels)],
        [[Cell("True value inside"), *shares]],
    )


def column_tables(summary: Mapping[str, Any]) -> list[Table]:
    """Tables of atomic columns: all methods for all, heavy and light columns; then the network by type, light last."""
    found = {method: summary["columns"][method] for method in METHODS if method in summary.get("columns", {})}
    if not found:
        return []
    measured = {kind: label for kind, label in KINDS.items() if any(part[kind]["visible"] for part in found.values())}
    shown = {name: metric for name, metric in COLUMNS.items() if name != "visible"}
    heading = [Cell("Method"), *(metric.heading for metric in shown.values())]
    tables = []
    for kind, label in measured.items():
        rows = [
            [Cell(METHODS[method]), *(Cell(metric.text(part[kind][name])) for name, metric in shown.items())]
            + ([Cell(FALSE_RATE.text(part["false_rate"]))] if kind == "all" else [])
            for method, part in found.items()
        ]
        tables.append(Table(f"columns-{kind}", heading + ([FALSE_RATE.heading] if kind == "all" else []), rows, label))
    return [*tables, *_column_types(found.get("model", {}))]


def _column_types(found: Mapping[str, Any]) -> Iterator[Table]:
    types = [name for name in found if name not in (*KINDS, "false_rate")]
    parts = {
        "heavy": [name for name in types if not _is_light(name)],
        "light": [name for name in types if _is_light(name)],
    }
    heading = [Cell("Column"), *(metric.heading for metric in COLUMNS.values())]
    for kind, names in parts.items():
        rows = [[Cell(name), *(Cell(m.text(found[name][key])) for key, m in COLUMNS.items())] for name in names]
        if rows:
            yield Table(f"column-types-{kind}", heading, rows, f"{KINDS[kind]} by type, network")


def _is_light(name: str) -> bool:
    """Whether a type such as 'LiCoO2: O' is light; its heaviest element comes first."""
    return bool(atomic_numbers.get(name.split(": ")[-1].split("+")[0], LIGHT + 1) <= LIGHT)


def published_table(summary: Mapping[str, Any]) -> Table:
    """Comparison with the table of the published 200 kV system, row by row, by its definitions and by this run's."""
    scores, means = summary["scores"]["model"], summary["potentials"]["model"]
    psnr, own, mae, share, pearson, peak = (
        score_cell(METRICS[name], scores[name])
        for name in ("psnr_published_range", "psnr_own_range", "mae", "mae_share_of_max", "pearson", "peak_error")
    )
    same_share = Cell(METRICS["mae_share_of_max"].text(scores["mae"]["mean"] / means["maximum_true"]))
    rows = [
        [Cell("PSNR [dB]", f"range 600{_THIN}000 V Å, mean over images"), Cell("54.45"), psnr,
         Cell(own.text, _joined(own.note, "range of each true image"))],
        [Cell("MAE [V Å]", "mean over images; printed as V"), Cell("897.8"), mae, mae],
        [Cell("MAE, share [%]", "of the mean true maximum, 25.9 kV Å"), Cell("3.4"), same_share,
         Cell(share.text, _joined(share.note, "of each true image’s maximum"))],
        [Cell("Pearson correlation", "each image, then the mean"), Cell("0.72"), pearson, pearson],
        [Cell("Peak error [%]", "mean |P − T| / T where T is at or above its 99.5th percentile"), Cell("23.8"), peak,
         peak],
    ]  # fmt: skip
    heading = ("Quantity", "Published", "This run, published definition", "This run, own definition")
    return Table("published", [Cell(name) for name in heading], [*rows, *_potential_rows(means)])


def _potential_rows(means: Mapping[str, float]) -> Iterator[list[Cell]]:
    volts, kilovolts = Metric("", "V Å", None, "{:,.0f}"), Metric("", "kV Å", None, "{:,.1f}", 1e-3)
    for name, label, published, shown in (
        ("mean_predicted", "Mean, predicted", f"1{_THIN}825", volts),
        ("mean_true", "Mean, true", f"2{_THIN}162", volts),
        ("maximum_predicted", "Maximum, predicted", "28.3", kilovolts),
        ("maximum_true", "Maximum, true", "25.9", kilovolts),
    ):
        same = Cell(shown.text(means[name]))
        yield [Cell(f"{label} [{shown.unit}]", "of each image, then the mean"), Cell(published), same, same]


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))
