"""Training of the network for any crystal: reads simulations, writes checkpoints, history and weights.

torchrun --standalone --nproc-per-node=2 -m iphasenet.training.column_fit --help
"""

import argparse
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning
import numpy as np

from iphasenet.base.errors import InputError
from iphasenet.base.files import write_table
from iphasenet.base.marks import HISTORY, WEIGHTS
from iphasenet.base.outputs import Output, check_outputs
from iphasenet.base.reading import read_json
from iphasenet.base.stage_versions import STAGE_VERSIONS
from iphasenet.microscope.acquisition import Acquisition, TrainingNoise
from iphasenet.network.column_network import ColumnNetwork
from iphasenet.network.weights import load_column_weights, save_column_weights
from iphasenet.simulation.grid import SPLITS, Split
from iphasenet.training.callbacks import FiniteLosses
from iphasenet.training.checkpoints import Provenance
from iphasenet.training.column_calibration import calibrate
from iphasenet.training.column_crops import ColumnCrops, ColumnMaterial, load_materials
from iphasenet.training.column_settings import ColumnNetworkSettings
from iphasenet.training.column_training import ColumnSplits, ColumnTrainer
from iphasenet.training.fit import started
from iphasenet.training.history import read_history
from iphasenet.training.process import is_first, training_process
from iphasenet.training.trained_on import checksum, run_identity
from iphasenet.training.trainer import make_trainer

_CALIBRATION = 1000
"""Crops by which the network's errors are scaled; not more than those of an epoch."""


@dataclass(frozen=True)
class ColumnPlan:
    """
    What a network for any crystal is trained on.

    Attributes
    ----------
    configuration : mapping
        Configuration of the run, one zone axis each material.
    splits : mapping
        Split of each material: those of training and validation are used.
    batches : mapping
        Tilts of each material that are simulated, by the number of the file that holds them.
    data : path
        Folder of `potential` and `images`.
    """

    configuration: Mapping[str, Any]
    splits: Mapping[str, Split]
    batches: Mapping[str, Mapping[str, Sequence[int]]]
    data: Path

    @classmethod
    def load(cls, path: Path, data: Path) -> "ColumnPlan":
        """Read the file that the workflow wrote; InputError for what is none."""
        found = read_json(path)
        lacking = [name for name in ("configuration", "splits", "batches") if not isinstance(found.get(name), dict)]
        if lacking:
            raise InputError(f"{path}: found no plan of a training, without {lacking[0]}; allowed: the workflow's own")
        return cls(found["configuration"], found["splits"], found["batches"], data)

    @property
    def settings(self) -> ColumnNetworkSettings:
        """Architecture and training."""
        return ColumnNetworkSettings(**self.configuration["column_network"])

    @property
    def sampling(self) -> float:
        """Pixel size [Å]."""
        return float(self.configuration["image"]["sampling_angstrom"])

    @cached_property
    def acquisition(self) -> Acquisition:
        """Imperfections of scan and detector."""
        return Acquisition(**self.configuration["noise"]["acquisition"])

    @property
    def noise(self) -> TrainingNoise:
        """Noise of training."""
        return TrainingNoise(self.configuration["noise"]["training_dose"], self.acquisition)

    def materials(self, split: Split, tilts: Sequence[Split] = SPLITS) -> list[ColumnMaterial]:
        """
        Read the crystals of a split.

        Parameters
        ----------
        split : {'train', 'validation', 'test'}
            Split of the crystals.
        tilts : sequence of {'train', 'validation', 'test'}
            Splits of their tilts.
        """
        names = [name for name, found in self.splits.items() if found == split]
        if not names:
            raise InputError(f"crystals: found none in the split '{split}'; allowed: at least one in each")
        return load_materials(
            self.data, {name: self.batches[name] for name in names}, self.configuration, self.sampling, tilts
        )


def fit_columns(plan: ColumnPlan, weights: Path, history: Path, checkpoints: Path, accelerator: str = "auto") -> None:
    """
    Train, or resume a training, and write the weights of the best epoch on crystals that are not trained on.

    Parameters
    ----------
    plan : ColumnPlan
        Data and settings.
    weights, history, checkpoints : path
        As in `iphasenet.training.fit.Outputs`.
    accelerator : str
        Lightning's accelerator: 'auto' uses GPUs if there are any, 'cpu' does not use them.
    """
    settings = plan.settings
    training = settings.training
    lightning.seed_everything(training.seed, verbose=False)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    # Of crystals that are trained on, the tilts of the test split test the network.
    seen, unseen = plan.materials("train", ("train", "validation")), plan.materials("validation")
    crops = ColumnCrops(seen, training, plan.noise, plan.sampling, training.crops_per_epoch)
    validation = ColumnCrops(unseen, training, plan.noise, plan.sampling, training.validation_crops, told=False)
    splits = ColumnSplits(crops, validation, training, processes)
    module = ColumnTrainer(settings.model, training, plan.sampling, splits.steps)
    start = None if training.start is None else Path(training.start)
    if start is not None:
        _begin_with(module.network, start)
    described = _described(plan, seen, unseen, start)
    folder = checkpoints / run_identity(described)
    provenance = Provenance(described)
    with started(folder, None, provenance) as checkpoint:
        names = [material.name for material in seen]
        trainer, best = make_trainer(folder, training, accelerator, [provenance, FiniteLosses(names)])
        trainer.strategy.setup_environment()
        trainer.fit(module, splits, ckpt_path=trainer.strategy.broadcast(checkpoint), weights_only=True)
        if trainer.is_global_zero:
            state, score = best.read()
            module.load_state_dict(state)
            fixed, count = replace(training, seed=training.seed ^ 1), min(_CALIBRATION, training.crops_per_epoch)
            usual = ColumnCrops(seen, fixed, plan.noise, plan.sampling, count)
            others = ColumnCrops(unseen, fixed, plan.noise, plan.sampling, count, told=False)
            calibrate(module.network, usual, others)
            write_table(read_history(folder), history)
            known = {"ranges": _ranges(plan, seen), "validation_pearson": score}
            save_column_weights(weights, module.network, {**described, **known})


