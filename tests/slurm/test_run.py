"""A whole run through sbatch: jobs that are killed and requeued, and what it ends with."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.slurm.cluster import Slurm
from tests.slurm.conftest import LocalRun, finish, submit
from tests.workflow.test_interruption import checksums

Found = Callable[[], object]


def wait_for(condition: Found, process: "subprocess.Popen[str]", seconds: float = 400) -> None:
    """Wait while a run goes on."""
    end = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            pytest.fail(process.communicate()[0][-4000:])
        time.sleep(0.05)


def processes(folder: Path, name: str) -> list[int]:
    """Processes that run a script of the workflow in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words, place = path.read_bytes().split(b"\0"), path.with_name("cwd").readlink()
        except OSError:
            continue
        if place == folder and any(word.endswith(f".{name}.py".encode()) and b"/scripts/" in word for word in words):
            found.append(int(path.parent.name))
    return found


def test_killed_and_requeued_jobs_change_no_byte(slurm: Slurm, workflow: Path, local_run: LocalRun) -> None:
    results = workflow / "results" / "tiny"
    process = submit(workflow)
    wait_for(lambda: processes(workflow, "simulate_images"), process)
    os.kill(processes(workflow, "simulate_images")[0], signal.SIGKILL)
    wait_for(lambda: list(results.glob("checkpoints/*/last.ckpt")), process)
    training = next(job for job in slurm.jobs("running") if job["comment"] == "rule_train_model")
    slurm("scontrol", "requeue", training["id"])
    wait_for(lambda: [job for job in slurm.jobs("pending") if job["id"] == training["id"]], process)
    # Slurm would wait for two minutes.
    slurm("scontrol", "update", f"JobId={training['id']}", "StartTime=now")
    output = finish(process, 600)
    assert process.returncode == 0, output[-4000:]

    jobs = slurm.jobs()
    simulations = [job["state"] for job in jobs if job["comment"].startswith("rule_simulation")]
    assert sorted(simulations) == ["COMPLETED", "COMPLETED", "FAILED"], jobs
    assert "Trying to restart job" in output
    assert [job["restarts"] for job in jobs if job["comment"] == "rule_train_model"] == ["1"]
    starts = list(results.glob("checkpoints/*/history/version_*"))
    assert len(starts) == 2, "training began anew in place of going on"

    local = local_run.finished()
    assert checksums(results / "dataset.zarr") == checksums(local / "dataset.zarr")
    assert (results / "evaluation" / "summary.json").read_text() == (local / "evaluation" / "summary.json").read_text()
    assert weights(results) == weights(local)


def weights(results: Path) -> bytes:
    return (results / "model" / "weights.safetensors").read_bytes()


def test_two_nodes_with_gpus_train_together(slurm: Slurm, workflow: Path, local_run: LocalRun) -> None:
    """Two processes over gloo: the GPUs are devices that do nothing, so that Lightning finds none."""
    results = workflow / "results" / "tiny"
    subprocess.run(["mkdir", "--parents", results], check=True)
    subprocess.run(["cp", "--archive", local_run.finished() / "dataset.zarr", results], check=True)
    jobs = {"training_nodes": 2, "training_gpus": 2, "training_threads": 1, "training_minutes": 5}
    (workflow / "config" / "nodes.yaml").write_text(yaml.safe_dump({"jobs": jobs, "training": {"epochs": 1}}))
    target = "results/tiny/model/weights.safetensors"
    known = {job["id"] for job in slurm.jobs()}
    process = submit(
        workflow, target, "--allowed-rules", "train_model", config=("config/tiny.yaml", "config/nodes.yaml")
    )
    output = finish(process, 300)
    assert process.returncode == 0, output[-6000:]
    (job,) = (job for job in slurm.jobs() if job["id"] not in known)
    shown = slurm("scontrol", "show", "job", job["id"])
    assert "Partition=gpu" in shown and "NumNodes=2" in shown and "NumTasks=2" in shown
    assert "TresPerNode=gres:gpu:2" in shown
    log = (results / "logs" / "train_model.log").read_text()
    assert "MEMBER: 2/2" in log and "gloo" in log
