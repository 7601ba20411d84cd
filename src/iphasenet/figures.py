"""Figures of a run: samples, predictions, training and scores. Nothing here touches pyplot's global state."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray
import zarr
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from iphasenet.dataset import MaterialData, open_dataset, read_split
from iphasenet.detector import SEGMENTS
from iphasenet.errors import InputError
from iphasenet.files import atomic_file

# The defaults first: the bytes do not depend on the user's own matplotlib settings.
STYLE: list[Any] = ["default", {"font.size": 10, "axes.titlesize": 10, "svg.hashsalt": "iphasenet"}]
_OPEN = {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
CURVES = [*STYLE, {**_OPEN, "axes.grid": True, "axes.grid.axis": "y", "grid.alpha": 0.3}]

# Okabe & Ito's colours, safe for colour-blind readers.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
METHODS = {"model": ("network", BLUE, "o"), "idpc": ("iDPC", ORANGE, "s")}
CURRENT, POTENTIAL, DIFFERENCE = "fraction of beam current", "projected potential [V Å]", "difference [V Å]"

# Sheets of five square panels a row; all in inches.
WIDTH, SIDE, GAP, ABOVE, BAR, INSET, BELOW = 10.0, 0.2, 0.12, 0.55, 0.09, 0.17, 0.55
PANEL = (WIDTH - 2 * SIDE - 4 * GAP) / 5
ROW = ABOVE + PANEL + 0.06 + BAR + BELOW

FloatImage = NDArray[np.floating[Any]]
Images = dict[str, FloatImage]
Limits = tuple[float, float] | None


def draw_samples(dataset: Path, outputs: Sequence[Path]) -> None:
    """
    Draw the sample sheet: four noise-free segments and the potential, one row a material.

    Parameters
    ----------
    dataset : Path
        Assembled data set.
    outputs : sequence of Path
        Figures to write, PNG or SVG by their endings.
    """
    materials = len(list(open_dataset(dataset).group_keys()))
    with style.context(STYLE):
        figure = Figure(figsize=(WIDTH, materials * ROW))
        for row, data in enumerate(read_split(dataset, "test")):
            sample = _middle_sample(data)
            segments = dict(zip([name.capitalize() for name in SEGMENTS], data.segments[sample], strict=True))
            _row_label(figure, row, data, sample)
            _scale_bar(_panels(figure, row, 0, segments, CURRENT, "gray"), data.sampling)
            _panels(figure, row, 4, {"Projected potential": data.potential[sample]}, POTENTIAL, "viridis")
        _save(figure, outputs)


def draw_predictions(dataset: Path, predictions: Path, outputs: Sequence[Path]) -> None:
    """
    Draw noisy input, iDPC, truth, prediction and its error at the highest dose, one row a material.

    Parameters
    ----------
    dataset : Path
        Assembled data set.
    predictions : Path
        Store of the predictions on its test split.
    outputs : sequence of Path
        Figures to write, PNG or SVG by their endings.
    """
    root, materials = open_dataset(predictions), len(list(open_dataset(dataset).group_keys()))
    with style.context(STYLE):
        figure = Figure(figsize=(WIDTH, materials * ROW))
        for row, data in enumerate(read_split(dataset, "test")):
            _prediction_row(figure, row, data, root, predictions)
        _save(figure, outputs)


def _prediction_row(figure: Figure, row: int, data: MaterialData, root: zarr.Group, path: Path) -> None:
    sample, dose = _middle_sample(data), int(np.argmax(data.doses))
    group = _matching_group(root, data, path)
    model, idpc = (np.asarray(group[method][sample, dose]) for method in METHODS)
    truth, difference = data.potential[sample], model - data.potential[sample]
    limit = float(np.abs(difference).max()) or 1.0
    noisy = {f"Input: {SEGMENTS[0]}": data.noisy_segments[sample, dose, 0]}
    fitted = {f"iDPC, {_pearson(idpc, truth)}": idpc}
    both = {"Truth": truth, f"Prediction, {_pearson(model, truth)}": model}
    _row_label(figure, row, data, sample, _text("{:,.7g} e/Å²", data.doses[dose]))
    _scale_bar(_panels(figure, row, 0, noisy, CURRENT, "gray"), data.sampling)
    _panels(figure, row, 1, fitted, POTENTIAL, "viridis")
    _panels(figure, row, 2, both, POTENTIAL, "viridis", (truth.min(), truth.max()))
    _panels(figure, row, 4, {"Prediction − truth": difference}, DIFFERENCE, "RdBu_r", (-limit, limit))


def _matching_group(root: zarr.Group, data: MaterialData, path: Path) -> Any:
    """Material's predictions, after a check that they belong to the data set."""
    name = data.material
    if name not in root:
        raise InputError(f"{path}: found no {name}; allowed: one group a material of the data set")
    doses: Any = root.attrs.get("doses", [])
    if list(doses) != data.doses.tolist():
        raise InputError(f"{path}: doses: found {list(doses)}; allowed: the data set's {data.doses.tolist()}")
    group: Any = root[name]
    if list(group["sample_id"][:]) != list(data.coordinates["sample_id"]):
        raise InputError(f"{path}: {name}: sample_id differs; allowed: those of the test split, in its order")
    return group


def _pearson(image: FloatImage, truth: FloatImage) -> str:
    if np.ptp(image) == 0 or np.ptp(truth) == 0:
        return "r undefined"
    r = np.corrcoef(image.ravel().astype(float), truth.ravel().astype(float))[0, 1]
    return _text("r = {:z.3f}", r)


