"""Predicted against true potentials, the distribution of errors, and the calibration of the uncertainty."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from iphasenet.base.drawing import (
    CURVES,
    METHODS,
    WIDTH,
    Look,
    dose_axis,
    legend_above,
    material_looks,
    methods_of,
    plain_log,
    save_figure,
)
from iphasenet.base.errors import InputError
from iphasenet.base.tables import read_table
from iphasenet.base.wording import number_text
from iphasenet.evaluation.alterations import nearest_dose

PUBLISHED_SHARE = 3.4
"""Mean absolute error of the published system [% of the mean maximum]."""

POTENTIALS = {"mean": "mean potential of an image", "maximum": "maximum of an image"}

KINDS = ("predicted", "true")

BINS = 40

SMALLEST_SHARE = 1e-3
"""Smallest error on the logarithmic axis [% of maximum]; smaller ones are drawn there."""


def at_one_dose(frame: pd.DataFrame) -> tuple[float, pd.DataFrame]:
    """Dose of a table that is nearest to 1e5 e/Å², and its rows."""
    doses = np.unique(frame["dose"])
    dose = float(doses[nearest_dose(doses)])
    return dose, frame[frame["dose"] == dose]


def draw_potentials(samples_table: Path, outputs: Sequence[Path]) -> None:
    """
    Draw mean and maximum of the network's potential against the true ones, one point per sample.

    Parameters
    ----------
    samples_table : Path
        Scores of every test sample, dose and method; the dose nearest to 1e5 e/Å² is drawn.
    outputs : sequence of Path
        Figures to write, PNG or SVG by their endings.

    Raises
    ------
    InputError
        There is no sample of the network, or a number is not finite.
    """
    columns = [f"{name}_{kind}" for name in POTENTIALS for kind in KINDS]
    dose, rows = at_one_dose(_network(_read(samples_table, columns), samples_table))
    looks = material_looks(rows["material"])
    with style.context([*CURVES, {"axes.grid.axis": "both"}]):
        figure = Figure(figsize=(WIDTH, 5.8), layout="constrained")
        panels = figure.subplots(1, len(POTENTIALS))
        for axes, (name, title) in zip(panels, POTENTIALS.items(), strict=True):
            predicted, true = (rows[f"{name}_{kind}"] / 1000 for kind in KINDS)
            _scatter(axes, true, predicted, rows["material"], looks)
            ends = _padded(np.concatenate([predicted, true]))
            axes.plot(ends, ends, color="black", lw=1, ls="--", label="predicted = true", zorder=1)
            means = number_text("means: predicted {:.4g} and true {:.4g} kV Å", predicted.mean(), true.mean())
            axes.text(0.97, 0.03, means, transform=axes.transAxes, ha="right", size=9)
            axes.set(xlim=ends, ylim=ends, aspect="equal", title=f"{title}, {_dose_text(dose)}")
            axes.set(xlabel="true [kV Å]", ylabel="predicted by the network [kV Å]")
        legend_above(figure, panels[0])
        save_figure(figure, outputs)


def _read(samples_table: Path, columns: Sequence[str]) -> pd.DataFrame:
    return read_table(samples_table, ["sample_id", "material", "dose", "method", *columns], finite=columns)


def _network(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    rows = frame[frame["method"] == "model"]
    if rows.empty:
        raise InputError(f"{path}: method: found no 'model'; allowed: a table with rows of the network")
    return rows


def _scatter(axes: Axes, x: pd.Series, y: pd.Series, material: pd.Series, looks: Mapping[str, Look]) -> None:
    for name, look in looks.items():
        chosen = material == name
        axes.plot(x[chosen], y[chosen], **look.point, mfc=look.colour + "66", zorder=2)


def _padded(values: NDArray[np.float64]) -> tuple[float, float]:
    """Range of some values with a margin of 4 %; it is not empty if all values are equal."""
    low, high = float(values.min()), float(values.max())
    spare = 0.04 * (high - low) or 0.1 * abs(high) or 1.0
    return low - spare, high + spare


def _dose_text(dose: float) -> str:
    return number_text("{:,.7g} e/Å²", dose)


def draw_distribution(samples_table: Path, outputs: Sequence[Path]) -> None:
    """
    Draw a histogram of the samples' errors, and the network's error of the mean potential against the true mean.

    Parameters
    ----------
    samples_table : Path
        Scores of every test sample, dose and method. The histogram shows all doses, the second panel the dose nearest
        to 1e5 e/Å².
    outputs : sequence of Path
        Figures to write, PNG or SVG by their endings.

    Raises
    ------
    InputError
        There is no sample of the network, a number is not finite, or a method unknown.
    """
    frame = _read(samples_table, ["mae_share_of_max", "mean_predicted", "mean_true"])
    dose, rows = at_one_dose(_network(frame, samples_table))
    with style.context(CURVES):
        figure = Figure(figsize=(WIDTH, 5.2), layout="constrained")
        histogram, means = figure.subplots(1, 2, width_ratios=(1.2, 1))
        _draw_histogram(histogram, frame, methods_of(frame, samples_table))
        _draw_bias(means, rows, dose)
        for axes, columns in ((histogram, 2), (means, 5)):
            axes.legend(
                loc="lower center",
                bbox_to_anchor=(0.5, 1.07),
                ncols=columns,
                fontsize=9,
                columnspacing=1,
                handletextpad=0.5,
            )
        save_figure(figure, outputs)


def _draw_histogram(axes: Axes, frame: pd.DataFrame, methods: Sequence[str]) -> None:
    shares = (100 * frame["mae_share_of_max"]).clip(lower=SMALLEST_SHARE)
    edges = np.geomspace(shares.min() / 1.05, shares.max() * 1.05, BINS + 1)
    for method in methods:
        look, chosen = METHODS[method], shares[frame["method"] == method]
        counts = np.histogram(chosen, edges)[0] / len(chosen)
        if method == "model":
            axes.stairs(100 * counts, edges, fill=True, color=look.colour, alpha=0.3)
        line = axes.stairs(100 * counts, edges, color=look.colour, linestyle=look.line, lw=1.6, label=look.label)
        line.sticky_edges.y[:] = [0]
        # Drawn above the frame, so that bars never hide a mean.
        at_top: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        axes.plot([chosen.mean()], [1.03], look.marker, color=look.colour, mec="black", markersize=7, **at_top)
    label = number_text("published mean: {:g} %", PUBLISHED_SHARE)
    axes.axvline(PUBLISHED_SHARE, color="black", ls=(0, (8, 4)), lw=1.2, label=label)
    plain_log(axes, "x")
    axes.set(xlabel="MAE of an image [% of its maximum]   (markers above: means)", ylabel="share of the images [%]")


def _draw_bias(axes: Axes, rows: pd.DataFrame, dose: float) -> None:
    difference = rows["mean_predicted"] - rows["mean_true"]
    _scatter(axes, rows["mean_true"] / 1000, difference, rows["material"], material_looks(rows["material"]))
    axes.axhline(0, color="black", lw=0.8)
    bias, spread = difference.mean(), 1.96 * difference.std(ddof=0)
    axes.axhline(bias, color="black", ls="--", lw=1.2)
    for limit in (bias - spread, bias + spread):
        axes.axhline(limit, color="0.4", ls=":", lw=1.4)
    axes.set_title(number_text("mean {:,.3g} V Å (dashed) and ± 1.96 sd (dotted)", bias), size=9)
    axes.set(xlabel=f"true mean potential [kV Å], {_dose_text(dose)}", ylabel="predicted − true mean [V Å]")


def draw_calibration(coverage_table: Path, outputs: Sequence[Path]) -> None:
    """
    Draw the coverage of the network's intervals against their level, and the ratio of spread to error against dose.

    Parameters
    ----------
    coverage_table : Path
        Coverage of each material, dose and level; if it is empty, the figure says that there is no uncertainty.
    outputs : sequence of Path
        Figures to write, PNG or SVG by their endings.

    Raises
    ------
    InputError
        A column is missing, or a number is not finite.
    """
    columns = ["dose", "level", "covered", "spread_over_error"]
    frame = read_table(coverage_table, ["material", *columns], columns, may_be_empty=True)
    if frame.empty:
        _draw_sentence("This network predicts no uncertainty: there is nothing to calibrate.", outputs)
        return
    looks = material_looks(frame["material"])
    with style.context(CURVES):
        figure = Figure(figsize=(WIDTH, 4.9), layout="constrained")
        covered, ratio = figure.subplots(1, 2)
        covered.plot([0, 100], [0, 100], color="black", lw=1, ls="--", label="calibrated")
        ratio.axhline(1, color="black", lw=1, ls="--")
        for material, look in looks.items():
            rows = frame[frame["material"] == material]
            covered.plot(100 * rows.groupby("level")["covered"].mean().rename(lambda level: 100 * level), **look.curve)
            ratio.plot(rows.groupby("dose")["spread_over_error"].mean(), **look.curve)
        lowest = 100 * min(frame["level"].min(), frame["covered"].min())
        covered.set(xlim=(lowest - 3, 101), ylim=(lowest - 3, 101), aspect="equal")
        covered.set(xlabel="level of the interval [%]", ylabel="pixels inside [%]", title="mean over doses")
        ratio.set(ylabel="mean spread / mean absolute error (no unit)", title="spread and error")
        dose_axis(ratio, frame["dose"])
        legend_above(figure, covered)
        save_figure(figure, outputs)


def _draw_sentence(text: str, outputs: Sequence[Path]) -> None:
    with style.context(CURVES):
        figure = Figure(figsize=(WIDTH, 1))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.text(0.5, 0.5, text, ha="center", va="center", size=12)
        save_figure(figure, outputs)
