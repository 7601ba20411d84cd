"""Sites combined with symmetry: all places of each site; rows of one element that share a place are joined."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.crystal.cif_displacements import NOTHING, Stated
from iphasenet.crystal.cif_sites import OCCUPANCY_TOLERANCE, Site
from iphasenet.crystal.places import SUM_TOLERANCE
from iphasenet.crystal.space_group import Group

MERGE_DISTANCE = 0.3
"""Images of a site closer than this are the same atom [Å]: atoms are further apart, rounding errors are smaller."""

SAID_DISTANCE = 0.01
"""A site that symmetry moves by more is reported: rounding to three decimals does not explain it [Å]."""

_SAME = 0.01
"""Positions closer than this are the same place, with rounded digits [Å]."""


_ROUNDED = 0.005
"""Fractional coordinates of one position differ by less than this, by omitted digits."""

ALLOWED_SITES = "allowed: one element with the occupancy 1, or elements with occupancies that add up to at most 1"


@dataclass(frozen=True)
class Orbit:
    """
    A site with all its places in the cell.

    Attributes
    ----------
    site : Site
        Row of the list of atoms; rows of one element that share a place are joined.
    positions : ndarray
        Fractional coordinates in [0, 1), shape (multiplicity, 3).
    rotations : ndarray
        W of an operation that leads from the listed place to each of them, shape (multiplicity, 3, 3).
    own : ndarray
        W of the operations that leave the listed place where it is, shape (order, 3, 3).
    moved : float
        Distance by which symmetry moved it [Å].
    repeated : tuple of str
        Labels of other rows that list its places again.
    """

    site: Site
    positions: NDArray[np.float64]
    rotations: NDArray[np.int64]
    own: NDArray[np.int64]
    moved: float
    repeated: tuple[str, ...] = ()


def occupied_orbits(path: Path, sites: tuple[Site, ...], group: Group, cell: NDArray[np.float64]) -> tuple[Orbit, ...]:
    """
    Find all atoms of a cell.

    Parameters
    ----------
    path : Path
        File, for messages.
    sites : tuple of Site
        Rows of the list of atoms.
    group : Group
        Symmetry operations.
    cell : ndarray
        Lattice vectors as rows, shape (3, 3) [Å].

    Returns
    -------
    tuple of Orbit
        Sites; rows of one element that have a place together, or list it again, are joined. Elements that share a
        place have the same positions in the same order, with occupancies that add up to at most 1.

    Raises
    ------
    InputError
        If places nearly coincide without a reason, two elements claim one place, occupancies of a place add up to more
        than 1, or rows that share places have different positions.
    """
    orbits = [_orbit(path, site, group, cell) for site in sites]
    return tuple(orbit for rows in _sharing(orbits, cell) for orbit in _joined(path, rows))


def _row_name(row: Orbit) -> str:
    return f"{row.site.label} ({row.site.element} {row.site.occupancy:g})"


def _joined(path: Path, rows: list[Orbit]) -> list[Orbit]:
    """Join the rows that share places, element by element."""
    first, elements = rows[0], list(dict.fromkeys(row.site.element for row in rows))
    names, full = " and ".join(map(_row_name, rows)), [row.site.occupancy == 1 for row in rows]
    if len({len(row.positions) for row in rows}) > 1 or (len(elements) > 1 and all(full)):
        what = "two elements" if len(elements) > 1 else "two sites"
        raise InputError(f"{path}: found {what} at one place: {names}; {ALLOWED_SITES}")
    if all(full):
        # Old files list equivalent places of one atom.
        return [replace(first, repeated=tuple(row.site.label for row in rows[1:]))]
    # Occupancies are added at the same position only: an equivalent position may be the same atom listed again.
    gaps = np.array([row.site.position for row in rows]) - first.site.position
    if np.abs(gaps - np.rint(gaps)).max() > _ROUNDED:
        raise InputError(
            f"{path}: found partly occupied sites, {' with '.join(map(_row_name, rows))}, at equivalent positions, "
            "which may be the same atoms twice; allowed: one position for all rows of a place"
        )
    total, rounding = sum(row.site.occupancy for row in rows), len(rows) * OCCUPANCY_TOLERANCE
    if total > 1 + rounding:
        raise InputError(f"{path}: found occupancies at one place that add up to {total:g}: {names}; {ALLOWED_SITES}")
    scale = 1 / total if total > 1 - rounding else 1.0
    return [_of_element(first, [row for row in rows if row.site.element == e], scale) for e in elements]


def _of_element(first: Orbit, rows: list[Orbit], scale: float) -> Orbit:
    """Orbit of one element at the places of `first`, with the sum of its rows' occupancies times `scale`."""
    label = "+".join(row.site.label for row in rows)
    stated = _mean_motion([row.site for row in rows])
    occupancy = scale * sum(row.site.occupancy for row in rows)
    # Thirds of 0.333 are one atom, not one less a rounding error.
    occupancy = 1.0 if abs(occupancy - 1) < SUM_TOLERANCE else occupancy
    return replace(first, site=replace(rows[0].site, label=label, occupancy=occupancy, stated=stated))


