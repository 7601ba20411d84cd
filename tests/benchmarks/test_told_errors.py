"""Coverage of the uncertainty on a run's test samples, told right and wrong."""

import numpy as np
import pytest
import torch
from benchmarks.told_errors import markdown, measure

from iphasenet.base.errors import InputError
from iphasenet.dataset.material_data import MaterialData
from iphasenet.reconstruction.told_errors import ToldErrors

SLOPE = 100.0
"""Change of the potential with alpha [V Å/degree]."""


class Leaning(torch.nn.Module):
    """Right where the tilt is told right, to a spread of 1 V Å, and off by `SLOPE` times alpha's error elsewhere."""

    def __init__(self, is_sure: bool = False) -> None:
        super().__init__()
        self.weight, self.is_sure = torch.nn.Parameter(torch.zeros(1)), is_sure

    def projected_potential(self, segments: torch.Tensor, metadata: torch.Tensor, _turns: int) -> tuple:
        potential = segments[:, 0] + SLOPE * metadata[:, 1, None, None]
        return potential, None if self.is_sure else torch.ones_like(potential)


def crystal(samples: int) -> MaterialData:
    rng = np.random.default_rng(0)
    segments = rng.normal(size=(samples, 1, 4, 8, 8)).astype(np.float32)
    known = {name: rng.normal(size=samples) for name in ("alpha", "beta", "gamma")}
    known |= {"thickness_nm": np.full(samples, 20.0), "sample_id": np.array([f"made-{n}" for n in range(samples)])}
    truth = segments[:, 0, 0] + SLOPE * known["alpha"].astype(np.float32)[:, None, None]
    truth += rng.laplace(size=truth.shape).astype(np.float32)
    return MaterialData("made", segments[:, 0], truth, segments, np.array([1e5]), 0.2, known)


def test_the_widened_uncertainty_covers_what_a_wrong_tilt_does() -> None:
    table = measure(Leaning(), crystal(6), ToldErrors(0.1, 0), draws=50)
    found = table.groupby(["told", "widened", "level"])["covered"].mean().unstack().to_numpy()
    right, right_widened, wrong, wrong_widened = found
    # A Laplace distribution, told right; a normal one of a tenth of `SLOPE`, told wrong.
    assert right == pytest.approx([0.757, 0.941], abs=0.04)
    assert (right_widened > 0.99).all()
    assert wrong[1] < 0.35
    assert wrong_widened == pytest.approx([0.69, 0.955], abs=0.06)
    lines = markdown(table).splitlines()
    assert len([line for line in lines if line.startswith(("| made |", "| mean |"))]) == 8
    assert "75.7% within 1 σ, 94.1% within 2 σ" in lines[0]


def test_a_network_without_uncertainty_is_one_line() -> None:
    with pytest.raises(InputError, match="network without uncertainty"):
        measure(Leaning(is_sure=True), crystal(1), ToldErrors(), draws=1)
