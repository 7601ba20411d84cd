"""Time that the training loop adds to the network's forward and backward pass, and its gain over the published loop.

    python -m benchmarks.training_loop DATASET [CONFIG] [BATCH]

In turn, on one GPU or on one CPU thread, crops a second of: the bare network with its loss on tensors that stand ready;
the real loop (crops, noise, augmentation, optimiser, averaging, logging) of CONFIG (config/laptop.yaml by default); and
a loop with the published one's settings: float32, one .npz a sample, read by the training process and cut to the
crop's side, no noise drawn. On a CPU in processor time, on a GPU in wall time. For crops: the share of the loop between
the end of a step and the next one's batch, in which a GPU draws crops or does nothing.
"""

import argparse
import tempfile
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from benchmarks.ablation import CONFIG, configuration
from benchmarks.gpu.loop import NpzImages, Steps, bare, looped
from iphasenet.base.devices import choose_device, use_threads
from iphasenet.dataset.reader import read_split
from iphasenet.microscope.acquisition import Acquisition, TrainingNoise
from iphasenet.microscope_files.export import export_npz
from iphasenet.network.settings import ModelSettings
from iphasenet.training.crops import Crops
from iphasenet.training.frames import StoredFrames
from iphasenet.training.module import Splits, Training
from iphasenet.training.settings import TrainingSettings

ROUNDS, STEPS = 5, Steps()


def read_settings(path: Path, batch: int | None) -> tuple[ModelSettings, TrainingSettings, TrainingNoise]:
    """Read the settings of a configuration that stands upon config.yaml."""
    config = configuration(path)
    settings, noise = TrainingSettings(**config["training"]), config["noise"]
    return (
        ModelSettings(**config["model"]),
        replace(settings, batch_size=batch or settings.batch_size),
        TrainingNoise(noise["training_dose"], Acquisition(**noise["acquisition"])),
    )


def measure(dataset: Path, folder: Path, config: Path, batch: int | None) -> None:
    """Measure in turn, print the ratios of each round."""
    model, settings, noise = read_settings(config, batch)
    device, size = torch.device(choose_device("auto")), settings.batch_size
    train = list(read_split(dataset, "train"))
    settings.check_image(min(data.potential.shape[1] for data in train))
    frames = StoredFrames(train, settings.crop_pixels)
    crops = Crops(frames, noise, settings.crops_per_sample, settings.seed, settings.augmentation)
    export_npz(dataset, folder / "npz")
    files = NpzImages(folder / "npz" / "train", settings.crop_pixels)
    names = frames.sample_names
    plain = replace(settings, precision="32-true", ema_decay=0.0)
    for _ in range(ROUNDS):
        batch_there = [part.to(device) for part in next(iter(DataLoader(crops, batch_size=size)))]
        splits = Splits(crops, train, settings, 1)
        fresh = partial(Training, model, sampling=frames.sampling, steps=splits.steps)
        alone = bare(fresh(settings=settings), batch_there, settings, STEPS)
        loop, waited = looped(fresh(settings=settings), splits, settings, names, STEPS)
        published, _ = looped(fresh(settings=plain), DataLoader(files, size, shuffle=True), plain, names, STEPS)
        print(
            f"{settings.precision}, batch {size}: bare {size / alone:.1f}, loop {size / loop:.1f} crops/s, "
            f"{loop / alone - 1:+.1%}; {waited / loop:.1%} for crops; published settings "
            f"{size / published:.1f} crops/s, gain {published / loop:.2f}",
            flush=True,
        )


def main() -> None:
    """Command line."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description="Speed of the network, of its training loop and of the published one.")
    parser.add_argument("dataset", type=Path, help="assembled Zarr store")
    parser.add_argument("config", type=Path, nargs="?", default=CONFIG / "laptop.yaml", help="upon config/config.yaml")
    parser.add_argument("batch", type=int, nargs="?", help="crops a step, the configuration's by default")
    options = parser.parse_args()
    with use_threads(1), tempfile.TemporaryDirectory() as folder:
        measure(options.dataset, Path(folder), options.config, options.batch)


if __name__ == "__main__":
    main()
