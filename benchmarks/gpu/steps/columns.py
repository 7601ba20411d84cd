"""The network for any crystal: simulate a corpus on the GPU and the CPU's cores, then train."""

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import lightning

from benchmarks.gpu.context import Context
from benchmarks.gpu.corpus import FOLDER, Corpus, read_corpus
from benchmarks.gpu.corpus_simulation import planned_tasks, simulated
from benchmarks.gpu.fitting import Kept, accelerator, fit_until, read_kept
from benchmarks.gpu.layout import COLUMN_WEIGHTS, ROOT
from benchmarks.gpu.loop import Steps, looped
from benchmarks.gpu.results import NOT_MEASURED
from iphasenet.multislice.periodic_images import save_images
from iphasenet.network.weights import load_column_weights, save_column_weights
from iphasenet.training.column_data import ColumnData, ColumnPlan
from iphasenet.training.column_training import ColumnTrainer

_SIMULATED, _ENDING = 0.25, 0.07
"""Shares of the time for simulations, and for what follows the training."""


def measure(context: Context) -> None:
    """Simulate for a part of the time, train in the rest, and keep the weights."""
    place = ROOT / "data" / FOLDER
    if not place.is_dir():
        context.facts[NOT_MEASURED] = "no corpus was packed (--corpus)"
        return
    corpus, every = read_corpus(place), context.left()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        batches = _simulated(context, corpus, folder, time.monotonic() + _SIMULATED * every)
        plan = ColumnPlan(
            corpus.configuration, {n: s for n, s in corpus.splits.items() if n in batches}, batches, folder
        )
        started = time.monotonic()
        data = ColumnData.of(plan)
        context.facts["reading"] = time.monotonic() - started
    ended = context.until - _ENDING * every
    _train(context, data, ended)


def _simulated(context: Context, corpus: Corpus, folder: Path, until: float) -> dict[str, dict[str, list[int]]]:
    """Simulate as many tilts as time allows; the tilts that were, by material and file."""
    tasks = planned_tasks(corpus)[: context.sizes.most_tilts]
    started = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(_write, corpus, folder)
        done = simulated(tasks, context.device.type, folder, until)
        written.result()
    done, failed = ([one for one in done if (one[2] in ("cpu", "cuda")) == right] for right in (True, False))
    if failed:
        context.facts["failed simulations"] = [[one[0], one[2]] for one in failed]
    for device in sorted({one[2] for one in done}):
        taken = [one[3] for one in done if one[2] == device]
        row = {"device": device, "tilts": len(taken), "seconds a tilt and process": sum(taken) / len(taken)}
        context.keep("Simulated tilts of a corpus", row | {"seconds": time.monotonic() - started})
    batches = {name: {str(tilt): [tilt] for tilt in images} for name, images in corpus.images.items()}
    for name, tilt, *_ in done:
        batches.setdefault(name, {})[str(tilt)] = [tilt]
    return batches


def _write(corpus: Corpus, folder: Path) -> None:
    """Write what the corpus holds, as the workflow's jobs do."""
    (folder / "potential").mkdir()
    for name, potential in corpus.potentials.items():
        potential.save(folder / "potential" / f"{name}.npz")
    for name, images in corpus.images.items():
        (folder / "images" / name).mkdir(parents=True, exist_ok=True)
        for tilt, one in images.items():
            save_images(folder / "images" / name / f"batch{tilt}.npz", [one])


def _train(context: Context, data: ColumnData, ended: float) -> None:
    plan = data.plan
    settings, names = plan.settings, data.names
    lightning.seed_everything(settings.training.seed, verbose=False)
    trial = ColumnTrainer(settings.model, settings.training, plan.sampling, 1000, plan.energy_kev)
    timed = Steps(context.sizes.warm_up, context.sizes.steps)
    second, waiting = looped(trial, data.splits(1), settings.training, names, timed, accelerator(context))
    steps = min(context.sizes.most_steps, max(1, int(0.95 * (ended - time.monotonic()) / second)))
    size = settings.training.batch_size
    row = {"width": settings.model.width, "crops a step": size, "seconds a step": second, "crops/s": size / second}
    context.keep("Training of the network for any crystal", row | {"waiting [%]": 100 * waiting / second})
    module = ColumnTrainer(settings.model, settings.training, plan.sampling, steps, plan.energy_kev)
    known = {**data.described(), "ranges": data.ranges()}

    def save(path: Path, pearson: float, step: int) -> None:
        described = {**known, "steps": step, "validation_pearson": pearson}
        save_column_weights(path, module.network, described, half=True)

    kept = Kept(COLUMN_WEIGHTS, save, {"model": asdict(settings.model), "errors measured": False})
    shown = {"error of the level": "validation_level_error"}
    best = fit_until(context, module, data.splits(1), settings.training, names, ended, kept, shown)
    network, _ = read_kept(context, context.facts["weights"], load_column_weights)
    module.network = network.to(context.device)
    data.calibrate(network)
    replace(kept, facts={**kept.facts, "errors measured": True}).write(context, *best)
    context.write()
