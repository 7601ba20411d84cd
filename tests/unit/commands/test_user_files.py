"""Every command, on a full disk, in a read-only folder, onto its input, with its reader gone, interrupted."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from iphasenet.cli import main
from iphasenet.dataset.writer import SHAPE_COORDINATES, assemble, write_material
from iphasenet.microscope_files.foreign_files import write_image
from iphasenet.simulation.grid import Grid, Sample, samples
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Rendered
from tests.unit.dataset.test_reader import NOISE, PIXELS, SAMPLING, rendered
from tests.unit.planning.test_regeneration import CONFIGURATION, ROOT
from tests.unit.reconstruction.test_reconstruct import recorded, weights

__all__ = ["weights"]

SAMPLE = "KNbO3-tilt0001-rotation00-0.5nm"
RECONSTRUCT = ("reconstruct", "in.npz", "--weights", "small.safetensors", "--device", "cpu")
ONCE = ("--no-check", "--turns", "1")
COMMANDS = {
    "simulated.zarr": ("simulate", "GaN.cif", "--thickness", "1", "--pixels", "32", "--sampling", "0.3",
                       "--window", "6", "--multislice-sampling", "0.15"),
    "rendered.zarr": ("render", "--dataset", "set.zarr", "--sample", SAMPLE, "--structures", str(ROOT)),
    "folder": ("export", "set.zarr"),
    "sample.zspy": ("export", "set.zarr", "--sample", SAMPLE),
    "sample.emd": ("export", "set.zarr", "--sample", SAMPLE),
    "hub": ("export", "small.safetensors", "--card", "card.md"),
    **{f"simulation{ending}": ("export", "gan.zarr")
       for ending in (".emd", ".hspy", ".zspy", ".tif", ".npz", ".npy", ".NPZ")},
    **{f"reconstruction{ending}": (*RECONSTRUCT, *ONCE) for ending in (".npz", ".hspy", ".ZSPY", ".tif", ".png")},
    "scan.csv": (*RECONSTRUCT, "--thickness", "30:40:10"),
}  # fmt: skip
"""Command of each output."""

RUN_ALL = """
import json, resource, sys
from iphasenet.cli import main
free, limited, size = json.loads(sys.argv[1])
# The first time all libraries are loaded and their caches written.
for number, arguments in enumerate(free + limited):
    if number == len(free) and size:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        main(arguments)
        print("done", None)
    except SystemExit as end:
        print("done", end.code)
"""
"""Run commands, then others with a limit of the size of files; says how each ended."""


def varied(planned: list[Sample]) -> Iterator[Rendered]:
    """Samples that have something to see, with edges and wedges."""
    rng = np.random.default_rng(0)
    for made in rendered(planned):
        segments = made.segments + rng.uniform(0, 0.01, made.segments.shape).astype(np.float32)
        yield replace(made, segments=segments, metadata=made.metadata | dict.fromkeys(SHAPE_COORDINATES, 1.0))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """One input of each command."""
    folder = tmp_path_factory.mktemp("inputs")
    shutil.copy(ROOT / "resources" / "structures" / "GaN.cif", folder)
    shutil.copy(weights, folder)
    (folder / "card.md").write_text("a network")
    write_image(recorded(), folder / "in.npz")
    main([*COMMANDS["simulated.zarr"][:1], str(folder / "GaN.cif"), *COMMANDS["simulated.zarr"][2:],
          "--output", str(folder / "gan.zarr")])  # fmt: skip
    planned = samples(3, "KNbO3", Grid(**CONFIGURATION["grid"]))
    write_material(folder / "KNbO3.zarr", varied(planned), planned, Image(PIXELS, SAMPLING), NOISE, 3, "KNbO3",
                   {"zone_axis": [0, 0, 1]})  # fmt: skip
    assemble(folder / "set.zarr", {"KNbO3": folder / "KNbO3.zarr"}, {"configuration": CONFIGURATION})
    return folder


@pytest.fixture
def place(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the user's with copies of the inputs, where commands run."""
    shutil.copytree(inputs, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}


