"""Options of `iphasenet validate`."""

import argparse


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command's options."""
    command = commands.add_parser(
        "validate",
        help="check a data set",
        description="Check the files against their checksums; shapes, types and units; that all numbers are finite, "
        "segment sums below 1 and potentials above 0; and that no tilt is in two splits. The exit code is 1 if "
        "anything is wrong.",
    )
    command.add_argument("dataset", metavar="ZARR", help="path or URL of an assembled data set")
