"""What makes jobs run again, and what Snakemake would pass over in silence."""

import re
from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import ROOT, snakemake
from tests.workflow.test_workflow import planned_jobs

SAME = """
select: [KNbO3, GaN]
optics: {semiangle_mrad: 20.0, source_size_angstrom: 0}
grid: {thickness_nm: [2.0, 4.0], splits: [test, train, validation]}
noise: {evaluation_doses: [100000]}
"""


def line_of(output: str, start: str) -> str:
    return next((line for line in output.splitlines() if line.startswith(start)), output[-2000:])


def overlay(folder: Path, text: str) -> str:
    """The tiny configuration with some keys in place of its own."""
    base, change = (yaml.safe_load(part) for part in ((folder / "config" / "tiny.yaml").read_text(), text))
    for key, value in change.items():
        base[key] = {**base[key], **value} if isinstance(base.get(key), dict) else value
    (folder / "config" / "other.yaml").write_text(yaml.safe_dump(base))
    return "config/other.yaml"


def test_the_same_values_written_another_way_run_nothing(finished_copy: Path) -> None:
    result = snakemake(finished_copy, "-n", config=overlay(finished_copy, SAME))
    assert "Nothing to be done" in result.stdout, planned_jobs(result.stdout)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("compare: [nosuchrun]", "configuration: compare: found 'nosuchrun', a run without .*; allowed: .* tiny$"),
        ("{run: new, trained: nosuchrun}", "configuration: trained: found 'nosuchrun', .* tiny$"),
        ("{run: new, dataset: nosuchrun}", "configuration: dataset: found 'nosuchrun', .* tiny$"),
        (
            "{run: new, dataset: tiny, optics: {semiangle_mrad: 25}, image: {pixels: 96}}",
            "configuration: image.pixels: found 96, which contradicts .*'tiny'.*optics.semiangle_mrad; allowed: .*64$",
        ),
        (
            "{run: new, dataset: tiny, jobs: {tilts_per_job: 1}, training: {source: rendered}}",
            r"configuration: dataset: found 'tiny', which lacks images/GaN/batch2.npz \(2 missing\).*tilts_per_job$",
        ),
        ("reconstruction: {images: config, weights: no.safetensors}", "configuration: reconstruction.weights: found"),
    ],
)
def test_what_is_not_there_is_one_line_after_a_finished_run(finished_run: Path, text: str, line: str) -> None:
    """Where Snakemake would say that there is nothing to be done."""
    path = finished_run / overlay(finished_run, text)
    result = snakemake(finished_run, "-n", config="config/other.yaml")
    path.unlink()
    assert result.returncode == 1 and "Traceback" not in result.stdout
    assert re.match(line, line_of(result.stdout, "configuration:")), result.stdout[-2000:]


@pytest.mark.parametrize(
    ("simulation", "changed", "kept"),
    [
        ({"temperature_k": 100}, ["Potential of GaN", "Multislice of GaN", "Samples of GaN", "Data set of"], []),
        ({"temperature_k": 0}, ["Potential of GaN", "Multislice of GaN", "Samples of GaN", "Data set of"], []),
        ({"truth": "rest"}, ["Samples of GaN", "Data set of"], ["Potential", "Multislice"]),
    ],
)
def test_another_temperature_or_truth_makes_again_what_depends_on_it(
    finished_copy: Path, simulation: dict[str, object], changed: list[str], kept: list[str]
) -> None:
    jobs = simulated_again(finished_copy, simulation)
    assert all(any(job.startswith(start) for job in jobs) for start in changed), jobs
    assert not [job for job in jobs if job.startswith(tuple(kept))] or not kept


def test_less_noise_makes_the_images_of_moving_atoms_again(finished_copy: Path) -> None:
    numerics = {"sampling_angstrom": 0.15, "window_angstrom": 6, "thermal_noise": 0.015}
    jobs = simulated_again(finished_copy, {"multislice": numerics})
    assert "Multislice of GaN, batch 0" in jobs and "Samples of KNbO3" in jobs
    assert not [job for job in jobs if job.startswith("Potential")]


def simulated_again(folder: Path, simulation: dict[str, object]) -> list[str]:
    """Jobs that the tiny run plans with other keys of its simulation."""
    tiny = yaml.safe_load((folder / "config" / "tiny.yaml").read_text())
    config = overlay(folder, yaml.safe_dump({"simulation": {**tiny["simulation"], **simulation}}))
    result = snakemake(folder, "-n", config=config)
    assert result.returncode == 0, result.stdout[-2000:]
    return planned_jobs(result.stdout)


def test_displacements_of_atoms_at_rest_are_one_line_before_any_job(workflow: Path) -> None:
    text = "{simulation: {temperature_k: 0}, materials: {GaN: {rms_displacement_angstrom: {Ga: 0.06}}}}"
    result = snakemake(workflow, "results/tiny/materials/GaN.zarr", config=overlay(workflow, text))
    assert result.returncode == 1 and "Traceback" not in result.stdout
    line = line_of(result.stdout, "configuration:")
    assert re.match(r"configuration: materials\.GaN: .* at temperature_k 0, where atoms are at rest; allowed", line)
    assert not (workflow / "results" / "tiny" / "potential").exists()


@pytest.mark.parametrize("file", ["README.md", "config/README.md"])
def test_the_example_of_a_new_crystal_runs(file: str, workflow: Path) -> None:
    """As printed, beside the demo: that crystal and no other, from a structure that is there."""
    example = re.search(r"```yaml\n(run: .*?)```", (ROOT / file).read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    (workflow / "config" / "mine.yaml").write_text(example[1], encoding="utf-8")
    result = snakemake(workflow, "-n", config="config/demo.yaml config/mine.yaml")
    assert result.returncode == 0, result.stdout[-2000:]
    assert [job for job in planned_jobs(result.stdout) if job.startswith("Potential")] == ["Potential of GaNside"]
