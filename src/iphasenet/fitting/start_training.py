"""Training of a start network: images of one crystal at random tilts, rotations, thicknesses and lenses."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from iphasenet.base.devices import use_threads
from iphasenet.fitting.crystal_model import SLICE, CrystalModel, Effort, Parameters, Simulation
from iphasenet.fitting.orientation import SEARCH_WINDOW
from iphasenet.fitting.processes import calls
from iphasenet.fitting.simulation_cache import crystal_key
from iphasenet.fitting.start_network import MIDDLE_DEPTH, UNITS, Start, StartNetwork, features, looked_at
from iphasenet.fitting.task import Task
from iphasenet.simulation.grid import generator
from iphasenet.simulation.tilts import crystal_lean

Progress = Callable[[str, int, int], object]

_MARGIN = 1.1
"""Tilts and defoci are drawn a little beyond their limits, so that none of these is an edge."""

_DEPTH_STEP = 25.0
_LENSES = 8
"""Lenses and sources with which each simulation is imaged."""

_DEPTHS = 20
"""Thicknesses of each of these images."""

_NOISE = (-2.3, -0.3)
"""Logarithms of the least and the largest noise of a coefficient over the rms coefficient."""

_GAIN_ERROR = 0.01
_HELD_OUT = 0.1
_BATCH = 512
_RATE = 2e-3
_STEPS = 5


@dataclass(frozen=True)
class StartSamples:
    """
    Simulated images of a crystal.

    Attributes
    ----------
    task : Task
        Crystal, microscope and limits; its images are not used.
    seed : int
        Seed of all that is drawn.
    """

    task: Task
    seed: int = 0

    @cached_property
    def orders(self) -> NDArray[np.int64]:
        """Orders (n, 2) of the coefficients that the network looks at."""
        orders = self.task.orders()
        return orders[looked_at(orders, self.task.lengths)]

    def made(self, number: int) -> tuple[NDArray[np.complex64], NDArray[np.float32], float]:
        """
        Simulate one tilt.

        Parameters
        ----------
        number : int
            Number of the simulation, of which all that is drawn depends.

        Returns
        -------
        coefficients : (sample, 4, n) array
            Images without noise.
        wanted : (sample, 4) array
            What the network is to guess, over `UNITS`.
        rotation_deg : float
            Rotation gamma [degrees].
        """
        task, limits = self.task, self.task.limits
        rng = generator(self.seed, task.cell.get_chemical_formula(), "training", number)
        radius, angle = _MARGIN * limits.tilt_reach_deg * math.sqrt(rng.random()), 2 * math.pi * rng.random()
        tilt = (limits.tilt_deg[0] + radius * math.cos(angle), limits.tilt_deg[1] + radius * math.sin(angle))
        rotation = float(rng.uniform(0, 360))
        displacement = float(rng.uniform(0.85, 1.15))
        low, high = (10 * value for value in limits.thickness_nm)
        # Thin slabs are as frequent as thick ones, and cost less time.
        deepest = high * 0.25 ** rng.random() if high > 4 * low else high
        depths = tuple(np.arange(low, max(low, deepest) + _DEPTH_STEP, _DEPTH_STEP).tolist())
        model = CrystalModel(task.cell, task.microscope, rotation, self.orders, task.parametrization, task.device)
        effort = Effort(task.pixel, SLICE, SEARCH_WINDOW)
        pairs = model.simulate(Simulation(tilt, depths, effort, displacement, number))
        lean = [math.degrees(math.atan(one)) for one in crystal_lean(*tilt, rotation)]
        images, wanted = [], []
        for _ in range(_LENSES):
            low, high = limits.defocus_angstrom
            reach = _MARGIN * (high - low) / 2
            defocus = float(rng.uniform(-reach, reach)) + (low + high) / 2
            source = float(rng.uniform(*limits.source_size_angstrom))
            exits = np.sort(rng.choice(len(pairs.depths), min(_DEPTHS, len(pairs.depths)), replace=False))
            point = Parameters(*tilt, 0.0, defocus, source_variance=source**2)
            images.append(model.images(replace(pairs, depths=pairs.depths[exits], values=pairs.values[exits]), point))
            wanted += [(*lean, math.log(depth / MIDDLE_DEPTH), defocus) for depth in pairs.depths[exits]]
        scaled = np.array(wanted) / np.array(UNITS)
        return np.concatenate(images).astype(np.complex64), scaled.astype(np.float32), rotation


def train_start(
    task: Task, simulations: int, progress: Progress | None = None, seed: int = 0, steps: int | None = None
) -> Start:
    """
    Train a network that guesses tilt, thickness and defocus of one crystal.

    Parameters
    ----------
    task : Task
        Crystal, microscope and limits of what is to be found; its images are not used.
    simulations : int
        Tilts that are simulated; each takes as long as a tilt of the search.
    progress : callable, optional
        Called with the name of a step, and the numbers of its parts done and in all.
    seed : int
        Seed.
    steps : int, optional
        Training steps; 5 a simulation if not given.

    Returns
    -------
    Start
        Network. `described` has the errors of tilts on simulations that were not trained on.
    """
    say = progress or (lambda *_: None)
    samples, made = StartSamples(task, seed), []
    for one in calls(samples.made, [(number,) for number in range(simulations)], task.processes):
        made.append(one)
        say("simulations", len(made), simulations)
    held_out = max(1, round(_HELD_OUT * simulations))
    torch.manual_seed(seed)
    known, unseen = _Images.of(made[held_out:]), _Images.of(made[:held_out])
    # The same network on any number of cores.
    with use_threads(1):
        network = _fitted(known, steps or _STEPS * simulations, say)
        error = _calibrated(network, unseen)
    distance = UNITS[0] * np.hypot(*error[:, :2].T)
    described = {
        "simulations": simulations,
        "tilt_range_deg": task.limits.tilt_reach_deg,
        "thickness_nm": task.limits.thickness_nm,
        "tilt_error_deg": {"median": float(np.median(distance)), "90 %": float(np.quantile(distance, 0.9))},
        "thickness_error_percent": 100 * float(np.median(np.abs(np.expm1(error[:, 2])))),
        "defocus_error_angstrom": UNITS[3] * float(np.median(np.abs(error[:, 3]))),
    }
    return Start(network, crystal_key(task.cell, task.microscope), described)


@dataclass(frozen=True)
class _Images:
    """Images (sample, 4, n), what is to be guessed of them (sample, 4), and their rotations (sample,)."""

    coefficients: Tensor
    wanted: Tensor
    rotation_deg: Tensor

    @classmethod
    def of(cls, made: list[tuple[NDArray[Any], NDArray[Any], float]]) -> "_Images":
        rotations = np.concatenate([np.full(len(wanted), rotation) for _, wanted, rotation in made])
        coefficients, wanted = (np.concatenate([one[part] for one in made]) for part in (0, 1))  # type: ignore[misc]
        return cls(torch.from_numpy(coefficients), torch.from_numpy(wanted), torch.from_numpy(rotations).float())

    def described(self, chosen: Tensor) -> Tensor:
        """Features of some images with noise of any strength and gains that are a little off."""
        clean = self.coefficients[chosen]
        rms = clean[..., 1:].abs().square().mean((1, 2)).div(2).sqrt()
        noise = 10 ** torch.empty(len(chosen)).uniform_(*_NOISE)
        added = torch.complex(torch.randn(clean.shape), torch.randn(clean.shape)) * (noise * rms)[:, None, None]
        gains = 1 + _GAIN_ERROR * torch.randn(len(chosen), 4, 1)
        return features(gains * (clean + added), noise, self.rotation_deg[chosen])


def _fitted(known: _Images, steps: int, say: Progress) -> StartNetwork:
    """Fit a network to images."""
    everything = torch.randperm(len(known.wanted))
    described = known.described(everything[:4096])
    network = StartNetwork(described.shape[1])
    network.mean[:] = described.mean(0)
    network.deviation[:] = described.std(0) + 1e-4
    optimizer = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, steps)
    network.train()
    for step in range(steps):
        chosen = torch.randint(len(known.wanted), (_BATCH,))
        values, logs = network(known.described(chosen))
        loss = ((values - known.wanted[chosen]).abs() * torch.exp(-logs) + logs).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        say("training", step + 1, steps)
    return network.eval()


@torch.no_grad()
def _calibrated(network: StartNetwork, images: _Images) -> NDArray[np.float32]:
    """Scale the errors that a network expects to those on images (sample, 4), and return these."""
    values, logs = network(images.described(torch.arange(len(images.wanted))))
    error = values - images.wanted
    network.error_scale[:] = (error.abs() / logs.exp()).mean(0)
    return np.asarray(error.numpy())
