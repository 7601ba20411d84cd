"""Places of atoms that may be empty or hold one of several elements: virtual crystal and random occupation.

In a cell each element of such a place is an atom with its occupancy, at the same position: the virtual crystal. In a
slab each place can hold one of them, or nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from iphasenet.base.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

PLACE_TOLERANCE = 1e-3
"""Partly occupied atoms closer than this are at one place [Å]."""

SUM_TOLERANCE = 1e-6
"""Occupancies of one place may add up to this much above 1, by rounding."""

_FloatArray = NDArray[np.float64]
_IntArray = NDArray[np.int64]


def occupancies_of(atoms: Atoms) -> _FloatArray:
    """Share of cells in which each atom is there, shape (atom,); 1 where the structure says nothing."""
    found = atoms.arrays.get("occupancies")
    return np.ones(len(atoms)) if found is None else np.asarray(found, dtype=np.float64)


def pairs_within(atoms: Atoms, cutoff: float | _FloatArray) -> tuple[_IntArray, _IntArray, _FloatArray]:
    """
    Find atoms that are close to each other and at different places.

    Parameters
    ----------
    atoms : ase.Atoms
        Atoms, with periodic images along its periodic axes.
    cutoff : float or (atom,) array
        Largest distance, or the radii of which it is the sum [Å].

    Returns
    -------
    (pair,) arrays
        Indices of both atoms and their distances [Å]; each pair stands twice. Atoms that are always there have places
        of their own.
    """
    # The identity of a crystal, which training asks for, needs no ASE: GPU environments have none.
    from ase.neighborlist import neighbor_list

    i, j, distance = neighbor_list("ijd", atoms, cutoff)
    partly = occupancies_of(atoms) < 1
    apart = ~(partly[i] & partly[j] & (distance < PLACE_TOLERANCE))
    return i[apart], j[apart], distance[apart]


def places_of(atoms: Atoms) -> _IntArray:
    """
    Find which atoms share a place.

    Parameters
    ----------
    atoms : ase.Atoms
        Atoms; ``occupancies`` below 1 are those of places that are partly occupied or mixed.

    Returns
    -------
    (atom,) integer array
        Index of the first atom at the same place.
    """
    first = np.arange(len(atoms))
    partly = np.flatnonzero(occupancies_of(atoms) < 1)
    if partly.size:
        pairs = cKDTree(atoms.positions[partly]).query_pairs(PLACE_TOLERANCE, output_type="ndarray")
        graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(partly.size, partly.size))
        _, group = connected_components(graph, directed=False)
        _, leader, member = np.unique(group, return_index=True, return_inverse=True)
        first[partly] = partly[leader[member]]
    return first


def check_occupancies(atoms: Atoms, name: str) -> None:
    """Refuse occupancies beyond 0 to 1, and places that hold more than one atom; `name` begins the message."""
    shares = occupancies_of(atoms)
    bad = np.flatnonzero(~((shares > 0) & (shares <= 1)))
    if bad.size:
        raise InputError(
            f"{name}: found the occupancy {shares[bad[0]]:g} of atom {bad[0]} ({atoms.symbols[bad[0]]}); "
            "allowed: above 0, to 1"
        )
    if shares.min() == 1:
        return
    places = places_of(atoms)
    totals = np.bincount(places, shares)
    full = int(totals.argmax())
    if totals[full] > 1 + SUM_TOLERANCE:
        listed = ", ".join(f"{atoms.symbols[k]} {shares[k]:g}" for k in np.flatnonzero(places == full))
        raise InputError(
            f"{name}: found occupancies at one place that add up to {totals[full]:.4g} ({listed}); allowed: at most 1"
        )


def random_occupation(slab: Atoms, seed: int) -> Atoms:
    """
    Draw what each place of a slab holds: one of its elements, or nothing.

    Parameters
    ----------
    slab : ase.Atoms
        Atoms with ``occupancies``.
    seed : int
        Seed of the draw.

    Returns
    -------
    ase.Atoms
        The atoms that are there, in their order and without ``occupancies``. Places are drawn independently of each
        other: there is no short-range order.
    """
    places, shares = places_of(slab), occupancies_of(slab)
    order = np.argsort(places, kind="stable")
    sums = np.cumsum(shares[order])
    starts = np.flatnonzero(np.diff(places[order], prepend=-1))
    sums -= np.repeat(sums[starts] - shares[order][starts], np.diff(starts, append=len(slab)))
    # Each range begins where the last one of its place ends, to the last digit.
    lower, upper = np.empty(len(slab)), np.empty(len(slab))
    upper[order], lower[order] = sums, np.concatenate([[0.0], sums[:-1]])
    lower[order[starts]] = 0.0
    # The same seed displaces atoms elsewhere: this is another stream.
    drawn = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,))).random(len(slab))[places]
    kept = slab[((lower <= drawn) & (drawn < upper)) | (shares == 1)]
    kept.arrays.pop("occupancies", None)
    return kept
