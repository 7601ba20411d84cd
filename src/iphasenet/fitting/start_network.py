"""A small network that guesses a known crystal's tilt from its images' Fourier coefficients: the search begins there.

It is trained for one crystal and one microscope (`start_training`), for all rotations about the beam. What it is given
does not depend on the offset: amplitudes, and phases relative to those of the sum of the segments. Of a turned crystal,
differences of the segments are turned into its frame.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray
from torch import Tensor, nn

from iphasenet.base.errors import InputError
from iphasenet.fitting.crystal_model import CrystalModel
from iphasenet.fitting.harmonics import Harmonics
from iphasenet.fitting.simulation_cache import crystal_key
from iphasenet.microscope.optics import Microscope
from iphasenet.network.sealed_tensors import read_tensors, usable_weights, write_tensors
from iphasenet.simulation.tilts import lab_tilt

ComplexArray = NDArray[np.complexfloating[Any, Any]]

UNITS = (0.5, 0.5, 1.0, 100.0)
"""Units of what is guessed: tilt about the crystal's axes [degrees], logarithm of the thickness, defocus [Å]."""

MIDDLE_DEPTH = 500.0
"""Thickness of which the logarithm is 0 [Å]."""

_MOST_ORDERS = 150
"""Coefficients that are looked at, those of the lowest frequencies."""

_HIDDEN = 512
_SMALL = 1e-3
_SPREADS = (-6.0, 3.0)
_KEY = "start"

_VERSION = 1
"""Number of what networks are given: raise it where `features` or `looked_at` change."""


def looked_at(orders: NDArray[np.int64], lengths: tuple[float, float]) -> NDArray[np.int64]:
    """Numbers of the coefficients that the network looks at, the mean first."""
    frequency = np.linalg.norm(orders / np.array(lengths), axis=1)
    return np.sort(np.argsort(frequency, kind="stable")[:_MOST_ORDERS])


def features(coefficients: Tensor, noise: Tensor, rotation_deg: Tensor) -> Tensor:
    """
    Describe images by numbers that do not depend on offset and intensity.

    Parameters
    ----------
    coefficients : (batch, 4, n) complex tensor
        Fourier coefficients of the segments top-left, top-right, bottom-left, bottom-right, the mean first.
    noise : (batch,) tensor
        Noise of a coefficient over the rms coefficient.
    rotation_deg : (batch,) tensor
        Rotation gamma of the crystal [degrees].

    Returns
    -------
    (batch, feature) tensor
        Features.
    """
    gamma = torch.deg2rad(rotation_deg)[:, None]
    total = coefficients.sum(1)
    parts = coefficients / total[:, None, :1].real
    first, second, third, fourth = parts.unbind(1)
    along_x, along_y = second + fourth - first - third, third + fourth - first - second
    across = first + fourth - second - third
    shown = total / total[:, :1].real
    phase = shown.conj() / (shown.abs() + _SMALL)
    turned = [
        gamma.cos() * along_x + gamma.sin() * along_y,
        gamma.cos() * along_y - gamma.sin() * along_x,
        (2 * gamma).cos() * across,
        (2 * gamma).sin() * across,
    ]
    found = [shown[:, 1:].abs().sqrt()]
    for part in turned:
        relative = (part * phase)[:, 1:]
        # Square roots bring weak and strong coefficients nearer to each other.
        compressed = relative / (relative.abs() + _SMALL).sqrt()
        found += [compressed.real, compressed.imag, part[:, 1:].abs().sqrt()]
    means = [part[:, :1].real for part in turned]
    return torch.cat([*found, *means, (4 * gamma).cos(), (4 * gamma).sin(), noise[:, None].log10()], dim=1).float()


