"""Rotations about the beam that leave a crystal unchanged, or nearly so."""

import math
from collections.abc import Sequence

import numpy as np
import spglib
from ase import Atoms
from numpy.typing import NDArray

from iphasenet.crystal.space_group import ask_spglib

_SAME = 2.0
"""Rotations that differ by less count as equal [degrees]."""

_FAR = 6
"""Lattice vectors are combined up to this often to find the nearest layers across a zone axis."""


def rotations_about_beam(cell: Atoms, tolerance: float = 0.05, screws: bool = True) -> list[float]:
    """
    Rotations of a crystal's symmetry about the beam.

    Parameters
    ----------
    cell : ase.Atoms
        Orthogonal cell, beam along z.
    tolerance : float
        Distance within which atoms count as equal [Å].
    screws : bool
        Also rotations with a shift along the beam. They leave a crystal unchanged but not a slab: its surfaces are at
        another height of the cell.

    Returns
    -------
    list of float
        Angles [degrees], 0 among them.
    """
    crystal = (cell.cell.array, cell.get_scaled_positions(), cell.numbers)
    # An orthogonal cell of a hexagonal crystal hides its sixfold axis.
    primitive = ask_spglib(spglib.standardize_cell, crystal, True, True, tolerance)
    lattice = np.asarray((crystal if primitive is None else primitive)[0]).T
    found = None if primitive is None else ask_spglib(spglib.get_symmetry, primitive, tolerance)
    angles = {0.0}
    layer = _layer(lattice)
    operations = [] if found is None else zip(found["rotations"], found["translations"], strict=True)
    for matrix, shift in operations:
        turn, height = lattice @ matrix @ np.linalg.inv(lattice), float(lattice[2] @ shift)
        allowed = screws or abs(math.remainder(height, layer)) < tolerance
        if allowed and np.allclose(turn[2], [0, 0, 1], atol=1e-3) and np.linalg.det(turn[:2, :2]) > 0:
            angles.add(round(math.degrees(math.atan2(turn[1, 0], turn[0, 0])), 1) % 360)
    return sorted(angles)


def _layer(lattice: NDArray[np.float64]) -> float:
    """Height between layers of a lattice (its vectors as columns) across z [Å]."""
    counts = np.stack(np.meshgrid(*[np.arange(-_FAR, _FAR + 1)] * 3), axis=-1).reshape(-1, 3)
    heights = np.abs(counts @ lattice[2])
    return float(heights[heights > 1e-2].min())


def distinct(rotations: Sequence[float], symmetry: Sequence[float]) -> list[float]:
    """Rotations [degrees] that symmetry does not take into an earlier one."""
    kept: list[float] = []
    for rotation in rotations:
        differences = [(rotation - other - turn + 180) % 360 - 180 for other in kept for turn in symmetry]
        if all(abs(difference) > _SAME for difference in differences):
            kept.append(rotation)
    return kept
