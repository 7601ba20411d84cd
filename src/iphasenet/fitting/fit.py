"""The whole fit: lattice, coarse search, refinement, and a last look at other thicknesses."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from iphasenet.base.errors import InputError
from iphasenet.fitting.crystal_model import CrystalModel, Parameters
from iphasenet.fitting.expansion import SIMULATED, STEPS
from iphasenet.fitting.harmonics import Harmonics, Pixels
from iphasenet.fitting.image_lattice import ImageLattice, find_lattices
from iphasenet.fitting.limits import GOOD
from iphasenet.fitting.orientation import CAREFUL, FINAL, ROUGH, TILT_STEP, Orientation
from iphasenet.fitting.processes import start_processes
from iphasenet.fitting.refinement import Refined
from iphasenet.fitting.rotations import Rotations
from iphasenet.fitting.search import OTHER_ARRANGEMENTS, Candidate
from iphasenet.fitting.task import Task

Progress = Callable[[str, int, int], object]

Ring = tuple[float, float] | None
"""Smallest and largest tilt of a part of the search [degrees]; None: where a network guesses the tilt."""

_FIRST_REACH = 0.5
"""The search begins with tilts up to this angle, and goes on to larger ones if none of these explains the image."""

_STARTS = 4
"""Most candidates of the search that are refined."""

_AMONG = 0.12
"""Candidates are refined that leave at most this much more of the contrast unexplained than the best: noise and the
small window of the search are responsible for as much."""

_APART_DEPTH = 60.0
"""Candidates nearer to each other than this in thickness [Å], and than two steps of the search in tilt, lie in one
valley, of which the best is refined."""

_SAME_DEG, _SAME_DEPTH = 0.02, 20.0
"""Results nearer to each other than this are one."""

_CLEAR = 0.15
"""A match of the coarse search that leaves less than this unexplained is likely to be near the truth."""

_RIVAL = 1.5
"""The second best start is refined carefully, too, if it leaves less than this times as much unexplained."""

_SLAB_WORTH = 0.2
"""Other slabs are tried if the first leaves less than this unexplained: 5 nm of GaN left 0.05 with the wrong one."""

_SLAB_RIVAL = 3.0
"""Another slab is refined if its chi squared is below this times that of the first, at the tilt of the first."""

_NEARLY = 0.02
"""Other thicknesses are refined, too, if they leave at most this much more of the contrast unexplained."""


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
        Best match at each tilt of the coarse search, at this rotation or one that is the same to the crystal.
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
    start_processes(task.processes)
    pixels = Pixels(task.segments, task.sampling, task.band)
    say("lattice", 0, 1)
    lattices = find_lattices(pixels, task.lengths, task.orders(), task.limits.rotation_deg)
    say("lattice", 1, 1)
    rotations = Rotations(task, pixels, lattices)
    orientations = [rotations.orientation(rotation) for rotation in rotations.different]
    tried = [one for one in orientations if not one.fault]
    if not tried:
        raise InputError(orientations[0].fault)
    best: Fit | None = None
    reach = task.limits.tilt_reach_deg
    rings: list[Ring] = [None] if task.start is not None else []
    rings += [(0.0, min(_FIRST_REACH, reach)), *([(_FIRST_REACH, reach)] if reach > _FIRST_REACH else [])]
    for ring in rings:
        starts = _starts(tried, ring, say)
        # A narrow ring may hold no point of the mesh.
        if not starts:
            continue
        found = _refine(starts, rotations, say)
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
    orientation: Orientation
    searched: list[Candidate]


def _starts(tried: Sequence[Orientation], ring: Ring, say: Progress) -> list[_Start]:
    """
    Find the best candidates of all orientations with tilts in a ring.

    Where one orientation explains the image already, others, such as those of a nearly cubic crystal, are tried at its
    best tilts alone.
    """
    starts: list[_Start] = []
    tilts: list[tuple[float, float]] | None = None
    for number, orientation in enumerate(tried):
        label = "search" if len(tried) == 1 else f"search {number + 1} of {len(tried)}"
        wanted = orientation.guessed() if ring is None and tilts is None else tilts
        searched = orientation.search(ring or (0.0, 0.0), partial(say, label), wanted)
        starts += [_Start(candidate, orientation, searched) for candidate in _apart(searched)]
        if searched and searched[0].unexplained < _CLEAR:
            tilts = [one.parameters.tilt for one in searched[:_STARTS]]
    starts.sort(key=lambda start: start.candidate.unexplained)
    return [one for one in starts if one.candidate.unexplained < starts[0].candidate.unexplained + _AMONG][:_STARTS]


def _apart(candidates: Sequence[Candidate]) -> list[Candidate]:
    kept: list[Candidate] = []
    for one in candidates:
        if not any(
            one.parameters.tilt_from(other.parameters) < 2 * TILT_STEP
            and abs(one.parameters.depth - other.parameters.depth) < _APART_DEPTH
            for other in kept
        ):
            kept.append(one)
    return kept


def _refine(starts: Sequence[_Start], rotations: Rotations, say: Progress) -> Fit:
    """
    Refine all starts a little, the best ones more, and the best carefully.

    Of the best, other thicknesses are tried before that, and after it rotations that are other slabs of the crystal.
    """
    steps = len(starts) + 6
    say("refinement", 0, steps)
    first = []
    for number, start in enumerate(starts):
        first.append((start.orientation.refine(start.candidate.parameters, ROUGH), start))
        say("refinement", number + 1, steps)
    first.sort(key=_unexplained)
    second = []
    for number, (refined, start) in enumerate(first[:2]):
        if number == 0 or _is_rival(refined, first[0][0]):
            second.append((start.orientation.refine(refined.parameters, CAREFUL), start))
        say("refinement", len(starts) + 1 + number, steps)
    second.sort(key=_unexplained)
    best, start = second[0]
    thicknesses = start.orientation.thicknesses(best)
    say("refinement", steps - 3, steps)
    other = _other_thickness(best, thicknesses)
    if other is not None:
        rough = start.orientation.refine(other, ROUGH)
        first.append((rough, start))
        if _is_rival(rough, first[0][0]):
            second.append((start.orientation.refine(rough.parameters, CAREFUL), start))
            second.sort(key=_unexplained)
            best, start = second[0]
    say("refinement", steps - 2, steps)
    error = _model_error(best)
    final = [(start.orientation.refine(best.parameters, FINAL, error, slopes_at=best.slopes_at), start)]
    say("refinement", steps - 1, steps)
    near = final[0][0].unexplained < _SLAB_WORTH
    for orientation in rotations.other_slabs(start.orientation) if near else []:
        placed = orientation.placed(final[0][0].parameters).parameters
        # A slab that explains far less at the tilt that was found is not the right one.
        slab = orientation.refine(placed, FINAL, error, only=[name for name in STEPS if name not in SIMULATED])
        if slab.chi_squared < _SLAB_RIVAL * final[0][0].chi_squared:
            slab = orientation.refine(placed, FINAL, error)
        final.append((slab, replace(start, orientation=orientation)))
    # Unlike what they leave unexplained, chi squared is never zero.
    final.sort(key=lambda pair: pair[0].chi_squared)
    say("refinement", steps, steps)
    others = [refined for refined, _ in [*final[1:], *second[1:], *first[1:]]]
    refined, start = final[0]
    one = start.orientation
    return Fit(one.task, one.lattice, one.harmonics, one.model, refined, others, start.searched, thicknesses)


def _is_rival(refined: Refined, best: Refined) -> bool:
    """Whether another result may be the right one: it lies elsewhere and explains nearly as much."""
    one, other = refined.parameters, best.parameters
    elsewhere = one.tilt_from(other) > _SAME_DEG or abs(one.depth - other.depth) > _SAME_DEPTH
    return elsewhere and refined.unexplained < _RIVAL * best.unexplained


def _unexplained(pair: tuple[Refined, _Start]) -> float:
    return pair[0].unexplained


def _other_thickness(refined: Refined, thicknesses: Sequence[Candidate]) -> Parameters | None:
    """Thickness in another valley that explains the image nearly as well; None if there is none."""
    left = np.array([one.unexplained for one in thicknesses])
    away = np.array([abs(one.parameters.depth - refined.parameters.depth) for one in thicknesses])
    walls = np.concatenate([[np.inf], left, [np.inf]])
    valleys = (left <= walls[:-2]) & (left <= walls[2:]) & (away > _APART_DEPTH)
    near = away <= _APART_DEPTH
    if not valleys.any() or not near.any():
        return None
    best = int(np.where(valleys, left, np.inf).argmin())
    if left[best] > left[near].min() + _NEARLY:
        return None
    found = thicknesses[best].parameters
    return replace(refined.parameters, depth=found.depth, defocus=found.defocus, offset_x=found.offset_x,
                   offset_y=found.offset_y, scale=found.scale)  # fmt: skip


def _model_error(refined: Refined) -> float:
    """Error of the model as a share of the rms coefficient, from what it has left unexplained."""
    return float(np.clip(math.sqrt(refined.unexplained), 0.005, 0.3))
