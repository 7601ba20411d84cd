"""Images near a point of the parameters: linear in tilt and displacements, exact in all else.

Tilt and displacements need a simulation each time they change: their derivatives are differences of simulations in
which each atom's displacement is the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.fitting.crystal_model import CrystalModel, Parameters
from iphasenet.multislice.beam_pairs import BeamPairs

ComplexArray = NDArray[np.complexfloating[Any, Any]]

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

SIMULATED = {"alpha": 0.03, "beta": 0.03, "displacement": 0.05}
"""Parameters that need a simulation of their own, and the difference by which their derivative is taken: over smaller
ones of the tilt it follows the noise of the model."""


@dataclass(frozen=True)
class Slopes:
    """
    Simulations from whose differences the derivatives with respect to tilt and displacements are taken.

    Attributes
    ----------
    centre : Parameters
        Where they were made.
    base : sequence of BeamPairs
        Simulations there, one for each set of displacements.
    moved : dict
        Such simulations with one parameter increased by `SIMULATED`.
    """

    centre: Parameters
    base: Sequence[BeamPairs]
    moved: Mapping[str, Sequence[BeamPairs]]


@dataclass(frozen=True)
class Expansion:
    """
    Images near a point: linear in tilt and displacements, exact in all else.

    Attributes
    ----------
    model : CrystalModel
        Crystal and microscope.
    centre : Parameters
        The point.
    pairs : BeamPairs
        Simulation there.
    slopes : Slopes
        Simulations near it.
    finer : sequence of BeamPairs
        Simulations with finer and with usual numerics in a small window, where the slopes were made, whose difference
        is added; none if there is no such correction.
    shares : mapping
        What share of each derivative is more than the scatter between sets of displacements; all of it if not given.
        Scatter makes derivatives seem larger than they are, and steps too short: for 80 nm of GaN by a half.
    """

    model: CrystalModel
    centre: Parameters
    pairs: BeamPairs
    slopes: Slopes
    finer: Sequence[BeamPairs] = ()
    shares: Mapping[str, float] = field(default_factory=dict)

    def images(self, parameters: Parameters) -> ComplexArray:
        """Fourier coefficients (4, n) at the model's orders."""
        images = _at_depth(self.model, self.pairs, parameters)
        if self.finer:
            fine, coarse = (_at_depth(self.model, pairs, parameters) for pairs in self.finer)
            images += fine - coarse
        # Derivatives move with the crystal and scale with the images.
        offset = np.array([parameters.offset_x - self.centre.offset_x, parameters.offset_y - self.centre.offset_y])
        moved = np.exp(2j * np.pi * (self.model.frequencies @ offset)) * (parameters.scale / self.centre.scale)
        for name, derivative in self.derivatives.items():
            images += (getattr(parameters, name) - getattr(self.centre, name)) * moved * derivative
        return images

    def derivative(self, parameters: Parameters, name: str) -> ComplexArray:
        """Differentiate the coefficients (4, n) with respect to a parameter."""
        if name in self.derivatives:
            return self.derivatives[name]
        value, step = getattr(parameters, name), 0.05 * STEPS[name]
        low, high = value - step, value + step
        if name == "source_variance":
            low = max(0.0, low)
        before, after = (_at_depth(self.model, self.pairs, replace(parameters, **{name: one})) for one in (low, high))
        return np.asarray((after - before) / (high - low))

    @cached_property
    def derivatives(self) -> dict[str, ComplexArray]:
        """Derivatives (4, n) with respect to tilt and displacements, at the centre."""
        return {
            name: self.shares.get(name, 1.0) * np.mean(several, axis=0)
            for name, several in self.by_displacements.items()
        }

    @cached_property
    def by_displacements(self) -> dict[str, list[ComplexArray]]:
        """Derivatives (4, n) by each set of displacements."""
        base = [_at_depth(self.model, pairs, self.centre) for pairs in self.slopes.base]
        return {
            name: [
                (_at_depth(self.model, pairs, self.centre) - still) / SIMULATED[name]
                for pairs, still in zip(several, base, strict=True)
            ]
            for name, several in self.slopes.moved.items()
        }


def _at_depth(model: CrystalModel, pairs: BeamPairs, parameters: Parameters) -> ComplexArray:
    """Images (4, n) at the parameters' thickness, by cubics through the four nearest simulated ones."""
    depth = parameters.depth
    first = int(np.clip(np.searchsorted(pairs.depths, depth) - 2, 0, max(0, len(pairs.depths) - 4)))
    near = pairs.exits(slice(first, first + 4))
    weights = np.array([np.prod([(depth - b) / (a - b) for b in near.depths if b != a]) for a in near.depths])
    return np.asarray(np.tensordot(weights, model.images(near, parameters), axes=1))