def _begin_with(network: ColumnNetwork, weights: Path) -> None:
    """Take the weights of an earlier training; InputError if they are of another architecture or pixel."""
    earlier, _ = load_column_weights(weights)
    now, then = ((one.settings, one.sampling) for one in (network, earlier))
    if now != then:
        raise InputError(
            f"column_network.training.start: found {weights} with {then[0]} and pixels of {then[1]:g} Å; allowed: "
            f"those of this run, {now[0]} and {now[1]:g} Å"
        )
    network.load_state_dict(earlier.state_dict())


def _described(
    plan: ColumnPlan, seen: Sequence[ColumnMaterial], unseen: Sequence[ColumnMaterial], start: Path | None
) -> dict[str, Any]:
    """Describe a run: only one with the same inputs and the same code may be resumed."""
    described = {
        "stage": STAGE_VERSIONS["columns"],
        "crystals": [material.name for material in seen],
        "validated_on": [material.name for material in unseen],
        "sampling_angstrom": plan.sampling,
        "data": f"{checksum([seen, unseen]):08x}",
        **({} if start is None else {"started_from": hashlib.sha256(start.read_bytes()).hexdigest()}),
        "noise": asdict(plan.noise),
        **{name: asdict(part) for name, part in vars(plan.settings).items()},
    }
    plain: dict[str, Any] = json.loads(json.dumps(described))
    return plain


def _ranges(plan: ColumnPlan, seen: Sequence[ColumnMaterial]) -> dict[str, list[float]]:
    """Lowest and highest values of what the network has seen."""
    thicknesses = np.concatenate([material.thicknesses for material in seen])
    tilts = [np.degrees(np.hypot(*tilt.lean)) for material in seen for tilt in material.orientations]
    optics = np.concatenate([material.optics.reshape(-1, 4) for material in seen])
    names = ("defocus_angstrom", "semiangle_mrad", "detector_inner_mrad", "detector_outer_mrad")
    energy = float(plan.configuration["optics"]["energy_kev"])
    temperature = float(plan.configuration["simulation"].get("temperature_k", 0))
    return {
        "thickness_nm": [float(thicknesses.min()), float(thicknesses.max())],
        "tilt_deg": [float(min(tilts)), float(max(tilts))],
        "dose": list(plan.noise.dose),
        "sampling_angstrom": [plan.sampling, plan.sampling],
        "temperature_k": [temperature, temperature],
        "energy_kev": [energy, energy],
        **{
            name: [float(low), float(high)] for name, low, high in zip(names, optics.min(0), optics.max(0), strict=True)
        },
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of a training process."""
    parser = argparse.ArgumentParser(
        prog="iphasenet.training.column_fit", description="Train the network for any crystal on simulations."
    )
    parser.add_argument("--plan", type=Path, required=True, help="JSON: configuration, and split of each material")
    parser.add_argument("--data", type=Path, required=True, help="folder of the simulations: potential and images")
    parser.add_argument("--weights", type=Path, required=True, help="safetensors file to be made")
    parser.add_argument("--history", type=Path, required=True, help="CSV file of losses and metrics to be made")
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder of checkpoints, which stay after a run")
    parser.add_argument("--accelerator", choices=("auto", "cpu"), default="auto", help="auto uses GPUs, cpu does not")
    parser.add_argument(
        "--threads", type=int, default=1, help="CPU threads of all processes on this machine, 1 if not given"
    )
    options = parser.parse_args(arguments)
    with training_process(options.threads):
        if is_first():
            asked = (
                Output("--weights", options.weights, WEIGHTS, (".safetensors",), folder=False),
                Output("--history", options.history, HISTORY, (".csv",), folder=False),
                Output("--checkpoints", options.checkpoints, folder=True, added=True),
            )
            check_outputs(asked, [options.plan, options.data / "potential", options.data / "images"])
        plan = ColumnPlan.load(options.plan, options.data)
        fit_columns(plan, options.weights, options.history, options.checkpoints, options.accelerator)


if __name__ == "__main__":
    main()
