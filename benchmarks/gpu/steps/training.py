"""Fourth step: train the largest network for which the time suffices, on crops rendered on the training device."""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch

from benchmarks.gpu.context import Context
from benchmarks.gpu.fitting import Kept, accelerator, fit_until, read_kept
from benchmarks.gpu.layout import ROOT, TRAINED, WEIGHTS
from benchmarks.gpu.loop import Steps, Until, looped
from benchmarks.gpu.samples import DOSE, crop_frames, planned_split, rendered_split, training_noise
from iphasenet.dataset.material_data import MaterialData
from iphasenet.evaluation.metrics import score
from iphasenet.evaluation.prediction import predict_images
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.settings import ModelSettings
from iphasenet.network.weights import load_weights, save_weights, weights_in
from iphasenet.simulation.image import Image
from iphasenet.training.crops import Crops
from iphasenet.training.module import Splits, Training
from iphasenet.training.seen import SEEN, describe_seen, what_is_new
from iphasenet.training.settings import TrainingSettings
from iphasenet.training.trained_on import TrainingInputs, describe_run, segment_sums, trained_ranges

SHIPPED = ROOT / "resources" / "models"
"""Networks that a trained one is judged beside."""

_KEPT = 0.15
"""Share of the time for scores and weights."""

_AS_MANY = 0.8
"""Share of the most crops with which a larger network is taken, if no network sees enough."""


def measure(context: Context) -> None:
    """Choose, train, keep the weights, then judge them beside the shipped ones."""
    packed, sizes = context.packed, context.sizes
    image, every = Image(sizes.trained_pixels, sizes.trained_sampling), context.left()
    crops = Crops(crop_frames(packed, image), training_noise(packed), 1, _settings(context).seed, "symmetry")
    validation = rendered_split(packed, "validation", image, sizes.validation)
    ended = context.until - _KEPT * every
    model, second = _largest(context, crops, image, ended)
    steps = min(sizes.most_steps, max(1, int(0.95 * (ended - time.monotonic()) / second)))
    context.facts["trained"] = {"feature size": model.feature_size, "steps planned": steps, "seconds a step": second}
    train = rendered_split(packed, "train", image, sizes.validation, noisy=False)
    described = _described(context, model, train, validation)
    _train(context, model, crops, validation, described, steps, ended)
    if context.is_first and "weights" in context.facts:
        _judge(context)


def _settings(context: Context) -> TrainingSettings:
    """Take the settings of config/config.yaml, and those of a training of minutes."""
    sizes, known = context.sizes, context.packed.full["training"]
    changed = {"crop_pixels": sizes.trained_pixels, "batch_size": sizes.trained_batch, "learning_rate": 1e-3}
    return TrainingSettings(**{**known, **changed, "ema_decay": 0.998, "source": "rendered"})


