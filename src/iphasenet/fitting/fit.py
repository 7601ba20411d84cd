"""The whole fit: lattice, coarse search, refinement, and a last look at other thicknesses."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.crystal.translations import lateral_translations
from iphasenet.fitting.crystal_model import CrystalModel, Effort, Parameters
from iphasenet.fitting.harmonics import Harmonics, Pixels, measure_harmonics
from iphasenet.fitting.image_lattice import LARGEST_STRAIN, ImageLattice, find_lattices
from iphasenet.fitting.limits import GOOD, Limits
from iphasenet.fitting.refinement import Refined, Refinement
from iphasenet.fitting.search import OTHER_ARRANGEMENTS, Candidate, Match, Ranges, search
from iphasenet.fitting.symmetry import distinct, rotations_about_beam
from iphasenet.microscope.optics import Microscope
from iphasenet.microscope.probe import parities

FloatArray = NDArray[np.floating[Any]]
Progress = Callable[[str, int, int], object]

LEAST_EXPLAINED = 0.5
"""Share of an image's variance, without noise, that a lattice must hold to be in the image."""

LEAST_SIGNAL = 3.0
"""Rms coefficient over its standard error below which an image says nothing about a crystal."""

LARGEST_PIXEL = 0.2
"""Largest pixel of the multislice [Å]."""

_SEARCH_WINDOW = 10.0
_DEPTH_STEP = 50.0
_DEFOCUS_STEP = 50.0
_TILT_STEP = 0.2
_FIRST_REACH = 0.5
"""The search begins with tilts up to this angle, and goes on to larger ones if none of these explains the image."""

_STARTS = 4
"""Most candidates of the search that are refined."""

_AMONG = 0.12
"""Candidates are refined that leave at most this much more of the contrast unexplained than the best: noise and the
small window of the search are responsible for as much."""

_APART_DEG, _APART_DEPTH = 0.05, 60.0
"""Candidates nearer to each other than this, in tilt and thickness, are one."""

_CLEAR = 0.15
"""A match of the coarse search that leaves less than this unexplained is likely to be near the truth."""

_RIVAL = 1.5
"""The second best start is refined carefully, too, if it leaves less than this times as much unexplained."""

_NEARLY = 0.02
"""Other thicknesses are refined, too, if they leave at most this much more of the contrast unexplained."""


@dataclass(frozen=True)
class Task:
    """
    An image, a crystal and what is known of them.

    Attributes
    ----------
    segments : (4, y, x) array
        Fractions of the beam current: top-left, top-right, bottom-left, bottom-right.
    sampling : float
        Pixel size [Å].
    microscope : Microscope
        Probe and detector.
    cell : ase.Atoms
        Orthogonal cell, beam along z.
    limits : Limits
        What is known.
    parametrization : str
        Scattering factors.
    device : str
        Torch device.
    threads : int
        Simulations that are made at a time.
    """

    segments: NDArray[np.floating[Any]]
    sampling: float
    microscope: Microscope
    cell: Atoms
    limits: Limits = field(default_factory=Limits)
    parametrization: str = "lobato"
    device: str = "cpu"
    threads: int = 1

    @property
    def band(self) -> float:
        """Spatial frequency to which images reach [1/Å]."""
        return 2 * self.microscope.frequency(self.microscope.semiangle_mrad)

    @property
    def lengths(self) -> tuple[float, float]:
        """Sides of the cell across the beam [Å]."""
        a, b, _ = self.cell.cell.lengths()
        return float(a), float(b)

    def orders(self) -> NDArray[np.int64]:
        """Orders (n, 2) of the images' Fourier coefficients in one half-plane, zero first."""
        a, b = self.lengths
        x, y = (math.floor(self.band * length) for length in (a, b))
        h, k = (part.ravel() for part in np.meshgrid(np.arange(-x, x + 1), np.arange(0, y + 1)))
        half = (k > 0) | (h >= 0)
        inside = np.hypot(h / a, k / b) < self.band - 1e-9
        allowed = (parities(h, k, lateral_translations(self.cell)) == 0).all(axis=-1)
        return np.stack([h, k], axis=1)[half & inside & allowed]

    @property
    def pixel(self) -> float:
        """Pixel of the multislice: the largest that holds probe, detector and the atoms' potential [Å]."""
        return min(0.32 / self.microscope.reach, LARGEST_PIXEL)


