"""Object storage, against a server of S3 on the loopback."""

import gc
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import pytest
import requests
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from s3fs import S3FileSystem

from iphasenet.base.errors import InputError
from iphasenet.base.marks import LIST
from iphasenet.base.storage import _OPTIONS, Folder, storage_options
from iphasenet.dataset.reader import read_split
from iphasenet.dataset.upload import find_dataset, upload
from iphasenet.dataset.validation import validate
from tests.unit.dataset.test_reader import make

# s3fs leaves its connections to the garbage collector, and so to whatever runs then.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Unclosed"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

URL = "s3://bucket/sets/demo/dataset.zarr"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    yield "http://{}:{}".format(*running.get_host_and_port())
    running.stop()


@pytest.fixture(autouse=True)
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket, with what the environment says of it."""
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    # One is kept for all that is asked of the same kind, whatever the environment says.
    S3FileSystem.clear_instance_cache()
    requests.post(f"{server}/moto-api/reset", timeout=10)
    boto3.client("s3").create_bucket(Bucket="bucket")
    yield server
    S3FileSystem.clear_instance_cache()
    gc.collect()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("stored"))


def test_a_copy_is_read_as_the_store_is(bucket: str, dataset: Path, tmp_path: Path) -> None:
    record = upload(dataset, URL)
    assert record.files == sum(path.is_file() for path in dataset.rglob("*"))
    record.save(tmp_path / "storage.json")
    assert bucket not in (tmp_path / "storage.json").read_text()
    copy = find_dataset(tmp_path / "storage.json")
    assert copy == URL
    for stream in (False, True):
        pairs = zip(read_split(dataset, "train"), read_split(copy, "train", stream), strict=True)
        for here, there in pairs:
            for name in ("segments", "potential", "metadata"):
                expected, found = getattr(here, name), getattr(there, name)
                assert np.array_equal(expected, np.stack([found[row] for row in range(len(found))]))


def test_a_second_upload_replaces_the_first(dataset: Path, tmp_path: Path) -> None:
    upload(dataset, URL)
    other = make(tmp_path, ("GaN",))
    record = upload(other, URL)
    assert set(Folder(URL).sizes()) == {
        path.relative_to(other).as_posix() for path in other.rglob("*") if path.is_file()
    }
    (tmp_path / "old.json").write_text(json.dumps({**vars(record), "checksums": "0"}))
    with pytest.raises(InputError, match="another data set"):
        find_dataset(tmp_path / "old.json")


def test_what_is_lost_or_changed_in_the_bucket_is_named(dataset: Path) -> None:
    upload(dataset, URL)
    assert validate(dataset) == [] and [p for p in validate(URL) if p.check == "checksums"] == []
    chunk = "GaN/segments/c/0/0/0/0"
    with Folder(URL).open(chunk) as stream:
        damaged = bytearray(stream.read())
    damaged[1000] ^= 1
    client = boto3.client("s3")
    client.put_object(Bucket="bucket", Key=f"sets/demo/dataset.zarr/{chunk}", Body=bytes(damaged))
    assert f"{chunk}: changed" in [problem.text for problem in validate(URL)]
    with pytest.raises(InputError, match=r"GaN/segments: found a damaged chunk"):
        list(read_split(URL, "train"))
    client.delete_object(Bucket="bucket", Key=f"sets/demo/dataset.zarr/{chunk}")
    with pytest.raises(InputError, match=r"^s3://bucket/.*found no GaN/segments/c"):
        list(read_split(URL, "train"))


def test_an_upload_that_was_broken_off_is_not_read_and_can_be_repeated(dataset: Path) -> None:
    upload(dataset, URL)
    Folder(URL).remove([LIST])
    with pytest.raises(InputError, match=f"no readable {LIST}"):
        list(read_split(URL, "train"))
    upload(dataset, URL)
    assert [data.material for data in read_split(URL, "train")] == ["GaN", "MoS2"]


def test_other_peoples_files_are_left_alone(dataset: Path) -> None:
    boto3.client("s3").put_object(Bucket="bucket", Key="sets/demo/dataset.zarr/thesis.tex", Body=b"x")
    with pytest.raises(InputError, match=r"found thesis\.tex.*empty place"):
        upload(dataset, URL)
    assert list(Folder(URL).sizes()) == ["thesis.tex"]


def test_what_was_added_to_a_copy_is_left_alone(dataset: Path) -> None:
    upload(dataset, URL)
    for name in ("notes.txt", "mine/zarr.json"):
        boto3.client("s3").put_object(Bucket="bucket", Key=f"sets/demo/dataset.zarr/{name}", Body=b"x")
        with pytest.raises(InputError, match=f"found {name}, which is no part of the earlier copy"):
            upload(dataset, URL)
        assert name in Folder(URL).sizes() and validate(dataset) == []
        Folder(URL).remove([name])


def test_a_copy_on_the_disk_is_apart_from_the_store(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "link.zarr").symlink_to(dataset)
    for place in (dataset, tmp_path / "link.zarr", dataset / "copy.zarr", dataset.parent):
        with pytest.raises(InputError, match="allowed"):
            upload(dataset, f"file://{place}")
        assert validate(dataset) == []
    upload(dataset, f"file://{tmp_path}/copy.zarr")
    assert validate(tmp_path / "copy.zarr") == []


@pytest.mark.parametrize("root", ["no JSON", "{}", '{"attributes": {"iphasenet": "simulation"}}'])
def test_a_store_that_is_no_copy_of_ours_is_left_alone(dataset: Path, root: str) -> None:
    """Whoever's Zarr store it is: the root's attributes carry this library's mark."""
    files = {"zarr.json": root.encode(), "c/0": b"measured"}
    for name, content in files.items():
        boto3.client("s3").put_object(Bucket="bucket", Key=f"sets/demo/dataset.zarr/{name}", Body=content)
    with pytest.raises(InputError, match=r"found c/0, but no data set that this workflow made"):
        upload(dataset, URL)
    assert set(Folder(URL).sizes()) == set(files)


