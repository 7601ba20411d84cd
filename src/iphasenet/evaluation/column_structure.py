"""Expected positions of a crystal's atomic columns in an image, and which of their projections overlap."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from iphasenet.base.errors import InputError
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.crystal.scattering_factors import PARAMETRIZATIONS, projected_scattering_factor, scattering_tables
from iphasenet.dataset.material_data import MaterialData
from iphasenet.microscope.optics import rotate
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Field
from iphasenet.simulation.tilts import crystal_lean

SAME_COLUMN = 0.3
"""Atoms whose projections are at most this far apart belong to one column [Å]."""

LIGHT = 8
"""A column is light if no element in it has a higher atomic number."""

MERGED = 0.6
"""Columns whose projected lines come closer than this cannot be told apart [Å]."""

HIDING = 0.5
"""A column is hidden only by columns with at least this share of its charge."""

LONGEST_LEAN = 1.75
"""Longest projected line of a column that can be located [Å]; the maximum of a longer one may be anywhere."""

LARGEST_TILT = 10.0
"""Largest tilt [degrees]: beyond it, foreshortening and different depths of a column's atoms displace it too far."""

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class CrystalColumns:
    """
    Atomic columns of a cell.

    Attributes
    ----------
    positions : (column, 2) array
        Positions (x, y) of the columns in the cell, at the entrance surface [Å].
    types : tuple of str
        Elements of each column, heaviest first, such as 'Pb+I'.
    light : (column,) bool array
        Whether the heaviest element's atomic number is `LIGHT` at most.
    charges : (column,) array
        Sum of the atomic numbers in one cell.
    periods : (float, float)
        Periods along x and y [Å].
    """

    positions: FloatArray
    types: tuple[str, ...]
    light: NDArray[np.bool_]
    charges: FloatArray
    periods: tuple[float, float]

    def __post_init__(self) -> None:
        count = len(self.types)
        if not count or self.positions.shape != (count, 2) or not len(self.light) == len(self.charges) == count:
            raise InputError(
                f"columns: found {count} types for {self.positions.shape} positions; allowed: one type for each"
            )
        if not min(self.periods) > 0:
            raise InputError(f"columns: found periods {self.periods} Å; allowed: above 0")

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Types of column in the cell, heaviest first."""
        order = sorted(range(len(self.types)), key=lambda column: (-self.charges[column], self.types[column]))
        return tuple(dict.fromkeys(self.types[column] for column in order))

    @cached_property
    def light_kinds(self) -> tuple[bool, ...]:
        """Whether each of `kinds` is light."""
        return tuple(bool(self.light[self.types.index(kind)]) for kind in self.kinds)

    def near(self, point: tuple[float, float], radius: float) -> tuple[FloatArray, NDArray[np.int64]]:
        """Positions (x, y) of all cells' columns within a radius of a point [Å], and their indices in the cell."""
        low, high = ((np.array(point) + sign * radius) / self.periods for sign in (-1, 1))
        ranges = [np.arange(math.floor(a) - 1, math.ceil(b) + 1) for a, b in zip(low, high, strict=True)]
        cells = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 1, 2) * self.periods
        positions = (cells + self.positions).reshape(-1, 2)
        column = np.tile(np.arange(len(self.types)), len(cells))
        close = np.linalg.norm(positions - point, axis=1) <= radius
        return positions[close], column[close]


def crystal_columns(potential: CrystalPotential) -> CrystalColumns:
    """
    Group a cell's atoms into columns along the beam.

    Parameters
    ----------
    potential : CrystalPotential
        The cell.

    Returns
    -------
    CrystalColumns
        Atoms whose projections are linked by steps of up to `SAME_COLUMN` form one column, at their mean position
        weighted by atomic number. Hydrogen is left out.

    Raises
    ------
    InputError
        If the form factor of an element is unknown, or all atoms are hydrogen.
    """
    numbers = _atomic_numbers(potential)[potential.elements]
    heavy = numbers > 1
    if not heavy.any():
        raise InputError("potential: found only hydrogen atoms; allowed: at least one other atom")
    numbers, periods = numbers[heavy], np.array(potential.lengths[:2])
    places = potential.positions[heavy, :2]
    owner = column_owners(places, periods)
    groups = [np.flatnonzero(owner == column) for column in range(owner.max() + 1)]
    return CrystalColumns(
        positions=np.array([column_centre(places[group], periods, numbers[group]) for group in groups]),
        types=tuple(_composition(numbers[group]) for group in groups),
        light=np.array([numbers[group].max() <= LIGHT for group in groups]),
        charges=np.array([float(numbers[group].sum()) for group in groups]),
        periods=(float(periods[0]), float(periods[1])),
    )


