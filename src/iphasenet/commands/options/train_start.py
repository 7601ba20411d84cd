"""Options of `iphasenet train-start`."""

import argparse
from pathlib import Path

from iphasenet.base import quantities
from iphasenet.base.quantities import Quantity
from iphasenet.commands.options.fit import add_crystal, add_ranges
from iphasenet.commands.options.recorded_image import FILES, GROUPS, add_groups

SIMULATIONS = 600

_NUMBER = Quantity("", 20, 100_000, whole=True)

_DESCRIPTION = (
    "Train a small network that guesses the tilt of one crystal from its images, in minutes, so that iphasenet fit "
    "--start need not search for it: worth it for many images of a crystal at different rotations. The images given "
    "here say only what the microscope is."
)


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command's options."""
    command = commands.add_parser(
        "train-start", help="train a network that finds where the fit of a crystal begins", description=_DESCRIPTION
    )
    command.add_argument("input", type=Path, nargs="+", metavar="FILE", help=FILES)
    command.add_argument("--output", type=Path, required=True, metavar="FILE",
                         help="file of the network to be made, .safetensors")  # fmt: skip
    command.add_argument("--simulations", type=_NUMBER, default=SIMULATIONS, metavar="N",
                         help=f"tilts that are simulated, {SIMULATIONS} if not given")  # fmt: skip
    command.add_argument("--seed", type=quantities.SEED, default=0, metavar="N",
                         help="seed of all that is drawn, 0 if not given")  # fmt: skip
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto",
                         help="device that simulates; if not given, auto: a GPU where there is one")  # fmt: skip
    command.add_argument("--threads", type=quantities.THREADS, default=1, metavar="N",
                         help="simulations that are made at a time, one process each; 1 if not given")  # fmt: skip
    add_crystal(command, several=False)
    add_ranges(command)
    add_groups(command, GROUPS)
