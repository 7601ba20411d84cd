"""Crystal structures: reading a CIF and cutting the orthogonal cell the beam runs through.

The multislice code needs a cell with three right angles and the beam along +z; crystals come with whatever
cell their symmetry gives them. Fractional coordinates and lattice indices are row vectors throughout: a
lattice vector with indices ``n`` is ``n @ cell`` [Å].
"""

import warnings
from collections.abc import Mapping, Sequence
from math import ceil, gcd
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.neighborlist import neighbor_list

from iphasenet.base.errors import InputError, InputWarning
from iphasenet.base.quantities import CELL_LENGTH, MAX_STRAIN
from iphasenet.crystal.cif import read_crystal

MIN_DISTANCE = 0.5
"""Shortest distance allowed between two atoms, periodic images included [Å]."""

MAX_INDEX = 8
"""Largest lattice index tried for the two cell vectors perpendicular to the beam."""

HELPFUL_STRAIN = 1.0
"""A refusal proposes a larger strain up to this value [%]."""

WRAP_TOLERANCE = 1e-6
"""A fractional coordinate this close below 1 is moved to 0 [1]."""

_FloatArray = npt.NDArray[np.float64]
_IntArray = npt.NDArray[np.int64]


def read_structure(path: str | Path, block: str | None = None) -> Atoms:
    """Read one fully occupied, fully periodic crystal structure from a CIF.

    Parameters
    ----------
    path
        The CIF.
    block
        Name of the block that is meant, where several hold atoms.

    Returns
    -------
    Atoms
        All atoms of the cell the file gives, symmetry expanded: positions (n_atoms, 3) [Å], cell (3, 3) [Å],
        periodic along all three axes.

    Raises
    ------
    InputError
        If the file is missing, is no readable CIF, holds no or several structures, contradicts itself
        (`iphasenet.crystal.cif`), has partly occupied or mixed sites, or two atoms closer than `MIN_DISTANCE`.

    Warns
    -----
    InputWarning
        For each point that was not obvious: missing hydrogen, a site that was moved, a choice.
    """
    crystal = read_crystal(Path(path), block)
    atoms = crystal.atoms()
    _check_structure(atoms, str(path))
    for text in crystal.warnings:
        warnings.warn(f"{path}: {text}", InputWarning, stacklevel=2)
    return atoms


def crystal_cell(crystal: Mapping[str, Any], folder: Path = Path()) -> Atoms:
    """Cut the orthogonal cell of a crystal that a configuration names.

    Parameters
    ----------
    crystal
        Its entry: ``cif``, ``zone_axis`` and, where given, ``block`` and ``max_strain_percent``.
    folder
        Folder that the path of the CIF is relative to.

    Returns
    -------
    Atoms
        Result of `orthogonal_cell` for the structure that `read_structure` reads.
    """
    block = crystal.get("block")
    # YAML reads a block called 1011280 as a number.
    atoms = read_structure(folder / crystal["cif"], None if block is None else str(block))
    return orthogonal_cell(atoms, tuple(crystal["zone_axis"]), crystal.get("max_strain_percent", MAX_STRAIN))


def orthogonal_cell(
    atoms: Atoms, zone_axis: tuple[int, int, int] = (0, 0, 1), max_strain_percent: float = MAX_STRAIN
) -> Atoms:
    """Cut the smallest orthogonal supercell with the beam direction as its third axis.

    The third axis is the shortest vector along [uvw] among the integer combinations of the vectors of the
    given cell, direction preserved; centring translations of a conventional cell are not used. The other two
    are integer combinations with indices up to `MAX_INDEX`, perpendicular but for the allowed strain, of least
    base area; ties go to the simplest indices, so a cell that is orthogonal already keeps its axes. The
    strain is removed by keeping lengths and fractional coordinates.

    Parameters
    ----------
    atoms
        A crystal with a three-dimensional cell: positions (n_atoms, 3) [Å], cell (3, 3) [Å].
    zone_axis
        Lattice direction [uvw] the beam runs along, as indices of the given cell.
    max_strain_percent
        Largest shear strain, the change of an angle in rad, times 100: 0.2 % are 0.11 degrees.

    Returns
    -------
    Atoms
        The supercell, rotated so that a, b, c run along +x, +y, +z: cell (3, 3) diagonal [Å], positions
        (m * n_atoms, 3) [Å] with fractional coordinates in [0, 1), periodic along all three axes. Its `info`
        holds `strain_percent`.

    Raises
    ------
    InputError
        If `zone_axis` is not three integers or all zero, the structure is defective, or no such cell exists.

    Warns
    -----
    InputWarning
        For a strain above `MAX_STRAIN`.
    """
    zone = _check_zone_axis(zone_axis)
    _check_structure(atoms, "structure")
    cell = np.asarray(atoms.cell[:], dtype=np.float64)
    matrix = _orthogonal_combination(cell, zone, max_strain_percent)
    if matrix is None:
        raise _no_cell(cell, zone, max_strain_percent)
    cosets, multiplicity = _cosets(matrix)
    scaled = np.linalg.solve(cell.T, atoms.positions.T).T @ np.linalg.inv(matrix)
    fractional = _wrap((cosets[:, None, :] / multiplicity + scaled[None, :, :]).reshape(-1, 3))
    lengths = np.linalg.norm(matrix @ cell, axis=1)
    supercell = Atoms(
        numbers=np.tile(atoms.numbers, multiplicity), positions=fractional * lengths, cell=lengths, pbc=True
    )
    strain = _strain_percent(matrix @ cell)
    supercell.info["strain_percent"] = strain
    _check_supercell(atoms, supercell, max(strain, MAX_STRAIN))
    if strain > MAX_STRAIN:
        warnings.warn(
            f"structure: its cell along [{zone[0]} {zone[1]} {zone[2]}] was made orthogonal by a strain of "
            f"{strain:.2g} % (up to {np.degrees(strain / 100):.2g} degrees); allowed: {max_strain_percent:g} %",
            InputWarning,
            stacklevel=2,
        )
    return supercell


