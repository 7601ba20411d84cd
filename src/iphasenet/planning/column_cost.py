"""Time and memory of training the network for any crystal, estimated from one step of it."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from iphasenet.base.devices import use_threads
from iphasenet.microscope.acquisition import Acquisition
from iphasenet.network.column_network import ColumnNetwork, column_loss
from iphasenet.planning.job_resources import PROCESS_BYTES, training_processes
from iphasenet.planning.tilt_cost import timed
from iphasenet.planning.training_cost import TrainingCost, TrainingMachine, kept_bytes, step_bytes, wall_clock
from iphasenet.simulation.image import Image
from iphasenet.simulation.noise import record_images
from iphasenet.simulation.rendering import Field, Series
from iphasenet.training.column_settings import ColumnNetworkSettings, ColumnTraining
from iphasenet.training.orthogonal import OrthogonalAdamW

_TERMS = 300
"""Fourier coefficients of an image of a cell of usual size."""

_MOST = 16
"""Largest number of crops that are measured together."""


def estimate_column_training(config: Mapping[str, Any], images_bytes: float, cores: int) -> TrainingCost:
    """
    Estimate a training of the network for any crystal on this machine.

    Parameters
    ----------
    config : mapping
        Checked configuration with `column_network`.
    images_bytes : float
        Size of the simulated images, which each process keeps in memory [bytes].
    cores : int
        Cores that the training may use.

    Returns
    -------
    TrainingCost
        Cost on a GPU if there is one, as training chooses, else on the processor. Crops are drawn on the processor.
    """
    settings, jobs = ColumnNetworkSettings(**config["column_network"]), config["jobs"]
    training = settings.training
    machine, every = TrainingMachine.of(jobs, cores), training_processes(config)
    share = math.ceil(training.batch_size / every)
    with use_threads(machine.threads_each):
        network = ColumnNetwork(settings.model, config["image"]["sampling_angstrom"]).to(machine.device)
        step, predict, kept = _measured(network, training, min(_MOST, share), machine.device)
        update = _update_seconds(network, training, machine.device)
        drawn = timed(partial(_draw, config, training), wall_clock("cpu"))
    steps = math.ceil(training.crops_per_epoch / training.batch_size)
    crops, images = (math.ceil(count / every) for count in (training.crops_per_epoch, training.validation_crops))
    epoch = crops * (step + drawn) + steps * update + images * (predict + drawn)
    parameters = sum(weight.numel() for weight in network.parameters())
    return TrainingCost(
        machine.device,
        training.crops_per_epoch,
        training.validation_crops,
        training.epochs,
        training.epochs * epoch * machine.turns,
        # Half of the coefficients of a real image tell the others.
        PROCESS_BYTES + images_bytes / 2,
        step_bytes(parameters, share * kept),
        0,
    )


def _measured(network: ColumnNetwork, settings: ColumnTraining, share: int, device: str) -> tuple[float, float, float]:
    """Measure times of training and of validating one crop [s], and memory kept for its gradients [bytes]."""
    side = settings.crop_pixels
    segments = 0.1 + 0.01 * torch.rand(share, 4, side, side, device=device)
    conditions = torch.tensor([50.0, 0.2, -0.1, 50.0, 20.0, 10.0, 50.0], device=device).expand(share, -1)
    columns, told = segments[:, 0], torch.zeros_like(conditions, dtype=torch.bool)

    def loss() -> Tensor:
        output, first = network.find(segments, torch.full_like(conditions, torch.nan))
        return torch.stack(list(column_loss(output, first, columns, conditions, told).values())).sum()

    def predict() -> None:
        with torch.inference_mode():
            network(segments, conditions)

    with torch.autocast(device, torch.bfloat16, enabled=settings.precision == "bf16-mixed"):
        clock = wall_clock(device)
        times = [timed(run, clock) / share for run in (lambda: loss().backward(), predict)]
    return times[0], times[1], kept_bytes(network, loss) / share


def _update_seconds(network: ColumnNetwork, settings: ColumnTraining, device: str) -> float:
    """Measure the time in which all weights are updated once [s]; the orthogonalised ones take most of it."""
    rates = (settings.learning_rate, settings.kernel_learning_rate, settings.weight_decay)
    optimizer = OrthogonalAdamW(network.parameters(), *rates)

    def update() -> None:
        for weights in network.parameters():
            weights.grad = torch.full_like(weights, 1e-3)
        optimizer.step()

    return timed(update, wall_clock(device))


def _draw(config: Mapping[str, Any], settings: ColumnTraining) -> None:
    """Render and record one crop."""
    image = Image(settings.crop_pixels, config["image"]["sampling_angstrom"])
    frequencies = torch.linspace(0, 0.5 / image.sampling_angstrom, _TERMS, dtype=torch.float64)
    series = Series(torch.full((4, _TERMS), 1e-3, dtype=torch.complex64), frequencies, frequencies.flip(0))
    segments = 0.2 + series.on_pixels(Field(image, 30.0))
    acquisition, rng = Acquisition(**config["noise"]["acquisition"]), np.random.default_rng(0)
    dose = math.sqrt(math.prod(config["noise"]["training_dose"]))
    record_images(segments[None], [dose], image.sampling_angstrom, acquisition, [rng])
