"""Read a crystal from its CIF: symmetry and sites combined, or one line that says what contradicts what."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.cell import Cell
from ase.data import covalent_radii
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.base.quantities import CELL_ANGLE, CELL_LENGTH
from iphasenet.crystal.cif_claims import Claims, read_claims
from iphasenet.crystal.cif_contents import check_contents
from iphasenet.crystal.cif_displacements import MEASURED_AT, measured_at, stray_tensors
from iphasenet.crystal.cif_file import CifBlock, read_block
from iphasenet.crystal.cif_sites import read_sites
from iphasenet.crystal.cif_symmetry import Reading, Symmetry, read_symmetry
from iphasenet.crystal.orbits import SAID_DISTANCE, Orbit, atoms_of, counts_of, labels_of, occupied_orbits, partly_of
from iphasenet.crystal.places import SUM_TOLERANCE, occupancies_of, pairs_within, places_of
from iphasenet.crystal.space_group import Group

RADII_SHARE = 0.6
"""Smallest distance allowed between atoms, as a share of the sum of their covalent radii; shortest bonds: 0.65."""


BOND_SHARE = 0.85
"""Shortest distance of most bonds, as a share of the same sum: only double and triple bonds are shorter."""

EXCLUSIVE_DISTANCE = 2.0
"""Two partly empty places closer than this may exclude each other [Å]: bonds of disordered molecules, hopping ions."""

_Fit = tuple[Reading, tuple[Orbit, ...], bool, list[str]]
"""A reading that the file does not contradict: sites, whether the file confirms them, and warnings."""


@dataclass(frozen=True)
class Crystal:
    """
    A crystal, and how it was read.

    Attributes
    ----------
    path : Path
        File.
    block : str
        Block of the file.
    cell : ndarray
        Lattice vectors as rows, shape (3, 3) [Å].
    reading : Reading
        Symmetry operations, and the statement of the file that gave them.
    orbits : tuple of Orbit
        Sites, in the file's order.
    claims : Claims
        What the file says about the contents of the cell.
    measured_at : float
        Temperature of the displacements that the file gives [K].
    stray_tensors : tuple of str
        Labels of displacement tensors that no site has.
    database_code : str
        Number in the Crystallography Open Database, if the file gives one.
    warnings : tuple of str
        One line each.
    """

    path: Path
    block: str
    cell: NDArray[np.float64]
    reading: Reading
    orbits: tuple[Orbit, ...]
    claims: Claims
    measured_at: float = MEASURED_AT
    stray_tensors: tuple[str, ...] = ()
    database_code: str = ""
    warnings: tuple[str, ...] = ()

    def atoms(self) -> Atoms:
        """All atoms of the cell at rest, orbit by orbit; with ``occupancies`` if places are partly occupied."""
        return atoms_of(self.orbits, self.cell)


def read_crystal(path: Path, block: str | None = None) -> Crystal:
    """
    Read the crystal that a CIF describes.

    Parameters
    ----------
    path : Path
        CIF.
    block : str, optional
        Name of its block, where several hold atoms.

    Returns
    -------
    Crystal
        The crystal, checked against all that the file says about it.

    Raises
    ------
    InputError
        If the file cannot be read, is ambiguous, contradicts itself, or has disorder beyond partly occupied places.
    """
    found = read_block(path, block)
    cell, claims = _cell(found), read_claims(found)
    sites, notes = read_sites(found, claims.formula, cell)
    symmetry = read_symmetry(found, cell)
    fits: list[_Fit] = []
    reasons: list[InputError] = []
    for reading in symmetry.readings:
        try:
            orbits = occupied_orbits(path, sites, reading.group, cell)
            confirmed, notices = _check(path, orbits, reading.group, cell, claims)
        except InputError as error:
            if reading.usual or not reasons:
                reasons.append(error)
        else:
            moved = [_said(orbit) for orbit in orbits if orbit.moved > SAID_DISTANCE]
            fits.append((reading, orbits, confirmed, [*moved, *notices]))
    fits = [fit for k, fit in enumerate(fits) if not any(_same(fit[1], other[1]) for other in fits[:k])]
    fits, rare = _without_rare(fits, cell)
    if len(fits) != 1:
        raise _undecided(path, symmetry, [fit[0] for fit in fits], reasons)
    reading, orbits, confirmed, more = fits[0]
    if symmetry.doubtful and not confirmed:
        why = symmetry.warnings[-1] if symmetry.warnings else "found no symmetry"
        raise InputError(
            f"{path}: {why}, and neither formula with Z nor density confirms the {sum(counts_of(orbits).values()):g} "
            "atoms; add symmetry operations, a Hall symbol, or a space group's name or number ('P 1' for none)"
        )
    every = [*claims.warnings, *symmetry.warnings, *_chosen(symmetry, reading), *rare, *notes, *more]
    notes = tuple(dict.fromkeys(every))
    code = found.text("_cod_database_code")
    return Crystal(
        path, found.name, cell, reading, orbits, claims, measured_at(found), stray_tensors(found), code, notes
    )


def _cell(block: CifBlock) -> NDArray[np.float64]:
    """Lattice vectors as rows: a along x, b in the plane of x and y [Å]."""
    numbers = []
    for names, quantity in ((("length_a", "length_b", "length_c"), CELL_LENGTH),
                            (("angle_alpha", "angle_beta", "angle_gamma"), CELL_ANGLE)):  # fmt: skip
        for name in names:
            value = block.number(f"_cell_{name}")
            if math.isnan(value):
                raise InputError(f"{block.path}: found no cell (_cell_{name}); three lengths and angles are needed")
            quantity.check(value, f"{block.path}: cell")
            numbers.append(value)
    a, b, c = np.cos(np.radians(numbers[3:]))
    if 1 + 2 * a * b * c - a * a - b * b - c * c < 1e-9:
        listed = ", ".join(f"{value:g}" for value in numbers[3:])
        raise InputError(f"{block.path}: found the angles {listed} degrees; no cell can have these")
    return np.asarray(Cell.fromcellpar(numbers)[:], dtype=np.float64)


def _check(
    path: Path, orbits: tuple[Orbit, ...], group: Group, cell: NDArray[np.float64], claims: Claims
) -> tuple[bool, list[str]]:
    """Refuse atoms that contradict the file; return whether it confirms them, and warnings."""
    attached = {o.site.label: o.site.attached * o.site.occupancy * len(o.positions) for o in orbits if o.site.attached}
    volume = float(abs(np.linalg.det(cell)))
    confirmed, notes = check_contents(counts_of(orbits), claims, volume, str(path), attached, partly_of(orbits))
    told = [orbit for orbit in orbits if not math.isnan(orbit.site.multiplicity)]
    notes += _check_multiplicities(path, told, group)
    notes += [
        f"the places of site {orbit.site.label} are listed again as {', '.join(orbit.repeated)}; they are taken once"
        for orbit in orbits
        if orbit.repeated
    ]
    _check_distances(path, atoms_of(orbits, cell), labels_of(orbits))
    return confirmed or any(orbit.site.multiplicity > 1 for orbit in told), notes


def _check_distances(path: Path, atoms: Atoms, labels: list[str]) -> None:
    """Refuse partly empty places of which one may exclude another, and atoms that are too close for their radii."""
    places = places_of(atoms)
    partly_empty = np.bincount(places, occupancies_of(atoms))[places] < 1 - SUM_TOLERANCE
    if partly_empty.any():
        i, j, distance = pairs_within(atoms, EXCLUSIVE_DISTANCE)
        close = np.flatnonzero(partly_empty[i] & partly_empty[j])
        if close.size:
            k = close[distance[close].argmin()]
            raise InputError(
                f"{path}: found the partly occupied sites {labels[i[k]]} and {labels[j[k]]} {distance[k]:.3f} Å apart, "
                f"where one atom may exclude the other; allowed: at least {EXCLUSIVE_DISTANCE:g} Å"
            )
    i, j, distance = pairs_within(atoms, RADII_SHARE * covalent_radii[atoms.numbers])
    if len(distance):
        k = int(np.argmin(distance))
        raise InputError(
            f"{path}: found {labels[i[k]]} ({atoms.symbols[i[k]]}) and {labels[j[k]]} ({atoms.symbols[j[k]]}) "
            f"{distance[k]:.3f} Å apart, which is too close for their radii; allowed: at least "
            f"{RADII_SHARE * covalent_radii[atoms.numbers[[i[k], j[k]]]].sum():.2f} Å"
        )


def _check_multiplicities(path: Path, told: list[Orbit], group: Group) -> list[str]:
    """Compare the places of sites with the multiplicities in the file; a multiplicity that is not used is a warning."""

    def places(orbit: Orbit) -> float:
        return len(orbit.positions)

    def order_of_site(orbit: Orbit) -> float:
        """Order of the site's symmetry, which SHELX-97 wrote under the tag of the multiplicity."""
        return len(group) / len(orbit.positions)

    if any(all(orbit.site.multiplicity == meant(orbit) for orbit in told) for meant in (places, order_of_site)):
        return []
    first = next(orbit for orbit in told if orbit.site.multiplicity != places(orbit))
    text = f"{len(first.positions)} places of site {first.site.label}"
    if not {orbit.site.multiplicity for orbit in told} <= {0, 1}:
        raise InputError(f"{path}: found {text}, but the file says a multiplicity of {first.site.multiplicity:g}")
    # Some programs write 1 or 0 for every site.
    return [f"found {text}; the multiplicity {first.site.multiplicity:g} in the file is ignored"]