def _check_structure(atoms: Atoms, name: str) -> None:
    """Refuse a structure without atoms, cell or defined positions, or with atoms on top of each other."""
    if len(atoms) == 0:
        raise InputError(f"{name}: found no atoms; at least one is needed")
    cell = np.asarray(atoms.cell[:])
    if not np.isfinite(cell).all() or np.linalg.matrix_rank(cell) < 3:
        vectors = np.array2string(cell, separator=" ").replace("\n", "")
        raise InputError(f"{name}: found the cell {vectors} Å; three independent finite vectors are needed")
    for length in atoms.cell.lengths():
        CELL_LENGTH.check(length, f"{name}: length of a cell vector")
    bad = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
    if bad.size:
        symbol = atoms.symbols[bad[0]]
        raise InputError(f"{name}: found an undefined position (atom {bad[0]}, {symbol}); allowed: finite numbers")
    periodic = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
    i, j, distance = neighbor_list("ijd", periodic, MIN_DISTANCE)
    if len(distance):
        k = int(np.argmin(distance))
        raise InputError(
            f"{name}: found atoms {i[k]} ({atoms.symbols[i[k]]}) and {j[k]} ({atoms.symbols[j[k]]}) "
            f"{distance[k]:.3f} Å apart; allowed: at least {MIN_DISTANCE} Å"
        )


def _check_zone_axis(zone_axis: Sequence[int]) -> _IntArray:
    """Return the zone axis divided by its common factor, shape (3,)."""
    values = tuple(zone_axis) if isinstance(zone_axis, Sequence | np.ndarray) else ()
    whole = all(isinstance(value, Integral) and not isinstance(value, bool) for value in values)
    if len(values) != 3 or not whole or not any(values):
        raise InputError(f"zone axis: found {zone_axis}; allowed: three integers, not all zero")
    u, v, w = (int(value) for value in values)
    return np.array([u, v, w], dtype=np.int64) // gcd(u, v, w)


