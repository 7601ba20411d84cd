"""Thermal motion of a crystal's atoms: where each site's displacements come from, and what they are at a temperature.

A displacement tensor U holds the mean square displacements of an atom [Å²]: along one axis, its root is the rms
displacement u, and B = 8 pi² U. Atoms move independently of each other, as Einstein oscillators.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from ase.units import _amu, _hbar, _k  # kg, J s, J/K
from numpy.typing import NDArray
from scipy.optimize import brentq

from iphasenet.base.errors import InputError
from iphasenet.base.quantities import DISPLACEMENT, MEASURED_TEMPERATURE, TEMPERATURE, check_number
from iphasenet.crystal.cif import Crystal
from iphasenet.crystal.cif_displacements import BETA, MEASURED_AT
from iphasenet.crystal.orbits import Orbit

DEFAULT_U = 0.0076
"""U at 293 K of a site of which nothing is known [Å²]: B = 0.6 Å², u = 0.087 Å, right within a factor of 2.5."""

USUAL = (0.03, 0.40)
"""Rms displacements of a file beyond these are doubtful [Å]: B written as U, U as B, values that fill a column."""

FAR = 4.0
"""Ratio of mean square displacements at two temperatures from which on an estimate is worth a warning."""

CLIPPED = 1e-4
"""Eigenvalues of a tensor this far below 0 are rounding errors [Å²]."""

OBEYED = 5e-4
"""A tensor that its site's symmetry changes by less obeys it within its errors [Å²]."""

CONFIGURED, ESTIMATED = "configured", "estimate"

_QUANTUM = 1e20 * _hbar**2 / (_amu * _k)
"""hbar² / (u k) [Å² K]."""

_FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class SiteMotion:
    """
    Thermal motion of a site.

    Attributes
    ----------
    tensor : (3, 3) array
        U at the place that the file lists, in the crystal's Cartesian frame [Å²].
    source : str
        ``U_ij``, ``B_ij``, ``beta_ij``, ``U_iso`` or ``B_iso`` of the file, `CONFIGURED` or `ESTIMATED`.
    """

    tensor: _FloatArray
    source: str

    @property
    def equivalent(self) -> float:
        """U of an isotropic motion with the same trace [Å²]."""
        return float(np.trace(self.tensor)) / 3

    @property
    def principal(self) -> _FloatArray:
        """Rms displacements along the tensor's three axes, rising [Å]."""
        return np.sqrt(np.linalg.eigvalsh(self.tensor).clip(0))


def thermal_motion(
    crystal: Crystal, temperature_k: float, rms_displacements: Mapping[str, float] | None = None
) -> tuple[tuple[SiteMotion, ...], tuple[str, ...]]:
    """
    Decide how the atoms of each site move.

    Parameters
    ----------
    crystal : Crystal
        What its file says.
    temperature_k : float
        Temperature, above 0 [K].
    rms_displacements : mapping, optional
        Displacement along one axis by element, at that temperature [Å].

    Returns
    -------
    tuple
        Motion of each orbit of the crystal, and warnings. A site has, in this order: what `rms_displacements` says of
        its element; the tensor of the file; its isotropic value; `DEFAULT_U`. All but the first are taken from the
        temperature that the file tells, or else from 293 K, to `temperature_k` (`einstein_ratio`).

    Raises
    ------
    InputError
        For displacements that are no numbers, negative or above 0.5 Å along any axis, or a tensor that is not positive.
    """
    TEMPERATURE.check(temperature_k, "temperature_k")
    check_number(crystal.measured_at, f"{crystal.path}: temperature of the displacements", MEASURED_TEMPERATURE)
    elements = sorted({orbit.site.element for orbit in crystal.orbits})
    given = check_displacements(rms_displacements, elements)
    motions, notes, doubtful, ratios, unknown = [], [], [], [1.0], set()
    for orbit in crystal.orbits:
        site, name = orbit.site, f"{crystal.path}: site {orbit.site.label}"
        if site.element in given:
            motions.append(SiteMotion(given[site.element] ** 2 * np.eye(3), CONFIGURED))
            continue
        if site.stated.source:
            tensor, changed = _tensor(orbit, crystal.cell, name)
            lowest, *_, highest = np.sqrt(np.linalg.eigvalsh(tensor).clip(0))
            if lowest < USUAL[0] or highest > USUAL[1]:
                doubtful.append(f"{site.label} {lowest if lowest < USUAL[0] else highest:.3f} Å")
            if changed:
                notes.append(f"{site.stated.source} of site {site.label} is averaged, because its symmetry changes it")
        else:
            tensor = DEFAULT_U * np.eye(3)
            unknown.add(site.element)
        measured = crystal.measured_at if site.stated.source else MEASURED_AT
        ratio = einstein_ratio(float(np.trace(tensor)) / 3, site.element, measured, temperature_k)
        if site.stated.source:
            ratios.append(ratio)
        tensor = tensor * ratio
        motions.append(SiteMotion(_checked(tensor, f"{name} at {temperature_k:g} K"), site.stated.source or ESTIMATED))
    if doubtful:
        notes.append(
            f"found unusual rms displacements: {', '.join(doubtful)}; usual are {USUAL[0]} to {USUAL[1]} Å "
            "(is B written as U, or U as B?)"
        )
    if max(ratios) > FAR:
        notes.append(
            f"displacements are those of {crystal.measured_at:g} K; at {temperature_k:g} K their squares are "
            f"up to {max(ratios):.1f} times as large, by an estimate (is the file's temperature in degrees Celsius?)"
        )
    if crystal.stray_tensors and any(motion.source != CONFIGURED for motion in motions):
        labels = ", ".join(crystal.stray_tensors)
        notes.append(f"found displacement tensors of {labels}, which no site is called; they are not used")
    if unknown:
        notes.append(
            f"found no displacements of {', '.join(sorted(unknown))}; U = {DEFAULT_U} Å² at {MEASURED_AT:g} K "
            f"(u = {math.sqrt(DEFAULT_U):.3f} Å) is a rough estimate"
        )
    return tuple(motions), tuple(notes)