def draw_simulation(simulation: xarray.Dataset, outputs: Sequence[Path]) -> None:
    """
    Draw the segments and the potential of one simulation, one row a thickness.

    Parameters
    ----------
    simulation : xarray.Dataset
        segments (thickness, segment, y, x) and potential (thickness, y, x), with the coordinate x [Å].
    outputs : sequence of Path
        Figures to write, PNG or SVG by their endings.
    """
    sampling = float(simulation["x"][1] - simulation["x"][0])
    with style.context(STYLE):
        figure = Figure(figsize=(WIDTH, simulation.sizes["thickness"] * ROW))
        for row, thickness in enumerate(simulation["thickness"].values):
            data = simulation.isel(thickness=row)
            level = 1 - (row * ROW + 0.26) / figure.get_figheight()
            figure.text(SIDE / WIDTH, level, _text("{:.2f} nm", thickness), weight="bold", size=12)
            # A row has room for four; of more segments, the first four.
            names = [str(name).capitalize() for name in data["segment"].values[:4]]
            segments = dict(zip(names, data["segments"].values[:4], strict=True))
            _scale_bar(_panels(figure, row, 0, segments, CURRENT, "gray"), sampling)
            _panels(figure, row, 4, {"Projected potential": data["potential"].values}, POTENTIAL, "viridis")
        _save(figure, outputs)


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
        label = _text("best: {:z.3f} at epoch {:.0f}", curve[best], best)
        pearson.plot([best], [curve[best]], "D", mfc="none", mec="black", markersize=9, label=label)
        pearson.set(xlabel="epoch", ylabel="Pearson r (no unit)")
        pearson.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        loss.legend()
        pearson.legend()
        _save(figure, outputs)


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
        _save(figure, outputs)


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


def _middle_sample(data: MaterialData) -> int:
    """Index of the first sample of the middle thickness."""
    thickness = data.coordinates["thickness_nm"]
    levels = np.unique(thickness)
    return int(np.flatnonzero(thickness == levels[len(levels) // 2])[0])


def _axes(figure: Figure, left: float, down: float, width: float, height: float) -> Axes:
    """Axes at a place in inches from the top left corner."""
    w, h = figure.get_size_inches()
    return figure.add_axes((left / w, 1 - (down + height) / h, width / w, height / h))


def _row_label(figure: Figure, row: int, data: MaterialData, sample: int, more: str = "") -> None:
    names = ("thickness_nm", "alpha", "beta", "gamma")
    template = "{:g} nm     α = {:z.2f}°     β = {:z.2f}°     γ = {:.1f}°     "
    text = _text(template, *(float(data.coordinates[name][sample]) for name in names)) + more
    level = 1 - (row * ROW + 0.26) / figure.get_figheight()
    figure.text(SIDE / WIDTH, level, data.material, weight="bold", size=12)
    figure.text((SIDE + 0.9) / WIDTH, level, text, size=11)


def _panels(
    figure: Figure, row: int, first: int, images: Images, label: str, colours: str, limits: Limits = None
) -> Axes:
    """Draw titled panels from column `first` on with one colour bar, pointed where they exceed its limits."""
    lowest, highest = min(i.min() for i in images.values()), max(i.max() for i in images.values())
    low, high = limits or (lowest, highest)
    left, top = SIDE + first * (PANEL + GAP), row * ROW + ABOVE
    panels = []
    for number, (title, image) in enumerate(images.items()):
        panels.append(_axes(figure, left + number * (PANEL + GAP), top, PANEL, PANEL))
        smooth = "auto" if max(image.shape) > 150 * PANEL else "nearest"
        shown = panels[-1].imshow(image, cmap=colours, vmin=low, vmax=high, interpolation=smooth)
        panels[-1].set(xticks=[], yticks=[])
        panels[-1].set_title(title, pad=3)
    width = len(images) * (PANEL + GAP) - GAP - 2 * INSET
    axes = _axes(figure, left + INSET, top + PANEL + 0.06, width, BAR)
    extend = ("neither", "min", "max", "both")[int(lowest < low) + 2 * int(highest > high)]
    ticks = MaxNLocator(2 + len(images))
    bar = figure.colorbar(shown, cax=axes, orientation="horizontal", extend=extend, ticks=ticks)
    bar.formatter = FuncFormatter(lambda value, _: _text("{:,.7g}", value))
    axes.tick_params(labelsize=8.5, pad=2)
    bar.set_label(label, size=9, labelpad=2)
    return panels[0]


def _scale_bar(axes: Axes, sampling: float) -> None:
    """Draw a bar of 1 nm, or of less in a small field, in the lower left corner."""
    pixels = axes.images[0].get_size()[1]
    length = next((size for size in (10, 5, 2, 1, 0.5, 0.2) if size <= 0.35 * pixels * sampling), 0.1)
    start, level = 0.05 * pixels, 0.93 * pixels
    bar = axes.plot([start, start + length / sampling], [level] * 2, color="white", lw=3)[0]
    bar.set_path_effects([withStroke(linewidth=5, foreground="black")])
    text = axes.text(start, 0.9 * pixels, f"{length / 10:g} nm", color="white", weight="bold")
    text.set_path_effects([withStroke(linewidth=2, foreground="black")])


def _text(template: str, *values: float) -> str:
    """Format with thin spaces between thousands and true minus signs."""
    return template.format(*values).replace(",", "\u2009").replace("-", "−")


def _save(figure: Figure, outputs: Sequence[Path]) -> None:
    for output in outputs:
        ending = Path(output).suffix
        if ending not in (".png", ".svg"):
            raise InputError(f"{output}: found the ending {ending!r}; allowed: .png or .svg")
        with atomic_file(output) as temporary:
            figure.savefig(temporary, dpi=150, metadata={"Date": None} if ending == ".svg" else None)
