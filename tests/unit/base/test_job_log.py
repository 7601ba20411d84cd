"""Logs of the workflow's jobs."""

import warnings
from pathlib import Path

import pytest

from iphasenet.base.errors import InputError
from iphasenet.base.job_log import stage
from iphasenet.base.running_library import running_library


@pytest.mark.filterwarnings("default")
def test_a_log_says_what_was_done_with_what_and_in_how_long(tmp_path: Path) -> None:
    with stage("images of GaN", tmp_path / "log", [str(tmp_path / "made")]) as log:
        log.info("tilt 0")
        warnings.warn("dull", stacklevel=1)
        (tmp_path / "made").write_bytes(bytes(2000))
    first, library, told, warned, made, last = (tmp_path / "log").read_text().splitlines()
    assert str(running_library()) in library
    assert "images of GaN; python 3." in first and "numpy " in first and told.endswith("tilt 0")
    assert warned.endswith("WARNING UserWarning: dull")
    assert made.endswith(f"made {tmp_path / 'made'}, 2.0 kB") and "INFO ended after 0." in last


@pytest.mark.parametrize(
    ("error", "line", "traceback"),
    [
        (InputError("cell: found none; allowed: one"), "cell: found none; allowed: one", False),
        (KeyError("GaN"), "KeyError: 'GaN'", True),
        (RuntimeError("two\nlines"), "RuntimeError: two lines", True),
    ],
)
def test_a_failure_ends_with_the_line_that_matters_and_the_log(
    tmp_path: Path, error: Exception, line: str, traceback: bool
) -> None:
    with pytest.raises(SystemExit) as caught, stage("potential", tmp_path / "log"):
        raise error
    assert caught.value.code == f"potential: {line}\nlog: {tmp_path / 'log'}"
    log = (tmp_path / "log").read_text()
    assert log.splitlines()[-1].endswith(f"s: {line}") and ("Traceback" in log) == traceback
