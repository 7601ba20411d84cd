"""Window that each thickness needs, and the gain by fractional weights at the edges of aperture and segments.

    python benchmarks/window.py results.csv [MATERIAL ...]

Images in windows of 25.6 to 76.8 Å against one of 102.4 Å, all thicknesses, five crystals tilted by 0.3 degrees.
Pixels of 0.15 Å: the window's error hardly depends on them, its cost does.
"""

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import MICROSCOPE, THICKNESSES, TILT, ZONE_AXES, cell_of, potential_of

from iphasenet.microscope.optics import Microscope
from iphasenet.microscope.probe import window_cells
from iphasenet.multislice.periodic_images import simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.simulation.window_convergence import image_difference

WINDOWS, REFERENCE = (25.6, 38.4, 51.2, 64.0, 76.8), 102.4
SAMPLING, SLICE = 0.15, 0.3


class HardEdges(Microscope):
    """A microscope whose aperture and segments take each reciprocal pixel completely or not at all."""

    def aperture(self, kx: Any, ky: Any, pixel: tuple[float, float]) -> Any:
        """Amplitude 0 or 1."""
        del pixel
        return (np.hypot(kx, ky) < self.frequency(self.semiangle_mrad)).astype(float)

    def detector_weights(
        self, kx: Any, ky: Any, pixel: tuple[float, float], rotation_deg: float = 0.0, subpixels: int = 1
    ) -> Any:
        """Weights 0 or 1, and 1/2 on a border."""
        del subpixels
        return super().detector_weights(kx, ky, pixel, rotation_deg, 1)


def main() -> None:
    """Measure, and write one row per material, window and thickness."""
    torch.set_num_threads(1)
    output, materials = Path(sys.argv[1]), sys.argv[2:] or list(ZONE_AXES)
    hard = HardEdges(*(getattr(MICROSCOPE, name) for name in list(vars(MICROSCOPE))[:4]))
    with output.open("a", newline="") as stream:
        table = csv.writer(stream)
        for material in materials:
            potential = potential_of(cell_of(material), SAMPLING)
            numerics = {window: Numerics(SAMPLING, SLICE, window) for window in (*WINDOWS, REFERENCE)}
            reference = simulate_images(potential, MICROSCOPE, numerics[REFERENCE], THICKNESSES, TILT)
            for window in WINDOWS:
                cells = window_cells(potential.lengths[:2], window)
                for edges, microscope in {"fractional": MICROSCOPE, "hard": hard}.items():
                    if edges == "hard" and window > 51.2:
                        continue
                    images = simulate_images(potential, microscope, numerics[window], THICKNESSES, TILT)
                    for thickness, share in zip(THICKNESSES, image_difference(images, reference), strict=True):
                        table.writerow([material, window, edges, thickness / 10, f"{share:.5f}"])
                    print(material, window, cells, edges, image_difference(images, reference).round(4), flush=True)
                stream.flush()


if __name__ == "__main__":
    main()