def atom_tensors(crystal: Crystal, motions: Sequence[SiteMotion]) -> _FloatArray:
    """U of each atom of `Crystal.atoms`, shape (atom, 3, 3), from the motions of its orbits, turned by its symmetry."""
    found = []
    for orbit, motion in zip(crystal.orbits, motions, strict=True):
        found.append(_turned(motion.tensor, orbit.rotations, crystal.cell))
    return np.concatenate(found)


def displacement_sources(crystal: Crystal, motions: Sequence[SiteMotion]) -> dict[str, str]:
    """Where the displacements of each element come from; sources of several sites are joined by a comma."""
    found: dict[str, set[str]] = {}
    for orbit, motion in zip(crystal.orbits, motions, strict=True):
        found.setdefault(orbit.site.element, set()).add(motion.source)
    return {element: ", ".join(sorted(found[element])) for element in sorted(found)}


def mean_displacements(atoms: Atoms) -> dict[str, float]:
    """Rms displacement along one axis of each element, averaged over its atoms and all directions [Å]."""
    if not atoms.has("displacements"):
        return {}
    equivalent = np.trace(atoms.arrays["displacements"], axis1=1, axis2=2) / 3
    symbols = np.array(atoms.get_chemical_symbols())
    return {str(symbol): math.sqrt(equivalent[symbols == symbol].mean()) for symbol in np.unique(symbols)}


def turned_tensors(tensors: _FloatArray, rotation: _FloatArray) -> _FloatArray:
    """Tensors (..., 3, 3) after a rotation that takes positions x to ``rotation @ x``."""
    return np.asarray(rotation @ tensors @ rotation.T)


def with_displacements(atoms: Atoms, rms_displacements: Mapping[str, float]) -> Atoms:
    """Copy atoms with isotropic ``displacements`` from a displacement along one axis for each element [Å]."""
    symbols = sorted(set(atoms.symbols))
    given = check_displacements(rms_displacements, symbols)
    missing = [symbol for symbol in symbols if symbol not in given]
    if missing:
        raise InputError(
            f"displacements: found no rms displacement for {missing[0]}; allowed: one for each of {', '.join(symbols)}"
        )
    moving = atoms.copy()
    moving.set_array("displacements", np.array([given[s] ** 2 * np.eye(3) for s in atoms.symbols]), float, (3, 3))
    return moving


def check_displacements(displacements: Mapping[str, float] | None, symbols: Sequence[str]) -> dict[str, float]:
    """Refuse thermal displacements that are no lengths, or of elements that the structure lacks."""
    found = dict(displacements or {})
    for symbol, value in found.items():
        if symbol not in symbols:
            raise InputError(
                f"rms_displacement: found {symbol!r}; allowed: elements of the structure, {', '.join(symbols)}"
            )
        check_number(value, f"rms_displacement of {symbol}", DISPLACEMENT)
    return found