def _mean_motion(sites: list[Site]) -> Stated:
    """Displacements of rows of one element at one position, weighted by their occupancies."""
    telling = [site for site in sites if site.stated.source]
    if not telling:
        return NOTHING
    first = telling[0].stated
    alike = [site for site in telling if site.stated.source == first.source]
    values = np.average([site.stated.values for site in alike], axis=0, weights=[site.occupancy for site in alike])
    problem = next((site.stated.problem for site in alike if site.stated.problem), "")
    return Stated(first.source, tuple(values.tolist()), problem)


def atoms_of(orbits: tuple[Orbit, ...] | list[Orbit], cell: NDArray[np.float64]) -> Atoms:
    """All atoms of a cell, orbit by orbit, periodic along all axes; with ``occupancies`` if any is below 1."""
    symbols = [orbit.site.element for orbit in orbits for _ in orbit.positions]
    places = np.concatenate([orbit.positions for orbit in orbits])
    atoms = Atoms(symbols, scaled_positions=places, cell=cell, pbc=True)
    shares = np.array([orbit.site.occupancy for orbit in orbits for _ in orbit.positions])
    if (shares < 1).any():
        atoms.set_array("occupancies", shares)
    return atoms


def labels_of(orbits: tuple[Orbit, ...]) -> list[str]:
    """Label of each atom that `atoms_of` returns."""
    return [orbit.site.label for orbit in orbits for _ in orbit.positions]


def counts_of(orbits: tuple[Orbit, ...]) -> dict[str, float]:
    """Atoms of the cell by element, weighted by their occupancies."""
    counts: dict[str, float] = {}
    for orbit in orbits:
        element = orbit.site.element
        counts[element] = counts.get(element, 0) + len(orbit.positions) * orbit.site.occupancy
    return {element: int(n) if n == int(n) else n for element, n in counts.items()}


def partly_of(orbits: tuple[Orbit, ...]) -> dict[str, int]:
    """Places of the cell that an element has in part, by element."""
    counts: Counter[str] = Counter()
    for orbit in orbits:
        counts[orbit.site.element] += len(orbit.positions) * (orbit.site.occupancy < 1)
    return dict(counts)


def _sharing(orbits: list[Orbit], cell: NDArray[np.float64]) -> list[list[Orbit]]:
    """Rows grouped by the places that they share, in the file's order."""
    owner = np.repeat(np.arange(len(orbits)), [len(orbit.positions) for orbit in orbits])
    i, j = neighbor_list("ij", atoms_of(orbits, cell), _SAME)
    leader = list(range(len(orbits)))
    for first, second in sorted(set(zip(owner[i].tolist(), owner[j].tolist(), strict=True))):
        if first < second:
            old, new = leader[second], leader[first]
            leader = [new if value == old else value for value in leader]
    groups: dict[int, list[Orbit]] = {}
    for number, orbit in zip(leader, orbits, strict=True):
        groups.setdefault(number, []).append(orbit)
    return list(groups.values())


def _orbit(path: Path, site: Site, group: Group, cell: NDArray[np.float64]) -> Orbit:
    """All places of a site, moved onto the symmetry element that it nearly lies on."""
    place = np.array(site.position)
    images = group.rotations @ place + group.translations
    gaps = images - place - np.rint(images - place)
    near = np.linalg.norm(gaps @ cell, axis=1) < MERGE_DISTANCE
    shift = gaps[near].mean(axis=0)
    images = group.rotations @ (place + shift) + group.translations
    apart = images - images[:, None]
    apart = np.linalg.norm((apart - np.rint(apart)) @ cell, axis=2)
    kept = np.unique(np.argmax(apart < _SAME, axis=1))  # the first operation that leads to each place
    between = apart[np.ix_(kept, kept)] + np.where(np.eye(len(kept), dtype=bool), np.inf, 0.0)
    if len(kept) * near.sum() != len(group) or between.min() < MERGE_DISTANCE:
        raise InputError(
            f"{path}: found places of site {site.label} closer than {MERGE_DISTANCE} Å that no symmetry element joins"
        )
    # Applied twice, because the remainder of a number just below 0 rounds to 1.
    places, moved = images[kept] % 1.0 % 1.0, float(np.linalg.norm(shift @ cell))
    return Orbit(site, places, group.rotations[kept], group.rotations[near], moved)
