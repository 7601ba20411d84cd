"""Training loss and scores: by material, thickness, dose, and from altered inputs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from iphasenet.base.drawing import (
    BLUE,
    CURVES,
    GREEN,
    METHODS,
    ORANGE,
    PEARSON,
    WIDTH,
    Look,
    dose_axis,
    legend_above,
    material_looks,
    methods_of,
    pearson_axis,
    plain_log,
    save_figure,
    side_by_side,
    spans_decade,
)
from iphasenet.base.errors import InputError
from iphasenet.base.reading import read_json
from iphasenet.base.tables import read_table
from iphasenet.base.wording import number_text

BOXED = ("model", "wiener_told", "wiener", "idpc_told", "idpc", "nearest")
"""Methods that are compared in boxes, baselines with the tilt only, because more boxes would be too narrow to read."""

SCORES = {"mae_share_of_max": ("MAE [% of maximum]", 100.0), "pearson": (PEARSON, 1.0)}
"""Label and factor of the metrics that are drawn."""

LEVELS = {"thickness_nm": "thickness [nm]", "dose": "dose [e/Å²]"}

_NO_SCORE = {"mean": None, "low": None, "high": None}

ALTERED = {
    "metadata": "metadata taken from another sample",
    "noise": "noise of the images",
}


def draw_loss(metrics_csv: Path, outputs: Sequence[Path]) -> None:
    """
    Draw losses and validation Pearson against epoch.

    Parameters
    ----------
    metrics_csv : Path
        Log of the training. If a resumed run holds an epoch twice, the last one counts.
    outputs : sequence of Path
        Figures to write, PNG or SVG by their endings.
    """
    names = ["train_loss", "validation_loss", "validation_pearson"]
    frame = read_table(metrics_csv, ["epoch", *names]).groupby("epoch")[names].last()
    curves = {name: frame[name].dropna() for name in names}
    for name, curve in curves.items():
        if curve.empty:
            raise InputError(f"{metrics_csv}: {name}: found no number; allowed: numbers of at least one epoch")
    marker = "o" if len(frame) <= 30 else None
    with style.context(CURVES):
        figure = Figure(figsize=(8, 6), layout="constrained")
        loss, pearson = figure.subplots(2, 1, sharex=True)
        for name, colour, line in (("train_loss", ORANGE, "--"), ("validation_loss", BLUE, "-")):
            loss.plot(curves[name], line, label=name.replace("_", " "), color=colour, marker=marker, markersize=4)
        if spans_decade(frame[names[:2]].stack()):
            plain_log(loss)
        loss.set(ylabel="loss (no unit)")
        curve = curves["validation_pearson"]
        best = curve.idxmax()
        pearson.plot(curve, color=GREEN, marker=marker, markersize=4, label="validation")
        label = number_text("best: {:z.3f} at epoch {:.0f}", curve[best], best)
        pearson.plot([best], [curve[best]], "D", mfc="none", mec="black", markersize=9, label=label)
        pearson.set(xlabel="epoch", ylabel=PEARSON)
        pearson.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        loss.legend()
        pearson.legend()
        save_figure(figure, outputs)


def draw_scores(samples_table: Path, outputs: Sequence[Path]) -> None:
    """
    Draw Pearson by material: of the network, Wiener filter and iDPC (told the tilt), and nearest training sample.

    Parameters
    ----------
    samples_table : Path
        Scores of every test sample, dose and method.
    outputs : sequence of Path
        Figures to write, PNG or SVG by their endings.

    Raises
    ------
    InputError
        A score is not finite, or a method unknown.
    """
    frame = read_table(samples_table, ["sample_id", "material", "method", "pearson"], finite=["pearson"])
    known = methods_of(frame, samples_table)
    methods = [method for method in BOXED if method in known] or known
    materials = sorted(frame["material"].unique())
    with style.context([*CURVES, {"hatch.linewidth": 0.6}]):
        figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
        axes = figure.subplots()
        shifts = side_by_side(len(methods), 0.8)
        for method, shift in zip(methods, shifts, strict=True):
            chosen = frame[frame["method"] == method]
            values = [chosen.loc[chosen["material"] == material, "pearson"].to_numpy() for material in materials]
            _draw_boxes(axes, method, values, shift, min(0.8 / len(methods) - 0.04, 0.3))
        axes.set_xticks(range(len(materials)), materials)
        axes.set_xlim(-0.5, len(materials) - 0.5)
        axes.set_xlabel("material")
        pearson_axis(axes)
        handles: list[Any] = [(_box_patch(method), _mean_marker(method)) for method in methods]
        figure.legend(handles, [METHODS[m].label for m in methods], loc="outside upper center", ncols=len(methods))
        save_figure(figure, outputs)


def _draw_boxes(axes: Axes, method: str, values: list[NDArray[Any]], shift: float, width: float) -> None:
    look = METHODS[method]
    axes.boxplot(
        values,
        positions=np.arange(len(values)) + shift,
        widths=width,
        showmeans=True,
        patch_artist=True,
        boxprops={"facecolor": look.colour + "8C", "hatch": look.hatch},
        medianprops={"color": "black", "linewidth": 1.5},
        meanprops={"marker": look.marker, "mfc": "white", "mec": "black", "markersize": 5},
        flierprops={"marker": ".", "mfc": look.colour, "mec": "none", "markersize": 4},
    )


def _box_patch(method: str) -> Patch:
    look = METHODS[method]
    return Patch(facecolor=look.colour + "8C", hatch=look.hatch, edgecolor="black")


def _mean_marker(method: str) -> Line2D:
    return Line2D([], [], linestyle="none", marker=METHODS[method].marker, mfc="white", mec="black", markersize=5)


def draw_errors(summary_json: Path, outputs: Sequence[Path]) -> None:
    """
    Draw the mean absolute error and Pearson of the methods against thickness and dose, with their intervals.

    Parameters
    ----------
    summary_json : Path
        Mean scores; `by` holds those of each thickness and dose. Thickness or dose is left out if it has one level.
    outputs : sequence of Path
        Figures to write, PNG or SVG by their endings.

    Raises
    ------
    InputError
        A mean is missing or not finite, or a method unknown.
    """
    by = read_json(summary_json).get("by", {})
    names = [name for name in LEVELS if len(by.get(name, {})) > 1] or ["thickness_nm"]
    tables = {name: _score_table(by.get(name, {}), name, summary_json) for name in names}
    with style.context(CURVES):
        figure = Figure(figsize=(WIDTH, 6.4), layout="constrained")
        panels = figure.subplots(len(SCORES), len(names), sharex="col", sharey="row", squeeze=False)
        for row, (metric, (label, factor)) in zip(panels, SCORES.items(), strict=True):
            for axes, (name, table) in zip(row, tables.items(), strict=True):
                _draw_means(axes, table[table["metric"] == metric], factor)
                if name == "dose":
                    dose_axis(axes, table["level"])
                axes.set_xlabel(LEVELS[name] if metric == list(SCORES)[-1] else "")
            means = pd.concat([factor * table.loc[table["metric"] == metric, "mean"] for table in tables.values()])
            _finish(row[0], label, metric, means)
        legend_above(figure, panels[0, 0])
        save_figure(figure, outputs)


def _finish(axes: Axes, label: str, metric: str, means: pd.Series) -> None:
    """Scale and label the y axis of a row of panels."""
    axes.set_ylabel(label)
    if metric == "pearson":
        pearson_axis(axes)
    elif spans_decade(means):
        plain_log(axes)
        # An interval may reach down to 0.
        axes.set_ylim(bottom=means.min() / 2)
    else:
        axes.set_ylim(bottom=0)


def _score_table(levels: Mapping[str, Any], name: str, path: Path) -> pd.DataFrame:
    """Table with level, method, metric, mean, low and high (NaN: no interval) of the methods that are drawn."""
    rows = [
        {"level": float(level), "method": method, "metric": metric, **_NO_SCORE, **numbers.get(metric, {})}
        for level, methods in levels.items()
        for method, numbers in methods.items()
        for metric in SCORES
    ]
    if not rows:
        raise InputError(f"{path}: by.{name}: found no scores; allowed: scores of at least one level")
    table = pd.DataFrame(rows).astype({"mean": float, "low": float, "high": float}).sort_values("level")
    drawn = methods_of(table, path)
    bad = table[~np.isfinite(table["mean"])]
    if len(bad):
        level, method, metric = bad.iloc[0][["level", "method", "metric"]]
        raise InputError(f"{path}: by.{name}.{level:g}.{method}.{metric}: found NaN; allowed: a finite number")
    return table[table["method"].isin(drawn)]


def _draw_means(axes: Axes, table: pd.DataFrame, factor: float) -> None:
    for method, look in METHODS.items():
        rows = table[table["method"] == method]
        if len(rows):
            mean = rows["mean"]
            # A percentile interval from few groups need not contain the mean.
            ends = np.array([mean - rows["low"], rows["high"] - mean]).clip(min=0)
            axes.errorbar(rows["level"], factor * mean, factor * ends, capsize=3, **look.curve)


def draw_alterations(altered_table: Path, outputs: Sequence[Path]) -> None:
    """
    Draw the network's scores with metadata of other samples, and with each kind of noise.

    Parameters
    ----------
    altered_table : Path
        Scores of predictions from altered inputs.
    outputs : sequence of Path
        Figures to write, PNG or SVG by their endings.

    Raises
    ------
    InputError
        A score is not finite, or a kind of alteration unknown.
    """
    frame = read_table(altered_table, ["sample_id", "material", "kind", "altered", *SCORES], finite=list(SCORES))
    unknown = sorted(set(frame["kind"]) - set(ALTERED))
    if unknown:
        raise InputError(f"{altered_table}: kind: found {unknown[0]!r}; allowed: {', '.join(ALTERED)}")
    kinds, looks = [kind for kind in ALTERED if kind in set(frame["kind"])], material_looks(frame["material"])
    with style.context(CURVES):
        figure = Figure(figsize=(WIDTH, 6.4), layout="constrained")
        panels = figure.subplots(len(SCORES), len(kinds), sharex="col", sharey="row", squeeze=False)
        for row, (metric, (label, factor)) in zip(panels, SCORES.items(), strict=True):
            for axes, kind in zip(row, kinds, strict=True):
                _draw_altered(axes, frame[frame["kind"] == kind], looks, metric, factor)
                axes.set_xlabel(ALTERED[kind] if axes in panels[-1] else "")
            _finish(row[0], label, metric, factor * frame.groupby(["material", "altered"])[metric].mean())
        legend_above(figure, panels[0, 0])
        save_figure(figure, outputs)


def _draw_altered(axes: Axes, frame: pd.DataFrame, looks: Mapping[str, Look], metric: str, factor: float) -> None:
    """Draw means over samples: for each material a marker, for all a bar with its number."""
    names = list(frame["altered"].unique())
    place = {name: number for number, name in enumerate(names)}
    for (material, look), shift in zip(looks.items(), side_by_side(len(looks), 0.6), strict=True):
        means = frame[frame["material"] == material].groupby("altered", sort=False)[metric].mean()
        axes.plot([place[name] + shift for name in means.index], factor * means, **look.point)
    means = factor * frame.groupby("altered", sort=False)[metric].mean()
    axes.hlines(
        means,
        np.arange(len(names)) - 0.4,
        np.arange(len(names)) + 0.4,
        color="black",
        lw=2,
        label="mean (number above)",
    )
    template = "{:z.3f}" if metric == "pearson" else "{:.2f}"
    # Drawn above the frame, where no marker lies.
    above: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom", "size": 9}
    for number, mean in enumerate(means):
        axes.text(number, 1.01, number_text(template, mean), **above)
    axes.set_xticks(range(len(names)), [name.replace("+", " +\n").replace("readout", "read-out") for name in names])
