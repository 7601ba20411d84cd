"""Run the steps on the GPU machine one after another within the given time; started by run.sh.

Each step is a process of its own, or one per GPU: if it fails, hangs or is killed, this is an entry of the results, and
the next step starts on a free GPU.
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
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import IO, Any

from benchmarks.gpu.check import missing, unpack_wheels
from benchmarks.gpu.layout import COLUMN_WEIGHTS, GO, LOG, RESULTS, ROOT, TABLE, WEIGHTS
from benchmarks.gpu.results import (
    NOT_MEASURED,
    NOT_RUN,
    TIME_OVER,
    read_json,
    report,
    step_text,
    succeeded,
    write_json,
    write_whole,
)

SHARES = {
    **{"tests": 0.125, "engine": 0.2, "throughput": 0.22, "columns": 0.3, "training": 1.0, "reconstruction": 0.07}
}
"""Steps in their order, and the largest share of all the time that each may take; training takes what is left."""

MOST = {"tests": 60.0}
"""Longest time of a step on a GPU, its end included [s]; cores that others use, too, take longer to rehearse it."""

TOGETHER = ("throughput", "training")
"""Steps that take all GPUs; the others take the first."""

_LEAST = 0.04
"""Share of the time that is kept for each step to come."""

_GRACE = 10.0
"""Longest time for a step to end by itself once its own is over [s]; at most a tenth of all."""


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
    several : bool
        Whether there are several steps.
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
    several: bool = True
    steps: dict[str, Any] = field(default_factory=dict)

    @property
    def grace(self) -> float:
        """Time for a step to end by itself once its own is over [s]."""
        return min(_GRACE, 6 * self.minutes)

    @property
    def left(self) -> float:
        """Time that is left for steps, the end of the last one's process not included [s]."""
        return self.started + 60 * self.minutes - self.grace - time.monotonic()

    @property
    def succeeded(self) -> list[str]:
        """Steps that have measured something."""
        return [name for name, step in self.steps.items() if succeeded(step)]

    def stop(self, *_signal: Any) -> None:
        """Have the step that runs end now, and none follow."""
        self.stopped, self.until = True, min(self.until, time.monotonic())

    def all_steps(self, names: Sequence[str]) -> None:
        """Do the steps, as far as there is time; each one's libraries are imported while the one before is at work."""
        self.several = len(names) > 1
        with tempfile.TemporaryDirectory() as folder, (self.output / LOG).open("wb") as log:
            waiting: subprocess.Popen[bytes] | None = self._start(names[0], Path(folder), log)
            for number, name in enumerate(names):
                process, following = waiting, names[number + 1 :]
                waiting = self._start(following[0], Path(folder), log) if following and not self.stopped else None
                seconds = min(self._most(name), self.left - _LEAST * 60 * self.minutes * len(following))
                if process is None or self.stopped or seconds < 1:
                    why = "stopped by a signal" if self.stopped else "no time was left"
                    self._keep(name, {"error": f"{NOT_RUN}: {why}"}, time.monotonic())
                else:
                    self._step(name, process, Path(folder) / name, seconds)
                print(f"## {name}\n\n{step_text(self.steps[name])}\n", flush=True)
                if process is not None:
                    _kill(process)

    def _most(self, name: str) -> float:
        """Longest time of a step [s]."""
        # A step alone takes all.
        share = (SHARES[name] if self.several else 1.0) * 60 * self.minutes
        return share if self.rehearsal or name not in MOST else min(share, MOST[name] - self.grace)

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
                self._keep(name, read_json(file), began)
        found, reminded = read_json(file), told != signal.SIGCONT
        # What was done had nothing left to do but to end.
        ending = "" if found.get("done") and reminded else _ending(process.returncode, self.stopped, reminded)
        self._keep(name, {**found, "error": found.get("error") or ending}, began)

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
        due = signal.SIGKILL if late > self.grace else signal.SIGTERM if late > 0 else signal.SIGCONT
        if due != told:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, due)
        return due

    def _keep(self, name: str, found: Mapping[str, Any], began: float) -> None:
        """Write what all steps have shown so far."""
        # A step that came to nothing was on the machine of the others.
        before: dict[str, Any] = next((step for step in self.steps.values() if step["device"] != "unknown"), {})
        where = {part: before.get(part, "unknown") for part in ("device", "torch")}
        named = {**where, "tables": {}, "facts": {}, "error": "", **found}
        when = {"date": datetime.date.today().isoformat(), "seconds": time.monotonic() - began}
        replaced = _pieces(self.steps.get(name, {}))
        self.steps[name] = {**named, **when}
        known = {"rehearsal": self.rehearsal, "minutes": self.minutes, "devices": self.devices, "steps": self.steps}
        write_json(self.output / RESULTS, known)
        write_whole(self.output / TABLE, report(known).encode())
        # Of weights that better ones have replaced, now that the results name these.
        for piece in replaced - _pieces(self.steps[name]):
            (self.output / piece).unlink(missing_ok=True)


