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

from iphasenet.base.errors import InputError, InputWarning
from iphasenet.base.quantities import CELL_LENGTH, ROUNDING_STRAIN, TEMPERATURE, check_number
from iphasenet.crystal.cif import read_crystal
from iphasenet.crystal.lattice import MAX_INDICES, allowed_strain, cosets, orthogonal_combination, strain_percent
from iphasenet.crystal.places import check_occupancies, pairs_within
from iphasenet.crystal.thermal_motion import atom_tensors, displacement_sources, thermal_motion, turned_tensors

MIN_DISTANCE = 0.5
"""Shortest distance allowed between two atoms, periodic images included [Å]."""

HELPFUL_STRAIN = 1.0
"""A refusal proposes a larger strain up to this value [%]."""

WRAP_TOLERANCE = 1e-6
"""A fractional coordinate this close below 1 is moved to 0 [1]."""

_FloatArray = npt.NDArray[np.float64]
_IntArray = npt.NDArray[np.int64]


def read_structure(
    path: str | Path,
    block: str | None = None,
    temperature_k: float = 0.0,
    rms_displacements: Mapping[str, float] | None = None,
) -> Atoms:
    """Read one fully periodic crystal structure from a CIF.

    Parameters
    ----------
    path
        The CIF.
    block
        Name of the block that is meant, where several hold atoms.
    temperature_k
        Temperature of the thermal motion [K]; 0 means atoms at rest.
    rms_displacements
        Displacement along one axis by element at that temperature [Å], in place of what the file says.

    Returns
    -------
    Atoms
        All atoms of the cell the file gives, symmetry expanded: positions (n_atoms, 3) [Å], cell (3, 3) [Å],
        periodic along all three axes. Its arrays hold ``displacements``, mean square displacement tensors
        (n_atoms, 3, 3) [Å²] in the frame of the positions, unless the atoms are at rest; and ``occupancies``
        (n_atoms,), shares of cells in which an atom is there, if any is below 1. Elements that share a place are
        atoms at the same position. Its `info` tells where the displacements of each element are from
        (``displacements_from``).

    Raises
    ------
    InputError
        If the file is missing, is no readable CIF, holds no or several structures, contradicts itself
        (`iphasenet.crystal.cif`), has displacements that cannot be (`iphasenet.crystal.thermal_motion`), or two
        atoms closer than `MIN_DISTANCE`.

    Warns
    -----
    InputWarning
        For each point that was not obvious: missing hydrogen, a site that was moved, a choice, estimated
        displacements.
    """
    check_number(temperature_k, "temperature_k", TEMPERATURE)
    if rms_displacements and temperature_k == 0:
        raise InputError(
            f"{path}: found rms_displacement_angstrom for {', '.join(rms_displacements)} at temperature_k 0, where "
            "atoms are at rest; allowed: one of them"
        )
    crystal = read_crystal(Path(path), block)
    atoms, notes = crystal.atoms(), crystal.warnings
    _check_structure(atoms, str(path))
    if temperature_k > 0:
        motions, more = thermal_motion(crystal, temperature_k, rms_displacements)
        atoms.set_array("displacements", atom_tensors(crystal, motions), float, (3, 3))
        atoms.info["displacements_from"] = displacement_sources(crystal, motions)
        notes += more
    for text in notes:
        warnings.warn(f"{path}: {text}", InputWarning, stacklevel=2)
    return atoms


def crystal_cell(crystal: Mapping[str, Any], folder: Path = Path(), temperature_k: float = 0.0) -> Atoms:
    """Cut the orthogonal cell of a crystal that a configuration names.

    Parameters
    ----------
    crystal
        Its entry: ``cif``, ``zone_axis`` and, where given, ``block``, ``max_strain_percent`` and
        ``rms_displacement_angstrom`` (displacement along one axis by element, in place of the file's).
    folder
        Folder that the path of the CIF is relative to.
    temperature_k
        Temperature of the thermal motion [K]; 0 means atoms at rest.

    Returns
    -------
    Atoms
        Result of `orthogonal_cell` for the structure that `read_structure` reads.
    """
    block = crystal.get("block")
    # YAML reads a block called 1011280 as a number.
    block = None if block is None else str(block)
    atoms = read_structure(folder / crystal["cif"], block, temperature_k, crystal.get("rms_displacement_angstrom"))
    return orthogonal_cell(atoms, tuple(crystal["zone_axis"]), crystal.get("max_strain_percent"))


