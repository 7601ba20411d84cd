"""Simulations are kept once, and a cache that fails never fails a fit."""

import os
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from iphasenet.base.errors import InputError
from iphasenet.fitting import simulation_cache
from iphasenet.fitting.simulation_cache import Arrays, SimulationCache, crystal_key, default_folder
from iphasenet.microscope.optics import Microscope

NAMES = ("images", "depths")


class Counted:
    """A computation that counts how often it is made."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> Arrays:
        self.count += 1
        return {"images": np.arange(4) + 1j, "depths": np.array([1.0])}


def test_what_was_computed_is_read(tmp_path: Path) -> None:
    cache, compute = SimulationCache(tmp_path / "new"), Counted()
    first, second = (cache.get({"tilt": (0.1, 0.2)}, NAMES, compute) for _ in range(2))
    assert compute.count == 1
    np.testing.assert_array_equal(first["images"], second["images"])
    cache.get({"tilt": (0.1, 0.3)}, NAMES, compute)
    assert compute.count == 2


def saved(save: Callable[..., None], *arrays: object, **named: object) -> bytes:
    """Content of a file of arrays."""
    file = BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


FOREIGN = [saved(np.save, np.arange(3)), saved(np.savez, images=np.arange(3)), saved(np.savez, depths=object())]


@pytest.mark.parametrize("content", [b"", b"PK broken", bytes(1000), *FOREIGN])
def test_a_broken_file_is_computed_again_and_replaced(tmp_path: Path, content: bytes) -> None:
    cache, compute = SimulationCache(tmp_path), Counted()
    cache.get({}, NAMES, compute)
    (entry,) = tmp_path.iterdir()
    entry.write_bytes(content)
    for _ in range(2):
        assert cache.get({}, NAMES, compute)["depths"] == [1.0]
    assert compute.count == 2


def test_no_damaged_byte_is_believed(tmp_path: Path) -> None:
    cache, compute = SimulationCache(tmp_path), Counted()
    whole = cache.get({}, NAMES, compute)
    (entry,) = tmp_path.iterdir()
    content = entry.read_bytes()
    for place in range(0, len(content), 7):
        for change in (0x01, 0x80):
            entry.write_bytes(content[:place] + bytes([content[place] ^ change]) + content[place + 1 :])
            found = cache.get({}, NAMES, compute)
            assert all(np.array_equal(found[name], whole[name]) for name in NAMES)


def test_a_folder_that_cannot_be_made_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    compute = Counted()
    assert SimulationCache(tmp_path / "file" / "cache").get({}, NAMES, compute)["depths"] == [1.0]
    assert compute.count == 1 and (tmp_path / "file").read_text() == "in the way"


def test_a_file_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "image.emd").touch()
    with pytest.raises(InputError, match=r"image\.emd: found a file; allowed: a folder"):
        SimulationCache(tmp_path / "image.emd")


def test_the_least_used_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, compute = SimulationCache(tmp_path), Counted()
    for number in range(3):
        cache.get({"number": number}, NAMES, compute)
    for age, entry in enumerate(sorted(tmp_path.iterdir())):
        os.utime(entry, (1000 - age, 1000 - age))
    oldest = sorted(tmp_path.iterdir())[-1]
    monkeypatch.setattr(simulation_cache, "LARGEST", 2.5 * oldest.stat().st_size)
    cache.trim()
    assert len(list(tmp_path.iterdir())) == 2 and not oldest.exists()


def test_crystals_and_microscopes_have_keys_of_their_own() -> None:
    cell, microscope = Atoms("Ga", cell=[3, 3, 3]), Microscope(200, 20, 10, 50)
    warm, mixed = cell.copy(), cell.copy()  # type: ignore[no-untyped-call]
    warm.arrays["displacements"] = np.full((1, 3, 3), 0.005)
    mixed.arrays["occupancies"] = np.array([0.5])
    keys = [crystal_key(one, microscope) for one in (cell, warm, mixed)]
    keys += [crystal_key(cell, replace(microscope, **changed)) for changed in ({"detector_rotation_deg": 1.0},
             {"aberrations": {"Cs": 1e4}})]  # fmt: skip
    assert all(keys[a] != keys[b] for a in range(len(keys)) for b in range(a))
    assert crystal_key(cell.copy(), microscope) == keys[0]  # type: ignore[no-untyped-call]


def test_the_folder_is_that_of_the_users_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "iphasenet" / "fit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path.home() / ".cache" / "iphasenet" / "fit"


def test_a_folder_that_cannot_be_written_is_warned_of(tmp_path: Path) -> None:
    assert SimulationCache(tmp_path / "new" / "cache").warning == ""
    (tmp_path / "file").touch()
    cache, compute = SimulationCache(tmp_path / "file" / "cache"), Counted()
    assert (
        cache.warning == f"{tmp_path / 'file' / 'cache'} cannot be written: simulations are not kept for other images"
    )
    for _ in range(2):
        cache.get({}, NAMES, compute)
    assert compute.count == 2


def test_without_a_home_the_variables_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(InputError, match="home: found no folder of the user; allowed: set HOME or XDG_CACHE_HOME"):
        default_folder()
