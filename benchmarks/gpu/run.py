"""On the GPU machine: one step after another within the time, results after each; started by run.sh.

Each step is a process of its own, or one a GPU: what fails, hangs or is killed there is an entry of the results, and
the next one starts from a free GPU.
"""

import argparse
import ctypes
import datetime
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from benchmarks.gpu.check import missing, unpack_wheels
from benchmarks.gpu.layout import GO, LOG, RESULTS, ROOT, TABLE
from benchmarks.gpu.results import read_json, report, step_text, write_json

SHARES = {"tests": 0.125, "engine": 0.2, "throughput": 0.22, "training": 1.0, "reconstruction": 0.07}
"""Steps in their order, and the largest share of all the time that each may take; training takes what is left."""

MOST = {"tests": 60.0}
"""Longest time of a step, whatever its share [s]."""

TOGETHER = ("throughput", "training")
"""Steps that take all GPUs; the others take the first."""

_LEAST = 0.04
"""Share of the time that is kept for each step to come."""

_GRACE = 10.0
"""Time for a step to end by itself once its own is over [s]."""


@dataclass
class Run:
    """
    The steps and what they have shown so far.

    Attributes
    ----------
    output : path
        Folder of results.
    minutes : float
        Time for all.
    devices : int
        GPUs; of a rehearsal, processes.
    rehearsal : bool
        On a CPU, at toy size.
    started : float
        When it began, of the clock that all processes of a machine share [s].
    stopped : bool
        Whether it was told to end.
    until : float
        When the step that runs should end [s].
    steps : dict
        What each has shown.
    """

    output: Path
    minutes: float
    devices: int
    rehearsal: bool
    started: float = field(default_factory=time.monotonic)
    stopped: bool = False
    until: float = 0.0
    steps: dict[str, Any] = field(default_factory=dict)

    @property
    def left(self) -> float:
        """Time that is left [s]."""
        return self.started + 60 * self.minutes - time.monotonic()

    def stop(self, *_signal: Any) -> None:
        """Have the step that runs end now, and none follow."""
        self.stopped, self.until = True, min(self.until, time.monotonic())

    def all_steps(self, names: Sequence[str]) -> None:
        """Do the steps, as far as there is time; each one's libraries are imported while the one before is at work."""
        with tempfile.TemporaryDirectory() as folder, (self.output / LOG).open("wb") as log:
            waiting = self._start(names[0], Path(folder), log)
            for number, name in enumerate(names):
                process, following = waiting, names[number + 1 :]
                if following:
                    waiting = self._start(following[0], Path(folder), log)
                seconds = min(SHARES[name] * 60 * self.minutes, self.left - _LEAST * 60 * self.minutes * len(following))
                if not self.stopped and seconds >= 1:
                    self._step(name, process, Path(folder) / name, min(seconds, MOST.get(name, seconds)))
                _kill(process)
            _kill(waiting)

    def _step(self, name: str, process: "subprocess.Popen[bytes]", folder: Path, seconds: float) -> None:
        """Have a step begin, and write what it shows while it does."""
        began, file = time.monotonic(), folder / RESULTS
        self.until = began + seconds
        write_json(folder / GO, {"until": self.until})
        seen, told = None, signal.SIGCONT
        while process.poll() is None:
            time.sleep(0.1)
            told = self._remind(process, told)
            if file.is_file() and file.stat().st_mtime_ns != seen:
                seen = file.stat().st_mtime_ns
                self._keep(name, file, began, "")
        self._keep(name, file, began, _ending(process.returncode, self.stopped, told != signal.SIGCONT))
        print(f"## {name}\n\n{step_text(self.steps[name])}\n", flush=True)

    def _start(self, name: str, folder: Path, log: IO[bytes]) -> "subprocess.Popen[bytes]":
        """Start a step's process, which waits until it may begin."""
        (folder / name).mkdir()
        several = self.devices > 1 and name in TOGETHER
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={self.devices}"] if several else []
        asked = ["--folder", str(folder / name), "--output", str(self.output)]
        command = [sys.executable, *launch, "-m", "benchmarks.gpu.step", name, *asked]
        if self.rehearsal:
            command.append("--rehearse")
        environment = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // self.devices)), **os.environ}
        return subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True, preexec_fn=end_with_parent
        )

    def _remind(self, process: "subprocess.Popen[bytes]", told: signal.Signals) -> signal.Signals:
        """Tell a step whose time is over, once, and kill one that does not end; what it was told last."""
        late = time.monotonic() - self.until
        due = signal.SIGKILL if late > _GRACE else signal.SIGTERM if late > 0 else signal.SIGCONT
        if due != told:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, due)
        return due

    def _keep(self, name: str, file: Path, began: float, error: str) -> None:
        found = read_json(file)
        # A step that came to nothing was on the machine of the others.
        before: dict[str, Any] = next((step for step in self.steps.values() if step["device"] != "unknown"), {})
        where = {part: before.get(part, "unknown") for part in ("device", "torch")}
        named = {**where, "tables": {}, "facts": {}, **found}
        told = found.get("error") or error
        date = datetime.date.today().isoformat()
        self.steps[name] = {**named, "date": date, "seconds": time.monotonic() - began, "error": told}
        known = {"rehearsal": self.rehearsal, "minutes": self.minutes, "devices": self.devices, "steps": self.steps}
        write_json(self.output / RESULTS, known)
        (self.output / TABLE).write_text(report(known), encoding="utf-8")


def end_with_parent() -> None:
    """Have Linux kill this process when its parent ends: torchrun gives its processes sessions of their own."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _ending(code: int, stopped: bool, reminded: bool) -> str:
    """Say how a step ended that did not say so itself."""
    if stopped:
        return "stopped by a signal"
    if reminded and code != 0:
        return "its time was over"
    return "" if code == 0 else f"ended with code {code}; {LOG} says more"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of run.sh."""
    parser = argparse.ArgumentParser(prog="run.sh", description="Measure and train on this machine's GPUs.")
    parser.add_argument("--minutes", type=float, default=8.0, help="time for all; it stops by itself (8)")
    parser.add_argument("--output", type=Path, default=ROOT / "results", help="folder of results, beside run.sh")
    parser.add_argument("--steps", nargs="+", choices=SHARES, default=list(SHARES), help="some of the steps alone")
    parser.add_argument("--devices", type=int, help="how many GPUs, or processes of a rehearsal (all GPUs; 1)")
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, at toy size: no number is worth reading")
    options = parser.parse_args(arguments)
    if not 0 < options.minutes <= 600:
        parser.error(f"--minutes: found {options.minutes:g}; allowed: above 0, at most 600")
    unpack_wheels(ROOT / "wheels", ROOT / "site")
    output = options.output.resolve()
    problem = missing(ROOT, output)
    most = max(1, options.devices or 1)
    if not problem and not options.rehearse:
        import torch

        most = torch.cuda.device_count()
        problem = "" if most else f"found no usable GPU (torch {torch.__version__}); allowed: one; or --rehearse"
    if not problem and options.devices is not None and not 1 <= options.devices <= most:
        problem = f"--devices: found {options.devices}; allowed: 1 to {most}"
    if problem:
        print(f"run.sh: {problem}", file=sys.stderr)
        return 1
    run = Run(output, options.minutes, options.devices or most, options.rehearse)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, run.stop)
    run.all_steps(options.steps)
    print(f"{output}: {RESULTS}, {TABLE}, {LOG}", flush=True)
    return 128 + signal.SIGTERM if run.stopped else 0


if __name__ == "__main__":
    sys.exit(main())
