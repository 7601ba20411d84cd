"""The folder for a GPU machine: packed, rehearsed in an interpreter that has no more than such a machine, unpacked."""

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from benchmarks.gpu import simulated
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.context import Context, OutOfTimeError
from benchmarks.gpu.corpus import planned_tilts, read_corpus, write_corpus
from benchmarks.gpu.corpus_simulation import planned_tasks
from benchmarks.gpu.data import Material, Packed, read_data, write_data
from benchmarks.gpu.layout import LIMIT, PIECE, RESULTS, ROOT, TABLE
from benchmarks.gpu.pieces import joined, split
from benchmarks.gpu.rehearse import rehearse
from benchmarks.gpu.results import read_json, step_text, succeeded, table_text, write_json
from benchmarks.gpu.run import SHARES, Run
from benchmarks.gpu.unpack import PLACES, unpack

from iphasenet.base.errors import InputError
from iphasenet.base.files import file_bytes
from iphasenet.base.seals import sealed_store
from iphasenet.dataset.writer import FORMAT_VERSION
from iphasenet.multislice.periodic_images import PeriodicImages, save_images
from iphasenet.network.weights import load_weights
from iphasenet.simulation.grid import Grid, orientations
from iphasenet.training.crops import EpochSampler
from tests.gpu.crystal import potential


def series(seed: int) -> PeriodicImages:
    """Real images of random coefficients that fall over five orders of magnitude."""
    rng = np.random.default_rng(seed)
    shape = (2, 3, 4, 5, 7)
    numbers = (rng.normal(size=shape) + 1j * rng.normal(size=shape)) * 10 ** rng.uniform(-5, 0, shape)
    numbers[..., 2, 3] = 1
    real = (numbers + numbers[..., ::-1, ::-1].conj()) / 2
    return PeriodicImages((4.0, 4.4), np.array([200.0, 400.0]), np.array([0.0, 10.0, 20.0]), real.astype(np.complex64))


def packed(folder: Path) -> Packed:
    images = {3: series(3), 5: series(5)}
    return Packed({"seed": 1}, {}, {}, {}, (Material("Made", potential(), images, images[3]),), folder)


def test_a_corpus_keeps_its_potentials(tmp_path: Path) -> None:
    """Form factors are even along both axes: a quarter is packed; single precision rounds by 6e-8."""
    tilt = planned_tilts(simulated.toy_corpus().configuration, "GaN", "train")[0].index
    corpus = replace(simulated.toy_corpus(), images={"GaN": {tilt: series(3)}})
    write_corpus(corpus, tmp_path / "corpus")
    found = read_corpus(tmp_path / "corpus")
    assert found.splits == corpus.splits and found.configuration["seed"] == corpus.configuration["seed"]
    for name, expected in corpus.potentials.items():
        potential = found.potentials[name]
        assert potential.lengths == expected.lengths and np.array_equal(potential.positions, expected.positions)
        assert list(potential.translations) == list(expected.translations)
        largest = np.abs(expected.form_factors).max()
        np.testing.assert_allclose(potential.form_factors, expected.form_factors, rtol=0, atol=1e-7 * largest)
    # Each material's first tilt comes before any second one, and the crystals that validate come first.
    tasks = planned_tasks(corpus)
    assert [task.material for task in tasks[:3]] == ["MoS2", "GaN", "KNbO3"]
    # What was packed is not simulated again.
    assert tilt not in {task.tilt.index for task in tasks if task.material == "GaN"}
    assert not read_corpus(tmp_path / "corpus", with_images=False).images
    (there,) = found.images["GaN"].values()
    largest = np.abs(series(3).coefficients).max()
    np.testing.assert_allclose(there.coefficients, series(3).coefficients, rtol=1e-3, atol=1e-6 * largest)
    assert {task.tilt.split for task in tasks if task.material == "GaN"} <= {"train", "validation"}