@dataclass(frozen=True)
class Fit:
    """
    Result of a fit.

    Attributes
    ----------
    task : Task
        What was fitted.
    lattice : ImageLattice
        Lattice in the image.
    harmonics : Harmonics
        Measured coefficients at its points.
    model : CrystalModel
        The crystal at the rotation that was found.
    refined : Refined
        Parameters, errors, chi squared.
    others : list of Refined
        Results from other starts, the best first.
    searched : list of Candidate
        Best match at each tilt of the coarse search, at this rotation.
    thicknesses : list of Candidate
        Best match at each thickness, at the tilt that was found.
    """

    task: Task
    lattice: ImageLattice
    harmonics: Harmonics
    model: CrystalModel
    refined: Refined
    others: list[Refined]
    searched: list[Candidate]
    thicknesses: list[Candidate]

    @property
    def better_arrangement(self) -> tuple[int, int, int, int] | None:
        """Order of the segments with which the coarse search leaves less than half as much unexplained, if any."""
        left = np.array([one.rearranged for one in self.searched]).min(axis=0)
        given = min(one.unexplained for one in self.searched)
        return OTHER_ARRANGEMENTS[int(left.argmin())] if left.min() < given / 2 else None


def fit(task: Task, progress: Progress | None = None) -> Fit:
    """
    Fit a known crystal to an image.

    Parameters
    ----------
    task : Task
        Image, crystal and what is known.
    progress : callable, optional
        Called with the name of a step, and the numbers of its parts done and in all.

    Returns
    -------
    Fit
        Parameters with standard errors. `refined.unexplained` says how well the crystal explains the image.

    Raises
    ------
    InputError
        If the field is too small, the crystal's lattice is not in the image, or noise hides it.
    """
    say = progress or (lambda *_: None)
    orders = task.orders()
    pixels = Pixels(task.segments, task.sampling, task.band)
    say("lattice", 0, 1)
    lattices = find_lattices(pixels, task.lengths, orders, task.limits.rotation_deg)
    say("lattice", 1, 1)
    symmetry = rotations_about_beam(task.cell)
    # Of rotations that are the same to the crystal, the smallest is named.
    kept = distinct(sorted(lattice.rotation_deg for lattice in lattices), symmetry)
    chosen = [lattice for lattice in lattices if lattice.rotation_deg in kept]
    tried, wrong = [], []
    for lattice in chosen:
        harmonics = measure_harmonics(pixels, orders @ lattice.reciprocal)
        if fault := _fault(harmonics, lattice, task):
            wrong.append(fault)
            continue
        model = CrystalModel(
            task.cell, task.microscope, lattice.rotation_deg, orders, task.parametrization, task.device
        )
        tried.append(_Orientation(task, lattice, harmonics, model))
    if not tried:
        raise InputError(wrong[0])
    best: Fit | None = None
    reach = task.limits.tilt_reach_deg
    rings = [(0.0, min(_FIRST_REACH, reach)), *([(_FIRST_REACH, reach)] if reach > _FIRST_REACH else [])]
    for ring in rings:
        starts = _starts(tried, ring, say)
        # A narrow ring may hold no point of the mesh.
        if not starts:
            continue
        found = _refine(starts, say)
        if best is None or found.refined.unexplained < best.refined.unexplained:
            best = found
        if best.refined.unexplained < GOOD:
            break
    assert best is not None
    return best


@dataclass(frozen=True)
class _Start:
    """A candidate of the search, its orientation, and all that was searched there."""

    candidate: Candidate
    orientation: "_Orientation"
    searched: list[Candidate]


def _starts(tried: Sequence["_Orientation"], ring: tuple[float, float], say: Progress) -> list[_Start]:
    """
    Find the best candidates of all orientations with tilts in a ring.

    Where one orientation explains the image already, others, such as those of a nearly cubic crystal, are tried at its
    best tilts alone.
    """
    starts: list[_Start] = []
    tilts: list[tuple[float, float]] | None = None
    for number, orientation in enumerate(tried):
        label = "search" if len(tried) == 1 else f"search {number + 1} of {len(tried)}"
        searched = orientation.search(ring, partial(say, label), tilts)
        starts += [_Start(candidate, orientation, searched) for candidate in _apart(searched)]
        if searched and searched[0].unexplained < _CLEAR:
            tilts = [(one.parameters.alpha, one.parameters.beta) for one in searched[:_STARTS]]
    starts.sort(key=lambda start: start.candidate.unexplained)
    return [one for one in starts if one.candidate.unexplained < starts[0].candidate.unexplained + _AMONG][:_STARTS]


