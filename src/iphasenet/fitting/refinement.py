"""Refinement of all parameters by least squares.

Images are expanded about a point (`expansion`). The best point of an expansion is the centre of the next one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from iphasenet.fitting.crystal_model import CrystalModel, Effort, Parameters, Simulation
from iphasenet.fitting.expansion import SIMULATED, STEPS, Expansion, Slopes
from iphasenet.fitting.harmonics import Harmonics

ComplexArray = NDArray[np.complexfloating[Any, Any]]
FloatArray = NDArray[np.floating[Any]]

_TRUST = {"alpha": 0.1, "beta": 0.1, "displacement": 0.15}
"""Largest step of these parameters from the centre of an expansion."""

_LEAST_SHARE = 0.2
"""Derivatives are not taken for more scatter than this leaves."""

_LEAST_TRUST = 0.1
"""Share of these steps below which no better point is sought."""

_DEPTHS = 7
"""Thicknesses that are simulated about one."""

_INNER = 30
"""Most steps in one expansion; they need no simulation."""

MEAN_ERROR = 0.02
"""Relative error of an image's mean: gains of segments and the intensity of the beam are not known better."""


@dataclass(frozen=True)
class Refined:
    """
    Result of a refinement.

    Attributes
    ----------
    parameters : Parameters
        Best parameters.
    errors : dict
        Standard error of each fitted parameter.
    chi_squared : float
        Mean squared residual over the errors of the images and of the model.
    unexplained : float
        Share of the images' contrast that the model does not explain, without what noise adds.
    predicted : (4, n) complex array
        Simulated coefficients.
    slopes_at : Parameters
        Where derivatives were taken: a second refinement of this result may take those.
    """

    parameters: Parameters
    errors: dict[str, float]
    chi_squared: float
    unexplained: float
    predicted: ComplexArray
    slopes_at: Parameters


