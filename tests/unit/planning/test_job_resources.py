"""What jobs ask for grows with what they do."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from iphasenet.planning import job_resources

ROOT = Path(__file__).parents[3]


def configuration(**changes: Any) -> dict[str, Any]:
    """The published grid with some keys changed: `training.epochs` is written `training__epochs`."""
    config = copy.deepcopy(yaml.safe_load((ROOT / "config" / "config.yaml").read_text()))
    for path, value in changes.items():
        *sections, key = path.split("__")
        section = config
        for name in sections:
            section = section[name]
        section[key] = value
    return config


def beyond(minutes: float) -> float:
    """Without what every job gets."""
    return minutes - 10


def test_a_tilt_of_the_slowest_crystal_fits_with_a_margin() -> None:
    """Passes of GaN in config/config.yaml; at rest, LiCoO2 at 0.025 Å, and PVSK at the published pixel."""
    numerics = configuration()["simulation"]["multislice"]
    passes = numerics["thermal_passes"] * (1 + 0.1 * numerics["thermal_coarse_passes"])
    assert 1.4 * 500 < 60 * beyond(job_resources.images_minutes(configuration())) / passes < 2 * 500
    fine = {"sampling_angstrom": 0.025, "window_angstrom": 64, "slice_thickness_angstrom": 0.3, "memory_mb": 2000}
    still = {"simulation__temperature_k": 0, "simulation__multislice": fine}
    assert 1.4 * 49_000 < 60 * job_resources.images_minutes(configuration(**still)) < 2 * 49_000
    published = {"sampling_angstrom": 0.1, "window_angstrom": 25.6, "slice_thickness_angstrom": 0.3, "memory_mb": 2000}
    assert 81 < 60 * job_resources.images_minutes(configuration(**still | {"simulation__multislice": published})) < 3600


@pytest.mark.parametrize(
    ("key", "old", "new", "factor"),
    [
        ("simulation__multislice__window_angstrom", 480, 960, 4),
        ("simulation__multislice__sampling_angstrom", 0.01, 0.005, 4),
        ("grid__thickness_nm", [1500], [20, 3000], 2),
        ("jobs__tilts_per_job", 10, 30, 3),
        ("jobs__tilts_per_job", 43, 1000, 1),
    ],
)
def test_simulation_time_follows_its_cost(key: str, old: Any, new: Any, factor: float) -> None:
    before, after = (job_resources.images_minutes(configuration(**{key: value})) for value in (old, new))
    assert beyond(after) == pytest.approx(factor * beyond(before), rel=0.01)


def test_moving_atoms_get_time_for_all_passes() -> None:
    """Larger windows are compared by the mean potential, which is passed once."""
    few, many = (
        configuration(simulation__multislice__thermal_passes=passes, evaluation__window_factors=[9])
        for passes in (20, 60)
    )
    assert beyond(job_resources.images_minutes(many)) == pytest.approx(
        3 * beyond(job_resources.images_minutes(few)), rel=0.01
    )
    assert job_resources.windows_minutes(many) == job_resources.windows_minutes(few)


@pytest.mark.parametrize(
    ("key", "old", "new", "factor"),
    [
        ("jobs__training_gpus", 1, 4, 1 / 4),
        ("jobs__training_nodes", 1, 2, 1 / 2),
        ("model__feature_size", 24, 48, 2),
        ("training__epochs", 100, 200, 2),
    ],
)
def test_training_time_follows_its_cost(key: str, old: Any, new: Any, factor: float) -> None:
    before, after = (job_resources.training_minutes(configuration(**{key: value}), 5) for value in (old, new))
    assert beyond(after) == pytest.approx(factor * beyond(before), rel=0.01)


def test_training_memory_holds_the_data_of_every_process() -> None:
    """`snakemake plan` measures 19 GB for two processes with GPUs."""
    full = job_resources.training_mb(configuration(), 5)
    assert 19_000 < full < 32_000
    assert job_resources.training_mb(configuration(jobs__training_processes=4), 5) == pytest.approx(2 * full, abs=1)
    assert job_resources.training_mb(configuration(jobs__training_stream=True), 5) < 3000
    assert job_resources.training_mb(configuration(jobs__training_gpus=0), 5) > full + 10_000


def test_numbers_that_are_given_are_kept() -> None:
    config = configuration(jobs__training_minutes=7, jobs__training_mem_mb=123)
    assert (job_resources.training_minutes(config, 5), job_resources.training_mb(config, 5)) == (7, 123)


def test_larger_images_take_more_to_render_copy_and_predict() -> None:
    small, large = configuration(), configuration(image__pixels=1024)
    assert job_resources.rendering_minutes(large) > job_resources.rendering_minutes(small)
    assert job_resources.rendering_mb(large) > job_resources.rendering_mb(small)
    assert beyond(job_resources.assembly_minutes(large, 5)) > 10 * beyond(job_resources.assembly_minutes(small, 5))
    for minutes in (job_resources.prediction_minutes, job_resources.scoring_minutes):
        assert beyond(minutes(large)) == pytest.approx(16 * beyond(minutes(small)), abs=16)
    threaded = configuration(image__pixels=1024, jobs__evaluation_threads=4)
    assert job_resources.prediction_minutes(threaded) < job_resources.prediction_minutes(large)


def test_evaluation_memory_and_time_hold_what_was_measured() -> None:
    """105 samples at four doses, 256 px, feature_size 12: 2,156 MB, 207 s of predictions and 78 s of scores."""
    config = configuration(model__feature_size=12, evaluation__turns=4)
    config["grid"] |= {"tilts": 36, "rotations": 3, "test_share": 0.14}
    config["noise"]["evaluation_doses"] = [1e4, 1e5, 1e6, 1e7]
    assert 2_156 < job_resources.evaluation_mb(config) < 4_000
    assert 207 < 60 * beyond(job_resources.prediction_minutes(config)) < 10 * 207
    assert 78 < 60 * beyond(job_resources.scoring_minutes(config)) < 20 * 78


def test_windows_cost_the_sum_of_their_squares() -> None:
    one, two = (configuration(evaluation__window_factors=factors) for factors in ([2.0], [1.0, 2.0]))
    assert beyond(job_resources.windows_minutes(two)) == pytest.approx(
        5 / 4 * beyond(job_resources.windows_minutes(one)), abs=1
    )


def test_a_simulation_has_room_for_python_beside_multislice() -> None:
    assert job_resources.simulation_mb(configuration(simulation__multislice__memory_mb=2500.5)) == 3501
