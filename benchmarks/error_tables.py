"""Tables and figure of docs/accuracy.md from the measurements of `window.py` and `accuracy.py`.

python benchmarks/error_tables.py results/benchmarks results/benchmarks/accuracy.png
"""

import sys
from pathlib import Path

import pandas as pd
from common import ZONE_AXES
from matplotlib.axes import Axes
from matplotlib.figure import Figure

FULL_WINDOW, PUBLISHED_WINDOW = 64.0, 25.6
CHOICES = {"pixel": "#0072B2", "slices": "#E69F00", "projection": "#CC79A7", "window": "#009E73", "tilt": "#999999"}


def percent(table: pd.DataFrame) -> str:
    """Markdown of a table of shares, in %."""
    header = [*table.index.names, *map(str, table.columns)]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for key, row in table.iterrows():
        lines.append("| " + " | ".join([*map(str, key), *map(_cell, row)]) + " |")
    return "\n".join(lines)


def _cell(share: float) -> str:
    return "not measured" if pd.isna(share) else f"{100 * share:.1f}"


def budget(choices: pd.DataFrame, windows: pd.DataFrame, tilt: pd.DataFrame, window: float) -> pd.DataFrame:
    """Errors by material and thickness, and their sum."""
    keys = ["material", "nm"]
    order = pd.MultiIndex.from_product([ZONE_AXES, sorted(set(windows.nm))], names=keys)
    table = choices.pivot_table(index=keys, columns="choice", values="share").reindex(order)
    own = windows[(windows.window == window) & (windows.edges == "fractional")]
    if own.empty:
        sys.exit(f"no window of {window} Å was measured; allowed: {sorted(set(windows.window))}")
    table["window"] = own.set_index(keys).share
    table["tilt"] = tilt[tilt.choice == "tilt"].set_index(keys).share
    if "infinite" in table:
        table = table.rename(columns={"infinite": "projection"})
    else:
        table["projection"] = 0.0
    table["sum"] = table[list(CHOICES)].sum(axis=1, skipna=False)
    shown = [*CHOICES, "sum", *(name for name in ("finite", "together") if name in table)]
    return table[shown]


def draw(axes: Axes, table: pd.DataFrame, title: str) -> None:
    """Stacked errors, one bar per material and thickness."""
    base, positions = pd.Series(0.0, table.index), []
    for index, (material, _) in enumerate(table.index):
        positions.append(index + list(dict.fromkeys(table.index.get_level_values(0))).index(material))
    for choice, colour in CHOICES.items():
        share = table[choice].fillna(0.0)
        axes.bar(positions, 100 * share, bottom=100 * base, color=colour, label=choice, width=0.85)
        base = base + share
    axes.set(ylabel="error [% of contrast]", title=title)
    axes.set_xticks(positions, [f"{nm:g}" for _, nm in table.index], fontsize=6)
    for material in dict.fromkeys(table.index.get_level_values(0)):
        inside = [p for p, (name, _) in zip(positions, table.index, strict=True) if name == material]
        axes.text(sum(inside) / len(inside), -0.16, material, transform=axes.get_xaxis_transform(), ha="center")
        missing = [choice for choice in CHOICES if table.loc[material, choice].isna().any()]
        if missing:
            note = "not measured:\n" + ", ".join(missing)
            axes.text(sum(inside) / len(inside), 100 * base[material].max(), note, ha="center", va="bottom", fontsize=8)
    axes.set_ylim(0, max(4.0, 115 * base.max()))
    axes.axhline(3, color="black", linewidth=0.8, linestyle="--")


def main() -> None:
    """Print the tables, save the figure."""
    folder, picture = map(Path, sys.argv[1:3])
    names = ["measure", "material", "choice", "nm", "share"]
    measured = {name: pd.read_csv(folder / f"{name}.csv", names=names) for name in ("full", "published", "tilt")}
    windows = pd.read_csv(folder / "window.csv", names=["material", "window", "edges", "nm", "share"])
    full = budget(measured["full"], windows, measured["tilt"], FULL_WINDOW)
    published = budget(measured["published"], windows, measured["tilt"], PUBLISHED_WINDOW)
    wide = windows.pivot_table(index=["material", "nm"], columns=["edges", "window"], values="share", sort=False)
    wide = wide.reindex(full.index)
    wide.columns = [f"{window:g} Å" + (", hard" if edges == "hard" else "") for edges, window in wide.columns]
    for title, table in {"Full": full, "Published": published, "Window": wide}.items():
        print(f"## {title}\n\n{percent(table)}\n")
    figure = Figure(figsize=(12, 7), layout="constrained")
    upper, lower = figure.subplots(2, 1)
    draw(upper, full, "config/config.yaml: atomic layers, 64 Å; pixel measured at 0.03 Å, PVSK 0.025 Å (dashed: 3 %)")
    draw(lower, published, "published choices: 0.1 Å, bilinear projection, 3 Å slices, 25.6 Å (dashed: 3 %)")
    upper.legend(ncols=len(CHOICES), frameon=False)
    figure.supxlabel("thickness [nm]")
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main()
