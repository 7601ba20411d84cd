"""Rotations about the beam that leave a crystal unchanged, or nearly so."""

import math
from collections.abc import Sequence

import numpy as np
import spglib
from ase import Atoms

from iphasenet.crystal.space_group import ask_spglib

_SAME = 2.0
"""Rotations that differ by less count as equal [degrees]."""


def rotations_about_beam(cell: Atoms, tolerance: float = 0.05) -> list[float]:
    """
    Rotations of a crystal's symmetry about the beam.

    Parameters
    ----------
    cell : ase.Atoms
        Orthogonal cell, beam along z.
    tolerance : float
        Distance within which atoms count as equal [Å].

    Returns
    -------
    list of float
        Angles [degrees], 0 among them. Shifts along the beam are ignored: they move the surfaces by less than a cell.
    """
    crystal = (cell.cell.array, cell.get_scaled_positions(), cell.numbers)
    # An orthogonal cell of a hexagonal crystal hides its sixfold axis.
    primitive = ask_spglib(spglib.standardize_cell, crystal, True, True, tolerance)
    lattice = np.asarray((crystal if primitive is None else primitive)[0]).T
    found = None if primitive is None else ask_spglib(spglib.get_symmetry, primitive, tolerance)
    angles = {0.0}
    for matrix in [] if found is None else found["rotations"]:
        turn = lattice @ matrix @ np.linalg.inv(lattice)
        if np.allclose(turn[2], [0, 0, 1], atol=1e-3) and np.linalg.det(turn[:2, :2]) > 0:
            angles.add(round(math.degrees(math.atan2(turn[1, 0], turn[0, 0])) % 360, 1))
    return sorted(angles)


def distinct(rotations: Sequence[float], symmetry: Sequence[float]) -> list[float]:
    """Rotations [degrees] that symmetry does not take into an earlier one."""
    kept: list[float] = []
    for rotation in rotations:
        differences = [(rotation - other - turn + 180) % 360 - 180 for other in kept for turn in symmetry]
        if all(abs(difference) > _SAME for difference in differences):
            kept.append(rotation)
    return kept
