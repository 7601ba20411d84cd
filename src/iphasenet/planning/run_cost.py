"""Cost of a finished run, from the benchmark table that Snakemake writes for each job."""

import ast
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas

from iphasenet.base.errors import InputError

_MEBIBYTES_A_GIGABYTE = 1e9 / 2**20


def run_cost(benchmarks: Path, planned: Mapping[str, Collection[str]] | None = None) -> pandas.DataFrame:
    """
    Add up the time and memory of a run's jobs.

    Parameters
    ----------
    benchmarks : Path
        Folder of Snakemake's tables, `<rule>.tsv` or `<rule>/<job>.tsv`, plain ones or those of
        `--benchmark-extended`. A job that ran again counts as it ran last.
    planned : mapping, optional
        Names of the jobs of each rule (`planning.run_jobs`): other tables belong to an earlier configuration and do
        not count. If not given, all count.

    Returns
    -------
    DataFrame
        One row per rule, the most expensive first, then the total; empty without tables. Columns: number of jobs; wall
        time of all and of the longest; processor time; reserved time, threads and GPUs times wall time, if the tables
        are extended and hold it for every job; the largest resident memory of a job. Unknown numbers are NaN, because
        jobs of less than about a second are not sampled.

    Raises
    ------
    InputError
        If a file is no such table.
    """
    tables = [(path.relative_to(benchmarks).parts[0], path) for path in sorted(benchmarks.rglob("*.tsv"))]
    named = [(part.removesuffix(".tsv"), path) for part, path in tables]
    jobs = pandas.DataFrame(
        _job(path, rule) for rule, path in named if planned is None or path.stem in planned.get(rule, ())
    )
    if jobs.empty:
        return jobs
    parts = [(rule, part) for rule, part in jobs.groupby("rule")]
    rows = pandas.DataFrame([_row(str(rule), part) for rule, part in parts])
    rows = rows.sort_values("wall time [h]", ascending=False, kind="stable")
    rows = pandas.concat([rows, pandas.DataFrame([_row("all", jobs)])], ignore_index=True)
    # Leave out columns of resources that no job reserved, or that plain tables do not hold.
    return rows.loc[:, ~(rows.fillna(0) == 0).all()]


def _job(path: Path, rule: str) -> dict[str, Any]:
    """Numbers of one job."""
    try:
        row = pandas.read_csv(path, sep="\t").iloc[-1]
        extended = "threads" in row
        resources = ast.literal_eval(row["resources"]) if extended else {}
        wall, cores, memory = (pandas.to_numeric(row[name], errors="coerce") for name in ("s", "cpu_time", "max_rss"))
    except (OSError, KeyError, IndexError, ValueError, SyntaxError) as error:
        raise InputError(f"{path}: found no benchmark of a job; allowed: a table as Snakemake writes it") from error
    return {
        "rule": rule,
        "wall": wall / 3600,
        "cores": cores / 3600,
        "memory": memory / _MEBIBYTES_A_GIGABYTE,
        "reserved": wall / 3600 * row["threads"] if extended else float("nan"),
        "gpus": wall / 3600 * resources.get("gpu", 0) if extended else float("nan"),
    }


def _row(rule: str, jobs: pandas.DataFrame) -> dict[str, Any]:
    def total(name: str) -> float:
        return float(jobs[name].sum(skipna=name == "cores", min_count=1))

    return {
        "rule": rule,
        "jobs": len(jobs),
        "wall time [h]": total("wall"),
        "longest job [h]": float(jobs["wall"].max()),
        "processor time [core h]": total("cores"),
        "reserved [core h]": total("reserved"),
        "reserved [GPU h]": total("gpus"),
        "peak memory [GB]": float(jobs["memory"].max()),
    }
