"""A copy of the workflow in a temporary folder, and one real run of the tiny configuration."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "config", "workflow", "profiles", "resources", "envs")

Snakemake = Callable[..., subprocess.CompletedProcess[str]]


def copy_workflow(folder: Path) -> Path:
    """Copy what a run reads; the library is the installed one."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)
    shutil.copy(ROOT / "tests" / "workflow" / "tiny.yaml", folder / "config" / "tiny.yaml")
    return folder


def snakemake(
    folder: Path, *arguments: str, config: str = "config/tiny.yaml", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in a folder, with one configuration file or several; the output holds stdout and stderr."""
    files = ("--configfile", *config.split())
    return _run(folder, "-m", "snakemake", "--cores", "2", *arguments, *files, **environment)


def iphasenet(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder."""
    return _run(folder, "-c", "from iphasenet.cli import main; main()", *arguments)


def _run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="backslashreplace",
        timeout=900,
    )


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    """A fresh copy of the workflow."""
    return copy_workflow(tmp_path / "workflow")


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in which the tiny configuration ran to its end. Tests leave it as they found it."""
    folder = copy_workflow(tmp_path_factory.mktemp("finished") / "workflow")
    result = snakemake(folder)
    assert result.returncode == 0, result.stdout[-4000:]
    return folder


@pytest.fixture
def finished_copy(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, with its time stamps, that a test may change."""
    subprocess.run(["cp", "--archive", finished_run, tmp_path / "copy"], check=True)
    return tmp_path / "copy"
