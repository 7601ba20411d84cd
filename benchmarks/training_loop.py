"""What the training loop adds to the bare network's forward and backward pass, on one thread.

python benchmarks/training_loop.py DATASET

Times in turn: steps of the bare network with its loss on tensors that stand ready, and steps of the real loop (crops,
noise, augmentation, optimiser, averaging, logging), both in processor time of this process.
"""

import sys
import tempfile
import time
import warnings
from pathlib import Path

import lightning
import numpy as np
import torch
import yaml
from ablation import CONFIG, configuration
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger

from iphasenet.acquisition import Acquisition, TrainingNoise
from iphasenet.crops import Crops
from iphasenet.dataset import read_split
from iphasenet.devices import use_threads
from iphasenet.frames import StoredFrames
from iphasenet.losses import contrast, training_loss
from iphasenet.model import ModelSettings, PotentialNetwork
from iphasenet.train import optional_callbacks
from iphasenet.training import Splits, Training
from iphasenet.training_settings import TrainingSettings

STEPS, ROUNDS, BATCH = 25, 4, 4


class Clock(Callback):
    """Processor time at the end of each step."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, *_arguments: object) -> None:
        """Note the time."""
        self.times.append(time.process_time())


def bare(model: ModelSettings, settings: TrainingSettings, sampling: float) -> float:
    """Seconds a step of forward and backward."""
    network = PotentialNetwork(model, settings.output_scale_v, sampling)
    side = settings.crop_pixels
    segments, target = torch.rand(BATCH, 4, side, side) * 0.1, torch.rand(BATCH, side, side) * 40
    metadata = torch.tensor([[80.0, 0.2, 0.3, 33.0]] * BATCH)
    times = []
    for _ in range(STEPS):
        started = time.process_time()
        prediction, spread = network(segments, metadata)
        training_loss(prediction, spread, target, contrast(target), settings.loss).backward()
        network.zero_grad()
        times.append(time.process_time() - started)
    return float(np.median(times))


def looped(splits: Splits, model: ModelSettings, settings: TrainingSettings, sampling: float) -> float:
    """Seconds a step of the real loop."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_steps=STEPS,
            limit_val_batches=0,
            use_distributed_sampler=False,
            gradient_clip_val=1.0,
            logger=CSVLogger(folder),
            callbacks=[*optional_callbacks(settings), clock],
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
        )
        trainer.fit(Training(model, settings, sampling), splits)
    return float(np.median(np.diff(clock.times)))


def main() -> None:
    """Measure in turn, print the ratio of each pair."""
    warnings.filterwarnings("ignore")
    config = configuration()
    laptop = yaml.safe_load((CONFIG / "laptop.yaml").read_text())["training"]
    changed = {"batch_size": BATCH, "crop_pixels": laptop["crop_pixels"]}
    model, settings = ModelSettings(**config["model"]), TrainingSettings(**{**config["training"], **changed})
    noise = TrainingNoise(config["noise"]["training_dose"], Acquisition(**config["noise"]["acquisition"]))
    train = list(read_split(Path(sys.argv[1]), "validation"))
    frames = StoredFrames(train, settings.crop_pixels)
    crops = Crops(frames, noise, settings.crops_per_sample, settings.seed, settings.augmentation)
    splits = Splits(crops, train, settings, 1)
    with use_threads(1):
        for _ in range(ROUNDS):
            one, two = bare(model, settings, train[0].sampling), looped(splits, model, settings, train[0].sampling)
            print(
                f"bare {1e3 * one:.0f} ms, loop {1e3 * two:.0f} ms a step of {BATCH}: {two / one - 1:+.1%}", flush=True
            )


if __name__ == "__main__":
    main()
