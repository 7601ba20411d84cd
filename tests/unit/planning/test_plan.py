"""The plan of a run: sizes against real arrays, times and methods against real runs, refusals against real ones."""

import shutil
import subprocess
import sys
import time
from collections import namedtuple
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
import zarr

from iphasenet.base.devices import use_threads
from iphasenet.base.errors import InputError
from iphasenet.base.files import format_bytes
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.crystal.structure import orthogonal_cell, read_structure
from iphasenet.dataset.writer import write_material
from iphasenet.microscope.acquisition import Acquisition, FixedNoise
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice import scattering_matrix
from iphasenet.multislice.detection import image_grid
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.multislice.periodic_images import simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.network.column_network import ColumnNetwork
from iphasenet.network.column_settings import ColumnModel
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.settings import ModelSettings
from iphasenet.planning.disk import check_disk, image_bytes, image_orders, run_parts, store_bytes
from iphasenet.planning.plan import RunPlan, make_plan
from iphasenet.planning.plan_table import duration, plan_text
from iphasenet.planning.tilt_cost import estimate_tilt
from iphasenet.planning.training_cost import estimate_training, kept_bytes
from iphasenet.simulation.grid import Grid, samples
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Rendered, sample_metadata

ROOT = Path(__file__).parents[3]
MICROSCOPE = Microscope(energy_kev=200, semiangle_mrad=20, detector_inner_mrad=10, detector_outer_mrad=50)
TILT = (0.003, -0.002)