def test_a_copy_that_was_broken_off_after_its_first_file_is_replaced(dataset: Path) -> None:
    Folder(URL).put({"zarr.json": dataset / "zarr.json"})
    upload(dataset, URL)
    assert validate(URL) == validate(dataset)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("s3://nothing/here.zarr", ["s3://nothing/here.zarr: ", " no "]),
        ("s4://bucket/set.zarr", ["s4://bucket/set.zarr", "Protocol not known"]),
        ("s3://key:secret@bucket/set.zarr", ["credentials in environment variables"]),
    ],
)
def test_a_bad_url_is_one_line(dataset: Path, url: str, parts: list[str]) -> None:
    for act in (lambda: upload(dataset, url), lambda: list(read_split(url, "train"))):
        with pytest.raises(InputError) as caught:
            act()
        assert "\n" not in str(caught.value) and "key:secret" not in str(caught.value)
        for part in parts:
            assert part in str(caught.value)


def test_credentials_that_are_refused_or_missing_are_one_line(
    bucket: str, dataset: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    upload(dataset, URL)
    requests.post(f"{bucket}/moto-api/reset-auth", data="0", timeout=10)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unknown")
    S3FileSystem.clear_instance_cache()
    with pytest.raises(InputError, match=r"^s3://bucket/.*found .*allowed: .*credentials"):
        upload(dataset, URL)
    requests.post(f"{bucket}/moto-api/reset-auth", data="inf", timeout=10)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    S3FileSystem.clear_instance_cache()
    with pytest.raises(InputError, match=r"found Unable to locate credentials"):
        list(read_split(URL, "train"))


def test_a_server_that_is_not_there_or_silent_is_one_line_within_a_minute(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorter = {**storage_options(URL)["config_kwargs"], "read_timeout": 1}
    monkeypatch.setitem(_OPTIONS, "s3", {"config_kwargs": shorter})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        for act in (lambda: upload(dataset, URL), lambda: list(read_split(URL, "train"))):
            started = time.monotonic()
            with pytest.raises(InputError, match=r"^s3://bucket/.*found .*allowed"):
                act()
            # With the real limit, ten times that of this test, a minute.
            assert time.monotonic() - started < 6
