"""Options of `iphasenet inspect`."""

import argparse
from pathlib import Path


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command's options."""
    command = commands.add_parser(
        "inspect",
        help="what a file holds",
        description="Show what crystals, images, simulations and data sets hold, as this library reads them, computing "
        "nothing. A file that cannot be read is one line; the others are shown. Exit code 1 where there is one.",
    )
    command.add_argument("input", type=Path, nargs="+", metavar="FILE",
                         help="CIF, image of any format that `reconstruct` takes, or store (.zarr)")  # fmt: skip
    command.add_argument("--json", action="store_true", help="a list of one object a file, for other programs")
    command.add_argument("--block", metavar="NAME", help="of a CIF with several")