Usage = namedtuple("Usage", "total used free")


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """As Snakemake merges configuration files."""
    both = base.keys() & over.keys()
    nested = {key: merged(base[key], over[key]) for key in both if isinstance(base[key], dict)}
    return {**base, **over, **nested}


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The tiny configuration; paths in it are relative to the repository."""
    monkeypatch.chdir(ROOT)
    files = (ROOT / "config" / "config.yaml", ROOT / "tests" / "workflow" / "tiny.yaml")
    return merged(*(yaml.safe_load(file.read_text()) for file in files))


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """As the simulation jobs."""
    with use_threads(1):
        yield


def potential_of(material: str, sampling: float, temperature_k: float = 0) -> CrystalPotential:
    path = ROOT / "resources" / "structures" / f"{material}.cif"
    cell = orthogonal_cell(read_structure(path, temperature_k=temperature_k))
    return sampled_potential(cell, sampling, 1.0)


@pytest.mark.parametrize("lengths", [(3.19, 5.52), (14.05, 4.88), (4.03, 4.03), (0.9, 40.0)])
@pytest.mark.parametrize("window", [6.0, 25.6, 64.0])
def test_images_have_the_orders_that_their_size_is_planned_with(lengths: tuple[float, float], window: float) -> None:
    cells = [np.ceil(window / length - 1e-9) for length in lengths]
    pixel = max(1 / (n * length) for n, length in zip(cells, lengths, strict=True))
    (mx, my), _ = image_grid(lengths, 2 * MICROSCOPE.frequency(20) + 2 * pixel)
    assert image_orders(lengths, MICROSCOPE, window) == (my, mx)


def test_images_are_as_large_as_planned(config: dict[str, Any]) -> None:
    potential = potential_of("KNbO3", 0.2)
    multislice = config["simulation"]["multislice"]
    numerics = Numerics(0.15, 0.3, multislice["window_angstrom"])
    images = simulate_images(potential, MICROSCOPE, numerics, [20, 40], TILT, [0.0, 90.0])
    assert image_bytes(potential.lengths[:2], config) == images.coefficients.nbytes


def test_stores_are_as_large_as_planned(config: dict[str, Any], tmp_path: Path) -> None:
    grid, image = Grid(**config["grid"]), Image(**config["image"])
    planned = samples(config["seed"], "GaN", grid)
    segments = np.full((4, image.pixels, image.pixels), 0.1, np.float32)
    rendered = (Rendered(segments, segments[0], sample_metadata(s, 20.0, (0.0, 0.0))) for s in planned)
    noise = FixedNoise(config["noise"]["evaluation_doses"], Acquisition())
    write_material(tmp_path / "GaN.zarr", rendered, planned, image, noise, 1, "GaN", {})
    arrays = dict(zarr.open_group(tmp_path / "GaN.zarr", mode="r").arrays())
    written = sum(arrays[name].nbytes for name in ("segments", "potential", "noisy_segments"))
    assert store_bytes(config) == written


def test_slabs_take_the_place_of_images(config: dict[str, Any]) -> None:
    whole = run_parts(config, ["GaN"])[0].size
    config["grid"]["edge_share"] = 1.0
    samples_of_a_tilt = 4
    assert run_parts(config, ["GaN"])[0].size == 3 * samples_of_a_tilt * 5 * 64 * 64 * 4 != whole


def test_sizes_load_no_heavy_library() -> None:
    """The Snakefile imports them."""
    code = "import iphasenet.planning.disk, sys; print({'torch', 'abtem', 'ase', 'zarr', 'monai'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "module", ["evaluation.scores", "evaluation.summary", "reporting.examples", "planning.run_jobs"]
)
def test_what_runs_no_network_loads_no_networks_library(module: str) -> None:
    """Scores, summary and figures are jobs of their own."""
    code = f"import iphasenet.{module}, sys; print({{'monai', 'lightning', 'torchmetrics'}} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_a_full_disk_is_one_line(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    needed = sum(part.size for part in run_parts(config, ["GaN", "KNbO3"]))
    folder = tmp_path / "results" / "tiny"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, needed - 1))
    with pytest.raises(InputError) as error:
        check_disk(config, ["GaN", "KNbO3"], folder)
    line = str(error.value)
    assert line.startswith("disk: found ") and "\n" not in line
    for part in (format_bytes(needed), f"in {tmp_path};", str(folder)):
        assert part in line
    # What is there already needs no more room.
    (folder / "dataset.zarr" / "GaN").mkdir(parents=True)
    (folder / "dataset.zarr" / "GaN" / "c").write_bytes(b"1")
    check_disk(config, ["GaN", "KNbO3"], folder)


def test_only_what_is_made_needs_room(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parts = {part.paths[0]: part.size for part in run_parts(config, ["GaN", "KNbO3"])}
    store = str(tmp_path / "materials/GaN.zarr")
    images = str(tmp_path / "images/GaN/batch0.npz")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, parts["materials/GaN.zarr"]))
    check_disk(config, ["GaN", "KNbO3"], tmp_path, [])
    check_disk(config, ["GaN", "KNbO3"], tmp_path, [store])
    with pytest.raises(InputError, match="disk"):
        check_disk(config, ["GaN", "KNbO3"], tmp_path, [store, images])


@pytest.mark.parametrize(
    ("material", "thickness", "memory", "method"),
    [("GaN", 200.0, 2000.0, "matrices"), ("KNbO3", 80.0, 2000.0, "mixed"), ("KNbO3", 200.0, 8.0, "FFT")],
)
def test_the_method_is_the_simulations(
    material: str, thickness: float, memory: float, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    potential, numerics = potential_of(material, 0.15), Numerics(0.15, 0.3, 8.0, memory)
    cost = estimate_tilt(potential, MICROSCOPE, numerics, [thickness], TILT, [0.0])
    assert cost.method == method
    by_matrices, every = [], []
    original = scattering_matrix.matrix_columns

    def counted(block: Any, *arguments: Any) -> Any:
        by_matrices.append(len(block.orders))
        return original(block, *arguments)

    monkeypatch.setattr(scattering_matrix, "matrix_columns", counted)
    simulate_images(potential, MICROSCOPE, numerics, [thickness], TILT, progress=lambda _, total: every.append(total))
    assert cost.by_matrices == sum(by_matrices)
    assert cost.waves == every[-1]
    assert cost.slices == potential.slicing(0.3).nearest(thickness)


@pytest.mark.parametrize(("material", "sampling", "memory"), [("GaN", 0.1, 2000.0), ("KNbO3", 0.15, 8.0)])
def test_a_tilt_takes_about_as_long_as_estimated(material: str, sampling: float, memory: float) -> None:
    """Measured ratios are 0.8 to 1.3; a factor of 3 leaves room to busy machines."""
    potential, numerics = potential_of(material, sampling), Numerics(sampling, 0.3, 8.0, memory)
    cost = estimate_tilt(potential, MICROSCOPE, numerics, [100.0, 200.0], TILT, [0.0, 90.0])
    started = time.process_time()
    simulate_images(potential, MICROSCOPE, numerics, [100.0, 200.0], TILT, [0.0, 90.0])
    assert 1 / 3 < cost.seconds / (time.process_time() - started) < 3


@pytest.mark.parametrize("passes", [1, 2])
def test_a_tilt_of_moving_atoms_takes_about_as_long_as_estimated(passes: int) -> None:
    """Of as many passes as are assumed; measured ratios are 0.5 to 1.3."""
    potential = potential_of("GaN", 0.12, 293)
    numerics = Numerics(0.12, 0.3, 8.0, thermal_noise=1e-4, thermal_passes=passes)
    cost = estimate_tilt(potential, MICROSCOPE, numerics, [50.0, 100.0], TILT, [0.0, 90.0])
    assert (cost.passes, cost.method) == (passes, "FFT")
    every: list[int] = []
    started = time.process_time()
    simulate_images(
        potential,
        MICROSCOPE,
        numerics,
        [50.0, 100.0],
        TILT,
        [0.0, 90.0],
        progress=lambda done, _: every.append(done),
    )
    assert 1 / 3 < cost.seconds / (time.process_time() - started) < 3
    assert passes * cost.waves == every[-1]
    assert cost.slices == potential.slicing(0.3).nearest(100.0)


def test_more_passes_than_assumed_are_not_planned() -> None:
    potential = potential_of("GaN", 0.15, 293)
    assert estimate_tilt(potential, MICROSCOPE, Numerics(0.15, 0.3, 6.0), [20.0], TILT, [0.0]).passes == 2


@pytest.mark.parametrize("temperature", [0, 293])
@pytest.mark.parametrize(
    "numerics", [Numerics(0.05, 0.3, 30.0, memory_mb=1), Numerics(0.4, 0.3, 8.0)], ids=["memory", "band limit"]
)
def test_a_plan_refuses_what_a_simulation_refuses(numerics: Numerics, temperature: float) -> None:
    potential = potential_of("GaN", 0.15, temperature)
    with pytest.raises(InputError) as real:
        simulate_images(potential, MICROSCOPE, numerics, [200.0], TILT)
    with pytest.raises(InputError) as planned:
        estimate_tilt(potential, MICROSCOPE, numerics, [200.0], TILT, [0.0])
    assert str(planned.value) == str(real.value)


def test_a_plan_names_the_stage_that_refuses(config: dict[str, Any], tmp_path: Path) -> None:
    config["simulation"]["multislice"]["memory_mb"] = 1
    config["simulation"]["multislice"]["sampling_angstrom"] = 0.02
    with pytest.raises(InputError, match=r"^images of GaN: memory: "):
        make_plan(config, ["GaN"], 2, 1.0, tmp_path)
    config["materials"]["GaN"]["zone_axis"] = [9, 8, 7]
    with pytest.raises(InputError, match=r"^potential of GaN: structure: "):
        make_plan(config, ["GaN"], 2, 1.0, tmp_path)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> RunPlan:
    """Plan of the tiny configuration, with two jobs a material of which one has a single tilt."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        files = (ROOT / "config" / "config.yaml", ROOT / "tests" / "workflow" / "tiny.yaml")
        tiny = merged(*(yaml.safe_load(file.read_text()) for file in files))
        return make_plan(tiny, ["GaN", "KNbO3"], 2, 5.0, tmp_path_factory.mktemp("plan") / "results")


