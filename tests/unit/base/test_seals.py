"""Seals: what a store is, that it is whole, and what may take its place."""

from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr

from iphasenet.base.errors import InputError
from iphasenet.base.marks import LIST, is_replaceable_folder
from iphasenet.base.seals import kind_of, open_store, seal, write_xarray
from iphasenet.dataset.reader import read_rows


def made(path: Path) -> Path:
    values = np.random.default_rng(0).uniform(0.1, 0.2, (2, 4, 16, 16)).astype(np.float32)
    write_xarray(path, xarray.Dataset({"segments": (("thickness", "segment", "y", "x"), values)}), "simulation")
    return path


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def test_a_store_says_what_it_is_and_is_opened_as_nothing_else(tmp_path: Path) -> None:
    store = made(tmp_path / "a.zarr")
    assert kind_of(store) == "simulation"
    with xarray.open_zarr(store) as data:
        np.testing.assert_array_equal(data["segments"], read_rows(open_store(store, "simulation"), "segments"))
    with pytest.raises(InputError, match=r"a\.zarr: found a store that .*simulate.* wrote; allowed: a data set"):
        open_store(store, "dataset")


def test_what_is_missing_or_changed_is_noticed_when_it_is_opened_or_read(tmp_path: Path) -> None:
    whole = made(tmp_path / "whole.zarr")
    files = {str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_file()}
    for number, name in enumerate(sorted(files)):
        store = made(tmp_path / f"lost{number}.zarr")
        (store / name).unlink()
        with pytest.raises(InputError, match=r"^[^\n]*lost"):
            open_store(store, "simulation")
    for number, name in enumerate(("zarr.json", next(name for name in files if "/c/" in name))):
        store = made(tmp_path / f"changed{number}.zarr")
        damage(store / name)
        with pytest.raises(InputError, match=r"^[^\n]*(zarr\.json|segments: found a damaged chunk at row 0)[^\n]*$"):
            read_rows(open_store(store, "simulation"), "segments")


@pytest.mark.parametrize("name", ["../../notes.txt", "/etc/passwd", "a/../../b", ".", "a//b", "..\\b"])
def test_a_list_names_files_in_the_store_alone(tmp_path: Path, name: str) -> None:
    store = made(tmp_path / "a.zarr")
    with (store / LIST).open("a") as stream:
        stream.write(f"{'0' * 64}  {name}\n")
    with pytest.raises(InputError, match=f"a.zarr: found the line .* in {LIST}"):
        open_store(store, "simulation")


def test_a_list_that_was_cut_is_refused(tmp_path: Path) -> None:
    store = made(tmp_path / "a.zarr")
    lines = (store / LIST).read_bytes()
    for size in range(len(lines) - 1):
        (store / LIST).write_bytes(lines[:size])
        with pytest.raises(InputError, match=r"a\.zarr: found"):
            open_store(store, "simulation")


def test_only_the_same_kind_without_anything_of_the_users_may_be_replaced(tmp_path: Path) -> None:
    store = made(tmp_path / "a.zarr")
    (store / ".snakemake_timestamp").touch()
    assert is_replaceable_folder(store, "simulation") and not is_replaceable_folder(store, "dataset")
    (store / "notes.txt").touch()
    assert not is_replaceable_folder(store, "simulation")
    foreign = tmp_path / "foreign.zarr"
    zarr.open_group(foreign, mode="w", zarr_format=3)
    assert is_replaceable_folder(tmp_path / "nothing", "simulation")
    for other in (foreign, tmp_path):
        assert kind_of(other) is None and not is_replaceable_folder(other, "simulation")


def test_the_same_arrays_are_the_same_bytes(tmp_path: Path) -> None:
    first, second = made(tmp_path / "a.zarr"), made(tmp_path / "b.zarr")
    seal(second, "simulation")
    assert (first / LIST).read_text() == (second / LIST).read_text()
