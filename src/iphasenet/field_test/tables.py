"""Tables of a field test: each way by group of crystals and by condition, defects, and images that no way can use."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas
from numpy.typing import NDArray

from iphasenet.base.wording import number_text
from iphasenet.evaluation.summary import CONFIDENCE, RESAMPLES
from iphasenet.field_test.fits import NOT_TRIED
from iphasenet.field_test.ways import BASELINES, TOLD_BASELINES, WAYS

LEVEL_LIMIT = 0.2
"""Relative error of the mean potential above which a way should have warned."""

_SCORES = ("columns_pearson", "potential_pearson", "level_error", "integrated_error", "position_error_pm",
           "columns_found", "columns_false", "covered")  # fmt: skip

_DEFECTS = ("defects", "defects_found", "sites", "false_alarms")

_ORDER = [*WAYS, *BASELINES, *TOLD_BASELINES]

FloatArray = NDArray[np.floating[Any]]


def summary_table(scores: pandas.DataFrame, by: Sequence[str] = ("group",)) -> pandas.DataFrame:
    """
    Summarise the scores of each way.

    Parameters
    ----------
    scores : DataFrame
        Rows of `iphasenet.field_test.scores.score_rows`.
    by : sequence of str
        Columns by which images are grouped.

    Returns
    -------
    DataFrame
        One row a group and way: `images`, of which it was tried; `used`, for which it gives a result;
        mean correlations with 95 % intervals (`..._low`, `..._high`, bootstrap over specimens); median and 90 % of the
        error of the mean potential [%]; medians of the error around a column [%], of the columns' positions [pm], of
        the shares of columns found and of false ones [%]; pixels within the interval that should hold 68 % [%]; images
        with a mean potential more than 20 % wrong, and of these those without a warning.
    """
    rows = []
    # What no way gives has no column.
    tried = scores[scores["refused"] != NOT_TRIED].reindex(columns=list(dict.fromkeys([*scores.columns, *_SCORES])))
    for key, group in tried.groupby([*by, "way"], sort=False, observed=True):
        values = dict(zip([*by, "way"], key, strict=True))
        used = group[group["refused"] == ""]
        level = used["level_error"].abs()
        wrong = level > LEVEL_LIMIT
        rows.append(
            {
                **values,
                "images": len(group),
                "used": len(used),
                **_mean("columns_pearson", used),
                **_mean("potential_pearson", used),
                "level_percent": 100 * level.median(),
                "level_percent_90": 100 * level.quantile(0.9),
                "integrated_percent": 100 * used["integrated_error"].median(),
                "position_pm": used["position_error_pm"].median(),
                "found_percent": 100 * used["columns_found"].mean(),
                "false_percent": 100 * used["columns_false"].mean(),
                "covered_percent": 100 * used["covered"].mean(),
                "level_wrong": int(wrong.sum()),
                "level_wrong_unwarned": int((wrong & (used["warnings"] == "")).sum()),
            }
        )
    table = pandas.DataFrame(rows)
    return table.sort_values([*by, "way"], key=_places, kind="stable", ignore_index=True)


def condition_table(scores: pandas.DataFrame) -> pandas.DataFrame:
    """Summarise the scores of each way by kind of specimen, thickness and dose (`condition`, and its `value`)."""
    parts = [
        summary_table(scores.assign(condition=name, value=scores[name].astype(str)), ("condition", "value"))
        for name in ("kind", "nominal_nm", "dose")
    ]
    return pandas.concat(parts, ignore_index=True)


def defect_table(scores: pandas.DataFrame) -> pandas.DataFrame:
    """Count altered columns by way and dose: share of them found, share of others that are taken for them [%]."""
    if "defects" not in scores:
        return pandas.DataFrame(columns=["way", "dose", *_DEFECTS, "found_percent", "false_percent"])
    groups = scores[scores["defects"] > 0].groupby(["way", "dose"], as_index=False, sort=False)
    found = groups[list(_DEFECTS)].sum()
    found["found_percent"] = 100 * found["defects_found"] / found["defects"]
    found["false_percent"] = 100 * found["false_alarms"] / found["sites"]
    return found.sort_values(["way", "dose"], key=_places, kind="stable", ignore_index=True)


def estimate_table(scores: pandas.DataFrame) -> pandas.DataFrame:
    """
    How well thickness, tilt and defocus are found where nothing is told.

    Returns
    -------
    DataFrame
        By group and way: median and 90 % of the errors, and the share of them within one expected error [%].
    """
    names = {"thickness_nm": "thickness_nm", "alpha_deg": "tilt_deg", "beta_deg": "tilt_deg",
             "defocus_angstrom": "defocus_angstrom"}  # fmt: skip
    rows = []
    used = scores[scores["way"].isin(["nothing told", "fit"]) & (scores["refused"] == "")]
    for (group, way), part in used.groupby(["group", "way"], sort=False):
        row: dict[str, Any] = {"group": group, "way": way, "images": len(part)}
        for kind in dict.fromkeys(names.values()):
            off = pandas.concat([part[f"{name}_off"].abs() for name in names if names[name] == kind])
            expected = pandas.concat([part[f"{name}_expected"] for name in names if names[name] == kind])
            row |= {
                kind: off.median(),
                f"{kind}_90": off.quantile(0.9),
                f"{kind}_within": 100 * float((off <= expected)[expected.notna()].mean()),
            }
        rows.append(row)
    return pandas.DataFrame(rows).sort_values(["group", "way"], key=_places, kind="stable", ignore_index=True)


def unusable_table(scores: pandas.DataFrame) -> pandas.DataFrame:
    """List every way that has refused an image, with its reason; those that were not tried are left out."""
    refused = scores[(scores["refused"] != "") & (scores["refused"] != NOT_TRIED)]
    return refused[["image", "kind", "energy_kev", "nominal_nm", "dose", "way", "refused"]].reset_index(drop=True)


def picture_title(scores: pandas.DataFrame, image: str) -> str:
    """Say in a few lines what an image shows."""
    row = scores[scores["image"] == image].iloc[0]
    kind = "" if row["kind"] == "crystal" else f", {row['kind']}"
    dose = number_text("{:,.7g} e/Å²", row["dose"])
    return f"{row['material']}{kind}\n{row['thickness_nm']:.0f} nm, {row['tilt_deg']:.2f}°\n{dose}"


def _places(values: "pandas.Series[Any]") -> "pandas.Series[Any]":
    """Places by which a column is sorted: ways and groups in their order, other values in theirs."""
    places: Mapping[Any, int] = {name: place for place, name in enumerate(_ORDER)}
    places = {"known": 0, "corpus": 1, "new": 2, **places}
    known = bool(values.isin(list(places)).all())
    return values.map(places) if known else values


def _mean(name: str, group: pandas.DataFrame) -> dict[str, float]:
    """Mean of a score with its interval; images of one specimen are not independent."""
    values = group[[name, "image"]].dropna()
    if values.empty:
        return {name: math.nan, f"{name}_low": math.nan, f"{name}_high": math.nan}
    specimens = values["image"].str.rpartition("-")[0]
    of_specimen = [part.to_numpy() for _, part in values.groupby(specimens)[name]]
    low, high = _interval(of_specimen, lambda part: float(np.concatenate(part).mean()))
    return {name: float(values[name].mean()), f"{name}_low": low, f"{name}_high": high}


def _interval(
    clusters: Sequence[FloatArray], statistic: Callable[[Sequence[FloatArray]], float]
) -> tuple[float, float]:
    """Percentile interval of a statistic of clusters that are drawn again; NaN for one cluster."""
    if len(clusters) < 2:
        return math.nan, math.nan
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(clusters), size=(RESAMPLES, len(clusters)))
    found = [statistic([clusters[number] for number in row]) for row in drawn]
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
