"""Zone axes along which a crystal can be simulated, and how large its cells are there."""

from collections.abc import Iterator
from itertools import product
from math import gcd

import numpy as np
import spglib
from ase import Atoms

from iphasenet.corpus.beam_path import Axis, BeamPath
from iphasenet.crystal.lattice import orthogonal_combination
from iphasenet.crystal.space_group import ask_spglib
from iphasenet.crystal.structure import cut_cell
from iphasenet.crystal.translations import lateral_translations

AXES: tuple[Axis, ...] = tuple(
    sorted(
        ((u, v, w) for u, v, w in product((0, 1, -1), repeat=3) if gcd(u, v, w) == 1 and (u, v, w) > (0, 0, 0)),
        key=lambda axis: (sum(map(abs, axis)), [-index for index in axis]),
    )
)
"""Lattice directions with indices 0 and 1, simple ones first, without their opposites."""


def beam_paths(atoms: Atoms, largest: float) -> list[BeamPath]:
    """
    List the zone axes of low index along which a crystal repeats soon enough.

    Parameters
    ----------
    atoms : Atoms
        Cell of the crystal.
    largest : float
        Largest area [Å²].

    Returns
    -------
    list of BeamPath
        One of each set of axes that the symmetry takes into each other, smallest area first.
    """
    found = []
    for axis in _unlike_axes(atoms):
        matrix = orthogonal_combination(np.asarray(atoms.cell[:]), np.array(axis), None)
        # More translations than these are rare, and larger cells take long.
        if matrix is None or _area(matrix @ atoms.cell[:]) > 16 * largest:
            continue
        cell = cut_cell(atoms, matrix)
        area = _area(cell.cell[:]) / (1 + len(lateral_translations(cell)))
        if area <= largest:
            found.append(BeamPath(axis, area, float(cell.info["strain_percent"])))
    return sorted(found, key=lambda path: round(path.area, 3))


def _area(vectors: np.ndarray) -> float:
    return float(np.linalg.norm(np.cross(vectors[0], vectors[1])))


def _unlike_axes(atoms: Atoms) -> Iterator[Axis]:
    """Axes of which the symmetry takes none into another or its opposite."""
    cell = (atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers)
    symmetry = ask_spglib(spglib.get_symmetry, cell, 1e-3)
    rotations = np.eye(3, dtype=int)[None] if symmetry is None else np.unique(symmetry["rotations"], axis=0)
    seen: set[Axis] = set()
    for axis in AXES:
        if axis not in seen:
            yield axis
            alike = np.vstack([rotations @ axis, -rotations @ axis])
            seen |= {(int(u), int(v), int(w)) for u, v, w in alike}
