"""What a CIF says about its symmetry: operations, Hall symbol, name and number, compared with each other."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import gemmi
import numpy as np
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.crystal.cif_file import CifBlock, number
from iphasenet.crystal.space_group import Group
from iphasenet.crystal.space_group_name import larger_cells_of, settings_called, settings_of

METRIC_STRAIN = 2e-3
"""Largest principal strain with which an operation still maps the cell onto itself, because lengths are rounded."""

_SNAP = 2e-3
"""A translation this close to a multiple of 1/24 is rounded to it: 0.333 to 1/3."""

_OPERATIONS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
_MAGNETIC = "_space_group_symop_magn_operation_xyz"
_MAGNETIC_CENTRING = "_space_group_symop_magn_centering_xyz"
_HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
_HALL_SAYS = "its Hall symbol"
_NAMES = (
    "_space_group_name_h-m_alt",
    "_symmetry_space_group_name_h-m",
    "_space_group_name_h-m",
    "_space_group_name_h-m_full",
    "_space_group_name_h-m_ref",
)
_NUMBER = ("_space_group_it_number", "_symmetry_int_tables_number")
_NO_NUMBER = ("0", "n/a", "none")
"""Values that programs write where they know no number."""

_CODE = "_space_group_it_coordinate_system_code"
_SYSTEM = ("_space_group_crystal_system", "_symmetry_cell_setting")


@dataclass(frozen=True)
class Reading:
    """
    One symmetry group that the file may mean.

    Attributes
    ----------
    group : Group
        Its operations.
    source : str
        Statement of the file that names it, such as "its name 'F d -3 m'".
    usual : bool
        Whether International Tables has the setting; another one is used only if the rest of the file requires it.
    """

    group: Group
    source: str
    usual: bool = True


@dataclass(frozen=True)
class Symmetry:
    """
    All that a file says about its symmetry.

    Attributes
    ----------
    readings : tuple of Reading
        Groups that it may mean, the most reliable first; several if its statements differ or leave a choice.
    warnings : tuple of str
        One line for each statement that does not fit.
    doubtful : bool
        Whether the rest of the file must confirm the reading: nothing is said, or what is said does not fit.
    """

    readings: tuple[Reading, ...]
    warnings: tuple[str, ...] = ()
    doubtful: bool = False

    def __post_init__(self) -> None:
        if not self.readings:
            raise ValueError("no reading")


@dataclass(frozen=True)
class _Source:
    """A statement of the file: groups that it may mean, a test of agreement, and rare settings."""

    text: str
    groups: tuple[Group, ...]
    allows: Callable[[Group], bool]
    type_number: int = 0
    unusual: tuple[Group, ...] = ()
    strained: list[float] = field(default_factory=list)

    def fitting(self, cell: NDArray[np.float64]) -> list[Reading]:
        """List the readings that map the cell onto itself, each group once."""
        found: dict[frozenset[bytes], Reading] = {}
        for group in (*self.groups, *self.unusual):
            strain = group.strain(cell)
            if strain <= METRIC_STRAIN:
                found.setdefault(group.keys, Reading(group, self.text, group not in self.unusual))
            else:
                self.strained.append(strain)
        return list(found.values())


def read_symmetry(block: CifBlock, cell: NDArray[np.float64]) -> Symmetry:
    """
    Read the symmetry of a crystal.

    Parameters
    ----------
    block : CifBlock
        Block of a CIF.
    cell : ndarray
        Lattice vectors as rows, shape (3, 3) [Å].

    Returns
    -------
    Symmetry
        The groups that the block may mean.

    Raises
    ------
    InputError
        If an operation or every name cannot be understood, or none maps the cell onto itself.
    """
    if block.text("_cell_modulation_dimension", "_space_group_ssg_name") not in ("", "0"):
        raise InputError(f"{block.path}: found a modulated crystal (superspace group); allowed: a periodic crystal")
    notes: list[str] = []
    sources = [*_operations(block, notes), *_hall(block, notes), *_names(block, cell, notes), *_number(block, notes)]
    readings: list[Reading] = []
    for source in sources:
        agreeing = [reading for reading in readings if source.allows(reading.group)]
        if not agreeing and source.type_number:
            agreeing = [reading for reading in readings if reading.group.number == source.type_number]
            notes += [f"{source.text} names another setting than {r.source} ({r.group.name})" for r in agreeing]
        # Keep the alternatives of earlier statements that agree with this one.
        settled = {reading.source for reading in agreeing}
        readings = [r for r in readings if r in agreeing or r.source not in settled]
        if not agreeing:
            readings += source.fitting(cell)
    if sources and not readings:
        worst = min(min(source.strained, default=1.0) for source in sources)
        strain = "over 50 %" if worst > 0.5 else f"{100 * worst:.2g} %"
        raise InputError(
            f"{block.path}: found {sources[0].text}, which does not map the cell onto itself (strain {strain}); "
            f"allowed: at most {100 * METRIC_STRAIN:g} %"
        )
    notes += [
        f"the cell does not have the symmetry of {s.text}"
        for s in sources
        if s.strained and len(s.strained) == len(s.groups)
    ]
    if not readings:
        if any(tag.startswith("_space_group_magn") for tag in block.values):
            raise InputError(f"{block.path}: found a magnetic space group without its operations; add them")
        if notes:
            raise InputError(f"{block.path}: {notes[0]}; allowed: operations, a Hall symbol, or a name of a setting")
        return Symmetry((Reading(Group.of([gemmi.Op()]), "no symmetry told"),), doubtful=True)
    doubts = _other_system(block, readings)
    if len(sources) == len(readings) == 1 and _HALL_SAYS in readings[0].source and readings[0].group.setting is None:
        doubts.append(f"{readings[0].source} belongs to no known setting")
    return Symmetry(tuple(readings), (*notes, *doubts), doubtful=bool(doubts))


def _operations(block: CifBlock, notes: list[str]) -> Iterator[_Source]:
    """Read the lists of operations; for a magnetic crystal those of its magnetic group, without spins."""
    lists = [("its magnetic operations", (_MAGNETIC,))] if block.column(_MAGNETIC) else []
    lists = lists or [("its operations", (tag,)) for tag in _OPERATIONS]
    for text, tags in lists:
        listed = [_operation(block, value) for value in _triplets(block.column(*tags))]
        if not listed:
            continue
        if tags == (_MAGNETIC,):
            listed += [_operation(block, value) for value in _triplets(block.column(_MAGNETIC_CENTRING))]
        group = Group(np.array([w for w, _ in listed]), np.array([t for _, t in listed]))
        whole = group.closed()
        if whole is None:
            raise InputError(
                f"{block.path}: found {len(group)} operations that form no space group, even with all their "
                "products; allowed: the operations of one space group"
            )
        if tags != (_MAGNETIC,) and len(whole) != len(group.keys):
            notes.append(f"{text} are {len(group.keys)} of the {len(whole)} that they make together; all are used")
        yield _Source(text, (whole,), _equals((whole,)))


def _triplets(values: tuple[str, ...]) -> list[str]:
    """Join operations that were written with blanks but without quotes: "x,", "y,", "z"."""
    threes = [values[k : k + 3] for k in range(0, len(values), 3)]
    torn = [three for three in threes if len(three) == 3 and three[0][-1:] == three[1][-1:] == "," != three[2][-1:]]
    return ["".join(three) for three in torn] if len(torn) == len(threes) else list(values)


def _operation(block: CifBlock, text: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """W and t of an operation such as "1/2-x, y, z+0.333", or of a magnetic one, "x,y,z,mx,my,mz,+1"."""
    parts = re.sub(r"[\s\"']", "", text).split(",")
    # In a magnetic operation, the action on the three components of a spin, or on time, follows.
    spins = re.fullmatch(
        r"(?:[-+]?m[-+mxyz]*,){2}[-+]?m[-+mxyz]*(?:,[-+]?1)?|[-+]?1", ",".join(parts[3:]), re.IGNORECASE
    )
    plain = ",".join(parts[:3] if spins else parts)
    decimal = re.sub(r"(\d+\.?\d*)\s*/\s*(\d+)", lambda found: f"{float(found[1]) / float(found[2]):.12f}", plain)
    try:
        found = gemmi.parse_triplet_as_ftransform(decimal)
    except (RuntimeError, ValueError, ZeroDivisionError) as error:
        raise InputError(f"{block.path}: found the operation {text!r}; allowed: such as '-x, y+1/2, -z'") from error
    matrix, shift = np.array(found.mat.tolist()), np.array(found.vec.tolist())
    rotation = np.rint(matrix).astype(np.int64)
    if np.abs(matrix - rotation).max() > 1e-6 or abs(round(np.linalg.det(rotation))) != 1:
        raise InputError(f"{block.path}: found the operation {text!r}, which no lattice can have")
    near = np.rint(shift * 24) / 24
    return rotation, np.where(np.abs(shift - near) < _SNAP, near, shift) % 1


def _hall(block: CifBlock, notes: list[str]) -> Iterator[_Source]:
    text = block.text(*_HALL)
    if not text:
        return
    try:
        groups = (Group.of_hall(text),)
    except ValueError:
        notes.append(f"found the Hall symbol {text!r}, which is not understood")
        return
    yield _Source(f"{_HALL_SAYS} {text!r}", groups, _equals(groups))


def _names(block: CifBlock, cell: NDArray[np.float64], notes: list[str]) -> Iterator[_Source]:
    code = block.text(_CODE).lower()
    for name in dict.fromkeys(filter(None, (block.text(tag) for tag in _NAMES))):
        alternatives = settings_called(name)
        if not alternatives:
            notes.append(f"found the space group {name!r}, which is not understood")
            continue
        listed = [_coded(one, code) for one in alternatives]
        groups = [tuple(Group.of(entry.operations()) for entry in one) for one in listed]
        # A short name means another unique axis only if the cell excludes the usual one.
        fits = (k for k, one in enumerate(groups) if any(group.strain(cell) <= METRIC_STRAIN for group in one))
        chosen = next(fits, 0)
        origin = bool(code) or ":" in name or (len(listed[chosen]) == 1 and listed[chosen][0].ext in "12")
        text = f"its name {name!r}" + (f" with code {code!r}" if code else "")
        # Files often give the usual name of a type although their operations are in another setting.
        usual = not origin and any(entry.is_reference_setting() for entry in listed[chosen])
        kind = listed[chosen][0].number if usual else 0
        yield _Source(text, groups[chosen], _equals(groups[chosen], by_origin=not origin), kind)


def _number(block: CifBlock, notes: list[str]) -> Iterator[_Source]:
    code = block.text(_CODE).lower()
    for text in dict.fromkeys(filter(None, (block.text(tag) for tag in _NUMBER))):
        if text.lower() in _NO_NUMBER:
            continue
        if number(text) not in range(1, 231):
            notes.append(f"found the space-group number {text!r}, which is none of 1 to 230")
            continue
        kind = int(number(text))
        groups = tuple(Group.of(entry.operations()) for entry in _coded(settings_of(kind), code))
        larger = tuple(Group.of(entry.operations()) for entry in larger_cells_of(kind) if not code)
        yield _Source(f"its number {kind}", groups, _of_type(kind), unusual=larger)


def _coded(entries: Iterable[gemmi.SpaceGroup], code: str) -> list[gemmi.SpaceGroup]:
    """Choose settings by a coordinate-system code such as "2", "h", "-b1" or "1cab"; all where none has it."""
    listed = list(entries)
    with_code = [
        entry
        for entry in listed
        if code in ((entry.ext.strip("\0") + (entry.qualifier or more)).lower() for more in ("", "abc"))
    ]
    return with_code or listed


def _equals(groups: tuple[Group, ...], by_origin: bool = False) -> Callable[[Group], bool]:
    """Test whether a group is one of `groups`, up to a shift of the origin if the statement does not fix it."""

    def equals(other: Group) -> bool:
        return any(group.keys == other.keys or (by_origin and group.differs_by_origin(other)) for group in groups)

    return equals


def _of_type(kind: int) -> Callable[[Group], bool]:
    return lambda group: group.number == kind


def _other_system(block: CifBlock, readings: list[Reading]) -> list[str]:
    """Warn if the named crystal system is that of no reading; trigonal crystals may be called "hexagonal"."""
    told = block.text(*_SYSTEM).lower()
    same = {"rhombohedral": "trigonal", "hexagonal": "trigonal", "anorthic": "triclinic", "isometric": "cubic"}
    told = same.get(told, told)
    names = [reading.group.setting.crystal_system_str() for reading in readings if reading.group.setting]
    found = {same.get(name, name) for name in names}
    if told not in ("monoclinic", "orthorhombic", "tetragonal", "trigonal", "cubic", "triclinic") or told in found:
        return []
    return [f"its crystal system is {told!r}, but that of {readings[0].source} is {names[0]!r}"] if names else []
