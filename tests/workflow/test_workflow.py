"""The workflow as its users run it."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas
import pytest
import xarray
import yaml

from iphasenet.evaluation.metrics import METRICS
from iphasenet.evaluation.scores import METHODS
from iphasenet.network.weights import load_weights
from iphasenet.simulation.grid import SPLITS
from tests.workflow.conftest import copy_workflow, iphasenet, snakemake

AFTER_TRAINING = ("Data set", "Predictions", "Scores")
"""Jobs that any material's change runs again, for all of them."""


def planned_jobs(output: str) -> list[str]:
    """Messages of the jobs that a dry run lists."""
    return sorted(set(re.findall(r"^Job \d+: (.+)$", output, re.MULTILINE)))


def test_everything_is_made(finished_run: Path) -> None:
    results = finished_run / "results" / "tiny"
    tree = xarray.open_datatree(results / "dataset.zarr", engine="zarr")
    assert sorted(tree.children) == ["GaN", "KNbO3"]
    for group in tree.children.values():
        segments, potential = group["segments"].values, group["potential"].values
        assert segments.shape == (3 * 2 * 2, 4, 64, 64)
        assert np.isfinite(segments).all() and (segments.min() > 0) and (segments.sum(axis=1).max() < 1)
        mean = potential.mean(axis=(1, 2)) / (10 * group["thickness_nm"].values)
        assert mean.min() > 10 and mean.max() < 30
    assert tree.attrs["configuration"]["grid"]["tilts"] == 3
    tree.close()
    _, described = load_weights(results / "model" / "weights.safetensors")
    assert described["materials"] == ["GaN", "KNbO3"]
    assert (results / "report.html").read_text().count("data:image/png;base64") >= 4


@pytest.mark.parametrize("split", ["train", "test"])
def test_any_sample_is_made_again_bit_for_bit(finished_run: Path, split: str) -> None:
    """From the structure alone: nothing but the data set's settings and the CIF are read."""
    with xarray.open_datatree(finished_run / "results/tiny/dataset.zarr", engine="zarr") as tree:
        group = tree["GaN"]
        name = str(group["sample_id"].values[np.flatnonzero(group["split"].values == SPLITS.index(split))[-1]])
    result = iphasenet(finished_run, "render", "--dataset", "results/tiny/dataset.zarr", "--sample", name)
    assert result.returncode == 0 and "bit for bit" in result.stdout, result.stdout


def test_a_sample_that_is_not_there_is_one_line(finished_run: Path) -> None:
    result = iphasenet(finished_run, "render", "--dataset", "results/tiny/dataset.zarr", "--sample", "GaN-tilt9")
    assert result.returncode == 1 and "Traceback" not in result.stdout
    assert "GaN-tilt9" in result.stdout and "GaN-tilt0000-rotation00-2nm" in result.stdout


def test_a_data_set_is_valid_until_a_chunk_is_damaged(finished_copy: Path) -> None:
    assert iphasenet(finished_copy, "validate", "results/tiny/dataset.zarr").returncode == 0
    chunk = next(
        path
        for path in sorted((finished_copy / "results/tiny/dataset.zarr/GaN/segments/c").rglob("0"))
        if path.is_file()
    )
    data = bytearray(chunk.read_bytes())
    data[1000] ^= 1
    chunk.write_bytes(data)
    result = iphasenet(finished_copy, "validate", "results/tiny/dataset.zarr")
    assert result.returncode == 1 and "GaN/segments" in result.stdout and "damaged" in result.stdout
    retrained = snakemake(finished_copy, "results/tiny/model/weights.safetensors", "--forcerun", "train_model")
    assert retrained.returncode == 1 and "GaN/segments" in retrained.stdout and "changed" in retrained.stdout


