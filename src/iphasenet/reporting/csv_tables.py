"""CSV files as tables of the report: generalisation, cost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from iphasenet.base.errors import InputError
from iphasenet.base.tables import read_table
from iphasenet.base.wording import number_text
from iphasenet.reporting.numbers import METHODS, METRICS, Cell
from iphasenet.reporting.tables import Table, level_text, score_cell

HEADINGS = {
    "case": "Case",
    "description": "What it is",
    "held_out": "Not seen in training",
    "changed": "Changed",
    "dose": "Dose [e/Å²]",
    "samples": "Samples",
    "tilt_groups": "Tilts",
    "best_baseline": "Best baseline",
    "best_baseline_pearson": "Its Pearson correlation",
}
"""Headings of a CSV file's columns; other columns keep their names."""

_REQUIRED = {**METRICS, "best_baseline_pearson": METRICS["pearson"]}
"""Columns of a CSV file that must have a finite number in every row, with their metrics."""


def csv_table(path: Path, name: str) -> Table:
    """
    Make a table of the report from a CSV file, such as that of generalisation or of cost.

    Parameters
    ----------
    path : path
        CSV file with at least one row. Columns with names of `METRICS` are shown as metrics; `<metric>_low` and
        `<metric>_high` are the ends of the interval; every other column is shown unchanged.
    name : str
        Name of the table in the page.

    Returns
    -------
    Table
        One row per line of the file; a cell without a value is a dash.

    Raises
    ------
    InputError
        If there is no row, a metric is missing or any number is not finite.
    """
    frame = read_table(path)
    ends = {f"{metric}_{end}" for metric in METRICS for end in ("low", "high")}
    columns = [column for column in frame if column not in ends]
    heading = [
        METRICS[column].heading if column in METRICS else Cell(HEADINGS.get(column, column)) for column in columns
    ]
    rows = [
        [_csv_cell(row, column, f"{path}: row {number}") for column in columns]
        for number, row in enumerate(frame.to_dict("records"), 1)
    ]
    return Table(name, heading, rows)


def _csv_cell(row: Mapping[str, Any], column: str, where: str) -> Cell:
    value = row[column]
    if column in _REQUIRED:
        ends = {end: row.get(f"{column}_{end}") for end in ("low", "high")}
        limits = {
            end: None if pd.isna(limit) else _finite(limit, f"{where}: {column}_{end}") for end, limit in ends.items()
        }
        return score_cell(_REQUIRED[column], {"mean": _finite(value, f"{where}: {column}"), **limits})
    if isinstance(value, str):
        return Cell(
            {"best_baseline": METHODS.get(value, value), "held_out": level_text("held_out", value)}.get(column, value)
        )
    if pd.isna(value):
        return Cell("–")
    number = _finite(value, f"{where}: {column}")
    return Cell(number_text("{:,.4g}" if number % 1 else "{:,.0f}", number))


def _finite(value: Any, where: str) -> float:
    if isinstance(value, str) or not np.isfinite(value):
        raise InputError(f"{where}: found {value!r}; allowed: a finite number")
    return float(value)
