"""What all figures share: style, colours, tables, axes, files. Nothing here touches pyplot's global state."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_file
from iphasenet.base.marks import FIGURE, mark_text
from iphasenet.base.wording import METHODS as NAMES
from iphasenet.base.wording import number_text

# The defaults first: the bytes do not depend on the user's own matplotlib settings.
STYLE: list[Any] = ["default", {"font.size": 10, "axes.titlesize": 10, "svg.hashsalt": "iphasenet"}]
_OPEN = {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
CURVES = [*STYLE, {**_OPEN, "axes.grid": True, "axes.grid.axis": "y", "grid.alpha": 0.3, "axes.axisbelow": True}]

WIDTH = 10.0
"""Width of a figure [inch]."""

# Okabe & Ito's colours, safe for colour-blind readers.
BLUE, ORANGE, GREEN, PINK, YELLOW, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
_COLOURS = (BLUE, ORANGE, GREEN, PINK, YELLOW, SKY, "#000000")
_MARKERS = "osD^vPX*"

PEARSON = "Pearson r (no unit)"
_CORRELATIONS = (-1, -0.5, 0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1)
_BEYOND = 0.02

Dashes = str | tuple[int, tuple[int, ...]]
_LINES: tuple[Dashes, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


@dataclass(frozen=True)
class Look:
    """
    How a curve is drawn, so that it differs from others by more than its colour.

    Attributes
    ----------
    label : str
        Name in the legend.
    colour, marker, line, hatch : str or tuple
        Matplotlib's colour, marker, line style and hatch.
    """

    label: str
    colour: str
    marker: str
    line: Dashes = "-"
    hatch: str = ""

    @property
    def curve(self) -> dict[str, Any]:
        """Keywords of a curve with markers."""
        return {**self.stroke, "marker": self.marker, "markersize": 5}

    @property
    def stroke(self) -> dict[str, Any]:
        """Keywords of a curve without markers."""
        return {"label": self.label, "color": self.colour, "linestyle": self.line}

    @property
    def point(self) -> dict[str, Any]:
        """Keywords of markers without a curve."""
        return {"label": self.label, "color": self.colour, "marker": self.marker, "linestyle": "none", "markersize": 5}


_LOOKS: dict[str, tuple[str, str, Dashes, str]] = {
    "model": (BLUE, "o", _LINES[0], ""),
    "idpc": (ORANGE, "s", _LINES[1], "///"),
    "wiener": (GREEN, "^", _LINES[2], "..."),
    "phase": (PINK, "D", _LINES[3], "xxx"),
    "nearest": (YELLOW, "v", _LINES[4], "\\\\\\"),
}

METHODS = {method: Look(name, *_LOOKS[method.removesuffix("_told")]) for method, name in NAMES.items()}
"""Look of each method. A baseline that is told the tilt looks like the one that is not: figures draw one of the two."""


def material_looks(materials: Iterable[str]) -> dict[str, Look]:
    """Look of each material, in alphabetical order."""
    return {
        name: Look(name, _COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)], _LINES[i % len(_LINES)])
        for i, name in enumerate(sorted(set(materials)))
    }


def level_looks(levels: Iterable[float], template: str) -> dict[float, Look]:
    """Look of each level of a number, darker where it is lower; `template` formats the label."""
    ordered = sorted(set(levels))
    shades = colormaps["viridis"](np.linspace(0, 0.85, len(ordered)))
    return {
        level: Look(template.format(level), to_hex(shades[i]), _MARKERS[i % len(_MARKERS)], _LINES[i % len(_LINES)])
        for i, level in enumerate(ordered)
    }


def methods_of(frame: pd.DataFrame, path: Path, others: Sequence[str] = ()) -> list[str]:
    """
    Methods of a table in the order of `METHODS`; InputError if one is unknown and not among `others`.

    Where a baseline stands there with and without the tilt, only the one that is told the tilt is kept: the network is
    told it too.
    """
    found = set(frame["method"]) - set(others)
    if not found <= set(METHODS):
        unknown = sorted(found - set(METHODS))[0]
        raise InputError(f"{path}: method: found {unknown!r}; allowed: {', '.join([*METHODS, *others])}")
    return [method for method in METHODS if method in found and f"{method}_told" not in found]


def side_by_side(count: int, width: float) -> NDArray[np.float64]:
    """Centres of `count` equal parts of a width about 0."""
    return (np.arange(count) - (count - 1) / 2) * width / count


def spans_decade(values: pd.Series) -> bool:
    """Whether values above 0 differ more than tenfold, so that an axis should be logarithmic."""
    return bool(len(values) and 0 < values.min() < values.max() / 10)


def plain_log(axes: Axes, which: Literal["x", "y"] = "y") -> None:
    """Make an axis logarithmic, with ticks at 1, 2, 5, 10, ... written as plain numbers."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def pearson_axis(axes: Axes) -> None:
    """Make y an axis of correlations, stretched towards 1: 0.95 to 1 takes as much room as 0 to 0.7."""
    axes.set_yscale("function", functions=(_stretched, _unstretched))
    axes.yaxis.set_major_locator(FixedLocator(_CORRELATIONS))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number_text("{:g}", value)))
    axes.set_ylabel(PEARSON)
    low = _stretched(np.array(axes.get_ylim()[0]))
    axes.set_ylim(float(_unstretched(low - 0.05)), 1 + _BEYOND / 4)