def _strain_percent(vectors: _FloatArray) -> float:
    """Largest deviation of three vectors' angles from a right one [rad], times 100."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return float(100 * np.abs(np.arcsin(np.clip((unit @ unit.T)[np.triu_indices(3, 1)], -1, 1))).max())


def _no_cell(cell: _FloatArray, zone: _IntArray, max_strain_percent: float) -> InputError:
    """Error that no orthogonal cell was found, with the strain that would give one."""
    matrix = _orthogonal_combination(cell, zone, HELPFUL_STRAIN)
    needed = 0.0 if matrix is None else ceil(1000 * _strain_percent(matrix @ cell)) / 1000
    hint = f"; allow {needed:g} % (--max-strain, `max_strain_percent`)" if needed else ""
    return InputError(
        f"structure: cannot be made orthogonal along [{zone[0]} {zone[1]} {zone[2]}]: found no two lattice vectors "
        f"with indices up to {MAX_INDEX} perpendicular to it and to each other within a strain of "
        f"{max_strain_percent:g} %{hint}"
    )


def _orthogonal_combination(cell: _FloatArray, zone: _IntArray, max_strain_percent: float) -> _IntArray | None:
    """Find the integer rows (a, b, c) that make the smallest orthogonal cell with c along the zone axis.

    Parameters
    ----------
    cell
        Lattice vectors as rows, shape (3, 3) [Å].
    zone
        Indices of the third axis, shape (3,).
    max_strain_percent
        Largest deviation from a right angle [rad], times 100.

    Returns
    -------
    ndarray or None
        Indices of the three new axes as rows, shape (3, 3), right-handed as Cartesian vectors; None if there
        are none.
    """
    beam = zone @ cell / np.linalg.norm(zone @ cell)
    span = np.arange(-MAX_INDEX, MAX_INDEX + 1)
    indices = np.stack(np.meshgrid(span, span, span, indexing="ij"), axis=-1).reshape(-1, 3)
    indices = indices[np.gcd.reduce(indices, axis=1) == 1]
    vectors = indices @ cell
    lengths = np.linalg.norm(vectors, axis=1)
    sine = np.sin(max_strain_percent / 100)
    flat = np.abs(vectors @ beam) <= sine * lengths
    indices, vectors, lengths = indices[flat], vectors[flat], lengths[flat]
    areas = np.outer(lengths, lengths)
    right_handed = np.cross(vectors[:, None, :], vectors[None, :, :]) @ beam > 0
    pairs = np.argwhere((np.abs(vectors @ vectors.T) <= sine * areas) & right_handed)
    if len(pairs) == 0:
        return None
    area = areas[pairs[:, 0], pairs[:, 1]]
    # With strain, cells of equal size may differ slightly.
    tie = 1e-6 if max_strain_percent <= MAX_STRAIN else 2 * sine
    smallest = pairs[area <= area.min() * (1 + tie)]

    def simplicity(pair: _IntArray) -> tuple[int, ...]:
        a, b = indices[pair[0]], indices[pair[1]]
        return (int(abs(a).sum()), *(-a).tolist(), int(abs(b).sum()), *(-b).tolist())

    best = min(smallest, key=simplicity)
    return np.stack([indices[best[0]], indices[best[1]], zone])


def _cosets(matrix: _IntArray) -> tuple[_IntArray, int]:
    """List the cells of the old lattice that fill one cell of the new one.

    Done in exact integers: two old lattice points are the same in the supercell when their new coordinates,
    multiplied by the determinant, agree modulo the determinant. Floating-point tests on the cell faces would make
    atoms appear twice or not at all.

    Parameters
    ----------
    matrix
        Indices of the new axes as rows, shape (3, 3).

    Returns
    -------
    tuple
        New coordinates of the old lattice points times the multiplicity, shape (multiplicity, 3), integers in
        [0, multiplicity); and the multiplicity, the volume ratio of the two cells.
    """
    adjugate = np.stack([np.cross(matrix[(k + 1) % 3], matrix[(k + 2) % 3]) for k in range(3)], axis=1)
    multiplicity = abs(int(matrix[0] @ adjugate[:, 0]))
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) @ matrix
    ranges = [np.arange(low, high + 1) for low, high in zip(corners.min(axis=0), corners.max(axis=0), strict=True)]
    points = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    residues = np.unique(points @ adjugate % multiplicity, axis=0)
    return residues, multiplicity


def _wrap(fractional: _FloatArray) -> _FloatArray:
    """Bring fractional coordinates, shape (n, 3), into [0, 1); values just below 1 become 0."""
    wrapped = fractional - np.floor(fractional)
    wrapped[wrapped > 1 - WRAP_TOLERANCE] = 0.0
    return np.asarray(wrapped, dtype=np.float64)


def shortest_distance(atoms: Atoms, start: float = 3.0) -> tuple[float, int, int]:
    """Shortest distance of two atoms, with periodic images [Å], and their indices; sought from `start` on."""
    cutoff = start
    while True:
        i, j, distance = neighbor_list("ijd", atoms, cutoff)
        if len(distance):
            k = int(distance.argmin())
            return float(distance[k]), int(i[k]), int(j[k])
        cutoff *= 2


def _check_supercell(before: Atoms, after: Atoms, strain_percent: float) -> None:
    """Stop if the supercell lost, gained, exchanged or moved atoms: then this module has a fault, not the input."""
    ratio = after.cell.volume / before.cell.volume
    same_count = abs(len(after) / len(before) - ratio) <= 1e-6 * ratio
    kinds = np.unique(before.numbers)
    counts = [[int((atoms.numbers == kind).sum()) for kind in kinds] for atoms in (before, after)]
    same_composition = all(n * len(after) == m * len(before) for n, m in zip(*counts, strict=True))
    right_angles = np.allclose(after.cell.angles(), 90.0, rtol=0, atol=1e-9)
    crystal = Atoms(numbers=before.numbers, positions=before.positions, cell=before.cell, pbc=True)
    shortest, _, _ = shortest_distance(crystal)
    # Removing a strain from each of three angles changes distances by up to this share.
    change = abs(shortest_distance(after, start=1.1 * shortest)[0] - shortest)
    same_distance = change <= 3 * strain_percent / 100 * shortest + 1e-6
    if not (same_count and same_composition and right_angles and same_distance):
        raise RuntimeError(
            f"orthogonal cell is inconsistent: {len(before)} atoms became {len(after)} at a volume ratio of "
            f"{ratio:.6f}, shortest distance changed by {change:.2e} Å"
        )
