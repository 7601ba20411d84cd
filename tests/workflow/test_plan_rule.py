"""The plan, and the room on the disk, as users meet them."""

import re
from pathlib import Path

import pytest

from tests.workflow.conftest import snakemake


def listed_and_planned(workflow: Path, config: str) -> tuple[dict[str, str], dict[str, str], str]:
    """Jobs by rule as a dry run lists them and as the plan says, and the plan."""
    dry = snakemake(workflow, "-n", config=config)
    result = snakemake(workflow, "plan", config=config)
    assert dry.returncode == result.returncode == 0, (dry.stdout + result.stdout)[-3000:]
    jobs = re.search(r"^jobs +\d+: (.+?)\n\n", result.stdout, re.MULTILINE | re.DOTALL)
    assert jobs is not None
    planned = {rule: count for count, rule in re.findall(r"(\d+) (\w+_\w+)", jobs[1])}
    return dict(re.findall(r"^(\w+_\w+) +(\d+)$", dry.stdout, re.MULTILINE)), planned, result.stdout


def test_a_plan_counts_the_jobs_that_a_run_has(workflow: Path) -> None:
    listed, planned, text = listed_and_planned(workflow, "config/tiny.yaml")
    assert planned == listed and listed["simulate_images"] == "4"
    assert "samples  24: 8 train, 8 validation, 8 test" in text
    assert not list((workflow / "results").rglob("*.npz"))


@pytest.mark.parametrize("borrowed", ["dataset", "trained"])
def test_a_plan_leaves_out_what_another_run_made(workflow: Path, borrowed: str) -> None:
    """Files of that run that a dry run asks for are empty."""
    made = ["dataset.zarr/zarr.json", "model/weights.safetensors", "evaluation/baselines.npz"]
    for material in ("GaN", "KNbO3"):
        made += [f"potential/{material}.npz", f"materials/{material}.zarr/zarr.json"]
    for name in made:
        file = workflow / "results" / "other" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    tiny = (workflow / "config" / "tiny.yaml").read_text()
    (workflow / "config" / "borrowing.yaml").write_text(f"{tiny}\n{borrowed}: other\n")
    listed, planned, _ = listed_and_planned(workflow, "config/borrowing.yaml")
    assert planned == listed
    assert ("train_model" in listed) == (borrowed == "dataset") != ("simulate_images" in listed)


def test_a_plan_of_what_cannot_run_says_what_the_job_says(workflow: Path) -> None:
    (workflow / "config" / "bad.yaml").write_text(
        "select: [GaN]\nsimulation: {multislice: {sampling_angstrom: 0.005, memory_mb: 100}}\n"
    )
    plan = snakemake(workflow, "plan", config="config/bad.yaml")
    job = snakemake(workflow, "results/full/images/GaN/batch0.npz", config="config/bad.yaml")
    assert plan.returncode == job.returncode == 1
    assert "Traceback" not in plan.stdout
    line = next(line for line in job.stdout.splitlines() if line.startswith("images of GaN: memory: "))
    assert f"plan: {line}" in plan.stdout.splitlines()


def test_a_disk_that_is_too_small_is_one_line_before_any_job(workflow: Path) -> None:
    (workflow / "config" / "large.yaml").write_text("image: {pixels: 8192}\n")
    result = snakemake(workflow, config="config/large.yaml")
    assert result.returncode == 1
    assert "Traceback" not in result.stdout
    assert re.search(r"^disk: found .* free in .*; allowed: at least 2\d\.?\d* TB", result.stdout, re.MULTILINE)
    assert not (workflow / "results").exists()
    assert snakemake(workflow, "-n", config="config/large.yaml").returncode == 0
    # One potential needs no such room.
    result = snakemake(workflow, "results/full/potential/KNbO3.npz", config="config/large.yaml")
    assert result.returncode == 0, result.stdout[-3000:]


def test_a_training_for_gpus_is_refused_without_one_before_anything_runs(workflow: Path) -> None:
    (workflow / "config" / "gpu.yaml").write_text(
        (workflow / "config" / "tiny.yaml").read_text().replace("training_gpus: 0", "training_gpus: 2")
    )
    result = snakemake(workflow, "--resources", "gpu=2", config="config/gpu.yaml")
    assert result.returncode == 1 and "Traceback" not in result.stdout
    assert re.search(r"^training: found no GPU.*about .* (hours|days).*laptop\.yaml", result.stdout, re.MULTILINE)
    assert not (workflow / "results").exists()
    # What needs no GPU runs.
    result = snakemake(workflow, "results/tiny/potential/KNbO3.npz", config="config/gpu.yaml")
    assert result.returncode == 0, result.stdout[-3000:]