def orthogonal_cell(
    atoms: Atoms, zone_axis: tuple[int, int, int] = (0, 0, 1), max_strain_percent: float | None = None
) -> Atoms:
    """Cut the smallest orthogonal supercell with the beam direction as its third axis.

    The third axis is the shortest vector along [uvw] among the integer combinations of the vectors of the
    given cell, direction preserved; centring translations of a conventional cell are not used. The other two
    are integer combinations of least base area, perpendicular but for a strain; ties go to the simplest indices,
    so a cell that is orthogonal already keeps its axes. Their indices are at most 8 or, where there is no such
    cell, 16: with the strain, monoclinic and triclinic crystals have one, too. The strain is removed by keeping
    lengths and fractional coordinates; columns along the zone axis stay straight.

    Parameters
    ----------
    atoms
        A crystal with a three-dimensional cell: positions (n_atoms, 3) [Å], cell (3, 3) [Å]; ``displacements`` and
        ``occupancies`` as from `read_structure`.
    zone_axis
        Lattice direction [uvw] the beam runs along, as indices of the given cell.
    max_strain_percent
        Largest shear strain, the change of an angle in rad, times 100: 0.2 % are 0.11 degrees. If not given, a strain
        of up to 0.2 % is taken only where there is no cell with indices up to 8 without.

    Returns
    -------
    Atoms
        The supercell, rotated so that a, b, c run along +x, +y, +z: cell (3, 3) diagonal [Å], positions
        (m * n_atoms, 3) [Å] with fractional coordinates in [0, 1), periodic along all three axes, with the
        occupancies of the crystal, and its displacements turned with the axes. Its `info` holds `strain_percent` and,
        if the crystal's does, `displacements_from`.

    Raises
    ------
    InputError
        If `zone_axis` is not three integers or all zero, the structure is defective, or no such cell exists.

    Warns
    -----
    InputWarning
        For a strain above `ROUNDING_STRAIN`.
    """
    zone = _check_zone_axis(zone_axis)
    _check_structure(atoms, "structure")
    cell = np.asarray(atoms.cell[:], dtype=np.float64)
    matrix = orthogonal_combination(cell, zone, max_strain_percent)
    if matrix is None:
        raise _no_cell(cell, zone, max_strain_percent)
    supercell = cut_cell(atoms, matrix)
    strain = supercell.info["strain_percent"]
    if strain > ROUNDING_STRAIN:
        allowed = allowed_strain(max_strain_percent)
        warnings.warn(
            f"structure: its cell along [{zone[0]} {zone[1]} {zone[2]}] was made orthogonal by a strain of "
            f"{strain:.2g} % (up to {np.degrees(strain / 100):.2g} degrees); allowed: {allowed:g} %",
            InputWarning,
            stacklevel=2,
        )
    return supercell


def cut_cell(atoms: Atoms, matrix: _IntArray) -> Atoms:
    """Cut the supercell of `orthogonal_cell` whose vectors have these indices (3, 3), however large its strain is."""
    cell = np.asarray(atoms.cell[:], dtype=np.float64)
    points, multiplicity = cosets(matrix)
    scaled = np.linalg.solve(cell.T, atoms.positions.T).T @ np.linalg.inv(matrix)
    fractional = _wrap((points[:, None, :] / multiplicity + scaled[None, :, :]).reshape(-1, 3))
    lengths = np.linalg.norm(matrix @ cell, axis=1)
    supercell = Atoms(
        numbers=np.tile(atoms.numbers, multiplicity), positions=fractional * lengths, cell=lengths, pbc=True
    )
    _carry_over(atoms, supercell, matrix @ cell)
    strain = strain_percent(matrix @ cell)
    supercell.info["strain_percent"] = strain
    _check_supercell(atoms, supercell, max(strain, ROUNDING_STRAIN))
    return supercell


