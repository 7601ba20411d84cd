"""Identity of a crystal: by its simulated structure where it is known, else by its name."""

import hashlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from iphasenet.crystal.kinds import GOLDEN, properties_of
from iphasenet.crystal.places import occupancies_of

_STEPS = 5040
"""Steps along an edge of the cell, about 0.001 Å each; halves, thirds, ... tenths of the edge are whole steps."""

_LENGTH_STEP = 1e-3
"""Step to which edges are rounded: cells whose edges differ by less are the same [Å]."""

_PROPERTY_STEPS = (1e-3, 1e-4)
"""Steps to which occupancies [1] and displacement tensors [Å²] are rounded."""


class CrystalIdentity(NamedTuple):
    """
    Name and structure of a crystal.

    Attributes
    ----------
    name : str
        Name of the material.
    structure : str
        What `structure_hash` found; empty where it is not known.
    """

    name: str
    structure: str = ""

    def is_same(self, other: "CrystalIdentity") -> bool:
        """Compare the structures if both are known, whatever the names; else the names."""
        if self.structure and other.structure:
            return self.structure == other.structure
        return self.name == other.name


def structure_hash(cell: Any) -> str:
    """
    Name a structure by its contents.

    Parameters
    ----------
    cell : ase.Atoms
        Orthogonal cell whose third axis is the zone axis (`iphasenet.crystal.structure.orthogonal_cell`), with or
        without ``occupancies``.

    Returns
    -------
    str
        Sixteen hexadecimal digits from the edges, rounded to 0.001 Å, and the elements and places of all atoms,
        rounded to 1/5040 of each edge. Occupancies, rounded to 0.001, are part of it unless all atoms are always there.
        The order of the atoms and the origin do not matter, nor does thermal motion: a network that has seen a crystal
        at one temperature has seen it. Another choice of axes is another structure, because tilts refer to the axes.
    """
    cell = cell.copy()
    cell.arrays.pop("displacements", None)
    lengths = np.asarray(cell.cell.lengths(), np.float64)
    fractional = np.asarray(cell.positions, np.float64) / lengths
    numbers = np.asarray(cell.numbers, np.int64)
    atoms = numbers[:, None] if occupancies_of(cell).min() == 1 else properties_of(cell, _PROPERTY_STEPS)
    elements, counts = np.unique(numbers, return_counts=True)
    # The origin is put on each atom of the rarest element; the smallest result counts.
    origins = fractional[numbers == elements[counts.argmin()]]
    seen = min(_places(atoms, fractional - origin) for origin in origins)
    edges = np.floor(lengths / _LENGTH_STEP + GOLDEN).astype("<i8").tobytes()
    return hashlib.sha256(edges + seen).hexdigest()[:16]


def _places(atoms: NDArray[np.int64], fractional: NDArray[np.float64]) -> bytes:
    """Properties and places of all atoms, in order."""
    places = np.floor(fractional * _STEPS + GOLDEN).astype(np.int64) % _STEPS
    rows = np.column_stack([atoms, places])
    return rows[np.lexsort(rows.T[::-1])].astype("<i8").tobytes()
