"""Outputs appear whole or not at all, and replace nothing that is not theirs."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from iphasenet.base.checksums import write_checksums
from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_directory, atomic_file
from iphasenet.base.marks import SIMULATION


def store(path: Path, kind: str = SIMULATION, *others: str) -> Path:
    """A folder that looks like a store of a kind."""
    (path / "segments" / "c" / "0").mkdir(parents=True)
    (path / "zarr.json").write_text(json.dumps({"attributes": {"iphasenet": kind}}))
    (path / "segments" / "c" / "0" / "1").write_text("chunk")
    write_checksums(path, {})
    for name in others:
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text("mine")
    return path


def killed(code: str, folder: Path) -> int:
    """Run code in a process that kills itself within it; its number."""
    program = f"import os, signal; from pathlib import Path; from iphasenet.base.files import *; {code}"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=folder)
    assert process.wait(60) == -signal.SIGKILL
    return process.pid


KILL = "os.kill(os.getpid(), signal.SIGKILL)"


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


@pytest.mark.parametrize("make", [Path.mkdir, Path.resolve, store])
def test_a_folder_is_made_in_place_of_none_an_empty_one_or_its_like(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "out")
    with atomic_directory(tmp_path / "out", SIMULATION) as temporary:
        temporary.mkdir()
        (temporary / "new").write_text("")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["out", "out/new"]


def test_no_other_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    store(tmp_path / "set", "dataset")
    store(tmp_path / "noted", SIMULATION, "notes.txt")
    # Names that Zarr has too.
    store(tmp_path / "numbered", SIMULATION, "2024")
    store(tmp_path / "extended", SIMULATION, "mine/zarr.json")
    (store(tmp_path / "changed") / "zarr.json").write_text(
        json.dumps({"attributes": {"iphasenet": SIMULATION, "a": 1}})
    )
    before = sorted(tmp_path.rglob("*"))
    for name in ("notes", "file", "set", "noted", "numbered", "extended", "changed"):
        with pytest.raises(InputError, match=name), atomic_directory(tmp_path / name, SIMULATION) as temporary:
            temporary.mkdir()
    with pytest.raises(InputError, match="notes"), atomic_directory(tmp_path / "notes"):
        pass
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_is_gone_though_another_thread_was_still_writing(tmp_path: Path) -> None:
    def write(temporary: Path) -> None:
        for number in range(6):
            with suppress(FileNotFoundError):
                (temporary / "group").mkdir(parents=True, exist_ok=True)
                (temporary / "group" / f"{number}").touch()
            time.sleep(0.01)

    with pytest.raises(RuntimeError), atomic_directory(tmp_path / "store") as temporary:
        temporary.mkdir()
        thread = threading.Thread(target=write, args=(temporary,))
        thread.start()
        raise RuntimeError
    thread.join()
    assert not list(tmp_path.iterdir())


def test_a_file_replaces_no_folder_and_no_device(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(InputError, match="allowed"), atomic_file(path) as temporary:
            temporary.write_text("")
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "a.txt").symlink_to("disk/b.txt")
    with atomic_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a.txt").is_symlink()
    assert (tmp_path / "disk" / "b.txt").read_text() == "new"


def test_what_a_dead_process_left_of_the_same_output_alone_is_removed(tmp_path: Path) -> None:
    for name in ("01.hspy", "scan-01.hspy"):
        killed(f"m = atomic_file('{name}'); m.__enter__().write_text('half'); {KILL}", tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    with atomic_file(tmp_path / "scan-01.hspy") as living:
        living.write_text("of a process that lives")
        with atomic_file(tmp_path / "01.hspy") as temporary:
            temporary.write_text("whole")
            others = {path.name for path in tmp_path.iterdir()} - {living.name, temporary.name}
    assert not others
    assert sorted(path.name for path in tmp_path.iterdir()) == ["01.hspy", "scan-01.hspy"]


def test_a_living_process_keeps_its_partial_file(tmp_path: Path) -> None:
    program = (
        "from iphasenet.base.files import atomic_file\n"
        "with atomic_file('a.npz') as t: t.write_text('x'); print(flush=True); input()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, **pipes) as process:  # type: ignore[call-overload]
        process.stdout.readline()
        with atomic_file(tmp_path / "a.npz") as temporary:
            temporary.write_text("y")
        _, told = process.communicate("\n", timeout=60)
    # Its partial file was whole; what came there meanwhile stays.
    assert "another program wrote this file meanwhile" in told
    assert (tmp_path / "a.npz").read_text() == "y"
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_a_folder_that_was_moved_aside_by_a_killed_process_comes_back(tmp_path: Path) -> None:
    store(tmp_path / "out")
    code = f"p = Path('out').resolve(); p.replace(iphasenet.base.files._beside(p, 'replaced')); {KILL}"
    killed(f"import iphasenet.base.files; {code}", tmp_path)
    assert not (tmp_path / "out").exists()
    with pytest.raises(KeyError), atomic_directory(tmp_path / "out", SIMULATION):
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_comes_back_where_its_replacement_is_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a signal between the two renames."""
    store(tmp_path / "out")
    before, renamed = sorted(tmp_path.rglob("*")), Path.replace

    def stop(path: Path, target: Path) -> Path:
        moved = renamed(path, target)
        if ".replaced-" in target.name:
            raise KeyboardInterrupt
        return moved

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt), atomic_directory(tmp_path / "out", SIMULATION) as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
    assert sorted(tmp_path.rglob("*")) == before


def test_the_longest_names_are_written(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 125 + ".npz")
    with atomic_file(path) as temporary:
        temporary.write_text("whole")
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_told_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="could not be written"), atomic_file(tmp_path / "file" / "a.npz"):
        pass
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "a.npz"):
        (tmp_path / "other").read_text()
