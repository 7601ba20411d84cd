"""`iphasenet inspect`: what a file holds, as this library reads it."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from iphasenet.base.error_lines import describe
from iphasenet.base.errors import InputError
from iphasenet.base.file_checks import check_regular

CRYSTALS = (".cif", ".mcif")


def run(options: argparse.Namespace) -> None:
    """Show one file after the other."""
    if options.block is not None and not any(path.suffix.lower() in CRYSTALS for path in options.input):
        raise InputError("--block has no effect without a CIF: remove it, or give a CIF file")
    found, failed = [], False
    for path in options.input:
        try:
            facts, text = _inspect(path, options.block)
        except Exception as error:
            # An error of the program also ends only the file at which it occurs.
            if options.debug:
                raise
            failed = True
            line = describe(error)
            line = line if str(path) in line else f"{path}: {line}"
            found.append({"file": str(path), "error": line})
            print(f"iphasenet: {line}", file=sys.stderr)
            continue
        found.append({"file": str(path), **facts})
        if not options.json:
            print(f"{path}\n  " + text.replace("\n", "\n  "), flush=True)
            for warning in facts.get("warnings", ()):
                print(f"warning: {path}: {warning}", file=sys.stderr)
    if options.json:
        print(json.dumps(found, indent=2, allow_nan=False))
    if failed:
        sys.exit(1)


def _inspect(path: Path, block: str | None) -> tuple[dict[str, Any], str]:
    """Read a file by its ending: what it holds, as JSON values and in words."""
    facts, text = _facts(path, block)
    # Other programs cannot read NaN in JSON: a reader that lets one pass has a fault, reported for this file only.
    json.dumps(facts, allow_nan=False)
    return facts, text(facts)


def _facts(path: Path, block: str | None) -> tuple[dict[str, Any], Callable[[dict[str, Any]], str]]:
    check_regular(path)
    # Each import loads its own libraries, which takes seconds.
    if path.suffix.lower() in CRYSTALS:
        from iphasenet.crystal.facts import crystal_facts, crystal_text

        return crystal_facts(path, block), crystal_text
    if path.suffix.lower() == ".zarr":
        from iphasenet.microscope_files.store_facts import store_facts, store_text

        return store_facts(path), store_text
    from iphasenet.microscope_files.image_facts import image_facts, image_text

    return image_facts(path), image_text
