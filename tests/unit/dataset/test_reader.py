"""The store: layout, determinism, splits, xarray."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr

from iphasenet.base.checksums import damaged_files, write_checksums
from iphasenet.base.errors import InputError
from iphasenet.base.marks import LIST
from iphasenet.dataset.reader import read_split
from iphasenet.dataset.validation import validate
from iphasenet.dataset.writer import assemble, write_material
from iphasenet.microscope.acquisition import Acquisition, FixedNoise
from iphasenet.simulation.grid import SPLITS, Grid, Sample, samples
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Rendered

GRID = Grid((20, 40), tilts=5, tilt_std_deg=0.3, rotations=2, validation_share=0.2, test_share=0.2)
NOISE = FixedNoise((1e4, 1e6), Acquisition(readout_electrons=0.5))
PIXELS, SAMPLING = 64, 0.2


def rendered(planned: list[Sample], noise: Sequence[float] = ()) -> Iterator[Rendered]:
    """Arrays that tell which sample they belong to; with the thermal noise of the samples, if given."""
    ramp = 1 + 0.1 * np.add.outer(np.zeros(PIXELS), np.arange(PIXELS))
    for index, sample in enumerate(planned):
        value = 0.01 + 0.001 * index
        metadata = {
            "sample_id": sample.sample_id,
            "thickness_nm": sample.thickness_nm,
            "slab_thickness": 10 * sample.thickness_nm + 0.3,
            "alpha": 0.1,
            "beta": 0.2,
            "gamma": sample.gamma,
            "tilt": sample.orientation.index,
            "split": SPLITS.index(sample.orientation.split),
            "offset_x": 0.0,
            "offset_y": 0.0,
            **({"thermal_noise": noise[index]} if noise else {}),
        }
        segments = np.full((4, PIXELS, PIXELS), value, np.float32)
        yield Rendered(segments, (1000 * value * ramp).astype(np.float32), metadata)


def make(
    folder: Path,
    materials: tuple[str, ...] = ("GaN", "MoS2"),
    more: Mapping[str, Any] | None = None,
    noise: Sequence[float] = (),
) -> Path:
    for name in materials:
        planned = samples(7, name, GRID)
        write_material(
            folder / f"{name}.zarr",
            rendered(planned, noise),
            planned,
            Image(PIXELS, SAMPLING),
            NOISE,
            7,
            name,
            {"zone_axis": [0, 0, 1], **(more or {})},
        )
    assemble(folder / "dataset.zarr", {n: folder / f"{n}.zarr" for n in materials}, {"title": "test", "seed": 7})
    return folder / "dataset.zarr"


def checksums(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_xarray_opens_it_with_dimensions_coordinates_and_units(tmp_path: Path) -> None:
    tree = xarray.open_datatree(make(tmp_path), engine="zarr")
    data = tree["GaN"]
    assert data["segments"].dims == ("sample", "segment", "y", "x")
    assert data["potential"].dims == ("sample", "y", "x")
    assert data["noisy_segments"].dims == ("evaluation_sample", "dose", "segment", "y", "x")
    assert data["potential"].attrs["units"] == "V Å"
    assert data["thickness_nm"].attrs["units"] == "nm"
    assert {"sample_id", "alpha", "beta", "gamma", "split", "tilt"} <= set(data.coords)
    np.testing.assert_allclose(np.diff(data["x"]), SAMPLING)
    assert list(data["segment"].values) == ["top-left", "top-right", "bottom-left", "bottom-right"]
    assert tree.attrs["seed"] == 7
    tree.close()


def test_only_warm_samples_have_thermal_noise(tmp_path: Path) -> None:
    """A store at rest is as before; readers take both."""
    still = make(tmp_path)
    assert "thermal_noise" not in zarr.open_group(still, mode="r")["GaN"]
    (tmp_path / "warm").mkdir()
    noise = [0.01 * number for number in range(20)]
    warm = make(tmp_path / "warm", more={"temperature_k": 293.0}, noise=noise)
    with xarray.open_datatree(warm, engine="zarr") as tree:
        assert tree["GaN"]["thermal_noise"].values.tolist() == noise
        assert tree["GaN"]["thermal_noise"].attrs["units"] == "1" and "thermal_noise" in tree["GaN"].coords
    for one, other in zip(read_split(still, "test"), read_split(warm, "test"), strict=True):
        np.testing.assert_array_equal(one.segments, other.segments)
    (tmp_path / "unknown").mkdir()
    unknown = make(tmp_path / "unknown", more={"temperature_k": 293.0})
    assert np.isnan(zarr.open_group(unknown, mode="r")["GaN/thermal_noise"][:]).all() and validate(unknown) == []


def test_zarr_opens_one_sample_without_its_neighbours(tmp_path: Path) -> None:
    array = zarr.open_group(make(tmp_path), mode="r")["GaN/segments"]
    assert array.chunks == (1, 4, PIXELS, PIXELS)
    assert array.shards[0] >= 20


def test_no_tilt_is_in_two_splits_and_no_sample_is_lost(tmp_path: Path) -> None:
    store = make(tmp_path)
    found: dict[tuple[str, int], set[str]] = {}
    count = 0
    for split in SPLITS:
        for data in read_split(store, split):
            count += len(data.potential)
            for tilt in data.coordinates["tilt"]:
                found.setdefault((data.material, int(tilt)), set()).add(split)
    assert count == 2 * 5 * 2 * 2
    assert all(len(splits) == 1 for splits in found.values())
    assert len(found) == 10


def test_samples_keep_their_arrays_and_noise(tmp_path: Path) -> None:
    """Each noisy image belongs to its sample: its mean is the sample's value within the counting error."""
    for data in read_split(make(tmp_path), "test"):
        np.testing.assert_allclose(data.potential[:, 0, 0], 1000 * data.segments[:, 0, 0, 0], rtol=1e-6)
        electrons = data.doses * SAMPLING**2
        value = data.segments[:, 0, 0, 0][:, None]
        sigma = np.sqrt((value * electrons + 0.25) / electrons**2 / (4 * PIXELS**2))
        assert (np.abs(data.noisy_segments.mean(axis=(2, 3, 4)) - value) < 5 * sigma).all()
        assert data.noisy_segments.shape[:2] == (len(data.potential), 2)
    assert next(read_split(tmp_path / "dataset.zarr", "train")).noisy_segments.shape[0] == 0