def _same(first: tuple[Orbit, ...], second: tuple[Orbit, ...]) -> bool:
    """Whether two readings are the same atoms at the same places."""
    if counts_of(first) != counts_of(second):
        return False

    def places(orbits: tuple[Orbit, ...]) -> list[tuple[str, float, bytes]]:
        rows = ((orbit.site, np.rint(orbit.positions * 1e4).astype(int) % 10**4) for orbit in orbits)
        return sorted((site.element, site.occupancy, row.tobytes()) for site, block in rows for row in block)

    return places(first) == places(second)


def _without_rare(fits: list[_Fit], cell: NDArray[np.float64]) -> tuple[list[_Fit], list[str]]:
    """
    Leave out settings that International Tables does not list where a usual one fits, with a warning.

    There is no warning where their additional lattice points bring atoms too close. Triclinic cells are an exception:
    their metric allows any centring, and minerals are described in C -1 and I -1.
    """
    usual, rare = ([fit for fit in fits if fit[0].usual is kind] for kind in (True, False))
    least = min([BOND_SHARE, *(_closest(fit[1], cell) for fit in usual)])
    rare = [fit for fit in rare if _closest(fit[1], cell) >= least] or (rare if not usual else [])
    fits = [*usual, *rare]
    if not rare or len(usual) != 1 or len(np.unique(usual[0][0].group.rotations, axis=0)) <= 2:
        return fits, []
    listed = " or ".join(_described(fit[0]) for fit in rare)
    return usual, [f"read with {_described(usual[0][0])}, the usual setting; the file does not exclude {listed}"]


