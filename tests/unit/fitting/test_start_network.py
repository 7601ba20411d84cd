"""The network that guesses where a search begins."""

import json
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from safetensors.torch import save

from iphasenet.base.errors import InputError
from iphasenet.base.marks import START, is_marked_file
from iphasenet.fitting.limits import Limits
from iphasenet.fitting.simulation_cache import crystal_key
from iphasenet.fitting.start_network import (
    Start,
    StartNetwork,
    features,
    load_start,
    looked_at,
    save_start,
)
from iphasenet.fitting.start_training import StartSamples, train_start
from iphasenet.fitting.task import Task
from iphasenet.microscope.optics import Microscope

MICROSCOPE = Microscope(200, 20, 10, 50)


def cold_task(reach: float = 0.8) -> Task:
    """A crystal of two columns that do not move: fast to simulate, and with a lower symmetry than its lattice."""
    cell = Atoms("GaN", [(0, 0, 0), (1.3, 0.8, 1.2)], cell=(3.0, 3.6, 2.5), pbc=True)
    limits = Limits(thickness_nm=(5, 15), tilt_reach_deg=reach, defocus_angstrom=(-50, 50))
    return Task(np.zeros((4, 8, 8)), 0.2, MICROSCOPE, cell, limits)


def test_there_are_no_more_processes_than_cores_and_none_of_a_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    task = replace(cold_task(), threads=1000)
    assert task.processes == os.cpu_count()
    assert replace(task, device="cuda").processes == 1
    monkeypatch.setattr(multiprocessing.current_process(), "_config", {"daemon": True})
    assert task.processes == 1


def images(count: int = 3, orders: int = 12) -> torch.Tensor:
    """Coefficients with real means."""
    rng = torch.Generator().manual_seed(1)
    parts = torch.randn(2, count, 4, orders, generator=rng) * 0.02
    parts[0, :, :, 0], parts[1, :, :, 0] = 0.2, 0.0
    return torch.complex(*parts)


def test_features_do_not_depend_on_offset_and_intensity() -> None:
    clean, noise, rotation = images(), torch.full((3,), 0.01), torch.tensor([0.0, 20.0, 70.0])
    phases = torch.exp(2j * torch.pi * torch.arange(12) * 0.137)
    moved = 0.83 * clean * phases
    assert torch.allclose(features(moved, noise, rotation), features(clean, noise, rotation), atol=2e-5)


def test_features_tell_segments_apart() -> None:
    clean, noise, rotation = images(), torch.full((3,), 0.01), torch.tensor([0.0, 20.0, 70.0])
    mirrored = clean[:, [1, 0, 3, 2]]
    assert not torch.allclose(features(mirrored, noise, rotation), features(clean, noise, rotation), atol=0.05)


def test_coefficients_of_low_frequencies_are_looked_at_the_mean_first() -> None:
    h, k = (part.ravel() for part in np.meshgrid(np.arange(-15, 16), np.arange(0, 16)))
    orders = np.stack([h, k], axis=1)[np.lexsort((h, k, (h != 0) | (k != 0)))]
    chosen = orders[looked_at(orders, (10.0, 20.0))]
    frequency = np.hypot(orders[:, 0] / 10, orders[:, 1] / 20)
    assert (chosen[0] == 0).all()
    assert np.hypot(chosen[:, 0] / 10, chosen[:, 1] / 20).max() <= np.sort(frequency)[len(chosen)]


def test_samples_lie_within_the_limits_and_are_drawn_anew_for_each_number() -> None:
    samples = StartSamples(cold_task())
    found = [samples.made(number) for number in range(4)]
    for coefficients, wanted, rotation in found:
        assert coefficients.shape == (len(wanted), 4, len(samples.orders))
        assert np.hypot(wanted[:, 0], wanted[:, 1]).max() * 0.5 <= 0.8 * 1.1 + 1e-3
        depths = 500 * np.exp(wanted[:, 2])
        assert depths.min() > 40
        assert depths.max() < 180
        assert 0 <= rotation < 360
    assert len({rotation for _, _, rotation in found}) == 4
    again = samples.made(2)
    assert (again[0] == found[2][0]).all()


def test_training_finds_tilts_that_it_has_not_seen(tmp_path: Path) -> None:
    task = cold_task()
    start = train_start(task, 60, steps=200)
    # Guesses of the middle are wrong by 0.62° in the median.
    assert start.described["tilt_error_deg"]["median"] < 0.4
    save_start(tmp_path / "start.safetensors", start)
    assert is_marked_file(tmp_path / "start.safetensors", START)
    again = load_start(tmp_path / "start.safetensors")
    assert again.described == json.loads(json.dumps(start.described))
    assert again.knows(task.cell, task.microscope)
    for name, tensor in start.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], tensor)


def test_a_network_knows_its_crystal_and_microscope_alone() -> None:
    task = cold_task()
    start = Start(StartNetwork(5).eval(), crystal_key(task.cell, task.microscope), {})
    assert start.knows(task.cell, task.microscope)
    assert not start.knows(task.cell, replace(task.microscope, energy_kev=300.0))
    wider = task.cell.copy()
    wider.set_cell([3.0, 3.6, 2.51])
    assert not start.knows(wider, task.microscope)


@pytest.mark.parametrize("content", [b"", b"no network", save({"mean": torch.zeros(3)}, {"start": "{}"})])
def test_a_file_that_is_no_network_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "start.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"start\.safetensors: found no usable network .*allowed: a file written by"):
        load_start(path)
