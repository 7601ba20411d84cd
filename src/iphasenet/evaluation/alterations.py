"""Altered inputs, which show how the network uses its metadata and how each kind of noise affects it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from iphasenet.dataset.material_data import MaterialData
from iphasenet.microscope.acquisition import Acquisition
from iphasenet.simulation.grid import generator, picometres
from iphasenet.simulation.noise import record

FIELDS: Mapping[str, Sequence[int]] = {"thickness": (0,), "tilt": (1, 2), "gamma": (3,), "all": (0, 1, 2, 3)}
"""Groups of metadata that are shuffled together, as columns."""

NOISE_PARTS: Mapping[str, Sequence[str]] = {
    "shot": (),
    "shot+readout": ("readout_electrons",),
    "shot+gains": ("gain_mismatch",),
    "shot+scan": ("jitter_angstrom", "drift_angstrom"),
}
"""Imperfections of the acquisition that are kept, one at a time, in addition to shot noise."""

ALTERED_DOSE = 1e5
"""Dose near which inputs are altered [e/Å²]."""

ALTERED_SAMPLES = 21
"""Largest number of samples of a material that are predicted from altered inputs."""

FloatImages = NDArray[np.float32]


@dataclass(frozen=True)
class Alteration:
    """
    One way in which inputs are altered.

    Attributes
    ----------
    kind : str
        'metadata' or 'noise'.
    name : str
        Which metadata are altered, or which noise the images have.
    segments : (sample, 4, y, x) array
        Images, fractions of the beam current.
    metadata : (sample, 4) array
        Thickness [nm], alpha, beta, gamma [degrees].
    """

    kind: str
    name: str
    segments: FloatImages
    metadata: FloatImages


def nearest_dose(doses: NDArray[np.float64]) -> int:
    """Index of the dose that is nearest to `ALTERED_DOSE`, by ratio."""
    return int(np.abs(np.log(doses / ALTERED_DOSE)).argmin())


def chosen_samples(data: MaterialData) -> MaterialData:
    """At most `ALTERED_SAMPLES` samples of a test split, always the same ones."""
    order = generator(0, data.material, "alteration").permutation(len(data.potential))
    return data.select(np.sort(order[:ALTERED_SAMPLES]))


def shuffled(metadata: FloatImages, field: str, material: str) -> FloatImages:
    """
    Give every sample the metadata of another one.

    Parameters
    ----------
    metadata : (sample, 4) array
        Thickness [nm], alpha, beta, gamma [degrees].
    field : str
        One of `FIELDS`.
    material : str
        Key of the order.

    Returns
    -------
    (sample, 4) array
        Metadata in which no row of the field stays in its place, if there are two samples or more.
    """
    order = generator(0, material, "order", list(FIELDS).index(field)).permutation(len(metadata))
    columns = list(FIELDS[field])
    result = metadata.copy()
    result[order[:, None], columns] = metadata[np.roll(order, 1)[:, None], columns]
    return result


def with_noise(data: MaterialData, dose: float, acquisition: Acquisition) -> FloatImages:
    """Draw noise with the given imperfections for a material's noise-free images, (sample, 4, y, x)."""
    known = data.coordinates
    images = []
    for segments, tilt_index, gamma, thickness in zip(
        data.segments, known["tilt"], known["gamma"], known["thickness_nm"], strict=True
    ):
        key = (int(tilt_index), round(1000 * float(gamma)), picometres(float(thickness)))
        rng = generator(0, data.material, "alteration", *key)
        images.append(record(torch.from_numpy(segments), dose, data.sampling, acquisition, rng))
    return torch.stack(images).numpy()


def alterations(data: MaterialData, acquisition: Acquisition) -> Iterator[Alteration]:
    """
    Alter the inputs of a test split, one thing at a time, at the dose nearest to `ALTERED_DOSE`.

    Parameters
    ----------
    data : MaterialData
        Samples of one material.
    acquisition : Acquisition
        Imperfections of the fixed noise.

    Yields
    ------
    Alteration
        Unchanged metadata, then shuffled ones, field by field; images without noise, with shot noise, and with one more
        imperfection each. What cannot be altered, such as a single thickness, is left out.
    """
    index = nearest_dose(data.doses)
    dose, noisy = float(data.doses[index]), np.ascontiguousarray(data.noisy_segments[:, index], dtype=np.float32)
    metadata = data.metadata
    yield Alteration("metadata", "nothing", noisy, metadata)
    for field in FIELDS:
        other = shuffled(metadata, field, data.material)
        if not np.array_equal(other, metadata):
            yield Alteration("metadata", field, noisy, other)
    yield Alteration("noise", "none", data.segments, metadata)
    for name, parts in NOISE_PARTS.items():
        kept = replace(Acquisition(), **{part: getattr(acquisition, part) for part in parts})
        if not parts or kept != Acquisition():
            yield Alteration("noise", name, with_noise(data, dose, kept), metadata)
    yield Alteration("noise", "all", noisy, metadata)
