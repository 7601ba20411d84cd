"""Third step: crops a second of the published network in this loop and with the published loop's settings."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch.utils.data import ConcatDataset, DataLoader

from benchmarks.gpu.context import Context
from benchmarks.gpu.loop import NpzImages, Source, Steps, Until, bare, looped
from benchmarks.gpu.samples import as_npz, crop_frames, rendered_split, training_noise
from iphasenet.base.devices import room_for_images
from iphasenet.network.settings import ModelSettings
from iphasenet.simulation.image import Image
from iphasenet.training.crops import Crops
from iphasenet.training.frames import Frames, StoredFrames
from iphasenet.training.module import Splits, Training
from iphasenet.training.settings import TrainingSettings

_TABLE = "Crops a second"

_PASSES = 64
"""Crops of each sample in an epoch: few samples are packed, and an epoch's end would count."""


@dataclass(frozen=True)
class _Case:
    """What is timed: a network, where its crops come from, with what precision."""

    feature_size: int
    source: str
    precision: str = "bf16-mixed"
    compiled: bool = False

    @property
    def named(self) -> dict[str, Any]:
        """First columns of its row."""
        known = {"feature size": self.feature_size, "crops": self.source, "precision": self.precision}
        return {**known, "compiled": self.compiled}


def _cases(context: Context) -> Iterator[_Case]:
    published, *others = context.sizes.feature_sizes
    yield _Case(published, "rendered")
    yield _Case(published, "npz", "32-true")
    yield _Case(published, "stored")
    for size in others:
        yield _Case(size, "rendered")
    # Last, for it may take minutes.
    yield _Case(published, "rendered", compiled=True)


def measure(context: Context) -> None:
    """Measure all cases in turn."""
    packed, sizes = context.packed, context.sizes
    image = Image(sizes.crop_pixels, packed.configuration["image"]["sampling_angstrom"])
    stored = rendered_split(packed, "train", image, max(1, sizes.npz // len(packed.materials)), noisy=False)
    with tempfile.TemporaryDirectory() as name:
        as_npz(stored, Path(name))
        frames: dict[str, Frames] = {
            "rendered": crop_frames(packed, image),
            "stored": StoredFrames(stored, image.pixels),
        }
        cases = list(_cases(context))
        context.plan(_TABLE, [case.named for case in cases])
        for case in cases:
            with context.row(_TABLE, **case.named) as row:
                row |= _timed(context, case, frames.get(case.source, frames["stored"]), image, Path(name))


def _timed(context: Context, case: _Case, frames: Frames, image: Image, files: Path) -> dict[str, Any]:
    """Speed of one case."""
    sizes, packed, device = context.sizes, context.packed, context.device
    model = ModelSettings(**{**packed.published["model"], "feature_size": case.feature_size})
    changed = {"precision": case.precision, "crop_pixels": image.pixels, "batch_size": sizes.batch_size, "ema_decay": 0}
    settings = TrainingSettings(**{**packed.published["training"], **changed})
    crops = Crops(frames, training_noise(packed), _PASSES, settings.seed, settings.augmentation)
    splits, steps = Splits(crops, [], settings, context.processes), Steps(sizes.warm_up, sizes.steps)
    fresh = partial(_fresh, context, model, settings, image.sampling_angstrom, case.compiled)
    share, batch = settings.batch_size // context.processes, settings.batch_size
    source: Source = splits
    if case.source == "npz":
        # Each process has its own batches here, of as many crops.
        batch = share * context.processes
        source = DataLoader(ConcatDataset([NpzImages(files, image.pixels)] * _PASSES), share, shuffle=True)
    accelerator = "cpu" if device.type == "cpu" else "auto"
    ending = [Until(context.left)]
    second, waited = looped(fresh(), source, settings, frames.sample_names, steps, accelerator, ending)
    found: dict[str, Any] = {
        "batch": batch,
        "samples/s": batch / second,
        "waiting": waited / second,
    }
    found |= {"waiting below 5 %": waited < 0.05 * second, "memory [GB]": context.peak()}
    if case.source == "rendered" and not case.compiled:
        if device.type == "cuda":
            frames.to(device, room_for_images(device))
        ready = [part.to(device) for part in next(iter(DataLoader(crops, batch_size=share)))]
        found["bare network, samples/s"] = share * context.processes / bare(fresh(), ready, settings, steps)
    return found


def _fresh(
    context: Context, model: ModelSettings, settings: TrainingSettings, sampling: float, compiled: bool
) -> Training:
    module = Training(model, settings, sampling=sampling, steps=1000)
    if compiled and context.device.type == "cuda":
        module.network.compile()
    elif compiled:
        # Tracing all of it takes a CPU half a minute, and compiling it minutes.
        module.network.network.decoder1.compile(backend="eager")
    return module