def einstein_ratio(u: float, element: str, measured_k: float, temperature_k: float) -> float:
    """
    Change of a mean square displacement with temperature, for independent oscillators.

    Parameters
    ----------
    u : float
        U at `measured_k` [Å²].
    element : str
        Element, which gives the mass.
    measured_k, temperature_k : float
        Temperature of `u`, and the one that is wanted [K].

    Returns
    -------
    float
        U(temperature_k) / U(measured_k) from U(T) = hbar² / (2 m k Theta) coth(Theta / 2T). There is one Theta for each
        U above 0: a U below what is usual for the mass means a stiff bond, whose motion is that of the zero point.
    """
    if u <= 0 or measured_k == temperature_k:
        return 1.0
    # With x = Theta / 2T, coth(x) / x = 4 m k T U / hbar² lies between the larger and the sum of 1 / x and 1 / x².
    scale = 4 * float(atomic_masses[atomic_numbers[element]]) * measured_k * u / _QUANTUM
    low = max(1 / scale, 1 / math.sqrt(scale))
    high = (1 + math.sqrt(1 + 4 * scale)) / (2 * scale)
    x = brentq(lambda x: 1 / (math.tanh(x) * x) - scale, 0.999 * low, 1.001 * high, xtol=1e-12 * low)
    return math.tanh(x) / math.tanh(x * measured_k / temperature_k)


def _tensor(orbit: Orbit, cell: _FloatArray, name: str) -> tuple[_FloatArray, bool]:
    """U of a site in the Cartesian frame, averaged over its symmetry, and whether that changed it."""
    stated = orbit.site.stated
    if stated.problem:
        raise InputError(f"{name}: found {stated.problem}")
    if len(stated.values) == 1:
        (u,) = stated.values
        if u < 0:
            raise InputError(f"{name}: found {stated.source} that means U = {u:g} Å²; allowed: above 0, to 0.25 Å²")
        return _checked(u * np.eye(3), name), False
    a, b, c, bc, ac, ab = stated.values
    along = np.array([[a, ab, ac], [ab, b, bc], [ac, bc, c]])
    # CIFs measure along the reciprocal axes, whose vectors are the columns of the inverse.
    lengths = np.linalg.norm(np.linalg.inv(cell), axis=0)
    if stated.source == BETA:
        along /= np.outer(lengths, lengths)
    axes = lengths[:, None] * cell
    # An average over symmetry would hide a tensor that cannot be.
    listed = _checked(axes.T @ along @ axes, name)
    mean = _turned(listed, orbit.own, cell).mean(axis=0)
    return _checked(mean, name), bool(np.abs(mean - listed).max() > OBEYED)


def _turned(tensor: _FloatArray, rotations: NDArray[np.int64], cell: _FloatArray) -> _FloatArray:
    """Turn a Cartesian tensor by symmetry operations W of fractional coordinates, shape (operation, 3, 3)."""
    if np.array_equal(tensor, tensor[0, 0] * np.eye(3)):
        return np.tile(tensor, (len(rotations), 1, 1))
    turns = cell.T @ rotations @ np.linalg.inv(cell.T)
    return np.asarray(turns @ tensor @ turns.transpose(0, 2, 1))


def _checked(tensor: _FloatArray, name: str) -> _FloatArray:
    """Refuse a tensor that is not positive or too large; return it without the negative rest of rounding."""
    values, vectors = np.linalg.eigh((tensor + tensor.T) / 2)
    if values[0] < -CLIPPED:
        raise InputError(
            f"{name}: found a displacement tensor that is not positive (eigenvalue {values[0]:.2g} Å²); "
            "allowed: at least 0 along all axes, or an rms displacement of its element in its place "
            "(rms_displacement_angstrom, --rms-displacement)"
        )
    if values[-1] > DISPLACEMENT.high**2 * (1 + 1e-9):
        raise InputError(
            f"{name}: found an rms displacement of {math.sqrt(values[-1]):.4g} Å; allowed: {DISPLACEMENT.allowed} "
            "(is B written as U?)"
        )
    return np.asarray(tensor if values[0] >= 0 else (vectors * values.clip(0)) @ vectors.T)
