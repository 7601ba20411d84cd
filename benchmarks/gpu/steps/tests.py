"""First step: tests that a CPU cannot do."""

import time
from typing import Any

import pytest

from benchmarks.gpu.context import Context
from benchmarks.gpu.layout import ROOT

_TABLE = "Tests"


class _Kept:
    """Keeps each test's outcome as soon as it is known, and ends where the time is over."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or report.outcome != "passed":
            with self.context.row(_TABLE, test=report.nodeid.split("::")[-1]) as row:
                row["outcome"], row["seconds"] = report.outcome, report.duration
                if report.failed:
                    row["failed"] = report.longreprtext.strip().splitlines()[-1].replace("|", "/")[:160]

    def pytest_runtest_logfinish(self) -> None:
        if self.context.left() <= 0:
            pytest.exit("no time was left", 1)


def measure(context: Context) -> None:
    """Run tests/gpu on the device."""
    started = time.monotonic()
    arguments = ["-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT), "-c", "/dev/null", str(ROOT / "tests" / "gpu")]
    code = pytest.main(arguments, plugins=[_Kept(context)])
    outcomes = [row["outcome"] for row in context.tables.get(_TABLE, [])]
    context.facts |= {"code": int(code), "seconds": time.monotonic() - started}
    context.facts |= {outcome: outcomes.count(outcome) for outcome in ("passed", "failed", "skipped")}
    if code:
        context.error = f"{context.facts['failed']} of {len(outcomes)} tests failed" if outcomes else "found no tests"
