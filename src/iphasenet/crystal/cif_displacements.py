"""Displacement parameters of a CIF, as the file states them: U or B, isotropic or a tensor, row by row."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from iphasenet.base.errors import InputError
from iphasenet.crystal.cif_file import CifBlock, number

MEASURED_AT = 293.0
"""Temperature of displacements in a file that tells none [K]."""

BETA = "beta_ij"
"""Tensors in the exponent of the structure factor, which contain the reciprocal axes."""

_B = 8 * math.pi**2
"""B / U."""

_KINDS = {"u": ("U_ij", 1.0), "b": ("B_ij", _B), "beta": (BETA, 2 * math.pi**2)}
"""Tensors by their tags, the first that is given wins: how they are called, and what they are divided by."""

_NULL = ("", ".", "?")
_PARTS = ("11", "22", "33", "23", "13", "12")
_DIAGONAL = 3


@dataclass(frozen=True)
class Stated:
    """
    Displacement parameters of one site.

    Attributes
    ----------
    source : str
        What gave them: ``U_ij``, ``B_ij``, ``beta_ij``, ``U_iso``, ``B_iso``; empty if nothing did.
    values : tuple of float
        U [Å²]: one isotropic value, or U11, U22, U33, U23, U13, U12 along the reciprocal axes, as CIFs have them; for
        ``beta_ij``, U_ij a*_i a*_j without a unit.
    problem : str
        Why they cannot be used; empty if they can. A crystal at rest does not ask.
    """

    source: str = ""
    values: tuple[float, ...] = ()
    problem: str = ""


NOTHING = Stated()


def read_displacements(block: CifBlock, labels: Sequence[str]) -> tuple[Stated, ...]:
    """
    Read the displacement parameters of all rows of the list of atoms.

    Parameters
    ----------
    block : CifBlock
        Block of a CIF.
    labels : sequence of str
        Labels of the rows.

    Returns
    -------
    tuple of Stated
        One for each row. Tensors, which are found by the label, win over the isotropic column, and U wins over B. What
        is unknown, or exactly 0, counts as not given: programs write zeros where nothing was refined.
    """
    tensors = _tensors(block)
    columns = {
        "U_iso": (_column(block, "_atom_site_u_iso_or_equiv", len(labels)), 1.0),
        "B_iso": (_column(block, "_atom_site_b_iso_or_equiv", len(labels)), _B),
    }
    found = []
    for row, label in enumerate(labels):
        stated = [tensors[label]] if label and label in tensors else []
        stated += [_stated(source, texts[row : row + 1], unit) for source, (texts, unit) in columns.items() if texts]
        found.append(next((one for one in stated if one.source), NOTHING))
    return tuple(found)


def stray_tensors(block: CifBlock) -> tuple[str, ...]:
    """Labels that have a tensor and no site."""
    sites = set(block.column("_atom_site_label"))
    return tuple(label for label in _tensors(block) if label not in sites)


def measured_at(block: CifBlock) -> float:
    """Temperature of the measurement as the file tells it [K]; `MEASURED_AT` if it tells none."""
    told = block.number(
        "_diffrn_ambient_temperature", "_diffrn_ambient_temp", "_cell_measurement_temperature", "_cell_measurement_temp"
    )
    return MEASURED_AT if math.isnan(told) else told


def _column(block: CifBlock, tag: str, count: int) -> tuple[str, ...]:
    column = block.column(tag)
    if column and len(column) != count:
        raise InputError(f"{block.path}: found {len(column)} values of {tag} for {count} atoms; allowed: one for each")
    return column


def _tensors(block: CifBlock) -> dict[str, Stated]:
    """Tensors by label."""
    labels = block.column("_atom_site_aniso_label", "_atom_site_label")
    found: dict[str, Stated] = {}
    for kind, (source, unit) in _KINDS.items():
        columns = [block.column(f"_atom_site_aniso_{kind}_{part}") for part in _PARTS]
        if not all(columns):
            continue
        if {len(column) for column in columns} != {len(labels)}:
            raise InputError(
                f"{block.path}: found {len(columns[0])} tensors of displacements for {len(labels)} labels; "
                "allowed: one for each"
            )
        for label, *texts in zip(labels, *columns, strict=True):
            stated = _stated(source, texts, unit)
            if stated.source and label in found and found[label].source == stated.source and found[label] != stated:
                problem = f"two different {stated.source} for the label {label}; allowed: one"
                stated = Stated(stated.source, stated.values, problem)
                found[label] = stated
            elif stated.source:
                found.setdefault(label, stated)
    return found


def _stated(source: str, texts: Sequence[str], unit: float) -> Stated:
    """Parameters in one row, divided by their unit; nothing if they are unknown or zero."""
    if any(text in _NULL for text in texts):
        return NOTHING
    values = tuple(number(text) / unit for text in texts)
    for text, value in zip(texts, values, strict=True):
        if not math.isfinite(value):
            return Stated(source, values, f"{source} {text!r}, which is no number; allowed: a number, '.' or '?'")
    return Stated(source, values) if any(values[:_DIAGONAL]) else NOTHING
