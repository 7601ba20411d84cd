"""A data set that is copied to object storage, and trained from there."""

import re
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from iphasenet.network.weights import load_weights
from tests.workflow.conftest import snakemake

WEIGHTS = "results/tiny/model/weights.safetensors"
SECRET = "not-to-be-written-anywhere"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SECRET)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    boto3.client("s3").create_bucket(Bucket="bucket")
    yield
    server.stop()


@pytest.mark.usefixtures("bucket")
def test_training_reads_the_copy_in_object_storage(finished_copy: Path) -> None:
    _, before = load_weights(finished_copy / WEIGHTS)
    with (finished_copy / "config" / "tiny.yaml").open("a") as stream:
        stream.write("storage: s3://bucket/sets\n")
    result = snakemake(finished_copy, WEIGHTS, "--printshellcmds")
    assert result.returncode == 0, result.stdout[-3000:]
    assert "--dataset results/tiny/storage.json" in result.stdout
    assert (
        "in s3://bucket/sets/tiny/dataset.zarr" in (finished_copy / "results/tiny/logs/upload_dataset.log").read_text()
    )
    _, after = load_weights(finished_copy / WEIGHTS)
    assert after["data"] == before["data"]
    written = [path for path in (finished_copy / "results").rglob("*") if path.is_file()]
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]
    # A copy that is gone is noticed, though the disk still has the data set.
    client = boto3.client("s3")
    for entry in client.list_objects_v2(Bucket="bucket")["Contents"]:
        client.delete_object(Bucket="bucket", Key=entry["Key"])
    result = snakemake(finished_copy, WEIGHTS, "--forcerun", "train_model")
    assert result.returncode == 1
    told = r"^training: s3://bucket/sets/tiny/dataset\.zarr: found no readable checksums"
    assert re.search(told, result.stdout, re.MULTILINE)


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_does_not_exist_is_one_line(finished_copy: Path) -> None:
    with (finished_copy / "config" / "tiny.yaml").open("a") as stream:
        stream.write("storage: s3://nothing/sets\n")
    result = snakemake(finished_copy, "dataset")
    assert result.returncode == 1 and "Traceback" not in result.stdout
    assert "upload of the data set: s3://nothing/sets/tiny/dataset.zarr: there is no such bucket" in result.stdout
    assert not (finished_copy / "results/tiny/storage.json").exists()
