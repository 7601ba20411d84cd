"""What `validate` finds, and what training then refuses."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr

from iphasenet.base.checksums import write_checksums
from iphasenet.base.errors import InputError
from iphasenet.base.marks import LIST, is_marked_store
from iphasenet.dataset.reader import read_split
from iphasenet.dataset.validation import _planned_splits, _splits, validate
from iphasenet.simulation.grid import SPLITS
from tests.unit.dataset.test_reader import make


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("validate"))


@pytest.fixture
def store(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "dataset.zarr"))


def read_all(store: Path) -> None:
    for split in SPLITS:
        list(read_split(store, split))


def problems(store: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for problem in validate(store):
        found.setdefault(problem.check, []).append(problem.text)
    return found


def shard(store: Path, array: str) -> Path:
    return next(path for path in sorted((store / array / "c").rglob("*")) if path.is_file())


def test_a_sound_store_has_no_problem(store: Path) -> None:
    seen = []
    assert validate(store, lambda done, every: seen.append((done, every))) == []
    assert seen[-1] == (40, 40) and len(seen) == 40


def test_the_list_is_one_that_sha256sum_reads(store: Path) -> None:
    result = subprocess.run(["sha256sum", "--check", "--quiet", LIST], cwd=store, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")
    listed = {line.split("  ")[1] for line in (store / LIST).read_text().splitlines()}
    assert listed == {str(p.relative_to(store)) for p in store.rglob("*") if p.is_file()} - {LIST}


@pytest.mark.parametrize("array", ["GaN/segments", "MoS2/potential", "GaN/noisy_segments", "GaN/sample_id"])
def test_a_damaged_chunk_is_named_and_refused(store: Path, array: str) -> None:
    path = shard(store, array)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 3] ^= 4
    path.write_bytes(damaged)
    found = problems(store)
    assert any(str(path.relative_to(store)) in text for text in found["checksums"])
    assert any(array in text and "damaged" in text for text in found.get("finite", []) + found.get("splits", []))
    with pytest.raises(InputError, match=rf"{array}: found a damaged chunk at row \d+"):
        read_all(store)


def test_a_truncated_store_is_named_and_refused(store: Path) -> None:
    """Zarr's readers take a missing shard for zeros."""
    path = shard(store, "MoS2/segments")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert any("MoS2/segments" in text for text in problems(store)["checksums"])
    with pytest.raises(InputError, match="MoS2/segments"):
        read_all(store)
    path.unlink()
    assert any("missing" in text and "MoS2/segments" in text for text in problems(store)["checksums"])
    with pytest.raises(InputError, match=r"found no MoS2/segments.*1 missing"):
        read_all(store)


def test_a_store_without_its_list_is_refused(store: Path) -> None:
    (store / LIST).unlink()
    for check in (validate, read_all):
        with pytest.raises(InputError, match=LIST):
            check(store)


SHARD = "MoS2/potential/c/0/0/0"


def lose(name: str) -> Callable[[Path], object]:
    return lambda store: shutil.rmtree(store / name) if (store / name).is_dir() else (store / name).unlink()