def start(arguments: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start a command as a terminal does: tests in the background of a shell ignore Ctrl-C, and pass that on."""
    heard = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
    # Python itself, which hears Ctrl-C as a traceback, takes seconds to start on a busy machine.
    begun = "from iphasenet.cli import main; print('begun', file=sys.stderr, flush=True); main()"
    command = [sys.executable, "-c", f"{heard}; {begun}", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )


def line(arguments: list[str]) -> str:
    """The one line that a command ends with."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    message = str(caught.value.code)
    assert message.startswith("iphasenet: ") and "\n" not in message
    return message


@pytest.mark.parametrize("output", COMMANDS)
def test_output_onto_the_users_files_is_refused(output: str, place: Path) -> None:
    """Onto the input, into it where it is a folder, onto a folder with the user's notes, onto the folder of all."""
    source = next(part for part in COMMANDS[output] if (place / part).exists() and part != str(ROOT))
    (place / "notes").mkdir()
    (place / "notes" / "mine.txt").write_text("mine")
    # A data set's .zspy are two.
    ending = "-segments.zspy" if output == "sample.zspy" else Path(output).suffix
    target = place / f"mine{ending}"
    target.write_text("a measurement")
    before = contents(place)
    for other in (
        source,
        f"{source}/inside{Path(output).suffix}",
        "notes",
        ".",
        "..",
        target.name.replace("-segments", ""),
    ):
        assert re.search("found|has no effect", line([*COMMANDS[output], "--output", other]))
    assert contents(place) == before


def run_all(folder: Path, outputs: Path, size: int = 0, *before: str) -> list[str]:
    """Run all commands in one process, into a new folder and then into `outputs`: how the latter ended."""
    free, limited = ([[*command, "--output", str(target / name)] for name, command in COMMANDS.items()]
                     for target in (folder / "first", outputs))  # fmt: skip
    process = subprocess.run([*before, sys.executable, "-c", RUN_ALL, json.dumps([free, limited, size])], cwd=folder,
                             env=environment(), capture_output=True, text=True, timeout=300)  # fmt: skip
    assert process.returncode == 0, process.stderr
    told = [text.removeprefix("done ") for text in process.stdout.splitlines() if text.startswith("done ")]
    # A rendered sample says that the stored one was another.
    assert [text for text in told[: len(free)] if text != "None" and "differ from the stored" not in text] == []
    return told[len(free) :]


def test_a_full_disk_is_one_line_and_leaves_nothing(place: Path, tmp_path: Path) -> None:
    """And no segmentation fault when the process ends, as HDF5 makes."""
    (tmp_path / "full").mkdir()
    for name, message in zip(COMMANDS, run_all(place, tmp_path / "full", 200), strict=True):
        assert message.startswith("iphasenet: "), name
        assert ("could not be written" in message or "room for" in message) and name.split(".")[0] in message
    assert not list((tmp_path / "full").rglob("*"))


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may write everywhere")
def test_a_read_only_folder_is_one_line_before_anything_is_computed(place: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    before = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
    for name, message in zip(COMMANDS, run_all(place, tmp_path / "locked", 0, *before), strict=True):
        assert "no way to write (Permission denied" in message, name


def test_a_reader_that_ends_is_one_line(place: Path) -> None:
    """As of `iphasenet validate set.zarr | head -1`."""
    for arguments in (["validate", "set.zarr"], [*COMMANDS["hub"], "--output", "hub"]):
        with start(arguments, place) as process:
            assert process.stdout is not None
            process.stdout.close()
            process.stdout = None
            _, told = process.communicate(timeout=120)
        # Where it takes long, progress stands on the line before.
        said = "iphasenet: the program that reads the output has ended; the rest of the output is lost\n"
        assert told.decode().endswith(said) and told.count(b"\n") <= 3 and process.returncode == 1


NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


@pytest.mark.parametrize("again", [None, 0.05])
@pytest.mark.parametrize("number", NAMES)
def test_an_interrupted_command_is_one_line_and_leaves_nothing(
    number: signal.Signals, again: float | None, place: Path
) -> None:
    """While libraries are loaded, and in the midst of the work; also where the user presses Ctrl-C once more."""
    arguments = [*COMMANDS["simulated.zarr"], "--output", "long.zarr", "--multislice-sampling", "0.05"]
    arguments[arguments.index("6")] = "60"
    for seen in (b"begun", b"multislice") if again is None else (b"multislice",):
        before = contents(place)
        with start(arguments, place) as process:
            assert process.stderr is not None
            told = b""
            while seen not in told:
                told += process.stderr.read(1)
            if seen == b"begun":
                time.sleep(1)
            process.send_signal(number)
            if again is not None:
                time.sleep(again)
                process.send_signal(signal.SIGINT)
            told += process.communicate(timeout=120)[1]
        line = f"iphasenet: stopped by {NAMES[number]}; nothing half-written is left\n"
        # The bar's own line may not have ended.
        assert (told.decode().endswith(line), process.returncode) == (True, 128 + number), told.decode()
        assert "Traceback" not in told.decode()
        assert contents(place) == before
