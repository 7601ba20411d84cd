"""First step: tests that a CPU cannot do."""

import time
from typing import Any

import pytest

from benchmarks.gpu.context import Context
from benchmarks.gpu.layout import ROOT
from benchmarks.gpu.results import NOT_MEASURED

_TABLE = "Tests"


class _Kept:
    """Keeps each test's outcome as soon as it is known, and leaves out those that no time is left for."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Plan them all."""
        self.context.plan(_TABLE, [{"test": _name(item.nodeid)} for item in session.items])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self) -> bool | None:
        """Say that a test was dealt with where there is no time for it."""
        return True if self.context.left() <= 0 else None

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or report.outcome != "passed":
            row = {"test": _name(report.nodeid), "outcome": report.outcome, "seconds": report.duration}
            if report.failed:
                row["failed"] = report.longreprtext.strip().splitlines()[-1].replace("|", "/")[:160]
            self.context.keep(_TABLE, row, test=row["test"])


def _name(node: str) -> str:
    return node.split("::")[-1]


def measure(context: Context) -> None:
    """Run tests/gpu on the device."""
    started = time.monotonic()
    arguments = ["-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT), "-c", "/dev/null", str(ROOT / "tests" / "gpu")]
    code = pytest.main(arguments, plugins=[_Kept(context)])
    rows = context.tables.get(_TABLE, [])
    outcomes = [row["outcome"] for row in rows if "outcome" in row]
    context.facts |= {"code": int(code), "seconds": time.monotonic() - started}
    context.facts |= {outcome: outcomes.count(outcome) for outcome in ("passed", "failed", "skipped")}
    if code:
        context.error = f"{context.facts['failed']} of {len(rows)} tests failed" if rows else "found no tests"
    elif len(outcomes) < len(rows):
        context.facts[NOT_MEASURED] = f"no time was left for {len(rows) - len(outcomes)} of {len(rows)} tests"
