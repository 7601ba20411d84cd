"""Time and memory of training, estimated from one step of the network on a few pixels."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from iphasenet.base.devices import use_threads
from iphasenet.base.errors import InputError
from iphasenet.microscope.acquisition import Acquisition
from iphasenet.network.losses import training_loss
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.settings import ModelSettings
from iphasenet.planning.disk import material_samples, sample_bytes
from iphasenet.planning.job_resources import PROCESS_BYTES, training_processes
from iphasenet.planning.tilt_cost import Clock, device_clock, timed
from iphasenet.simulation.grid import Grid
from iphasenet.simulation.noise import record
from iphasenet.training.crops import EpochSampler

_SIDES = (64, 128)
"""Sides of the crops that are measured: one small crop, then larger or more of them if that is fast; time and memory
grow with the pixels."""

_GPU_CROPS = 4
"""Number of crops that are measured on a GPU."""

_QUICK = 1.0
"""Time of a step below which a larger one is measured [s]."""

_WORKING_SHARE = 1.3
"""Memory of a step over the memory that the network keeps for its gradients: 1.2 to 1.3 were measured."""


@dataclass(frozen=True)
class TrainingCost:
    """
    Cost of a training.

    Attributes
    ----------
    device : str
        Torch device on which it was measured.
    crops, images : int
        Training crops and validation images of an epoch.
    epochs : int
        Epochs.
    seconds : float
        Estimated wall time [s].
    process_bytes, step_bytes : float
        Memory of one process [bytes]: for Python with the data, and for the network with one step.
    gpu_images_bytes : float
        Size of the training images, which each GPU also keeps if they take at most half of its free memory [bytes].
    """

    device: str
    crops: int
    images: int
    epochs: int
    seconds: float
    process_bytes: float
    step_bytes: float
    gpu_images_bytes: float


@dataclass(frozen=True)
class TrainingMachine:
    """
    What this machine gives a training.

    Attributes
    ----------
    device : str
        Torch device: a GPU if there is one and the training asks for it, else the processor.
    processes, threads : int
        Training processes on this machine, and the threads of all of them.
    """

    device: str
    processes: int
    threads: int

    @classmethod
    def of(cls, jobs: Mapping[str, Any], cores: int) -> "TrainingMachine":
        """Read the section `jobs` of a configuration; `cores` may be used."""
        device = "cuda" if jobs["training_gpus"] and torch.cuda.is_available() else "cpu"
        return cls(device, jobs["training_processes"], min(jobs["training_threads"], cores))

    @property
    def threads_each(self) -> int:
        """Threads of a process."""
        return max(1, self.threads // self.processes)

    @property
    def turns(self) -> float:
        """Time of a step over that of a process alone: if there are more processes than cores, they take turns."""
        return max(1.0, self.processes / self.threads) if self.device == "cpu" else 1.0


def step_bytes(parameters: int, kept: float) -> float:
    """Memory of a network and one step [bytes]; `kept` is what its crops keep for their gradients [bytes]."""
    # Weights, gradients and two moments, all in single precision.
    return 16 * parameters + _WORKING_SHARE * kept


def estimate_training(config: Mapping[str, Any], materials: int, cores: int) -> TrainingCost:
    """
    Estimate a training on this machine.

    Parameters
    ----------
    config : mapping
        Checked configuration.
    materials : int
        Number of materials.
    cores : int
        Cores that the training may use.

    Returns
    -------
    TrainingCost
        Cost on a GPU if there is one, as training chooses, else on the processor.
    """
    settings, jobs, doses = config["training"], config["jobs"], len(config["noise"]["evaluation_doses"])
    machine = TrainingMachine.of(jobs, cores)
    samples = {split: count * materials for split, count in material_samples(Grid(**config["grid"])).items()}
    every = training_processes(config)
    sampler = EpochSampler(samples["train"] * settings["crops_per_sample"], settings["batch_size"], 0, 0, every)
    with use_threads(machine.threads_each):
        network = _measure(config, sampler.share, machine.device)
        noise = _record_seconds(config, machine.device)
    crop, image = settings["crop_pixels"] ** 2, config["image"]["pixels"] ** 2
    images = samples["validation"] * doses
    validation = math.ceil(images / every) * image * network.validation
    epoch = len(sampler) * (crop * network.step + noise) + validation
    images_bytes = samples["train"] * sample_bytes(config, 0)
    data = images_bytes + samples["validation"] * sample_bytes(config, doses)
    if jobs["training_stream"]:
        images_bytes = data = 0
    return TrainingCost(
        machine.device,
        sampler.batches * sampler.batch,
        images,
        settings["epochs"],
        settings["epochs"] * epoch * machine.turns,
        PROCESS_BYTES + data,
        step_bytes(network.parameters, sampler.share * crop * network.kept),
        images_bytes if settings["source"] == "stored" else 0,
    )


def check_gpu(config: Mapping[str, Any], materials: int, cores: int) -> None:
    """
    Refuse a training that requests GPUs on a machine without any, and say how long it would take.

    Parameters
    ----------
    config : mapping
        Checked configuration; `jobs.training_without_gpu` allows such a training.
    materials, cores : int
        Arguments as in `estimate_training`.

    Raises
    ------
    InputError
        One line; the caller puts "training: " before it.
    """
    jobs = config["jobs"]
    present, processes = torch.cuda.device_count(), jobs["training_processes"]
    if not jobs["training_gpus"] or (jobs["training_without_gpu"] and not present):
        return
    if present:
        if processes > present:
            raise InputError(
                f"found {present} GPU(s) for jobs.training_processes {processes}, one a GPU; allowed: at most {present}"
            )
        return
    hours = estimate_training(config, materials, cores).seconds / 3600
    time = f"{hours:,.0f} hours" if hours < 72 else f"{hours / 24:,.0f} days"
    raise InputError(
        f"found no GPU, and jobs.training_gpus {jobs['training_gpus']}; it would take about {time} on "
        f"{cores} cores; allowed: config/laptop.yaml, a machine with a GPU, or jobs.training_without_gpu true"
    )


@dataclass(frozen=True)
class _NetworkCost:
    """Time per pixel of a training step and of a validation [s], kept bytes per pixel, and number of parameters."""

    step: float
    validation: float
    kept: float
    parameters: int


def _measure(config: Mapping[str, Any], share: int, device: str) -> _NetworkCost:
    """Measure steps of at most `share` crops."""
    settings = config["training"]
    network = PotentialNetwork(
        ModelSettings(**config["model"]), settings["output_scale_v"], config["image"]["sampling_angstrom"]
    ).to(device)
    parameters = sum(weight.numel() for weight in network.parameters())
    mixed = torch.autocast(device, torch.bfloat16, enabled=settings["precision"] == "bf16-mixed")
    clock = wall_clock(device)
    cost: _NetworkCost | None = None
    for batch, side in _measured(settings["crop_pixels"], share, device):
        pixels = batch * side**2
        if cost is not None and device == "cpu" and cost.step * pixels > _QUICK:
            break
        inputs = torch.rand(batch, 4, side, side, device=device), torch.full((batch, 4), 30.0, device=device)
        step = partial(_step, network, inputs, settings["loss"])
        predict = partial(_predict, network, inputs)
        with mixed:
            times = (timed(step, clock) / pixels, timed(predict, clock) / pixels)
        cost = _NetworkCost(*times, kept_bytes(network, partial(network, *inputs)) / pixels, parameters)
    assert cost is not None
    return cost


def _measured(crop: int, share: int, device: str) -> list[tuple[int, int]]:
    """Numbers and sides of the crops that are measured, the more precise measurement last."""
    small, large = (min(side, crop) for side in _SIDES)
    if device == "cpu":
        return [(1, small), (max(1, min(share, (_SIDES[-1] // large) ** 2)), large)]
    # A GPU takes as long for small crops as for large ones, because starting its kernels dominates.
    return [(1, small), (min(share, _GPU_CROPS), crop)]


def wall_clock(device: str) -> Clock:
    """Choose the clock of wall time, because processor time adds up over threads."""
    return device_clock(device) if torch.get_num_threads() == 1 or device != "cpu" else time.perf_counter


def _step(network: PotentialNetwork, inputs: tuple[Tensor, Tensor], loss: Mapping[str, float]) -> None:
    prediction, spread = network(*inputs)
    training_loss(prediction, spread, torch.zeros_like(prediction), 1.0, loss).backward()


def kept_bytes(network: nn.Module, run: Callable[[], Any]) -> int:
    """
    Measure the memory that is kept for the gradients; mixed precision keeps less than single precision.

    Parameters
    ----------
    network : Module
        Network, whose own weights do not count.
    run : callable
        Runs the network on some crops, in single precision.

    Returns
    -------
    int
        Memory [bytes].
    """
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = run()
    own = {weight.untyped_storage().data_ptr() for weight in network.parameters()}
    size = sum(size for pointer, size in kept.items() if pointer not in own)
    # All tensors are kept alive until here, because the address of a freed one would be used again.
    del result
    return size


def _predict(network: PotentialNetwork, inputs: tuple[Tensor, Tensor]) -> None:
    with torch.inference_mode():
        network(*inputs)


def _record_seconds(config: Mapping[str, Any], device: str) -> float:
    """Time to draw the noise of one crop [s]."""
    pixels, crop = config["image"]["pixels"], config["training"]["crop_pixels"]
    segments = torch.full((4, pixels, pixels), 0.1, device=device)
    dose = math.sqrt(math.prod(config["noise"]["training_dose"]))
    acquisition, window = Acquisition(**config["noise"]["acquisition"]), (slice(crop), slice(crop))
    sampling, rng = config["image"]["sampling_angstrom"], np.random.default_rng(0)
    return timed(lambda: record(segments, dose, sampling, acquisition, rng, window), wall_clock(device))
