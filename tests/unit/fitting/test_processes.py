"""Calls in several processes."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from iphasenet.base.errors import InputError
from iphasenet.fitting.processes import calls, start_processes


@dataclass
class Counter:
    """Counts its calls."""

    made: list[int] = field(default_factory=list)

    def add(self, number: int) -> tuple[int, int, int]:
        """Return the number, how many calls this object has had, and the process."""
        self.made.append(number)
        return number, len(self.made), os.getpid()

    def fail(self, number: int) -> int:
        """Refuse 3."""
        if number == 3:
            raise InputError("number: found 3; allowed: others")
        return number

    def sleep(self, seconds: float) -> float:
        """Take some time."""
        time.sleep(seconds)
        return seconds

    def die(self, number: int) -> int:
        """End the process as a system without memory does."""
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return number


def test_results_come_in_order_from_processes_that_keep_the_object() -> None:
    start_processes(2)
    found = list(calls(Counter().add, [(number,) for number in range(12)], 2))
    assert [number for number, _, _ in found] == list(range(12))
    here = os.getpid()
    by_process: dict[int, list[int]] = {}
    for _, count, process in found:
        by_process.setdefault(process, []).append(count)
    assert here not in by_process
    for counts in by_process.values():
        assert sorted(counts) == list(range(1, len(counts) + 1))


def test_one_process_is_this_one() -> None:
    counter = Counter()
    assert [one[2] for one in calls(counter.add, [(1,), (2,)], 1)] == [os.getpid()] * 2
    assert counter.made == [1, 2]


def test_what_a_call_refuses_is_refused_here() -> None:
    found = calls(Counter().fail, [(number,) for number in range(6)], 2)
    assert [next(found) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match="found 3"):
        next(found)


def test_a_killed_process_is_one_line_and_later_calls_work() -> None:
    with pytest.raises(InputError, match=r"threads: found 2 processes, one of which was killed.*allowed: fewer"):
        list(calls(Counter().die, [(number,) for number in range(4)], 2))
    assert [number for number, _, _ in calls(Counter().add, [(1,), (2,)], 2)] == [1, 2]


class _Stop(BaseException):
    """As the command line stops."""


def test_who_stops_does_not_wait_for_calls_that_run() -> None:
    found = calls(Counter().sleep, [(0.0,), (60.0,), (60.0,)], 2)
    next(found)
    begin = time.monotonic()
    with pytest.raises(_Stop):
        found.throw(_Stop())  # type: ignore[attr-defined]
    # A later fit gets new processes at once.
    assert [number for number, _, _ in calls(Counter().add, [(1,), (2,)], 2)] == [1, 2]
    assert time.monotonic() - begin < 40


def test_processes_end_with_the_program_that_started_them() -> None:
    script = (
        "import os, signal\n"
        "from tests.unit.fitting.test_processes import Counter\n"
        "from iphasenet.fitting.processes import calls\n"
        "print(*{process for _, _, process in calls(Counter().add, [(n,) for n in range(8)], 2)}, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=False)
    left = [int(text) for text in ended.stdout.split()]
    assert left
    give_up = time.monotonic() + 20
    while any(Path(f"/proc/{process}").exists() for process in left):
        assert time.monotonic() < give_up
        time.sleep(0.2)
