"""Sheets of images: samples, predictions, simulations."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from iphasenet.base.drawing import STYLE, draw_scale_bar, save_figure
from iphasenet.base.seals import open_store
from iphasenet.base.wording import number_text
from iphasenet.dataset.material_data import MaterialData
from iphasenet.dataset.reader import material_groups, open_dataset, read_material, read_split
from iphasenet.microscope.detector import SEGMENTS
from iphasenet.reporting.examples import Example, middle_sample

# Sheets of five square panels a row; all in inches.
WIDTH, SIDE, GAP, ABOVE, BAR, INSET, BELOW = 10.0, 0.2, 0.12, 0.55, 0.09, 0.17, 0.55
PANEL = (WIDTH - 2 * SIDE - 4 * GAP) / 5
ROW = ABOVE + PANEL + 0.06 + BAR + BELOW

FloatImage = NDArray[np.floating[Any]]
Images = dict[str, FloatImage]
Limits = tuple[float, float] | None


class Quantity(NamedTuple):
    """Quantity that images show: the label of its colour bar, and matplotlib's name of the colours."""

    label: str
    colours: str


CURRENT = Quantity("fraction of beam current", "gray")
POTENTIAL = Quantity("projected potential [V Å]", "viridis")
DIFFERENCE = Quantity("difference / maximum [%]", "RdBu_r")


def draw_samples(dataset: Path, outputs: Sequence[Path]) -> None:
    """
    Draw the sample sheet: four noise-free segments and the potential, one row per material.

    Parameters
    ----------
    dataset : Path
        Assembled data set.
    outputs : sequence of Path
        Figures to write, PNG or SVG by their endings.
    """
    count = len(material_groups(open_dataset(dataset)))
    with style.context(STYLE):
        figure = Figure(figsize=(WIDTH, count * ROW))
        for row, data in enumerate(read_split(dataset, "test", choose=middle_sample)):
            _sample_row(figure, row, data, 0)
        save_figure(figure, outputs)


def draw_material(store: Path, outputs: Sequence[Path]) -> None:
    """
    Draw a sheet of one material: all thicknesses of its first test tilt and rotation, one row each.

    Parameters
    ----------
    store : Path
        Store of the material; changes of other materials do not require a new sheet.
    outputs : sequence of Path
        Figures to write, PNG or SVG by their endings.
    """
    data = read_material(open_store(store, "material"), "test", choose=_first_view)
    rows = range(len(data.potential))
    with style.context(STYLE):
        figure = Figure(figsize=(WIDTH, len(rows) * ROW))
        for row in rows:
            _sample_row(figure, row, data, row)
        # A lower resolution, because sheets have many rows and the report holds all of them.
        save_figure(figure, outputs, dpi=90)


