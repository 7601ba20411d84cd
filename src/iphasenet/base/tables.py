"""Reading of tables that an earlier stage wrote: damage, or what a table lacks, is told in one line."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas

from iphasenet.base.errors import InputError
from iphasenet.base.reading import whole_file

_UNKNOWN = ["", "nan"]
"""Entries of a CSV file that stand for a missing number; there are no others."""

_NAMES = dict.fromkeys(("material", "sample_id", "case", "run"), str)
"""Columns whose entries are always read as text: crystals may be called NA, null, nan or 007."""


NO_ROWS = pandas.DataFrame({"material": pandas.Series(dtype=str)})
"""A table without a measurement."""


def read_table(
    path: str | Path, columns: Sequence[str] = (), finite: Sequence[str] = (), may_be_empty: bool = False
) -> pandas.DataFrame:
    """
    Read a table that `iphasenet.base.files.write_table` wrote.

    Parameters
    ----------
    path : Path
        Parquet or CSV file. A Parquet file that was cut or changed is noticed, a CSV file only if it was cut within a
        row.
    columns : sequence of str
        Columns that it must have.
    finite : sequence of str
        Columns that must hold only finite numbers.
    may_be_empty : bool
        Whether a table without rows, or without these columns, is accepted.

    Returns
    -------
    DataFrame
        Table with at least one row, unless it may be empty.

    Raises
    ------
    InputError
        If the file is missing or damaged, or lacks rows or a column, or holds a number that is not finite.
    """
    path = Path(path)
    frame = _frame(path)
    if frame.empty and may_be_empty:
        return frame
    if frame.empty or not set(columns) <= set(frame):
        found, needed = (", ".join(map(str, names)) for names in (frame, columns or ("any column",)))
        raise InputError(f"{path}: found {len(frame)} rows of {found}; allowed: at least one row, with {needed}")
    for name in finite:
        bad = frame[~np.isfinite(pandas.to_numeric(frame[name], errors="coerce"))]
        if len(bad):
            where = bad.iloc[0].get("sample_id", bad.iloc[0].get("material"))
            raise InputError(f"{path}: {where}: {name}: found {bad.iloc[0][name]}; allowed: a finite number")
    return frame


def _frame(path: Path) -> pandas.DataFrame:
    if path.suffix == ".parquet":
        with whole_file(path, "a Parquet file"):
            return pandas.read_parquet(path, page_checksum_verification=True)
    with whole_file(path, "a CSV file"):
        if not path.read_bytes().endswith(b"\n"):
            raise InputError(f"{path}: the last row has no end: the file was cut; give the whole CSV file")
        unknown = {name: _UNKNOWN for name in pandas.read_csv(path, nrows=0) if name not in _NAMES}
        return pandas.read_csv(path, keep_default_na=False, na_values=unknown, dtype=_NAMES)