def test_the_summary_is_the_mean_of_the_table(finished_run: Path) -> None:
    evaluation = finished_run / "results" / "tiny" / "evaluation"
    summary = json.loads((evaluation / "summary.json").read_text())
    table = pandas.read_csv(evaluation / "samples.csv")
    assert len(table) == 2 * 4 * len(METHODS)
    for method in METHODS:
        rows = table[table["method"] == method]
        for name in METRICS:
            assert summary["scores"][method][name]["mean"] == pytest.approx(rows[name].mean())
            of_gan = rows[rows["material"] == "GaN"][name].mean()
            assert summary["by"]["material"]["GaN"][method][name]["mean"] == pytest.approx(of_gan)


def test_logs_say_what_was_done_and_with_which_versions(finished_run: Path) -> None:
    logs = list((finished_run / "results" / "tiny" / "logs").rglob("*.log"))
    assert len(logs) == 2 * 7 + 12
    for log in logs:
        text = log.read_text()
        assert "torch 2" in text and "ended after" in text
        assert "made results/tiny/" in text or log.name == "train_model.log"


def test_the_report_says_what_each_rule_cost(finished_run: Path) -> None:
    results = finished_run / "results" / "tiny"
    cost = pandas.read_csv(results / "cost.csv").set_index("rule")
    assert cost.loc["simulate_images", "jobs"] == 4 and cost.loc["train_model", "wall time [h]"] > 0
    assert cost.loc["all", "jobs"] == cost["jobs"].sum() / 2 and "write_report" not in cost.index
    assert "simulate_images" in (results / "report.html").read_text()


def test_a_second_run_does_nothing(finished_run: Path) -> None:
    assert "Nothing to be done" in snakemake(finished_run).stdout


def test_a_changed_cif_reruns_its_material_alone(finished_copy: Path) -> None:
    cif = finished_copy / "resources" / "structures" / "GaN.cif"
    cif.write_text(cif.read_text().replace("0.377", "0.376"))
    jobs = planned_jobs(snakemake(finished_copy, "-n").stdout)
    assert "Potential of GaN" in jobs and "Samples of GaN" in jobs
    assert {"Summary of the evaluation", "Predictions of GaN", "Report", "Training, 1 process(es)"} <= set(jobs)
    assert not [job for job in jobs if "KNbO3" in job and not job.startswith(AFTER_TRAINING)]


def test_a_changed_zone_axis_reruns_its_material_alone(finished_copy: Path) -> None:
    path = finished_copy / "config" / "tiny.yaml"
    config = yaml.safe_load(path.read_text())
    config["materials"] = {"KNbO3": {"zone_axis": [1, 1, 0]}}
    path.write_text(yaml.safe_dump(config))
    jobs = planned_jobs(snakemake(finished_copy, "-n").stdout)
    assert "Potential of KNbO3" in jobs
    assert len([job for job in jobs if job.startswith("Multislice of KNbO3")]) == 2
    assert not [job for job in jobs if "GaN" in job and not job.startswith(AFTER_TRAINING)]


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        ("rotations: 2", "rotations: 2\n  test_share: 0.3", "Potential|Multislice"),
        ("sampling_angstrom: 0.2", "sampling_angstrom: 0.25", "Potential|Multislice"),
        ("device: cpu", "device: auto", "(?!Report)"),
        ("rotations: 2", "rotations: 2\n  wedge_deg: 3", ""),
        ("noise:", "noise:\n  training_dose: [1.0e+2, 1.0e+4]", "Potential|Multislice|Samples|Data set"),
        ("tilts: 3", "tilts: 4", "Potential|Multislice of .*batch 0"),
    ],
)
def test_what_a_change_does_not_touch_is_kept(finished_copy: Path, old: str, new: str, kept: str) -> None:
    path = finished_copy / "config" / "tiny.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    jobs = planned_jobs(snakemake(finished_copy, "-n").stdout)
    assert not [job for job in jobs if re.match(kept, job)]


