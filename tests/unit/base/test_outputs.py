"""What a command may write is decided before it computes anything, and nothing of the user's is lost."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from iphasenet.base.errors import InputError
from iphasenet.base.marks import FIGURE, IMAGE, RECONSTRUCTION, SCAN, SIMULATION, mark_text
from iphasenet.base.outputs import PICTURE_ENDINGS, Output, check_outputs


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Limit of the size of a file, as of a full disk [bytes]."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def refused(outputs: list[Output], inputs: list[Path], folder: Path) -> str:
    before = {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
    with pytest.raises(InputError) as caught:
        check_outputs(outputs, inputs)
    assert {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")} == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def out(path: Path, kind: str | None = RECONSTRUCTION, **settings: object) -> Output:
    return Output("--output", path, kind, **settings)  # type: ignore[arg-type]


def test_new_names_are_free_and_nothing_is_made_by_the_check(tmp_path: Path) -> None:
    check_outputs(
        [
            out(tmp_path / "new" / "deep" / "a.npz"),
            None,
            Output("--figure", tmp_path / "a.PNG", FIGURE, PICTURE_ENDINGS),
        ],
        [tmp_path / "in.npz", None],
    )
    assert not list(tmp_path.iterdir())


def test_an_input_is_never_replaced_by_whatever_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "in.npz"
    # Even one that bears the mark of what would replace it.
    source.write_text(mark_text(RECONSTRUCTION))
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.npz").symlink_to(source)
    os.link(source, tmp_path / "hard.npz")
    monkeypatch.chdir(tmp_path)
    for name in ("in.npz", "./folder/../in.npz", "link.npz", "hard.npz"):
        assert "an input of the same command" in refused([out(Path(name))], [source], tmp_path)
    assert "an input" in refused([out(source)], [tmp_path / "link.npz"], tmp_path)


def test_no_output_lies_in_an_input_or_holds_one(tmp_path: Path) -> None:
    store = tmp_path / "set.zarr"
    store.mkdir()
    (store / "in.npz").touch()
    assert "inside the input set.zarr" in refused([out(store / "a" / "b.npz")], [store], tmp_path)
    assert "holds the input in.npz" in refused([out(store, SIMULATION)], [store / "in.npz"], tmp_path)
    assert "holds the input" in refused([out(tmp_path / "set.zarr" / "..", SIMULATION, folder=True)], [store], tmp_path)


def test_outputs_are_apart(tmp_path: Path) -> None:
    same = [out(tmp_path / "o.png", FIGURE), Output("--figure", tmp_path / "x" / ".." / "o.png", FIGURE)]
    (tmp_path / "x").mkdir()
    assert "--figure" in refused(same, [], tmp_path)
    inside = [out(tmp_path / "o.zarr", SIMULATION), Output("--preview", tmp_path / "o.zarr" / "p.png", FIGURE)]
    assert "inside the output o.zarr" in refused(inside, [], tmp_path)


@pytest.mark.parametrize("root", ["zarr.json", ".zattrs"])
def test_nothing_is_written_into_a_store(root: str, tmp_path: Path) -> None:
    (tmp_path / "set" / "GaN").mkdir(parents=True)
    (tmp_path / "set" / root).write_text("{}")
    assert "inside the store" in refused([out(tmp_path / "set" / "GaN" / "a.npz")], [], tmp_path)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("a measurement", RECONSTRUCTION),
        (mark_text(RECONSTRUCTION), RECONSTRUCTION),
        (mark_text(IMAGE), RECONSTRUCTION),
        (mark_text(IMAGE), None),
        ("", FIGURE),
    ],
)
def test_a_file_of_the_users_or_of_another_kind_stays(content: str, kind: str | None, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_text(content)
    assert "that iphasenet did not write" in refused([out(tmp_path / "a.npz", kind)], [], tmp_path)


def test_a_file_of_the_same_kind_is_replaced_wherever_its_mark_stands(tmp_path: Path) -> None:
    for number, text in enumerate((mark_text(IMAGE) + "x" * 200_000, "x" * 200_000 + mark_text(IMAGE))):
        (tmp_path / f"{number}.tif").write_text("II*\0" + text)
        check_outputs([out(tmp_path / f"{number}.tif", IMAGE)])


def test_a_table_with_the_users_notes_stays(tmp_path: Path) -> None:
    table = "thickness_nm,agreement,phase_object,trained\n40,0.9,0.1,True\n"
    (tmp_path / "scan.csv").write_text(table)
    check_outputs([out(tmp_path / "scan.csv", SCAN)])
    (tmp_path / "scan.csv").write_text(table + "my notes\n")
    assert "that iphasenet did not write" in refused([out(tmp_path / "scan.csv", SCAN)], [], tmp_path)


def test_a_folder_that_is_added_to_is_kept_apart_from_stores(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "a").touch()
    check_outputs([out(tmp_path / "kept", None, folder=True, added=True)])
    (tmp_path / "set.zarr").mkdir()
    (tmp_path / "set.zarr" / "zarr.json").touch()
    inside = out(tmp_path / "set.zarr" / "checkpoints", None, folder=True, added=True)
    assert "inside the store" in refused([inside], [], tmp_path)
    itself = out(tmp_path / "set.zarr", None, folder=True, added=True)
    assert "an input" in refused([itself], [tmp_path / "set.zarr"], tmp_path)


def test_the_working_folder_and_a_link_in_a_circle_are_no_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert "leads to itself" in refused([out(tmp_path / "loop", SIMULATION, folder=True)], [], tmp_path)
    assert "runs in" in refused([out(Path(), SIMULATION, folder=True)], [], tmp_path)
    assert "disk's own folder" in refused([out(Path("/dev/shm"), SIMULATION, folder=True)], [], tmp_path)


def test_folders_and_files_do_not_replace_each_other(tmp_path: Path) -> None:
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "file.zarr").write_text(mark_text(SIMULATION))
    (tmp_path / "mine.zspy").mkdir()
    (tmp_path / "mine.zspy" / "notes.txt").touch()
    assert "an empty folder" in refused([out(tmp_path / "folder.npz")], [], tmp_path)
    assert "found a file" in refused([out(tmp_path / "file.zarr", SIMULATION)], [], tmp_path)
    assert "notes.txt" in refused([out(tmp_path / "mine.zspy")], [], tmp_path)


def test_endings_are_endings_in_any_case(tmp_path: Path) -> None:
    for ending in (".NPZ", ".Npz", ".npz"):
        check_outputs([out(tmp_path / f"u{ending}", endings=(".npz",))])
    assert "'.xyz'; allowed: .png, .svg" in refused(
        [Output("--preview", tmp_path / "p.xyz", FIGURE, PICTURE_ENDINGS)], [], tmp_path
    )


def test_places_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for place in (Path("/proc/x.zarr"), tmp_path / "file" / "a.npz", tmp_path / "loop" / "a.npz"):
        assert "no way to write" in refused([out(place)], [], tmp_path)
    assert "too long" in refused([out(tmp_path / ("a" * 256))], [], tmp_path)


def test_a_disk_without_room_is_told(tmp_path: Path) -> None:
    assert "room for" in refused([out(tmp_path / "a.zarr", SIMULATION, size=1e30)], [], tmp_path)
    with largest_file(1000):
        assert "room for 1.0 kB" in refused([out(tmp_path / "a.npz", size=2000)], [], tmp_path)
        check_outputs([out(tmp_path / "a.zarr", SIMULATION, size=2000)])
