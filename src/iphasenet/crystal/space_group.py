"""Groups of symmetry operations: completed, compared, and looked up in gemmi's table of space-group settings.

An operation takes fractional coordinates x, as a column, to ``W @ x + t``.
"""

import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import gemmi
import numpy as np
import spglib
from numpy.typing import NDArray

MOST_OPERATIONS = 2000
"""Largest number of operations of a cell: products of a wrong list would never end."""

_MOST_ROTATIONS = 48
"""Number of operations of the largest point group of a lattice, m-3m."""

_AXIS = r"-?(?:1A|2A1?|3A[12]?|4A[1-3]?|6A[1-5]?)[abcnuvwd]*".replace("A", "[xyz'\"*=]?")
_HALL = re.compile(
    rf"-?[PABCIRHF](?:[ _]+{_AXIS}){{1,4}}"
    r"(?:[ _]*\( *-?\d+ +-?\d+ +-?\d+ *\)|[ _]*\((?:[^(),]*[xyz][^(),]*,?){3}\))?",
    re.IGNORECASE,
)
"""A whole Hall symbol: lattice, axes with screws and glides, and a shift in twelfths or a change of basis."""

_GRID = 240
"""Translations are compared in this fraction of an axis: 1/24 and 1/5 are whole numbers of it."""


