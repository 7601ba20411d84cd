"""The workflow on a real Slurm: `make test-slurm`. Skipped, with the reason, where none can be set up."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.slurm.cluster import Slurm, install, reason_against, running_slurm
from tests.workflow.conftest import copy_workflow

SITE = """\
account:
partitions:
  cpu: {max_runtime: 1d, max_threads: 2, max_mem_mb: 20000}
  gpu: {max_runtime: 1h, max_threads: 2, max_mem_mb: 20000, max_gpu: 2}
gpu_type:
scratch:
status: squeue
"""


@dataclass(frozen=True)
class LocalRun:
    """A run that may still go on, and its results."""

    results: Path
    process: "subprocess.Popen[str]"

    def finished(self) -> Path:
        """Wait for its end."""
        if self.process.stdout and not self.process.stdout.closed:
            output = finish(self.process, 600)
            assert self.process.returncode == 0, output[-4000:]
        return self.results


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A Slurm of two nodes on this machine."""
    if not os.environ.get("IPHASENET_TEST_SLURM"):
        pytest.skip("make test-slurm runs these")
    reason = reason_against() or install()
    if reason:
        pytest.skip(f"no Slurm: {reason}")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        with running_slurm(folder / "slurm") as running:
            yield running
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def local_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRun]:
    """The same configuration on this machine, beside the tests: these mostly wait."""
    folder = copy_workflow(tmp_path_factory.mktemp("local") / "workflow")
    target = "results/tiny/evaluation/summary.json"
    process = _start(folder, target, "--cores", "2", "--configfile", "config/tiny.yaml")
    yield LocalRun(folder / "results" / "tiny", process)
    if process.poll() is None:
        process.terminate()
        process.communicate()


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    """A fresh copy of the workflow, for this site."""
    return for_site(copy_workflow(tmp_path / "workflow"))


def for_site(folder: Path, site: str = SITE) -> Path:
    """Give a copy of the workflow a site's settings."""
    (folder / "profiles" / "slurm" / "site.yaml").write_text(site)
    return folder


def submit(folder: Path, *arguments: str, config: Sequence[str] = ("config/tiny.yaml",)) -> "subprocess.Popen[str]":
    """Start Snakemake with the profile; its output is read by `finish`."""
    profile = ["--workflow-profile", "profiles/slurm"]
    # Shorter waits than a cluster's: the executor adds ten seconds a check. Two tilts for a node of two cores.
    waits = ["--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "5"]
    groups = ["--group-components", "potential=9", "simulation=2"]
    return _start(folder, *arguments, *profile, *waits, *groups, "--configfile", *config)


def _start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", *arguments],
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: "subprocess.Popen[str]", seconds: float) -> str:
    """Wait for the end of a run; its output."""
    try:
        return process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail(f"still running after {seconds} s:\n{process.communicate()[0][-4000:]}")
