"""Figures on the scale of the crystal: spectra of potentials, atomic columns, and the window of the simulation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from iphasenet.base.drawing import (
    CURVES,
    METHODS,
    WIDTH,
    Look,
    legend_above,
    level_looks,
    methods_of,
    panel_grid,
    plain_log,
    save_figure,
    side_by_side,
    spans_decade,
)
from iphasenet.base.errors import InputError
from iphasenet.base.reading import read_json
from iphasenet.base.tables import read_table
from iphasenet.base.wording import number_text
from iphasenet.reporting.evaluation_figures import at_one_dose

TRUTH = Look("truth", "black", "")

DECADES = 8.0
"""Range of powers that is drawn below the highest; smaller powers are rounding errors."""

COLUMN_SCORES = {
    "detection_rate": ("columns found [%]", 100.0),
    "position_error_pm": ("position error [pm]", 1.0),
    "integrated_absolute_error": ("error of the\nintegrated potential [%]", 100.0),
}
"""Label and factor of the numbers of atomic columns that are drawn."""


def draw_spectra(spectra_table: Path, outputs: Sequence[Path], information_limit: float | None = None) -> None:
    """
    Draw radial power spectra of true and predicted potentials, one panel per material.

    Parameters
    ----------
    spectra_table : Path
        Spectra of each material, dose and method, and of the truth; the dose nearest to 1e5 e/Å² is drawn.
    outputs : sequence of Path
        Figures to write, PNG or SVG by their endings.
    information_limit : float, optional
        Highest spatial frequency that the probe transfers, 2 alpha / lambda [1/Å]; it is marked.

    Raises
    ------
    InputError
        A number is not finite, or a method unknown.
    """
    numbers = ["frequency", "power"]
    dose, frame = at_one_dose(
        read_table(spectra_table, ["material", "dose", "method", *numbers], finite=["dose", *numbers])
    )
    looks = {"truth": TRUTH, **{method: METHODS[method] for method in methods_of(frame, spectra_table, ["truth"])}}
    materials = sorted(frame["material"].unique())
    with style.context(CURVES):
        figure, panels = panel_grid(materials, "spatial frequency [1/Å]", "power [V² Å²]")
        for axes, material in zip(panels, materials, strict=True):
            for method, look in looks.items():
                rows = frame[(frame["material"] == material) & (frame["method"] == method)].sort_values("frequency")
                axes.plot(rows["frequency"], rows["power"], **look.stroke, lw=2.2 if method == "truth" else 1.2)
            if information_limit is not None:
                axes.axvline(information_limit, color="0.3", lw=1, ls=(0, (8, 4)), label="2α/λ of the probe")
        highest = frame["power"].max()
        if highest > 0:
            lowest = max(frame.loc[frame["power"] > 0, "power"].min(), highest * 10**-DECADES)
            panels[0].set(yscale="log", ylim=(lowest / 2, highest * 2))
        panels[0].set_xlim(0, frame["frequency"].max())
        legend_above(figure, panels[0], number_text("mean potential at {:,.7g} e/Å²", dose))
        save_figure(figure, outputs)


def draw_windows(windows_csv: Sequence[Path], outputs: Sequence[Path]) -> None:
    """
    Draw the differences of images in smaller windows from those in the largest, one panel per material.

    Parameters
    ----------
    windows_csv : sequence of Path
        Tables of differences, one file for all or one per material.
    outputs : sequence of Path
        Figures to write, PNG or SVG by their endings.

    Raises
    ------
    InputError
        A number is not finite.
    """
    numbers = ["thickness_nm", "window_angstrom", "difference"]
    frame = pd.concat([read_table(path, ["material", *numbers], finite=numbers) for path in windows_csv])
    looks = level_looks(frame["thickness_nm"], "{:g} nm")
    materials = sorted(frame["material"].unique())
    with style.context(CURVES):
        figure, panels = panel_grid(materials, "window [Å]", "difference [% of contrast]")
        for axes, material in zip(panels, materials, strict=True):
            chosen = frame[frame["material"] == material]
            for thickness, look in looks.items():
                rows = chosen[chosen["thickness_nm"] == thickness].sort_values("window_angstrom")
                axes.plot(rows["window_angstrom"], 100 * rows["difference"], **look.curve)
        if (frame["difference"] > 0).any():
            plain_log(panels[0])
        legend_above(figure, panels[0])
        save_figure(figure, outputs)


def draw_atomic_columns(columns_table: Path, summary_json: Path, outputs: Sequence[Path]) -> None:
    """
    Draw the detection, position error and integrated potential of each type of atomic column for each method.

    Parameters
    ----------
    columns_table : Path
        Table of columns, with their types and which of these are light.
    summary_json : Path
        `columns` holds the numbers of each method and type, means over samples and doses.
    outputs : sequence of Path
        Figures to write, PNG or SVG by their endings.

    Raises
    ------
    InputError
        A type of column has no numbers, or a method is unknown.
    """
    frame = read_table(columns_table, ["material", "column", "light", "method"])
    places = _places(frame, columns_table)
    summary = read_json(summary_json).get("columns", {})
    table = _column_table(summary, methods_of(frame, columns_table), list(places["type"]), summary_json)
    with style.context(CURVES):
        figure = Figure(figsize=(WIDTH, 7.6), layout="constrained")
        panels = figure.subplots(len(COLUMN_SCORES), 1, sharex=True)
        for axes, (score, (label, factor)) in zip(panels, COLUMN_SCORES.items(), strict=True):
            _draw_types(axes, table, places, score, factor)
            _shade_light(axes, places)
            axes.set_ylabel(label)
        panels[0].set_ylim(-4, 104)
        panels[0].set_title("light columns (Z ≤ 8)" if places["light"].any() else "", loc="right")
        crowded = len(places) > 15
        template = "{}, {}" if crowded else "{}\n{}"
        labels = [template.format(*names) for names in zip(places["column"], places["material"], strict=True)]
        panels[-1].set_xticks(places["place"], labels, **({"rotation": 40, "ha": "right"} if crowded else {}))
        legend_above(figure, panels[0])
        save_figure(figure, outputs)


def _places(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Table of material, column, light, type ('GaN: Ga+N') and place on the x axis: light ones last, after a gap."""
    real = frame[frame["column"] != "spurious"]
    if real.empty:
        raise InputError(f"{path}: column: found only spurious peaks; allowed: at least one type of column")
    types = real.groupby(["material", "column"], as_index=False)["light"].any()
    types = types.sort_values(["light", "material", "column"], ignore_index=True)
    light = types["light"].astype(bool)
    gap = 0.6 if light.any() and not light.all() else 0.0
    return types.assign(type=types["material"] + ": " + types["column"], place=types.index + gap * light)


