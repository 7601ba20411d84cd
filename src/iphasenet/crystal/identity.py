"""Which crystal is meant: by its structure, as it is simulated, where that is known, and by its name elsewhere."""

import hashlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_STEPS = 5040
"""Places along an edge of the cell: about 0.001 Å apart; halves, thirds, ... tenths of the edge are places."""

_LENGTH_STEP = 1e-3
"""Two cells are one if their edges differ by less [Å]."""

_GOLDEN = (5**0.5 - 1) / 2
"""Numbers are cut there between two steps: no decimal number and no fraction lies so, which rounding could move."""


class CrystalIdentity(NamedTuple):
    """
    A crystal by its name and its structure.

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
        """Compare structures, whatever the names, where both are known; else names."""
        if self.structure and other.structure:
            return self.structure == other.structure
        return self.name == other.name


def structure_hash(cell: Any) -> str:
    """
    Name a structure by what it is.

    Parameters
    ----------
    cell : ase.Atoms
        Orthogonal cell whose third axis is the zone axis (`iphasenet.crystal.structure.orthogonal_cell`).

    Returns
    -------
    str
        Sixteen hexadecimal digits, of the edges to 0.001 Å and of the elements and places of all atoms to 1/5040 of
        each edge, in whatever order and from whatever origin the file gives them. Thermal displacements are no part.
        Another choice of axes is another structure: tilts are told along them.
    """
    lengths = np.asarray(cell.cell.lengths(), np.float64)
    fractional = np.asarray(cell.positions, np.float64) / lengths
    numbers = np.asarray(cell.numbers, np.int64)
    elements, counts = np.unique(numbers, return_counts=True)
    # Seen from an atom of the rarest element, whichever sees the least.
    origins = fractional[numbers == elements[counts.argmin()]]
    seen = min(_places(numbers, fractional - origin) for origin in origins)
    edges = np.floor(lengths / _LENGTH_STEP + _GOLDEN).astype("<i8").tobytes()
    return hashlib.sha256(edges + seen).hexdigest()[:16]


def _places(numbers: NDArray[np.int64], fractional: NDArray[np.float64]) -> bytes:
    """Elements and places of all atoms, in order."""
    places = np.floor(fractional * _STEPS + _GOLDEN).astype(np.int64) % _STEPS
    rows = np.column_stack([numbers, places])
    return rows[np.lexsort(rows.T[::-1])].astype("<i8").tobytes()
