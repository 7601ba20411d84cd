"""Refinement of all parameters by least squares, with derivatives through simulations with the same displacements."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, least_squares

from iphasenet.fitting.crystal_model import CrystalModel, Effort, Parameters
from iphasenet.fitting.harmonics import Harmonics
from iphasenet.multislice.beam_pairs import BeamPairs

ComplexArray = NDArray[np.complexfloating[Any, Any]]
FloatArray = NDArray[np.floating[Any]]

STEPS: Mapping[str, float] = {
    "alpha": 0.05,
    "beta": 0.05,
    "depth": 20.0,
    "defocus": 20.0,
    "offset_x": 0.1,
    "offset_y": 0.1,
    "scale": 0.05,
    "source_variance": 0.03,
    "astigmatism_x": 20.0,
    "astigmatism_y": 20.0,
    "displacement": 0.1,
}
"""Natural unit of each parameter: the size of the first steps of a fit."""

_SIMULATED = {"alpha": 0.03, "beta": 0.03, "displacement": 0.05}
"""Parameters that need a simulation of their own, and the difference by which their derivative is taken."""

_DEPTH_STEP = 15.0
"""Distance of the thicknesses between which images are interpolated [Å]."""

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
    """

    parameters: Parameters
    errors: dict[str, float]
    chi_squared: float
    unexplained: float
    predicted: ComplexArray


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
    free : sequence of str
        Parameters that are fitted.
    bounds : mapping
        Lowest and highest values of some parameters.
    model_error : float
        Error of simulated coefficients, as a share of the images' rms coefficient.
    threads : int
        Simulations that are made at a time.
    """

    model: CrystalModel
    harmonics: Harmonics
    effort: Effort
    slopes: Effort
    free: Sequence[str]
    bounds: Mapping[str, tuple[float, float]]
    model_error: float = 0.05
    threads: int = 1

    @property
    def sigma(self) -> FloatArray:
        """Standard error (4, n) of real and imaginary part of each residual."""
        measured = self.harmonics.coefficients
        rms = np.sqrt((np.abs(measured[:, 1:]) ** 2).mean() / 2)
        sigma = np.hypot(self.harmonics.errors, self.model_error * rms)
        sigma[:, 0] = np.hypot(sigma[:, 0], MEAN_ERROR * np.abs(measured[:, 0]))
        return np.asarray(sigma)

    def run(self, start: Parameters, most: int = 8) -> Refined:
        """
        Refine parameters.

        Parameters
        ----------
        start : Parameters
            Start; parameters that are not free stay as they are.
        most : int
            Largest number of steps.

        Returns
        -------
        Refined
            Result.
        """
        names, sigma = list(self.free), self.sigma
        scales = np.array([STEPS[name] for name in names])
        first = np.array([getattr(start, name) for name in names])
        low, high = (np.array([self._limit(name, side) for name in names]) for side in (0, 1))
        first = np.clip(first, low, high)

        def at(values: FloatArray) -> Parameters:
            return replace(start, **dict(zip(names, map(float, first + values * scales), strict=True)))

        def residuals(values: FloatArray) -> FloatArray:
            return _flat((self._predicted(at(values)) - self.harmonics.coefficients) / sigma)

        def jacobian(values: FloatArray) -> FloatArray:
            self._simulate_together(_node(at(values)))
            columns = [self._derivative(at(values), name) for name in names]
            return np.stack(
                [_flat(column / sigma) * scale for column, scale in zip(columns, scales, strict=True)], axis=1
            )

        room = np.maximum(1e-9, 1e-9 * scales)
        bounds = (np.minimum(low - first, -room) / scales, np.maximum(high - first, room) / scales)
        result = least_squares(
            residuals, np.zeros(len(names)), jacobian, bounds, "trf", ftol=1e-3, xtol=1e-3, gtol=1e-6, max_nfev=most
        )
        return self._refined(result, at(result.x), scales)

    def _simulate_together(self, parameters: Parameters) -> None:
        """Make the simulations that derivatives need, several at a time."""
        points = [parameters]
        for name, step in _SIMULATED.items():
            if name in self.free:
                points.append(replace(parameters, **{name: getattr(parameters, name) + step}))
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(lambda point: self._pairs(point, self.slopes), points))

    def _limit(self, name: str, side: int) -> float:
        return self.bounds.get(name, (-np.inf, np.inf))[side]

    def _refined(self, result: OptimizeResult, parameters: Parameters, scales: FloatArray) -> Refined:
        count = max(1, len(result.fun) - len(scales))
        chi_squared = float((result.fun**2).sum() / count)
        covariance = np.linalg.pinv(result.jac.T @ result.jac) * np.outer(scales, scales) * max(1.0, chi_squared)
        errors = dict(zip(self.free, np.sqrt(np.diag(covariance)).tolist(), strict=True))
        measured = self.harmonics.coefficients[:, 1:]
        predicted = self._predicted(parameters)
        left = predicted[:, 1:] - measured
        missed = float((np.abs(left) ** 2).sum()) - self.harmonics.noise_power
        unexplained = max(0.0, missed) / self.harmonics.power
        return Refined(parameters, errors, chi_squared, unexplained, predicted)

    def _predicted(self, parameters: Parameters, effort: Effort | None = None) -> ComplexArray:
        """Coefficients (4, n) at any thickness, between those that are simulated."""
        depths = _depths_around(parameters.depth)
        pairs = self._pairs(parameters, effort)
        images = self.model.images(pairs, parameters)
        return _interpolated(images, pairs.depths, float(np.clip(parameters.depth, depths[0], depths[-1])))

    def _pairs(self, parameters: Parameters, effort: Effort | None = None) -> BeamPairs:
        depths = _depths_around(parameters.depth)
        tilt = (parameters.alpha, parameters.beta)
        return self.model.pairs(tilt, depths, effort or self.effort, parameters.displacement)

    def _derivative(self, parameters: Parameters, name: str) -> ComplexArray:
        """Differentiate the coefficients (4, n) with respect to a parameter."""
        step = _SIMULATED.get(name, 0.05 * STEPS[name])
        value = getattr(parameters, name)
        if name in _SIMULATED:
            node = _node(parameters)
            points = (node, replace(node, **{name: getattr(node, name) + step}))
            here, there = (self._predicted(one, self.slopes) for one in points)
            return np.asarray((there - here) / step)
        low, high = (value + change for change in (-step, step))
        if name == "source_variance":
            low = max(0.0, low)
        before, after = (replace(parameters, **{name: one}) for one in (low, high))
        if name == "depth":
            # Images at both thicknesses come from one simulation.
            pairs = self._pairs(parameters)
            images = self.model.images(pairs, parameters)
            both = [_interpolated(images, pairs.depths, one.depth) for one in (before, after)]
        else:
            both = [self._predicted(one) for one in (before, after)]
        return np.asarray((both[1] - both[0]) / (high - low))


def _node(parameters: Parameters) -> Parameters:
    """Nearest point of a mesh of tilts on which derivatives are taken, so that near tilts share them."""
    mesh = _SIMULATED["alpha"]
    return replace(parameters, alpha=mesh * round(parameters.alpha / mesh), beta=mesh * round(parameters.beta / mesh))


def _depths_around(depth: float) -> tuple[float, ...]:
    """Thicknesses [Å] that are simulated for one: on a mesh of its own, so that near ones share them."""
    centre = max(3, round(depth / (2 * _DEPTH_STEP)) * 2)
    return tuple(_DEPTH_STEP * (centre + step) for step in (-2, -1, 0, 1, 2))


def _interpolated(images: ComplexArray, depths: FloatArray, depth: float) -> ComplexArray:
    """Images (4, n) at a thickness, by cubics through the four nearest simulated ones."""
    first = int(np.clip(np.searchsorted(depths, depth) - 2, 0, max(0, len(depths) - 4)))
    near = depths[first : first + 4]
    weights = np.array([np.prod([(depth - b) / (a - b) for b in near if b != a]) for a in near])
    return np.asarray(np.tensordot(weights, images[first : first + 4], axes=1))


def _flat(values: ComplexArray) -> FloatArray:
    """Real and imaginary parts in one vector; means have no imaginary part."""
    return np.concatenate([values.real.ravel(), values[:, 1:].imag.ravel()])
