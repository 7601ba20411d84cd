"""Options of `iphasenet render`."""

import argparse
from pathlib import Path

from iphasenet.base.quantities import MEMORY
from iphasenet.commands.options import DefaultsHelp


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command's options."""
    command = commands.add_parser(
        "render",
        help="make one sample of a data set again",
        description="Simulate, render and add noise for one sample, from its crystal structure and the settings that "
        "the data set holds, and compare it with the stored one.",
        formatter_class=DefaultsHelp,
    )
    command.add_argument(
        "--dataset", type=Path, required=True, metavar="ZARR", help="assembled data set that holds the sample"
    )
    command.add_argument(
        "--sample", required=True, metavar="ID", help="sample_id, such as GaN-tilt0003-rotation01-40nm"
    )
    command.add_argument("--structures", type=Path, default=Path(), metavar="FOLDER",
                         help="folder to which the data set's paths of CIF files are relative")  # fmt: skip
    command.add_argument(
        "--output",
        type=Path,
        metavar="ZARR",
        help="store to be made with the sample; if not given, it is only compared",
    )
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu", help="device that computes")
    command.add_argument(
        "--memory", type=MEMORY, default=2000.0, metavar="MB", help="memory that the waves may take [MB]"
    )
