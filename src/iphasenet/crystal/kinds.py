"""What makes two atoms alike beside their places: element, occupancy and thermal motion, as whole numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

GOLDEN = (5**0.5 - 1) / 2
"""Place between two steps at which numbers are rounded up or down: no decimal number or simple fraction lies there."""

ALIKE = (1e-6, 1e-7)
"""Steps of occupancies [1] and displacement tensors [Å²] within which atoms are alike: only rounding errors differ."""

_UPPER = np.triu_indices(3)


def properties_of(atoms: Any, steps: tuple[float, float] = ALIKE) -> NDArray[np.int64]:
    """
    Describe atoms by whole numbers.

    Parameters
    ----------
    atoms : ase.Atoms
        Atoms, with or without ``occupancies`` and ``displacements``.
    steps : (float, float)
        Steps to which occupancies [1] and displacement tensors [Å²] are rounded.

    Returns
    -------
    (atom, 8) integer array
        Atomic number, occupancy, and six components of the displacement tensor.
    """
    shares = atoms.arrays.get("occupancies", np.ones(len(atoms)))
    tensors = atoms.arrays.get("displacements", np.zeros((len(atoms), 3, 3)))
    counted = np.column_stack([shares / steps[0], tensors[:, *_UPPER] / steps[1]])
    return np.column_stack([np.asarray(atoms.numbers, np.int64), np.floor(counted + GOLDEN).astype(np.int64)])


def atom_kinds(atoms: Any) -> NDArray[np.int64]:
    """Give each atom the number of its kind, shape (atom,): equal for atoms with equal properties."""
    _, kinds = np.unique(properties_of(atoms), axis=0, return_inverse=True)
    return kinds.ravel()