def _fault(harmonics: Harmonics, lattice: ImageLattice, task: Task) -> str:
    """Say what is wrong with a lattice in an image; nothing if it is there."""
    formula = task.cell.get_chemical_formula(empirical=True)
    signal = math.sqrt(harmonics.power / harmonics.noise_power)
    if signal < LEAST_SIGNAL:
        return (
            f"image: found coefficients at the lattice of {formula} of {signal:.2g} times their noise; allowed: at "
            f"least {LEAST_SIGNAL:g}: more electrons, a larger field, or the right crystal"
        )
    strain = float(np.abs(lattice.strain).max())
    if harmonics.explained < LEAST_EXPLAINED or strain > LARGEST_STRAIN:
        return (
            f"image: found {100 * max(0.0, harmonics.explained):.0f} % of its contrast at the lattice of {formula}, "
            f"strained by {100 * strain:.1f} %; allowed: at least {100 * LEAST_EXPLAINED:.0f} %, strained by at most "
            f"{100 * LARGEST_STRAIN:.0f} %: the right crystal, zone axis and pixel size"
        )
    return ""


@dataclass(frozen=True)
class _Orientation:
    """One rotation of the crystal about the beam that the image's lattice allows."""

    task: Task
    lattice: ImageLattice
    harmonics: Harmonics
    model: CrystalModel

    def effort(self, window: float) -> Effort:
        return Effort(self.task.pixel, window)

    def search(
        self,
        ring: tuple[float, float],
        progress: Callable[[int, int], object],
        tilts: Sequence[tuple[float, float]] | None = None,
    ) -> list[Candidate]:
        """Candidates of the coarse search, the best first, at tilts in a ring or at given ones."""
        limits = self.task.limits
        depths = _mesh(10 * limits.thickness_nm[0], 10 * limits.thickness_nm[1], _DEPTH_STEP)
        defoci = _mesh(*limits.defocus_angstrom, _DEFOCUS_STEP)
        ranges = Ranges(ring, limits.tilt_deg, _TILT_STEP, depths, defoci)
        effort, threads = self.effort(_SEARCH_WINDOW), self.task.threads
        return search(self.model, self.harmonics, ranges, effort, threads, progress, tilts)

    def thicknesses(self, refined: Refined) -> list[Candidate]:
        """Best match at each thickness, at the tilt that was found."""
        limits, found = self.task.limits, refined.parameters
        depths = _mesh(10 * limits.thickness_nm[0], 10 * limits.thickness_nm[1], _DEPTH_STEP / 2)
        low, high = (found.defocus + side * _DEFOCUS_STEP for side in (-1, 1))
        defoci = _mesh(low, high, _DEFOCUS_STEP / 2)
        ranges = Ranges((0.0, 0.0), (found.alpha, found.beta), _TILT_STEP, depths, defoci)
        effort = self.effort(_window(found.depth, 0))
        return Match(self.model, self.harmonics).at_depths((found.alpha, found.beta), ranges, effort)

    def refine(self, start: Parameters, stage: int, most: int = 6, model_error: float = 0.05) -> Refined:
        """Refine a start with the numerics of a stage."""
        limits = self.task.limits
        windows = [_window(start.depth, number) for number in range(3)]
        # Displacements make no valley of their own: they are fitted last.
        warm = bool(np.any(self.task.cell.arrays.get("displacements", 0.0))) and stage > 0
        free = [name for name in limits.free if name != "displacement" or warm]
        start = replace(start, **{name: low for name, (low, high) in limits.bounds.items() if low == high})
        return Refinement(
            self.model,
            self.harmonics,
            self.effort(windows[stage]),
            self.effort(windows[min(1, stage)]),
            free,
            limits.bounds,
            model_error,
            self.task.threads,
        ).run(start, most)