def test_a_plan_counts_jobs_and_samples(plan: RunPlan) -> None:
    assert plan.samples == {"train": 8, "validation": 8, "test": 8}
    assert plan.jobs["simulate_images"] == 4 and plan.jobs["render_samples"] == 2 and plan.jobs["train_model"] == 1
    assert "simulate_slabs" not in plan.jobs


def test_what_another_run_made_is_not_planned(config: dict[str, Any], tmp_path: Path) -> None:
    """`dataset` takes simulations and data from one, `trained` the network and the fit of the baselines."""
    data, network = {"compute_potential", "simulate_images", "render_samples", "assemble_dataset"}, {"train_model"}
    trained = make_plan(config | {"trained": "other"}, ["GaN"], 2, 1.0, tmp_path)
    simulated = make_plan(config | {"dataset": "other"}, ["GaN"], 2, 1.0, tmp_path)
    assert data <= trained.jobs.keys() and not network & trained.jobs.keys()
    assert network <= simulated.jobs.keys() and not data & simulated.jobs.keys()
    assert "fit_baselines" in simulated.jobs and "fit_baselines" not in trained.jobs
    names = [{part.name for part in plan.parts} for plan in (trained, simulated)]
    assert names == [{"images", "materials", "data set", "predictions", "rest"}, {"model", "predictions", "rest"}]
    assert "nothing is trained" in plan_text(trained) and "training, 2 epochs" not in plan_text(trained)
    assert "nothing is simulated" in plan_text(simulated) and "training, 2 epochs" in plan_text(simulated)