def _largest(context: Context, crops: Crops, image: Image, ended: float) -> tuple[ModelSettings, float]:
    """Largest network that sees enough crops in the time that is left, and how long its step takes [s]."""
    settings, sizes = _settings(context), context.sizes
    found: list[tuple[int, ModelSettings, float]] = []
    for size in sizes.feature_sizes:
        model = ModelSettings(**{**context.packed.full["model"], "feature_size": size})
        module = Training(model, settings, image.sampling_angstrom, 1000)
        names, ending = crops.frames.sample_names, [Until(lambda: ended - time.monotonic())]
        source = Splits(crops, [], settings, context.processes)
        second, _ = looped(
            module,
            source,
            settings,
            names,
            Steps(sizes.warm_up, max(1, sizes.steps // 2)),
            accelerator(context),
            ending,
        )
        second = _agreed(context, second)
        seen = int((ended - time.monotonic()) / second) * settings.batch_size
        context.tables.setdefault("Networks and the time left", []).append(
            {"feature size": size, "seconds a step": second, "crops": seen, "enough": seen >= sizes.enough}
        )
        context.write()
        found.append((seen, model, second))
        if seen >= sizes.enough:
            break
    # Where the host limits the steps, a larger network sees as many crops as a small one.
    most = max(seen for seen, *_ in found)
    return next((model, second) for seen, model, second in found if seen >= min(sizes.enough, _AS_MANY * most))


def _agreed(context: Context, value: float) -> float:
    """Largest value of all processes: they must choose alike."""
    if context.processes == 1:
        return value
    found = torch.tensor(value, device=context.device)
    torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
    return float(found)


def _train(
    context: Context,
    model: ModelSettings,
    crops: Crops,
    validation: Sequence[MaterialData],
    described: Mapping[str, Any],
    steps: int,
    ended: float,
) -> None:
    settings = _settings(context)
    lightning.seed_everything(settings.seed, verbose=False)
    module = Training(model, settings, crops.frames.sampling, steps)
    splits = Splits(crops, validation, settings, context.processes)

    def save(path: Path, pearson: float, _step: int) -> None:
        save_weights(path, module.network, {**described, "validation_pearson": pearson}, half=True)

    kept = Kept(WEIGHTS, save, {"model": asdict(model)})
    names, shown = crops.frames.sample_names, {"validation loss": "validation_loss"}
    fit_until(context, module, splits, settings, names, ended, kept, shown)


def _described(
    context: Context, model: ModelSettings, train: Sequence[MaterialData], validation: Sequence[MaterialData]
) -> dict[str, Any]:
    """Say what is kept with the weights."""
    noise = training_noise(context.packed)
    described = describe_run(
        TrainingInputs({"train": train, "validation": validation}, (), noise, model, _settings(context))
    )
    planned = planned_split(context.packed, "train", train[0].sampling)
    ranges = trained_ranges(planned, noise, {"configuration": context.packed.configuration})
    seen = describe_seen(planned, planned_split(context.packed, "validation", train[0].sampling))
    return {**described, "seen": seen, "ranges": ranges, "segment_sum": segment_sums(train)}


def trained_network(context: Context, kept: Mapping[str, Any]) -> tuple[PotentialNetwork, dict[str, Any]]:
    """Read the weights that go back, and what is kept with them."""
    return read_kept(context, kept, load_weights)


def _networks(context: Context) -> Iterator[tuple[str, PotentialNetwork, Any, str]]:
    """Names, networks, what they have seen, checksums of their files: the trained one, then all that are shipped."""
    kept = context.facts["weights"]
    network, described = trained_network(context, kept)
    yield TRAINED, network, described["seen"], kept["sha256"]
    for path in weights_in(SHIPPED):
        network, described = load_weights(path)
        yield path.stem, network, described.get("seen"), hashlib.sha256(path.read_bytes()).hexdigest()


def _judge(context: Context) -> None:
    """Scores of the trained and the shipped networks on tilts that neither the training nor its end has seen."""
    sizes, table = context.sizes, f"Held-out tilts at {DOSE:g} e/Å²"
    for name, network, seen, checksum in _networks(context):
        network.to(context.device).eval()
        test = rendered_split(context.packed, "test", Image(sizes.trained_pixels, network.sampling), sizes.test)
        means: list[dict[str, float]] = []
        samples = 0
        for every in test:
            new = what_is_new(seen, every.crystal, every.coordinates)
            data = every.select(np.flatnonzero(np.array(new) != SEEN))
            if not len(data.potential):
                continue
            ways = ", ".join(sorted(set(new) - {SEEN}))
            with context.row(table, network=name, crystal=data.material, new=ways) as row:
                predicted, _ = predict_images(network, data.noisy_segments[:, 0], data.metadata, 4, 32)
                found = {key: float(value.mean()) for key, value in score(predicted, data.potential).items()}
                row |= {"samples": len(predicted), **_shown(found)}
                means.append(found)
                samples += len(predicted)
        if len(means) < len(test):
            continue
        with context.row(table, network=name, crystal="mean") as row:
            mean = {key: sum(one[key] for one in means) / len(means) for key in means[0]}
            row |= {"samples": samples, **_shown(mean)}
            known = {"sha256": checksum, "pearson": mean["pearson"], "mae": mean["mae"]}
            context.facts.setdefault("scores", {})[name] = known


def _shown(found: dict[str, float]) -> dict[str, float]:
    return {
        "Pearson": found["pearson"],
        "MAE [V Å]": found["mae"],
        "MAE / maximum [%]": 100 * found["mae_share_of_max"],
        "peak error [%]": 100 * found["peak_error"],
        "PSNR, own range [dB]": found["psnr_own_range"],
        "SSIM": found["ssim"],
    }
