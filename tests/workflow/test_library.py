"""Which library the jobs run, and where torch is asked for, in environments of conda; conda itself is stood in for."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from iphasenet.base.running_library import OWN, job_prelude, library_in, own_library
from tests.workflow.conftest import ROOT, copy_workflow, snakemake

CONDA = """#!{python}
import json, pathlib, subprocess, sys
command = sys.argv[1:]
if command[0] == "info":
    print(json.dumps({{"conda_prefix": "{prefix}", "platform": "linux-64"}}))
elif command[0] == "--version":
    print("conda 25.1.0")
elif command[0] == "config":
    print(json.dumps({{"get": {{"channel_priority": "strict"}}}}))
elif "--prefix" in command:
    prefix = pathlib.Path(command[command.index("--prefix") + 1])
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", prefix], check=True)
    packages = next(prefix.glob("lib/python*/site-packages"))
    (packages / "here.pth").write_text("{other}\\n{packages}\\n")
"""
"""An environment that holds everything, and the library of another checkout."""


def with_library(folder: Path) -> Path:
    """A checkout with its own library."""
    copy_workflow(folder)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    return folder


@pytest.fixture
def conda(tmp_path: Path) -> str:
    """Folder of a stand-in for conda, whose environments hold another checkout's library."""
    prefix, other = tmp_path / "conda", with_library(tmp_path / "other") / "src"
    text = (other / "iphasenet" / "__init__.py").read_text(encoding="utf-8")
    (other / "iphasenet" / "__init__.py").write_text(text.replace("0.1.0", "9.9.9"), encoding="utf-8")
    commands = prefix / "bin"
    commands.mkdir(parents=True)
    packages = Path(numpy.__file__).parents[1]
    script = CONDA.format(python=sys.executable, prefix=prefix, other=other, packages=packages)
    (commands / "conda").write_text(script, encoding="utf-8")
    (commands / "conda").chmod(0o755)
    (commands / "activate").write_text('export PATH="$1/bin:$PATH"\n', encoding="utf-8")
    return str(commands)


def test_jobs_run_the_library_of_their_checkout_in_an_environment_that_holds_another(
    conda: str, tmp_path: Path
) -> None:
    checkout = with_library(tmp_path / "my checkout")
    # Snakemake finds torch nowhere, as in an environment of its own; what it starts in an environment does.
    (tmp_path / "none" / "torch").mkdir(parents=True)
    (tmp_path / "none" / "torch" / "__init__.py").write_text("raise ModuleNotFoundError('none', name='torch')\n")
    path = os.pathsep.join([str(tmp_path / "none"), str(checkout / "src")])
    environment = {"PATH": f"{conda}:{os.environ['PATH']}", "PYTHONPATH": path}
    (checkout / "config" / "gpu.yaml").write_text(
        (checkout / "config" / "tiny.yaml").read_text().replace("training_gpus: 0", "training_gpus: 2")
    )
    asked = ("--resources", "gpu=2", "--use-conda", "--conda-prefix", str(tmp_path / "shared"))
    # Before anything is simulated, and where torch is.
    result = snakemake(checkout, *asked, config="config/gpu.yaml", **environment)
    assert result.returncode == 1 and "Traceback" not in result.stdout, result.stdout[-3000:]
    assert re.search(r"^training: found no GPU.*about .* (hours|days)", result.stdout, re.MULTILINE), result.stdout
    assert not list((checkout / "results").rglob("*.npz"))
    result = snakemake(checkout, "results/tiny/potential/GaN.npz", *asked, config="config/gpu.yaml", **environment)
    assert result.returncode == 0, result.stdout[-3000:]
    log = (checkout / "results" / "tiny" / "logs" / "compute_potential" / "GaN.log").read_text(encoding="utf-8")
    own = library_in(checkout / "src" / "iphasenet")
    assert f"iphasenet 0.1.0 in {checkout}/src/iphasenet, source {own.source}" in log and "9.9.9" not in log


def test_a_checkout_without_a_library_is_one_line_with_conda(workflow: Path, conda: str) -> None:
    result = snakemake(workflow, "-n", "--use-conda", PATH=f"{conda}:{os.environ['PATH']}")
    assert result.returncode == 1 and "Traceback" not in result.stdout
    assert re.search(
        r"^library: found no .*src/iphasenet; jobs in conda environments need", result.stdout, re.MULTILINE
    )


@pytest.mark.parametrize(
    "command",
    [
        "-m iphasenet --help",
        "{script}",
        "-m iphasenet.planning.gpu_check none.json",
        "-m iphasenet.planning.crystal_check none.json",
    ],
)
def test_a_job_stops_where_the_library_is_not_the_workflows(command: str, tmp_path: Path) -> None:
    """Whichever way it is started."""
    script = tmp_path / "script.py"
    script.write_text(
        f"from iphasenet.base.job_log import stage\nwith stage('work', {str(tmp_path / 'log')!r}): pass\n"
    )
    told = {**os.environ, OWN: "0123456789ab /elsewhere/src/iphasenet"}
    words = command.format(script=script).split()
    result = subprocess.run([sys.executable, *words], env=told, capture_output=True, text=True, timeout=100)
    line = (
        r"(iphasenet|work|training|configuration): library: found iphasenet 0\.1\.0 in .*; allowed: the workflow's "
        "own, in /elsewhere"
    )
    assert result.returncode == 1 and re.match(line, result.stderr), result.stderr
    assert "Traceback" not in result.stderr


def test_the_prelude_of_jobs_is_plain_text_to_bash(tmp_path: Path) -> None:
    """Whatever stands in the checkout's path."""
    checkout = tmp_path / 'my lab\'s $HOME `x` #1;50% "quoted"'
    shutil.copytree(ROOT / "src", checkout / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    own = own_library(checkout)
    command = f'{job_prelude(own, checkout)} "{sys.executable}" -c "import iphasenet; print(iphasenet.__file__)"'
    for before in ({}, {"PYTHONPATH": "/nowhere"}):
        environment = {"PATH": "/usr/bin:/bin", **before}
        found = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=60)
        assert found.stdout.strip() == f"{checkout}/src/iphasenet/__init__.py", found.stderr
