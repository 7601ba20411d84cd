"""Integer combinations of lattice vectors: the smallest orthogonal cell along a direction, and what fills it.

Lattice indices are row vectors: a lattice vector with indices ``n`` is ``n @ cell`` [Å].
"""

import numpy as np
import numpy.typing as npt

from iphasenet.base.quantities import MAX_STRAIN, ROUNDING_STRAIN

MAX_INDICES = (8, 16)
"""
Largest lattice indices tried for the two cell vectors perpendicular to the beam: oblique lattices, which have no right
angles, come close to them in large cells.
"""

_FloatArray = npt.NDArray[np.float64]
_IntArray = npt.NDArray[np.int64]


def allowed_strain(max_strain_percent: float | None) -> float:
    """Strain that is allowed where one may be given [%]."""
    return MAX_STRAIN if max_strain_percent is None else max_strain_percent


def orthogonal_combination(cell: _FloatArray, zone: _IntArray, max_strain_percent: float | None) -> _IntArray | None:
    """Find the integer rows (a, b, c) that make the smallest orthogonal cell with c along the zone axis.

    One with indices up to 8 is preferred to a smaller one with larger indices.

    Parameters
    ----------
    cell
        Lattice vectors as rows, shape (3, 3) [Å].
    zone
        Indices of the third axis, shape (3,).
    max_strain_percent
        Largest deviation from a right angle [rad], times 100. If None, a cell without strain (`ROUNDING_STRAIN`) is
        preferred to a smaller one with a strain of up to `MAX_STRAIN`.

    Returns
    -------
    ndarray or None
        Indices of the three new axes as rows, shape (3, 3), right-handed as Cartesian vectors; None if there
        are none.
    """
    small, large = MAX_INDICES
    most = allowed_strain(max_strain_percent)
    least = ROUNDING_STRAIN if max_strain_percent is None else most
    tries = ((least, small), (most, small), (most, large))
    return next(
        (found for allowed, index in tries if (found := _smallest(cell, zone, allowed, index)) is not None), None
    )


def _smallest(cell: _FloatArray, zone: _IntArray, max_strain_percent: float, max_index: int) -> _IntArray | None:
    """Find the smallest of the cells with indices up to `max_index`."""
    beam = zone @ cell / np.linalg.norm(zone @ cell)
    span = np.arange(-max_index, max_index + 1)
    indices = np.stack(np.meshgrid(span, span, span, indexing="ij"), axis=-1).reshape(-1, 3)
    indices = indices[np.gcd.reduce(indices, axis=1) == 1]
    vectors = indices @ cell
    lengths = np.linalg.norm(vectors, axis=1)
    sine = np.sin(max_strain_percent / 100)
    flat = np.abs(vectors @ beam) <= sine * lengths
    indices, vectors, lengths = indices[flat], vectors[flat], lengths[flat]
    areas = np.outer(lengths, lengths)
    right_handed = np.cross(vectors[:, None, :], vectors[None, :, :]) @ beam > 0
    pairs = np.argwhere((np.abs(vectors @ vectors.T) <= sine * areas) & right_handed)
    if len(pairs) == 0:
        return None
    area = areas[pairs[:, 0], pairs[:, 1]]
    # With strain, cells of equal size may differ slightly.
    tie = 1e-6 if max_strain_percent <= ROUNDING_STRAIN else 2 * sine
    smallest = pairs[area <= area.min() * (1 + tie)]

    def simplicity(pair: _IntArray) -> tuple[int, ...]:
        a, b = indices[pair[0]], indices[pair[1]]
        return (int(abs(a).sum()), *(-a).tolist(), int(abs(b).sum()), *(-b).tolist())

    best = min(smallest, key=simplicity)
    return np.stack([indices[best[0]], indices[best[1]], zone])


def cosets(matrix: _IntArray) -> tuple[_IntArray, int]:
    """List the cells of the old lattice that fill one cell of the new one.

    Done in exact integers: two old lattice points are the same in the supercell when their new coordinates,
    multiplied by the determinant, agree modulo the determinant. Floating-point tests on the cell faces would make
    atoms appear twice or not at all.

    Parameters
    ----------
    matrix
        Indices of the new axes as rows, shape (3, 3).

    Returns
    -------
    tuple
        New coordinates of the old lattice points times the multiplicity, shape (multiplicity, 3), integers in
        [0, multiplicity); and the multiplicity, the volume ratio of the two cells.
    """
    adjugate = np.stack([np.cross(matrix[(k + 1) % 3], matrix[(k + 2) % 3]) for k in range(3)], axis=1)
    multiplicity = abs(int(matrix[0] @ adjugate[:, 0]))
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) @ matrix
    ranges = [np.arange(low, high + 1) for low, high in zip(corners.min(axis=0), corners.max(axis=0), strict=True)]
    points = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    residues = np.unique(points @ adjugate % multiplicity, axis=0)
    return residues, multiplicity


def strain_percent(vectors: _FloatArray) -> float:
    """Largest deviation of three vectors' angles from a right one [rad], times 100."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return float(100 * np.abs(np.arcsin(np.clip((unit @ unit.T)[np.triu_indices(3, 1)], -1, 1))).max())
