"""Nothing that trains mixes the device of its tensors with the host's: shown on torch's device of shapes alone.

A GPU finds such a mixture when it runs; 'meta' finds it on any machine.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from iphasenet.columns import project_columns
from iphasenet.losses import contrast, training_loss
from iphasenet.model import ModelSettings, PotentialNetwork
from iphasenet.noise import displaced
from iphasenet.symmetry import OPERATIONS, transformed

LOSS = {"l1": 1.0, "l2": 0.5, "gradient_l1": 0.1, "spectral_l1": 0.1, "spread": 0.1}


def random(*shape: int) -> Tensor:
    return torch.rand(shape, device="meta")


@pytest.mark.parametrize(
    "settings",
    [
        {"conditioning": "film", "inputs": "fraction", "uncertainty": True},
        {"conditioning": "maps", "norm": "group", "window_size": 7},
        {"conditioning": "maps", "angles": "sines", "output": "projected"},
    ],
)
def test_network_and_loss(settings: dict[str, Any]) -> None:
    network = PotentialNetwork(ModelSettings(12, **settings)).to("meta")
    segments, metadata, target = random(2, 4, 64, 64), random(2, 4), random(2, 64, 64)
    prediction, spread = network(segments, metadata)
    training_loss(prediction, spread, target, contrast(target), LOSS).backward()
    assert {parameter.grad.device.type for parameter in network.parameters() if parameter.grad is not None} == {"meta"}
    assert network.projected_potential(segments, metadata, turns=4)[0].shape == (2, 64, 64)


def test_projection_of_columns() -> None:
    columns = random(2, 64, 64).requires_grad_()
    project_columns(columns, random(2, 2), 0.2).sum().backward()
    assert columns.grad is not None
    assert columns.grad.device.type == "meta"


def test_scan_distortion() -> None:
    window = (slice(3, 35), slice(10, 42))
    found = displaced(random(4, 64, 64), np.random.default_rng(0).random((64, 2)), window)
    assert (found.device.type, found.shape) == ("meta", (4, 32, 32))


@pytest.mark.parametrize("operation", range(OPERATIONS))
def test_symmetry_operations(operation: int) -> None:
    """Metadata stay in the host's memory, where few numbers are turned faster."""
    segments, truth, metadata = transformed(random(4, 64, 64), random(64, 64), torch.rand(4), operation)
    assert (segments.device.type, truth.device.type, metadata.device.type) == ("meta", "meta", "cpu")
