"""What a CIF says about the contents of its cell: formula, formula units, weight, electrons, densities, volume."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from ase.data import atomic_masses, atomic_numbers, chemical_symbols
from ase.units import _amu  # kg

from iphasenet.crystal.cif_file import CifBlock, number

ELEMENTS = frozenset(chemical_symbols[1:104])
"""Elements that crystals may hold; heavier ones were never made in such amounts."""


@dataclass(frozen=True)
class Told:
    """
    A number that a file says.

    Attributes
    ----------
    value : float
        The number; NaN if it says none.
    spread : float
        Largest rounding error, half of its last digit.
    """

    value: float = math.nan
    spread: float = 0.0

    @property
    def known(self) -> bool:
        """Whether the file says anything that can be compared."""
        return self.value > 0

    def agrees(self, lowest: float, highest: float, tolerance: float) -> bool:
        """Whether the range found agrees with the number, within a relative tolerance and its rounding."""
        margin = tolerance * self.value + self.spread
        return lowest - margin <= self.value <= highest + margin


@dataclass(frozen=True)
class Claims:
    """
    What a file says about the contents of its cell; NaN or empty where it says nothing.

    Attributes
    ----------
    formula : mapping of str to Decimal
        Atoms of a formula unit by element, with the digits that are written; deuterium is counted as H.
    text : str
        The formula as written.
    units : float
        Formula units in the cell (Z).
    density : float
        Density of the crystal that the file gives as calculated [g/cm³].
    measured : Told
        Density that the file gives as measured [g/cm³].
    weight : Told
        Weight of a formula unit [g/mol].
    electrons : Told
        F(000) of the cell.
    dispersion : mapping of str to float
        Real parts of the anomalous scattering by element, which some programs add to F(000).
    cell : mapping of str to Decimal
        Atoms of the cell by element.
    volume : float
        Volume of the cell [Å³].
    warnings : tuple of str
        One line for each statement that could not be read.
    """

    formula: Mapping[str, Decimal] = field(default_factory=dict)
    text: str = ""
    units: float = math.nan
    density: float = math.nan
    measured: Told = Told()
    weight: Told = Told()
    electrons: Told = Told()
    dispersion: Mapping[str, float] = field(default_factory=dict)
    cell: Mapping[str, Decimal] = field(default_factory=dict)
    volume: float = math.nan
    warnings: tuple[str, ...] = ()


def read_claims(block: CifBlock) -> Claims:
    """Read what a block says about the cell's contents; a formula that is no list of elements is a warning."""
    text = block.text("_chemical_formula_sum")
    formula = read_formula(text)
    notes = [f"its formula {text!r} is not understood and not checked"] if text and formula is None else []
    units = block.number("_cell_formula_units_z")
    types = _by_element(block, "_atom_type_number_in_cell")
    return Claims(
        formula=formula or {},
        text=text,
        units=units if units > 0 else math.nan,
        density=block.number("_exptl_crystal_density_diffrn"),
        measured=_told(block, "_exptl_crystal_density_meas"),
        weight=_told(block, "_chemical_formula_weight"),
        electrons=_told(block, "_exptl_crystal_f_000"),
        dispersion={e: float(value) for e, value in _by_element(block, "_atom_type_scat_dispersion_real").items()},
        cell=types if any(types.values()) else {},
        volume=block.number("_cell_volume"),
        warnings=tuple(notes),
    )


def _told(block: CifBlock, tag: str) -> Told:
    """Read a number and its digits."""
    text = block.text(tag)
    if not number(text) > 0:
        return Told()
    digits = text.partition("(")[0].lower().partition("e")[0].replace(",", ".").partition(".")[2]
    return Told(number(text), 0.5 * 10.0 ** -len(digits))


def _by_element(block: CifBlock, tag: str) -> dict[str, Decimal]:
    """Read a column of the list of atom types, summed over the valences of each element; empty if incomplete."""
    symbols, values = block.column("_atom_type_symbol"), block.column(tag)
    found: dict[str, Decimal] = {}
    for symbol, value in zip(symbols, values, strict=False):
        letters = re.match(r"\d*([A-Za-z]{1,2})(?![A-Za-z])", symbol)
        element = letters[1].capitalize() if letters else ""
        element = "H" if element == "D" else element
        if element not in ELEMENTS or not math.isfinite(number(value)) or len(symbols) != len(values):
            return {}
        share = Decimal(str(number(value))).normalize()
        found[element] = found[element] + share if tag.endswith("cell") and element in found else share
    return found


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
        Counts by element, with "D" counted as "H"; None for text that is no formula, or that may be two ("IN").
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


def spread_of(count: Decimal) -> float:
    """Largest rounding error of a count in a formula: half of its last decimal; 0 without decimals."""
    exponent = int(count.as_tuple().exponent)
    return 0.5 * 10.0**exponent if exponent < 0 else 1e-6


def density(counts: Mapping[str, float], volume: float, isotopes: Mapping[str, float] | None = None) -> float:
    """Density of a cell [g/cm³] from its atoms by element and its volume [Å³]; `isotopes` replaces masses [u]."""
    masses = {e: atomic_masses[atomic_numbers[e]] for e in counts} | dict(isotopes or {})
    return float(sum(masses[e] * count for e, count in counts.items()) * _amu * 1e3 / (volume * 1e-24))


def hill(counts: Mapping[str, float]) -> str:
    """Write a formula in Hill's order: carbon, hydrogen, then the alphabet; without carbon the alphabet alone."""
    first = ("C", "H") if "C" in counts else ()
    order = [*(e for e in first if e in counts), *sorted(e for e in counts if e not in first)]
    return "".join(f"{e}{round(counts[e], 3):g}" if counts[e] != 1 else e for e in order)