COLUMNS = {
    "model": {"width": 8, "resolution_angstrom": 0.6},
    "training": {
        "seed": 1, "epochs": 3, "crops_per_epoch": 16, "validation_crops": 8, "crop_pixels": 64, "batch_size": 8,
        "learning_rate": 1e-3, "weight_decay": 0,
    },
}  # fmt: skip


def test_a_network_for_any_crystal_is_planned_without_samples(config: dict[str, Any], tmp_path: Path) -> None:
    made = make_plan(config | {"column_network": COLUMNS}, ["GaN", "KNbO3"], 2, 5.0, tmp_path)
    assert set(made.jobs) == {"compute_potential", "simulate_images", "train_columns", "score_columns"}
    assert {part.name for part in made.parts} == {"images", "model", "rest"}
    assert made.training is not None and (made.training.crops, made.training.epochs) == (16, 3)
    # Those of another run's simulations are read, too.
    other = make_plan(config | {"column_network": COLUMNS, "dataset": "other"}, ["GaN", "KNbO3"], 2, 5.0, tmp_path)
    assert other.training is not None and other.training.process_bytes >= made.training.process_bytes
    text = plan_text(made)
    assert "training, 3 epochs" in text and "samples" not in text and "rendering  " not in text


def test_of_a_corpus_some_crystals_are_measured(config: dict[str, Any], tmp_path: Path) -> None:
    """Forty cells of the same crystal: thirty are measured, and all are added up."""
    names = [f"crystal{number}" for number in range(40)]
    config["materials"] = dict.fromkeys(names, config["materials"]["KNbO3"])
    config["grid"]["thickness_nm"] = [1.0]
    made = make_plan(config | {"column_network": COLUMNS}, names, 2, 5.0, tmp_path)
    assert len(made.materials) == 30 and made.jobs["compute_potential"] == 40
    measured = sum(material.simulation for material in made.materials)
    assert made.simulation[0] == pytest.approx(40 / 30 * measured)
    assert "30 of the 40 materials" in plan_text(made)
    assert sum(part.name == "images" for part in made.parts) == 40


@pytest.mark.parametrize(("width", "blocks", "filters"), [(8, 1, 64), (32, 2, 8), (48, 1, 0), (64, 4, 64), (256, 8, 8)])
def test_disk_of_a_network_for_any_crystal_is_a_bound(
    config: dict[str, Any], width: int, blocks: int, filters: int
) -> None:
    model = {"width": width, "blocks": blocks, "filters": filters, "resolution_angstrom": 0.6}
    parameters = sum(weight.numel() for weight in ColumnNetwork(ColumnModel(**model)).parameters())
    (part,) = (
        part
        for part in run_parts(config | {"column_network": {**COLUMNS, "model": model}}, ["GaN"])
        if part.name == "model"
    )
    # Two checkpoints, each twice while it is replaced, with average and two moments; and the weights.
    assert 1 < part.size / (17 * 4 * parameters) < (5 if width == 8 else 1.25)


def test_a_plan_adds_up(plan: RunPlan) -> None:
    for material in plan.materials:
        assert material.tilt is not None and material.tilt.seconds > 0
        assert material.simulation == pytest.approx(2 * 5.0 + 3 * material.tilt.seconds)
        assert material.longest_job == pytest.approx(5.0 + 2 * material.tilt.seconds)
        assert material.rendering > 5.0
    one, two = plan.simulation
    assert one == pytest.approx(sum(material.simulation for material in plan.materials))
    assert two == pytest.approx(one / 2)
    # No more cores than jobs help.
    assert replace(plan, cores=100).simulation[1] == max(material.longest_job for material in plan.materials)
    assert plan.needed == sum(part.size for part in plan.parts)


