"""What a CIF says of its contents - formula, formula units, density, volume - checked against the atoms of a cell."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ase.data import atomic_masses, atomic_numbers, chemical_symbols
from ase.units import _amu  # kg

from iphasenet.cif_file import CifBlock
from iphasenet.errors import InputError

_COUNT_TOLERANCE = 0.01
"""Share of its atoms by which a formula may be rounded."""

_DENSITY_TOLERANCE = 0.05
_VOLUME_TOLERANCE = 0.005


@dataclass(frozen=True)
class Claims:
    """
    What a file says of its cell's contents; NaN and empty where it says nothing.

    Attributes
    ----------
    formula : mapping of str to float
        Atoms of a formula unit by element; deuterium is counted as H.
    text : str
        The formula as it stands.
    units : float
        Formula units in the cell (Z).
    density : float
        Density of the crystal that the file gives as calculated [g/cm³].
    volume : float
        Volume of the cell [Å³].
    warnings : tuple of str
        What could not be read.
    """

    formula: Mapping[str, float] = field(default_factory=dict)
    text: str = ""
    units: float = math.nan
    density: float = math.nan
    volume: float = math.nan
    warnings: tuple[str, ...] = ()

    def totals(self) -> list[dict[str, float]]:
        """
        Atoms of the cell by element, as the file may mean it.

        Returns
        -------
        list
            The formula times Z. Where the formula's own counts have Z as a divisor, the formula alone too: pymatgen
            writes the cell's contents as the formula.
        """
        if not self.formula or math.isnan(self.units):
            return []
        every = [{element: count * self.units for element, count in self.formula.items()}]
        if self.units > 1 and all(count % self.units == 0 for count in self.formula.values()):
            every.append(dict(self.formula))
        return every


def read_claims(block: CifBlock) -> Claims:
    """Read what a block says of the cell's contents; a formula that is no list of elements is a warning."""
    text = block.text("_chemical_formula_sum")
    formula = read_formula(text)
    notes = [f"its formula {text!r} is not understood and not checked"] if text and formula is None else []
    return Claims(
        formula or {},
        text,
        block.number("_cell_formula_units_z"),
        block.number("_exptl_crystal_density_diffrn"),
        block.number("_cell_volume"),
        tuple(notes),
    )


def read_formula(text: str) -> dict[str, float] | None:
    """
    Read a formula: elements with counts.

    Parameters
    ----------
    text : str
        Such as "Co Li O2", "CO LI O2" or "NaCl".

    Returns
    -------
    dict or None
        Counts by element, of "D" as "H"; None for what is no such list, or two ("IN").
    """
    words = text.replace(",", " ").split()
    split = _counted([re.fullmatch(r"([A-Za-z]{1,2})(\d*\.?\d*)(?:\(\d+\))?", word) for word in words])
    if len(words) > 1 and split:
        return split
    joined = "".join(words)
    parts = list(re.finditer(r"([A-Z][a-z]?)(\d*\.?\d*)", joined))
    run = _counted(list(parts)) if "".join(part[0] for part in parts) == joined else None
    return run if not split or run == split else split if not run else None


def _counted(matches: list[re.Match[str] | None]) -> dict[str, float] | None:
    """Add up counts by element; None if one is no element or stands twice."""
    found: dict[str, float] = {}
    for match in matches:
        element = match[1].capitalize() if match else ""
        element = "H" if element == "D" else element
        if match is None or element not in chemical_symbols[1:] or match[2] == ".":
            return None
        # H and D of one formula are added.
        if element in found and element != "H":
            return None
        found[element] = found.get(element, 0.0) + float(match[2] or 1)
    return found or None


def check_contents(counts: Mapping[str, int], claims: Claims, volume: float, name: str) -> tuple[bool, list[str]]:
    """
    Compare the atoms of a cell with what the file says of them.

    Parameters
    ----------
    counts : mapping of str to int
        Atoms of the cell by element.
    claims : Claims
        What the file says.
    volume : float
        Volume of the cell [Å³].
    name : str
        Name of the file, for messages.

    Returns
    -------
    tuple
        Whether the number of atoms is confirmed, and what the formula has and the list lacks, as warnings.

    Raises
    ------
    InputError
        If they contradict each other.
    """
    totals = claims.totals() or _scaled(counts, claims)
    problems = [_problem(counts, total) for total in totals]
    if totals and all(problems):
        times = "" if math.isnan(claims.units) else f" times Z = {claims.units:g}"
        raise InputError(
            f"{name}: found {hill(counts)} in the cell, but its formula is {claims.text!r}{times}: {problems[0]}"
        )
    lacking: dict[str, float] = {}
    if totals:
        total = totals[problems.index("")]
        lacking = {e: n - counts.get(e, 0) for e, n in total.items() if n > (1 + _COUNT_TOLERANCE) * counts.get(e, 0)}
    notes = [f"its list of atoms lacks {number:g} {e} of its formula" for e, number in lacking.items()]
    found = density({e: counts.get(e, 0) + lacking.get(e, 0) for e in {*counts, *lacking}}, volume)
    # Some files have kg/m³.
    far = [abs(found * unit - claims.density) > _DENSITY_TOLERANCE * claims.density for unit in (1, 1000)]
    if claims.density > 0 and all(far):
        raise InputError(
            f"{name}: found {hill(counts)} in the cell, {found:.3g} g/cm³, but it says {claims.density:g} g/cm³"
        )
    if claims.volume > 0 and abs(volume / claims.volume - 1) > _VOLUME_TOLERANCE:
        raise InputError(f"{name}: found a cell of {volume:.6g} Å³, but it says {claims.volume:g} Å³")
    confirmed = bool(claims.totals() and not lacking) or claims.density > 0
    return confirmed, notes


def _scaled(counts: Mapping[str, int], claims: Claims) -> list[dict[str, float]]:
    """Multiply the formula by as many units as the listed elements ask for, where Z is not told."""
    ratios = [counts[e] / n for e, n in claims.formula.items() if counts.get(e) and n and e != "H"]
    ratios = ratios or [counts[e] / n for e, n in claims.formula.items() if counts.get(e) and n]
    units = ratios[0] if ratios else 1.0
    return [{e: n * units for e, n in claims.formula.items()}] if claims.formula else []


def _problem(counts: Mapping[str, int], total: Mapping[str, float]) -> str:
    """Say how a list of atoms contradicts a formula; empty if it does not. What it lacks is no contradiction."""
    for element, count in counts.items():
        expected = total.get(element, 0.0)
        fewer_hydrogen = element == "H" and count < expected
        if abs(count - expected) > _COUNT_TOLERANCE * expected and not fewer_hydrogen:
            return f"{count} {element} for {expected:g}"
    return ""


def density(counts: Mapping[str, float], volume: float) -> float:
    """Density of a cell [g/cm³] of atoms by element and a volume [Å³]."""
    mass = sum(atomic_masses[atomic_numbers[element]] * count for element, count in counts.items())
    return float(mass * _amu * 1e3 / (volume * 1e-24))


def hill(counts: Mapping[str, float]) -> str:
    """Write a formula in Hill's order: carbon, hydrogen, then the alphabet; without carbon the alphabet alone."""
    first = [e for e in ("C", "H") if e in counts] if "C" in counts else []
    order = first + sorted(set(counts) - set(first))
    return "".join(f"{e}{counts[e]:g}" if counts[e] != 1 else e for e in order)
