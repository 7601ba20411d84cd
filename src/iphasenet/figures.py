"""Curves and scores of a run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from iphasenet.drawing import BLUE, GREEN, METHODS, ORANGE, STYLE, number_text, save_figure
from iphasenet.errors import InputError

_OPEN = {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
CURVES = [*STYLE, {**_OPEN, "axes.grid": True, "axes.grid.axis": "y", "grid.alpha": 0.3}]


def draw_loss(metrics_csv: Path, outputs: Sequence[Path]) -> None:
    """
    Draw losses and validation Pearson against epoch.

    Parameters
    ----------
    metrics_csv : Path
        The training's log. Where a resumed run holds an epoch twice, the last one counts.
    outputs : sequence of Path
        Figures to write, PNG or SVG by their endings.
    """
    names = ["train_loss", "validation_loss", "validation_pearson"]
    frame = _read_table(metrics_csv, ["epoch", *names]).groupby("epoch")[names].last()
    curves = {name: frame[name].dropna() for name in names}
    for name, curve in curves.items():
        if curve.empty:
            raise InputError(f"{metrics_csv}: {name}: found no number; allowed: at least one epoch")
    marker = "o" if len(frame) <= 30 else None
    with style.context(CURVES):
        figure = Figure(figsize=(8, 6), layout="constrained")
        loss, pearson = figure.subplots(2, 1, sharex=True)
        for name, colour in (("train_loss", ORANGE), ("validation_loss", BLUE)):
            loss.plot(curves[name], label=name.replace("_", " "), color=colour, marker=marker, markersize=4)
        losses = frame[names[:2]].stack()
        if 0 < losses.min() < losses.max() / 10:
            loss.set_yscale("log")
            loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            loss.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            loss.yaxis.set_minor_formatter(NullFormatter())
        loss.set(ylabel="loss (no unit)")
        curve = curves["validation_pearson"]
        best = curve.idxmax()
        pearson.plot(curve, color=GREEN, marker=marker, markersize=4, label="validation")
        label = number_text("best: {:z.3f} at epoch {:.0f}", curve[best], best)
        pearson.plot([best], [curve[best]], "D", mfc="none", mec="black", markersize=9, label=label)
        pearson.set(xlabel="epoch", ylabel="Pearson r (no unit)")
        pearson.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        loss.legend()
        pearson.legend()
        save_figure(figure, outputs)


def draw_scores(samples_csv: Path, outputs: Sequence[Path]) -> None:
    """
    Draw Pearson by material, against thickness and, where there are several, against dose.

    Parameters
    ----------
    samples_csv : Path
        Scores of every test sample, dose and method.
    outputs : sequence of Path
        Figures to write, PNG or SVG by their endings.
    """
    frame = _read_table(samples_csv, ["sample_id", "material", "thickness_nm", "dose", "method", "pearson"])
    bad = frame.loc[~np.isfinite(frame["pearson"]), "sample_id"]
    if len(bad):
        raise InputError(f"{samples_csv}: {bad.iloc[0]}: pearson: found NaN; allowed: a finite number")
    curves = {"thickness_nm": "thickness [nm]"}
    if frame["dose"].nunique() > 1:
        curves["dose"] = "dose [e/Å²]"
    with style.context(CURVES):
        figure = Figure(figsize=(10, 4.6), layout="constrained")
        ratios = [1.3, *[1] * len(curves)]
        boxes, *others = figure.subplots(1, len(ratios), sharey=True, width_ratios=ratios)
        _draw_boxes(boxes, frame)
        for axes, (column, label) in zip(others, curves.items(), strict=True):
            _draw_quartiles(axes, frame, column)
            axes.set(xlabel=label, title="mean and quartiles", xscale="log" if column == "dose" else "linear")
        figure.legend(*others[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
        save_figure(figure, outputs)


def _draw_boxes(axes: Axes, frame: pd.DataFrame) -> None:
    materials = sorted(frame["material"].unique())
    for shift, (method, (_, colour, _)) in zip((-0.19, 0.19), METHODS.items(), strict=True):
        chosen = frame[frame["method"] == method]
        axes.boxplot(
            [chosen.loc[chosen["material"] == material, "pearson"].to_numpy() for material in materials],
            positions=np.arange(len(materials)) + shift,
            widths=0.3,
            showmeans=True,
            patch_artist=True,
            boxprops={"facecolor": colour, "alpha": 0.55},
            medianprops={"color": "black"},
            meanprops={"marker": "D", "mfc": "white", "mec": "black", "markersize": 4},
            flierprops={"marker": ".", "mfc": colour, "mec": colour, "markersize": 4},
        )
    axes.set_xticks(range(len(materials)), materials)
    axes.set(xlabel="material", ylabel="Pearson r (no unit)", title="median, quartiles, mean (diamond)")


def _draw_quartiles(axes: Axes, frame: pd.DataFrame, column: str) -> None:
    for method, (label, colour, marker) in METHODS.items():
        groups = frame[frame["method"] == method].groupby(column)["pearson"]
        low, high = groups.quantile(0.25), groups.quantile(0.75)
        axes.plot(groups.mean(), color=colour, marker=marker, label=label)
        axes.fill_between(low.index, low, high, color=colour, alpha=0.2, lw=0)


def _read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    frame = pd.read_csv(path)
    if frame.empty or not set(columns) <= set(frame):
        found, needed = (", ".join(names) for names in (frame, columns))
        raise InputError(f"{path}: found {len(frame)} rows of {found}; allowed: at least one row of {needed}")
    return frame
