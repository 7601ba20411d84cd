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


@dataclass(frozen=True)
class StructureType:
    """
    Type of a crystal.

    Attributes
    ----------
    label : str
        Formula with letters for elements, number of the space group, and the sites of each element in turn, as
        multiplicity and symmetry: ``AB 225 4(m-3m) 4(m-3m)`` is rock salt. Coordinates that the symmetry leaves free
        are not compared.
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
        sites.setdefault(int(atoms.numbers[orbit]), []).append((round(count * scale), symmetry))
    counts = {element: sum(number for number, _ in held) for element, held in sites.items()}
    divisor = gcd(*counts.values())
    ranked = sorted((counts[element] // divisor, sorted(held)) for element, held in sites.items())
    formula = "".join(
        letter + (str(count) if count > 1 else "") for letter, (count, _) in zip(ascii_uppercase, ranked, strict=False)
    )
    listed = " ".join("+".join(f"{number}({symmetry})" for number, symmetry in held) for _, held in ranked)
    return StructureType(f"{formula} {found.number} {listed}", found.international, int(found.number))
