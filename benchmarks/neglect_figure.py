"""Figure of what each neglect costs, from the table that `thermal.py neglects` prints and docs/accuracy.md holds.

python benchmarks/neglect_figure.py docs/accuracy.md docs/images/neglects.png
"""

import re
import sys
from pathlib import Path

from common import ZONE_AXES
from matplotlib.figure import Figure
from matplotlib.style import context

from iphasenet.base.drawing import BLUE, CURVES, GREEN, ORANGE, WIDTH

NEGLECTS = {
    "at rest": ("o", ORANGE),
    "Debye-Waller factors": ("s", BLUE),
    "absorption": ("D", GREEN),
    "standard error": ("", "#777777"),
}
_ROW = re.compile(rf"^\| (\w+), ({'|'.join(NEGLECTS)}) \| (.+) \|$", re.M)
_THICKNESS = re.compile(r"([\d.]+) nm")


def read_rows(text: str) -> tuple[list[float], dict[tuple[str, str], list[float]]]:
    """Thicknesses [nm], and errors [%] by material and neglect."""
    found = list(_ROW.finditer(text))
    if not found:
        sys.exit("found no row such as '| GaN, at rest | 30 | ...'; allowed: the output of `thermal.py neglects`")
    head = text[: found[0].start()].splitlines()[-2]
    rows = {(one[1], one[2]): [float(cell) for cell in one[3].split("|")] for one in found}
    return [float(nm) for nm in _THICKNESS.findall(head)], rows


def main() -> None:
    """Draw one panel a crystal."""
    thicknesses, rows = read_rows(Path(sys.argv[1]).read_text())
    with context(CURVES):
        figure = Figure(figsize=(WIDTH, 3.1), layout="constrained")
        panels = figure.subplots(1, len(ZONE_AXES), sharey=True)
        for axes, material in zip(panels, ZONE_AXES, strict=True):
            for neglect, (marker, colour) in NEGLECTS.items():
                line = "-" if marker else "--"
                axes.plot(thicknesses, rows[material, neglect], line, marker=marker, color=colour, label=neglect, ms=4)
            axes.set(title=material, xscale="log", yscale="log", ylim=(0.5, 1000))
            axes.set_xticks([5, 10, 20, 40, 80, 150], ["5", "10", "20", "40", "80", "150"], minor=False)
            axes.minorticks_off()
            axes.set_yticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
        panels[0].set_ylabel("error [% of contrast]")
        figure.supxlabel("thickness [nm]", fontsize=10)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(NEGLECTS))
        figure.savefig(sys.argv[2], dpi=120)


if __name__ == "__main__":
    main()
