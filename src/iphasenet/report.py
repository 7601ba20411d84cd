"""Report of a run: one HTML file that needs nothing beside it."""

import base64
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from iphasenet.errors import InputError
from iphasenet.files import atomic_file


class Metric(NamedTuple):
    """How a score is shown: `shown` formats the value times `factor`."""

    label: str
    unit: str
    higher_is_better: bool
    shown: str
    factor: float = 1.0

    def text(self, value: float) -> str:
        """Value as the report shows it, without its unit."""
        return _text(self.shown, value * self.factor)

    @property
    def arrow(self) -> str:
        """Direction of better values."""
        return "↑" if self.higher_is_better else "↓"


METRICS = {
    "pearson": Metric("Pearson correlation", "", True, "{:z.3f}"),
    "mae": Metric("Mean absolute error (MAE)", "V Å", False, "{:,.1f}"),
    "mae_share_of_max": Metric("MAE as a share of the largest potential", "%", False, "{:.2f}", 100),
    "psnr_own_range": Metric("PSNR with the range of each true image", "dB", True, "{:.2f}"),
    "psnr_published_range": Metric(
        "PSNR with the published 600\u202f000\u00a0V\u00a0Å range (for comparison with the published table only)",
        *("dB", True, "{:.2f}"),
    ),
    "peak_error": Metric("Peak error, mean over the highest 0.5 % of the true pixels", "%", False, "{:.1f}", 100),
    "ssim": Metric("SSIM", "", True, "{:z.3f}"),
}

METHODS = {"model": "Network", "idpc": "iDPC"}

PUBLISHED = {"psnr_published_range": "54.45", "mae": "897.8", "pearson": "0.72", "peak_error": "23.8"}
"""Scores of the published 200 kV system as they were printed, in the units of `METRICS`."""

SHUFFLED_METRICS = ("pearson", "mae", "peak_error")

TITLES = {"samples": "Samples", "predictions": "Predictions", "loss": "Training", "scores": "Scores"}


def write_report(
    output: Path,
    summary: Path,
    samples: Path,
    figures: Mapping[str, Path],
    captions: Mapping[str, Path],
    configuration: Mapping[str, Any],
    dataset: Path,
) -> None:
    """
    Write the report of a run.

    Parameters
    ----------
    output : Path
        HTML file to be made.
    summary : Path
        Mean scores (JSON).
    samples : Path
        Scores of every test sample, dose and method (CSV).
    figures : mapping
        PNG file of each figure, in the order of the report.
    captions : mapping
        Text file for each figure that has a caption.
    configuration : mapping
        Configuration of the run; `run` is its name.
    dataset : Path
        The data set, for a link.

    Raises
    ------
    InputError
        A number is missing or not finite; no report is written.
    """
    scores = json.loads(summary.read_text())
    _check(scores, str(summary))
    files = {"Data set": dataset, "Mean scores": summary, "Scores of every sample": samples}
    files |= {f"Figure: {name}": path for name, path in figures.items()}
    environment = Environment(
        loader=PackageLoader("iphasenet"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    html = environment.get_template("report.html").render(
        run=str(configuration.get("run", "iphasenet")),
        sentences=_sentences(scores, samples),
        metrics=METRICS,
        methods=METHODS,
        table=_table(scores),
        materials={name: _table(part) for name, part in scores["by_material"].items()},
        published=PUBLISHED,
        shuffled={
            field: {name: METRICS[name].text(row[name]) for name in SHUFFLED_METRICS}
            for field, row in scores.get("shuffled_metadata", {}).items()
        },
        uncertainty=scores.get("uncertainty", {}),
        figures=[_figure(name, path, captions.get(name)) for name, path in figures.items()],
        configuration=yaml.safe_dump(json.loads(json.dumps(dict(configuration))), sort_keys=False, allow_unicode=True),
        files={label: _relative(path, output) for label, path in files.items()},
    )
    with atomic_file(output) as temporary:
        temporary.write_text(html, encoding="utf-8")


def _check(scores: Any, where: str) -> None:
    """Refuse a summary that lacks a number."""
    parts = {"": scores}
    for name in _get(scores, "by_material", where):
        parts[f"by_material.{name}."] = scores["by_material"][name]
    for prefix, part in parts.items():
        for method in METHODS:
            values = _get(part, method, where, prefix)
            for name in METRICS:
                _check_number(_get(values, name, where, f"{prefix}{method}."), where, f"{prefix}{method}.{name}")
    _check_number(_get(scores, "samples", where), where, "samples")
    for dose in _get(scores, "doses", where):
        _check_number(dose, where, "doses")


def _get(values: Any, name: str, where: str, prefix: str = "") -> Any:
    if not isinstance(values, Mapping) or values.get(name) in (None, {}, []):
        raise InputError(f"{where}: {prefix}{name}: found nothing; allowed: a value is required")
    return values[name]


def _check_number(value: Any, where: str, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{where}: {name}: found {value!r}; allowed: a finite number")


def _sentences(scores: Mapping[str, Any], samples: Path) -> list[str]:
    """Summary in words."""
    frame = pd.read_csv(samples)
    if frame.empty or not {"material", "tilt"} <= set(frame):
        raise InputError(f"{samples}: found no tilts; allowed: columns material and tilt and at least one row")
    tilts = len(frame[["material", "tilt"]].drop_duplicates())
    materials = list(scores["by_material"])
    model, idpc = ({n: m.text(scores[method][n]) for n, m in METRICS.items()} for method in METHODS)
    doses = " and ".join(", ".join(_text("{:,.7g}", dose) for dose in sorted(scores["doses"])).rsplit(", ", 1))
    return [
        f"The network was tested on {_text('{:,}', scores['samples'])} {_noun(scores['samples'], 'sample')} of "
        f"{len(materials)} {_noun(len(materials), 'material')} ({', '.join(materials)}) at {doses} e/Å². "
        f"The samples come from {tilts} crystal {_noun(tilts, 'tilt')} that training never saw.",
        f"The mean Pearson correlation with the true projected potential on these held-out tilts is "
        f"{model['pearson']} for the network and {idpc['pearson']} for iDPC.",
        f"The mean absolute error is {model['mae']} V Å for the network ({model['mae_share_of_max']} % of the "
        f"largest potential) and {idpc['mae']} V Å for iDPC ({idpc['mae_share_of_max']} %).",
        f"The mean peak error is {model['peak_error']} % for the network and {idpc['peak_error']} % for iDPC.",
    ]


def _noun(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"


def _table(scores: Mapping[str, Any]) -> dict[str, dict[str, tuple[str, bool]]]:
    """Text of each metric and method, and whether it is the better one."""
    table = {}
    for name, metric in METRICS.items():
        values = {method: scores[method][name] for method in METHODS}
        best = max(values.values()) if metric.higher_is_better else min(values.values())
        table[name] = {method: (metric.text(value), value == best) for method, value in values.items()}
    return table


def _title(name: str) -> str:
    return TITLES.get(name, name[:1].upper() + name[1:])


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


def _text(template: str, value: float) -> str:
    """Format with narrow spaces between thousands and a true minus sign."""
    return template.format(value).replace(",", "\u202f").replace("-", "−")
