"""Structure types: what crystals with the same arrangement of atoms have in common."""

from collections import Counter
from dataclasses import dataclass
from math import gcd
from string import ascii_uppercase

import spglib
from ase import Atoms

from iphasenet.crystal.space_group import ask_spglib

TOLERANCE = 0.01
"""Distance to which positions obey the symmetry of a type [Å]."""

PARENT_TOLERANCE = 0.3
"""Distance to which they obey that of the parent type, of which the type is a small distortion [Å]."""


_MIRRORED = {
    78: 76, 95: 91, 96: 92, 145: 144, 153: 151, 154: 152, 170: 169, 172: 171, 179: 178, 181: 180, 213: 212
}  # fmt: skip
"""Space groups that are mirror images of others: a left-handed crystal has the type of a right-handed one."""

_ORTHORHOMBIC = range(16, 75)


@dataclass(frozen=True)
class StructureType:
    """
    Type of a crystal.

    Attributes
    ----------
    label : str
        Formula with letters for elements, number of the space group, and the sites of each element in turn, as
        multiplicity and symmetry: ``AB 225 4(m-3m) 4(m-3m)`` is rock salt. Coordinates that the symmetry leaves free
        are not compared, and neither are handedness and the order of the axes of an orthorhombic cell.
    symbol : str
        Space group.
    number : int
        Its number.
    """

    label: str
    symbol: str
    number: int


def structure_type(atoms: Atoms, tolerance: float = TOLERANCE) -> StructureType | None:
    """
    Name the type of an ordered crystal.

    Parameters
    ----------
    atoms : Atoms
        Its cell.
    tolerance : float
        Distance to which positions must obey a symmetry [Å].

    Returns
    -------
    StructureType or None
        Type; None where no symmetry is found within the tolerance.
    """
    cell = (atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers)
    found = ask_spglib(spglib.get_symmetry_dataset, cell, tolerance)
    if found is None:
        return None
    # Multiplicities are those of the conventional cell.
    scale = len(found.std_types) / len(atoms)
    sites: dict[int, list[tuple[int, str]]] = {}
    for orbit, count in Counter(found.crystallographic_orbits.tolist()).items():
        symmetry = found.site_symmetry_symbols[orbit].replace(".", "")
        if found.number in _ORTHORHOMBIC:
            # m2m and mm2 are one symmetry along other axes.
            symmetry = "".join(sorted(symmetry))
        sites.setdefault(int(atoms.numbers[orbit]), []).append((round(count * scale), symmetry))
    counts = {element: sum(number for number, _ in held) for element, held in sites.items()}
    divisor = gcd(*counts.values())
    ranked = sorted((counts[element] // divisor, sorted(held)) for element, held in sites.items())
    formula = "".join(
        letter + (str(count) if count > 1 else "") for letter, (count, _) in zip(ascii_uppercase, ranked, strict=False)
    )
    listed = " ".join("+".join(f"{number}({symmetry})" for number, symmetry in held) for _, held in ranked)
    number = _MIRRORED.get(found.number, found.number)
    return StructureType(f"{formula} {number} {listed}", found.international, int(found.number))
