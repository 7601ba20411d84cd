"""Comparison of a cell's atoms with what its file says: formula, Z, weight, electrons, densities, volume."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from ase.data import atomic_numbers, covalent_radii
from ase.units import _amu  # kg

from iphasenet.base.errors import InputError
from iphasenet.crystal.cif_claims import Claims, Told, density, hill, spread_of

_LIGHT = {"Li": 6.015, "B": 10.013}
_HEAVY = {"H": 2.014, "Li": 7.016, "B": 11.009}
"""Masses of isotopes in crystals that differ from the element's mass by more than the tolerances [u]."""

_FULL_VOLUME = 60.0
"""Largest volume per atom other than hydrogen [Å³]: oxides have 8 to 20, molecules 18, porous MOF-5 53."""

_DENSITY_TOLERANCE = 0.05
_WEIGHT_TOLERANCE = 0.01
_ELECTRONS_TOLERANCE = 0.01
_VOLUME_TOLERANCE = 0.005


_OCCUPANCY_SPREAD = 0.005
"""Largest rounding error of an occupancy between 0 and 1."""


def check_contents(
    counts: Mapping[str, float],
    claims: Claims,
    volume: float,
    name: str,
    attached: Mapping[str, float] | None = None,
    partly: Mapping[str, int] | None = None,
) -> tuple[bool, list[str]]:
    """
    Compare the atoms of a cell with what the file says about them.

    Parameters
    ----------
    counts : mapping of str to float
        Atoms of the cell by element, weighted by their occupancies.
    claims : Claims
        What the file says.
    volume : float
        Volume of the cell [Å³].
    name : str
        Name of the file, for messages.
    attached : mapping of str to float, optional
        Hydrogen atoms that are not listed but attached to sites, by the labels of the sites.
    partly : mapping of str to int, optional
        Places by element that are partly occupied: their occupancies are rounded.

    Returns
    -------
    tuple
        Whether the number of atoms is confirmed, and warnings: atoms that the file states but does not list, or a cell
        that is nearly empty.

    Raises
    ------
    InputError
        If they contradict each other.
    """
    more, carriers = sum((attached or {}).values()), ", ".join(attached or {})
    # Some programs give the number of attached hydrogen atoms even if they list them.
    told = {**counts, "H": more} if more and "H" not in counts else dict(counts)
    slack = {element: _OCCUPANCY_SPREAD * places for element, places in (partly or {}).items() if places}
    choices = _units(told, claims, volume, slack)
    problems = [_problem(told, claims.formula, units, slack) for units in choices]
    if choices and all(problems):
        times = "" if math.isnan(claims.units) else f" times Z = {claims.units:g}"
        raise InputError(
            f"{name}: found {hill(counts)} in the cell, but its formula is {claims.text!r}{times}: {problems[0]}"
        )
    if trouble := _problem(told, claims.cell, 1, slack) if claims.cell else "":
        raise InputError(f"{name}: found {hill(counts)} in the cell, but its list of types of atoms says: {trouble}")
    units = choices[problems.index("")] if choices else claims.units
    lacking = _lacking(counts, claims, units, {"H": more} if more and "H" not in counts else {}, slack)
    notes = [
        f"its list of atoms lacks {number:g} {element}"
        + (f", attached to {carriers}" if element == "H" and more else " of its formula")
        for element, number in lacking.items()
    ]
    atoms = {e: counts.get(e, 0) + lacking.get(e, 0) for e in {*counts, *lacking}}
    confirmed, doubts = _ask_witnesses(_witnesses(atoms, claims, volume, units), f"{name}: found {hill(counts)}")
    if claims.volume > 0 and abs(volume / claims.volume - 1) > _VOLUME_TOLERANCE:
        raise InputError(f"{name}: found a cell of {volume:.6g} Å³, but the file says {claims.volume:g} Å³")
    if _is_sparse(counts, volume):
        notes.append(f"found only {hill(counts)} in a cell of {volume:.4g} Å³; atoms or symmetry may be missing")
    whole = not lacking or (told != counts and lacking == {"H": more})
    exact = whole and (bool(claims.cell) or (bool(choices) and units == claims.units))
    return exact or confirmed, [*notes, *doubts]


def _lacking(
    counts: Mapping[str, float],
    claims: Claims,
    units: float,
    attached: Mapping[str, float],
    slack: Mapping[str, float],
) -> Mapping[str, float]:
    """Atoms by element that the formula or the list of types has and the list of sites lacks; else attached H."""
    found = attached
    for listed, times in ((claims.formula, units), (claims.cell, 1.0)):
        if listed and not math.isnan(times):
            short = {e: float(n) * times - counts.get(e, 0) for e, n in listed.items()}
            found = {e: n for e, n in short.items() if n > spread_of(listed[e]) * times + slack.get(e, 0)}
            if found:
                return found
    return found


@dataclass(frozen=True)
class _Witness:
    """A number that the file gives for the whole cell, and the range that its atoms give."""

    told: Told
    text: str
    found: str
    lowest: float
    highest: float
    tolerance: float
    binding: bool = True


