"""Options of `iphasenet corpus`."""

import argparse
from pathlib import Path

from iphasenet.base import quantities


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command's options."""
    command = commands.add_parser(
        "corpus",
        help="survey a folder of crystals",
        description="Read all CIFs of a folder and its folders, and write a table with one row for each: how it was "
        "read, or why it was refused, its structure type and family, and the zone axes along which it can be "
        "simulated. A file that is refused is a row of the table; the command goes on.",
    )
    command.add_argument("folder", type=Path, metavar="FOLDER", help="folder with CIFs")
    command.add_argument("--output", type=Path, required=True, metavar="CSV", help="table to be made")
    command.add_argument("--largest-area", type=quantities.CELL_AREA, default=120.0, metavar="Å²",
                         help="zone axes are listed whose cell has at most this area across the beam [Å²]; default: "
                         "120")  # fmt: skip