def test_a_table_fits_a_terminal_and_says_what_is_missing(plan: RunPlan) -> None:
    text = plan_text(replace(plan, place=Path("results"), free=plan.needed, reserved_bytes=plan.training_bytes))
    assert max(map(len, text.splitlines())) <= 100
    for part in ("samples  24: 8 train, 8 validation, 8 test", "4 simulate_images", "training, 2 epochs", ": enough"):
        assert part in text
    assert "raise jobs.training_mem_mb" not in text and "slabs" not in text
    text = plan_text(replace(plan, free=plan.needed - 1, reserved_bytes=plan.training_bytes - 1))
    assert ": NOT ENOUGH" in text and "raise jobs.training_mem_mb" in text


def test_a_plan_says_that_moving_atoms_may_take_longer(plan: RunPlan) -> None:
    told = " ".join(plan_text(plan).split())
    assert "Atoms move: times are those of 2 passes" in told and "thermal_passes" in told
    still = tuple(replace(one, tilt=replace(one.tilt, passes=0)) for one in plan.materials if one.tilt)
    assert "Atoms move" not in plan_text(replace(plan, materials=still))


def test_slabs_are_counted_and_said_to_be_unknown(config: dict[str, Any], tmp_path: Path) -> None:
    config["grid"]["edge_share"] = 1.0
    plan = make_plan(config, ["GaN"], 2, 5.0, tmp_path)
    assert plan.jobs["simulate_slabs"] == 3 and "simulate_images" not in plan.jobs
    assert plan.materials[0].tilt is None
    assert "3 slabs of atoms" in plan_text(plan)


def test_images_kept_on_a_gpu_are_planned(config: dict[str, Any], plan: RunPlan) -> None:
    """Those of training alone, in single precision; rendered and streamed crops keep none."""
    kept = 8 * 64 * 64 * 5 * 4
    assert estimate_training(config, 2, 1).gpu_images_bytes == kept
    for part, change in (("training", {"source": "rendered"}), ("jobs", {"training_stream": True})):
        assert estimate_training(config | {part: config[part] | change}, 2, 1).gpu_images_bytes == 0
    assert f"and {format_bytes(kept)} of images" in plan_text(replace(plan, training_gpus=1))
    assert "of images" not in plan_text(plan)


def test_training_is_scaled_by_what_it_does(config: dict[str, Any]) -> None:
    cost = estimate_training(config, 2, 1)
    # 8 training samples, 2 crops each, in batches of 4; 8 validation samples of one dose.
    assert (cost.crops, cost.images, cost.epochs) == (16, 8, 2)
    config["training"]["epochs"], config["image"]["pixels"] = 200, 128
    more = estimate_training(config, 2, 1)
    # A hundred times as often, on validation images four times as large; times vary.
    assert 25 < more.seconds / cost.seconds < 800
    assert more.process_bytes - cost.process_bytes == 3 * 64 * 64 * (16 * 5 * 4 + 8 * 4 * 2)


def test_memory_of_a_step_grows_with_its_crops() -> None:
    """Were the weights counted, four crops would take less than three times as much."""
    network = PotentialNetwork(ModelSettings(12))
    one, four = (kept_bytes(network, partial(network, torch.rand(n, 4, 64, 64), torch.ones(n, 4))) for n in (1, 4))
    assert 3.5 < four / one < 4.1


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.0 s"), (9.96, "10 s"), (99.6, "1.7 min"), (3600.0, "60 min"), (8e6, "2,222 h")]
)
def test_durations_have_a_fitting_unit(value: float, text: str) -> None:
    assert duration(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e4, "10 kB"), (9.96e6, "10 MB"), (9.996e8, "1.0 GB"), (2.6e10, "26 GB"), (5.4e15, "5,400 TB")],
)
def test_sizes_have_a_fitting_unit(value: float, text: str) -> None:
    assert format_bytes(value) == text
