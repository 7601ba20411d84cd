"""The network for any crystal: simulate a corpus on the GPU and the CPU's cores, then train."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from benchmarks.gpu.context import Context
from benchmarks.gpu.corpus import FOLDER, Corpus, read_corpus
from benchmarks.gpu.corpus_simulation import planned_tasks, simulated
from benchmarks.gpu.layout import COLUMN_WEIGHTS, ROOT
from benchmarks.gpu.loop import Steps, Until, bare_trainer, looped
from benchmarks.gpu.pieces import split
from benchmarks.gpu.results import NOT_MEASURED
from iphasenet.multislice.periodic_images import save_images
from iphasenet.network.weights import save_column_weights
from iphasenet.training.callbacks import AveragedWeights, FiniteLosses
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


class _Curve(Callback):
    """Keeps each validation, and the state of the best one; it comes before `AveragedWeights`."""

    def __init__(self, context: Context) -> None:
        self.context, self.best, self.started = context, -1.0, time.monotonic()
        self.state: dict[str, torch.Tensor] = {}

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Add a row; keep the weights where they are better than all before."""
        found = {name: float(value) for name, value in trainer.callback_metrics.items()}
        pearson = found["validation_pearson"]
        if pearson > self.best:
            self.best = pearson
            self.state = {name: value.detach().clone() for name, value in pl_module.state_dict().items()}
        row = {"step": trainer.global_step, "seconds": time.monotonic() - self.started, "validation Pearson": pearson}
        self.context.keep("Validation", row | {"error of the level": found["validation_level_error"]})


def _train(context: Context, data: ColumnData, ended: float) -> None:
    plan = data.plan
    settings, accelerator = plan.settings, "cpu" if context.device.type == "cpu" else "auto"
    names = data.names
    lightning.seed_everything(settings.training.seed, verbose=False)
    trial = ColumnTrainer(settings.model, settings.training, plan.sampling, 1000, plan.energy_kev)
    timed = Steps(context.sizes.warm_up, context.sizes.steps)
    second, waiting = looped(trial, data.splits(1), settings.training, names, timed, accelerator)
    steps = min(context.sizes.most_steps, max(1, int(0.95 * (ended - time.monotonic()) / second)))
    size = settings.training.batch_size
    row = {"width": settings.model.width, "crops a step": size, "seconds a step": second, "crops/s": size / second}
    context.keep("Training of the network for any crystal", row | {"waiting [%]": 100 * waiting / second})
    module = ColumnTrainer(settings.model, settings.training, plan.sampling, steps, plan.energy_kev)
    curve, averages = _Curve(context), AveragedWeights(settings.training.ema_decay)
    chosen = [FiniteLosses(names), curve, averages, Until(lambda: min(ended - time.monotonic(), context.left()))]
    splits = data.splits(1)
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"max_steps": steps, "max_epochs": -1, "num_sanity_val_steps": 0}
        every = max(1, steps // context.sizes.curve)
        trainer = bare_trainer(
            settings.training,  # type: ignore[arg-type]
            folder,
            accelerator,
            chosen,
            val_check_interval=every,
            check_val_every_n_epoch=None,
            **options,
        )
        trainer.fit(module, splits)
        # The averages after the last step, which no validation may have followed.
        trainer.validate(module, splits, verbose=False)
    module.load_state_dict(curve.state)
    module.to(context.device)
    found = {"steps": trainer.global_step, "ranges": data.ranges(), "validation_pearson": curve.best}
    _keep(context, data, module, {**data.described(), **found})


def _keep(context: Context, data: ColumnData, module: ColumnTrainer, described: Mapping[str, Any]) -> None:
    """Write the weights in pieces, before their errors are measured and after it."""
    for measured in (False, True):
        if measured:
            data.calibrate(module.network)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / COLUMN_WEIGHTS
            save_column_weights(path, module.network, described, half=True)
            before: Sequence[str] = context.facts.get("weights", {}).get("pieces", ())
            kept = split(path.read_bytes(), context.output, COLUMN_WEIGHTS)
        context.facts["weights"] = {**kept, "model": asdict(module.network.settings), "errors measured": measured}
        context.write()
        for piece in set(before) - set(kept["pieces"]):
            (context.output / piece).unlink(missing_ok=True)
