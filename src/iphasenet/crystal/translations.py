"""Translations across the beam that leave a crystal's cell unchanged."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
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
_Share = tuple[Fraction, Fraction]
"""Translation along both axes, shares of the cell."""


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
        Translations by u / n of the first axis and v / n of the second, to `TRANSLATION_TOLERANCE`; with any two of
        them, their sum is one of them, or none.
    """
    lengths = atoms.cell.lengths()
    positions = _wrapped(atoms.positions, lengths)
    kinds = atom_kinds(atoms)
    # A fourth coordinate, which is not periodic, keeps atoms of different kinds apart.
    tree = cKDTree(np.column_stack([positions, kinds]), boxsize=[*lengths, 0.0])
    alike = _smallest_layer(kinds, positions)

    def misses(shift: FloatArray) -> float:
        """Largest distance of a shifted atom from one of its kind [Å]."""
        distance, _ = tree.query(np.column_stack([_wrapped(positions + shift, lengths), kinds]))
        return float(distance.max())

    found = []
    for shift in positions[alike[1:]] - positions[alike[0]]:
        shift[2] = 0.0
        if misses(shift) < TRANSLATION_TOLERANCE:
            # A translation closes after at most as many repeats as the layer has atoms.
            order = _order(shift[:2] / lengths[:2], lengths[:2], len(alike))
            if order is not None:
                u, v = np.rint(order * shift[:2] / lengths[:2]).astype(int) % order
                found.append((Fraction(int(u), order), Fraction(int(v), order)))
    return _closed(found, lambda share: misses(np.array([*map(float, share), 0.0]) * lengths), len(alike))


def _closed(found: Sequence[_Share], misses: Callable[[_Share], float], largest: int) -> list[tuple[int, int, int]]:
    """
    Make a group of translations: sums that were not found, because coordinates are rounded, are added or refused.

    Parameters
    ----------
    found : sequence of (Fraction, Fraction)
        Translations, shares of the cell.
    misses : callable
        Largest distance by which an exact translation misses an atom [Å].
    largest : int
        Largest number of translations, that of none included.

    Returns
    -------
    list of (u, v, n)
        Those of the group but that of none; it is smaller where a sum misses by twice the tolerance.
    """
    group = {(Fraction(0), Fraction(0))}
    for share in found:
        multiples = {(k * share[0] % 1, k * share[1] % 1) for k in range(math.lcm(*(x.denominator for x in share)))}
        wider = {((a + c) % 1, (b + d) % 1) for a, b in group for c, d in multiples}
        new = wider - group - set(found)
        if len(wider) <= largest and all(misses(one) < 2 * TRANSLATION_TOLERANCE for one in new):
            group = wider
    orders = [(one, math.lcm(*(x.denominator for x in one))) for one in group if any(one)]
    return sorted((int(a * order), int(b * order), order) for (a, b), order in orders)


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
