"""The plan, and the room on the disk, as users meet them."""

import re
from pathlib import Path

from tests.workflow.conftest import snakemake


def test_a_plan_counts_the_jobs_that_a_run_has(workflow: Path) -> None:
    listed = dict(re.findall(r"^(\w+_\w+) +(\d+)$", snakemake(workflow, "-n").stdout, re.MULTILINE))
    result = snakemake(workflow, "plan")
    assert result.returncode == 0, result.stdout[-3000:]
    jobs = re.search(r"^jobs +\d+: (.+?)\n\n", result.stdout, re.MULTILINE | re.DOTALL)
    assert jobs is not None
    planned = {rule: count for count, rule in re.findall(r"(\d+) (\w+_\w+)", jobs[1])}
    assert planned == listed and listed["simulate_images"] == "4"
    assert "samples  24: 8 train, 8 validation, 8 test" in result.stdout
    assert not list((workflow / "results").rglob("*.npz"))


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
    (workflow / "config" / "large.yaml").write_text("image: {pixels: 16384}\n")
    result = snakemake(workflow, config="config/large.yaml")
    assert result.returncode == 1
    assert "Traceback" not in result.stdout
    assert re.search(r"^disk: found .* free in .*; allowed: at least 10\d TB", result.stdout, re.MULTILINE)
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