@dataclass(frozen=True)
class Refinement:
    """
    A model, images and the error that each of their coefficients may have.

    Attributes
    ----------
    model : CrystalModel
        Crystal and microscope.
    harmonics : Harmonics
        Fourier coefficients of the images, at the model's orders.
    effort, slopes : Effort
        Numerics of the simulations, and of those from which derivatives are taken, which need not be as careful.
    finer : sequence of Effort
        Fine and usual numerics in a small window, by whose difference images are corrected; none if they are not.
    free : sequence of str
        Parameters that are fitted.
    bounds : mapping
        Lowest and highest values of some parameters.
    model_error : float
        Error of simulated coefficients, as a share of the images' rms coefficient.
    processes : int
        Simulations that are made at a time.
    tolerance_deg : float
        The fit ends when the tilt moves by less [degrees].
    seeds : int
        Sets of displacements over which the result is averaged at the end. Their scatter is part of the errors; with
        one set it is not known.
    slope_seeds : int
        Sets of displacements over which derivatives are averaged.
    """

    model: CrystalModel
    harmonics: Harmonics
    effort: Effort
    slopes: Effort
    finer: Sequence[Effort]
    free: Sequence[str]
    bounds: Mapping[str, tuple[float, float]]
    model_error: float = 0.05
    processes: int = 1
    tolerance_deg: float = 0.003
    seeds: int = 1
    slope_seeds: int = 1

    @cached_property
    def sigma(self) -> FloatArray:
        """Standard error (4, n) of real and imaginary part of each residual."""
        measured = self.harmonics.coefficients
        rms = np.sqrt((np.abs(measured[:, 1:]) ** 2).mean() / 2)
        sigma = np.hypot(self.harmonics.errors, self.model_error * rms)
        sigma[:, 0] = np.hypot(sigma[:, 0], MEAN_ERROR * np.abs(measured[:, 0]))
        return np.asarray(sigma)

    def run(self, start: Parameters, most: int = 8, slopes_at: Parameters | None = None) -> Refined:
        """
        Refine parameters.

        Parameters
        ----------
        start : Parameters
            Start; parameters that are not free stay as they are.
        most : int
            Largest number of expansions.
        slopes_at : Parameters, optional
            Where derivatives were taken before; they serve if that is near.

        Returns
        -------
        Refined
            Result.
        """
        inside = {name: float(np.clip(getattr(start, name), *self._limits(name))) for name in self.free}
        best = self._expanded(replace(start, **inside), slopes_at)
        lowest, trust = self._cost(best, best.centre), 1.0
        for _ in range(most - 1):
            found = self._best(best, trust)
            if self._is_near(found, best.centre):
                return self._settled(best, found)
            other = self._expanded(found, best.slopes.centre)
            cost = self._cost(other, found)
            if cost < lowest:
                best, lowest = other, cost
                continue
            trust /= 4
            if trust < _LEAST_TRUST:
                break
        return self._settled(best, best.centre)

    def _limits(self, name: str) -> tuple[float, float]:
        return self.bounds.get(name, (-np.inf, np.inf))

    def _is_near(self, found: Parameters, centre: Parameters) -> bool:
        """Whether an expansion about `found` would be the same."""
        same = abs(found.displacement - centre.displacement) < 0.5 * SIMULATED["displacement"]
        low, high = _trusted_depths(centre.depth, self.model.depth_step)
        within = low < found.depth < high or found.depth == centre.depth
        return found.tilt_from(centre) < self.tolerance_deg and same and within

    def _expanded(self, centre: Parameters, slopes_at: Parameters | None = None) -> Expansion:
        """Expand the images about a point, with the slopes of another one if they serve."""
        if slopes_at is None or not self._serve(slopes_at, centre):
            slopes_at = centre
        here = self._simulation(centre, self.effort)
        seeds = range(1, self.slope_seeds + 1)
        points = {
            name: replace(slopes_at, **{name: getattr(slopes_at, name) + step})
            for name, step in SIMULATED.items()
            if name in self.free
        }
        base = [self._simulation(slopes_at, self.slopes, seed) for seed in seeds if points]
        moved = {name: [self._simulation(at, self.slopes, seed) for seed in seeds] for name, at in points.items()}
        finer = [self._simulation(slopes_at, effort) for effort in self.finer]
        made = self.model.pairs([here, *base, *chain(*moved.values()), *finer], self.processes)
        slopes = Slopes(
            slopes_at,
            [made[what] for what in base],
            {name: [made[what] for what in several] for name, several in moved.items()},
        )
        expansion = Expansion(self.model, centre, made[here], slopes, [made[what] for what in finer])
        return expansion if self.slope_seeds == 1 else replace(expansion, shares=self._shares(expansion))

    def _shares(self, expansion: Expansion) -> dict[str, float]:
        """
        Share of each derivative that is more than the scatter between sets of displacements.

        Two sets have the same derivative and independent scatter: the mean of the products of different sets is free
        of it. Only what no other parameter can imitate counts.
        """
        exact = [name for name in self.free if name not in SIMULATED]
        columns = [self._column(expansion, expansion.centre, name) for name in exact]
        known, _ = np.linalg.qr(np.stack(columns, axis=1)) if columns else (np.zeros((0, 0)), None)
        found = {}
        for name, several in expansion.by_displacements.items():
            one = np.stack([_flat(derivative / self.sigma) for derivative in several])
            if columns:
                one = one - (one @ known) @ known.T
            total, own = float((one.sum(axis=0) ** 2).sum()), float((one**2).sum())
            count = len(one)
            found[name] = max(_LEAST_SHARE, (total - own) / (total * (count - 1) / count))
        return found

    def _serve(self, slopes_at: Parameters, centre: Parameters) -> bool:
        """Whether derivatives at a point near by are the same, and there are some at the same thicknesses."""
        near = (abs(getattr(slopes_at, name) - getattr(centre, name)) <= step for name, step in SIMULATED.items())
        step = self.model.depth_step
        return all(near) and _depths_around(slopes_at.depth, step) == _depths_around(centre.depth, step)

    def _simulation(self, point: Parameters, effort: Effort, seed: int = 1) -> Simulation:
        return Simulation(
            point.tilt, _depths_around(point.depth, self.model.depth_step), effort, point.displacement, seed
        )

    def _cost(self, expansion: Expansion, parameters: Parameters) -> float:
        return float((self._residuals(expansion, parameters) ** 2).sum())

    def _residuals(self, expansion: Expansion, parameters: Parameters) -> FloatArray:
        return _flat((expansion.images(parameters) - self.harmonics.coefficients) / self.sigma)

    def _jacobian(self, expansion: Expansion, parameters: Parameters) -> FloatArray:
        """Differentiate the residuals (residual, parameter) with respect to parameters over their natural units."""
        columns = [self._column(expansion, parameters, name) * STEPS[name] for name in self.free]
        return np.stack(columns, axis=1)

    def _column(self, expansion: Expansion, parameters: Parameters, name: str) -> FloatArray:
        return _flat(expansion.derivative(parameters, name) / self.sigma)

    def _best(self, expansion: Expansion, trust: float = 1.0) -> Parameters:
        """Find the best point of an expansion that is near its centre."""
        names, centre = list(self.free), expansion.centre
        scales = np.array([STEPS[name] for name in names])
        first = np.array([getattr(centre, name) for name in names])

        def at(values: FloatArray) -> Parameters:
            return replace(centre, **dict(zip(names, map(float, first + values * scales), strict=True)))

        low, high = np.array([self._limits(name) for name in names]).T
        for number, name in enumerate(names):
            near = (-np.inf, np.inf)
            if name in _TRUST:
                near = (first[number] - trust * _TRUST[name], first[number] + trust * _TRUST[name])
            elif name == "depth":
                near = _trusted_depths(centre.depth, self.model.depth_step)
            low[number], high[number] = max(low[number], near[0]), min(high[number], near[1])
        room = np.maximum(1e-9, 1e-9 * scales)
        bounds = (np.minimum(low - first, -room) / scales, np.maximum(high - first, room) / scales)
        result = least_squares(
            lambda values: self._residuals(expansion, at(values)),
            np.zeros(len(names)),
            lambda values: self._jacobian(expansion, at(values)),
            bounds,
            ftol=1e-4,
            xtol=1e-4,
            gtol=1e-6,
            max_nfev=_INNER,
        )
        return at(result.x)

    def _settled(self, expansion: Expansion, parameters: Parameters) -> Refined:
        """Average the last expansion over sets of displacements, if there are several and atoms move."""
        if self.seeds == 1 or not self.model.is_warm:
            return self._refined(expansion, parameters, np.zeros((len(self.free),) * 2))
        seeds = range(1, self.seeds + 1)
        wanted = [self._simulation(expansion.centre, self.effort, seed) for seed in seeds]
        made = self.model.pairs(wanted, self.processes)
        sets = [replace(expansion, pairs=pairs) for pairs in made.values()]
        found = np.array([[getattr(point, name) for name in self.free] for point in map(self._best, sets)])
        scatter = np.atleast_2d(np.cov(found, rowvar=False)) / self.seeds
        total = reduce(np.add, (pairs.values for pairs in made.values()))
        mean = replace(expansion, pairs=replace(expansion.pairs, values=total / self.seeds))
        return self._refined(mean, self._best(mean), scatter)

    def _refined(self, expansion: Expansion, parameters: Parameters, scatter: FloatArray) -> Refined:
        """Calculate errors; `scatter` is the covariance that displacements add."""
        residuals, jacobian = self._residuals(expansion, parameters), self._jacobian(expansion, parameters)
        scales = np.array([STEPS[name] for name in self.free])
        chi_squared = float((residuals**2).sum() / max(1, len(residuals) - len(scales)))
        covariance = np.linalg.pinv(jacobian.T @ jacobian) * np.outer(scales, scales) * max(1.0, chi_squared)
        errors = dict(zip(self.free, np.sqrt(np.diag(covariance + scatter)).tolist(), strict=True))
        predicted = expansion.images(parameters)
        left = (predicted - self.harmonics.coefficients)[:, 1:]
        missed = float((np.abs(left) ** 2).sum()) - self.harmonics.noise_power
        unexplained = max(0.0, missed) / self.harmonics.power
        return Refined(parameters, errors, chi_squared, unexplained, predicted, expansion.slopes.centre)


def _depths_around(depth: float, step: float) -> tuple[float, ...]:
    """Thicknesses [Å] that are simulated for one: on a mesh, so that near ones share them."""
    side = _DEPTHS // 2
    centre = max(side + 1, round(depth / (2 * step)) * 2)
    return tuple(step * (centre + number) for number in range(-side, side + 1))


def _trusted_depths(depth: float, step: float) -> tuple[float, float]:
    """Lowest and highest thickness [Å] that is interpolated well between those that are simulated for one."""
    depths = _depths_around(depth, step)
    # Below the first mesh there is no other.
    return depths[0] if depths[0] <= step else depths[1], depths[-2]


def _flat(values: ComplexArray) -> FloatArray:
    """Real and imaginary parts in one vector; means have no imaginary part."""
    return np.concatenate([values.real.ravel(), values[:, 1:].imag.ravel()])
