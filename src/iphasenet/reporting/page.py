"""Report of a run: one HTML file that needs nothing beside it."""

import base64
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_file
from iphasenet.base.quantities import noun
from iphasenet.base.wording import METHODS, capitalised, number_text
from iphasenet.reporting import tables
from iphasenet.reporting.csv_tables import csv_table
from iphasenet.reporting.numbers import BREAKDOWNS, METRICS, read_summary, scored_methods
from iphasenet.reporting.viewer import NOTE, ViewerSample, plotly_script, viewer_html
from iphasenet.training.seen import UNKNOWN

TITLES = {
    "samples": "Samples",
    "predictions": "Predictions",
    "scores": "Correlation by material",
    "errors": "Error by thickness and dose",
    "potentials": "Mean and maximum potential",
    "distribution": "Distribution of errors",
    "alterations": "Metadata and noise",
    "calibration": "Calibration of the uncertainty",
    "spectra": "Power spectra",
    "windows": "Window of the simulation",
    "atomic_columns": "Atomic columns",
    "loss": "Training",
}
"""Titles of figures; other figures have their names as titles."""


@dataclass(frozen=True)
class Report:
    """
    Tables, figures and settings of which a report is made.

    Attributes
    ----------
    summary : Path
        Mean scores and their intervals (JSON, `iphasenet.evaluation.summary`).
    samples : Path
        Scores of every test sample, dose and method (CSV), for a link.
    dataset : Path
        The data set, for a link.
    figures : mapping
        PNG file of each figure, in the order of the report.
    captions : mapping
        Text file for each figure that has a caption.
    configuration : mapping
        Configuration of the run; `run` is its name.
    viewer : sequence of ViewerSample
        Samples of the interactive viewer; without any, the page has neither viewer nor script.
    generalisation, cost : Path or None
        Tables for the sections of these names (CSV, `iphasenet.reporting.csv_tables.csv_table`); without a table there
        is no section.
    links : mapping
        Further files to link, by the text of the link.
    """

    summary: Path
    samples: Path
    dataset: Path
    figures: Mapping[str, Path]
    captions: Mapping[str, Path]
    configuration: Mapping[str, Any]
    viewer: Sequence[ViewerSample] = ()
    generalisation: Path | None = None
    cost: Path | None = None
    links: Mapping[str, Path] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, Path]:
        """Files that the report links, by the text of the link."""
        files = {"Data set": self.dataset, "Mean scores": self.summary, "Scores of every sample": self.samples}
        return files | dict(self.links) | {f"Figure: {_title(name)}": path for name, path in self.figures.items()}


def write_report(report: Report, output: Path) -> None:
    """
    Write the report of a run.

    Parameters
    ----------
    report : Report
        Tables, figures and settings.
    output : Path
        HTML file to be made.

    Raises
    ------
    InputError
        If a number is missing or not finite, or a figure is not a PNG file; then no report is written.
    """
    scores = read_summary(report.summary)
    configuration = json.loads(json.dumps(dict(report.configuration)))
    html = _template().render(
        **_measured(scores),
        title=scores.get("title"),
        run=str(configuration.get("run", "iphasenet")),
        generalisation=report.generalisation and csv_table(report.generalisation, "generalisation"),
        cost=report.cost and csv_table(report.cost, "cost"),
        viewer=list(zip(report.viewer, viewer_html(report.viewer), strict=True)),
        viewer_note=NOTE,
        plotly=plotly_script() if report.viewer else "",
        figures=[_figure(name, path, report.captions.get(name)) for name, path in report.figures.items()],
        configuration=yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True),
        files={label: _relative(path, output) for label, path in report.files.items()},
    )
    with atomic_file(output) as temporary:
        temporary.write_text(html, encoding="utf-8")


