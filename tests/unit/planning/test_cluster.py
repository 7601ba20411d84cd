"""What a cluster offers, and jobs that it could never run."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from iphasenet.base.errors import InputError
from iphasenet.planning.cluster import Nodes, Request, check_requests, parse_sinfo, read_site

SINFO = """\
cpu|1-12:00:00|64|257000+|(null)|40
long|infinite|32|128000|(null)|2
gpu|30:00|16|64000|gpu:a100:4(S:0-1),nvme:1|3
gpu|30:00|16|64000|gpu:2|1
"""
OFFERED = parse_sinfo(SINFO)
JOB = Request("train_model", 1, 30, 16, 64000, 4)


def test_sinfo_is_read() -> None:
    read = parse_sinfo(SINFO)
    assert read == [
        Nodes("cpu", 40, 36 * 60, 64, 257000, 0),
        Nodes("long", 2, math.inf, 32, 128000, 0),
        Nodes("gpu", 3, 30, 16, 64000, 4),
        Nodes("gpu", 1, 30, 16, 64000, 2),
    ]
    assert [nodes.minutes for nodes in parse_sinfo("a|90|1|1|(null)|1\nb|2:00:30|1|1|(null)|1\n")] == [90, 120.5]


def test_what_fits_passes() -> None:
    check_requests([JOB, Request("assemble", 1, 1e6, 32, 128000, 0)], ["long", "gpu"], OFFERED)


@pytest.mark.parametrize(
    ("key", "value"), [("nodes", 4), ("minutes", 31), ("cores", 17), ("memory_mb", 64001), ("gpus", 5)]
)
def test_more_than_any_node_has_is_refused_with_what_there_is(key: str, value: int) -> None:
    with pytest.raises(
        InputError, match=r"train_model: found a request for .*; allowed: gpu \(3 node.*4 GPUs; 30 minutes"
    ):
        check_requests([replace(JOB, **{key: value})], ["gpu"], OFFERED)


def test_partitions_that_the_site_does_not_name_do_not_count() -> None:
    with pytest.raises(InputError, match="train_model"):
        check_requests([JOB], ["cpu"], OFFERED)


def test_a_partition_that_does_not_exist_is_named() -> None:
    with pytest.raises(InputError, match=r"partition 'fast'.*allowed: cpu, gpu, long"):
        check_requests([], ["cpu", "fast"], OFFERED)


def test_the_shipped_settings_are_read() -> None:
    site = read_site(Path(__file__).parents[3] / "profiles" / "slurm" / "site.yaml")
    assert site.partitions == ("cpu", "gpu") and site.gpu_type == ""


@pytest.mark.parametrize(
    ("limit", "second", "third"),
    [("1d", 1440, 1440), ("1d12h", 2000, 2160), ("3-00:00:00", 2000, 3000), ("500", 1000, 1000)],
)
def test_another_attempt_stays_within_the_partitions(tmp_path: Path, limit: str, second: int, third: int) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(f"partitions: {{cpu: {{}}, gpu: {{max_gpu: 1, max_runtime: {limit}}}}}\n")
    site = read_site(path)
    assert [site.raised_minutes(1000, attempt, gpus=1) for attempt in (1, 2, 3)] == [1000, second, third]
    assert site.raised_minutes(1000, 3, gpus=0) == 3000


@pytest.mark.parametrize("text", ["partitions:\n", "- cpu\n", "partitions: {cpu: }\nacount: x\n", "a: [\n"])
def test_wrong_settings_are_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"site\.yaml: (found|this is no) .*; allowed: ") as error:
        read_site(path)
    assert "\n" not in str(error.value)
