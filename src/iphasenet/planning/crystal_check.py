"""Check of the structures before a workflow starts; runs in an environment that can read crystals.

python -m iphasenet.planning.crystal_check FILE
"""

import argparse
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iphasenet.base.error_lines import one_line
from iphasenet.base.errors import InputError, InputWarning
from iphasenet.base.running_library import check_own


def check_crystals(
    materials: Mapping[str, Mapping[str, Any]], folder: Path = Path(), temperature_k: float = 0.0
) -> None:
    """
    Refuse structures without a cell along their zone axis, and displacements that cannot be.

    Parameters
    ----------
    materials : mapping
        Entries of the configuration by name, with one zone axis each.
    folder : path
        Folder to which the paths of the CIFs are relative.
    temperature_k : float
        Temperature of the thermal motion [K]; 0 means atoms at rest.

    Raises
    ------
    InputError
        One line that names the material. Warnings are not shown here, but by the jobs that read the structure.
    """
    from iphasenet.crystal.structure import crystal_cell

    fine: list[Mapping[str, Any]] = []
    for name, entry in materials.items():
        if entry in fine:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", InputWarning)
                crystal_cell(entry, folder, temperature_k)
        except InputError as error:
            raise InputError(f"materials.{name}: {error}") from error
        fine.append(entry)


def main(arguments: Sequence[str] | None = None) -> None:
    """End with one line if a structure would be refused."""
    parser = argparse.ArgumentParser(prog="iphasenet.planning.crystal_check", description="Try to read structures.")
    parser.add_argument("file", type=Path, help="JSON: materials by name, with one zone axis each, and temperature_k")
    options = parser.parse_args(arguments)
    with one_line("configuration", mistakes=False):
        check_own()
        check_crystals(**json.loads(options.file.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
