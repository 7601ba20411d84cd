"""Cost of a simulation against the settings that may change it.

    python benchmarks/cost.py results.csv figure.png

One process with one thread, like the workflow's jobs; run nothing else on the machine meanwhile.
"""

import csv
import sys
import time
from pathlib import Path

import torch
from common import MICROSCOPE, THICKNESSES, TILT, ZONE_AXES, cell_of, potential_of
from matplotlib.figure import Figure

from iphasenet.crystal.potential import CrystalPotential
from iphasenet.multislice.periodic_images import simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Field, render

SAMPLING, SLICE, WINDOW = 0.1, 0.3, 25.6


def sample(
    potential: CrystalPotential,
    window: float = WINDOW,
    thicknesses: list[float] = THICKNESSES,
    rotations: int = 4,
    pixels: int = 256,
) -> float:
    """Seconds of one tilt of a crystal, simulated and rendered."""
    turns = [360 * index / rotations for index in range(rotations)]
    started = time.perf_counter()
    images = simulate_images(potential, MICROSCOPE, Numerics(SAMPLING, SLICE, window), thicknesses, TILT, turns)
    for index, turn in enumerate(turns):
        render(images.coefficients[:, index], images.lengths, Field(Image(pixels, 0.1), turn))
    return time.perf_counter() - started


def main() -> None:
    """Measure, write a table and a figure."""
    torch.set_num_threads(1)
    output, picture = map(Path, sys.argv[1:3])
    rows: list[tuple[str, float, float]] = []
    # The first run of a process loads libraries.
    sample(potential_of(cell_of("GaN"), SAMPLING))
    for material in ZONE_AXES:
        rows.append((material, WINDOW, sample(potential_of(cell_of(material), SAMPLING))))
        print(*rows[-1], flush=True)
    for material in ("GaN", "KNbO3"):
        potential = potential_of(cell_of(material), SAMPLING)
        studies: dict[str, dict[float, float]] = {
            "window's area [Å²]": {side**2: sample(potential, side) for side in (12.8, 18.1, 25.6, 36.2, 51.2)},
            "largest thickness [nm]": {t / 10: sample(potential, thicknesses=[t]) for t in (200, 500, 1000, 1500)},
            "number of thicknesses": {
                n: sample(potential, thicknesses=[1500 * (i + 1) / n for i in range(n)]) for n in (1, 3, 7, 15)
            },
            "number of rotations": {n: sample(potential, rotations=n) for n in (1, 4, 8, 16)},
            "pixels a side": {n: sample(potential, pixels=n) for n in (64, 256, 1024)},
        }
        rows += [(f"{material}: {name}", x, y) for name, study in studies.items() for x, y in study.items()]
        print(studies, flush=True)
    with output.open("w", newline="") as stream:
        csv.writer(stream).writerows([("study", "value", "seconds"), *rows])
    draw(rows, picture)


def draw(rows: list[tuple[str, float, float]], picture: Path) -> None:
    """Draw one panel per study: time against the varied quantity, from zero."""
    names = list(dict.fromkeys(name.partition(": ")[2] for name, _, _ in rows if ": " in name))
    figure = Figure(figsize=(12, 2.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), sharey=False), names, strict=True):
        for material, colour, marker in (("GaN", "#0072B2", "o"), ("KNbO3", "#D55E00", "s")):
            points = [(x, y) for study, x, y in rows if study == f"{material}: {name}"]
            axes.plot(*zip(*points, strict=True), color=colour, marker=marker, label=material)
        axes.set(xlabel=name, xlim=(0, None), ylim=(0, None))
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("time of one tilt [s]")
    figure.axes[0].legend(frameon=False)
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main()
