"""The command `iphasenet`."""

import argparse
import sys
from collections.abc import Sequence

from iphasenet.commands import export, reconstruct, render, simulate, validate
from iphasenet.errors import InputError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; bad input ends it with one line and exit code 1."""
    parser = argparse.ArgumentParser(prog="iphasenet", description="Four-quadrant STEM images of crystals.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (simulate, render, validate, export, reconstruct):
        command.add_command(commands)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except InputError as error:
        sys.exit(f"iphasenet: {error}")