def _column_table(summary: Mapping[str, Any], methods: Sequence[str], types: Sequence[str], path: Path) -> pd.DataFrame:
    """Table with method, type and `COLUMN_SCORES`; NaN where nothing was found."""
    rows = []
    for method in methods:
        for name in types:
            numbers = summary.get(method, {}).get(name)
            if numbers is None or not set(COLUMN_SCORES) <= set(numbers):
                needed = ", ".join(COLUMN_SCORES)
                raise InputError(f"{path}: columns.{method}.{name}: found {numbers}; allowed: {needed}")
            rows.append({"method": method, "type": name, **{score: numbers[score] for score in COLUMN_SCORES}})
    return pd.DataFrame(rows).astype(dict.fromkeys(COLUMN_SCORES, float))


def _draw_types(axes: Axes, table: pd.DataFrame, places: pd.DataFrame, score: str, factor: float) -> None:
    methods = list(table["method"].unique())
    for method, shift in zip(methods, side_by_side(len(methods), 0.7), strict=True):
        values = table[table["method"] == method].set_index("type")[score][places["type"]].to_numpy()
        axes.plot(places["place"] + shift, factor * values, **{**METHODS[method].point, "markersize": 6})
    if score == "detection_rate":
        return
    if spans_decade(table[score].dropna()):
        plain_log(axes)
    else:
        axes.set_ylim(bottom=0)


def _shade_light(axes: Axes, places: pd.DataFrame) -> None:
    """Set the light columns apart by grey and hatches, and every type by a line."""
    first, last = places["place"].iloc[[0, -1]]
    axes.set_xlim(first - 0.5, last + 0.5)
    for place in places["place"].iloc[1:]:
        axes.axvline(place - 0.5, color="0.85", lw=0.8, zorder=0)
    light = places.loc[places["light"].astype(bool), "place"]
    if len(light):
        axes.axvspan(light.min() - 0.5, last + 0.5, facecolor="0.95", edgecolor="0.85", hatch="//", lw=0, zorder=0)