def _atomic_numbers(potential: CrystalPotential) -> NDArray[np.int64]:
    """Atomic number of each element by its mean potential: no two are equal, and thermal motion changes none."""
    known = [
        (projected_scattering_factor(symbol, np.zeros(1), table)[0], atomic_numbers[symbol])
        for table in PARAMETRIZATIONS
        for symbol in scattering_tables(table)
    ]
    means, numbers = np.array([mean for mean, _ in known]), np.array([number for _, number in known])
    _, ny, nx = potential.form_factors.shape
    found = potential.form_factors[:, ny // 2, nx // 2] * potential.lengths[0] * potential.lengths[1]
    error = np.abs(found[:, None] / means - 1)
    # Those of Bi and At are 7e-6 apart, all others 5e-5. Potentials by abTEM itself, which sums in single precision,
    # are up to 2e-5 off (O: 1.2e-5), which mistakes none for another.
    if (error.min(axis=1) > 2e-5).any():
        raise InputError(
            f"potential: found mean form factors {found} V Å³; allowed: Lobato's or Kirkland's of an element"
        )
    return numbers[error.argmin(axis=1)]


def column_owners(places: FloatArray, periods: FloatArray) -> NDArray[np.int64]:
    """
    Find the column of each atom.

    Parameters
    ----------
    places : (atom, 2) array
        Positions across the beam (x, y) [Å].
    periods : (2,) array
        Periods along x and y [Å].

    Returns
    -------
    (atom,) integer array
        Number of the column: atoms whose places are linked by steps of up to `SAME_COLUMN` form one.
    """
    # A remainder may round up to the period itself, which the periodic tree refuses.
    within = np.mod(places, periods)
    within = np.where(within >= periods, 0.0, within)
    pairs = cKDTree(within, boxsize=periods).query_pairs(SAME_COLUMN, output_type="ndarray")
    links = coo_matrix((np.ones(len(pairs)), pairs.T), shape=2 * [len(within)])
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


def column_centre(
    places: FloatArray, periods: FloatArray, weights: NDArray[np.integer[Any]] | None = None
) -> FloatArray:
    """Average neighbouring places (atom, 2) of a periodic cell, with weights or without [Å]."""
    from_first = places - places[0]
    from_first -= periods * np.rint(from_first / periods)
    return np.asarray(np.mod(places[0] + np.average(from_first, axis=0, weights=weights), periods))


def _composition(numbers: NDArray[np.int64]) -> str:
    """Elements, heaviest first."""
    return "+".join(chemical_symbols[number] for number in np.unique(numbers)[::-1])


@dataclass(frozen=True)
class ColumnView:
    """
    Position and orientation of a crystal's columns under an image.

    Attributes
    ----------
    field : Field
        Pixels, rotation, and the crystal's point under the image's centre at the entrance surface.
    lean : (float, float)
        Lateral shift of a column per depth (x, y) in the crystal's frame.
    depth : float
        Depth of the crystal [Å].
    straight : bool
        Whether the beam runs nearly along the columns.
    """

    field: Field
    lean: tuple[float, float]
    depth: float
    straight: bool = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lean[0]) and math.isfinite(self.lean[1]) and 0 < self.depth < math.inf):
            raise InputError(
                f"view: found lean {self.lean}, depth {self.depth} Å; allowed: finite numbers, a depth above 0"
            )

    @classmethod
    def of(cls, data: MaterialData, sample: int) -> "ColumnView":
        """Return the view of one sample of a data set."""
        names = ("alpha", "beta", "gamma", "offset_x", "offset_y", "slab_thickness")
        alpha, beta, gamma, x, y, depth = (float(data.coordinates[name][sample]) for name in names)
        image = Image(data.potential.shape[-1], data.sampling)
        upright = math.cos(math.radians(alpha)) * math.cos(math.radians(beta)) > math.cos(math.radians(LARGEST_TILT))
        return cls(Field(image, gamma, (x, y)), crystal_lean(alpha, beta, gamma), depth, upright)

    @property
    def shift(self) -> tuple[float, float]:
        """Lateral shift of a column from entrance to exit (x, y), in the crystal's frame [Å]."""
        return self.lean[0] * self.depth, self.lean[1] * self.depth


