"""Training of the network: reads data, writes checkpoints, history and weights."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch

from iphasenet.base.checksums import check_files
from iphasenet.base.errors import InputError
from iphasenet.base.files import write_table
from iphasenet.base.storage import Place, is_url
from iphasenet.dataset.material_data import MaterialData
from iphasenet.dataset.reader import open_dataset, read_split
from iphasenet.dataset.upload import find_dataset
from iphasenet.microscope.acquisition import TrainingNoise
from iphasenet.network.settings import ModelSettings
from iphasenet.network.weights import save_weights
from iphasenet.simulation.image import Image
from iphasenet.training.alone import alone_in
from iphasenet.training.callbacks import FiniteLosses, ValidationPictures
from iphasenet.training.checkpoints import NEWEST, Provenance, read_checkpoint, starting_point
from iphasenet.training.crops import Crops
from iphasenet.training.frames import Frames, StoredFrames
from iphasenet.training.history import read_history
from iphasenet.training.module import Splits, Training, validation_score
from iphasenet.training.process import is_first
from iphasenet.training.rendered_frames import RenderedFrames, SimulatedMaterial, load_simulated
from iphasenet.training.seen import describe_seen
from iphasenet.training.settings import TrainingSettings
from iphasenet.training.trained_on import TrainingInputs, describe_run, run_identity, segment_sums, trained_ranges
from iphasenet.training.trainer import make_trainer

NOISE = 0.01
"""Difference of two validation_pearson that may be chance: that of one training with two seeds."""


@dataclass(frozen=True)
class Sources:
    """
    Inputs of a training.

    Attributes
    ----------
    dataset : path or URL
        Assembled store, or the record of one that was uploaded (`iphasenet.dataset.upload`).
    stream : bool
        Read images from the store whenever they are needed, for sets larger than the memory.
    simulations : sequence of path
        Potentials and periodic images from which crops are rendered if the settings' source is 'rendered'.
    """

    dataset: Place
    stream: bool = False
    simulations: Sequence[Path] = ()


@dataclass(frozen=True)
class Outputs:
    """
    Outputs of a training.

    Attributes
    ----------
    weights : path
        safetensors file to be made.
    history : path
        CSV file of losses and metrics to be made.
    checkpoints : path
        Folder in which each run keeps checkpoints, logs and TensorBoard events under its identity.
    """

    weights: Path
    history: Path
    checkpoints: Path


def fit(
    sources: Sources,
    outputs: Outputs,
    noise: TrainingNoise,
    model: ModelSettings,
    settings: TrainingSettings,
    resume: Path | None = None,
    accelerator: str = "auto",
) -> None:
    """
    Train, or resume a training, and write the weights of the best epoch on the validation split.

    Parameters
    ----------
    sources : Sources
        Data set, and simulations if crops are rendered.
    outputs : Outputs
        Files to be made.
    noise : TrainingNoise
        Noise model.
    model : ModelSettings
        Architecture.
    settings : TrainingSettings
        How to train.
    resume : path, optional
        Checkpoint of the same run from which to resume; the run's newest one if not given.
    accelerator : str
        Lightning's accelerator: 'auto' uses GPUs if there are any, 'cpu' does not use them.
    """
    lightning.seed_everything(settings.seed, verbose=False)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    settings.check_processes(processes, model.norm)
    dataset = find_dataset(sources.dataset)
    inputs = _read(dataset, sources, noise, model, settings)
    validation, frames = inputs.data["validation"], _frames(inputs)
    crops = Crops(frames, noise, settings.crops_per_sample, settings.seed, settings.augmentation)
    described = describe_run(inputs)
    folder = outputs.checkpoints / run_identity(described)
    provenance = Provenance(described)
    callbacks = [provenance, FiniteLosses(frames.sample_names), ValidationPictures(validation, folder / "pictures")]
    splits = Splits(crops, validation, settings, processes)
    module = Training(model, settings, frames.sampling, splits.steps)
    with started(folder, resume, provenance) as start:
        trainer, best = make_trainer(folder, settings, accelerator, callbacks)
        # Here the other processes wait for the first one, which may have waited for another training.
        trainer.strategy.setup_environment()
        trainer.fit(module, splits, ckpt_path=trainer.strategy.broadcast(start), weights_only=True)
        if trainer.is_global_zero:
            state, score = best.read()
            _tell_of_average(module, validation, folder, score, trainer.strategy.root_device)
            module.load_state_dict(state)
            write_table(read_history(folder), outputs.history)
            known = _known(inputs, _attributes(dataset))
            save_weights(outputs.weights, module.network, {**described, **known, "validation_pearson": score})


def _read(
    dataset: Place, sources: Sources, noise: TrainingNoise, model: ModelSettings, settings: TrainingSettings
) -> TrainingInputs:
    """Read the data set, whole, and what crops are rendered from."""
    # Damage anywhere, also where training does not read: the test split judges the network, and is the disk's. All
    # that is read is checked chunk by chunk, here and in object storage, which is not read twice.
    if is_first() and not is_url(dataset):
        check_files(dataset)
    read = partial(read_split, dataset, stream=sources.stream, left_out=settings.leave_out)
    train, validation = list(read("train")), list(read("validation"))
    settings.check_image(min(min(data.potential.shape[1:]) for data in train))
    simulated = _simulated(train, sources.simulations, settings, _attributes(dataset))
    return TrainingInputs({"train": train, "validation": validation}, simulated, noise, model, settings)


def _attributes(dataset: Place) -> dict[str, Any]:
    """Attributes of the data set's root."""
    return open_dataset(dataset).attrs.asdict()