def refined_in(found: Fit, start: Parameters, free: Sequence[str]) -> Refined:
    """
    Refine some parameters of another image of the same crystal, such as a part of the one that was fitted.

    Parameters
    ----------
    found : Fit
        Task, lattice and harmonics of that image, and the model of the fit.
    start : Parameters
        Start.
    free : sequence of str
        Parameters that are fitted, if the limits do not give them.
    """
    task = found.task
    effort = Effort(task.pixel, _window(start.depth, 1))
    fitted = [name for name in task.limits.free if name in free]
    return Refinement(
        found.model, found.harmonics, effort, effort, fitted, task.limits.bounds, threads=task.threads
    ).run(start, 6)


def _window(depth: float, stage: int) -> float:
    """Window of the probe [Å] for a thickness [Å]: it spreads as it goes."""
    return float(np.clip(10 + 0.0175 * depth, 14, 30)) * (0.67, 1.0, 1.35)[stage]


def _mesh(low: float, high: float, step: float) -> tuple[float, ...]:
    """Equally spaced values from low to high; one where the limits are hardly apart."""
    if high - low < step / 5:
        return ((low + high) / 2,)
    count = math.ceil((high - low) / step - 1e-9) + 1
    return tuple(np.linspace(low, high, count).tolist())


def _apart(candidates: Sequence[Candidate]) -> list[Candidate]:
    kept: list[Candidate] = []
    for one in candidates:
        near = [
            other
            for other in kept
            if math.hypot(one.parameters.alpha - other.parameters.alpha, one.parameters.beta - other.parameters.beta)
            < _APART_DEG
            and abs(one.parameters.depth - other.parameters.depth) < _APART_DEPTH
        ]
        if not near:
            kept.append(one)
    return kept


def _refine(starts: Sequence[_Start], say: Progress) -> Fit:
    """Refine all starts a little, the best ones more, other thicknesses of the best too, and the best carefully."""
    steps = len(starts) + 5
    first = []
    for number, start in enumerate(starts):
        first.append((start.orientation.refine(start.candidate.parameters, 0, 5), start))
        say("refinement", number + 1, steps)
    first.sort(key=_unexplained)
    second = []
    for number, (refined, start) in enumerate(first[:2]):
        if number == 0 or refined.unexplained < _RIVAL * first[0][0].unexplained:
            second.append((start.orientation.refine(refined.parameters, 1, 10), start))
        say("refinement", len(starts) + 1 + number, steps)
    second.sort(key=_unexplained)
    best, start = second[0]
    thicknesses = start.orientation.thicknesses(best)
    say("refinement", steps - 2, steps)
    other = _other_thickness(best, thicknesses)
    if other is not None:
        second.append((start.orientation.refine(other, 1, 10), start))
        second.sort(key=_unexplained)
        best, start = second[0]
    say("refinement", steps - 1, steps)
    final = start.orientation.refine(best.parameters, 2, 6, _model_error(best))
    say("refinement", steps, steps)
    others = [refined for refined, _ in [*second[1:], *first[1:]]]
    one = start.orientation
    return Fit(one.task, one.lattice, one.harmonics, one.model, final, others, start.searched, thicknesses)


def _unexplained(pair: tuple[Refined, _Start]) -> float:
    return pair[0].unexplained


def _other_thickness(refined: Refined, thicknesses: Sequence[Candidate]) -> Parameters | None:
    """Thickness far from the one that was found that explains the image nearly as well; None if there is none."""
    far = [one for one in thicknesses if abs(one.parameters.depth - refined.parameters.depth) > _APART_DEPTH]
    near = [one for one in thicknesses if abs(one.parameters.depth - refined.parameters.depth) <= _APART_DEPTH]
    if not far or not near:
        return None
    best = min(far, key=lambda one: one.unexplained)
    if best.unexplained > min(one.unexplained for one in near) + _NEARLY:
        return None
    found = best.parameters
    return replace(refined.parameters, depth=found.depth, defocus=found.defocus, offset_x=found.offset_x,
                   offset_y=found.offset_y, scale=found.scale)  # fmt: skip


def _model_error(refined: Refined) -> float:
    """Error of the model as a share of the rms coefficient, from what it has left unexplained."""
    return float(np.clip(math.sqrt(refined.unexplained), 0.005, 0.3))
