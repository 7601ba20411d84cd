"""Sites of a CIF: element, position, occupancy. Elements come from type symbols, labels and the formula together."""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.crystal.cif_axes import check_axes, check_distances, fractional
from iphasenet.crystal.cif_claims import ELEMENTS, read_formula
from iphasenet.crystal.cif_displacements import NOTHING, Stated, read_displacements
from iphasenet.crystal.cif_file import CifBlock, number

OCCUPANCY_TOLERANCE = 1e-3
"""An occupancy this close to 1 counts as 1, because thirds and refined values are rounded."""

_NAMES = ELEMENTS | {"D"}
_SUFFIXES = ("val", "iso", "va", "cy")
"""Endings of type symbols such as Cval and Hiso, which name form factors."""

_DUMMIES = ("X", "Q", "Du", "Dum", "Vac")
"""Labels and type symbols of rows that are no atoms: dummies, peaks of a density, vacancies."""

_DUMMY_SYMBOLS = (*_DUMMIES, "Cg", "Va")
"""The same for type symbols only: centres of rings, and vacancies where the formula has no vanadium."""


@dataclass(frozen=True)
class Site:
    """
    One row of the list of atoms.

    Attributes
    ----------
    label : str
        Label, or the type symbol where there is none.
    element : str
        Chemical symbol; H for deuterium.
    position : tuple of float
        Fractional coordinates.
    occupancy : float
        Share of its places that are occupied.
    stated : Stated
        Displacement parameters that the file gives.
    multiplicity : float
        Multiplicity that the file gives; NaN if none.
    attached : float
        Hydrogen atoms that are attached to the site and not listed, as the file says.
    """

    label: str
    element: str
    position: tuple[float, float, float]
    occupancy: float = 1.0
    stated: Stated = NOTHING
    multiplicity: float = math.nan
    attached: float = 0.0


def read_sites(
    block: CifBlock, formula: Collection[str], cell: NDArray[np.float64]
) -> tuple[tuple[Site, ...], tuple[str, ...]]:
    """
    Read the list of atoms.

    Parameters
    ----------
    block : CifBlock
        Block of a CIF.
    formula : collection of str
        Elements of its formula; empty if it has none.
    cell : ndarray
        Lattice vectors as rows, shape (3, 3) [Å].

    Returns
    -------
    tuple
        The sites, and warnings.

    Raises
    ------
    InputError
        If a site has no element, no coordinates, or an occupancy beyond 0 to 1.
    """
    positions = _positions(block, cell)
    labels = _rows(block, "_atom_site_label", len(positions))
    symbols = _rows(block, "_atom_site_type_symbol", len(labels))
    dummies = _rows(block, "_atom_site_calc_flag", len(labels))
    occupancies = _rows(block, "_atom_site_occupancy", len(labels))
    displacements = read_displacements(block, labels)
    told = _rows(block, "_atom_site_symmetry_multiplicity", len(labels), "_atom_site_site_symmetry_multiplicity")
    attached = _rows(block, "_atom_site_attached_hydrogens", len(labels))
    sites, notes = [], []
    for k, label in enumerate(labels):
        name = label or symbols[k] or f"atom {k + 1}"
        if dummies[k].lower() == "dum":
            continue
        if _is_dummy(name, symbols[k], formula):
            notes.append(f"site {name} is no atom{f' (type symbol {symbols[k]!r})' * bool(symbols[k])} and is left out")
            continue
        occupancy = _occupancy(block, name, occupancies[k])
        if occupancy == 0:
            notes.append(f"site {name} has the occupancy 0 and is left out")
            continue
        if not np.isfinite(positions[k]).all():
            raise InputError(f"{block.path}: found the site {name} without coordinates; three numbers are needed")
        element, note = _element(block, name, symbols[k], formula)
        notes += filter(None, [note])
        position = (float(positions[k][0]), float(positions[k][1]), float(positions[k][2]))
        hydrogen = float(np.nan_to_num(number(attached[k])))
        sites.append(Site(name, element, position, occupancy, displacements[k], number(told[k]), hydrogen))
    if not sites:
        raise InputError(f"{block.path}: found no atoms; at least one is needed")
    return tuple(sites), tuple(dict.fromkeys(notes))


def _rows(block: CifBlock, tag: str, count: int, *more: str) -> list[str]:
    """Return a column of the list of atoms, with empty strings if there is none; refuse another length."""
    column = block.column(tag, *more)
    if column and len(column) != count:
        raise InputError(f"{block.path}: found {len(column)} values of {tag} for {count} atoms; allowed: one for each")
    return ["" if text in (".", "?") else text for text in column] or count * [""]


