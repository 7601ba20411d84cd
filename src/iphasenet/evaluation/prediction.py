"""Predictions of the network from images in memory, and from altered inputs."""

import numpy as np
import pandas
import torch
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.dataset.material_data import MaterialData
from iphasenet.evaluation.alterations import alterations, chosen_samples
from iphasenet.evaluation.metrics import METRICS, score
from iphasenet.microscope.acquisition import Acquisition
from iphasenet.network.potential_network import PotentialNetwork

FloatImages = NDArray[np.float32]


def predict_images(
    network: PotentialNetwork, segments: FloatImages, metadata: FloatImages, turns: int = 1, batch_size: int = 2
) -> tuple[FloatImages, FloatImages | None]:
    """
    Predict the projected potential of images.

    Parameters
    ----------
    network : PotentialNetwork
        Network in evaluation mode.
    segments : (image, 4, y, x) array
        Fractions of the beam current.
    metadata : (image, 4) array
        Thickness [nm], alpha, beta, gamma [degrees].
    turns : int
        Number of quarter turns over which predictions are averaged, 1 or 4.
    batch_size : int
        Images predicted together; on a CPU, 2 images of 256 px take less time each than 1 or 4.

    Returns
    -------
    potential : (image, y, x) float32 array
        Projected potential [V Å].
    spread : (image, y, x) float32 array or None
        Its spread [V Å]; None if the network predicts none.

    Raises
    ------
    InputError
        If a prediction is not finite.
    """
    device = next(network.parameters()).device
    images, known = torch.from_numpy(segments).float(), torch.from_numpy(metadata)
    batches: list[list[torch.Tensor]] = []
    with torch.inference_mode():
        for part, described in zip(images.split(batch_size), known.split(batch_size), strict=True):
            outputs = network.projected_potential(part.to(device), described.to(device), turns)
            batches.append([output.cpu() for output in outputs if output is not None])
    found = [torch.cat(parts).numpy() for parts in zip(*batches, strict=True)]
    if not all(np.isfinite(part).all() for part in found):
        raise InputError(
            "the prediction holds NaN or infinity: the weights or the images are unusable; nothing is written"
        )
    return found[0], found[1] if len(found) > 1 else None


def predict(network: PotentialNetwork, data: MaterialData, turns: int = 1) -> tuple[FloatImages, FloatImages | None]:
    """Predict a material's noisy images at all doses: potential and spread, (sample, dose, y, x) each [V Å]."""
    samples, doses = data.noisy_segments.shape[:2]
    segments = data.noisy_segments.reshape(-1, *data.noisy_segments.shape[2:])
    potential, spread = predict_images(network, segments, data.metadata.repeat(doses, axis=0), turns)
    shape = (samples, doses, *potential.shape[1:])
    return potential.reshape(shape), None if spread is None else spread.reshape(shape)


def predict_altered(network: PotentialNetwork, data: MaterialData, acquisition: Acquisition) -> pandas.DataFrame:
    """
    Metrics of predictions from altered inputs, for some samples of a material, without a mean over turns.

    Parameters
    ----------
    network : PotentialNetwork
        Network in evaluation mode.
    data : MaterialData
        Test split.
    acquisition : Acquisition
        Imperfections of the fixed noise.

    Returns
    -------
    DataFrame
        One row per sample and alteration: sample_id, material, tilt, thickness_nm, kind, altered, `METRICS`.
    """
    chosen = chosen_samples(data)
    known = {name: chosen.coordinates[name] for name in ("sample_id", "tilt", "thickness_nm")}
    tables = []
    for altered in alterations(chosen, acquisition):
        predicted, _ = predict_images(network, altered.segments, altered.metadata)
        scores = score(predicted, chosen.potential)
        numbers = {name: scores[name] for name in METRICS}
        tables.append(pandas.DataFrame({**known, "kind": altered.kind, "altered": altered.name, **numbers}))
    return pandas.concat(tables, ignore_index=True).assign(material=data.material)
