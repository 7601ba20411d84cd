"""Table of atoms at rest in docs/accuracy.md, from the measurements of `window.py` and `accuracy.py`.

python benchmarks/error_tables.py results/benchmarks
"""

import sys
from pathlib import Path

import pandas as pd
from common import ZONE_AXES

WINDOWS = {"converged": 64.0, "published": 25.6}
CHOICES = {"pixel": "pixel", "slices": "slices", "infinite": "projection", "window": "window", "tilt": "tilt"}


def measured(folder: Path) -> pd.DataFrame:
    """Errors by set, material, choice and thickness."""
    names = ["set", "material", "choice", "nm", "share"]
    table = pd.concat(pd.read_csv(folder / f"{name}.csv", names=names) for name in (*WINDOWS, "tilt"))
    windows = pd.read_csv(folder / "window.csv", names=["material", "window", "edges", "nm", "share"])
    windows = windows[windows.edges == "fractional"].assign(choice="window")
    of_window = [windows[windows.window == side].assign(set=name) for name, side in WINDOWS.items()]
    tilts = table[table.choice == "tilt"]
    return pd.concat([table, *of_window, *(tilts.assign(set=name) for name in WINDOWS)])


def interval(shares: pd.Series) -> str:
    """Lowest and highest of some shares, in %."""
    lowest, highest = (f"{100 * share:.1f}" for share in (shares.min(), shares.max()))
    return lowest if lowest == highest else f"{lowest} - {highest}"


def main() -> None:
    """Print the table."""
    table = measured(Path(sys.argv[1]))
    print(f"| | {' | '.join(CHOICES.values())} |\n|{'---|' * (len(CHOICES) + 1)}")
    for name in WINDOWS:
        for material in ZONE_AXES:
            rows = table[(table.set == name) & (table.material == material)]
            found = [rows[rows.choice == choice].share for choice in CHOICES]
            # This library uses exact phases: its projection has no error.
            cells = [interval(shares) if len(shares) else "0" for shares in found]
            print(f"| {material}, {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
