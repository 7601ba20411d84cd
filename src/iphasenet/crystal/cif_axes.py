"""Axes of a CIF's Cartesian coordinates: as the file says, or along the sides of a right-angled cell."""

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.crystal.cif_file import CifBlock

_STRAIN = 2e-3
"""Largest strain, by rounding, between the cell and the one that a transformation implies."""

_APART = 0.1
"""Largest difference between coordinates that are given in two ways [Å]: fractions have few digits."""

_MATRICES = ("tran_matrix_{}{}", "transf_matrix[{}][{}]", "transform_mat_{}{}")
_VECTORS = ("tran_vector_{}", "transf_vector[{}]", "transform_vec_{}")

_Floats = NDArray[np.float64]


def fractional(block: CifBlock, cell: _Floats, places: _Floats) -> _Floats:
    """
    Turn Cartesian coordinates into fractions of the cell's sides.

    Parameters
    ----------
    block : CifBlock
        Block of a CIF, which may give the transformation in either direction.
    cell : ndarray
        Lattice vectors as rows, shape (3, 3) [Å].
    places : ndarray
        Cartesian coordinates, shape (n, 3) [Å].

    Returns
    -------
    ndarray
        Fractional coordinates, shape (n, 3), by the rotation and shift of the file's transformation. Lengths and
        angles are those of the cell, which have more digits.

    Raises
    ------
    InputError
        If a transformation is incomplete, contradicts the cell or the other one, or is missing for a skew cell.
    """
    found = [result for kind in ("Cartn", "fract") for result in [_by(block, kind, cell, places)] if result is not None]
    if not found:
        # Programs place the Cartesian axes of a cell without right angles in different ways.
        if np.abs(cell - np.diag(np.diag(cell))).max() > 1e-9:
            raise InputError(
                f"{block.path}: found Cartesian coordinates in a skew cell; allowed: fractional coordinates, or the "
                "matrix of their transformation (_atom_sites_Cartn_tran_matrix)"
            )
        return np.asarray(places / np.diag(cell))
    if np.nan_to_num(np.linalg.norm((found[-1] - found[0]) @ cell, axis=1)).max() > _APART:
        raise InputError(f"{block.path}: found two transformations of Cartesian coordinates that contradict each other")
    return found[0]


def check_axes(block: CifBlock, cell: _Floats) -> None:
    """Refuse a complete transformation that belongs to another cell, even where it is not needed."""
    for kind in ("Cartn", "fract"):
        matrix = _told(block, kind, _MATRICES, (3, 3))
        if np.isfinite(matrix).all():
            _rotation(block, kind, matrix, cell)


def check_distances(block: CifBlock, cell: _Floats, fractions: _Floats, places: _Floats) -> None:
    """Refuse fractional and Cartesian coordinates, both shape (n, 3), with different distances between the atoms."""
    known = np.isfinite(fractions).all(axis=1) & np.isfinite(places).all(axis=1)
    if known.any():
        first = int(np.argmax(known))
        by_fractions = np.linalg.norm((fractions[known] - fractions[first]) @ cell, axis=1)
        gaps = np.abs(by_fractions - np.linalg.norm(places[known] - places[first], axis=1))
        if gaps.max() > _APART:
            raise InputError(
                f"{block.path}: found distances of atoms by Cartesian coordinates that differ by {gaps.max():.2g} Å "
                f"from those by fractional ones; allowed: up to {_APART} Å"
            )


def _by(block: CifBlock, kind: str, cell: _Floats, places: _Floats) -> _Floats | None:
    """Fractional coordinates by the file's transformation to Cartesian or to fractional ones; None if there is none."""
    matrix, vector = _told(block, kind, _MATRICES, (3, 3)), _told(block, kind, _VECTORS, (3,))
    if np.isnan(matrix).all() and (np.isnan(vector).all() or not vector.any()):
        return None
    vector = np.zeros(3) if np.isnan(vector).all() else vector
    if not (np.isfinite(matrix).all() and np.isfinite(vector).all()):
        raise InputError(
            f"{block.path}: found only part of the transformation of Cartesian coordinates (_atom_sites_{kind}); "
            "allowed: nine numbers of its matrix, and three of its vector unless they are 0"
        )
    turn = _rotation(block, kind, matrix, cell)
    shift = vector if kind == "Cartn" else -turn @ cell.T @ vector
    return np.asarray((places - shift) @ turn @ np.linalg.inv(cell))


def _rotation(block: CifBlock, kind: str, matrix: _Floats, cell: _Floats) -> _Floats:
    """Rotation, or reflection, from the cell's axes to those of the coordinates, shape (3, 3)."""
    determinant = abs(np.linalg.det(matrix))
    sides = matrix if kind == "Cartn" or not determinant else np.linalg.inv(matrix)
    left, stretches, right = np.linalg.svd(sides @ np.linalg.inv(cell.T))
    if not determinant or np.abs(stretches - 1).max() > _STRAIN:
        raise InputError(
            f"{block.path}: found a transformation of Cartesian coordinates (_atom_sites_{kind}) for another cell "
            f"(strain {100 * np.abs(stretches - 1).max():.2g} %); allowed: at most {100 * _STRAIN:g} %"
        )
    return np.asarray(left @ right)


def _told(block: CifBlock, kind: str, forms: tuple[str, ...], shape: tuple[int, ...]) -> _Floats:
    """Numbers of a matrix or a vector, with indices from 1; NaN where the file gives none."""
    places = [tuple(k + 1 for k in index) for index in np.ndindex(shape)]
    tags = [[f"_atom_sites_{kind}_{form.format(*place)}".lower() for form in forms] for place in places]
    return np.array([block.number(*one) for one in tags]).reshape(shape)