def _stretched(correlation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Minus the logarithm of the distance to a value slightly above 1."""
    return -np.log10(1 + _BEYOND - np.minimum(correlation, 1 + _BEYOND / 2))


def _unstretched(place: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 + _BEYOND - 10 ** -np.asarray(place)


def dose_axis(axes: Axes, doses: Iterable[float]) -> None:
    """Make x a logarithmic axis of doses, with ticks at those that were used."""
    ticks = sorted(set(doses))
    axes.set(xscale="log", xlabel="dose [e/Å²]")
    if len(ticks) > 1:
        # Matplotlib 3.10 takes far wider limits where axes are shared.
        margin = (ticks[-1] / ticks[0]) ** 0.05
        axes.set_xlim(ticks[0] / margin, ticks[-1] * margin)
    if len(ticks) <= 5:
        axes.set_xticks(ticks, [number_text("{:,.7g}", tick) for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())


def legend_above(figure: Figure, axes: Axes, title: str | None = None) -> None:
    """Put the legend of some axes above the figure, in as many rows as its texts need."""
    handles, labels = axes.get_legend_handles_labels()
    # An entry is about 0.65 inch of handle and gaps, and 0.085 inch a letter.
    needed = sum(0.65 + 0.085 * len(str(label)) for label in labels)
    rows = math.ceil(needed / (WIDTH - 0.8))
    figure.legend(handles, labels, loc="outside upper center", ncols=math.ceil(len(labels) / rows), title=title)


def panel_grid(titles: Sequence[str], xlabel: str, ylabel: str, height: float = 2.8) -> tuple[Figure, list[Axes]]:
    """
    Make a figure with a panel for each title, up to three a row, with common axes.

    Parameters
    ----------
    titles : sequence of str
        Titles of the panels.
    xlabel, ylabel : str
        Labels of the outer axes.
    height : float
        Height of a row [inch].

    Returns
    -------
    figure : Figure
        Figure with room for a legend above.
    panels : list of Axes
        Panels in the order of the titles.
    """
    columns = min(3, len(titles))
    rows = math.ceil(len(titles) / columns)
    figure = Figure(figsize=(WIDTH, rows * height + 0.8), layout="constrained")
    panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for spare in panels[len(titles) :]:
        spare.set_axis_off()
    for number, (axes, title) in enumerate(zip(panels, titles, strict=False)):
        axes.set_title(title)
        if number % columns == 0:
            axes.set_ylabel(ylabel)
        if number + columns >= len(titles):
            axes.set_xlabel(xlabel)
            axes.tick_params(labelbottom=True)
    return figure, panels[: len(titles)]


def save_figure(figure: Figure, outputs: Sequence[Path], dpi: int = 150) -> None:
    """Write a figure to files that appear whole or not at all, PNG or SVG by their endings."""
    for output in outputs:
        ending, mark = Path(output).suffix.lower(), mark_text(FIGURE)
        if ending not in (".png", ".svg"):
            raise InputError(f"{output}: found the ending {ending!r}; allowed: .png or .svg")
        # The files hold neither a time nor the version of a library: the same figure is the same bytes.
        metadata = {"Date": None, "Creator": mark} if ending == ".svg" else {"Software": mark}
        with atomic_file(output) as temporary:
            figure.savefig(temporary, dpi=dpi, metadata=metadata, format=ending[1:])


def draw_scale_bar(axes: Axes, width: float, height: float, unit: float = 1.0, thickness: float = 0.012) -> float:
    """
    Draw a scale bar at the lower left of an image.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Axes of the image, y down.
    width, height : float
        Size of the image, in units of the axes.
    unit : float
        Unit of the axes [Å].
    thickness : float
        Thickness of the bar, as a share of the height.

    Returns
    -------
    float
        Length of the bar [Å]: 1, 2 or 5 times a power of ten, an eighth to a third of the width.
    """
    longest = width * unit / 3
    power = 10 ** np.floor(np.log10(longest))
    length = float(max(step * power for step in (1, 2, 5) if step * power <= longest))
    text = f"{length:g} Å" if length < 10 else f"{length / 10:g} nm"
    left, thick, long = 0.04 * width, thickness * height, length / unit
    axes.add_patch(Rectangle((left, 0.96 * height - thick), long, thick, color="white", ec="black", lw=0.5))
    axes.text(left + long / 2, 0.94 * height - thick, text, color="white", ha="center", va="bottom",
              bbox={"facecolor": "black", "alpha": 0.4, "pad": 1.5, "linewidth": 0})  # fmt: skip
    return length