def _carry_over(atoms: Atoms, supercell: Atoms, vectors: _FloatArray) -> None:
    """Give the atoms of a supercell their occupancies and, turned with its axes (rows), their displacements."""
    multiplicity = len(supercell) // len(atoms)
    if atoms.has("occupancies"):
        supercell.set_array("occupancies", np.tile(atoms.arrays["occupancies"], multiplicity))
    if atoms.has("displacements"):
        # The rotation closest to the axes: they may be strained.
        left, _, right = np.linalg.svd(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        turned = turned_tensors(atoms.arrays["displacements"], left @ right)
        supercell.set_array("displacements", np.tile(turned, (multiplicity, 1, 1)), float, (3, 3))
    if "displacements_from" in atoms.info:
        supercell.info["displacements_from"] = atoms.info["displacements_from"]


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
    check_occupancies(atoms, name)
    i, j, distance = pairs_within(_periodic(atoms), MIN_DISTANCE)
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


def _no_cell(cell: _FloatArray, zone: _IntArray, max_strain_percent: float | None) -> InputError:
    """Error that no orthogonal cell was found, with the strain that would give one."""
    matrix = orthogonal_combination(cell, zone, HELPFUL_STRAIN)
    needed = 0.0 if matrix is None else ceil(1000 * strain_percent(matrix @ cell)) / 1000
    hint = f"; allow {needed:g} % (--max-strain, `max_strain_percent`)" if needed else ""
    return InputError(
        f"structure: cannot be made orthogonal along [{zone[0]} {zone[1]} {zone[2]}]: found no two lattice vectors "
        f"with indices up to {MAX_INDICES[-1]} perpendicular to it and to each other within a strain of "
        f"{allowed_strain(max_strain_percent):g} %{hint}"
    )


def _wrap(fractional: _FloatArray) -> _FloatArray:
    """Bring fractional coordinates, shape (n, 3), into [0, 1); values just below 1 become 0."""
    wrapped = fractional - np.floor(fractional)
    wrapped[wrapped > 1 - WRAP_TOLERANCE] = 0.0
    return np.asarray(wrapped, dtype=np.float64)


def _periodic(atoms: Atoms) -> Atoms:
    """Copy atoms, periodic along all axes."""
    copy = atoms.copy()
    copy.pbc = True
    return copy


def shortest_distance(atoms: Atoms, start: float = 3.0) -> tuple[float, int, int]:
    """Shortest distance of two places, with periodic images [Å], and their atoms; sought from `start` on."""
    cutoff = start
    while True:
        i, j, distance = pairs_within(atoms, cutoff)
        if len(distance):
            k = int(distance.argmin())
            return float(distance[k]), int(i[k]), int(j[k])
        cutoff *= 2


def _check_supercell(before: Atoms, after: Atoms, strain: float) -> None:
    """Stop if the supercell lost, gained, exchanged or moved atoms: then this module has a fault, not the input."""
    ratio = after.cell.volume / before.cell.volume
    # Right angles instead of slightly wrong ones enlarge the volume in second order.
    same_count = abs(len(after) / len(before) - ratio) <= (1e-6 + 3 * (strain / 100) ** 2) * ratio
    kinds = np.unique(before.numbers)
    counts = [[int((atoms.numbers == kind).sum()) for kind in kinds] for atoms in (before, after)]
    same_composition = all(n * len(after) == m * len(before) for n, m in zip(*counts, strict=True))
    right_angles = np.allclose(after.cell.angles(), 90.0, rtol=0, atol=1e-9)
    shortest, _, _ = shortest_distance(_periodic(before))
    # Removing a strain from each of three angles changes distances by up to this share.
    change = abs(shortest_distance(after, start=1.1 * shortest)[0] - shortest)
    same_distance = change <= 3 * strain / 100 * shortest + 1e-6
    if not (same_count and same_composition and right_angles and same_distance):
        raise RuntimeError(
            f"orthogonal cell is inconsistent: {len(before)} atoms became {len(after)} at a volume ratio of "
            f"{ratio:.6f}, shortest distance changed by {change:.2e} Å"
        )
