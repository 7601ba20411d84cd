"""Tables of CSV: what is a name and what a number."""

from pathlib import Path

import pandas
import pytest

from iphasenet.base.files import write_table
from iphasenet.base.tables import read_table

NAMES = ["NA", "None", "null", "nan", "NaN", "007", "1e5", "True", "N", "Zr"]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("names", [NAMES, *([name] * 2 for name in NAMES)], ids=lambda names: names[0])
def test_a_crystal_may_have_any_name(names: list[str], ending: str, tmp_path: Path) -> None:
    """The configuration's schema allows letters and digits."""
    path = tmp_path / f"samples.{ending}"
    table = pandas.DataFrame({"material": names, "sample_id": [f"{name}-tilt0" for name in names], "pearson": 0.5})
    write_table(table.assign(empty=float("nan")), path)
    found = read_table(path, ["material"], finite=["pearson"])
    assert found["material"].to_list() == names and found["pearson"].dtype == float
    assert found["empty"].isna().all() and sorted(set(found["material"])) == sorted(set(names))