def _closest(orbits: tuple[Orbit, ...], cell: NDArray[np.float64]) -> float:
    """Shortest distance of two atoms as a share of the sum of their covalent radii; 1 where none are closer."""
    atoms = atoms_of(orbits, cell)
    radii = covalent_radii[atoms.numbers]
    i, j, distance = pairs_within(atoms, radii)
    return float(min([1.0, *(distance / (radii[i] + radii[j])).round(3)]))


def _described(reading: Reading) -> str:
    return f"{reading.source} ({reading.group.name})"


def _undecided(path: Path, symmetry: Symmetry, fits: list[Reading], reasons: list[InputError]) -> InputError:
    """Error for a file that no reading fits, or more than one."""
    texts = {str(reason) for reason in reasons}
    if not fits and len(texts) == 1:
        return InputError(texts.pop())
    meant = fits or [reading for reading in symmetry.readings if reading.usual] or symmetry.readings
    listed = " or ".join(dict.fromkeys(map(_described, meant)))
    if fits:
        return InputError(
            f"{path}: found a symmetry that may be {listed}, and nothing that decides between them; write one of them "
            "(full name with its setting, or operations), or a formula with Z that tells them apart"
        )
    reason = str(reasons[0]).removeprefix(f"{path}: ")
    return InputError(f"{path}: found {listed}, and none agrees with the rest of the file: {reason}")


def _chosen(symmetry: Symmetry, reading: Reading) -> list[str]:
    """Say why this reading was chosen, if there were others or the file tells no symmetry."""
    others = [_described(other) for other in symmetry.readings if other is not reading and other.usual]
    if others:
        return [f"read with {_described(reading)}: the rest of the file contradicts {' and '.join(others)}"]
    return [f"{_described(reading)}, which the rest of the file confirms"] if symmetry.doubtful else []


def _said(orbit: Orbit) -> str:
    return (
        f"site {orbit.site.label} was moved by {orbit.moved:.3f} Å onto its symmetry element, where its images merge "
        f"into {len(orbit.positions)}"
    )
