"""Error budget of atoms at rest: the effect of each numerical choice, for every material and thickness.

    python benchmarks/accuracy.py {converged,published,tilt} results.csv [MATERIAL ...]

Each choice is compared with one at least twice as fine, all else equal, at thicknesses of whole cells. `converged` is
0.025 Å and atomic layers; `published` is 0.1 Å, bilinear projection and 3 Å slices; `tilt` compares the tilted
propagator with really rotated atoms. All choices but the window (`window.py`) act only near the probe: they are
compared in a window of one or two cells a side, so that fine references are affordable.
"""

import csv
import math
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import MICROSCOPE, THICKNESSES, TILT, ZONE_AXES, cell_of, potential_of

from iphasenet.crystal.potential import CrystalPotential
from iphasenet.crystal.slab import cut_slab
from iphasenet.crystal.slicing import Slicing
from iphasenet.microscope.probe import window_cells
from iphasenet.multislice.numerics import cell_grid
from iphasenet.multislice.periodic_images import PeriodicImages, simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Field, render
from iphasenet.simulation.tilts import lab_tilt
from iphasenet.simulation.window_convergence import image_difference

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import abtem

CONVERGED = {"sampling_angstrom": 0.025, "slice_thickness_angstrom": 0.3, "window_angstrom": 64.0}
PUBLISHED = {"sampling_angstrom": 0.1, "slice_thickness_angstrom": 3.0, "window_angstrom": 25.6}
SMALL_WINDOW = 4.8
"""One or two cells along each side [Å]."""

FINEST_SLICE = 1e-3
"""Slice thickness at which every atomic layer is a slice of its own [Å]."""

LEANING_SLICES = 0.15
"""Depth [Å] above the height difference of a layer across the small window at 0.3°, below any distance of layers."""


@dataclass(frozen=True)
class EqualSlices(CrystalPotential):
    """A potential cut into equal slices wherever its layers lie, as abTEM cuts it."""

    def slicing(self, slice_thickness: float, repeats: bool = True) -> Slicing:
        """Slices of at most `slice_thickness` [Å]."""
        assert repeats
        count = max(1, int(np.ceil(self.lengths[2] / slice_thickness - 1e-9)))
        height = self.lengths[2] / count
        owner = np.floor((self.positions[:, 2] + 1e-3) / height).astype(int) % count
        return Slicing(np.full(count, height), owner, 0.0, self.positions[:, 2])


@dataclass(frozen=True)
class AbtemProjection(EqualSlices):
    """Equal slices projected by abTEM, 'infinite' (bilinear) or 'finite'."""

    atoms: Any = None
    projection: str = "infinite"

    def slices(self, slicing: Slicing, gpts: tuple[int, int]) -> np.ndarray:
        """Project slice by slice (slice, y, x) [V Å]."""
        potential = abtem.Potential(
            self.atoms, gpts=gpts, slice_thickness=tuple(slicing.distances.tolist()), projection=self.projection
        )
        return np.asarray(potential.build().compute().array).transpose(0, 2, 1)


def equal(potential: CrystalPotential, **more: Any) -> Any:
    """Cut the same potential into equal slices, projected by abTEM where more is said."""
    return (AbtemProjection if more else EqualSlices)(**vars(potential), **more)


def simulate(potential: Any, sampling: float, slices: float, window: float) -> PeriodicImages:
    """All thicknesses, rounded to whole cells."""
    height = potential.lengths[2]
    whole = [round(thickness / height) * height for thickness in THICKNESSES]
    return simulate_images(potential, MICROSCOPE, Numerics(sampling, slices, window), whole, TILT)


def converged(material: str) -> Iterator[tuple[str, np.ndarray]]:
    """Errors of converged images."""
    pixel, slices = CONVERGED["sampling_angstrom"], CONVERGED["slice_thickness_angstrom"]
    potential = potential_of(cell_of(material), pixel / 2)
    window = SMALL_WINDOW
    started = time.perf_counter()
    base = simulate(potential, pixel, slices, window)
    # The cost is proportional to the window's area.
    side = CONVERGED["window_angstrom"]
    scale = math.prod(window_cells(potential.lengths[:2], side)) / math.prod(
        window_cells(potential.lengths[:2], window)
    )
    print(f"{material}: {scale * (time.perf_counter() - started):.0f} s a tilt and core at {side} Å", flush=True)
    yield "pixel", image_difference(base, simulate(potential, pixel / 2, slices, window))
    # Half the thickness of a layer would be the same slices: the reference splits all layers.
    if potential.slicing(slices).count == potential.slicing(FINEST_SLICE).count:
        yield "slices", np.zeros(len(THICKNESSES))
    else:
        yield "slices", image_difference(base, simulate(potential, pixel, FINEST_SLICE, window))


