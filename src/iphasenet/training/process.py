"""A training process: threads, log, and an end in one line whatever happens."""

import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, NoReturn

import torch.distributed as dist
from torch.multiprocessing import _prctl_pr_set_pdeathsig  # type: ignore[attr-defined]

from iphasenet.base.devices import use_threads
from iphasenet.base.error_lines import describe, is_foreseen, is_memory_error
from iphasenet.base.job_log import journal
from iphasenet.training.callbacks import Stopped


def is_first() -> bool:
    """Whether this is the first process of all."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def training_process(threads: int) -> Iterator[None]:
    """
    Run a training in this process; what is foreseen ends it with one line.

    Parameters
    ----------
    threads : int
        CPU threads of all processes on this machine.
    """
    # Set in the process and for every library: Snakemake sets several variables to the threads of all processes, and
    # idle threads of one library take cores from the next.
    own = max(1, threads // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    # No worker processes: crops take little of a step, and forked readers of Zarr can block.
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    # A log that cannot be written is reported once, by the error that ends the training, not at every line.
    logging.raiseExceptions = False
    if "TORCHELASTIC_RUN_ID" in os.environ:
        # A launcher that is killed cannot stop its processes; the kernel then sends them a signal to stop.
        _prctl_pr_set_pdeathsig(signal.SIGTERM)
    try:
        with use_threads(own), _journal():
            yield
    except Exception as error:
        if not is_foreseen(error):
            raise
        _end(f"training: {_describe(error).removeprefix('training: ')}")
    except (KeyboardInterrupt, SystemExit) as stop:
        # Lightning treats Ctrl-C as a normal end.
        if KeyboardInterrupt in (type(stop), type(stop.__context__)):
            stop = Stopped(128 + signal.SIGINT)
        if not isinstance(stop, Stopped):
            raise
        _end("training: stopped by a signal; it goes on from its newest checkpoint when it is started again", stop.code)


def _describe(error: Exception) -> str:
    """Describe in one line what ended a training."""
    if not is_memory_error(error):
        return describe(error)
    reason = " ".join(str(error).split())[:200] or "no details"
    return (
        f"found too little memory ({reason}); allowed: a smaller training.batch_size or training.crop_pixels, "
        "jobs.training_processes on more GPUs, or jobs.training_stream true, which keeps no images in memory"
    )


def _end(message: str, code: Any = 1) -> NoReturn:
    """End this process with a message."""
    with suppress(OSError):
        print(message, file=sys.stderr, flush=True)
    try:
        sys.stdout.flush()
    except OSError:
        # Nobody reads the output, which Python would report when it ends.
        os._exit(code)
    if dist.is_available() and dist.is_initialized() and dist.get_backend() == "nccl":
        # A normal end would wait in NCCL for the other processes, which wait for this one's gradients.
        os._exit(code)
    raise SystemExit(code)


def _journal() -> AbstractContextManager[Any]:
    """Log of the first process, written to its output."""
    return journal("training", logging.StreamHandler(sys.stdout)) if is_first() else nullcontext()
