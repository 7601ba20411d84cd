"""Simulation of a corpus by many processes, which share the GPU and the CPU's cores."""

import math
import multiprocessing
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.context import one_line
from benchmarks.gpu.corpus import FOLDER, Corpus, planned_tilts, read_corpus
from benchmarks.gpu.layout import ROOT
from iphasenet.multislice.periodic_images import save_images, simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.simulation.drawn_optics import PlannedOptics
from iphasenet.simulation.grid import Orientation, random_key

Done = tuple[str, int, str, float]
"""Material, index of the tilt, device or what failed, time [s]."""


@dataclass(frozen=True)
class Task:
    """A tilt of a material that is to be simulated."""

    material: str
    tilt: Orientation


class Simulator:
    """Simulations of one process, on one device, until their time is over."""

    corpus: Corpus
    device: str
    folder: Path
    until: float

    @classmethod
    def begin(cls, devices: Any, folder: Path, until: float) -> None:
        """Take a device, and read the corpus."""
        torch.set_num_threads(1)
        cls.device, cls.folder, cls.until = devices.get(), folder, until
        cls.corpus = read_corpus(ROOT / "data" / FOLDER, with_images=False)

    @classmethod
    def simulate(cls, task: Task) -> Done | None:
        """Simulate a tilt; None if it was too late. One that fails does not stop the others."""
        started = time.monotonic()
        if started > cls.until:
            return None
        try:
            cls._simulate(task)
        except Exception as error:
            return task.material, task.tilt.index, one_line(error), 0.0
        return task.material, task.tilt.index, cls.device, time.monotonic() - started

    @classmethod
    def _simulate(cls, task: Task) -> None:
        config, name, tilt = cls.corpus.configuration, task.material, task.tilt
        images = simulate_images(
            cls.corpus.potentials[name],
            PlannedOptics.of(config).rotations(name, tilt.index, len(tilt.rotations_deg)),
            Numerics(**config["simulation"]["multislice"]),
            [10 * thickness for thickness in config["grid"]["thickness_nm"]],
            tilt.lean,
            tilt.rotations_deg,
            cls.device,
            seed=random_key(config["seed"], name, "thermal", tilt.index),
        )
        place = cls.folder / "images" / name
        place.mkdir(parents=True, exist_ok=True)
        save_images(place / f"batch{tilt.index}.npz", [images])


def planned_tasks(corpus: Corpus) -> list[Task]:
    """All tilts that train or validate and are not there: one more of each material, those that validate first."""
    config, found = corpus.configuration, list[tuple[int, bool, Task]]()
    for name, split in corpus.splits.items():
        there = corpus.images.get(name, {})
        tilts = [tilt for tilt in planned_tilts(config, name, split) if tilt.index not in there]
        found += [(order, split == "train", Task(name, tilt)) for order, tilt in enumerate(tilts)]
    return [task for *_, task in sorted(found, key=lambda one: one[:2])]


def simulated(tasks: Sequence[Task], device: str, folder: Path, until: float) -> list[Done]:
    """
    Simulate as many tilts as time allows.

    Parameters
    ----------
    tasks : sequence of Task
        Tilts, the most important ones first.
    device : {'cpu', 'cuda'}
        With a GPU, most of the processes use it: on an H200, each of eight simulated nine tilts while one on a core
        of its own simulated one.
    folder : path
        Folder of the data, in which `images` appears.
    until : float
        When to end (`time.monotonic`) [s].

    Returns
    -------
    list of Done
        Those that were simulated.
    """
    spawn, done = multiprocessing.get_context("spawn"), list[Done]()
    processes = max(1, len(os.sched_getaffinity(0)) - 1)
    on_gpu = 0 if device == "cpu" else math.ceil(0.8 * processes)
    devices = spawn.Queue()
    for number in range(processes):
        devices.put("cuda" if number < on_gpu else "cpu")
    with spawn.Pool(processes, Simulator.begin, (devices, folder, until)) as pool:
        # What is not done in time is not waited for: the pool ends its processes.
        found = pool.imap_unordered(Simulator.simulate, tasks)
        with suppress(multiprocessing.TimeoutError):
            while len(done) < len(tasks):
                one = found.next(max(0.1, until - time.monotonic()))
                if one is None:
                    break
                done.append(one)
    return done