def published(material: str) -> Iterator[tuple[str, np.ndarray]]:
    """Errors of the published choices, and of abTEM's two projections at 0.1 Å."""
    pixel, slices = PUBLISHED["sampling_angstrom"], PUBLISHED["slice_thickness_angstrom"]
    cell = cell_of(material)
    potential = potential_of(cell, pixel / 3)
    window = SMALL_WINDOW
    base = simulate(equal(potential), pixel, slices, window)
    yield "pixel", image_difference(base, simulate(equal(potential), pixel / 3, slices, window))
    yield "slices", image_difference(base, simulate(potential, pixel, FINEST_SLICE, window))
    for projection in ("infinite", "finite"):
        projected = simulate(equal(potential, atoms=cell, projection=projection), pixel, slices, window)
        yield projection, image_difference(projected, base)
        if projection == "infinite":
            # All of it at once against exact phases at a third of the pixel with all layers in their places.
            yield "together", image_difference(projected, simulate(potential, pixel / 3, FINEST_SLICE, window))


def tilt(material: str) -> Iterator[tuple[str, np.ndarray]]:
    """Error of the tilted propagator against a slab of rotated atoms, both periodic in one window."""
    sampling, slices, cell = CONVERGED["sampling_angstrom"], CONVERGED["slice_thickness_angstrom"], cell_of(material)
    potential = potential_of(cell, sampling)
    lengths = potential.lengths
    window = SMALL_WINDOW
    images = simulate(potential, sampling, slices, window)
    untilted = simulate_images(
        potential, MICROSCOPE, Numerics(sampling, slices, window), images.depths.tolist(), (0.0, 0.0)
    )
    cells = window_cells(lengths[:2], window)
    side = (cells[0] * lengths[0], cells[1] * lengths[1])
    # No column on the box's sides: foreshortened, it would stand on both. The lead reaches no layer of another cell:
    # PVSK has one 0.29 Å above the first.
    point = (0.237 * lengths[0], 0.171 * lengths[1], potential.slicing(slices).origin)
    slab = cut_slab(cell, (*lab_tilt(TILT, 0.0), 0.0), images.depths[-1] + 1.5, side, point, lead=LEANING_SLICES)
    grid = cell_grid(lengths[:2], sampling, potential.translations)
    # The same band limit, which the cell's coarser pixel sets.
    coarsest = max(length / points for length, points in zip(grid.lengths, grid.gpts, strict=True))
    rotated = potential_of(slab, coarsest)
    numerics = Numerics(coarsest, LEANING_SLICES, min(side), 12000)
    reference = simulate_images(rotated, MICROSCOPE, numerics, images.depths.tolist())
    pixels = Image(48, min(side) / 48)
    truth = render(reference.coefficients[:, 0], reference.lengths, Field(pixels, offset=(side[0] / 2, side[1] / 2)))
    contrast = np.sqrt(((truth - truth.mean(axis=(2, 3), keepdims=True)) ** 2).mean(axis=(1, 2, 3)))
    for name, series in {"tilt": images, "no tilt at all": untilted}.items():
        found = render(series.coefficients[:, 0], series.lengths, Field(pixels, offset=point[:2]))
        yield name, np.sqrt(((found - truth) ** 2).mean(axis=(1, 2, 3))) / contrast


def main() -> None:
    """Measure, and write one row per material, choice and thickness."""
    torch.set_num_threads(1)
    abtem.config.set({"diagnostics.progress_bar": False})
    measure, output, materials = sys.argv[1], Path(sys.argv[2]), sys.argv[3:] or list(ZONE_AXES)
    with output.open("a", newline="") as stream:
        table = csv.writer(stream)
        for material in materials:
            for choice, shares in {"converged": converged, "published": published, "tilt": tilt}[measure](material):
                for thickness, share in zip(THICKNESSES, shares, strict=True):
                    table.writerow([measure, material, choice, thickness / 10, f"{share:.5f}"])
                print(measure, material, choice, shares.round(4), flush=True)
                stream.flush()


if __name__ == "__main__":
    main()