def cut(name: str) -> Callable[[Path], object]:
    return lambda store: (store / name).write_bytes((store / name).read_bytes()[: (store / name).stat().st_size // 2])


def flip(name: str) -> Callable[[Path], object]:
    def change(store: Path) -> None:
        content = bytearray((store / name).read_bytes())
        content[len(content) // 2] ^= 1
        (store / name).write_bytes(content)

    return change


@pytest.mark.parametrize(
    "damage",
    [
        *(
            act(name)
            for act in (lose, cut, flip)
            for name in (SHARD, "GaN/sample_id/c/0", "GaN/zarr.json", "zarr.json")
        ),
        *(act(LIST) for act in (lose, cut, flip)),
        lose("MoS2"),
        lambda store: (store / "zarr.json").write_text("no JSON"),
        lambda store: (store / "zarr.json").write_text("{}"),
        lambda store: (store / "GaN" / "notes.txt").write_text("mine"),
    ],
)
def test_every_damage_is_noticed_in_a_line_each(store: Path, damage: Callable[[Path], object]) -> None:
    damage(store)
    try:
        found = [problem.text for problem in validate(store)]
    except InputError as error:
        found = [str(error)]
    assert found and not any("\n" in text for text in found)


def test_a_store_of_another_kind_is_no_data_set(original: Path) -> None:
    texts = [problem.text for problem in validate(original.parent / "GaN.zarr")]
    assert "one material's samples, as this workflow wrote them, not a data set made by this workflow" in texts


def changed(store: Path, change: Callable[[zarr.Group], None]) -> dict[str, list[str]]:
    """Problems of a store that was changed and got new checksums."""
    change(zarr.open_group(store, mode="r+"))
    write_checksums(store, {})
    return problems(store)


def set_values(array: str, index: tuple[int, ...], value: float) -> Callable[[zarr.Group], None]:
    def change(root: zarr.Group) -> None:
        root[array][index] = value

    return change


@pytest.mark.parametrize(
    ("array", "index", "value", "check", "text"),
    [
        ("GaN/segments", (3, 1, 5, 5), np.nan, "finite", "GaN-tilt0000-rotation01-40nm"),
        ("GaN/potential", (3, 5, 5), np.inf, "finite", "GaN-tilt0000-rotation01-40nm"),
        ("MoS2/noisy_segments", (0, 1, 1, 5, 5), np.nan, "finite", "MoS2/noisy_segments"),
        ("GaN/segments", (3, 1, 5, 5), 0.99, "energy", "sums up to 1"),
        ("GaN/segments", (3, 1, 5, 5), -0.1, "energy", "from -0.1"),
        ("GaN/potential", (3,), -1.0, "energy", "mean -1"),
    ],
)
def test_numbers_that_cannot_be_are_named(
    store: Path, array: str, index: tuple[int, ...], value: float, check: str, text: str
) -> None:
    found = changed(store, set_values(array, index, value))
    assert set(found) == {check}
    assert array.split("/")[0] in found[check][0] and text in found[check][0]
    if check == "finite":
        with pytest.raises(InputError, match="NaN or infinity"):
            read_all(store)


def test_thermal_noise_belongs_to_warm_samples(tmp_path: Path) -> None:
    warm = make(tmp_path, more={"temperature_k": 293.0}, noise=20 * [0.01])
    assert validate(warm) == []
    found = changed(warm, set_values("GaN/thermal_noise", (3,), -0.1))
    assert found == {"finite": ["GaN/thermal_noise: -0.1, not a share of 0 or more"]}
    set_values("GaN/thermal_noise", (3,), 0.1)(zarr.open_group(warm, mode="r+"))
    metadata = warm / "zarr.json"
    described = json.loads(metadata.read_text())
    members = described["consolidated_metadata"]["metadata"]
    members["MoS2"]["attributes"]["temperature_k"] = -3
    del members["GaN/thermal_noise"]
    metadata.write_text(json.dumps(described))
    write_checksums(warm, {})
    found = problems(warm)
    assert found["layout"] == ["GaN/thermal_noise: missing"]
    assert found["finite"] == ["MoS2/temperature_k: -3, not a number above 0"]


def test_a_tilt_in_two_splits_is_a_leak(store: Path) -> None:
    def leak(root: zarr.Group) -> None:
        split = root["GaN/split"][:]
        split[0] = (split[0] + 1) % 3
        root["GaN/split"][:] = split

    found = changed(store, leak)["splits"]
    assert any(text.startswith("GaN: tilt 0 is in") for text in found)


def test_a_sample_twice_and_an_empty_split_are_named(store: Path) -> None:
    def change(root: zarr.Group) -> None:
        names = root["GaN/sample_id"][:]
        names[1] = names[0]
        root["GaN/sample_id"][:] = names
        root["GaN/split"][:] = np.zeros(20, np.int8)

    found = changed(store, change)["splits"]
    assert f"GaN: no sample in {SPLITS[1]}" in found and f"GaN: no sample in {SPLITS[2]}" in found
    assert any("twice" in text for text in found)


def test_a_wrong_layout_is_named(store: Path) -> None:
    metadata = store / "zarr.json"
    described = json.loads(metadata.read_text())
    described["attributes"]["format_version"] = "0"
    members = described["consolidated_metadata"]["metadata"]
    members["GaN/potential"]["attributes"]["units"] = "V"
    del members["MoS2/gamma"]
    metadata.write_text(json.dumps(described))
    write_checksums(store, {})
    found = problems(store)["layout"]
    assert any("GaN/potential" in text and "'V'" in text for text in found)
    assert "MoS2/gamma: missing" in found
    assert any("format_version" in text for text in found)


def test_an_unknown_format_is_refused_by_all_readers(store: Path) -> None:
    metadata = store / "zarr.json"
    described = json.loads(metadata.read_text())
    described["attributes"]["format_version"] = "99"
    metadata.write_text(json.dumps(described))
    write_checksums(store, {})
    with pytest.raises(InputError, match="found format_version '99'; allowed: '"):
        next(iter(read_split(store, "train")))


@pytest.mark.parametrize("name", [".DS_Store", "GaN/.DS_Store", "Thumbs.db", "GaN/segments/desktop.ini"])
def test_what_a_file_browser_leaves_is_no_damage(store: Path, name: str) -> None:
    (store / name).write_bytes(b"where the icons are")
    assert validate(store) == []
    read_all(store)
    assert is_marked_store(store, "dataset")


def test_splits_that_were_not_planned_need_no_samples(original: Path, tmp_path: Path) -> None:
    """A run that tests another run's network simulates the test split alone."""
    root = zarr.open_group(original, mode="r")
    split = root["GaN/split"][:]
    rows = np.flatnonzero(split == SPLITS.index("test"))
    assert 0 < len(rows) < len(split)
    group = zarr.open_group(tmp_path / "test.zarr", mode="w")
    for name in ("tilt", "sample_id", "split"):
        group[name] = root[f"GaN/{name}"][:][rows]
    group["evaluation_sample"] = np.arange(len(rows))
    group.attrs["material"] = "GaN"
    told = {"configuration": {"grid": {"splits": ["test"]}}}
    for attributes, count in ((told, 0), ({}, 2)):
        group.attrs.update(attributes)
        if not attributes:
            group.attrs.pop("configuration", None)
        assert len(list(_splits(group, _planned_splits(group)))) == count
