"""Estimate of what a run will cost on this machine."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iphasenet.base.devices import choose_device, use_threads
from iphasenet.base.errors import InputError
from iphasenet.crystal.structure import crystal_cell
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.multislice.settings import Numerics
from iphasenet.planning.configuration import potential_image_sampling, temperature
from iphasenet.planning.disk import Part, free_bytes, image_parts, material_samples, remaining_bytes, run_parts
from iphasenet.planning.job_resources import PROCESS_BYTES
from iphasenet.planning.rendering_cost import estimate_rendering
from iphasenet.planning.run_jobs import run_jobs
from iphasenet.planning.tilt_cost import TiltCost, estimate_tilt
from iphasenet.simulation.drawn_optics import PlannedOptics
from iphasenet.simulation.grid import Grid, Split, generator, orientations, samples
from iphasenet.simulation.truth import configured_truth, truth_potential

if TYPE_CHECKING:
    from iphasenet.planning.training_cost import TrainingCost

_MEASURED = 30
"""Largest number of materials that are measured; of a larger corpus, as many are drawn at random."""

_LAUNCHER_BYTES = 300_000_000
"""Memory of the process that starts and watches the training processes [bytes]."""


@dataclass(frozen=True)
class MaterialPlan:
    """
    Work for one material.

    Attributes
    ----------
    name : str
        Name of the material.
    lengths : (float, float)
        Periods of its cell along x and y [Å].
    jobs, slabs : int
        Numbers of simulation jobs: of periodic images, and of slabs of atoms, whose time is not estimated.
    tilt : TiltCost, optional
        Cost of one tilt of periodic images, if there are any.
    longest_job, simulation : float
        Estimated times of one core [s]: of a full simulation job, and of all simulations.
    rendering : float, optional
        The same of rendering all samples [s]; None if the run renders none.
    """

    name: str
    lengths: tuple[float, float]
    jobs: int
    slabs: int
    tilt: TiltCost | None
    longest_job: float
    simulation: float
    rendering: float | None


@dataclass(frozen=True)
class RunPlan:
    """
    Work, memory and disk of a run.

    Attributes
    ----------
    run : str
        Name of the run.
    cores : int
        Cores that it may use.
    device : str
        Torch device of the simulations.
    samples : dict of int
        Samples of all materials in each split; empty if the run makes none.
    crystals : int
        Materials of the run.
    materials : tuple of MaterialPlan
        Work of the simulation, of some materials if there are many; empty if the data set comes from another run.
    training : TrainingCost, optional
        Work of the training; None if the network comes from another run.
    parts : tuple of Part
        Parts of the run on disk, with their sizes before compression.
    needed, free : int
        Disk that is still to be filled, and that is free [bytes].
    place : path
        Folder on the disk that was examined.
    job_bytes, training_bytes, reserved_bytes : float
        Largest memory of a simulation job, memory of all training processes, and the memory that training reserves
        [bytes].
    training_gpus : int
        GPUs that the training reserves.
    jobs : dict of int
        Jobs of the whole run by rule.
    """

    run: str
    cores: int
    device: str
    samples: dict[Split, int]
    crystals: int
    materials: tuple[MaterialPlan, ...]
    training: "TrainingCost | None"
    parts: tuple[Part, ...]
    needed: int
    free: int
    place: Path
    job_bytes: float
    training_bytes: float
    reserved_bytes: float
    training_gpus: int
    jobs: dict[str, int]

    @property
    def simulation(self) -> tuple[float, float]:
        """Time of all simulations: of one core, and on all cores of the run [s]."""
        return self._shared([m.simulation for m in self.materials], [m.longest_job for m in self.materials])

    @property
    def rendering(self) -> tuple[float, float]:
        """Time of rendering all samples: of one core, and on all cores of the run [s]."""
        times = [m.rendering or 0.0 for m in self.materials]
        return self._shared(times, times)

    @property
    def renders(self) -> bool:
        """Whether samples are rendered."""
        return any(m.rendering is not None for m in self.materials)

    def _shared(self, times: Sequence[float], jobs: Sequence[float]) -> tuple[float, float]:
        every = sum(times) * self.crystals / max(1, len(self.materials))
        return every, max([every / self.cores, *jobs])


def make_plan(
    config: Mapping[str, Any],
    materials: Sequence[str],
    cores: int,
    startup: float,
    results: str | Path,
) -> RunPlan:
    """
    Plan a run: measure a small part of each material's simulation and of the training, and scale it.

    Parameters
    ----------
    config : mapping
        Checked configuration.
    materials : sequence of str
        Materials of the run.
    cores : int
        Cores that the run may use.
    startup : float
        Time of one core to start a job [s].
    results : path
        Folder of the run's results; it need not exist.

    Returns
    -------
    RunPlan
        Plan of the whole run, including what exists already, without what `dataset` and `trained` take from others;
        InputError if a job of a measured material would raise one.
    """
    device = choose_device(config["simulation"]["device"])
    # As in the workflow's simulation jobs.
    with use_threads(1):
        simulated = () if "dataset" in config else _some(materials)
        plans = tuple(_material_plan(config, name, device, startup) for name in simulated)
    lengths = _lengths(materials, plans)
    parts = run_parts(config, materials, lengths)
    training, jobs = None, config["jobs"]
    if "trained" not in config:
        training = _training(config, materials, lengths, cores)
    free, place = free_bytes(results)
    counts = {} if "column_network" in config else material_samples(Grid(**config["grid"]))
    return RunPlan(
        run=config["run"],
        cores=cores,
        device=device,
        samples={split: count * len(materials) for split, count in counts.items()},
        crystals=len(materials),
        materials=plans,
        training=training,
        parts=tuple(parts),
        needed=remaining_bytes(parts, results),
        free=free,
        place=place,
        job_bytes=1e6 * config["simulation"]["multislice"]["memory_mb"] + PROCESS_BYTES,
        training_bytes=0.0 if training is None else _training_bytes(training, jobs),
        reserved_bytes=1e6 * jobs["training_mem_mb"],
        training_gpus=jobs["training_gpus"],
        jobs={rule: len(names) for rule, names in run_jobs(config, materials).items()},
    )


def _some(materials: Sequence[str]) -> Sequence[str]:
    """Materials that are measured, in their order."""
    chosen = generator(0, "", "order").permutation(len(materials))[:_MEASURED]
    return [materials[number] for number in sorted(chosen)]


def _lengths(materials: Sequence[str], plans: Sequence[MaterialPlan]) -> dict[str, tuple[float, float]]:
    """Periods of the materials' cells [Å]: of those that were not measured, of a square of the others' mean area."""
    if not plans:
        return {}
    side = math.sqrt(sum(math.prod(plan.lengths) for plan in plans) / len(plans))
    return {**dict.fromkeys(materials, (side, side)), **{plan.name: plan.lengths for plan in plans}}


def _training(
    config: Mapping[str, Any], materials: Sequence[str], lengths: Mapping[str, tuple[float, float]], cores: int
) -> "TrainingCost":
    """Estimate the training of the run's network."""
    # Loading the network's libraries takes seconds, and no simulation job does.
    if "column_network" not in config:
        from iphasenet.planning.training_cost import estimate_training

        return estimate_training(config, len(materials), cores)
    from iphasenet.planning.column_cost import estimate_column_training

    return estimate_column_training(config, sum(part.size for part in image_parts(config, materials, lengths)), cores)


