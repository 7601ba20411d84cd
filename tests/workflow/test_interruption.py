"""Runs that are killed, and the store that they end with."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from tests.workflow.conftest import copy_workflow, snakemake

KILLS = 10


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a store; the time stamp is Snakemake's own."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".snakemake_timestamp")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def killed_run(folder: Path, seconds: float) -> bool:
    """Start a run and kill all its processes at once; says whether it still ran."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "dataset", "--configfile", "config/tiny.yaml"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def test_ten_kills_and_another_number_of_cores_change_no_byte(tmp_path: Path) -> None:
    straight, broken = copy_workflow(tmp_path / "straight"), copy_workflow(tmp_path / "broken")
    started = time.monotonic()
    assert snakemake(straight, "--cores", "1", "dataset").returncode == 0
    duration = time.monotonic() - started
    expected = checksums(straight / "results/tiny/dataset.zarr")
    assert len(expected) > 50
    kills = 0
    for moment in np.random.default_rng().uniform(0.15, 0.6, KILLS) * duration:
        kills += killed_run(broken, moment)
        assert snakemake(broken, "--unlock").returncode == 0
    result = snakemake(broken, "dataset")
    assert result.returncode == 0, result.stdout[-3000:]
    assert kills > 0
    assert checksums(broken / "results/tiny/dataset.zarr") == expected
    assert not list((broken / "results").rglob(".partial-*"))


def test_one_material_alone_keeps_the_others_bytes(finished_copy: Path) -> None:
    """A changed structure remakes its own group of the assembled store and no byte of another's."""
    store = finished_copy / "results/tiny/dataset.zarr"
    before = checksums(store)
    cif = finished_copy / "resources" / "structures" / "GaN.cif"
    cif.write_text(cif.read_text().replace("0.377", "0.376"))
    result = snakemake(finished_copy, "results/tiny/dataset.zarr")
    assert result.returncode == 0, result.stdout[-3000:]
    after = checksums(store)
    for name, changes in (("GaN/segments/", True), ("KNbO3/", False)):
        files = {file for file in before if file.startswith(name) and "/c/" in file}
        assert files and all((before[file] != after[file]) == changes for file in files)