@dataclass(frozen=True, eq=False)
class Group:
    """
    A group of symmetry operations modulo the lattice of the cell.

    Attributes
    ----------
    rotations : ndarray
        W, integers of shape (n, 3, 3).
    translations : ndarray
        t in [0, 1), shape (n, 3).
    """

    rotations: NDArray[np.int64]
    translations: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.rotations.shape != (len(self.translations), 3, 3) or self.translations.shape[1:] != (3,):
            raise ValueError(f"rotations {self.rotations.shape} with translations {self.translations.shape}")

    def __len__(self) -> int:
        return len(self.rotations)

    @classmethod
    def of(cls, operations: Iterable[gemmi.Op]) -> Self:
        """Group of gemmi's operations, in their order."""
        listed = list(operations)
        rotations = np.array([op.rot for op in listed], dtype=np.int64) // gemmi.Op.DEN
        return cls(rotations, np.array([op.tran for op in listed]) / gemmi.Op.DEN % 1)

    @classmethod
    def of_hall(cls, symbol: str) -> Self:
        """
        Group of a Hall symbol.

        Parameters
        ----------
        symbol : str
            Symbol such as "-F 4 2 3", "-R_3_2''c" (with '' for a double quote, which a quoted value of a CIF cannot
            hold) or "P 31 2 (0 0 4)".

        Returns
        -------
        Group
            Its operations.

        Raises
        ------
        ValueError
            If it is no Hall symbol. gemmi would also read other text, as a group that nobody meant.
        """
        text = re.sub("''|[”″]", '"', symbol.strip())
        if not _HALL.fullmatch(text):
            raise ValueError(f"no Hall symbol: {symbol!r}")
        try:
            return cls.of(gemmi.symops_from_hall(text))
        except RuntimeError as error:
            raise ValueError(str(error)) from error

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The operations as integers, shape (n, 12): W, then t in 240ths."""
        turned = np.rint(self.translations * _GRID).astype(np.int64) % _GRID
        return np.concatenate([self.rotations.reshape(-1, 9), turned], axis=1)

    @cached_property
    def keys(self) -> frozenset[bytes]:
        """The operations without their order: equal for equal groups."""
        return frozenset(row.tobytes() for row in self.rows)

    @cached_property
    def setting(self) -> gemmi.SpaceGroup | None:
        """Entry of gemmi's table with exactly these operations."""
        shifts = self.translations * gemmi.Op.DEN
        if np.abs(shifts - np.rint(shifts)).max() > 0.1:
            return None
        operations = []
        for rotation, shift in zip(self.rotations, np.rint(shifts), strict=True):
            op = gemmi.Op()
            op.rot, op.tran = (rotation * gemmi.Op.DEN).tolist(), [int(value) for value in shift]
            operations.append(op)
        return gemmi.find_spacegroup_by_ops(gemmi.GroupOps(operations))

    @property
    def name(self) -> str:
        """Name of the setting, such as "F d -3 m:2"."""
        return self.setting.xhm() if self.setting else f"a group of {len(self)} operations"

    def closed(self) -> "Group | None":
        """Find the smallest group that holds the operations, which come first; None if no space group holds them."""
        identity = Group(np.eye(3, dtype=np.int64)[None], np.zeros((1, 3)))
        found = _distinct(_joined(self, identity))
        factor = found
        while len(found) <= MOST_OPERATIONS and len(np.unique(found.rotations, axis=0)) <= _MOST_ROTATIONS:
            # All products while there are few; later, products with the generators are enough.
            factor = found if len(found) <= 64 else factor
            rotations = np.einsum("aij,bjk->abik", found.rotations, factor.rotations).reshape(-1, 3, 3)
            if np.abs(rotations).max() > 7:
                return None
            shifted = np.einsum("aij,bj->abi", found.rotations, factor.translations) + found.translations[:, None]
            larger = _distinct(_joined(found, Group(rotations, shifted.reshape(-1, 3) % 1)))
            if len(larger) == len(found):
                return found
            found = larger
        return None

    def strain(self, cell: NDArray[np.float64]) -> float:
        """
        Strain of a cell by the operations, which is 0 if they map it onto itself.

        Parameters
        ----------
        cell : ndarray
            Lattice vectors as rows, shape (3, 3) [Å].

        Returns
        -------
        float
            Largest principal strain between the cell and its images; 0 where the metric has the symmetry.
        """
        seen = np.unique(self.rotations, axis=0)
        images = cell.T @ seen @ np.linalg.inv(cell.T)
        strains = (np.swapaxes(images, 1, 2) @ images - np.eye(3)) / 2
        return float(np.abs(np.linalg.eigvalsh(strains)).max())

    def differs_by_origin(self, other: "Group") -> bool:
        """Whether a shift of the origin by multiples of 1/24 of the axes turns one group into the other."""
        if len(self) != len(other):
            return False
        mine, centring = self._by_rotation()
        theirs, others_centring = other._by_rotation()
        if mine.keys() != theirs.keys() or centring != others_centring:
            return False
        span = np.arange(0, _GRID, _GRID // 24)
        shifts = np.stack(np.meshgrid(span, span, span, indexing="ij"), axis=-1).reshape(-1, 3)
        allowed = np.array([_code(np.array(shift)) for shift in centring])
        for key, translation in mine.items():
            rotation = np.frombuffer(key, dtype=np.int64).reshape(3, 3)
            # The origin moved by s turns t into t + (W - 1) s.
            left = shifts @ (rotation - np.eye(3, dtype=np.int64)).T + translation - theirs[key]
            shifts = shifts[np.isin(_code(left % _GRID), allowed)]
        return bool(len(shifts))

    def _by_rotation(self) -> tuple[dict[bytes, NDArray[np.int64]], frozenset[tuple[int, ...]]]:
        """One translation for each rotation, and the centring translations, in 240ths."""
        found: dict[bytes, NDArray[np.int64]] = {}
        for row in self.rows:
            found.setdefault(row[:9].tobytes(), row[9:])
        identity = np.eye(3, dtype=np.int64).reshape(-1)
        same = (self.rows[:, :9] == identity).all(axis=1)
        return found, frozenset(tuple(row.tolist()) for row in self.rows[same, 9:])

    @cached_property
    def number(self) -> int:
        """Number of its space-group type in any setting, by spglib; 0 if it is no space group."""
        if self.setting is not None:
            return self.setting.number
        # A metric that the operations leave unchanged: the mean over the images of a cube.
        metric = (np.swapaxes(self.rotations, 1, 2) @ self.rotations).mean(axis=0)
        lattice = np.linalg.cholesky(metric)
        found = ask_spglib(spglib.get_spacegroup_type_from_symmetry, self.rotations, self.translations, lattice, 1e-4)
        return 0 if found is None else int(found.number)

    @property
    def symmetry_of_origin(self) -> str:
        """Point group of the operations that fix the origin, such as "-43m"."""
        found = ask_spglib(spglib.get_pointgroup, self.rotations[(self.rows[:, 9:] == 0).all(axis=1)])
        return "" if found is None else str(found[0]).strip()


def ask_spglib(function: Callable[..., Any], *operations: Any) -> Any:
    """Call spglib, whose versions report errors differently; None if it finds nothing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # from the older way of reporting errors
        try:
            return function(*operations)
        except spglib.SpglibError:
            return None


def _code(translations: NDArray[np.int64]) -> NDArray[np.int64]:
    """One whole number for each translation in 240ths."""
    return translations @ np.array([_GRID**2, _GRID, 1])


def _joined(first: Group, second: Group) -> Group:
    return Group(
        np.concatenate([first.rotations, second.rotations]),
        np.concatenate([first.translations, second.translations]),
    )


def _distinct(group: Group) -> Group:
    """Leave out repeated operations."""
    # One number encodes each row, as entries of W are within +-7, so that many rows are compared fast.
    codes = (group.rows[:, :9] + 8) @ 16 ** np.arange(9) * _GRID**3 + _code(group.rows[:, 9:])
    first = np.sort(np.unique(codes, return_index=True)[1])
    return Group(group.rotations[first], group.translations[first])
