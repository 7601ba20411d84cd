"""The command `iphasenet`."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from iphasenet import __version__
from iphasenet.base.error_lines import one_line
from iphasenet.base.errors import InputError
from iphasenet.base.running_library import OWN, check_own
from iphasenet.commands.options.reconstruct import refuse_three_angles

COMMANDS = ("inspect", "corpus", "simulate", "render", "validate", "export", "fit", "train-start", "reconstruct")
"""Subcommands; each has a module in `iphasenet.commands` and one in `iphasenet.commands.options`."""


class _Parser(argparse.ArgumentParser):
    """Reports a wrong command line like any other bad input."""

    def error(self, message: str) -> NoReturn:
        hint = "" if "allowed: " in message else f"; `{self.prog} --help` lists what is allowed"
        raise InputError(message.removeprefix("argument ") + hint)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; whatever goes wrong ends it with one line and exit code 1."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    with one_line("iphasenet", "--debug" in given):
        library = check_own()
        if OWN in os.environ:
            print(library, file=sys.stderr)
        parser = _parser()
        # argparse would read it as an empty list.
        if any(text.endswith("=--") for text in given):
            parser.error("found an option with the value '--'; allowed: a value of the option")
        if given[:1] == ["reconstruct"]:
            refuse_three_angles(given)
        options = parser.parse_args(given)
        # Only the command that is asked for loads its libraries, which takes seconds.
        import_module(f"iphasenet.commands.{_module(options.command)}").run(options)


def _module(command: str) -> str:
    return command.replace("-", "_")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="iphasenet", description="Simulate and invert four-quadrant STEM images.")
    parser.add_argument("--version", action="version", version=f"iphasenet {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for name in COMMANDS:
        import_module(f"iphasenet.commands.options.{_module(name)}").add_command(commands)
    for command in commands.choices.values():
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser
