"""Coarse search for tilt, thickness, defocus and offset: no start is needed, and nothing is missed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.fitting.crystal_model import CrystalModel, Effort, Parameters, Simulation
from iphasenet.fitting.harmonics import Harmonics
from iphasenet.fitting.processes import calls
from iphasenet.fitting.simulation_cache import SimulationCache, crystal_key
from iphasenet.reconstruction.preparation import arrangements

ComplexArray = NDArray[np.complexfloating[Any, Any]]
FloatArray = NDArray[np.floating[Any]]

SEARCHED_SOURCE = 0.09
"""Variance of the source in the search [Å²]; other sources change the score little."""

_SHIFTS = 2
"""Offsets are tried on a grid with this many points for each that the coefficients need."""


OTHER_ARRANGEMENTS = tuple(arrangements((0, 1, 2, 3), adjacent=False)[1:])
"""Other orders of the segments: turned and mirrored detectors, and exchanged channels."""


@dataclass(frozen=True)
class Ranges:
    """
    Where a search looks.

    Attributes
    ----------
    tilt_deg : (float, float)
        Smallest angle, not included unless it is 0, and largest angle from the centre of the search [degrees].
    centre_deg : (float, float)
        alpha and beta of that centre [degrees].
    tilt_step_deg : float
        Distance of neighbouring tilts on a hexagonal mesh [degrees].
    depths : tuple of float
        Thicknesses [Å].
    defoci : tuple of float
        Defoci [Å].
    """

    tilt_deg: tuple[float, float]
    centre_deg: tuple[float, float]
    tilt_step_deg: float
    depths: tuple[float, ...]
    defoci: tuple[float, ...]

    def tilts(self) -> list[tuple[float, float]]:
        """Tilts alpha and beta [degrees], those nearest to the centre first."""
        low, high = self.tilt_deg
        reach = math.ceil(high / self.tilt_step_deg / 0.8)
        first, second = np.meshgrid(*[np.arange(-reach, reach + 1)] * 2)
        x = self.tilt_step_deg * (first + second / 2).ravel()
        y = self.tilt_step_deg * (math.sqrt(0.75) * second).ravel()
        radius = np.hypot(x, y)
        inside = np.flatnonzero((radius <= high + 1e-9) & ((radius > low + 1e-9) | (low == 0)))
        order = inside[np.argsort(radius[inside].round(6), kind="stable")]
        return [(self.centre_deg[0] + float(x[n]), self.centre_deg[1] + float(y[n])) for n in order]


@dataclass(frozen=True)
class Candidate:
    """
    A start for the refinement.

    Attributes
    ----------
    parameters : Parameters
        Parameters.
    unexplained : float
        Share of the images' contrast that a simulation with them, scaled to fit, does not explain.
    rearranged : tuple of float
        The same at this tilt for each other order of the segments that was compared (`OTHER_ARRANGEMENTS` in a search),
        with the best thickness, defocus and offset of its own.
    """

    parameters: Parameters
    unexplained: float
    rearranged: tuple[float, ...] = ()


def search(
    model: CrystalModel,
    harmonics: Harmonics,
    ranges: Ranges,
    effort: Effort,
    processes: int = 1,
    progress: Callable[[int, int], object] | None = None,
    tilts: Sequence[tuple[float, float]] | None = None,
    cache: SimulationCache | None = None,
) -> list[Candidate]:
    """
    Compare the images with simulations on a grid.

    Parameters
    ----------
    model : CrystalModel
        Crystal and microscope.
    harmonics : Harmonics
        Fourier coefficients of the images, at the model's orders.
    ranges : Ranges
        Grid.
    effort : Effort
        Numerics of the simulations.
    processes : int
        Tilts that are simulated at a time.
    progress : callable, optional
        Called with the numbers of tilts done and in all.
    tilts : sequence of (float, float), optional
        Tilts alpha and beta [degrees], if not those of the grid.
    cache : SimulationCache, optional
        Where simulations are kept.

    Returns
    -------
    list of Candidate
        The best thickness, defocus and offset at every tilt, the best first.
    """
    match = Match(model, harmonics, cache, OTHER_ARRANGEMENTS)
    tilts = ranges.tilts() if tilts is None else tilts
    # What is on disk is read sooner than another process could start.
    kept = [tilt for tilt in tilts if match.is_kept(tilt, ranges, effort)]
    missing = [tilt for tilt in tilts if tilt not in kept]
    found: list[Candidate] = []
    if progress is not None:
        progress(0, len(tilts))
    for some, at_a_time in ((kept, 1), (missing, processes)):
        for candidate in calls(match.best, [(tilt, ranges, effort) for tilt in some], at_a_time):
            found.append(candidate)
            if progress is not None:
                progress(len(found), len(tilts))
    if cache is not None:
        cache.trim()
    return sorted(found, key=lambda candidate: candidate.unexplained)


class Match:
    """
    Comparison of simulations with the images at all offsets at once.

    Parameters
    ----------
    model : CrystalModel
        Crystal and microscope.
    harmonics : Harmonics
        Fourier coefficients of the images, at the model's orders.
    cache : SimulationCache, optional
        Where simulations are kept.
    others : sequence of (int, int, int, int)
        Other orders of the segments that are compared, too.
    """

    def __init__(
        self,
        model: CrystalModel,
        harmonics: Harmonics,
        cache: SimulationCache | None = None,
        others: Sequence[tuple[int, int, int, int]] = (),
    ) -> None:
        self.model = model
        self.cache = cache
        self.others = others
        # Means say less than their small error seems to: gains and the beam's intensity are hardly known.
        self.measured = harmonics.coefficients[:, 1:]
        self.orders = model.orders[1:]
        self.power = harmonics.power
        self.size = [int(_SHIFTS * 2 * extent + 1) for extent in np.abs(self.orders).max(axis=0)]

    def best(self, tilt: tuple[float, float], ranges: Ranges, effort: Effort) -> Candidate:
        """Find the best thickness, defocus and offset at a tilt."""
        return min(self.at_depths(tilt, ranges, effort), key=lambda one: one.unexplained)

    def at_depths(self, tilt: tuple[float, float], ranges: Ranges, effort: Effort) -> list[Candidate]:
        """Find the best defocus and offset for every thickness at a tilt."""
        depths, simulated = self._simulated(tilt, ranges, effort)
        results: list[list[Candidate]] = []
        rearranged = np.zeros(len(self.others))
        for defocus, images in zip(ranges.defoci, simulated, strict=True):
            start = Parameters(*tilt, 0.0, defocus, source_variance=SEARCHED_SOURCE)
            power = (np.abs(images) ** 2).sum(axis=(1, 2))
            overlap, offsets = self._overlaps(images, self.measured)
            explained = self._explained(overlap, power)
            for number, order in enumerate(self.others):
                other = self._explained(self._overlaps(images, self.measured[list(order)])[0], power).max()
                rearranged[number] = max(rearranged[number], other)
            results.append(
                [
                    Candidate(
                        replace(start, depth=float(depth), scale=float(scale), offset_x=offset[0], offset_y=offset[1]),
                        1 - float(share),
                    )
                    for depth, scale, offset, share in zip(depths, overlap / power, offsets, explained, strict=True)
                ]
            )
        left = tuple((1 - rearranged).tolist())
        best = [min(column, key=lambda one: one.unexplained) for column in zip(*results, strict=True)]
        return [replace(one, rearranged=left) for one in best]

    def _simulated(self, tilt: tuple[float, float], ranges: Ranges, effort: Effort) -> tuple[FloatArray, ComplexArray]:
        """Thicknesses (exit,) and coefficients (defocus, exit, 4, n) without means at a tilt."""
        what = Simulation(tilt, ranges.depths, effort)

        def compute() -> dict[str, NDArray[Any]]:
            pairs = self.model.simulate(what)
            points = (Parameters(*tilt, 0.0, one, source_variance=SEARCHED_SOURCE) for one in ranges.defoci)
            images = np.stack([self.model.images(pairs, point)[..., 1:] for point in points])
            return {"depths": pairs.depths, "images": images.astype(np.complex64)}

        if self.cache is None:
            found = compute()
        else:
            found = self.cache.get(self._key(what, ranges), ("depths", "images"), compute)
        return found["depths"], found["images"]

    def is_kept(self, tilt: tuple[float, float], ranges: Ranges, effort: Effort) -> bool:
        """Whether the simulations at a tilt are on disk."""
        what = Simulation(tilt, ranges.depths, effort)
        return self.cache is not None and self.cache.holds(self._key(what, ranges))

    def _key(self, what: Simulation, ranges: Ranges) -> dict[str, Any]:
        model = self.model
        return {
            **crystal_key(model.cell, model.microscope),
            "rotation": model.rotation_deg,
            "orders": model.orders.tolist(),
            "parametrization": model.parametrization,
            "simulation": asdict(what),
            "defoci": ranges.defoci,
            "source": SEARCHED_SOURCE,
        }

    def _explained(self, overlap: FloatArray, power: FloatArray) -> FloatArray:
        """Share of the contrast that scaled simulations explain; a negative overlap is an inverted image."""
        return np.minimum(np.maximum(overlap, 0.0) ** 2 / (power * self.power), 1.0)

    def _overlaps(self, images: ComplexArray, measured: ComplexArray) -> tuple[FloatArray, list[tuple[float, float]]]:
        """Largest overlap (exit,) of simulated and measured images over all offsets, and those offsets [Å]."""
        products = (images * measured.conj()).sum(axis=1)
        nx, ny = self.size
        grid = np.zeros((len(images), ny, nx), np.complex128)
        grid[:, self.orders[:, 1] % ny, self.orders[:, 0] % nx] = products
        # Of exp(2 pi i G.offset), at offsets that divide the cell.
        overlaps = (np.fft.ifft2(grid) * (nx * ny)).real
        places = overlaps.reshape(len(images), -1).argmax(axis=1)
        a, b, _ = self.model.cell.cell.lengths()
        offsets = [(float(place % nx) * a / nx, float(place // nx) * b / ny) for place in places]
        return overlaps.max(axis=(1, 2)), offsets
