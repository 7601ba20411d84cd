"""`iphasenet train-start`: a network that guesses one crystal's tilt, from which its fits begin."""

import argparse

from iphasenet.base.devices import choose_device, use_threads
from iphasenet.base.marks import START
from iphasenet.base.outputs import Output, check_outputs
from iphasenet.commands.known_crystal import limits_of, read_cell, read_images
from iphasenet.commands.progress import steps_progress
from iphasenet.fitting.start_network import save_start
from iphasenet.fitting.start_training import train_start
from iphasenet.fitting.task import task_of


def run(options: argparse.Namespace) -> None:
    """Train as the command line says."""
    (structure,) = options.structure
    limits = limits_of(options)
    check_outputs([Output("--output", options.output, START, (".safetensors",))], [*options.input, structure])
    task = task_of(read_images(options), read_cell(structure, options), limits, choose_device(options.device),
                   options.threads)  # fmt: skip
    with use_threads(1), steps_progress() as progress:
        start = train_start(task, options.simulations, progress, options.seed)
    save_start(options.output, start)
    error = start.described["tilt_error_deg"]
    print(
        f"{options.output}: {structure.name}, guesses tilts that it has not seen to {error['median']:.2f}° (median; "
        f"90 %: {error['90 %']:.2f}°)"
    )