def test_bytes_do_not_depend_on_the_run_or_on_other_materials(tmp_path: Path) -> None:
    both = checksums(make(tmp_path / "both"))
    again = checksums(make(tmp_path / "again"))
    alone = checksums(make(tmp_path / "alone", ("GaN",)))
    assert both == again
    group = {name for name in both if name.startswith("GaN/")}
    assert {name: both[name] for name in group} == {name: alone[name] for name in group}


def test_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.zarr"):
        list(read_split(tmp_path / "nothing.zarr", "train"))
    store = make(tmp_path)
    zarr.open_group(store, mode="r+")["MoS2/potential"][0, 5, 5] = np.nan
    planned = samples(7, "MoS2", GRID)
    with pytest.raises(InputError, match=r"MoS2.*NaN"):
        list(read_split(store, planned[0].orientation.split))


def test_streamed_rows_are_those_in_memory(tmp_path: Path) -> None:
    store = make(tmp_path)
    for data, streamed in zip(read_split(store, "test"), read_split(store, "test", stream=True), strict=True):
        for name in ("segments", "potential", "noisy_segments"):
            rows, lazy = getattr(data, name), getattr(streamed, name)
            assert lazy.shape == rows.shape and len(lazy) == len(rows)
            for row in range(len(rows)):
                np.testing.assert_array_equal(lazy[row], rows[row])
            window = (len(rows) - 1, ..., slice(3, 9))
            np.testing.assert_array_equal(lazy[window], rows[window])


def test_a_streamed_nan_is_found_before_training(tmp_path: Path) -> None:
    store = make(tmp_path)
    array = zarr.open_group(store, mode="r+")["GaN"]["potential"]
    values = array[:]
    values[2, 5, 5] = np.nan
    array[:] = values
    for stream in (False, True):
        with pytest.raises(InputError, match=r"GaN/potential.*NaN.*GaN-tilt"):
            for split in SPLITS:
                list(read_split(store, split, stream))


def test_a_damaged_material_is_not_assembled(tmp_path: Path) -> None:
    """A fresh seal would hide what was lost."""
    make(tmp_path, ("GaN", "MoS2"))
    sources = {name: tmp_path / f"{name}.zarr" for name in ("GaN", "MoS2")}
    shard = next(path for path in (sources["MoS2"] / "segments" / "c").rglob("*") if path.is_file())
    for path in (shard, sources["MoS2"] / "zarr.json", sources["MoS2"] / "alpha" / "zarr.json"):
        content = path.read_bytes()
        changed = content[:-9] + bytes([content[-9] ^ 4]) + content[-8:]
        for damaged in (None, b"", content[: len(content) // 2], changed):
            path.unlink()
            if damaged is not None:
                path.write_bytes(damaged)
            with pytest.raises(InputError, match=r"^[^\n]*MoS2\.zarr: found [^\n]*$"):
                assemble(tmp_path / "new.zarr", sources, {})
            path.write_bytes(content)
    assert not (tmp_path / "new.zarr").exists()
    with pytest.raises(InputError, match=r"GaN\.zarr: found the material 'GaN'; allowed: 'Si'"):
        assemble(tmp_path / "new.zarr", {"Si": sources["GaN"]}, {})
    with pytest.raises(InputError, match=r"found a data set .*; allowed: one material's samples"):
        assemble(tmp_path / "new.zarr", {"GaN": tmp_path / "dataset.zarr"}, {})


def test_what_happens_to_a_file_while_it_is_copied_gets_no_fresh_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, ("GaN",))
    copy = shutil.copytree

    def copy_badly(source: Path, target: Path, *options: Any, **more: Any) -> Path:
        copy(source, target, *options, **more)
        for path in Path(target).glob("potential/c/0/0/0"):
            path.write_bytes(b"")
        return target

    monkeypatch.setattr(shutil, "copytree", copy_badly)
    assemble(tmp_path / "new.zarr", {"GaN": tmp_path / "GaN.zarr"}, {})
    assert damaged_files(tmp_path / "new.zarr") == ["GaN/potential/c/0/0/0: changed"]


def test_a_data_set_that_was_assembled_before_there_were_marks_is_read(tmp_path: Path) -> None:
    store = make(tmp_path, ("GaN",))
    old = Path(shutil.copytree(store, tmp_path / "old.zarr"))
    for path in old.rglob("zarr.json"):
        described = json.loads(path.read_text())
        described["attributes"].pop("iphasenet", None)
        for member in described.get("consolidated_metadata", {}).get("metadata", {}).values():
            member["attributes"].pop("iphasenet", None)
        path.write_text(json.dumps(described))
    (old / LIST).unlink()
    write_checksums(old, {})
    assert "iphasenet" not in zarr.open_group(old, mode="r").attrs and validate(old) == []
    for new, read in zip(read_split(store, "test"), read_split(old, "test"), strict=True):
        np.testing.assert_array_equal(new.segments, read.segments)
