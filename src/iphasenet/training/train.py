"""Command line of a training process; torchrun starts one or many of them.

torchrun --standalone --nproc-per-node=1 -m iphasenet.training.train --help
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from iphasenet.base.errors import InputError
from iphasenet.base.marks import HISTORY, WEIGHTS
from iphasenet.base.outputs import Output, check_outputs
from iphasenet.base.storage import is_url, parse_place
from iphasenet.microscope.acquisition import Acquisition, TrainingNoise
from iphasenet.network.settings import ModelSettings
from iphasenet.training.fit import Outputs, Sources, fit
from iphasenet.training.process import is_first, training_process
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
    with training_process(options.threads):
        settings = _read_settings(options.settings)
        sources = Sources(options.dataset, options.stream, options.simulations)
        outputs = Outputs(options.weights, options.history, options.checkpoints)
        if is_first():
            _check_places(sources, outputs)
        fit(sources, outputs, *settings, options.resume, options.accelerator)


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


if __name__ == "__main__":
    main()
