"""What a network for any crystal is trained on: the plan that the workflow writes, and the crystals that it names."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from iphasenet.base.errors import InputError
from iphasenet.base.reading import read_json
from iphasenet.base.stage_versions import STAGE_VERSIONS
from iphasenet.microscope.acquisition import Acquisition, TrainingNoise
from iphasenet.network.column_network import ColumnNetwork
from iphasenet.simulation.grid import SPLITS, Split
from iphasenet.simulation.image import Image
from iphasenet.training.column_calibration import calibrate
from iphasenet.training.column_crops import ColumnCrops, ColumnMaterial, ColumnRenderer, load_materials
from iphasenet.training.column_settings import ColumnNetworkSettings, ColumnTraining
from iphasenet.training.column_training import ColumnSplits
from iphasenet.training.trained_on import checksum

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

    @property
    def energy_kev(self) -> float:
        """Beam energy [keV]."""
        return float(self.configuration["optics"]["energy_kev"])

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


@dataclass(frozen=True)
class ColumnData:
    """
    Crystals that train and validate a network, and what is made of them.

    Attributes
    ----------
    plan : ColumnPlan
        Data and settings.
    seen, unseen : sequence of ColumnMaterial
        Crystals of the training, and those that validate it.
    renderer : ColumnRenderer
        Renders crops of all of them.
    """

    plan: ColumnPlan
    seen: Sequence[ColumnMaterial]
    unseen: Sequence[ColumnMaterial]
    renderer: ColumnRenderer

    @classmethod
    def of(cls, plan: ColumnPlan) -> "ColumnData":
        """Read the crystals of a plan."""
        # Of crystals that are trained on, the tilts of the test split test the network.
        seen, unseen = plan.materials("train", ("train", "validation")), plan.materials("validation")
        image = Image(plan.settings.training.crop_pixels, plan.sampling)
        return cls(plan, seen, unseen, ColumnRenderer([*seen, *unseen], image, plan.acquisition.readout_electrons))

    @property
    def names(self) -> list[str]:
        """Crystals of the training."""
        return [material.name for material in self.seen]

    def splits(self, processes: int) -> ColumnSplits:
        """Crops for training and validation, shared among processes."""
        settings = self.plan.settings.training
        crops, validation = self._crops(settings, settings.crops_per_epoch, settings.validation_crops)
        return ColumnSplits(crops, validation, self.renderer, settings, processes)

    def calibrate(self, network: ColumnNetwork) -> None:
        """Measure the errors of a trained network (`iphasenet.training.column_calibration.calibrate`)."""
        settings = self.plan.settings.training
        count = min(_CALIBRATION, settings.crops_per_epoch)
        calibrate(network, self.renderer, *self._crops(replace(settings, seed=settings.seed ^ 1), count, count))

    def _crops(self, settings: ColumnTraining, seen: int, unseen: int) -> tuple[ColumnCrops, ColumnCrops]:
        noise = self.plan.noise
        others = ColumnCrops(self.unseen, settings, noise, unseen, told=False, first=len(self.seen))
        return ColumnCrops(self.seen, settings, noise, seen), others

    def described(self, start: Path | None = None) -> dict[str, Any]:
        """Describe a run: only one with the same inputs and the same code may be resumed."""
        plan = self.plan
        described = {
            "stage": STAGE_VERSIONS["columns"],
            "crystals": self.names,
            "validated_on": [material.name for material in self.unseen],
            "sampling_angstrom": plan.sampling,
            "data": f"{checksum([self.seen, self.unseen]):08x}",
            **({} if start is None else {"started_from": hashlib.sha256(start.read_bytes()).hexdigest()}),
            "noise": asdict(plan.noise),
            **{name: asdict(part) for name, part in vars(plan.settings).items()},
        }
        plain: dict[str, Any] = json.loads(json.dumps(described))
        return plain

    def ranges(self) -> dict[str, list[float]]:
        """Lowest and highest values of what the network has seen."""
        plan, seen = self.plan, self.seen
        thicknesses = np.concatenate([material.thicknesses for material in seen])
        tilts = [np.degrees(np.hypot(*tilt.lean)) for material in seen for tilt in material.orientations]
        optics = np.concatenate([material.optics.reshape(-1, 4) for material in seen])
        names = ("defocus_angstrom", "semiangle_mrad", "detector_inner_mrad", "detector_outer_mrad")
        temperature = float(plan.configuration["simulation"].get("temperature_k", 0))
        return {
            "thickness_nm": [float(thicknesses.min()), float(thicknesses.max())],
            "tilt_deg": [float(min(tilts)), float(max(tilts))],
            "dose": list(plan.noise.dose),
            "sampling_angstrom": [plan.sampling, plan.sampling],
            "temperature_k": [temperature, temperature],
            "energy_kev": [plan.energy_kev, plan.energy_kev],
            **{
                name: [float(low), float(high)]
                for name, low, high in zip(names, optics.min(0), optics.max(0), strict=True)
            },
        }
