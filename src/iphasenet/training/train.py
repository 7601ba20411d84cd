"""Command line of a training process; torchrun starts one or many of them.

torchrun --standalone --nproc-per-node=1 -m iphasenet.training.train --help
"""

import argparse
import json
import logging
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any, NoReturn

import torch.distributed as dist
from torch.multiprocessing import _prctl_pr_set_pdeathsig  # type: ignore[attr-defined]

from iphasenet.base.devices import use_threads
from iphasenet.base.error_lines import describe, is_foreseen, is_memory_error
from iphasenet.base.errors import InputError
from iphasenet.base.job_log import journal
from iphasenet.base.marks import HISTORY, WEIGHTS
from iphasenet.base.outputs import Output, check_outputs
from iphasenet.base.storage import is_url, parse_place
from iphasenet.microscope.acquisition import Acquisition, TrainingNoise
from iphasenet.network.settings import ModelSettings
from iphasenet.training.callbacks import Stopped
from iphasenet.training.fit import Outputs, Sources, fit, is_first
from iphasenet.training.settings import TrainingSettings


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of a training process."""
    parser = argparse.ArgumentParser(
        prog="iphasenet.training.train", description="Train the network on an assembled data set."
    )
    parser.add_argument("--dataset", type=parse_place, required=True, help="assembled Zarr store: path, URL or record")
    parser.add_argument("--weights", type=Path, required=True, help="safetensors file to be made")
    parser.add_argument("--history", type=Path, required=True, help="CSV file of losses and metrics to be made")
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder of checkpoints, which stay after a run")
    parser.add_argument("--settings", required=True, help="settings as JSON: noise, model, training")
    parser.add_argument("--resume", type=Path, help="checkpoint of the same run to resume; if not given, its newest")
    parser.add_argument("--stream", action="store_true", help="read images when they are needed, not all into memory")
    parser.add_argument("--simulations", type=Path, nargs="+", default=[], help="files from which crops are rendered")
    parser.add_argument("--accelerator", choices=("auto", "cpu"), default="auto", help="auto uses GPUs, cpu does not")
    parser.add_argument(
        "--threads", type=int, default=1, help="CPU threads of all processes on this machine, 1 if not given"
    )
    options = parser.parse_args(arguments)
    # Set in the process and for every library: Snakemake sets several variables to the threads of all processes, and
    # idle threads of one library take cores from the next.
    threads = max(1, options.threads // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    # No worker processes: crops take little of a step, and forked readers of Zarr can block.
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    # A log that cannot be written is reported once, by the error that ends the training, not at every line.
    logging.raiseExceptions = False
    if "TORCHELASTIC_RUN_ID" in os.environ:
        # A launcher that is killed cannot stop its processes; the kernel then sends them a signal to stop.
        _prctl_pr_set_pdeathsig(signal.SIGTERM)
    try:
        with use_threads(threads), _journal():
            settings = _read_settings(options.settings)
            sources = Sources(options.dataset, options.stream, options.simulations)
            outputs = Outputs(options.weights, options.history, options.checkpoints)
            if is_first():
                _check_places(sources, outputs)
            fit(sources, outputs, *settings, options.resume, options.accelerator)
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


def _check_places(sources: Sources, outputs: Outputs) -> None:
    """Refuse outputs that cannot be written before anything is computed; those of an earlier training are replaced."""
    asked = (
        Output("--weights", outputs.weights, WEIGHTS, (".safetensors",), folder=False),
        Output("--history", outputs.history, HISTORY, (".csv",), folder=False),
        Output("--checkpoints", outputs.checkpoints, folder=True, added=True),
    )
    dataset = [] if is_url(sources.dataset) else [Path(sources.dataset)]
    check_outputs(asked, [*dataset, *sources.simulations])


def _read_settings(text: str) -> tuple[TrainingNoise, ModelSettings, TrainingSettings]:
    """Read noise, model and training settings from JSON; InputError names unknown and missing settings."""
    try:
        given = json.loads(text)
        noise, model, training = (dict(given[part]) for part in ("noise", "model", "training"))
        dose, acquisition = noise["dose"], dict(noise["acquisition"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"--settings: found {text[:60]!r}, which cannot be read ({type(error).__name__}: {error}); allowed: JSON "
            "of noise (dose, acquisition), model and training"
        ) from error
    return (
        TrainingNoise(dose, Acquisition.of(acquisition)),
        ModelSettings.of(model),
        TrainingSettings.of(training),
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


if __name__ == "__main__":
    main()
