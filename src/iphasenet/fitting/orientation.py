"""One rotation of a crystal about the beam that an image's lattice allows: searched, refined, looked at again."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from iphasenet.fitting.crystal_model import SLICE, CrystalModel, Effort, Parameters
from iphasenet.fitting.harmonics import Harmonics
from iphasenet.fitting.image_lattice import LARGEST_STRAIN, ImageLattice
from iphasenet.fitting.refinement import Refined, Refinement
from iphasenet.fitting.search import Candidate, Match, Ranges, search
from iphasenet.fitting.task import Task

LEAST_EXPLAINED = 0.5
"""Share of an image's variance, without noise, that a lattice must hold to be in the image."""

LEAST_SIGNAL = 3.0
"""Rms coefficient over its standard error below which an image says nothing about a crystal."""

SEARCH_WINDOW = 10.0
"""Window of the search's simulations [Å]."""

_DEPTH_STEP = 50.0
_DEFOCUS_STEP = 50.0

TILT_STEP = 0.2
"""Distance of the search's tilts [degrees]."""

_LEAST_REACH, _ERRORS = 0.3, 2.5
"""Tilts are near a guessed one that lie within this distance [degrees], or within this many of the guess's errors."""


@dataclass(frozen=True)
class Stage:
    """
    How carefully a start is refined.

    Attributes
    ----------
    window, slopes : float
        Window of the simulations, and of those from which derivatives are taken, over the one that suits the thickness.
    tolerance_deg : float
        It ends when the tilt moves by less [degrees].
    most : int
        Most expansions.
    displaced : bool
        Whether displacements are fitted: they make no valley of their own.
    corrected : bool
        Whether images are corrected for pixel and slices.
    seeds : int
        Sets of displacements over which the result is averaged.
    slope_seeds : int
        Sets of displacements over which derivatives are averaged where the crystal is thick: at 40 nm of GaN a tenth of
        a derivative is scatter, at 80 nm a half.
    """

    window: float
    slopes: float
    tolerance_deg: float
    most: int
    displaced: bool
    corrected: bool = False
    seeds: int = 1
    slope_seeds: int = 1


ROUGH = Stage(0.5, 0.5, 0.02, 6, displaced=False)
CAREFUL = Stage(0.75, 0.75, 0.005, 8, displaced=True)
FINAL = Stage(1.0, 0.75, 0.006, 3, displaced=True, corrected=True, seeds=4, slope_seeds=2)

_SPREAD = 2.3
"""Window that suits a thickness, over thickness and semiangle: a probe's waves spread to this width where they go
through freely. KNbO3 of 80 nm was 0.007° off with 1.75, 0.003° with 2."""

_SMALLEST_WINDOW, _LARGEST_WINDOW = 18.0, 60.0

_FINE_PIXEL, _FINE_SLICE = 0.2, 0.5
"""Pixel of the correction over the smallest distance that probe and detector see; slice thickness [Å]. Slices of 1 Å
hold two layers of GaN, whose tilt was then 0.004° off."""