def _pieces(step: Mapping[str, Any]) -> set[str]:
    """Files of weights that a step's results name."""
    return set(step.get("facts", {}).get("weights", {}).get("pieces", ()))


def set_aside(output: Path) -> str:
    """Move what an earlier run left in the folder of results into a folder of its own there; its name, if any."""
    found = [output / name for name in (RESULTS, TABLE, LOG) if (output / name).exists()]
    found += [path for name in (WEIGHTS, COLUMN_WEIGHTS) for path in output.glob(f"{name}*.*-of-*")]
    if not found:
        return ""
    folder = next(path for number in count(1) if not (path := output / f"earlier-{number}").exists())
    folder.mkdir()
    for path in found:
        path.rename(folder / path.name)
    return folder.name


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
        return TIME_OVER
    return "" if code == 0 else f"ended with code {code}; {LOG} says more"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of run.sh."""
    began = time.monotonic()
    parser = argparse.ArgumentParser(prog="run.sh", description="Measure and train on this machine's GPUs.")
    parser.add_argument("--minutes", type=float, default=8.0, help="time for all steps [minutes], 8 if not given")
    parser.add_argument(
        "--output",
        type=Path,
        default=ROOT / "results",
        help="folder of the results; if not given, results beside run.sh",
    )
    parser.add_argument(
        "--steps", nargs="+", choices=SHARES, default=list(SHARES), help="steps to run; all if not given"
    )
    parser.add_argument(
        "--devices", type=int, help="number of GPUs, all if not given; of a rehearsal, processes, 1 if not given"
    )
    parser.add_argument(
        "--rehearse", action="store_true", help="run on a CPU, at toy size, as a test: the numbers have no meaning"
    )
    options = parser.parse_args(arguments)
    if not 0 < options.minutes <= 600:
        parser.error(f"--minutes: found {options.minutes:g}; allowed: above 0, at most 600")
    try:
        with tempfile.TemporaryDirectory() as site:
            unpack_wheels(ROOT / "wheels", Path(site))
            sys.path.append(site)
            os.environ["PYTHONPATH"] = os.pathsep.join([os.environ.get("PYTHONPATH", ""), site])
            return _measured(options, began)
    except OSError as error:
        print(f"run.sh: {error.filename or tempfile.gettempdir()}: {error.strerror or error}", file=sys.stderr)
        return 1


def _measured(options: argparse.Namespace, began: float) -> int:
    """Check the machine, and do the steps."""
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
    earlier = set_aside(output)
    if earlier:
        print(f"{output}: what an earlier run left is in {earlier}", flush=True)
    run = Run(output, options.minutes, options.devices or most, options.rehearse, began)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, run.stop)
    run.all_steps(options.steps)
    reasons = {
        name: step["error"] or step["facts"].get(NOT_MEASURED, "nothing measured") for name, step in run.steps.items()
    }
    others = [f"{name} ({reason})" for name, reason in reasons.items() if name not in run.succeeded]
    told = f"succeeded: {', '.join(run.succeeded) or 'no step'}" + (f"; not: {', '.join(others)}" if others else "")
    print(f"{output}: {RESULTS}, {TABLE}, {LOG}; {told}", flush=True)
    if run.stopped:
        return 128 + signal.SIGTERM
    return 0 if run.succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
