"""How well a map shows a foil that is a wedge, bends, and is strained on one side.

python -m benchmarks.fit_map --output results/fit_map

The thickness rises along x, alpha along y, and lattice planes across x are wider in the right half. The images are
blended from simulations with the benchmark's other displacements and scattering factors (`benchmarks.crystal_fit`).
Written are the image (foil.npz, with which `iphasenet fit --map` makes the same), maps.csv and the figure.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas
import torch

from benchmarks.crystal_fit import ACQUISITION, MICROSCOPE, ZONES, cell_of
from iphasenet.base.devices import use_threads
from iphasenet.fitting.figure import draw_fit, draw_patches
from iphasenet.fitting.fit import fit
from iphasenet.fitting.limits import Limits
from iphasenet.fitting.patches import fit_patches
from iphasenet.fitting.task import Task
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.multislice.periodic_images import simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.simulation.noise import record_images
from iphasenet.simulation.tilts import crystal_lean

ROTATION, BETA = 21.0, -0.12


@dataclass(frozen=True)
class Foil:
    """
    A foil, and its images on square pixels.

    Attributes
    ----------
    pixels : int
        Side of the image.
    sampling : float
        Pixel [Å].
    thickness_nm : (float, float)
        Thicknesses at the left and the right edge.
    alpha_deg : (float, float)
        Tilts about x at the upper and the lower edge.
    strain_percent : float
        Strain along x of the right half.
    """

    pixels: int = 512
    sampling: float = 0.2
    thickness_nm: tuple[float, float] = (36.0, 42.0)
    alpha_deg: tuple[float, float] = (0.08, 0.24)
    strain_percent: float = 0.4

    @property
    def places(self) -> np.ndarray:
        """Coordinates of pixels along a side, from the centre [Å]."""
        return (np.arange(self.pixels) - (self.pixels - 1) / 2) * self.sampling

    def share(self, places: np.ndarray) -> np.ndarray:
        """Map a side to 0..1."""
        return places / (self.pixels * self.sampling) + 0.5

    def segments(self, material: str, steps: int) -> np.ndarray:
        """Images (4, y, x), blended from `steps` tilts and as many thicknesses as there are layers."""
        cell = cell_of(material)
        cell.arrays["displacements"] = cell.arrays["displacements"] * 0.85**2
        potential = sampled_potential(cell, 0.1, self.sampling, "kirkland")
        microscope = replace(MICROSCOPE, source_size_angstrom=0.3, aberrations={"defocus": 20.0})
        numerics = Numerics(0.1, 0.5, 24.0, thermal_noise=1e-3, thermal_passes=6, thermal_coarse_passes=0,
                            thermal_period_angstrom=1.0)  # fmt: skip
        height = float(cell.cell.lengths()[2])
        low, high = (round(10 * one / height) for one in self.thickness_nm)
        depths = [height * count for count in range(low - 1, high + 2)]
        total = np.zeros((4, self.pixels, self.pixels))
        alphas = np.linspace(*self.alpha_deg, steps)
        for alpha in alphas:
            lean = crystal_lean(float(alpha), BETA, ROTATION)
            made = simulate_images(potential, microscope, numerics, depths, lean, (ROTATION,), seed=[3])
            coefficients = made.coefficients[:, 0]
            across = _hats(np.array(made.depths), 10 * np.interp(self.share(self.places), (0, 1), self.thickness_nm))
            down = _hats(alphas, np.interp(self.share(self.places), (0, 1), self.alpha_deg))[list(alphas).index(alpha)]
            for weight, images in zip(across, coefficients, strict=True):
                if weight.any():
                    total += down[:, None] * weight * self._image(images, made.lengths)
        return total

    def _image(self, coefficients: np.ndarray, lengths: tuple[float, float]) -> np.ndarray:
        """Sum a Fourier series (4, k, h), orders -m..m, at the pixels of the strained image."""
        _, rows, columns = coefficients.shape
        h, k = np.meshgrid(np.arange(columns) - columns // 2, np.arange(rows) - rows // 2)
        turn = np.radians(ROTATION)
        gx, gy = h / lengths[0], k / lengths[1]
        lab = np.cos(turn) * gx - np.sin(turn) * gy, np.sin(turn) * gx + np.cos(turn) * gy
        strained = np.where(self.places > 0, self.places / (1 + self.strain_percent / 100), self.places)
        kept = np.abs(coefficients).max(axis=0) > 1e-9
        x, y = (
            np.exp(2j * np.pi * part[kept] * places[:, None])
            for part, places in zip(lab, (strained, self.places), strict=True)
        )
        return np.stack([((y * one[kept]) @ x.T).real for one in coefficients])


def _hats(nodes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Weights (node, value) of linear interpolation."""
    return np.array([np.interp(values, nodes, np.eye(len(nodes))[number]) for number in range(len(nodes))])


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the image, fit it, and compare the maps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of what is made")
    parser.add_argument("--material", default="GaN", choices=["GaN", "KNbO3", "MoS2", *ZONES])
    parser.add_argument("--dose", type=float, default=1e5, help="dose [e/Å²]")
    parser.add_argument("--steps", type=int, default=5, help="tilts that are simulated")
    parser.add_argument("--map", type=int, default=64, help="side of a patch [pixels]")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    foil, path = Foil(), options.output / "foil.npz"
    with use_threads(1):
        if not path.exists():
            clean = torch.from_numpy(foil.segments(options.material, options.steps)).float()[None]
            noisy = record_images(clean, [options.dose], foil.sampling, ACQUISITION, [np.random.default_rng(2)])[0]
            np.savez(path, segments=noisy.numpy().astype(np.float32), order=[0, 1, 2, 3], beam_intensity=1.0,
                     sampling=foil.sampling, energy_kev=200.0, semiangle_mrad=20.0, detector_inner_mrad=10.0,
                     detector_outer_mrad=50.0)  # fmt: skip
        segments = np.load(path)["segments"]
        start = time.monotonic()
        found = fit(Task(segments, foil.sampling, MICROSCOPE, cell_of(options.material), Limits()))
        print(f"whole image: {time.monotonic() - start:.0f} s, {100 * found.refined.unexplained:.2f} % unexplained")
        patches = fit_patches(found, options.map, lambda done, every: print(f"patch {done} of {every}", flush=True))
        print(f"map: {time.monotonic() - start:.0f} s")
    draw_patches(patches, options.output / "map.png")
    draw_fit(found, options.output / "fit.png")
    rows, columns = patches.maps["alpha_deg"].shape
    places = (np.arange(columns) - (columns - 1) / 2) * patches.side
    true = {
        "alpha_deg": np.interp(foil.share(places), (0, 1), foil.alpha_deg)[:, None] * np.ones(columns),
        "beta_deg": np.full((rows, columns), BETA),
        "thickness_nm": np.interp(foil.share(places), (0, 1), foil.thickness_nm) * np.ones((rows, 1)),
        "strain_xx_percent": foil.strain_percent * (places > 0) * np.ones((rows, 1)),
        "strain_yy_percent": np.zeros((rows, columns)),
        "strain_xy_percent": np.zeros((rows, columns)),
    }
    table = pandas.DataFrame({name: (patches.maps[name] - one).ravel() for name, one in true.items()})
    table.to_csv(options.output / "maps.csv", index=False)
    print(table.abs().describe(percentiles=[0.5, 0.9]).to_string(float_format="{:.4f}".format))


if __name__ == "__main__":
    main()
