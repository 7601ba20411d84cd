"""The weights in resources/models on an image that they were not trained on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from iphasenet.crystal.structure import orthogonal_cell, read_structure
from iphasenet.evaluation.metrics import score
from iphasenet.microscope.acquisition import Acquisition
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.settings import Numerics
from iphasenet.network.weights import load_weights
from iphasenet.simulation.image import Image
from iphasenet.simulation.noise import record
from iphasenet.simulation.specimen import Simulator, Specimen

RESOURCES = Path(__file__).parents[2] / "resources"


def test_the_shipped_network_finds_the_potential_of_a_new_simulation() -> None:
    """MoS2 at a tilt, rotation and window of no data set, at 1e5 e/Å²; told the wrong tilt, it does not."""
    cell = orthogonal_cell(read_structure(RESOURCES / "structures" / "MoS2.cif"))
    alpha, beta, gamma, thickness = 0.31, -0.17, 77.0, 40.0
    specimen = Specimen(cell, thickness_nm=(thickness,), tilt_deg=(alpha, beta), rotation_deg=gamma, offset=(0.2, 0.7))
    data = Simulator(Microscope(200, 20, 10, 50), Numerics(0.12, 0.3, 16), Image(128, 0.2)).simulate(specimen)
    noise = Acquisition(readout_electrons=0.3, gain_mismatch=0.01)
    segments = record(torch.from_numpy(data["segments"].values[0]), 1e5, 0.2, noise, np.random.default_rng(0)).numpy()
    network, trained = load_weights(RESOURCES / "models" / "laptop.safetensors")
    truth = data["potential"].values[:1]
    scores = []
    for tilt in ((alpha, beta), (-beta, alpha)):
        metadata = torch.tensor([[thickness, *tilt, gamma]])
        with torch.inference_mode():
            potential, spread = network.projected_potential(torch.from_numpy(segments)[None], metadata)
        scores.append(score(potential.numpy(), truth))
    assert spread is not None and bool((spread > 0).all())
    assert scores[0]["pearson"] > 0.95 and scores[0]["mae_share_of_max"] < 0.04
    assert scores[1]["pearson"] < 0.7
    assert trained["ranges"]["thickness_nm"] == [20, 150] and network.sampling == pytest.approx(0.2)
    # The beam's scale is guessed from this; it belongs to the ranges.
    expected = np.interp(thickness, trained["segment_sum"]["thickness_nm"], trained["segment_sum"]["mean"])
    assert segments.sum(axis=0).mean() == pytest.approx(expected, rel=0.1)
