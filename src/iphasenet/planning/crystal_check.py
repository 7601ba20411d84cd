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


def check_crystals(materials: Mapping[str, Mapping[str, Any]], folder: Path = Path()) -> None:
    """
    Refuse structures without a cell along their zone axis, and displacements of elements that they do not hold.

    Parameters
    ----------
    materials : mapping
        Entries of the configuration by name, with one zone axis each.
    folder : path
        Folder to which the paths of the CIFs are relative.

    Raises
    ------
    InputError
        One line that names the material. Warnings are not shown here, but by the jobs that read the structure.
    """
    from iphasenet.crystal.potential import check_displacements
    from iphasenet.crystal.structure import crystal_cell

    known: dict[str, list[str]] = {}
    for name, entry in materials.items():
        displacements = entry.get("rms_displacement_angstrom")
        at_rest = {key: value for key, value in entry.items() if key != "rms_displacement_angstrom"}
        crystal = json.dumps(at_rest)
        try:
            if crystal not in known:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", InputWarning)
                    known[crystal] = sorted(set(crystal_cell(at_rest, folder).get_chemical_symbols()))
            check_displacements(displacements, known[crystal])
        except InputError as error:
            raise InputError(f"materials.{name}: {error}") from error


def main(arguments: Sequence[str] | None = None) -> None:
    """End with one line if a structure would be refused."""
    parser = argparse.ArgumentParser(prog="iphasenet.planning.crystal_check", description="Try to read structures.")
    parser.add_argument("file", type=Path, help="JSON: materials by name, with one zone axis each")
    options = parser.parse_args(arguments)
    with one_line("configuration", mistakes=False):
        check_own()
        check_crystals(json.loads(options.file.read_text(encoding="utf-8"))["materials"])


if __name__ == "__main__":
    main()
