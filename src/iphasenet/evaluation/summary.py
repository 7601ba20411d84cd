"""Means of the evaluation's tables, with bootstrap confidence intervals over tilt groups."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from numpy.typing import NDArray
from scipy.stats import bootstrap

from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_file, write_table
from iphasenet.base.tables import read_table
from iphasenet.evaluation.metrics import METRICS, POTENTIALS
from iphasenet.evaluation.scores import METHODS, Tables
from iphasenet.training.seen import nothing_new

CONFIDENCE = 0.95
RESAMPLES = 1000

TILT_EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, math.inf)
"""Limits of the ranges of tilt for which scores are given separately [degrees]."""

Scores = dict[str, dict[str, dict[str, float | None]]]


def summarise(tables: Tables, altered: pandas.DataFrame, title: str) -> dict[str, Any]:
    """
    Summarise the evaluation of all materials.

    Parameters
    ----------
    tables : Tables
        Tables of all materials.
    altered : DataFrame
        Predictions from altered inputs (`iphasenet.evaluation.prediction.predict_altered`).
    title : str
        What the run is.

    Returns
    -------
    dict
        `title`, `samples`, `left_out` (number of test samples that the network has seen), `left_out_materials` (names
        of materials all of whose test samples it has seen), `tilt_groups`, `doses`; `scores` by method and
        metric, and `by` material, thickness_nm, tilt_deg, dose and held_out, each with `mean`, `low` and `high` (95 %
        interval; None for a single tilt group);
        `potentials` by method; `shuffled_metadata` and `noise`; `uncertainty` where there is one; `columns` by method
        and type of column.
    """
    samples, materials = tables.samples, tables.materials
    ranges = pandas.cut(samples["tilt_deg"], TILT_EDGES, right=False)
    labels = {part: f"{part.left:g}–{part.right:g}" for part in ranges.cat.categories}
    keys: dict[str, Any] = {
        "material": samples["material"],
        "thickness_nm": samples["thickness_nm"],
        "tilt_deg": ranges,
        "dose": samples["dose"],
        "held_out": samples["held_out"],
    }
    return {
        "title": title,
        "samples": int(samples["sample_id"].nunique()),
        "left_out": int(materials["left_out"].sum()),
        "left_out_materials": materials.loc[materials["scored"] == 0, "material"].to_list(),
        "tilt_groups": len(samples[["material", "tilt"]].drop_duplicates()),
        "doses": sorted(float(dose) for dose in samples["dose"].unique()),
        "scores": scores(samples),
        "by": {
            name: {_text(level, labels): scores(rows) for level, rows in samples.groupby(key, observed=True)}
            for name, key in keys.items()
        },
        "potentials": {
            method: {name: float(value) for name, value in row.items()}
            for method, row in samples.groupby("method")[list(POTENTIALS)].mean().to_dict("index").items()
        },
        "shuffled_metadata": _altered(altered, "metadata"),
        "noise": _altered(altered, "noise"),
        **_uncertainty(tables.coverage),
        "columns": {method: summarise_columns(rows) for method, rows in tables.columns.groupby("method")},
    }


def _text(level: Any, labels: Mapping[Any, str]) -> str:
    if isinstance(level, pandas.Interval):
        return labels[level]
    return f"{level:g}" if isinstance(level, int | float) else str(level)


def scores(samples: pandas.DataFrame) -> Scores:
    """
    Mean of every metric and method, with its interval.

    Parameters
    ----------
    samples : DataFrame
        Rows of `Tables.samples`.

    Returns
    -------
    dict
        `mean`, `low`, `high` by method and metric. The interval is a percentile bootstrap over tilt groups, drawn
        within each material: samples of one tilt are not independent, and the materials are no random sample.
    """
    means = samples.groupby("method")[list(METRICS)].mean()
    methods = [method for method in METHODS if method in means.index]
    low, high = _interval(samples, methods)
    return {
        method: {
            name: {"mean": float(means.loc[method, name]), "low": _number(low[i, j]), "high": _number(high[i, j])}
            for j, name in enumerate(METRICS)
        }
        for i, method in enumerate(methods)
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _interval(samples: pandas.DataFrame, methods: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Low and high ends (method, metric); NaN if a material has only one tilt group."""
    groups = samples.groupby(["material", "tilt", "method"])[list(METRICS)].mean().unstack("method")
    order = [(name, method) for method in methods for name in METRICS]
    materials = [part[order].to_numpy() for _, part in groups.groupby("material")]
    share = samples.groupby("material")["sample_id"].nunique().to_numpy()
    shape = (len(methods), len(METRICS))
    if min(map(len, materials)) < 2:
        return np.full(shape, np.nan), np.full(shape, np.nan)

    def statistic(*parts: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return np.average([part.mean(axis=axis) for part in parts], axis=0, weights=share)

    found = bootstrap(
        materials, statistic, n_resamples=RESAMPLES, confidence_level=CONFIDENCE, method="percentile", rng=0
    ).confidence_interval
    return found.low.reshape(shape), found.high.reshape(shape)


def _altered(table: pandas.DataFrame, kind: str) -> dict[str, dict[str, float]]:
    rows = table[table["kind"] == kind]
    means = rows.groupby("altered", sort=False)[list(METRICS)].mean()
    return {str(name): {metric: float(means.loc[name, metric]) for metric in METRICS} for name in means.index}


def _uncertainty(table: pandas.DataFrame) -> dict[str, Any]:
    if table.empty:
        return {}
    covered = table.groupby("level")["covered"].mean()
    shares = {f"{level:.0%}": float(value) for level, value in covered.items()}
    return {"uncertainty": {**shares, "spread_over_error": float(table["spread_over_error"].mean())}}


def summarise_columns(rows: pandas.DataFrame) -> dict[str, Any]:
    """
    Count the atomic columns that one method finds.

    Parameters
    ----------
    rows : DataFrame
        Rows of `Tables.columns`.

    Returns
    -------
    dict
        For each type, such as 'GaN: Ga+N', and for `all`, `light` and `heavy`: `visible` (share of the structure's
        columns that the truth shows), `detection_rate` (share of these that the prediction shows), `position_error_pm`
        (root mean square), `integrated_error` and `integrated_absolute_error` (shares); `false_rate`: share of the
        predicted peaks that the truth does not have. None where nothing was found.
    """
    spurious = rows["column"] == "spurious"
    columns = rows[~spurious]
    types = {f"{material}: {name}": part for (material, name), part in columns.groupby(["material", "column"])}
    kinds = {"all": columns, "light": columns[columns["light"]], "heavy": columns[~columns["light"].astype(bool)]}
    wrong, right = (float(rows.loc[mask, "found"].sum()) for mask in (spurious, ~spurious))
    return {
        **{name: _column_numbers(part) for name, part in {**kinds, **types}.items()},
        "false_rate": wrong / (wrong + right) if wrong + right else None,
    }


def _column_numbers(rows: pandas.DataFrame) -> dict[str, float | None]:
    expected, visible, found = (float(rows[name].sum()) for name in ("expected", "visible", "found"))
    seen = rows[rows["visible"] > 0]
    matched = rows[rows["found"] > 0]
    numbers: dict[str, float | None] = {
        "visible": visible / expected if expected else None,
        "detection_rate": found / visible if visible else None,
        "position_error_pm": None,
        "integrated_error": None,
        "integrated_absolute_error": None,
    }
    if found:
        squares = np.average(matched["position_error_pm"] ** 2, weights=matched["found"])
        numbers["position_error_pm"] = float(np.sqrt(squares))
    if visible:
        for name in ("integrated_error", "integrated_absolute_error"):
            numbers[name] = float(np.average(seen[name], weights=seen["visible"]))
    return numbers


def write_summary(scored: Sequence[Path], altered: Sequence[Path], folder: Path, title: str) -> None:
    """
    Write the tables of all materials, and their summary.

    Parameters
    ----------
    scored : sequence of path
        Folders that `Tables.save` wrote, one per material.
    altered : sequence of path
        Parquet tables of altered inputs, one per material.
    folder : path
        Existing folder in which samples, columns, spectra, coverage, materials and altered (.parquet and .csv) and
        summary.json are made.
    title : str
        What the run is.

    Raises
    ------
    InputError
        If the network has seen all test samples, or a score is not finite.
    """
    tables = Tables.joined([Tables.load(path) for path in scored])
    if tables.samples.empty:
        raise InputError(nothing_new(int(tables.materials["left_out"].sum())))
    rows = [table for path in altered if len(table := read_table(path, may_be_empty=True))]
    other = pandas.concat(rows, ignore_index=True)
    for name in METRICS:
        if not np.isfinite(tables.samples[name]).all():
            bad = tables.samples.loc[~np.isfinite(tables.samples[name]), "sample_id"].iloc[0]
            raise InputError(f"{bad}: {name}: found a number that is not finite; allowed: finite numbers only")
    summary = summarise(tables, other, title)
    for name, table in {**vars(tables), "altered": other}.items():
        for ending in ("parquet", "csv"):
            write_table(table, folder / f"{name}.{ending}")
    with atomic_file(folder / "summary.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