def test_images_keep_three_digits_of_every_coefficient(tmp_path: Path) -> None:
    written = packed(tmp_path)
    write_data(written)
    (found,) = read_data(tmp_path).materials
    (expected,) = written.materials
    assert found.images.keys() == {3, 5}
    for tilt, images in found.images.items():
        truth = expected.images[tilt].coefficients
        # Half precision: 11 bits, and no less than 6e-8 of the largest.
        assert (np.abs(images.coefficients - truth) <= 5e-4 * np.abs(truth) + 1e-7).all()
        assert np.array_equal(images.rotations, expected.images[tilt].rotations)
    assert np.array_equal(found.reference.coefficients, expected.reference.coefficients)
    assert found.drawn(0.5).form_factors.shape == (2, 15, 13)


def test_weights_come_back_whole_or_not_at_all(tmp_path: Path) -> None:
    content = bytes(range(256)) * (PIECE // 128)
    known = split(content, tmp_path, "weights")
    assert [path.stat().st_size <= PIECE for path in tmp_path.iterdir()] == [True] * 2
    assert joined(tmp_path, known) == content
    # Others leave them alone, until the results name those.
    split(b"better", tmp_path, "weights")
    assert joined(tmp_path, known) == content
    second = tmp_path / known["pieces"][1]
    second.write_bytes(b"other")
    with pytest.raises(InputError, match="found other weights"):
        joined(tmp_path, known)
    second.unlink()
    with pytest.raises(InputError, match=f"found no {second.name}"):
        joined(tmp_path, known)


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert rehearse(folder) == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Three minutes of two cores, in processor time: other programs do not count.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2 * 180
    return folder


@pytest.fixture
def results(rehearsed: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((rehearsed / "pack" / "results" / RESULTS).read_text())
    return found


def test_every_step_is_rehearsed(rehearsed: Path, results: dict[str, Any]) -> None:
    assert list(results["steps"]) == list(SHARES)
    log = (rehearsed / "pack" / "results" / "log.txt").read_text()
    for name, step in results["steps"].items():
        assert not step["error"], (name, step["error"], log[-2000:])
        assert not [row for rows in step["tables"].values() for row in rows if "failed" in row], (name, log[-2000:])
        # Every number says where and when.
        assert all(step[part] not in ("", "unknown") for part in ("device", "torch", "date"))
        assert step_text(step) in (rehearsed / "pack" / "results" / TABLE).read_text()
    assert file_bytes(rehearsed / "pack") < LIMIT


def test_what_a_rehearsal_measures_is_plausible(rehearsed: Path, results: dict[str, Any]) -> None:
    tests, engine, throughput, columns, training, reconstruction = (
        step["tables"] for step in results["steps"].values()
    )
    assert columns["Validation"] and [row["tilts"] for row in columns["Simulated tilts of a corpus"]] == [8]
    assert {row["outcome"] for row in tests["Tests"]} <= {"passed", "skipped"}
    compared = [row["difference to a CPU / mean"] for row in engine["A tilt"] if "within 1e-4" in row]
    assert 0 < max(compared) < 1e-4
    # A difference of two times: of toy size, on a busy machine, it may have either sign.
    assert all(abs(row["share of a copy's"]) > 0 for row in engine["Waves together"])
    assert {row["crops"] for row in throughput["Crops a second"]} == {"rendered", "stored", "npz"}
    assert all(0 <= row["waiting"] < 1 for row in throughput["Crops a second"])
    assert training["Validation"]
    # Images in half precision are as good to the shipped network as those that it was trained on.
    scores = next(rows for title, rows in training.items() if title.startswith("Held-out"))
    assert next(row["Pearson"] for row in scores if row["network"] == "laptop" and row["crystal"] == "mean") > 0.9
    # The best validation's weights went back, and no pieces of others.
    best = max(row["validation Pearson"] for row in training["Validation"])
    left = {path.name for path in (rehearsed / "pack" / "results").glob("*-of-*")}
    returned = [results["steps"][name]["facts"]["weights"] for name in ("training", "columns")]
    assert left == {piece for kept in returned for piece in kept["pieces"]}
    assert {row["network"] for row in reconstruction["Reconstruction"]} >= {"shipped", "trained, feature size 12"}
    kept = results["steps"]["training"]["facts"]["weights"]
    weights = rehearsed / "weights.safetensors"
    weights.write_bytes(joined(rehearsed / "pack" / "results", kept))
    network, described = load_weights(weights)
    assert (network.settings.feature_size, described["ranges"]["thickness_nm"]) == (12, [20, 40])
    assert described["validation_pearson"] == best


def test_results_are_put_into_the_documentation(rehearsed: Path, results: dict[str, Any], tmp_path: Path) -> None:
    for page in PLACES:
        (tmp_path / page).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / page, tmp_path / page)
    with pytest.raises(InputError, match="found a rehearsal's numbers"):
        unpack(rehearsed / "pack", tmp_path)
    models = shutil.copytree(ROOT / "resources" / "models", tmp_path / "resources" / "models")
    came_back = shutil.copytree(rehearsed / "pack" / "results", tmp_path / "back")
    (came_back / RESULTS).write_text(json.dumps({**results, "rehearsal": False}))
    told = unpack(came_back, tmp_path)
    for page, names in PLACES.items():
        text = (tmp_path / page).read_text()
        assert "No GPU number" not in text
        assert all(step_text(results["steps"][name]) in text for name in names)
    # Trained for eight steps, it is not kept.
    assert "left out" in told[-1] and not (models / "gpu.safetensors").exists()
    scores = results["steps"]["training"]["facts"]["scores"]
    tables = results["steps"]["training"]["tables"]
    held_out = next(rows for title, rows in tables.items() if title.startswith("Held-out"))
    for row in held_out:
        if row["network"] == "trained":
            row["Pearson"] = scores["trained"]["pearson"]
    # A crystal each: GaN and KNbO3.
    worse = ["GaN", "KNbO3"]

    def judged(pearson: float, mae: float) -> str:
        """Unpack with scores of the shipped network that are better or worse than the trained one's by so much."""
        other = {"pearson": scores["trained"]["pearson"] + pearson, "mae": scores["trained"]["mae"] + mae}
        scores["laptop"] |= other
        for row in held_out:
            if row["network"] == "laptop":
                row["Pearson"] = scores["trained"]["pearson"] + (pearson if row["crystal"] in worse else -pearson)
        (came_back / RESULTS).write_text(json.dumps({**results, "rehearsal": False}))
        return unpack(came_back, tmp_path)[-1]

    # Both means must be better.
    for pearson, mae in ((0.1, 1.0), (-0.1, -1.0), (-0.1, float("nan"))):
        assert "left out" in judged(pearson, mae) and not (models / "gpu.safetensors").exists()
    # A higher mean by one crystal of two is not enough.
    worse.remove("KNbO3")
    assert "better than laptop for 1 of 2 crystals alone" in judged(-0.1, 1.0)
    worse.append("KNbO3")
    assert "kept" in judged(-0.1, 1.0)
    assert load_weights(models / "gpu.safetensors")[0].settings.feature_size == 12
    assert "| GaN |" in (models / "gpu.md").read_text()
    # What is there by now was not among those that it was judged beside, and is not replaced.
    kept = (models / "gpu.safetensors").read_bytes()
    assert "gpu.safetensors was not judged beside it" in judged(-0.1, 1.0)
    scores["gpu"] = {"sha256": hashlib.sha256(kept).hexdigest(), "pearson": 1.0, "mae": 0.0}
    assert "of gpu.safetensors" in judged(-0.1, 1.0)
    assert (models / "gpu.safetensors").read_bytes() == kept


@pytest.mark.parametrize(
    "content", ["{}", "[]", '{"rehearsal": false, "steps": {"training": {"facts": {"weights": 1}}}}']
)
def test_what_is_no_result_is_one_line(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / RESULTS).write_text(content)
    before = {page: (ROOT / page).read_bytes() for page in PLACES}
    assert main(["--unpack", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and str(tmp_path / RESULTS) in told
    assert {page: (ROOT / page).read_bytes() for page in PLACES} == before


def test_nothing_is_written_before_the_weights_are_checked(
    rehearsed: Path, results: dict[str, Any], tmp_path: Path
) -> None:
    for page in PLACES:
        (tmp_path / page).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / page, tmp_path / page)
    came_back = shutil.copytree(rehearsed / "pack" / "results", tmp_path / "back")
    (came_back / RESULTS).write_text(json.dumps({**results, "rehearsal": False}))
    next(came_back.glob("weights*-of-*")).unlink()
    with pytest.raises(InputError, match="found no weights"):
        unpack(came_back, tmp_path)
    assert all((tmp_path / page).read_bytes() == (ROOT / page).read_bytes() for page in PLACES)


def run(folder: Path, *arguments: str, **changed: str) -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHON": str(folder / "python" / "bin" / "python"), **changed}
    command = ["bash", str(folder / "pack" / "run.sh"), *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and what was said to stderr."""
    _, told = process.communicate(timeout=120)
    return process.returncode, told


def test_a_signal_keeps_what_is_there(rehearsed: Path, tmp_path: Path) -> None:
    process = run(rehearsed, "--rehearse", "--output", str(tmp_path), "--steps", "engine", "training")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and "A tilt" not in str(_tables(tmp_path)):
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 128 + signal.SIGTERM
    found = json.loads((tmp_path / RESULTS).read_text())["steps"]
    assert found["engine"]["tables"]["A tilt"]
    assert found["engine"]["error"] == "stopped by a signal" or found["engine"]["done"]
    assert found["training"]["error"] == "not run: stopped by a signal"


def _tables(folder: Path) -> Any:
    path = folder / RESULTS
    return json.loads(path.read_text())["steps"]["engine"]["tables"] if path.is_file() else {}


def test_time_that_is_over_ends_a_step_and_not_the_next(rehearsed: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    process = run(
        rehearsed, "--rehearse", "--output", str(tmp_path), "--steps", "engine", "training", "--minutes", "0.1"
    )
    code, _ = ended(process)
    assert time.monotonic() - started < 60
    found = json.loads((tmp_path / RESULTS).read_text())["steps"]
    assert list(found) == ["engine", "training"]
    assert all(step["error"] or "not measured" in step["facts"] for step in found.values())
    assert code == (0 if any(map(succeeded, found.values())) else 1)


def test_no_time_for_any_step_is_no_success(rehearsed: Path, tmp_path: Path) -> None:
    """Each has its entry, and what an earlier run left is kept."""
    names = (RESULTS, TABLE, "log.txt", "weights.safetensors-01234567.1-of-1")
    for name in names:
        (tmp_path / name).write_text(f"earlier {name}")
    arguments = ("--rehearse", "--output", str(tmp_path), "--minutes", "0.01")
    before = _files(rehearsed / "pack")
    process = run(rehearsed, *arguments)
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "succeeded: no step; not: tests (not run: no time was left), engine (" in told.splitlines()[-1]
    found = json.loads((tmp_path / RESULTS).read_text())["steps"]
    assert {name: step["error"] for name, step in found.items()} == dict.fromkeys(SHARES, "not run: no time was left")
    assert {name: (tmp_path / "earlier-1" / name).read_text() for name in names} == {n: f"earlier {n}" for n in names}
    # Nothing is written beside the packed code, which may be read-only.
    assert _files(rehearsed / "pack") == before
    ended(run(rehearsed, *arguments))
    assert json.loads((tmp_path / "earlier-2" / RESULTS).read_text())["steps"].keys() == SHARES.keys()


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


def context(folder: Path, seconds: float) -> Context:
    return Context(folder / RESULTS, folder, time.monotonic() + seconds, rehearsal=True)


def test_rows_that_are_not_reached_say_why(tmp_path: Path) -> None:
    """Those after the end, the one that the end interrupts, and one whose process is killed within it."""
    at_work, known = context(tmp_path, 60), [{"case": number} for number in range(4)]
    at_work.plan("Cases", known)
    with at_work.row("Cases", **known[0]) as row:
        row["value"] = 1.0
        assert read_json(tmp_path / RESULTS)["tables"]["Cases"][0]["not measured"] == "begun, and not ended"
    with at_work.row("Cases", **known[1]) as row:
        raise ValueError("no memory")
    with pytest.raises(OutOfTimeError), at_work.row("Cases", **known[2]) as row:
        raise OutOfTimeError("its time was over after 3 steps")
    at_work.until = 0.0
    with pytest.raises(OutOfTimeError), at_work.row("Cases", **known[3]) as row:
        row["value"] = 2.0
    rows = read_json(tmp_path / RESULTS)["tables"]["Cases"]
    assert [{**row, **one} == row for row, one in zip(rows, known, strict=True)] == [True] * 4
    assert rows[0] == {"case": 0, "value": 1.0} and rows[1]["failed"] == "ValueError: no memory"
    assert [row["not measured"] for row in rows[2:]] == ["its time was over after 3 steps", "no time was left"]
    assert "no time was left" in table_text(rows)


def test_crops_are_counted_as_they_are_seen() -> None:
    """A step is counted as a whole batch: so many all processes see, also where it does not divide among them."""
    crops = [EpochSampler(100, 16, seed=1, process=process, processes=3) for process in range(3)]
    assert sum(one.share for one in crops) == crops[0].batch == 16


def test_what_was_done_is_no_failure(tmp_path: Path) -> None:
    """A step that hangs after its last result is killed, and has all it has."""
    path = tmp_path / RESULTS
    found = {"device": "CPU", "torch": "2", "error": "", "done": True, "tables": {"A": [{"b": 1}]}, "facts": {}}
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    at_work = Run(tmp_path / "output", 0.02, 1, rehearsal=True)
    at_work.output.mkdir()
    write_json(path, found)
    at_work._step("tests", process, tmp_path, 0.2)
    assert at_work.steps["tests"]["error"] == "" and at_work.succeeded == ["tests"]
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    write_json(path, {**found, "done": False})
    at_work._step("engine", process, tmp_path, 0.2)
    assert at_work.steps["engine"]["error"] == "its time was over"


def test_what_is_missing_is_said_in_one_line(rehearsed: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(rehearsed / "pack", tmp_path / "pack", ignore=shutil.ignore_patterns("wheels"))
    (tmp_path / "python").symlink_to(rehearsed / "python")
    code, told = ended(run(tmp_path))
    assert code == 1
    assert told.strip() == (
        "run.sh: found no iniconfig, monai, pluggy, pygments, pytest, threadpoolctl; allowed: a Python that has them, "
        f"or wheels of them in {bare / 'wheels'}"
    )


def test_a_machine_without_a_gpu_is_told(rehearsed: Path) -> None:
    code, told = ended(run(rehearsed, CUDA_VISIBLE_DEVICES=""))
    assert code == 1
    assert told.startswith("run.sh: found no usable GPU (torch")


def test_a_missing_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--pack", str(tmp_path / "pack"), "--run", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "pack").exists()


def test_a_finished_run_gives_its_images(tmp_path: Path) -> None:
    """Laid out as the workflow does it: two batches of tilts, and a configuration in the data set."""
    config = simulated.shipped({**simulated.TOY, "run": "finished", "select": ["KNbO3"]})
    config["simulation"]["multislice"] |= {"window_angstrom": 5}
    run, grid = tmp_path / "run", Grid(**config["grid"])
    planned = orientations(config["seed"], "KNbO3", grid)
    made = [replace(series(one.index), rotations=np.array((*one.rotations_deg, 0.0))) for one in planned]
    made = [replace(i, rotations=i.rotations[:-1], coefficients=i.coefficients[:, :-1]) for i in made]
    for number, part in enumerate((made[:3], made[3:])):
        save_images(run / "images" / "KNbO3" / f"batch{number}.npz", part)
    potential().save(run / "potential" / "KNbO3.npz")
    with sealed_store(run / "dataset.zarr", "dataset") as store:
        zarr.open_group(store, mode="w", zarr_format=3).attrs.update(
            {"configuration": config, "format_version": FORMAT_VERSION}
        )
    folder = tmp_path / "data"
    folder.mkdir()
    write_data(simulated.from_run(run, folder))
    (found,) = read_data(folder).materials
    assert list(found.images) == [one.index for one in planned]
    assert np.array_equal(found.reference.coefficients, made[0].coefficients)
    # The finer of both numerics, whatever the run's potential was computed for.
    finer = simulated.shipped({})["simulation"]["multislice"]["sampling_angstrom"]
    assert finer < config["simulation"]["multislice"]["sampling_angstrom"]
    assert found.potential.frequencies[0].max() >= 0.5 / finer