def _positions(block: CifBlock, cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fractional coordinates, shape (n, 3); NaN where unknown."""
    told = {kind: _coordinates(block, kind) for kind in ("fract", "cartn") if block.column(f"_atom_site_{kind}_x")}
    if "fract" not in told:
        return fractional(block, cell, told["cartn"])
    check_axes(block, cell)
    if "cartn" in told:
        check_distances(block, cell, told["fract"], told["cartn"])
    return told["fract"]


def _coordinates(block: CifBlock, kind: str) -> NDArray[np.float64]:
    count = len(block.column(f"_atom_site_{kind}_x"))
    columns = [[number(text) for text in _rows(block, f"_atom_site_{kind}_{axis}", count)] for axis in "xyz"]
    return np.array(columns, dtype=np.float64).T


def _occupancy(block: CifBlock, name: str, text: str) -> float:
    value = number(text) if text else 1.0
    if not -OCCUPANCY_TOLERANCE <= value <= 1 + OCCUPANCY_TOLERANCE:
        raise InputError(f"{block.path}: found the occupancy {text} at site {name}; allowed: 0 to 1")
    for whole in (0.0, 1.0):
        if abs(value - whole) <= OCCUPANCY_TOLERANCE:
            return whole
    return value


def _element(block: CifBlock, label: str, symbol: str, formula: Collection[str]) -> tuple[str, str]:
    """Element of a site, from the type symbol or else from the label, and a note if it was not obvious."""
    if _is_water(label, symbol, formula):
        return "O", f"site {label} is read as the oxygen of water"
    if re.search(r"[A-Za-z].*[+,/&].*[A-Za-z]", symbol) or len({*(read_formula(symbol) or {})} - {"H"}) > 1:
        raise InputError(f"{block.path}: found several elements, {symbol!r}, at site {label}; allowed: one element")
    found = _of_symbol(symbol, formula)
    # A type symbol that names no element may stand beside a label that looks like one.
    if not found and (not symbol or formula):
        found = _of_label(block, label, formula)
    if not found:
        what = f"type symbol {symbol!r} and label {label!r}, which name" if symbol else f"label {label!r}, which names"
        raise InputError(f"{block.path}: found a site with the {what} no element; allowed: a symbol such as 'Fe'")
    return "H" if found == "D" else found, ""


def _is_dummy(label: str, symbol: str, formula: Collection[str]) -> bool:
    """Whether a row is no atom, by its type symbol or, without one, by its label."""
    name = _letters(symbol or label)[0].capitalize()
    if not symbol:
        return name in _DUMMIES
    return name in _DUMMY_SYMBOLS and (name != "Va" or (bool(formula) and "V" not in formula))


def _is_water(label: str, symbol: str, formula: Collection[str]) -> bool:
    """Whether a row is the oxygen of water: Wat, H2O, OW, or a W where the formula has oxygen and no tungsten."""
    whole = re.match("wat" if not symbol else r"wat|[hd]2o|ow\d*$", symbol or label, re.IGNORECASE)
    if not formula:
        return bool(whole)
    return "O" in formula and "W" not in formula and bool(whole or re.match("w", symbol or label, re.IGNORECASE))


def _letters(text: str) -> tuple[str, str, str]:
    """First letters, without star or isotope number, and the elements that two letters and one letter name, if any."""
    start = re.match(r"[\s*]*\d*([A-Za-z]*)", text)
    letters = start[1] if start else ""
    two, one = letters[:2].capitalize(), letters[:1].upper()
    return letters, two if len(two) == 2 and two in _NAMES else "", one if one in _NAMES else ""


def _in_formula(element: str, formula: Collection[str]) -> bool:
    return element in formula or (element in ("H", "D") and not {"H", "D"}.isdisjoint(formula))


def _of_symbol(symbol: str, formula: Collection[str]) -> str:
    """
    Element of a type symbol such as Fe2+, 57Fe, FE, Cval or OH; empty if it names none.

    A symbol with correct capitals means what it says, whatever the formula has; the formula decides on others.
    """
    letters, two, one = _letters(symbol)
    if re.match(r"[HD]\d[A-Z]", symbol):
        return ""  # a group of atoms, H3O
    if letters in _NAMES:
        return letters
    if letters[1:].lower() in _SUFFIXES:
        return one
    if letters[2:].lower() in _SUFFIXES:
        return two
    known = [option for option in (two, one) if option and _in_formula(option, formula)]
    if known == ["H"] and letters[1:2].isupper():
        return ""  # a group of atoms, HO or HN
    if known:
        return known[0]
    # Symbols that are not in the formula: Wa is not W, but In and IN are indium.
    return two if len(letters) == 2 else one if len(letters) == 1 else ""


def _of_label(block: CifBlock, label: str, formula: Collection[str]) -> str:
    """Element of a label such as Fe2, FE2, Ob or H12A; empty if it names none."""
    letters, two, one = _letters(label)
    known = [option for option in (two, one) if option and (not formula or _in_formula(option, formula))]
    if len(known) == 2 and letters[1].isupper():
        raise InputError(
            f"{block.path}: found a site labelled {label!r} without a type symbol, which may be {two} or {one}; "
            "add a type symbol, or a formula with only one of them"
        )
    if len(known) == 1 and not formula and known == [one] and letters[1:2].islower():
        return ""
    return known[0] if known else ""