def test_thermal_displacements_rerun_their_material_alone(finished_copy: Path) -> None:
    with (finished_copy / "config" / "tiny.yaml").open("a") as stream:
        stream.write("materials:\n  GaN:\n    rms_displacement_angstrom: {Ga: 0.06}\n")
    jobs = planned_jobs(snakemake(finished_copy, "-n").stdout)
    assert "Potential of GaN" in jobs
    assert not [job for job in jobs if "KNbO3" in job and not job.startswith(AFTER_TRAINING)]


def test_training_can_render_its_crops_from_the_simulations(finished_copy: Path) -> None:
    path = finished_copy / "config" / "tiny.yaml"
    path.write_text(path.read_text().replace("epochs: 2", "epochs: 1\n  source: rendered"))
    weights = "results/tiny/model/weights.safetensors"
    assert planned_jobs(snakemake(finished_copy, "-n", weights).stdout) == ["Training, 1 process(es)"]
    result = snakemake(finished_copy, weights)
    assert result.returncode == 0, result.stdout[-3000:]
    _, described = load_weights(finished_copy / weights)
    assert described["training"]["source"] == "rendered"


def test_training_settings_leave_the_data_set_alone(finished_copy: Path) -> None:
    path = finished_copy / "config" / "tiny.yaml"
    path.write_text(path.read_text().replace("epochs: 2", "epochs: 3"))
    jobs = planned_jobs(snakemake(finished_copy, "-n").stdout)
    assert not [job for job in jobs if re.match("Potential|Multislice|Samples", job)]
    assert "Training, 1 process(es)" in jobs


def test_one_material_alone(workflow: Path) -> None:
    result = snakemake(workflow, "results/tiny/materials/KNbO3.zarr")
    assert result.returncode == 0, result.stdout[-3000:]
    made = sorted(path.name for path in (workflow / "results" / "tiny" / "materials").iterdir())
    assert made == ["KNbO3.zarr"]
    assert not (workflow / "results" / "tiny" / "images" / "GaN").exists()
    with xarray.open_zarr(workflow / "results" / "tiny" / "materials" / "KNbO3.zarr") as data:
        assert data["segments"].sizes["sample"] == math.prod((3, 2, 2))


def test_a_new_material_needs_a_cif_and_three_lines(workflow: Path) -> None:
    cif = (workflow / "resources" / "structures" / "KNbO3.cif").read_text()
    (workflow / "mine.cif").write_text(cif.replace("Nb", "Ta"))
    with (workflow / "config" / "tiny.yaml").open("a") as stream:
        stream.write("materials:\n  KTaO3:\n    cif: mine.cif\n    zone_axis: [0, 0, 1]\n")
    path = workflow / "config" / "tiny.yaml"
    path.write_text(path.read_text().replace("select: [GaN, KNbO3]\n", ""))
    jobs = planned_jobs(snakemake(workflow, "-n").stdout)
    assert "Potential of KTaO3" in jobs and "Potential of PVSK" in jobs


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("optics: {semiangle_mard: 20}", ["optics.semiangle_mard", "semiangle_mrad"]),
        ("grid: {thickness_nm: [-20]}", ["grid.thickness_nm.0", "-20", "at least 0.01"]),
        ("image: {pixels: 100}", ["image.pixels", "100", "multiple of 32"]),
        ("materials: {GaN: {cif: none.cif}}", ["materials.GaN.cif", "none.cif", "CIF"]),
        ("select: [Kryptonite]", ["select", "Kryptonite", "GaN"]),
    ],
)
def test_a_wrong_configuration_is_one_line(workflow: Path, text: str, parts: list[str]) -> None:
    (workflow / "config" / "bad.yaml").write_text(text)
    result = snakemake(workflow, "-n", config="config/bad.yaml")
    assert result.returncode == 1
    assert "Traceback" not in result.stdout
    line = next(line for line in result.stdout.splitlines() if line.startswith("configuration:"))
    for part in parts:
        assert part in line
    assert not (workflow / "results").exists()


