"""Patterns of a Merlin camera (.mib), and what its header and the .hdr beside it say about the scan."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from iphasenet.base.errors import InputError
from iphasenet.base.quantities import counted
from iphasenet.microscope_files.axes import Axis
from iphasenet.microscope_files.recording import Recording
from iphasenet.microscope_files.signals import reading

_HEADER = 384
"""Bytes before each pattern of one chip; a camera of several chips has more, and says how many."""

_FIELDS = 7
"""Number of texts in a header up to the type of the counts."""

_TYPES = {"U08": ">u1", "U16": ">u2", "U32": ">u4"}
_DEPTHS = {"U16": 12, "U32": 24}
"""Bits of the counter if the file does not say; U08 is left out, as it may have 1 or 6."""

_SHOWN = 4
"""Largest number of scan shapes that a message proposes."""


@dataclass(frozen=True)
class MerlinFile:
    """
    Contents of a .mib and of the .hdr beside it.

    Attributes
    ----------
    count, rows, columns : int
        Number of patterns, by the file's size; rows and columns of one.
    depth : int, optional
        Bits of the counter.
    beside : mapping, optional
        Entries of the .hdr by name; None if there is none.
    """

    count: int
    rows: int
    columns: int
    depth: int | None
    beside: Mapping[str, str] | None

    @property
    def scan_shape(self) -> tuple[int, int] | None:
        """Rows and columns of the scan by the .hdr; patterns come row by row, one trigger per row."""
        texts = [(self.beside or {}).get(f"Frames {name} (Number)", "") for name in ("in Acquisition", "per Trigger")]
        if not all(text.isdigit() for text in texts):
            return None
        count, columns = map(int, texts)
        # With one pattern per trigger, the scan was triggered pixel by pixel.
        return None if columns < 2 or count % columns else (count // columns, columns)


def read_merlin(path: Path, scan_shape: tuple[int, int] | None = None) -> Recording:
    """
    Read the patterns of a .mib.

    Parameters
    ----------
    path : path
        The file; the .hdr beside it with the same name gives the shape of the scan.
    scan_shape : (int, int), optional
        Rows and columns of the scan, flyback included, if there is no .hdr, or instead of those in it.

    Returns
    -------
    Recording
        Patterns (y, x, row, column), read when asked for.

    Raises
    ------
    InputError
        If the scan's shape is unknown or does not fit the number of patterns, or the file is damaged.
    """
    found = look(path)
    shape = scan_shape or found.scan_shape
    if shape is None:
        raise InputError(
            f"{path}: found {counted(found.count, 'pattern')} of {found.rows} x {found.columns} pixels without the "
            f"shape of the scan; allowed: {_said(found.beside)}, or --scan-shape, such as {_proposed(found.count)}"
        )
    if math.prod(shape) > found.count:
        rows = found.count // shape[1]
        fitting = f", or a scan of {_proposed(found.count, shape)}" if scan_shape and found.count else ""
        raise InputError(f"{path}: found {rows * shape[1]} of {math.prod(shape)} patterns; allowed: a whole file"
                         f"{fitting} ({found.count} are there)")  # fmt: skip
    if math.prod(shape) < found.count:
        by = "--scan-shape" if scan_shape else "the .hdr beside it"
        raise InputError(f"{path}: found {counted(found.count, 'pattern')} and, by {by}, a scan of {shape[0]} x "
                         f"{shape[1]}; allowed: all patterns, flyback included, such as "
                         f"{_proposed(found.count, shape)}")  # fmt: skip
    with reading(path):
        # Loaded when used: the command line must not wait for it.
        from rsciio.quantumdetector import load_mib_data

        data = load_mib_data(str(path), lazy=True, navigation_shape=shape[::-1], return_mmap=False)
        # The camera's rows are stored from below.
        data = np.flip(data.reshape(*shape, found.rows, found.columns), axis=-2)
    full = None if found.depth in (None, 1) else 2.0**found.depth - 1
    return Recording(data, str(path), (Axis("y"), Axis("x"), Axis("row"), Axis("column")), full_count=full)


def look(path: Path) -> MerlinFile:
    """Read the first pattern's header and the .hdr beside it, and count the patterns; InputError if damaged."""
    with reading(path):
        return _look(path, _read_hdr(path))


def _look(path: Path, beside: Mapping[str, str] | None) -> MerlinFile:
    with path.open("rb") as file:
        text = file.read(_HEADER)
        if len(text) < _HEADER:
            raise ValueError(f"{counted(len(text), 'byte')}, fewer than the {_HEADER} of a header")
        start = text.decode(errors="replace").split(",")
        if len(start) < _FIELDS or start[0] != "MQ1" or start[6] not in _TYPES:
            raise ValueError(
                f"a header that begins with {','.join(start[:7])[:40]!r}, not with MQ1 and one of U08, U16, U32"
            )
        file.seek(0)
        fields = file.read(int(start[2])).decode(errors="replace").split(",")
    header, columns, rows = int(fields[2]), int(fields[4]), int(fields[5])
    size = header + rows * columns * np.dtype(_TYPES[fields[6]]).itemsize
    # MQ1A, the time, the exposure and the counter's bits stand in sequence; older software leaves them out.
    later = [index for index, text in enumerate(fields) if text == "MQ1A"]
    depth = fields[later[0] + 3].strip() if later and len(fields) > later[0] + 3 else ""
    depth = depth if depth.isdigit() else (beside or {}).get("Counter Depth (number)", "")
    bits = int(depth) if depth.isdigit() else _DEPTHS.get(fields[6])
    return MerlinFile(path.stat().st_size // size, rows, columns, bits, beside)


def _read_hdr(path: Path) -> dict[str, str] | None:
    """Read the .hdr beside a .mib; None if there is none."""
    for ending in (".hdr", ".HDR"):
        beside = path.with_suffix(ending)
        if beside.is_file():
            lines = beside.read_text("utf-8", errors="replace").splitlines()
            pairs = (line.split("\t", 1) for line in lines if "\t" in line)
            return {name.strip().rstrip(":"): value.strip() for name, value in pairs}
    return None


def _said(beside: Mapping[str, str] | None) -> str:
    """Say what must be beside a .mib, and what is wrong there."""
    needed = ("Frames in Acquisition (Number)", "Frames per Trigger (Number)")
    if beside is None:
        return f"a .hdr beside it (there is none) with {' and '.join(needed)}"
    told = ", ".join(f"{name}: {beside.get(name) or 'missing'}" for name in needed)
    return f"a .hdr with patterns and patterns a row, the latter above 1 (there: {told})"


def _proposed(count: int, shape: tuple[int, int] = (0, 0)) -> str:
    """Propose shapes of a scan of all patterns: first those with the given rows or columns, then the squarest."""
    pairs = [(rows, count // rows) for rows in range(2, count // 2 + 1) if count % rows == 0] or [(1, count)]
    pairs.sort(key=lambda pair: (pair[0] != shape[0], pair[1] != shape[1], abs(math.log(pair[0] / pair[1]))))
    return " or ".join(f"{rows} x {columns}" for rows, columns in pairs[:_SHOWN])
