"""Crystals that are not perfect: columns that lack atoms or hold others, an edge, amorphous carbon on top."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from iphasenet.base.errors import InputError
from iphasenet.crystal.potential import HEIGHT_TOLERANCE
from iphasenet.evaluation.column_structure import column_centre, column_owners

FloatArray = NDArray[np.floating[Any]]

VACUUM = 10.0
"""Width of the vacuum beside an edge [Å]: periodic copies of the crystal end it on the other side."""

_BESIDE_EDGE = 2.5
"""Width of the crystal between two edges over the smallest side of a large cell."""

_VACANT = (0.4, 1.0)
"""Smallest and largest share of its atoms that a column lacks."""

_CARBON_DENSITY = 2.0
"""Density of amorphous carbon [g/cm³]."""

_CARBON_DISTANCE = 1.3
"""Smallest distance of two of its atoms [Å]."""

_CARBON_MOTION = 0.08
"""Root-mean-square displacement of its atoms along one axis [Å]."""

_GAP = 1.5
"""Distance between the carbon and the crystal's first layer [Å]."""


@dataclass(frozen=True)
class Altered:
    """
    A crystal that is not perfect, in a large cell.

    Attributes
    ----------
    atoms : ase.Atoms
        Its cell. With carbon, it holds the whole thickness.
    sites : (site, 2) array
        Places (x, y) in the cell of the columns that are alike in the perfect crystal [Å]; empty without a defect.
    defects : (site,) bool array
        Which of them are altered.
    share : float
        Share of the column's atoms that are missing or replaced; 0 without a defect.
    cover : float
        Thickness of what lies on the crystal [Å].
    """

    atoms: Atoms
    sites: FloatArray
    defects: NDArray[np.bool_]
    share: float = 0.0
    cover: float = 0.0

    @classmethod
    def without_defect(cls, atoms: Atoms, cover: float = 0.0) -> "Altered":
        """Crystal whose columns are all as they should be."""
        return cls(atoms, np.zeros((0, 2)), np.zeros(0, bool), cover=cover)


def supercell(cell: Atoms, side: float) -> Atoms:
    """Repeat a cell across the beam until its sides are at least `side` [Å]."""
    a, b, _ = cell.cell.lengths()
    return cell.repeat((math.ceil(side / a - 1e-6), math.ceil(side / b - 1e-6), 1))


def with_defect(cell: Atoms, side: float, antisite: bool, rng: np.random.Generator) -> Altered:
    """
    Alter one column of a large cell.

    Parameters
    ----------
    cell : ase.Atoms
        Orthogonal cell of the crystal, beam along z.
    side : float
        Smallest side of the large cell [Å].
    antisite : bool
        Whether other atoms replace those of the column, in place of nothing.
    rng : numpy.random.Generator
        Draws the column, the share of its atoms that are missing, and what replaces them.

    Returns
    -------
    Altered
        A column that lacks a share of its atoms holds the others with that occupancy: means over many such columns.

    Raises
    ------
    InputError
        If the crystal has one element alone, of which no antisite can be made.
    """
    owner = columns_of(cell)
    elements = sorted(set(cell.symbols) - {"H"})
    if antisite and len(elements) < 2:
        raise InputError(f"antisite: found only {', '.join(elements)}; allowed: crystals of two elements at least")
    # A column of hydrogen alone cannot be seen, whatever happens to it.
    kinds = sorted({_kind(cell, owner == column) for column in range(owner.max() + 1)} - {("H",)})
    kind = kinds[int(rng.integers(len(kinds)))]
    share = 1.0 if antisite else float(rng.uniform(*_VACANT))
    large = supercell(cell, side)
    owners = columns_of(large)
    alike = [column for column in range(owners.max() + 1) if _kind(large, owners == column) == kind]
    chosen = alike[int(rng.integers(len(alike)))]
    sites = np.array([_place(large, owners == column) for column in alike])
    inside = owners == chosen
    if antisite:
        heavy = max(kind, key=lambda symbol: atomic_numbers[symbol])
        others = [symbol for symbol in elements if symbol != heavy]
        other = others[int(rng.integers(len(others)))]
        symbols = np.array(large.get_chemical_symbols())
        large.set_chemical_symbols(np.where(inside & (symbols == heavy), other, symbols).tolist())
    else:
        occupancies = large.arrays.get("occupancies", np.ones(len(large))) * np.where(inside, 1 - share, 1.0)
        large.set_array("occupancies", occupancies)
    return Altered(large, sites, np.array(alike) == chosen, share)