@dataclass(frozen=True)
class Orientation:
    """
    One rotation of the crystal about the beam.

    Attributes
    ----------
    task : Task
        Image, crystal and what is known.
    lattice : ImageLattice
        Lattice in the image.
    harmonics : Harmonics
        Measured coefficients at its points.
    model : CrystalModel
        The crystal at this rotation.
    """

    task: Task
    lattice: ImageLattice
    harmonics: Harmonics
    model: CrystalModel

    @property
    def fault(self) -> str:
        """Say what is wrong with this lattice in the image; nothing if it is there."""
        harmonics, formula = self.harmonics, self.task.cell.get_chemical_formula(empirical=True)
        signal = math.sqrt(harmonics.power / harmonics.noise_power)
        if signal < LEAST_SIGNAL:
            return (
                f"image: found coefficients at the lattice of {formula} of {signal:.2g} times their noise; allowed: at "
                f"least {LEAST_SIGNAL:g}: more electrons, a larger field, or the right crystal"
            )
        strain = float(np.abs(self.lattice.strain).max())
        if harmonics.explained < LEAST_EXPLAINED or strain > LARGEST_STRAIN:
            return (
                f"image: found {100 * max(0.0, harmonics.explained):.0f} % of its contrast at the lattice of "
                f"{formula}, strained by {100 * strain:.1f} %; allowed: at least {100 * LEAST_EXPLAINED:.0f} %, "
                f"strained by at most {100 * LARGEST_STRAIN:.0f} %: the right crystal, zone axis and pixel size"
            )
        return ""

    def search(
        self,
        ring: tuple[float, float],
        progress: Callable[[int, int], object],
        tilts: Sequence[tuple[float, float]] | None = None,
    ) -> list[Candidate]:
        """Candidates of the coarse search, the best first, at tilts in a ring or at given ones."""
        defoci = _mesh(*self.task.limits.defocus_angstrom, _DEFOCUS_STEP)
        ranges = Ranges(ring, self.task.limits.tilt_deg, TILT_STEP, self._depths(_DEPTH_STEP), defoci)
        effort, task = Effort(self.task.pixel, SLICE, SEARCH_WINDOW), self.task
        return search(self._searched, self.harmonics, ranges, effort, task.processes, progress, tilts, task.cache)

    def guessed(self) -> list[tuple[float, float]]:
        """Tilts of the search near what a network takes the image for; none without a network."""
        task, limits = self.task, self.task.limits
        if task.start is None:
            return []
        guess = task.start.guess(self.harmonics, self.model)
        ranges = Ranges((0.0, limits.tilt_reach_deg), limits.tilt_deg, TILT_STEP, (), ())
        reach = max(_LEAST_REACH, _ERRORS * guess.error_deg)
        return [tilt for tilt in ranges.tilts() if math.dist(tilt, guess.tilt) < reach]

    @cached_property
    def _searched(self) -> CrystalModel:
        """The crystal at a whole number of degrees, so that images of one session share their simulations."""
        return replace(self.model, rotation_deg=float(round(self.model.rotation_deg)) % 360)

    def thicknesses(self, refined: Refined) -> list[Candidate]:
        """Best match at each thickness, at the tilt that was found."""
        found = refined.parameters
        defoci = _mesh(found.defocus - _DEFOCUS_STEP, found.defocus + _DEFOCUS_STEP, _DEFOCUS_STEP / 2)
        ranges = Ranges((0.0, 0.0), found.tilt, TILT_STEP, self._depths(_DEPTH_STEP / 2), defoci)
        return Match(self.model, self.harmonics).at_depths(found.tilt, ranges, self._effort(found.depth, ROUGH.window))

    def placed(self, parameters: Parameters) -> Candidate:
        """Match with these parameters, but with the offset and the scale that suit this orientation."""
        ranges = Ranges((0.0, 0.0), parameters.tilt, TILT_STEP, (parameters.depth,), (parameters.defocus,))
        effort = self._effort(parameters.depth, ROUGH.window)
        found = Match(self.model, self.harmonics).best(parameters.tilt, ranges, effort)
        place = found.parameters
        moved = replace(parameters, offset_x=place.offset_x, offset_y=place.offset_y, scale=place.scale)
        return replace(found, parameters=moved)

    def refine(
        self,
        start: Parameters,
        stage: Stage,
        model_error: float = 0.05,
        only: Sequence[str] | None = None,
        slopes_at: Parameters | None = None,
    ) -> Refined:
        """
        Refine a start.

        Parameters
        ----------
        start : Parameters
            Start.
        stage : Stage
            How carefully.
        model_error : float
            Error of simulated coefficients, as a share of the images' rms coefficient.
        only : sequence of str, optional
            Parameters that are fitted if the limits do not give them; all if not given.
        slopes_at : Parameters, optional
            Where an earlier stage took derivatives (`Refined.slopes_at`).

        Returns
        -------
        Refined
            Result.
        """
        limits = self.task.limits
        still = not stage.displaced or not self.model.is_warm
        free = [
            name for name in limits.free if (only is None or name in only) and (name != "displacement" or not still)
        ]
        given = {name: low for name, (low, high) in limits.bounds.items() if low == high}
        return Refinement(
            self.model,
            self.harmonics,
            self._effort(start.depth, stage.window),
            self._effort(start.depth, stage.slopes),
            self._finer(start.depth) if stage.corrected else (),
            free,
            limits.bounds,
            model_error,
            self.task.processes,
            stage.tolerance_deg,
            stage.seeds,
            stage.slope_seeds if self.model.is_warm and self._spread(start.depth) > _SMALLEST_WINDOW else 1,
        ).run(replace(start, **given), stage.most, slopes_at)

    def _depths(self, step: float) -> tuple[float, ...]:
        low, high = self.task.limits.thickness_nm
        return _mesh(10 * low, 10 * high, step)

    def _effort(self, depth: float, factor: float) -> Effort:
        """Numerics for a thickness [Å]; windows come in steps, so that near thicknesses share simulations."""
        window = factor * float(np.clip(self._spread(depth), _SMALLEST_WINDOW, _LARGEST_WINDOW))
        return Effort(self.task.pixel, SLICE, window)

    def _spread(self, depth: float) -> int:
        """Width to which a probe spreads in a thickness [Å], rounded."""
        return round(_SPREAD * 1e-3 * self.task.microscope.semiangle_mrad * depth)

    def _finer(self, depth: float) -> tuple[Effort, ...]:
        """Fine and usual numerics in a small window; none if they are the same for this crystal."""
        usual = self._effort(depth, ROUGH.window)
        fine = Effort(_FINE_PIXEL / self.task.microscope.reach, _FINE_SLICE, usual.window)
        return () if self.model.is_alike(fine, usual) else (fine, usual)


def _mesh(low: float, high: float, step: float) -> tuple[float, ...]:
    """Equally spaced values from low to high; one where the limits are hardly apart."""
    if high - low < step / 5:
        return ((low + high) / 2,)
    count = math.ceil((high - low) / step - 1e-9) + 1
    return tuple(np.linspace(low, high, count).tolist())
