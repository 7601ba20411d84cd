"""Options of `iphasenet inspect`."""

import argparse
from pathlib import Path


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command's options."""
    command = commands.add_parser(
        "inspect",
        help="show what a file holds",
        description="Show what crystals, images, simulations and data sets hold, as this library reads them; nothing "
        "is computed. A file that cannot be read gives one line and exit code 1; the others are still shown.",
    )
    command.add_argument("input", type=Path, nargs="+", metavar="FILE",
                         help="CIF, image of any format that `reconstruct` takes, or store (.zarr)")  # fmt: skip
    command.add_argument(
        "--json", action="store_true", help="print a JSON list with one object per file, for other programs"
    )
    command.add_argument("--block", metavar="NAME", help="block of a CIF that holds several structures")
