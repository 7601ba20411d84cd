"""What a network was trained on and how: the run's name, and the few numbers that are kept with its weights."""

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from iphasenet.acquisition import TrainingNoise
from iphasenet.material_data import MaterialData, zone_axis_angle
from iphasenet.model import ModelSettings
from iphasenet.stage import STAGE_VERSIONS
from iphasenet.training_settings import TrainingSettings


def describe_run(
    data: Sequence[MaterialData], noise: TrainingNoise, model: ModelSettings, settings: TrainingSettings
) -> dict[str, Any]:
    """
    Say what a run is: only one with the same data, code stage, noise, model and settings may be resumed.

    Parameters
    ----------
    data : sequence of MaterialData
        Training and validation splits.
    noise : TrainingNoise
        Noise model.
    model : ModelSettings
        Architecture.
    settings : TrainingSettings
        How to train.

    Returns
    -------
    dict
        Plain values, nested; `data` is a checksum of the arrays.
    """
    checksum = 0
    for part in data:
        for array in (part.segments, part.potential, part.noisy_segments, part.metadata):
            for row in range(len(array)):
                checksum = zlib.crc32(np.ascontiguousarray(array[row]).data, checksum)
    described = {
        "stage": STAGE_VERSIONS["model"],
        "data": f"{checksum:08x}",
        "materials": list(dict.fromkeys(part.material for part in data)),
        "sampling_angstrom": data[0].sampling,
        "noise": asdict(noise),
        "model": asdict(model),
        "training": asdict(settings),
    }
    plain: dict[str, Any] = json.loads(json.dumps(described))
    return plain


def run_identity(described: dict[str, Any]) -> str:
    """Twelve hexadecimal digits that name a run."""
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]


def trained_ranges(
    train: Sequence[MaterialData], noise: TrainingNoise, attributes: Mapping[str, Any]
) -> dict[str, list[float]]:
    """
    Say within which settings a network has seen images.

    Parameters
    ----------
    train : sequence of MaterialData
        Training split.
    noise : TrainingNoise
        Noise model.
    attributes : mapping
        Attributes of the data set's root; those of its optics are taken where they are known.

    Returns
    -------
    dict
        Lowest and highest thickness_nm, tilt_deg (angle between beam and zone axis), dose (e/Å²), sampling_angstrom,
        and of the optics' numbers, such as energy_kev and semiangle_mrad.
    """
    thickness, alpha, beta, _ = np.concatenate([data.metadata for data in train]).T.astype(float)
    tilt = zone_axis_angle(alpha, beta)
    samplings = [data.sampling for data in train]
    optics = attributes.get("configuration", {}).get("optics", {})
    return {
        "thickness_nm": [float(thickness.min()), float(thickness.max())],
        "tilt_deg": [float(tilt.min()), float(tilt.max())],
        "dose": list(noise.dose),
        "sampling_angstrom": [min(samplings), max(samplings)],
        **{name: [value, value] for name, value in optics.items() if isinstance(value, int | float)},
    }


def segment_sums(train: Sequence[MaterialData]) -> dict[str, list[float]]:
    """
    Measure what share of the beam the four segments of the training images record.

    From it, an image whose beam current is not known gets a scale (`reconstruction.preparation`).

    Parameters
    ----------
    train : sequence of MaterialData
        Training split.

    Returns
    -------
    dict
        `thickness_nm`, rising [nm]; `mean` and `deviation` over the samples of each thickness of the segments' summed
        mean [fraction of the beam current].
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