class StartNetwork(nn.Module):
    """
    Three layers.

    Parameters
    ----------
    inputs : int
        Features.
    """

    mean: Tensor
    deviation: Tensor
    error_scale: Tensor

    def __init__(self, inputs: int) -> None:
        super().__init__()
        for name, value in (("mean", torch.zeros(inputs)), ("deviation", torch.ones(inputs))):
            self.register_buffer(name, value)
        self.register_buffer("error_scale", torch.ones(len(UNITS)))
        layers: list[nn.Module] = []
        for size in (inputs, _HIDDEN, _HIDDEN):
            layers += [nn.Linear(size, _HIDDEN), nn.SiLU(), nn.Dropout(0.1)]
        self.layers = nn.Sequential(*layers, nn.Linear(_HIDDEN, 2 * len(UNITS)))

    def forward(self, described: Tensor) -> tuple[Tensor, Tensor]:
        """Guesses (batch, 4) over `UNITS`, and logarithms of their expected absolute errors."""
        values, logs = self.layers((described - self.mean) / self.deviation).chunk(2, dim=1)
        return values, logs.clamp(*_SPREADS) + self.error_scale.log()


@dataclass(frozen=True)
class Guess:
    """
    What a network takes an image for.

    Attributes
    ----------
    tilt : (float, float)
        alpha and beta [degrees].
    error_deg : float
        Expected distance of the true tilt [degrees].
    depth, defocus : float
        Thickness and defocus [Å].
    """

    tilt: tuple[float, float]
    error_deg: float
    depth: float
    defocus: float


@dataclass(frozen=True)
class Start:
    """
    A trained network.

    Attributes
    ----------
    network : StartNetwork
        Network in evaluation mode.
    crystal : mapping
        Crystal and microscope that it knows (`iphasenet.fitting.simulation_cache.crystal_key`).
    described : mapping
        How it was trained, and what it reached.
    """

    network: StartNetwork
    crystal: Mapping[str, Any]
    described: Mapping[str, Any]

    def knows(self, cell: Atoms, microscope: Microscope) -> bool:
        """Whether it was trained for a crystal and a microscope."""
        return _plain(self.crystal) == _plain(crystal_key(cell, microscope))

    @torch.no_grad()
    def guess(self, harmonics: Harmonics, model: CrystalModel) -> Guess:
        """
        Guess what an image was recorded with.

        Parameters
        ----------
        harmonics : Harmonics
            Fourier coefficients of the images, at the model's orders.
        model : CrystalModel
            Crystal at the rotation at which the coefficients were measured.
        """
        a, b, _ = model.cell.cell.lengths()
        chosen = looked_at(model.orders, (float(a), float(b)))
        rms = math.sqrt(harmonics.power / (2 * harmonics.coefficients[:, 1:].size))
        noise = float(harmonics.errors[:, 1:].mean()) / rms
        described = features(
            torch.from_numpy(harmonics.coefficients[None][..., chosen]),
            torch.tensor([noise]),
            torch.tensor([model.rotation_deg]),
        )
        values, logs = self.network(described)
        x, y, depth, defocus = (values[0] * torch.tensor(UNITS)).tolist()
        tilt = lab_tilt((math.tan(math.radians(x)), math.tan(math.radians(y))), model.rotation_deg)
        # The mean distance in two dimensions over the mean absolute error in one.
        error = math.pi / 2 * UNITS[0] * float(logs[0, :2].exp().mean())
        return Guess(tilt, error, MIDDLE_DEPTH * math.exp(depth), defocus)


def save_start(path: Path, start: Start) -> None:
    """Write a network; the file appears whole or not at all."""
    about = {"crystal": _plain(start.crystal), "described": start.described, "version": _VERSION}
    write_tensors(path, start.network.state_dict(), {_KEY: about})


def load_start(path: Path) -> Start:
    """Read a network that `save_start` wrote."""
    if not path.exists():
        raise InputError(f"{path}: there is no such file; give a network that iphasenet train-start wrote")
    with usable_weights(path, "network", "iphasenet train-start"):
        state, header = read_tensors(path)
        if _KEY not in header:
            raise ValueError("a network for something else")
        about = header[_KEY]
        if about["version"] != _VERSION:
            raise ValueError("of another version of this program")
        network = StartNetwork(len(state["mean"]))
        network.load_state_dict(state)
    return Start(network.eval(), about["crystal"], about["described"])


def _plain(key: Mapping[str, Any]) -> Any:
    """Describe a crystal as it comes back from a file."""
    return json.loads(json.dumps(key))
