"""The command `iphasenet`."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from iphasenet.errors import InputError

COMMANDS = ("simulate", "render", "validate", "export", "reconstruct")
"""Each is a module of `iphasenet.commands`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; bad input ends it with one line and exit code 1."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="iphasenet", description="Four-quadrant STEM images of crystals.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    # Only the command that is asked for loads its libraries, which takes seconds.
    for name in [name for name in COMMANDS if name in given[:1]] or COMMANDS:
        import_module(f"iphasenet.commands.{name}").add_command(commands)
    options = parser.parse_args(given)
    try:
        options.run(options)
    except InputError as error:
        sys.exit(f"iphasenet: {error}")
