"""The weights in resources/models on images that they were not trained on, of crystals whose atoms move."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from iphasenet.crystal.structure import crystal_cell
from iphasenet.evaluation.metrics import score
from iphasenet.evaluation.prediction import predict_images
from iphasenet.microscope.acquisition import Acquisition
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.settings import Numerics
from iphasenet.network.weights import load_weights
from iphasenet.simulation.image import Image
from iphasenet.simulation.noise import record
from iphasenet.simulation.specimen import Simulator, Specimen

RESOURCES = Path(__file__).parents[2] / "resources"
WEIGHTS = RESOURCES / "models" / "laptop.safetensors"
WINDOW = 9.0
PRODUCTION = Numerics(0.126, 1.0, WINDOW, thermal_passes=1, thermal_coarse_passes=0, thermal_period_angstrom=1.0)
FROZEN = replace(
    PRODUCTION, slice_thickness_angstrom=0.3, thermal_passes=2, thermal_noise=1e-4, thermal_period_angstrom=WINDOW
)
"""All waves of a window pass the same displaced atoms: frozen phonons, without the tricks of the training's images."""


@dataclass(frozen=True)
class Recorded:
    """Noisy images (segment, y, x) at 1e5 e/Å², their potential (y, x) [V Å], and what the network is told."""

    segments: NDArray[np.float32]
    truth: NDArray[np.float32]
    told: tuple[float, float, float, float]

    def scores(self, told: tuple[float, float, float, float] | None = None) -> dict[str, float]:
        """Scores of the network, told the truth or something else."""
        network, _ = load_weights(WEIGHTS)
        known = np.array([told or self.told], np.float32)
        potential, spread = predict_images(network.eval(), self.segments[None], known)
        assert spread is not None and bool((spread > 0).all())
        return {name: float(value[0]) for name, value in score(potential, self.truth[None]).items()}


def recorded(material: str, numerics: Numerics, thickness_nm: float, displaced: float = 1.0) -> Recorded:
    """Images at a tilt, rotation, place and window of no data set, of displacements times a factor."""
    cell = crystal_cell({"cif": f"{material}.cif", "zone_axis": [0, 0, 1]}, RESOURCES / "structures", 293)
    cell.arrays["displacements"] *= displaced**2
    specimen = Specimen(
        cell, thickness_nm=(thickness_nm,), tilt_deg=(0.31, -0.17), rotation_deg=77.0, offset=(0.2, 0.7), seed=5
    )
    data = Simulator(Microscope(200, 20, 10, 50), numerics, Image(128, 0.2)).simulate(specimen)
    noise, rng = Acquisition(readout_electrons=0.3, gain_mismatch=0.01), np.random.default_rng(0)
    segments = record(torch.from_numpy(data["segments"].values[0]), 1e5, 0.2, noise, rng).numpy()
    told = (thickness_nm, *specimen.tilt_deg, specimen.rotation_deg)
    return Recorded(segments, data["potential"].values[0], told)


def test_the_shipped_network_finds_the_potential_of_frozen_phonons() -> None:
    """Told the wrong tilt, it does not; the beam's scale, which is guessed from the ranges of its training, holds."""
    images = recorded("MoS2", FROZEN, 20.0)
    found = images.scores()
    assert found["pearson"] > 0.95 and found["mae_share_of_max"] < 0.04
    thickness, alpha, beta, gamma = images.told
    assert images.scores((thickness, -beta, alpha, gamma))["pearson"] < 0.7
    network, trained = load_weights(WEIGHTS)
    assert trained["ranges"]["thickness_nm"] == [20, 150] and network.sampling == pytest.approx(0.2)
    expected = np.interp(thickness, trained["segment_sum"]["thickness_nm"], trained["segment_sum"]["mean"])
    assert images.segments.sum(axis=0).mean() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("displaced", [0.75, 1.25])
@pytest.mark.parametrize("material", ["GaN", "KNbO3"])
def test_the_shipped_network_on_smaller_and_larger_displacements(material: str, displaced: float) -> None:
    assert recorded(material, PRODUCTION, 40.0, displaced).scores()["pearson"] > 0.95
