"""`iphasenet validate`: check a data set."""

import argparse
import sys

from iphasenet.base.storage import parse_place
from iphasenet.commands.progress import progress_bar
from iphasenet.dataset.validation import CHECKS, validate

SHOWN = 5
"""Largest number of problems that are listed for a check."""


def run(options: argparse.Namespace) -> None:
    """Print one line per check, and the problems found."""
    with progress_bar("validate", "samples") as progress:
        problems = validate(parse_place(options.dataset), progress)
    for check in CHECKS:
        found = [problem.text for problem in problems if problem.check == check]
        print(f"{check:<10} {f'{len(found)} wrong' if found else 'ok'}")
        for text in found[:SHOWN]:
            print(f"           {text}")
        if len(found) > SHOWN:
            print(f"           ... and {len(found) - SHOWN} more")
    if problems:
        sys.exit(1)