def _measured(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return sentences and tables of the summary, by their names in the template."""
    parts = {label: tables.breakdown_tables(scores, key) for key, label in BREAKDOWNS.items()}
    return {
        "sentences": list(_sentences(scores)),
        "published": tables.published_table(scores),
        "scores": tables.score_table(scores),
        "breakdowns": {label: part for label, part in parts.items() if part},
        "metadata": tables.altered_table(scores, "shuffled_metadata", "Shuffled"),
        "noise": tables.altered_table(scores, "noise", "Noise of the images"),
        "uncertainty": tables.uncertainty_table(scores),
        "spread_over_error": scores.get("uncertainty", {}).get("spread_over_error"),
        "columns": tables.column_tables(scores),
    }


def _template() -> Template:
    return Environment(
        loader=PackageLoader("iphasenet.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("report.html")


def _sentences(scores: Mapping[str, Any]) -> Iterator[str]:
    """Summary in words."""
    materials = list(scores["by"]["material"])
    doses = _listed([number_text("{:,.7g}", dose) for dose in sorted(scores["doses"])])
    levels = set(scores["by"].get("held_out", {}))
    # All tilts of a new material are new.
    never = " that training never saw" if levels and levels.isdisjoint({UNKNOWN, "thickness"}) else ""
    yield (
        f"The network was tested on {number_text('{:,}', scores['samples'])} {noun(scores['samples'], 'sample')} of "
        f"{len(materials)} {noun(len(materials), 'material')} ({', '.join(materials)}) at {doses} e/Å², from "
        f"{scores['tilt_groups']} crystal {noun(scores['tilt_groups'], 'tilt')}{never}."
    )
    yield from _held_out(levels, scores.get("left_out", 0), scores.get("left_out_materials", []))
    yield from (_comparison(scores, name) for name in ("pearson", "mae_share_of_max", "peak_error"))
    yield from _extremes(scores)
    yield from _columns(scores)


def _held_out(levels: Collection[str], left_out: int, materials: Sequence[str]) -> Iterator[str]:
    """Say what is new in the samples, and what was not scored."""
    if UNKNOWN in levels:
        yield (
            "Which of them the network has seen is not known: its weights do not say what they were trained on, so "
            "these may be scores on what it knows."
        )
    kinds = {"thicknesses": "thickness", "materials": "material"}
    unseen = [noun for noun, word in kinds.items() if any(word in level for level in levels)]
    if unseen:
        either = "" if "thickness" in levels else " either"
        yield (
            f"Part of the samples are of {_listed(unseen)} that training never saw{either}; they are also scored "
            "apart, below."
        )
    if left_out:
        yield (
            f"{number_text('{:,}', left_out)} more {noun(left_out, 'sample')} of the test split "
            f"{'is' if left_out == 1 else 'are'} left out: the network was trained on that crystal at that tilt and "
            "thickness, or chosen by it."
        )
    if materials:
        yield f"No sample is left of {_listed(materials)}."


def _comparison(scores: Mapping[str, Any], name: str) -> str:
    """Network and best baseline by one metric."""
    metric, values = METRICS[name], scores["scores"]
    baselines = [method for method in scored_methods(scores) if method != "model"]
    said = {
        "pearson": "Mean Pearson correlation with the true projected potential",
        "mae_share_of_max": "Mean absolute error, as a share of each image’s largest potential",
        "peak_error": "Mean error at the brightest 0.5 % of the pixels",
    }[name]
    text = f"{said}: {_with_interval(name, values['model'])} for the network"
    if name == "mae_share_of_max":
        text += f", or {METRICS['mae'].text(values['model']['mae']['mean'])} V Å"
    if not baselines:
        return f"{text}."
    best = (max if metric.higher_is_better else min)(baselines, key=lambda method: values[method][name]["mean"])
    return f"{text}; the best baseline is {_in_sentence(best)} with {_with_interval(name, values[best])}."


def _with_interval(name: str, score: Mapping[str, Any]) -> str:
    metric = METRICS[name]
    unit = f" {metric.unit}" if metric.unit else ""
    interval = metric.interval(score[name])
    return metric.text(score[name]["mean"]) + unit + (f" (95\u00a0% interval {interval}{unit})" if interval else "")


def _in_sentence(method: str) -> str:
    """Name a baseline within a sentence."""
    return METHODS[method] if method.startswith("idpc") else f"the {METHODS[method]}"


def _extremes(scores: Mapping[str, Any]) -> Iterator[str]:
    """Name the best and the worst material."""
    metric, parts = METRICS["mae_share_of_max"], scores["by"]["material"]
    errors = {name: part["model"]["mae_share_of_max"]["mean"] for name, part in parts.items()}
    if len(errors) > 1:
        low, high = min(errors, key=errors.__getitem__), max(errors, key=errors.__getitem__)
        yield (
            f"By material, this mean absolute error goes from {metric.text(errors[low])} % ({low}) to "
            f"{metric.text(errors[high])} % ({high})."
        )


def _columns(scores: Mapping[str, Any]) -> Iterator[str]:
    """Say how many atomic columns are found."""
    found = scores.get("columns", {}).get("model", {})
    rates = {kind: found[kind]["detection_rate"] for kind in ("heavy", "light") if found}
    shown = [
        f"{number_text('{:.1f}', 100 * rate)} % of the {kind} ones" for kind, rate in rates.items() if rate is not None
    ]
    if shown:
        yield f"Of the atomic columns that the true image shows, the network has {_listed(shown)}."


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(", ".join(parts).rsplit(", ", 1))


def _title(name: str) -> str:
    return TITLES.get(name, capitalised(name))


def _figure(name: str, path: Path, caption: Path | None) -> dict[str, Any]:
    if path.suffix != ".png":
        raise InputError(f"figures.{name}: found {path}; allowed: a PNG file")
    text = caption.read_text(encoding="utf-8") if caption else ""
    return {
        "title": _title(name),
        "source": "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii"),
        "paragraphs": [" ".join(part.split()) for part in text.split("\n\n") if part.strip()],
    }


def _relative(path: Path, output: Path) -> tuple[str, str]:
    """Text and address of a link from the report's folder."""
    relative = Path(os.path.relpath(path, output.parent)).as_posix()
    return relative, quote(relative)
