"""Options of `iphasenet validate`."""

import argparse


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command's options."""
    command = commands.add_parser(
        "validate",
        help="check a data set",
        description="Check files against their checksums; shapes, types and units; that all numbers are finite, "
        "segment sums below 1 and potentials above 0; that no tilt is in two splits. Exit code 1 where anything is "
        "wrong.",
    )
    command.add_argument("dataset", metavar="ZARR", help="assembled data set: path or URL")
