"""Refinement: derivatives that scatter between sets of displacements."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from iphasenet.fitting.crystal_model import Effort, Parameters
from iphasenet.fitting.harmonics import Harmonics
from iphasenet.fitting.refinement import Refinement

COEFFICIENTS = 400


def complex_noise(rng: np.random.Generator) -> Any:
    """Draw noise of one, with a real mean."""
    found = rng.normal(size=(4, COEFFICIENTS)) + 1j * rng.normal(size=(4, COEFFICIENTS))
    found[:, 0] = found[:, 0].real
    return found


@pytest.mark.parametrize("scatter", [0.0, 0.5, 1.0])
def test_scatter_between_sets_of_displacements_is_no_part_of_a_derivative(scatter: float) -> None:
    rng = np.random.default_rng(3)
    true, imitated = complex_noise(rng), complex_noise(rng)
    # What the offset imitates is no evidence of a tilt, however large it is.
    several = [true + 10 * imitated + scatter * complex_noise(rng) for _ in range(2)]
    expansion = SimpleNamespace(
        by_displacements={"alpha": several}, derivative=lambda *_: imitated, centre=Parameters(0, 0, 100)
    )
    harmonics = Harmonics(
        np.zeros((COEFFICIENTS, 2)), np.ones((4, COEFFICIENTS), complex), np.ones((4, COEFFICIENTS)), 1.0, np.ones(4)
    )
    model: Any = SimpleNamespace()
    effort = Effort(0.1, 1.0, 10.0)
    refinement = Refinement(model, harmonics, effort, effort, (), ("alpha", "offset_x"), {}, 0.0, slope_seeds=2)
    shared: Any = expansion
    share = refinement._shares(shared)["alpha"]
    # The mean of two sets has half of their scatter's power.
    assert share == pytest.approx(1 / (1 + scatter**2 / 2), abs=0.03)
