"""Groups of symmetry operations: closed, compared, and named from gemmi's table of space-group settings.

An operation takes fractional coordinates x, as a column, to ``W @ x + t``.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Self

import gemmi
import numpy as np
from numpy.typing import NDArray

MOST_OPERATIONS = 2000
"""More make no group of a crystal's cell: a list with a mistake goes on for ever."""

_MOST_ROTATIONS = 48
"""Of the largest point group of a lattice, m-3m."""

_GRID = 240
"""Translations are compared in this fraction of an axis: 1/24 and 1/5 are whole numbers of it."""

_EXTENSIONS = {"1": "1", "2": "2", "H": "H", "R": "R", "S": "1", "Z": "2"}
"""Origin choices and axes after a name; S and Z are ICSD's."""

_SYMBOL = re.compile(r"(?:-\d|21|3[12]|4[1-3]|6[1-5]|\d)(?:/[a-z])?|[a-z]", re.IGNORECASE)
"""One of the symbols of a name without blanks."""

_DIRECTIONS = ("b", "c", "a")
"""Unique axes of monoclinic groups, the usual one first."""


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
        """Entry of gemmi's table with these very operations."""
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
        """Find the smallest group that holds the operations, these first; None if none of a crystal does."""
        identity = Group(np.eye(3, dtype=np.int64)[None], np.zeros((1, 3)))
        found = _distinct(_joined(self, identity))
        factor = found
        while len(found) <= MOST_OPERATIONS and len(np.unique(found.rotations, axis=0)) <= _MOST_ROTATIONS:
            # All products while they are few; later those with what generates the group are enough.
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
        How much the operations strain a cell that should be left as it is.

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
        """Whether a shift of the origin, by 24ths of the axes, makes one group of the other."""
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

    def has_number(self, number: int) -> bool:
        """Whether it may be of a space-group type: by name, or, in an unnamed setting, by kinds of rotation."""
        if self.setting is not None:
            return self.setting.number == number
        return self._kinds() == Group.of(gemmi.get_spacegroup_reference_setting(number).operations())._kinds()

    def _kinds(self) -> list[tuple[int, int]]:
        """Trace and determinant of each rotation, sorted; they do not depend on the axes."""
        seen = np.unique(self.rotations, axis=0)
        determinants = np.rint(np.linalg.det(seen)).astype(int)
        return sorted(zip(np.trace(seen, axis1=1, axis2=2).tolist(), determinants.tolist(), strict=True))


def _code(translations: NDArray[np.int64]) -> NDArray[np.int64]:
    """One whole number for each translation in 240ths."""
    return translations @ np.array([_GRID**2, _GRID, 1])


def _joined(first: Group, second: Group) -> Group:
    return Group(
        np.concatenate([first.rotations, second.rotations]),
        np.concatenate([first.translations, second.translations]),
    )


def _distinct(group: Group) -> Group:
    """Each operation once, where it first stands."""
    # One number for each, as entries of W are within +-7: many rows are compared in no time.
    codes = (group.rows[:, :9] + 8) @ 16 ** np.arange(9) * _GRID**3 + _code(group.rows[:, 9:])
    first = np.sort(np.unique(codes, return_index=True)[1])
    return Group(group.rotations[first], group.translations[first])


@cache
def settings_of(number: int) -> tuple[gemmi.SpaceGroup, ...]:
    """List the settings of a space-group type in International Tables, the reference setting first."""
    found = [entry for entry in gemmi.spacegroup_table_itb() if entry.number == number]
    return tuple(sorted(found, key=lambda entry: not entry.is_reference_setting()))


@cache
def settings_called(name: str) -> tuple[tuple[gemmi.SpaceGroup, ...], ...]:
    """
    List the settings that a Hermann-Mauguin name may mean.

    Parameters
    ----------
    name : str
        Full, short or old name in any letter case, with or without blanks and with or without an extension
        (":2", ":H", " S" and " Z" of ICSD for the origins).

    Returns
    -------
    tuple
        Alternatives, those of a later entry only where the cell rules out the earlier ones (short monoclinic
        names mean unique axis b first); in each the settings between which the name does not choose.
    """
    text = " ".join(name.replace("_", "").replace("~", "").split())
    text = _with_extension(text)
    base, _, extension = text.partition(":")
    direct = gemmi.find_spacegroup_by_name(text)
    if direct is not None and extension:
        return ((direct,),)
    if direct is not None and direct.ext in "HR" and base[1:].upper().endswith(("H", "R")):
        return settings_called(f"{base[:-1]}:{base[-1:]}")
    found = [direct]
    letter, symbol = base[:1], base[1:].strip()
    if " " not in symbol and (direct is None or 3 <= direct.number <= 15):
        full = {"b": f"{letter} 1 {symbol} 1", "c": f"{letter} 1 1 {symbol}", "a": f"{letter} {symbol} 1 1"}
        found += [gemmi.find_spacegroup_by_name(full[axis]) for axis in _DIRECTIONS]
    if not any(found):
        other = base[:-1] + ":" + base[-1:] if not extension and base[-1:].upper() in _EXTENSIONS else _short(base)
        return settings_called(f"{other}:{extension}".rstrip(":")) if other != base else ()
    alternatives = {(entry.number, entry.hm): None for entry in found if entry is not None}
    return tuple(
        tuple(entry for entry in gemmi.spacegroup_table() if (entry.number, entry.hm) == alternative)
        for alternative in alternatives
    )


def _short(name: str) -> str:
    """Shorten a full name: F 4/m -3 2/m to F m -3 m, P 21/n 21/m 21/a to P n m a, P 4/n 2/m 2/m to P 4/n m m."""
    letter, *symbols = name.split(" ")
    if not symbols:
        letter, symbols = name[:1], _SYMBOL.findall(name[1:])
    axial = len(symbols) > 1 and symbols[0][:1] in "46" and not symbols[1].startswith("-3")
    kept = [part if axial and k == 0 else part.rpartition("/")[2] for k, part in enumerate(symbols)]
    return " ".join([letter, *kept])


def _with_extension(name: str) -> str:
    """Write the extension of a name as gemmi does, after a colon."""
    name = re.sub(r"[\s(,]*\b(?:origin(?: choice)?|o) ?([12])\)?$", r":\1", name, flags=re.IGNORECASE)
    base, colon, extension = (part.strip() for part in name.partition(":"))
    if not colon:
        base, _, extension = name.rpartition(" ") if name[-2:-1] == " " and name[-1:].isalpha() else (name, "", "")
    known = _EXTENSIONS.get(extension[:1].upper())
    return f"{base}:{known}" if known else name
