"""Whatever ends a command is one line."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from iphasenet import cli
from iphasenet.base.error_lines import one_line
from iphasenet.base.errors import InputError, InputWarning


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (InputError("pixels: found 0;\nallowed: 1"), "p: pixels: found 0; allowed: 1"),
        (PermissionError(13, "Permission denied", "/a/b"), "p: /a/b: Permission denied"),
        (MemoryError(), "p: found too little memory (no details); allowed: smaller images, fewer thicknesses"),
        (KeyError("x"), "p: an error of the program, KeyError: 'x'; --debug shows where"),
    ],
)
def test_an_error_is_one_line(error: Exception, told: str) -> None:
    with pytest.raises(SystemExit) as caught, one_line("p"):
        raise error
    assert caught.value.code == told


def test_memory_that_torch_does_not_get_is_told_as_such() -> None:
    with pytest.raises(SystemExit, match="found too little memory"), one_line("p"):
        torch.empty(2**60, dtype=torch.uint8)


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "_parser", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main(["validate", "set.zarr", "--debug"])
    with pytest.raises(SystemExit, match="ZeroDivisionError"):
        cli.main(["validate", "set.zarr"])
    with pytest.raises(ZeroDivisionError), one_line("p", mistakes=False):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "arguments", [[], ["nothing"], ["validate"], ["validate", "a", "b"], ["validate", "--nothing"]]
)
def test_a_wrong_command_line_is_one_line_with_exit_code_1(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert str(caught.value.code).startswith("iphasenet: ") and "\n" not in str(caught.value.code)
    assert "--help` lists what is allowed" in str(caught.value.code)


def test_an_output_that_knows_ascii_alone_gets_plain_letters(tmp_path: Path) -> None:
    """Å in the help, and a name that is no text."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "ascii"}
    for arguments, told in ((["simulate", "--help"], b"pixel size [A]"), (["validate", b"\xff.zarr"], b"?.zarr")):
        process = subprocess.run(
            [sys.executable, "-c", "from iphasenet.cli import main; main()", *arguments],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
        )  # fmt: skip
        assert told in process.stdout and b"Traceback" not in process.stdout


def test_doubtful_input_is_one_line_too() -> None:
    before = warnings.formatwarning
    with one_line("iphasenet"):
        assert warnings.formatwarning(InputWarning("a\n site"), InputWarning, "file.py", 3) == "iphasenet: a site\n"
        assert "file.py" in warnings.formatwarning("other", UserWarning, "file.py", 3)
    assert warnings.formatwarning is before
