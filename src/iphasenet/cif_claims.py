"""What a CIF says of its contents - formula, formula units, density, volume - checked against the atoms of a cell."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from ase.data import atomic_masses, atomic_numbers, chemical_symbols, covalent_radii
from ase.formula import Formula
from ase.units import _amu  # kg

from iphasenet.cif_file import CifBlock
from iphasenet.errors import InputError

ELEMENTS = frozenset(chemical_symbols[1:104])
"""Elements of crystals; heavier ones were never made by the gram."""

_DEUTERIUM_MASS = 2.014

_FULL_VOLUME = 60.0
"""Most that crystals give to an atom but hydrogen [Å³]: oxides 8 to 20, molecules 18, porous MOF-5 53."""

_DENSITY_TOLERANCE = 0.05
_VOLUME_TOLERANCE = 0.005


@dataclass(frozen=True)
class Claims:
    """
    What a file says of its cell's contents; NaN and empty where it says nothing.

    Attributes
    ----------
    formula : mapping of str to Decimal
        Atoms of a formula unit by element, with the digits that are written; deuterium is counted as H.
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

    formula: Mapping[str, Decimal] = field(default_factory=dict)
    text: str = ""
    units: float = math.nan
    density: float = math.nan
    volume: float = math.nan
    warnings: tuple[str, ...] = ()


def read_claims(block: CifBlock) -> Claims:
    """Read what a block says of the cell's contents; a formula that is no list of elements is a warning."""
    text = block.text("_chemical_formula_sum")
    formula = read_formula(text)
    notes = [f"its formula {text!r} is not understood and not checked"] if text and formula is None else []
    units = block.number("_cell_formula_units_z")
    return Claims(
        formula or {},
        text,
        units if units > 0 else math.nan,
        block.number("_exptl_crystal_density_diffrn"),
        block.number("_cell_volume"),
        tuple(notes),
    )


def read_formula(text: str) -> dict[str, Decimal] | None:
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
    words = re.sub(r"^\s*\(([^()]*)\)\s*$", r"\1", text).replace(",", " ").split()
    split = _counted([re.fullmatch(r"([A-Za-z]{1,2})(\d*\.?\d*)(?:\(\d+\))?", word) for word in words])
    if len(words) > 1 and split:
        return split
    joined = "".join(words)
    parts = list(re.finditer(r"([A-Z][a-z]?)(\d*\.?\d*)", joined))
    run = _counted(list(parts)) if "".join(part[0] for part in parts) == joined else None
    return run if not split or run == split else split if not run else None


def _counted(matches: list[re.Match[str] | None]) -> dict[str, Decimal] | None:
    """Add up counts by element; None if one is no element or stands twice."""
    found: dict[str, Decimal] = {}
    for match in matches:
        element = match[1].capitalize() if match else ""
        element = "H" if element == "D" else element
        if match is None or element not in ELEMENTS or match[2] == ".":
            return None
        # H and D of one formula are added.
        if element in found and element != "H":
            return None
        found[element] = found.get(element, Decimal(0)) + Decimal(match[2] or 1)
    return found or None


