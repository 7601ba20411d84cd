"""Time and memory that jobs request from a cluster: upper bounds from the configuration, without measurements.

Imports only NumPy and SciPy, because the Snakefile uses it. `iphasenet.planning.plan` measures and is more precise.
"""

import math
from collections.abc import Mapping
from typing import Any

from iphasenet.multislice.settings import Numerics
from iphasenet.planning.disk import PARAMETERS, USUAL_CELL, image_bytes, material_samples, sample_bytes, store_bytes
from iphasenet.simulation.drawn_optics import PlannedOptics
from iphasenet.simulation.grid import Grid

Config = Mapping[str, Any]

_SHORTEST = 10
"""Time to load the libraries from a slow file system [minutes]."""

_MARGIN = 1.5
"""Safety factor, about the difference between cores."""

_STILL_SECONDS = 49_000 / (64**2 * 0.797**2 * 1500 / 0.025**2)
"""
Time of a tilt of atoms at rest over window² x aperture radius² (together the number of plane waves) x thickness /
pixel²: estimated for LiCoO2, the slowest of the five crystals, with 0.025 Å and 64 Å on one core (docs/benchmarks.md)
[s].
"""

_PASS_SECONDS = 500 / (48**2 * 0.797**2 * 1500 / 0.08**2)
"""The same for a pass through moving atoms: GaN, the slowest in config/config.yaml [s]."""

_COARSE_SHARE = 0.1
"""Time of a coarse pass as a share of a pass: of crystals whose passes take long, 0.06 to 0.1."""

_SAMPLE_SECONDS = 0.045 / 256**2
"""Time to render and write a pixel of a sample, from docs/dataset.md [s]."""

_COPIED = 20e6
"""Speed of a slow file system [bytes / s]."""

_STEP_SECONDS = 8e-6 / 12
"""Time of one core in a training step, over pixels and feature_size, from docs/training.md [s]."""

_GPU_CORES = 40
"""Smallest number of cores that one GPU replaces, an assumption."""

_VALIDATION = 1 / 3
"""Time of a prediction over that of a training step."""

_SCORE_SECONDS = 5.6e-6
"""Time to score a pixel of a noisy image for the network and all baselines, from docs/evaluation.md [s]."""

_STEP_BYTES = 210
"""Memory that a step keeps for its gradients in single precision, over pixels and feature_size [bytes]."""

_WEIGHT_BYTES = 16 * PARAMETERS
"""Memory of weights, gradients and two moments, over feature_size² [bytes]."""

PROCESS_BYTES = 600_000_000
"""Memory of Python, torch and the other libraries of a job, as measured [bytes]."""

_MOST_PROCESS_BYTES = 700e6
"""Largest memory of Python, torch and the other libraries of a job [bytes]."""


def images_minutes(config: Config) -> int:
    """Run time of a job of rule simulate_images [minutes]."""
    tilts = min(config["jobs"]["tilts_per_job"], Grid(**config["grid"]).tilts)
    warm = config["simulation"].get("temperature_k", 0) > 0
    # As many passes through moving atoms as are allowed.
    numerics = _numerics(config)
    passes = numerics.thermal_passes * (1 + _COARSE_SHARE * numerics.thermal_coarse_passes)
    seconds = passes * _PASS_SECONDS if warm else _STILL_SECONDS
    return _minutes(tilts * seconds * _tilt_work(config))


def windows_minutes(config: Config) -> int:
    """Run time of a job of rule compare_windows, which simulates one tilt in several windows [minutes]."""
    # Of the mean potential, whose images have no noise.
    works = sum(factor**2 for factor in config["evaluation"]["window_factors"]) * _tilt_work(config)
    return _minutes(works * _STILL_SECONDS)


def simulation_mb(config: Config) -> int:
    """Memory of a simulation job: the limit of the multislice, and Python with torch [MB]."""
    return math.ceil(config["simulation"]["multislice"]["memory_mb"]) + 1000


def rendering_minutes(config: Config) -> int:
    """Run time of a job of rule render_samples [minutes]."""
    samples = sum(material_samples(Grid(**config["grid"])).values())
    return _minutes(samples * config["image"]["pixels"] ** 2 * _SAMPLE_SECONDS * 2)


def rendering_mb(config: Config) -> int:
    """Memory of a job of rule render_samples: all images of a material, and some samples [MB]."""
    images = config["grid"]["tilts"] * image_bytes(USUAL_CELL, config)
    samples = 10 * sample_bytes(config, len(config["noise"]["evaluation_doses"]))
    return 1500 + math.ceil((images + samples) / 1e6)