def _known(inputs: TrainingInputs, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Say what the weights have seen, and between which limits."""
    train, rendered = inputs.data["train"], {data.material: data.planned for data in inputs.simulations}
    return {
        "seen": describe_seen(train, inputs.data["validation"], rendered),
        "ranges": trained_ranges(train, inputs.noise, attributes),
        "segment_sum": segment_sums(train),
    }


def _tell_of_average(
    module: Training, validation: Sequence[MaterialData], folder: Path, score: float, device: torch.device
) -> None:
    """Warn if the last weights are better than their average, which is kept."""
    trained = read_checkpoint(folder / NEWEST).get("current_model_state")
    if trained is None:
        return
    module.load_state_dict(trained)
    without = validation_score(module, validation, device)
    if without > score + NOISE:
        warnings.warn(
            f"the average of the weights, which is kept, has a validation_pearson of {score:.3f}, the weights without "
            f"it {without:.3f}: lower training.ema_decay, or train for more steps",
            stacklevel=2,
        )


@contextmanager
def started(folder: Path, resume: Path | None, provenance: Provenance) -> Iterator[Path | None]:
    """Checkpoint from which to resume; the first process chooses it once no other training writes there."""
    if not is_first():
        yield None
        return
    with alone_in(folder):
        start = resume or starting_point(folder)
        if start is not None:
            provenance.check_file(start)
        yield start


def _simulated(
    train: Sequence[MaterialData],
    simulations: Sequence[Path],
    settings: TrainingSettings,
    attributes: Mapping[str, Any],
) -> list[SimulatedMaterial]:
    """Read the simulations of the training tilts if crops are rendered; other tilts are refused."""
    if settings.source == "stored":
        return []
    simulated = load_simulated(simulations, attributes.get("configuration"), settings.leave_out)
    for data, material in zip(train, simulated, strict=True):
        stored, rendered = sorted(set(data.coordinates["tilt"].tolist())), sorted(material.tilts)
        if stored != rendered:
            raise InputError(
                f"simulations of {data.material}: found the training tilts {_few(rendered)}; allowed: those of the "
                f"data set, {_few(stored)}: make it again, another version drew its splits"
            )
    return simulated


def _few(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:6])) + (", ..." if len(numbers) > 6 else "")


def _frames(inputs: TrainingInputs) -> Frames:
    """Frames from the source that the settings name."""
    train, crop = inputs.data["train"], inputs.training.crop_pixels
    if inputs.training.source == "stored":
        return StoredFrames(train, crop)
    return RenderedFrames(inputs.simulations, Image(crop, train[0].sampling))
