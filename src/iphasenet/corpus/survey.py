"""Survey of a folder of CIFs: what each holds, how it was read, and along which zone axes it can be simulated."""

from collections.abc import Callable
from math import gcd, isnan
from pathlib import Path
from typing import Any

import pandas

from iphasenet.base.errors import InputError
from iphasenet.corpus.beam_paths import beam_paths
from iphasenet.corpus.families import families
from iphasenet.corpus.structure_type import PARENT_TOLERANCE, structure_type
from iphasenet.crystal.cif import Crystal, read_crystal
from iphasenet.crystal.cif_claims import density, hill
from iphasenet.crystal.cif_displacements import MEASURED_AT
from iphasenet.crystal.orbits import counts_of
from iphasenet.crystal.places import occupancies_of
from iphasenet.crystal.thermal_motion import ESTIMATED, thermal_motion

COLUMNS = (
    "name", "file", "reading", "remark", "formula", "checked_by", "density_g_cm3", "atoms", "space_group",
    "space_group_number", "type", "parent_type", "family", "displacements", "zone_axes", "database_code",
)  # fmt: skip
"""Columns of the table: one row for each CIF."""


def survey(folder: Path, largest_area: float, progress: Callable[[int, int], object] | None = None) -> pandas.DataFrame:
    """
    Read all CIFs of a folder and its folders.

    Parameters
    ----------
    folder : Path
        Folder.
    largest_area : float
        Zone axes are listed whose cell has at most this area across the beam [Å²].
    progress : callable, optional
        Called with the numbers of files read and in all.

    Returns
    -------
    DataFrame
        Rows with `COLUMNS`, in the order of the files' paths. ``reading`` is ``read``, ``warned`` or ``refused``, and
        ``remark`` says why; a refused file has nothing else. ``checked_by`` names what of the file confirms the atoms:
        ``formula``, ``density``, both, or nothing. ``formula`` is that of a formula unit. ``family`` is a number that
        crystals with a structure type, a parent type or a formula in common share, and theirs; disordered crystals have
        no type. ``zone_axes`` lists axes with their areas [Å²] and strains.

    Raises
    ------
    InputError
        If there are no CIFs.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".cif" and not path.is_dir())
    if not paths:
        raise InputError(f"{folder}: found no CIF in this folder; allowed: a folder with at least one .cif")
    rows = []
    for number, path in enumerate(paths):
        row = {"name": path.stem, "file": path.relative_to(folder).as_posix(), **_row(path, largest_area)}
        # Names of files need not be text.
        rows.append({key: _text(value) if isinstance(value, str) else value for key, value in row.items()})
        if progress is not None:
            progress(number + 1, len(paths))
    # A column that is empty is one of text all the same.
    table = pandas.DataFrame(rows, columns=list(COLUMNS), dtype=object)
    table["density_g_cm3"] = table["density_g_cm3"].astype(float)
    for column in ("atoms", "space_group_number", "family"):
        table[column] = table[column].astype("Int64")
    known = table["type"].notna()
    # A type that is the parent of others is their relative. A parent that was not found is no kinship.
    columns = (("type", "type"), ("type", "parent_type"), ("formula", "formula"))
    kinds = [
        [(kind, row[column]) for kind, column in columns if isinstance(row[column], str)]
        for _, row in table[known].iterrows()
    ]
    table.loc[known, "family"] = families(kinds)
    return table


def _text(value: str) -> str:
    """Replace what no text file can hold, and join lines."""
    return " ".join(value.encode("utf-8", "replace").decode("utf-8").split())


def _row(path: Path, largest_area: float) -> dict[str, Any]:
    """Read one file."""
    try:
        crystal = read_crystal(path)
        motions, _ = thermal_motion(crystal, MEASURED_AT)
    except InputError as error:
        return {"reading": "refused", "remark": str(error).removeprefix(f"{path}: ")}
    atoms, counts = crystal.atoms(), counts_of(crystal.orbits)
    setting = crystal.reading.group.setting
    row: dict[str, Any] = {
        "reading": "warned" if crystal.warnings else "read",
        "remark": "; ".join(crystal.warnings),
        "formula": _formula_unit(counts),
        "checked_by": _checks(crystal),
        "density_g_cm3": round(density(counts, atoms.get_volume()), 3),
        "atoms": len(atoms),
        "space_group": crystal.reading.group.name,
        "space_group_number": setting.number if setting else None,
        "displacements": _displacements([motion.source for motion in motions]),
        "database_code": crystal.database_code,
    }
    if occupancies_of(atoms).min() < 1:
        return row
    found, parent = structure_type(atoms), structure_type(atoms, PARENT_TOLERANCE)
    paths = beam_paths(atoms, largest_area)
    return row | {
        "space_group": found.symbol if found else row["space_group"],
        "space_group_number": found.number if found else row["space_group_number"],
        "type": found.label if found else None,
        "parent_type": parent.label if parent else None,
        "zone_axes": "; ".join(map(str, paths)),
    }


def _formula_unit(counts: dict[str, float]) -> str:
    """Divide the formula of a cell by what its counts have in common."""
    if all(float(count).is_integer() for count in counts.values()):
        divisor = gcd(*map(int, counts.values()))
        counts = {element: count / divisor for element, count in counts.items()}
    return hill(counts)


def _checks(crystal: Crystal) -> str:
    """List what the file says of its contents; the atoms that were read agree with all of it."""
    claims = crystal.claims
    said = {"formula": bool(claims.text), "density": not isnan(claims.density)}
    return " and ".join(name for name, given in said.items() if given)


def _displacements(sources: list[str]) -> str:
    """Whether displacements are published."""
    estimated = sources.count(ESTIMATED)
    if not estimated:
        return "published"
    return "estimated" if estimated == len(sources) else "partly published"
