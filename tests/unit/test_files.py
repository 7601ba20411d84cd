"""Outputs appear whole or not at all."""

from pathlib import Path

import pytest

from iphasenet.files import atomic_directory, atomic_file


def test_an_interrupted_file_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "result.txt"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_file(target) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_interrupted_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_directory(tmp_path / "store.zarr") as temporary:
        temporary.mkdir()
        (temporary / "chunk").write_text("half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with atomic_directory(tmp_path / "store.zarr") as temporary:
            temporary.mkdir()
            (temporary / name).write_text("")
    assert [path.name for path in (tmp_path / "store.zarr").iterdir()] == ["second"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".partial-1-a.npz").write_text("half")
    (tmp_path / ".partial-1-store").mkdir()
    (tmp_path / ".partial-1-other-a.npy").write_text("of another output")
    with atomic_file(tmp_path / "a.npz") as temporary:
        temporary.write_text("whole")
    with atomic_directory(tmp_path / "store") as temporary:
        temporary.mkdir()
    assert sorted(p.name for p in tmp_path.iterdir()) == [".partial-1-other-a.npy", "a.npz", "store"]