def assembly_minutes(config: Config, materials: int) -> int:
    """Run time of a job that copies or reads the whole data set [minutes]."""
    return _minutes(materials * store_bytes(config) / _COPIED)


def training_minutes(config: Config, materials: int) -> int:
    """Run time of the training, `jobs.training_minutes` if that is a number [minutes]."""
    jobs, settings = config["jobs"], config["training"]
    if jobs["training_minutes"] != "auto":
        return int(jobs["training_minutes"])
    samples = material_samples(Grid(**config["grid"]))
    crops = samples["train"] * settings["crops_per_sample"] * settings["crop_pixels"] ** 2
    images = samples["validation"] * len(config["noise"]["evaluation_doses"]) * config["image"]["pixels"] ** 2
    work = settings["epochs"] * materials * (crops + _VALIDATION * images) * _STEP_SECONDS
    return _minutes(work * config["model"]["feature_size"] / _speed(config) * 2)


def training_mb(config: Config, materials: int) -> int:
    """Memory of the training on each of its machines, `jobs.training_mem_mb` if that is a number [MB]."""
    jobs, settings = config["jobs"], config["training"]
    if jobs["training_mem_mb"] != "auto":
        return int(jobs["training_mem_mb"])
    samples, doses = material_samples(Grid(**config["grid"])), len(config["noise"]["evaluation_doses"])
    process = _MOST_PROCESS_BYTES
    if not jobs["training_stream"]:
        train, validation = (
            samples["train"] * sample_bytes(config, 0),
            samples["validation"] * sample_bytes(config, doses),
        )
        process += materials * (train + validation)
    if not jobs["training_gpus"]:
        width, share = config["model"]["feature_size"], settings["batch_size"] / training_processes(config)
        process += _WEIGHT_BYTES * width**2 + _STEP_BYTES * width * math.ceil(share) * settings["crop_pixels"] ** 2
    return math.ceil(1.3 * jobs["training_processes"] * process / 1e6)


def prediction_minutes(config: Config) -> int:
    """Run time of a job that predicts the test samples of one material [minutes]."""
    pixels = _test_images(config) * config["evaluation"]["turns"] * config["image"]["pixels"] ** 2
    speed = _GPU_CORES if config["jobs"]["simulation_gpus"] else config["jobs"]["evaluation_threads"]
    return _minutes(pixels * _VALIDATION * _STEP_SECONDS * config["model"]["feature_size"] / speed * 2)


def scoring_minutes(config: Config) -> int:
    """Run time of a job that scores the predictions of one material [minutes]."""
    return _minutes(_test_images(config) * config["image"]["pixels"] ** 2 * _SCORE_SECONDS * 2)


def evaluation_mb(config: Config) -> int:
    """Memory of a job that predicts or scores the test samples of one material [MB]."""
    doses = len(config["noise"]["evaluation_doses"])
    samples = material_samples(Grid(**config["grid"]))["test"]
    # Predictions with their spread in single precision, twice while they are joined.
    predicted = 2 * 2 * 4 * doses * config["image"]["pixels"] ** 2
    batch = _STEP_BYTES * config["model"]["feature_size"] * config["image"]["pixels"] ** 2
    return math.ceil(1.3 * (_MOST_PROCESS_BYTES + samples * (sample_bytes(config, doses) + predicted) + batch) / 1e6)


def training_processes(config: Config) -> int:
    """Training processes on all machines."""
    return int(config["jobs"]["training_processes"] * config["jobs"]["training_nodes"])


def _tilt_work(config: Config) -> float:
    """Window² x aperture radius² x thickness / pixel² of a tilt."""
    optics, numerics = PlannedOptics.of(config).widest, _numerics(config)
    waves = (numerics.window_angstrom * optics.frequency(optics.semiangle_mrad)) ** 2
    depth = 10 * max(config["grid"]["thickness_nm"])
    return float(waves * depth / numerics.sampling_angstrom**2)


def _numerics(config: Config) -> Numerics:
    return Numerics(**config["simulation"]["multislice"])


def _test_images(config: Config) -> int:
    """Count the noisy images of a material's test samples."""
    return material_samples(Grid(**config["grid"]))["test"] * len(config["noise"]["evaluation_doses"])


def _speed(config: Config) -> float:
    """Cores of the training, or those that its GPUs replace."""
    jobs = config["jobs"]
    each = jobs["training_gpus"] * _GPU_CORES or jobs["training_threads"]
    return float(each * jobs["training_nodes"])


def _minutes(seconds: float) -> int:
    return _SHORTEST + math.ceil(_MARGIN * seconds / 60)