def test_braces_in_a_users_texts_are_plain_text(workflow: Path) -> None:
    """In any locale: a configuration is UTF-8."""
    text = 'title: "Å {b} <run>\\n"\nstorage: "s3://{b}/<x>"\n'
    (workflow / "config" / "texts.yaml").write_text((workflow / "config" / "tiny.yaml").read_text() + text, "utf-8")
    ascii_alone = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    result = snakemake(workflow, "-n", config="config/texts.yaml", **ascii_alone)
    assert result.returncode == 0, result.stdout[-2000:]
    assert "Copy of the data set in s3://{b}/<x>/tiny/dataset.zarr" in planned_jobs(result.stdout)


def test_a_key_that_stands_twice_is_one_line(workflow: Path) -> None:
    with (workflow / "config" / "tiny.yaml").open("a") as stream:
        stream.write("run: other\n")
    result = snakemake(workflow, "-n")
    assert result.returncode == 1 and "Traceback" not in result.stdout
    assert re.search(r"^configuration: run: found twice in .*tiny\.yaml, lines 2 and \d+", result.stdout, re.MULTILINE)


def test_a_checkout_runs_below_a_path_with_a_blank(tmp_path: Path) -> None:
    """And with all else that a shell, a URL or a template could take for something else."""
    folder = copy_workflow(tmp_path / "my lab's $HOME `x` #1;50%20&<run>" / 'a "quoted" \\ folder')
    potential = "results/tiny/potential/GaN.npz"
    result = snakemake(folder, potential)
    assert result.returncode == 0, result.stdout[-3000:]
    assert (folder / potential).is_file()


def test_a_checkout_below_braces_is_one_line(tmp_path: Path) -> None:
    result = snakemake(copy_workflow(tmp_path / "my {lab}"), "-n")
    assert result.returncode == 1 and "Traceback" not in result.stdout
    assert re.search(r"^checkout: found '.*my \{lab\}', a path with '\{'; allowed:", result.stdout, re.MULTILINE)


def test_a_structure_that_cannot_be_simulated_is_one_line(workflow: Path) -> None:
    """Two atoms in one place: named on the terminal before any job starts."""
    cif = workflow / "resources" / "structures" / "GaN.cif"
    cif.write_text(cif.read_text().replace("0.377", "0.001"))
    result = snakemake(workflow, "results/tiny/materials/GaN.zarr")
    assert result.returncode == 1
    assert "Traceback" not in result.stdout
    assert re.search(r"^configuration: materials\.GaN: .*GaN\.cif.*allowed", result.stdout, re.MULTILINE)
    assert not (workflow / "results" / "tiny" / "potential").exists()
    assert not list((workflow / "results" / "tiny" / "logs").glob("**/*.log"))


def test_snakemakes_report_holds_the_figures(finished_copy: Path) -> None:
    result = snakemake(finished_copy, "--report", "report.zip")
    assert result.returncode == 0, result.stdout[-2000:]
    assert (finished_copy / "report.zip").stat().st_size > 100_000


def test_the_catalogs_entry_is_the_same_workflow_from_anywhere(workflow: Path, tmp_path: Path) -> None:
    """The catalog, and those who come from it, start at workflow/Snakefile, wherever they are."""
    config = str(workflow / "config" / "tiny.yaml")
    entry = ("--snakefile", str(workflow / "workflow" / "Snakefile"), "--directory", str(workflow))
    result = snakemake(tmp_path, "-n", *entry, config=config)
    assert result.returncode == 0, result.stdout[-2000:]
    assert planned_jobs(result.stdout) == planned_jobs(snakemake(workflow, "-n").stdout) != []


def test_the_full_grid_is_planned(workflow: Path) -> None:
    """5 materials, 43 tilts each, 6,020 samples."""
    result = snakemake(workflow, "-n", config="config/config.yaml")
    assert result.returncode == 0
    assert len([job for job in planned_jobs(result.stdout) if job.startswith("Multislice")]) == 5 * 43
    config = yaml.safe_load((workflow / "config" / "config.yaml").read_text())
    grid = config["grid"]
    assert 5 * grid["tilts"] * grid["rotations"] * len(grid["thickness_nm"]) >= 6000