def _first_view(coordinates: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """All thicknesses of the first tilt and rotation."""
    gamma, tilt_index = coordinates["gamma"], coordinates["tilt"]
    return np.flatnonzero((tilt_index == tilt_index[0]) & (gamma == gamma[0]))


def _sample_row(figure: Figure, row: int, data: MaterialData, sample: int) -> None:
    segments = dict(zip([name.capitalize() for name in SEGMENTS], data.segments[sample], strict=True))
    known = {name: values[sample] for name, values in data.coordinates.items()}
    _row_label(figure, row, data.material, known)
    _scale_bar(_panels(figure, row, 0, segments, CURRENT), data.sampling)
    _panels(figure, row, 4, {"Projected potential": data.potential[sample]}, POTENTIAL)


def draw_predictions(examples: Sequence[Example], outputs: Sequence[Path]) -> None:
    """
    Draw noisy input, iDPC, truth, prediction and its error, one row per material.

    Parameters
    ----------
    examples : sequence of Example
        One sample per material.
    outputs : sequence of Path
        Figures to write, PNG or SVG by their endings.
    """
    limit = _shared_limit([_difference(example.predictions["model"], example.truth) for example in examples])
    with style.context(STYLE):
        figure = Figure(figsize=(WIDTH, len(examples) * ROW))
        for row, example in enumerate(examples):
            _prediction_row(figure, row, example, limit)
        save_figure(figure, outputs)


def _difference(prediction: FloatImage, truth: FloatImage) -> FloatImage:
    """Difference as a share of the truth's maximum [%]."""
    return 100 * (prediction - truth) / truth.max()


def _shared_limit(differences: Sequence[FloatImage]) -> float:
    """Choose the rounded end of a common scale, which ignores a few outlying pixels."""
    limit = np.percentile(np.abs(np.stack(differences)), 99.5)
    return float(f"{limit:.2g}") or 1.0


def _prediction_row(figure: Figure, row: int, example: Example, limit: float) -> None:
    model, idpc, truth = example.predictions["model"], example.predictions["idpc"], example.truth
    fitted = {f"iDPC, {_pearson(idpc, truth)}": idpc}
    both = {"Truth": truth, f"Prediction, {_pearson(model, truth)}": model}
    _row_label(figure, row, example.material, example.metadata, number_text("{:,.7g} e/Å²", example.dose))
    _scale_bar(_panels(figure, row, 0, {f"Input: {SEGMENTS[0]}": example.noisy[0]}, CURRENT), example.sampling)
    _panels(figure, row, 1, fitted, POTENTIAL)
    _panels(figure, row, 2, both, POTENTIAL, (truth.min(), truth.max()))
    _panels(figure, row, 4, {"Prediction − truth": _difference(model, truth)}, DIFFERENCE, (-limit, limit))


def _pearson(image: FloatImage, truth: FloatImage) -> str:
    if np.ptp(image) == 0 or np.ptp(truth) == 0:
        return "r undefined"
    r = np.corrcoef(image.ravel().astype(float), truth.ravel().astype(float))[0, 1]
    return number_text("r = {:z.3f}", r)


def draw_simulation(simulation: xarray.Dataset, outputs: Sequence[Path]) -> None:
    """
    Draw the segments and the potential of one simulation, one row per thickness.

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
            figure.text(SIDE / WIDTH, level, number_text("{:.2f} nm", thickness), weight="bold", size=12)
            # A row has room for four segments; of more, the first four are shown.
            names = [str(name).capitalize() for name in data["segment"].values[:4]]
            segments = dict(zip(names, data["segments"].values[:4], strict=True))
            _scale_bar(_panels(figure, row, 0, segments, CURRENT), sampling)
            _panels(figure, row, 4, {"Projected potential": data["potential"].values}, POTENTIAL)
        save_figure(figure, outputs)


def _axes(figure: Figure, left: float, down: float, width: float, height: float) -> Axes:
    """Axes at a place in inches from the top left corner."""
    w, h = figure.get_size_inches()
    return figure.add_axes((left / w, 1 - (down + height) / h, width / w, height / h))


def _row_label(figure: Figure, row: int, material: str, known: Mapping[str, Any], more: str = "") -> None:
    names = ("thickness_nm", "alpha", "beta", "gamma")
    template = "{:g} nm     α = {:z.2f}°     β = {:z.2f}°     γ = {:.1f}°     "
    text = number_text(template, *(float(known[name]) for name in names)) + more
    level = 1 - (row * ROW + 0.26) / figure.get_figheight()
    figure.text(SIDE / WIDTH, level, material, weight="bold", size=12)
    figure.text((SIDE + 0.9) / WIDTH, level, text, size=11)


def _panels(figure: Figure, row: int, first: int, images: Images, quantity: Quantity, limits: Limits = None) -> Axes:
    """Draw titled panels from column `first` on with one colour bar, pointed where values exceed its limits."""
    lowest, highest = min(i.min() for i in images.values()), max(i.max() for i in images.values())
    low, high = limits or (lowest, highest)
    left, top = SIDE + first * (PANEL + GAP), row * ROW + ABOVE
    panels = []
    for number, (title, image) in enumerate(images.items()):
        panels.append(_axes(figure, left + number * (PANEL + GAP), top, PANEL, PANEL))
        smooth = "auto" if max(image.shape) > 150 * PANEL else "nearest"
        shown = panels[-1].imshow(image, cmap=quantity.colours, vmin=low, vmax=high, interpolation=smooth)
        panels[-1].set(xticks=[], yticks=[])
        panels[-1].set_title(title, pad=3)
    width = len(images) * (PANEL + GAP) - GAP - 2 * INSET
    axes = _axes(figure, left + INSET, top + PANEL + 0.06, width, BAR)
    extend = ("neither", "min", "max", "both")[int(lowest < low) + 2 * int(highest > high)]
    ticks = MaxNLocator(2 + len(images))
    bar = figure.colorbar(shown, cax=axes, orientation="horizontal", extend=extend, ticks=ticks)
    bar.formatter = FuncFormatter(lambda value, _: number_text("{:,.7g}", value))
    axes.tick_params(labelsize=8.5, pad=2)
    bar.set_label(quantity.label, size=9, labelpad=2)
    return panels[0]


def _scale_bar(axes: Axes, sampling: float) -> None:
    rows, columns = axes.images[0].get_size()
    draw_scale_bar(axes, columns, rows, sampling, thickness=0.022)
