"""One step in its own process, started by `benchmarks.gpu.run`."""

import argparse
import importlib
import logging
import os
import signal
import time
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.gpu.context import Context, OutOfTimeError, one_line
from benchmarks.gpu.layout import GO, RESULTS
from benchmarks.gpu.results import NOT_MEASURED, read_json
from benchmarks.gpu.run import SHARES, end_with_parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Do a step; what it found and what failed stands in its results."""
    parser = argparse.ArgumentParser(description="One step of the measurements.")
    parser.add_argument("name", choices=SHARES)
    parser.add_argument("--folder", type=Path, required=True, help="folder of the step's inputs and results")
    parser.add_argument("--output", type=Path, required=True, help="folder of other files that go back")
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_args(arguments)
    end_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    try:
        measure = importlib.import_module(f"benchmarks.gpu.steps.{options.name}").measure
    except Exception as error:
        measure = partial(_fail, error)
    context = Context(options.folder / RESULTS, options.output, _wait(options.folder / GO), options.rehearse)

    def end(*_signal: Any) -> None:
        context.until = min(context.until, time.monotonic())

    # Told to end, a step ends as if its time were over, and keeps what it has.
    signal.signal(signal.SIGTERM, end)
    try:
        context.write()
        measure(context)
    except OutOfTimeError as over:
        context.facts[NOT_MEASURED] = str(over)
    except Exception as error:
        logging.exception(options.name)
        context.error = one_line(error)
    context.done = True
    context.write()
    return 0


def _fail(error: Exception, _context: Context) -> None:
    raise error


def _wait(path: Path) -> float:
    """Wait until the step may begin; when it should end [s]."""
    parent = os.getppid()
    while not path.is_file():
        # The parent may have ended while libraries were imported; the folder goes with the run.
        if os.getppid() != parent or not path.parent.is_dir():
            # Nobody is left who could say so.
            raise SystemExit(1)
        time.sleep(0.05)
    return float(read_json(path)["until"])


if __name__ == "__main__":
    raise SystemExit(main())