@dataclass(frozen=True)
class ExpectedColumns:
    """
    Columns in and around an image.

    Attributes
    ----------
    positions : (column, 2) array
        Middle (y, x) of the projected line of each column [pixels].
    kind : (column,) integer array
        Index of its type in `CrystalColumns.kinds`.
    apart : (column,) bool array
        Whether it can be located: its line is at most `LONGEST_LEAN` long and does not run into a neighbour's.
    """

    positions: NDArray[np.float64]
    kind: NDArray[np.int64]
    apart: NDArray[np.bool_]


def expected_columns(crystal: CrystalColumns, view: ColumnView) -> ExpectedColumns:
    """
    Place a crystal's columns in an image.

    Parameters
    ----------
    crystal : CrystalColumns
        Columns of the cell.
    view : ColumnView
        Position and orientation of the crystal under the image.

    Returns
    -------
    ExpectedColumns
        All columns whose line may reach into the image. An inclined column projects to a line from its place at the
        entrance surface to that at the exit surface; the middle of the line is its position.
    """
    field, image = view.field, view.field.image
    side = image.pixels * image.sampling_angstrom
    middle = np.array(view.shift) / 2
    centre = (field.offset[0] - middle[0], field.offset[1] - middle[1])
    # If lines are longer than the field, it suffices to consider those that cover it.
    around = side / math.sqrt(2) + min(math.hypot(*middle), side / 2) + MERGED
    places, column = crystal.near(centre, around)
    x, y = (places - centre).T
    x, y = rotate(x, y, field.rotation_deg)
    kind = np.array([crystal.kinds.index(name) for name in crystal.types])
    positions = np.stack([y, x], axis=1) / image.sampling_angstrom + (image.pixels - 1) / 2
    straight = view.straight and math.hypot(*view.shift) <= LONGEST_LEAN
    apart = columns_apart(crystal, view.shift) if straight else np.zeros(len(crystal.types), bool)
    return ExpectedColumns(positions, kind[column], apart[column])


def columns_apart(crystal: CrystalColumns, shift: tuple[float, float]) -> NDArray[np.bool_]:
    """
    Find the columns whose projected lines do not run into others.

    Parameters
    ----------
    crystal : CrystalColumns
        Columns of the cell.
    shift : (float, float)
        Lateral shift from entrance to exit (x, y), in the crystal's frame [Å].

    Returns
    -------
    (column,) bool array
        False if the line of another column with at least `HIDING` of its charge comes nearer than `MERGED`. All lines
        are equal and parallel, so the distance of two lines follows from the shift between them.
    """
    length = math.hypot(*shift)
    direction = np.array(shift) / length if length else np.zeros(2)
    result = np.ones(len(crystal.types), bool)
    for column, place in enumerate(crystal.positions):
        others, which = crystal.near((float(place[0]), float(place[1])), length + MERGED)
        away = others - place
        hiding = (crystal.charges[which] >= HIDING * crystal.charges[column]) & (np.linalg.norm(away, axis=1) > 1e-6)
        along = away[hiding] @ direction
        across = np.linalg.norm(away[hiding] - along[:, None] * direction, axis=1)
        gap = np.hypot(np.maximum(np.abs(along) - length, 0.0), across)
        result[column] = not (gap < MERGED).any()
    return result
