"""Translations across the beam that leave a crystal's cell unchanged."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from iphasenet.crystal.kinds import atom_kinds

if TYPE_CHECKING:
    from ase import Atoms

TRANSLATION_TOLERANCE = 1e-6
"""Largest distance of atoms from the places where a translation puts others [Å]."""

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def lateral_translations(atoms: "Atoms") -> list[tuple[int, int, int]]:
    """Find the translations across the beam, shorter than the cell, that leave an orthogonal cell unchanged.

    A plane wave only scatters between beams whose orders (h, k) have the same (u h + v k) mod n for each of them.

    Parameters
    ----------
    atoms
        Orthogonal cell with the beam along z: positions (n_atoms, 3) [Å]; ``occupancies`` and ``displacements``, where
        there are any, are part of what must stay unchanged.

    Returns
    -------
    list of (u, v, n)
        Translations by u / n of the first axis and v / n of the second, to `TRANSLATION_TOLERANCE`.
    """
    lengths = atoms.cell.lengths()
    positions = _wrapped(atoms.positions, lengths)
    kinds = atom_kinds(atoms)
    # A fourth coordinate, which is not periodic, keeps atoms of different kinds apart.
    tree = cKDTree(np.column_stack([positions, kinds]), boxsize=[*lengths, 0.0])
    alike = _smallest_layer(kinds, positions)
    found = []
    for shift in positions[alike[1:]] - positions[alike[0]]:
        shift[2] = 0.0
        distance, _ = tree.query(np.column_stack([_wrapped(positions + shift, lengths), kinds]))
        if distance.max() < TRANSLATION_TOLERANCE:
            # A translation closes after at most as many repeats as the layer has atoms.
            order = _order(shift[:2] / lengths[:2], lengths[:2], len(alike))
            if order is not None:
                u, v = np.rint(order * shift[:2] / lengths[:2]).astype(int) % order
                found.append((int(u), int(v), order))
    return sorted(found)


def _wrapped(positions: FloatArray, lengths: FloatArray) -> FloatArray:
    """Positions in [0, length): a remainder may round up to the length itself, which a periodic tree refuses."""
    remainder = np.mod(positions, lengths)
    return np.where(remainder >= lengths, 0.0, remainder)


def _smallest_layer(kinds: IntArray, positions: FloatArray) -> IntArray:
    """Find the fewest atoms of one kind at one height, as indices."""
    layers = np.stack([kinds, np.rint(positions[:, 2] / TRANSLATION_TOLERANCE)], axis=1)
    _, layer, counts = np.unique(layers, axis=0, return_inverse=True, return_counts=True)
    return np.flatnonzero(layer.ravel() == np.argmin(counts))


def _order(shift: FloatArray, lengths: FloatArray, largest: int) -> int | None:
    """Repeats after which a translation [fractions] closes; None if it never does, or if no fast grid fits it."""
    for order in range(2, largest + 1):
        rest = np.abs(order * shift - np.rint(order * shift)) * lengths
        # Errors of coordinates add up. Grids have no prime factor above 7: only such orders divide a power of 210.
        if (rest < 2 * order * TRANSLATION_TOLERANCE).all():
            return order if 210**16 % order == 0 else None
    return None