def _witnesses(atoms: Mapping[str, float], claims: Claims, volume: float, units: float) -> list[_Witness]:
    """List what the file says about mass and electrons; ranges allow for isotopes and for absorption edges."""
    light, heavy = (density(atoms, volume, masses) for masses in (_LIGHT, _HEAVY))
    plain, widest = f"{density(atoms, volume):.3g} g/cm³", _DENSITY_TOLERANCE
    calculated, measured = (_in_grams(told, heavy) for told in (Told(claims.density), claims.measured))
    electrons = sum(atomic_numbers[e] * n for e, n in atoms.items())
    scattering = electrons + sum(claims.dispersion.get(e, 0.0) * n for e, n in atoms.items())
    grams = volume * 1e-24 / (_amu * 1e3)
    # Where the formula is that of the whole cell, the weight may be that of one formula unit.
    times = claims.units if not math.isnan(claims.units) else 0.0
    weight = Told(times * claims.weight.value, times * claims.weight.spread)
    if units == 1 and not weight.agrees(light * grams, heavy * grams, _WEIGHT_TOLERANCE):
        weight, times = claims.weight, times and 1.0
    return [
        _Witness(calculated, f"{claims.density:g} g/cm³", plain, light, heavy, widest),
        _Witness(
            weight if times else Told(),
            f"{claims.weight.value:g} g/mol times Z = {times:g}",
            f"{density(atoms, volume) * grams:.6g} g/mol",
            light * grams,
            heavy * grams,
            _WEIGHT_TOLERANCE,
        ),
        _Witness(
            claims.electrons,
            f"F(000) = {claims.electrons.value:g}",
            f"{electrons:g} electrons",
            min(electrons, scattering),
            max(electrons, scattering),
            _ELECTRONS_TOLERANCE,
        ),
        _Witness(measured, f"{claims.measured.value:g} g/cm³ as measured", plain, light, heavy, widest, binding=False),
    ]


def _in_grams(told: Told, highest: float) -> Told:
    """Read a density far above that of the atoms as kg/m³ and return it in g/cm³."""
    return Told(told.value / 1000, told.spread / 1000) if told.value > 100 * highest else told


def _ask_witnesses(witnesses: list[_Witness], found: str) -> tuple[bool, list[str]]:
    """Refuse a contradiction; return whether a number confirms the atoms, and doubts from numbers that may be wrong."""
    doubts, confirmed = [], False
    for one in witnesses:
        if not one.told.known:
            continue
        if one.told.agrees(one.lowest, one.highest, one.tolerance):
            confirmed = True
        elif one.binding:
            raise InputError(f"{found} in the cell, {one.found}, but the file says {one.text}")
        else:
            doubts.append(f"{found.partition(': ')[2]} in the cell, {one.found}, but the file says {one.text}")
    return confirmed, doubts


def _units(counts: Mapping[str, float], claims: Claims, volume: float, slack: Mapping[str, float]) -> list[float]:
    """
    List the possible numbers of formula units in the cell.

    This is Z of the file, and also 1 where the formula is a multiple of Z and its atoms fill the cell, because
    pymatgen writes the cell's contents as the formula. Without Z, the numbers that fit the listed elements.
    """
    formula = claims.formula
    if not formula:
        return []
    if not math.isnan(claims.units):
        whole = claims.units > 1 and all(float(count) % claims.units == 0 for count in formula.values())
        alone = whole and not _is_sparse({element: float(count) for element, count in formula.items()}, volume)
        return [claims.units, 1.0] if alone else [claims.units]
    ranges = [
        (
            (counts[e] - slack.get(e, 0)) / (float(n) + spread_of(n)),
            (counts[e] + slack.get(e, 0)) / (float(n) - spread_of(n)) if e != "H" else math.inf,
        )
        for e, n in formula.items()
        if counts.get(e) and float(n) > spread_of(n)
    ]
    if not ranges:
        return [1.0]
    low, high = max(low for low, _ in ranges), min(high for _, high in ranges)
    if high == math.inf:
        return [low]
    # If no number fits all elements, that of the first element shows which others do not fit.
    return [(low + high) / 2 if low <= high else sum(next(pair for pair in ranges if pair[1] < math.inf)) / 2]


def _problem(
    counts: Mapping[str, float], formula: Mapping[str, Decimal], units: float, slack: Mapping[str, float]
) -> str:
    """Say how a list of atoms contradicts a formula; empty if it does not. Missing atoms are no contradiction."""
    for element, count in counts.items():
        written = formula.get(element, Decimal(0))
        over = count - float(written) * units
        fewer_hydrogen = element == "H" and over < 0
        if abs(over) > spread_of(written) * units + slack.get(element, 0) and not fewer_hydrogen:
            return f"{count:.4g} {element} for {float(written) * units:g}"
    return ""


def _is_sparse(counts: Mapping[str, float], volume: float) -> bool:
    """Whether a cell [Å³] is emptier than that of any crystal, as when most of the symmetry is not given."""
    # The large atoms of the alkali metals have more room: 117 Å³ in caesium.
    room = {e: max(_FULL_VOLUME, 12 * covalent_radii[atomic_numbers[e]] ** 3) for e in counts}
    heavy = {e: count for e, count in counts.items() if e != "H"} or counts
    return volume > sum(room[e] * count for e, count in heavy.items())
