"""A right spread is told from a narrow and a wide one."""

import numpy as np
import pytest

from iphasenet.evaluation.uncertainty import LEVELS, coverage


@pytest.mark.parametrize(("factor", "sign"), [(1.0, 0), (0.5, -1), (2.0, 1)])
def test_coverage(factor: float, sign: int) -> None:
    rng = np.random.default_rng(0)
    spread = rng.uniform(1, 50, (4, 200, 200)).astype(np.float32)
    truth = rng.laplace(0, spread).astype(np.float32)
    found = coverage(np.zeros_like(truth), factor * spread, truth)
    assert list(found["level"]) == list(LEVELS)
    np.testing.assert_allclose(found["spread_over_error"], factor, rtol=0.02)
    difference = (found["covered"] - found["level"]).to_numpy()
    assert (np.abs(difference) < 0.005).all() if sign == 0 else (sign * difference > 0.005).all()
