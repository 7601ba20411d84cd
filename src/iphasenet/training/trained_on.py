"""Description of a training: the run's name, and the numbers that are kept with the weights."""

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from torch import Tensor

from iphasenet.base.recorded_names import recorded_name
from iphasenet.base.stage_versions import STAGE_VERSIONS
from iphasenet.dataset.material_data import MaterialData, zone_axis_angle
from iphasenet.microscope.acquisition import TrainingNoise
from iphasenet.network.settings import ModelSettings
from iphasenet.training.rendered_frames import SimulatedMaterial
from iphasenet.training.settings import TrainingSettings


@dataclass(frozen=True)
class TrainingInputs:
    """
    All inputs of a training except the code. The run's identity is made from every field, so that none is forgotten.

    Attributes
    ----------
    data : mapping
        Samples of the training and validation splits, material by material.
    simulations : sequence of SimulatedMaterial
        Simulations from which crops are rendered; empty if crops are cut from the samples.
    noise : TrainingNoise
        Noise model.
    model : ModelSettings
        Architecture.
    training : TrainingSettings
        How to train.
    """

    data: Mapping[str, Sequence[MaterialData]]
    simulations: Sequence[SimulatedMaterial]
    noise: TrainingNoise
    model: ModelSettings
    training: TrainingSettings


_TOLD = (TrainingNoise, ModelSettings, TrainingSettings)
"""Types of inputs that are described by all their values; others are described by a checksum."""


def describe_run(inputs: TrainingInputs) -> dict[str, Any]:
    """
    Describe a run: only a run with the same inputs and the same code may be resumed.

    Parameters
    ----------
    inputs : TrainingInputs
        All inputs of the run.

    Returns
    -------
    dict
        Plain values, nested: each field of the inputs by its name, and facts about them.
    """
    train = inputs.data["train"]
    described = {
        "stage": STAGE_VERSIONS["model"],
        "materials": list(dict.fromkeys(part.material for part in (*train, *inputs.data["validation"]))),
        "sampling_angstrom": train[0].sampling,
    }
    for field in fields(inputs):
        value = getattr(inputs, field.name)
        described[field.name] = _told(value) if isinstance(value, _TOLD) else f"{checksum(value):08x}"
    plain: dict[str, Any] = json.loads(json.dumps(described))
    return plain


def _told(settings: Any) -> dict[str, Any]:
    """Write settings by name; whole thicknesses that are left out have no point, as in configurations."""
    told = asdict(settings)
    if "leave_out" in told:
        left_out = told["leave_out"]["thickness_nm"]
        told["leave_out"]["thickness_nm"] = [int(t) if t.is_integer() else t for t in left_out]
    return told


def checksum(value: Any, start: int = 0) -> int:
    """CRC-32 of a value; images are read row by row, so that those in memory and in the store give the same."""
    if is_dataclass(value):
        compared = {recorded_name(part): getattr(value, part.name) for part in fields(value) if part.compare}
        return checksum(compared, start)
    if isinstance(value, Mapping):
        return checksum([part for key in sorted(value) for part in (key, value[key])], start)
    if isinstance(value, Tensor):
        value = value.numpy(force=True)
    is_numbers = value.dtype.kind in "biufc" if isinstance(value, np.ndarray) else hasattr(value, "shape")
    if is_numbers and value.shape:
        start = zlib.crc32(str(value.shape).encode(), start)
        for row in range(len(value)):
            start = zlib.crc32(np.ascontiguousarray(value[row]).data, start)
        return start
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        start = zlib.crc32(f"{len(value)}".encode(), start)
        for part in value:
            start = checksum(part, start)
        return start
    return zlib.crc32(repr(value).encode(), start)


def run_identity(described: dict[str, Any]) -> str:
    """Twelve hexadecimal digits that name a run."""
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]


def trained_ranges(
    train: Sequence[MaterialData], noise: TrainingNoise, attributes: Mapping[str, Any]
) -> dict[str, list[float]]:
    """
    Ranges of the settings of the images that a network has seen.

    Parameters
    ----------
    train : sequence of MaterialData
        Training split.
    noise : TrainingNoise
        Noise model.
    attributes : mapping
        Attributes of the data set's root; optics and temperature are taken from them if they are there.

    Returns
    -------
    dict
        Lowest and highest thickness_nm, tilt_deg (angle between beam and zone axis), dose (e/Å²), sampling_angstrom,
        temperature_k (0: atoms at rest), and numbers of the optics, such as energy_kev and semiangle_mrad.
    """
    thickness, alpha, beta, _ = np.concatenate([data.metadata for data in train]).T.astype(float)
    tilt = zone_axis_angle(alpha, beta)
    samplings = [data.sampling for data in train]
    configuration = attributes.get("configuration", {})
    single = dict(configuration.get("optics", {}))
    drawn = configuration.get("drawn_optics", {})
    if "simulation" in configuration:
        single["temperature_k"] = configuration["simulation"].get("temperature_k", 0)
    return {
        "thickness_nm": [float(thickness.min()), float(thickness.max())],
        "tilt_deg": [float(tilt.min()), float(tilt.max())],
        "dose": list(noise.dose),
        "sampling_angstrom": [min(samplings), max(samplings)],
        **{name: [value, value] for name, value in single.items() if isinstance(value, int | float)},
        **{name: list(drawn[name]) for name in single if name in drawn},
    }


def segment_sums(train: Sequence[MaterialData]) -> dict[str, list[float]]:
    """
    Measure the share of the beam that the four segments of the training images record.

    It gives the scale of an image whose beam current is not known (`reconstruction.preparation`).

    Parameters
    ----------
    train : sequence of MaterialData
        Training split.

    Returns
    -------
    dict
        `thickness_nm`, rising [nm]; `mean` and `deviation`, over the samples of each thickness, of the sum of the
        segments' means [fraction of the beam current].
    """
    sums = np.array([4 * float(np.mean(data.segments[row])) for data in train for row in range(len(data.segments))])
    thickness = np.concatenate([data.coordinates["thickness_nm"] for data in train])
    found = np.unique(thickness)
    samples = [sums[thickness == value] for value in found]
    return {
        "thickness_nm": found.tolist(),
        "mean": [round(float(part.mean()), 6) for part in samples],
        "deviation": [round(float(part.std()), 6) for part in samples],
    }
