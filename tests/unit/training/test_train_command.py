"""The training's own command line: whatever goes wrong is one line, and an exit code."""

import errno
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from iphasenet.training import train
from tests.unit.dataset.test_reader import make
from tests.unit.training.test_training import SETTINGS, newest_checkpoint, options, start_until_checkpoint, workers


@pytest.fixture(autouse=True)
def _logs_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", True)


def ended(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> tuple[Any, str]:
    """Exit code, and what was said on stderr."""
    with pytest.raises(SystemExit) as caught:
        train.main(arguments)
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    return caught.value.code, said.err


def changed(part: str, **values: object) -> str:
    return json.dumps({**SETTINGS, part: {**SETTINGS[part], **values}})


@pytest.mark.parametrize(
    ("option", "value", "part"),
    [
        ("--settings", "{no json", "found '{no json'"),
        ("--settings", "[]", "allowed: JSON of noise"),
        ("--settings", json.dumps({"noise": {}, "model": {}, "training": {}}), "KeyError: 'dose'"),
        (
            "--settings",
            changed("training", learning_rat=1),
            "training.learning_rat: unknown key; allowed: seed, epochs",
        ),
        ("--settings", json.dumps({**SETTINGS, "model": {}}), "model.feature_size is missing"),
        ("--settings", changed("training", learning_rate=float("nan")), "learning_rate: found nan; allowed: above 0"),
        ("--settings", changed("model", feature_size=1e300), "feature_size: found 1e+300"),
        ("--dataset", "none.zarr", "none.zarr"),
        ("--weights", "weights.pt", "--weights weights.pt: found the ending '.pt'; allowed: .safetensors"),
        ("--history", "history.txt", "found the ending '.txt'; allowed: .csv"),
        ("--weights", "/proc/none/weights.safetensors", "no way to write"),
        ("--checkpoints", "/proc/none/checkpoints", "no way to write"),
    ],
)
def test_bad_input_is_one_line(
    option: str, value: str, part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = options(tmp_path, tmp_path / "dataset.zarr")
    arguments[arguments.index(option) + 1] = value
    code, said = ended(capsys, arguments)
    assert code == 1 and said.startswith("training: ") and said.count("\n") == 1 and part in said
    assert not list(tmp_path.iterdir())


def test_outputs_in_the_data_set_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = make(tmp_path / "data")
    arguments = options(tmp_path, dataset)
    arguments[arguments.index("--weights") + 1] = str(dataset / "weights.safetensors")
    code, said = ended(capsys, arguments)
    assert code == 1 and "a place inside the input dataset.zarr" in said


@pytest.mark.parametrize("option", ["--weights", "--history", "--checkpoints"])
def test_what_no_training_wrote_stays(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = make(tmp_path / "data")
    arguments = options(tmp_path, dataset)
    place = dataset if option == "--checkpoints" else Path(arguments[arguments.index(option) + 1])
    if option != "--checkpoints":
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("mine")
    arguments[arguments.index(option) + 1] = str(place)
    code, said = ended(capsys, arguments)
    assert code == 1 and option in said
    assert place.is_dir() or place.read_text() == "mine"


@pytest.mark.parametrize(
    ("error", "code", "part"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a.ckpt"), 1, "a.ckpt: No space left on device"),
        (MemoryError(), 1, "too little memory (no details); allowed: a smaller training.batch_size"),
        (RuntimeError("CUDA out of memory. Tried to\nallocate"), 1, "(CUDA out of memory. Tried to allocate)"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, "has ended"),
        (KeyboardInterrupt(), 130, "goes on from its newest checkpoint"),
    ],
)
def test_what_the_machine_or_the_user_ends_is_one_line(
    error: BaseException, code: int, part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(train, "fit", fail)
    found, said = ended(capsys, options(tmp_path, tmp_path / "dataset.zarr"))
    assert found == code and said.startswith("training: ") and said.count("\n") == 1 and part in said


def said_by(lines: str) -> list[str]:
    return [line for line in lines.splitlines() if line.startswith("training: ")]


def test_a_full_disk_and_ctrl_c_leave_what_goes_on(tmp_path: Path) -> None:
    """A checkpoint that does not fit is one line and no file; Ctrl-C keeps the batch, and ends with 130."""
    dataset, folder = make(tmp_path / "data"), tmp_path / "run"
    full = subprocess.run(
        [sys.executable, "-m", "iphasenet.training.train", *options(folder, dataset)],
        capture_output=True, text=True, timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000)),
    )  # fmt: skip
    assert full.returncode == 1 and "Traceback" not in full.stdout + full.stderr
    assert len(said_by(full.stderr)) == 1 and "best.ckpt: could not be written (File too large)" in full.stderr
    assert not list(folder.rglob(".partial*")) and not list(folder.rglob("*.ckpt"))

    arguments = ["8", json.dumps(options(folder, dataset)), str(signal.SIGINT.value)]
    script = str(Path(__file__).with_name("signalled.py"))
    stopped = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, timeout=300)
    assert stopped.returncode == 130 and "Traceback" not in stopped.stdout + stopped.stderr
    assert said_by(stopped.stderr) and newest_checkpoint(folder)["global_step"] == 9


def test_launched_processes_end_with_their_own_words(tmp_path: Path) -> None:
    """Of what torchrun says of a failed process, forty lines, none."""
    launch = [
        sys.executable,
        "-m",
        "iphasenet.training.launch",
        "--processes",
        "1",
        "--",
        "-m",
        "iphasenet.training.train",
    ]
    (tmp_path / "scratch").mkdir()
    result = subprocess.run(
        [*launch, *options(tmp_path, tmp_path / "none.zarr")],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "TMPDIR": str(tmp_path / "scratch")},
    )
    # torchrun by itself leaves a folder.
    assert not list((tmp_path / "scratch").iterdir())
    assert result.returncode == 1 and "Traceback" not in result.stdout + result.stderr
    assert len(said_by(result.stderr)) == 1 and "none.zarr" in result.stderr
    assert len(result.stderr.splitlines()) < 5, result.stderr


def test_a_training_whose_launcher_is_killed_stops_by_itself(tmp_path: Path) -> None:
    process = start_until_checkpoint(tmp_path, make(tmp_path / "data"), 0, stdout=subprocess.DEVNULL)
    (worker,) = workers(process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{worker}").exists() and not (tmp_path / "weights.safetensors").exists()
    # Six batches an epoch: it kept the one in which it was told.
    assert newest_checkpoint(tmp_path)["global_step"] % 6
