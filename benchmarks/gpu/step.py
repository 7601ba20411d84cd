"""One step in its own process, started by `benchmarks.gpu.run`."""

import argparse
import importlib
import logging
import signal
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.context import Context, OutOfTimeError, one_line
from benchmarks.gpu.run import SHARES


def main(arguments: Sequence[str] | None = None) -> int:
    """Do a step; what it found and what failed stands in its results."""
    parser = argparse.ArgumentParser(description="One step of the measurements.")
    parser.add_argument("name", choices=SHARES)
    parser.add_argument("--results", type=Path, required=True, help="JSON file to be written")
    parser.add_argument("--output", type=Path, required=True, help="folder of what goes back besides")
    parser.add_argument("--until", type=float, required=True, help="when it should end, of the monotonic clock [s]")
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    context = Context(options.results, options.output, options.until, options.rehearse)

    def end(*_signal: Any) -> None:
        context.until = min(context.until, time.monotonic())

    # Told to end, a step ends as if its time were over, and keeps what it has.
    signal.signal(signal.SIGTERM, end)
    try:
        context.write()
        importlib.import_module(f"benchmarks.gpu.steps.{options.name}").measure(context)
    except OutOfTimeError as over:
        context.facts["not measured"] = str(over)
    except Exception as error:
        logging.exception(options.name)
        context.error = one_line(error)
    context.write()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
