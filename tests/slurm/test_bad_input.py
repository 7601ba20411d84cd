"""What cannot run says so within a minute."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.slurm.conftest import SITE, finish, for_site, submit
from tests.workflow.conftest import copy_workflow

# The local run that a later test compares with may go on meanwhile.
pytestmark = pytest.mark.usefixtures("slurm", "local_run")

POTENTIAL = "results/tiny/potential/GaN.npz"

PATIENCE = 300
"""What does not end by itself within this time hangs, also on a machine with other work [s]."""


def refused(folder: Path, *arguments: str, config: tuple[str, ...] = ("config/tiny.yaml",)) -> str:
    """Output of a run that fails by itself, before anything is submitted."""
    process = submit(folder, *arguments, config=config)
    output = finish(process, PATIENCE)
    assert process.returncode == 1, output
    return output


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "  cpu:",
            "  fast:",
            r"cluster: found partition 'fast' in the site's settings; allowed: cpu, gpu",
        ),
        (
            "account:",
            "acount:",
            r"profiles/slurm/site.yaml: found \[.*'acount'.*\]; allowed: account, .*",
        ),
    ],
)
def test_wrong_settings_of_the_site(workflow: Path, old: str, new: str, line: str) -> None:
    for_site(workflow, SITE.replace(old, new))
    output = refused(workflow, POTENTIAL)
    assert re.search(f"^{line}$", output, re.MULTILINE), output
    assert "Traceback" not in output and "submitted" not in output


@pytest.mark.parametrize(
    ("jobs", "asked"),
    [
        ("training_gpus: 3", r"1 node\(s\) of 2 cores, 2,000 MB and 3 GPUs for 10 minutes"),
        ("training_nodes: 3", r"3 node\(s\) of 2 cores, .*"),
        ("training_minutes: 2000", r".* and 0 GPUs for 2,000 minutes"),
    ],
)
def test_more_than_a_node_has(workflow: Path, jobs: str, asked: str) -> None:
    """Of a job that comes last: before any is submitted."""
    (workflow / "config" / "more.yaml").write_text(f"jobs: {{{jobs}}}\ntraining: {{batch_size: 12}}\n")
    output = refused(workflow, config=("config/tiny.yaml", "config/more.yaml"))
    line = rf"^cluster: train_model: found a request for {asked}; allowed: cpu .*2 GPUs; 1,440 minutes\); gpu .*$"
    assert re.search(line, output, re.MULTILINE), output
    assert "Traceback" not in output and "submitted" not in output


@dataclass(frozen=True)
class Failing:
    """Runs whose jobs fail, beside each other."""

    scratch: "subprocess.Popen[str]"
    memory: "subprocess.Popen[str]"


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Failing:
    folders = [copy_workflow(tmp_path_factory.mktemp(name) / "workflow") for name in ("scratch", "memory")]
    # It exists, and not even root can make files there.
    for_site(folders[0], SITE.replace("scratch:", "scratch: /proc"))
    for_site(folders[1])
    memory = "compute_potential:mem_mb=80 if attempt < 2 else 2000"
    return Failing(
        submit(folders[0], POTENTIAL, "--retries", "0"), submit(folders[1], POTENTIAL, "--set-resources", memory)
    )


def test_a_scratch_folder_that_cannot_be_written(failing: Failing) -> None:
    output = finish(failing.scratch, PATIENCE)
    assert failing.scratch.returncode == 1
    assert re.search(r"potential of GaN: scratch: found /proc, which cannot be written on ", output), output


def test_a_job_that_is_killed_for_its_memory_says_so_and_gets_more(failing: Failing) -> None:
    output = finish(failing.memory, PATIENCE)
    assert failing.memory.returncode == 0, output
    assert "exceeded memory limit" in output and "Trying to restart job" in output
