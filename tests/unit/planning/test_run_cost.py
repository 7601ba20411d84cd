"""Cost of a run from Snakemake's benchmark tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iphasenet.base.errors import InputError
from iphasenet.planning.run_cost import run_cost
from iphasenet.planning.run_jobs import run_jobs
from tests.unit.planning.test_configuration import SHIPPED

PLAIN = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time"
EXTENDED = f"{PLAIN}\tjobid\trule_name\twildcards\tparams\tthreads\tcpu_usage\tresources\tinput_size_mb"


def plain(seconds: float, memory: float | str, processor: float | str) -> str:
    return f"{PLAIN}\n{seconds}\t0:00:01\t{memory}\t1\t1\t1\t1\t1\t50\t{processor}\n"


def extended(seconds: float, threads: int, gpus: int) -> str:
    row = plain(seconds, 1000, seconds).splitlines()[1]
    resources = "{'tmpdir': '/tmp', '_cores': 1" + (f", 'gpu': {gpus}" if gpus else "") + "}"
    return f"{EXTENDED}\n{row}\t1\trule\t{{}}\t{{'a': (1, 'b')}}\t{threads}\t90\t{resources}\t{{'x': 1.0}}\n"


def write(folder: Path, tables: dict[str, str]) -> Path:
    for name, text in tables.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_jobs_of_a_rule_are_added_and_the_dearest_rule_is_first(tmp_path: Path) -> None:
    tables = {
        "assemble.tsv": plain(360, 200, 36),
        "simulate/GaN-batch0.tsv": plain(3600, 953.674316, 1800),
        "simulate/MoS2-batch0.tsv": plain(7200, 500, 3600),
    }
    table = run_cost(write(tmp_path, tables)).set_index("rule")
    assert list(table.index) == ["simulate", "assemble", "all"]
    assert list(table) == ["jobs", "wall time [h]", "longest job [h]", "processor time [core h]", "peak memory [GB]"]
    assert table.loc["simulate"].to_list() == pytest.approx([2, 3, 2, 1.5, 1])
    assert table.loc["all"].to_list() == pytest.approx([3, 3.1, 2, 1.51, 1])


def test_extended_tables_tell_what_was_reserved(tmp_path: Path) -> None:
    table = run_cost(write(tmp_path, {"train.tsv": extended(1800, 16, 2), "draw.tsv": extended(3600, 1, 0)}))
    found = table.set_index("rule")
    assert found["reserved [core h]"].to_dict() == pytest.approx({"train": 8, "draw": 1, "all": 9})
    assert found["reserved [GPU h]"].to_dict() == pytest.approx({"train": 1, "draw": 0, "all": 1})


def test_what_some_jobs_do_not_tell_is_not_added_up(tmp_path: Path) -> None:
    table = run_cost(write(tmp_path, {"train.tsv": extended(1800, 16, 0), "draw.tsv": plain(0.2, "NA", "NA")}))
    found = table.set_index("rule")
    assert "reserved [GPU h]" not in found
    assert found.loc["train", "reserved [core h]"] == 8 and np.isnan(found.loc["all", "reserved [core h]"])
    assert np.isnan(found.loc["draw", "peak memory [GB]"]) and found.loc["all", "processor time [core h]"] == 0.5


def test_jobs_that_the_run_no_longer_has_do_not_count(tmp_path: Path) -> None:
    """Of a grid that was larger, of a crystal that is no longer selected, of a training that another run did."""
    jobs = ("simulate_images/GaN-batch0", "simulate_images/GaN-batch1", "simulate_images/GaN-batch2")
    names = [*jobs, "simulate_images/MoS2-batch0", "compute_potential/GaN", "compute_potential/MoS2", "train_model"]
    write(tmp_path, {f"{name}.tsv": plain(3600, 100, 3600) for name in names})
    grid = {"thickness_nm": [2], "tilts": 4, "tilt_std_deg": 0.3, "rotations": 1}
    config = {"seed": 1, "grid": {**grid, "validation_share": 0.1, "test_share": 0.1}, "jobs": {"tilts_per_job": 2}}
    config |= {"evaluation": {"window_factors": []}, "model": {"uncertainty": False}}
    table = run_cost(tmp_path, run_jobs(config, ["GaN"])).set_index("rule")
    assert table["jobs"].to_dict() == {"simulate_images": 2, "compute_potential": 1, "train_model": 1, "all": 4}
    table = run_cost(tmp_path, run_jobs({**config, "trained": "other"}, ["GaN"])).set_index("rule")
    assert "train_model" not in table.index
    table = run_cost(tmp_path, run_jobs({**config, "dataset": "other"}, ["GaN"])).set_index("rule")
    assert list(table.index) == ["train_model", "all"]


def test_jobs_that_a_run_need_not_have_count_while_it_has_them(tmp_path: Path) -> None:
    asked = ["compare_runs", "upload_dataset", "draw_calibration", "draw_windows", "compare_windows/GaN"]
    names = [*asked, "reconstruct_image/one", "reconstruct_image/two", "a_rule_of_an_earlier_version", "write_report"]
    write(tmp_path, {f"{name}.tsv": plain(3600, 100, 3600) for name in names})
    config = {**SHIPPED, "model": {"uncertainty": False}, "evaluation": {"window_factors": []}}

    def counted(images: tuple[str, ...] = (), **changes: Any) -> set[str]:
        return set(run_cost(tmp_path, run_jobs({**config, **changes}, ["GaN"], images))["rule"]) - {"all"}

    assert counted() == {"write_report"}
    assert counted(("one",)) == {"write_report", "reconstruct_image"}
    for changes, rules in (
        ({"compare": ["other"]}, {"compare_runs"}),
        ({"storage": "s3://a"}, {"upload_dataset"}),
        ({"model": {"uncertainty": True}}, {"draw_calibration"}),
        ({"evaluation": {"window_factors": [2]}}, {"draw_windows", "compare_windows"}),
    ):
        assert counted(**changes) == {"write_report", *rules}


def test_no_tables_are_no_rows_and_another_file_is_one_line(tmp_path: Path) -> None:
    assert run_cost(tmp_path / "none").empty
    with pytest.raises(InputError, match=r"notes\.tsv.*benchmark"):
        run_cost(write(tmp_path, {"notes.tsv": "a\tb\n1\t2\n"}))
