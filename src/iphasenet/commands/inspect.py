"""`iphasenet inspect`: what a file holds, as this library reads it."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from iphasenet.door import describe, is_foreseen
from iphasenet.errors import InputError

CRYSTALS = (".cif", ".mcif")


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command's options."""
    command = commands.add_parser(
        "inspect",
        help="what a file holds",
        description="Show what crystals, images, simulations and data sets hold, as this library reads them, computing "
        "nothing. A file that cannot be read is one line; the others are shown. Exit code 1 where there is one.",
    )
    command.set_defaults(run=run)
    command.add_argument("input", type=Path, nargs="+", metavar="FILE",
                         help="CIF, image of any format that `reconstruct` takes, or store (.zarr)")  # fmt: skip
    command.add_argument("--json", action="store_true", help="a list of one object a file, for other programs")
    command.add_argument("--block", metavar="NAME", help="of a CIF with several")


def run(options: argparse.Namespace) -> None:
    """Show one file after the other."""
    if options.block is not None and not any(path.suffix.lower() in CRYSTALS for path in options.input):
        raise InputError("--block: found it without a CIF, where it has no effect; allowed: for a CIF")
    found, failed = [], False
    for path in options.input:
        try:
            facts, text = _inspect(path, options.block)
        except Exception as error:
            if options.debug or not is_foreseen(error):
                raise
            failed = True
            found.append({"file": str(path), "error": describe(error)})
            print(f"iphasenet: {describe(error)}", file=sys.stderr)
            continue
        found.append({"file": str(path), **facts})
        if not options.json:
            print(f"{path}\n  " + text(facts).replace("\n", "\n  "), flush=True)
            for warning in facts.get("warnings", ()):
                print(f"warning: {path}: {warning}", file=sys.stderr)
    if options.json:
        print(json.dumps(found, indent=2))
    if failed:
        sys.exit(1)


def _inspect(path: Path, block: str | None) -> tuple[dict[str, Any], Callable[[dict[str, Any]], str]]:
    """Read a file by its ending: what it holds, and how that is told."""
    # Each loads libraries of its own, which takes seconds.
    if path.suffix.lower() in CRYSTALS:
        from iphasenet.crystal_report import crystal_facts, crystal_text

        return crystal_facts(path, block), crystal_text
    if path.suffix.lower() == ".zarr":
        from iphasenet.user_images.store_report import store_facts, store_text

        return store_facts(path), store_text
    from iphasenet.user_images.image_report import image_facts, image_text

    return image_facts(path), image_text