def check_contents(
    counts: Mapping[str, int], claims: Claims, volume: float, name: str, attached: Mapping[str, float] | None = None
) -> tuple[bool, list[str]]:
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
    attached : mapping of str to float, optional
        Hydrogen atoms of the cell that are not listed but said to be attached to sites, by their labels.

    Returns
    -------
    tuple
        Whether the number of atoms is confirmed, and as warnings what the file has and the list lacks, or that the
        cell is all but empty.

    Raises
    ------
    InputError
        If they contradict each other.
    """
    more, carriers = sum((attached or {}).values()), ", ".join(attached or {})
    # Some programs say what is attached of hydrogen that they list.
    told = {**counts, "H": more} if more and "H" not in counts else dict(counts)
    choices = _units(told, claims, volume)
    problems = [_problem(told, claims.formula, units) for units in choices]
    if choices and all(problems):
        times = "" if math.isnan(claims.units) else f" times Z = {claims.units:g}"
        raise InputError(
            f"{name}: found {hill(counts)} in the cell, but its formula is {claims.text!r}{times}: {problems[0]}"
        )
    lacking = {"H": more} if more and "H" not in counts else {}
    if choices:
        units = choices[problems.index("")]
        short = {e: float(n) * units - counts.get(e, 0) for e, n in claims.formula.items()}
        lacking = {e: n for e, n in short.items() if n > _spread(claims.formula[e]) * units}
    notes = [
        f"its list of atoms lacks {number:g} {element}"
        + (f", attached to {carriers}" if element == "H" and more else " of its formula")
        for element, number in lacking.items()
    ]
    _check_density({e: counts.get(e, 0) + lacking.get(e, 0) for e in {*counts, *lacking}}, counts, claims, volume, name)
    if _is_sparse(counts, volume):
        notes.append(f"found only {hill(counts)} in a cell of {volume:.4g} Å³; atoms or symmetry may be missing")
    exact = bool(choices) and units == claims.units and (not lacking or (told != counts and lacking == {"H": more}))
    return exact or claims.density > 0, notes


def _check_density(
    atoms: Mapping[str, float], listed: Mapping[str, int], claims: Claims, volume: float, name: str
) -> None:
    """Compare density and volume; all hydrogen or some may be deuterium."""
    light, heavy = density(atoms, volume), density(atoms, volume, _DEUTERIUM_MASS)
    lowest, highest = (1 - _DENSITY_TOLERANCE) * claims.density, (1 + _DENSITY_TOLERANCE) * claims.density
    # Some files have kg/m³.
    if claims.density > 0 and not any(light * unit <= highest and heavy * unit >= lowest for unit in (1, 1000)):
        raise InputError(
            f"{name}: found {hill(listed)} in the cell, {light:.3g} g/cm³, but it says {claims.density:g} g/cm³"
        )
    if claims.volume > 0 and abs(volume / claims.volume - 1) > _VOLUME_TOLERANCE:
        raise InputError(f"{name}: found a cell of {volume:.6g} Å³, but it says {claims.volume:g} Å³")


def _units(counts: Mapping[str, float], claims: Claims, volume: float) -> list[float]:
    """
    List how many formula units the cell may have.

    The file's Z; and 1 where Z divides the formula and its atoms fill the cell, as pymatgen writes the cell's
    contents as the formula. Without Z what the listed elements ask for.
    """
    formula = claims.formula
    if not formula:
        return []
    if not math.isnan(claims.units):
        whole = claims.units > 1 and all(float(count) % claims.units == 0 for count in formula.values())
        alone = whole and not _is_sparse({element: float(count) for element, count in formula.items()}, volume)
        return [claims.units, 1.0] if alone else [claims.units]
    ranges = [
        (counts[e] / (float(n) + _spread(n)), counts[e] / (float(n) - _spread(n)) if e != "H" else math.inf)
        for e, n in formula.items()
        if counts.get(e) and float(n) > _spread(n)
    ]
    if not ranges:
        return [1.0]
    low, high = max(low for low, _ in ranges), min(high for _, high in ranges)
    if high == math.inf:
        return [low]
    # Where no number fits all, the first element tells what does not fit it.
    return [(low + high) / 2 if low <= high else sum(next(pair for pair in ranges if pair[1] < math.inf)) / 2]


def _spread(count: Decimal) -> float:
    """By how much a count of a formula may be rounded: half of its last decimal; not at all without decimals."""
    exponent = int(count.as_tuple().exponent)
    return 0.5 * 10.0**exponent if exponent < 0 else 1e-6


def _problem(counts: Mapping[str, float], formula: Mapping[str, Decimal], units: float) -> str:
    """Say how a list of atoms contradicts a formula; empty if it does not. What it lacks is no contradiction."""
    for element, count in counts.items():
        written = formula.get(element, Decimal(0))
        over = count - float(written) * units
        fewer_hydrogen = element == "H" and over < 0
        if abs(over) > _spread(written) * units and not fewer_hydrogen:
            return f"{count:g} {element} for {float(written) * units:g}"
    return ""


def _is_sparse(counts: Mapping[str, float], volume: float) -> bool:
    """Whether the atoms leave a cell [Å³] emptier than any crystal is: three quarters of its symmetry are not told."""
    # The large atoms of the alkali metals have more room: 117 Å³ in caesium.
    room = {e: max(_FULL_VOLUME, 12 * covalent_radii[atomic_numbers[e]] ** 3) for e in counts}
    heavy = {e: count for e, count in counts.items() if e != "H"} or counts
    return volume > sum(room[e] * count for e, count in heavy.items())


def density(counts: Mapping[str, float], volume: float, hydrogen_mass: float = atomic_masses[1]) -> float:
    """Density of a cell [g/cm³] of atoms by element and a volume [Å³]."""
    masses = {e: hydrogen_mass if e == "H" else atomic_masses[atomic_numbers[e]] for e in counts}
    return float(sum(masses[e] * count for e, count in counts.items()) * _amu * 1e3 / (volume * 1e-24))


def hill(counts: Mapping[str, int]) -> str:
    """Write a formula in Hill's order: carbon, hydrogen, then the alphabet; without carbon the alphabet alone."""
    return Formula.from_dict(dict(counts)).format("hill")