def with_edge(cell: Atoms, side: float) -> Altered:
    """Leave a vacuum of `VACUUM` along x beside whole cells, at least `_BESIDE_EDGE` times `side` [Å] of them."""
    large = cell.repeat((math.ceil(_BESIDE_EDGE * side / cell.cell.lengths()[0]), 1, 1))
    lengths = large.cell.lengths()
    large.set_cell([lengths[0] + VACUUM, lengths[1], lengths[2]], scale_atoms=False)
    return Altered.without_defect(large)


def with_carbon(cell: Atoms, side: float, depth: float, carbon: float, rng: np.random.Generator) -> Altered:
    """
    Put amorphous carbon on a crystal.

    Parameters
    ----------
    cell : ase.Atoms
        Orthogonal cell of the crystal, beam along z.
    side : float
        Smallest side of the large cell [Å].
    depth : float
        Thickness of the crystal, filled up to whole cells [Å].
    carbon : float
        Thickness of the carbon [Å].
    rng : numpy.random.Generator
        Draws the carbon's atoms: random places that are not too near to each other.

    Returns
    -------
    Altered
        Carbon at the entrance surface, then the crystal. If the crystal's atoms move, so do those of the carbon.
    """
    large = supercell(cell, side)
    height = float(large.cell.lengths()[2])
    crystal = large.repeat((1, 1, math.ceil(depth / height - 1e-6)))
    crystal.positions[:, 2] -= crystal.positions[:, 2].min()
    lengths, cover = crystal.cell.lengths(), carbon + _GAP
    places = _amorphous((lengths[0], lengths[1], carbon), rng)
    layer = Atoms(f"C{len(places)}", places)
    crystal.positions[:, 2] += cover
    if crystal.has("displacements"):
        motion = np.tile(_CARBON_MOTION**2 * np.eye(3), (len(layer), 1, 1))
        layer.set_array("displacements", motion, float, (3, 3))
    if crystal.has("occupancies"):
        layer.set_array("occupancies", np.ones(len(layer)))
    whole = layer + crystal
    whole.set_cell([lengths[0], lengths[1], lengths[2] + cover + 2 * HEIGHT_TOLERANCE], scale_atoms=False)
    whole.pbc = True
    return Altered.without_defect(whole, cover)


def columns_of(cell: Atoms) -> NDArray[np.int64]:
    """Find the atomic column along z of each atom."""
    return column_owners(cell.positions[:, :2], cell.cell.lengths()[:2])


def _kind(cell: Atoms, inside: NDArray[np.bool_]) -> tuple[str, ...]:
    """Elements of a column."""
    return tuple(sorted(set(np.array(cell.get_chemical_symbols())[inside].tolist())))


def _place(cell: Atoms, inside: NDArray[np.bool_]) -> FloatArray:
    """Mean place (x, y) of a column's atoms in a periodic cell [Å]."""
    return column_centre(cell.positions[inside, :2], cell.cell.lengths()[:2])


def _amorphous(box: tuple[float, float, float], rng: np.random.Generator) -> FloatArray:
    """Random places (atom, 3) in a box that is periodic along x and y [Å], none too near to another."""
    grams = 12.011 / 0.602214076
    wanted = round(_CARBON_DENSITY / grams * math.prod(box))
    found = np.zeros((0, 3))
    # z is not periodic: a box three times as high keeps copies away.
    periods = np.array([box[0], box[1], 3 * box[2]])
    for _ in range(200):
        more = rng.random((wanted, 3)) * box
        for place in more:
            if not len(found) or not cKDTree(found, boxsize=periods).query_ball_point(place, _CARBON_DISTANCE):
                found = np.vstack([found, place])
                if len(found) == wanted:
                    return found
    return found
