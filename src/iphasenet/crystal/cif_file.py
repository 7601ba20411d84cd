"""Content of a CIF before it is interpreted: its blocks, their values by tag, and numbers with uncertainties.

gemmi reads the grammar. ASE's tolerant reader may read a file that gemmi refuses, but no row of a table is left out.
"""

import math
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from ase.io.cif import parse_cif
from gemmi import cif

from iphasenet.base.errors import InputError
from iphasenet.base.file_checks import check_regular

_NUMBER = re.compile(r"([+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?)(?:\(\d*\.?\d*\)?)?")
_NULL = ("", ".", "?")
_CRYSTAL = (
    *("_cell_length", "_cell_angle", "_cell_formula", "_cell_volume"),
    *("_symmetry_", "_space_group_", "_atom_site", "_chemical_formula_sum"),
)
"""Beginnings of the tags that may not have two different values in a block."""


def number(text: str) -> float:
    """
    Read a number of a CIF, with or without its uncertainty in brackets.

    Parameters
    ----------
    text : str
        Text such as "0.25", "5.640(2)", "-.5", "0,25" or "1/3".

    Returns
    -------
    float
        The number; NaN for what is unknown ("?", ".") or no number.
    """
    upper, _, lower = text.partition("/")
    if lower:
        return number(upper) / (number(lower) or math.nan)
    found = _NUMBER.fullmatch(text.strip())
    return float(found[1].replace(",", ".")) if found else math.nan


@dataclass(frozen=True)
class CifBlock:
    """
    One block of a CIF.

    Attributes
    ----------
    path : Path
        File.
    name : str
        Name of the block.
    values : mapping of str to tuple of str
        Values by tag, without quotes; tags in lower case with underscores for dots, so that
        ``_atom_site.fract_x`` and ``_atom_site_fract_x`` are one. Unknown values are "?", "." or empty.
    """

    path: Path
    name: str
    values: Mapping[str, tuple[str, ...]]

    @property
    def has_atoms(self) -> bool:
        """Whether it lists sites with coordinates."""
        return bool(self.column("_atom_site_fract_x", "_atom_site_cartn_x"))

    def column(self, *tags: str) -> tuple[str, ...]:
        """Values of the first of some tags that the block has with any value; empty if none."""
        return next((self.values[tag] for tag in tags if self.values.get(tag)), ())

    def text(self, *tags: str) -> str:
        """First known value of some tags; empty if there is none."""
        found = (value for tag in tags for value in self.values.get(tag, ()) if value not in _NULL)
        return next(found, "")

    def number(self, *tags: str) -> float:
        """First known value of some tags as a number; NaN if there is none."""
        return number(self.text(*tags))


def read_block(path: Path, name: str | None = None) -> CifBlock:
    """
    Read the block of a CIF that holds a structure.

    Parameters
    ----------
    path : Path
        File: UTF-8, UTF-16 or Latin-1, any line ends.
    name : str, optional
        Name of the block, in any letter case; needed where several hold atoms.

    Returns
    -------
    CifBlock
        The block.

    Raises
    ------
    InputError
        If there is no such file or block, if it is no CIF, or if the choice is not clear.
    """
    check_regular(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; give the path of a CIF file")
    text = _decode(path.read_bytes())
    blocks = [CifBlock(path, title, _merge(path, items)) for title, items in _parse(path, text)]
    if name is not None:
        chosen = _different([block for block in blocks if block.name.lower() == name.lower()])
        if len(chosen) != 1:
            listed = ", ".join(block.name for block in blocks)
            raise InputError(f"{path}: found {len(chosen)} blocks called {name!r}; allowed: one of {listed or 'none'}")
        if not chosen[0].has_atoms:
            raise InputError(f"{path}: found no atoms in the block {name!r}; give a block with a structure")
        return chosen[0]
    chosen = _different([block for block in blocks if block.has_atoms])
    if len(chosen) > 1:
        listed = ", ".join(block.name for block in chosen)
        raise InputError(
            f"{path}: found {len(chosen)} structures, {listed}; --block (in a configuration `block`) chooses one"
        )
    if not chosen:
        raise InputError(f"{path}: found 0 structures with atoms; allowed: exactly one")
    return chosen[0]


def _different(blocks: list[CifBlock]) -> list[CifBlock]:
    """Leave out exact repetitions of blocks."""
    return [block for k, block in enumerate(blocks) if block not in blocks[:k]]


def _decode(data: bytes) -> str:
    """Text of a file with one kind of line ends, without the marks that editors leave."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings = ("utf-16",)
    elif b"\0" in data[:2]:
        encodings = ("utf-16-be",) if data[:1] == b"\0" else ("utf-16-le",)
    else:
        encodings = ("utf-8-sig",)
    text = ""
    for encoding in (*encodings, "latin-1"):
        try:
            text = data.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    return text.replace("\x1a", "").replace("\r\n", "\n").replace("\r", "\n") + "\n"


def _parse(path: Path, text: str) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """Blocks with their tags and values, in order."""
    try:
        # This level tolerates faults that do not concern the structure, such as a repeated tag of authors.
        document = cif.read_string(text, 0)
    except (ValueError, RuntimeError) as strict:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # warnings about rows that the parser would leave out
                blocks = list(parse_cif(StringIO(text)))
            if not blocks:
                raise ValueError("no block")
        except Exception:  # a bad file makes that parser raise anything from AssertionError to TypeError
            reason = re.sub(r"^string:(\d+)[:\d()]*", r"\1:", " ".join(str(strict).split())).replace("::", ":")
            raise InputError(f"{path}: not a readable CIF (line {reason})") from strict
        return [(block.name, [(tag, _texts(values)) for tag, values in block.items()]) for block in blocks]
    return [(block.name.strip(), list(_items(block))) for block in document]


def _items(block: cif.Block) -> Iterator[tuple[str, list[str]]]:
    for item in block:
        if item.pair is not None:
            pair: Any = item.pair
            yield pair[0], [cif.as_string(pair[1])]
        elif getattr(item, "loop", None) is not None:
            width = item.loop.width()
            for column, tag in enumerate(item.loop.tags):
                yield tag, [cif.as_string(value) for value in item.loop.values[column::width]]


def _texts(values: Any) -> list[str]:
    return [str(value) for value in (values if isinstance(values, list) else [values])]


def _merge(path: Path, items: list[tuple[str, list[str]]]) -> dict[str, tuple[str, ...]]:
    """Values by tag; tags of the crystal must not have two different values."""
    found: dict[str, tuple[str, ...]] = {}
    for tag, values in items:
        key, value = tag.lower().replace(".", "_"), tuple(text.strip() for text in values)
        if key.startswith(_CRYSTAL) and found.get(key, value) != value:
            raise InputError(f"{path}: found {tag} twice, with different values; allowed: once")
        found.setdefault(key, value)
    return found
