"""What all figures share: style, colours, numbers, files. Nothing here touches pyplot's global state."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from iphasenet.errors import InputError
from iphasenet.files import atomic_file

# The defaults first: the bytes do not depend on the user's own matplotlib settings.
STYLE: list[Any] = ["default", {"font.size": 10, "axes.titlesize": 10, "svg.hashsalt": "iphasenet"}]

# Okabe & Ito's colours, safe for colour-blind readers.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
METHODS = {"model": ("network", BLUE, "o"), "idpc": ("iDPC", ORANGE, "s")}


def number_text(template: str, *values: float) -> str:
    """Format with thin spaces between thousands and true minus signs."""
    return template.format(*values).replace(",", "\u2009").replace("-", "−")


def save_figure(figure: Figure, outputs: Sequence[Path], dpi: int = 150) -> None:
    """Write a figure to files that appear whole or not at all, PNG or SVG by their endings."""
    for output in outputs:
        ending = Path(output).suffix
        if ending not in (".png", ".svg"):
            raise InputError(f"{output}: found the ending {ending!r}; allowed: .png or .svg")
        with atomic_file(output) as temporary:
            figure.savefig(temporary, dpi=dpi, metadata={"Date": None} if ending == ".svg" else None)