def _training_bytes(training: "TrainingCost", jobs: Mapping[str, Any]) -> float:
    """Memory of all training processes [bytes]; with GPUs, the host's memory holds only the data."""
    process = training.process_bytes + (0.0 if jobs["training_gpus"] else training.step_bytes)
    return float(jobs["training_processes"] * process + _LAUNCHER_BYTES)


def _material_plan(config: Mapping[str, Any], name: str, device: str, startup: float) -> MaterialPlan:
    settings, simulation, grid = config["materials"][name], config["simulation"], Grid(**config["grid"])
    numerics, size = Numerics(**simulation["multislice"]), config["jobs"]["tilts_per_job"]
    with _named(f"potential of {name}"):
        potential = sampled_potential(
            crystal_cell(settings, temperature_k=temperature(config)),
            numerics.sampling_angstrom,
            potential_image_sampling(config),
            simulation["parametrization"],
        )
        truth = truth_potential(potential, configured_truth(config))
    every = orientations(config["seed"], name, grid)
    periodic = [orientation for orientation in every if orientation.is_periodic]
    tilt = None
    if periodic:
        depths = [10 * thickness for thickness in grid.thickness_nm]
        first, microscope = periodic[0], PlannedOptics.of(config).widest
        with _named(f"images of {name}"):
            tilt = estimate_tilt(potential, microscope, numerics, depths, first.lean, first.rotations_deg, device)
    rendering = None
    if "column_network" not in config:
        rendering = startup + estimate_rendering(config, name, samples(config["seed"], name, grid), truth)
    jobs, each = len({one.index // size for one in periodic}), 0.0 if tilt is None else tilt.seconds
    return MaterialPlan(
        name,
        (potential.lengths[0], potential.lengths[1]),
        jobs,
        len(every) - len(periodic),
        tilt,
        longest_job=startup + min(size, len(periodic)) * each,
        simulation=jobs * startup + len(periodic) * each,
        rendering=rendering,
    )


@contextmanager
def _named(stage: str) -> Iterator[None]:
    """Add the name of the stage that would refuse its input."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{stage}: {error}") from error
