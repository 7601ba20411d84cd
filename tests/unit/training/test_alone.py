"""A second training in a run's folder waits for the first, and says so."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from iphasenet.base.errors import InputError
from iphasenet.training import alone
from iphasenet.training.alone import alone_in

HOLD = """
import sys, time
from pathlib import Path
from iphasenet.training.alone import alone_in
with alone_in(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_one_is_told_who_is_first(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    message = (
        rf"found process {holder.pid} on .* still training in {tmp_path} after 0 s; allowed: one training of a run"
    )
    with pytest.raises(InputError, match=message), alone_in(tmp_path, wait=0):
        raise AssertionError


def test_it_waits_for_the_end_of_the_first_however_that_comes(
    holder: subprocess.Popen[str], tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = []

    def kill(_seconds: float) -> None:
        if not killed:
            os.kill(holder.pid, signal.SIGKILL)
            killed.append(holder.wait())

    monkeypatch.setattr(alone, "time", type("Clock", (), {"monotonic": time.monotonic, "sleep": staticmethod(kill)}))
    with caplog.at_level(logging.WARNING), alone_in(tmp_path):
        assert killed
        assert (tmp_path / "lock").read_text().startswith(f"process {os.getpid()} on ")
    assert len(caplog.messages) == 1 and "waiting up to 120 s" in caplog.text


def test_a_file_system_without_locks_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(alone.fcntl, "flock", flock)
    with caplog.at_level(logging.WARNING), alone_in(tmp_path):
        assert "has no locks" in caplog.text
