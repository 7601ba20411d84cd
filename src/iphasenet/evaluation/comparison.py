"""Comparison of runs: where a network works and where it fails."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from iphasenet.base.errors import InputError
from iphasenet.base.reading import read_json
from iphasenet.base.tables import read_table
from iphasenet.evaluation.alterations import ALTERED_DOSE
from iphasenet.evaluation.summary import scores

SHOWN = ("pearson", "mae_share_of_max", "peak_error")
"""Metrics of the network that are compared."""

_FACTOR = 1.5
"""A dose within this factor of `ALTERED_DOSE` counts as this dose."""


def compare_runs(folders: Sequence[Path]) -> pandas.DataFrame:
    """
    Put the scores of several runs into one table.

    Parameters
    ----------
    folders : sequence of path
        `evaluation` folders of runs that ended.

    Returns
    -------
    DataFrame
        One row per run and kind of new sample (`held_out`), at the dose nearest to `ALTERED_DOSE`; for runs whose doses
        are far from it, one row per dose: case, held_out, dose, samples, tilt_groups; mean, low and high of the
        network's `SHOWN`, such as pearson, pearson_low; best_baseline and best_baseline_pearson.

    Raises
    ------
    InputError
        If a run has no evaluation.
    """
    rows = [row for folder in folders for row in _rows(folder)]
    return pandas.DataFrame(rows)


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    title = read_json(folder / "summary.json").get("title")
    if not isinstance(title, str):
        raise InputError(f"{folder / 'summary.json'}: title: found {title!r}; allowed: the name of a run that ended")
    samples = read_table(folder / "samples.parquet", ["dose", "held_out", "sample_id", "material", "tilt", "method"])
    doses = np.unique(samples["dose"])
    near = doses[np.abs(np.log(doses / ALTERED_DOSE)) < np.log(_FACTOR)]
    for (held_out, dose), part in samples[samples["dose"].isin(near if len(near) else doses)].groupby(
        ["held_out", "dose"]
    ):
        yield {
            "case": title,
            "held_out": held_out,
            "dose": float(dose),
            "samples": part["sample_id"].nunique(),
            "tilt_groups": len(part[["material", "tilt"]].drop_duplicates()),
            **_numbers(scores(part)),
        }


def _numbers(found: Mapping[str, Any]) -> dict[str, Any]:
    model = found["model"]
    numbers = {name: model[name]["mean"] for name in SHOWN}
    numbers |= {f"{name}_{end}": model[name][end] for name in SHOWN for end in ("low", "high")}
    baselines = {method: found[method]["pearson"]["mean"] for method in found if method != "model"}
    best = max(baselines, key=lambda method: baselines[method])
    return {**numbers, "best_baseline": best, "best_baseline_pearson": baselines[best]}
