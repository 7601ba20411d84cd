"""The network on a test split: predictions, and predictions from altered inputs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import torch
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec

from iphasenet.acquisition import Acquisition
from iphasenet.alterations import alterations, chosen_samples
from iphasenet.dataset import MaterialData, configuration, find_material, open_dataset, read_material, read_rows
from iphasenet.errors import InputError
from iphasenet.files import write_table
from iphasenet.metrics import METRICS, score
from iphasenet.model import PotentialNetwork
from iphasenet.names import material_of
from iphasenet.seals import GUARDED, open_store, sealed_store
from iphasenet.weights import load_weights

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
        Quarter turns that predictions are averaged over, 1 or 4.
    batch_size : int
        Images predicted together; on a CPU, 2 of 256 px take less than 1 or 4.

    Returns
    -------
    potential : (image, y, x) float32 array
        Projected potential [V Å].
    spread : (image, y, x) float32 array or None
        Its spread [V Å], where the network says one.

    Raises
    ------
    InputError
        Where a prediction is not finite.
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
        raise InputError("the prediction holds NaN or infinity; no number is worth printing")
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
    Metrics of predictions from altered inputs, of some of a material's samples, without a mean over turns.

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
        One row a sample and alteration: sample_id, material, tilt, thickness_nm, kind, altered, `METRICS`.
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


def predict_material(
    dataset: Path, material: str, weights: Path, predictions: Path, altered: Path, device: str, turns: int
) -> None:
    """
    Predict the test split of one material.

    Parameters
    ----------
    dataset : path
        Assembled store.
    material : str
        Which of its materials.
    weights : path
        Weights of the network.
    predictions : path
        Zarr store to be made: `model` and, where the network says its uncertainty, `model_spread`
        (sample, dose, y, x) [V Å]; `sample_id`; attributes `doses` [e/Å²] and `left_out`, what training did not see.
    altered : path
        Parquet table to be made, `predict_altered`.
    device : str
        Torch device.
    turns : int
        Quarter turns that predictions are averaged over, 1 or 4.
    """
    root = open_dataset(dataset)
    network, trained = load_weights(weights)
    network.to(device)
    data = read_material(find_material(root, material), "test")
    _check_sampling(network, data, weights)
    acquisition = Acquisition(**configuration(root)["noise"]["acquisition"])
    try:
        potential, spread = predict(network, data, turns)
        table = predict_altered(network, data, acquisition)
    except InputError as error:
        raise InputError(f"{material}: {error}") from error
    left_out = trained.get("training", {}).get("leave_out", {})
    write_predictions(predictions, data, potential, spread, {"left_out": left_out})
    write_table(table, altered)


def _check_sampling(network: PotentialNetwork, data: MaterialData, weights: Path) -> None:
    if not np.isclose(network.sampling, data.sampling, rtol=1e-3):
        raise InputError(
            f"{weights}: found a network for pixels of {network.sampling:g} Å; allowed: the data set's "
            f"{data.sampling:g} Å"
        )


def write_predictions(
    path: Path, data: MaterialData, potential: FloatImages, spread: FloatImages | None, attributes: Mapping[str, Any]
) -> None:
    """Write the predictions of one material, sealed, as `predict_material` says; they appear whole or not at all."""
    arrays = {"model": potential} if spread is None else {"model": potential, "model_spread": spread}
    with sealed_store(path, "predictions") as temporary:
        group = zarr.open_group(temporary, mode="w", zarr_format=3)
        group.attrs.update({"material": data.material, "doses": data.doses.tolist(), **attributes})
        for name, images in arrays.items():
            group.create_array(
                name,
                data=images,
                chunks=(1, 1, *images.shape[2:]),
                shards=(len(images), *images.shape[1:]),
                compressors=GUARDED,
                dimension_names=("sample", "dose", "y", "x"),
                attributes={"units": "V Å"},
            )
        ids = group.create_array(
            "sample_id",
            shape=(len(potential),),
            dtype=str,
            compressors=(Crc32cCodec(),),
            dimension_names=("sample",),
        )
        ids[:] = data.coordinates["sample_id"]


def open_predictions(path: Path, data: MaterialData) -> tuple[Any, NDArray[np.int64]]:
    """
    Open the predictions of one material, after a check that they belong to the data.

    Parameters
    ----------
    path : path
        Store that `predict_material` wrote.
    data : MaterialData
        Test split, or some of its samples.

    Returns
    -------
    group : zarr.Group
        The predictions; InputError where they are missing, damaged or of another material, other samples or doses.
    rows : (sample,) array
        Where those of the data's samples stand.
    """
    group: Any = open_store(path, "predictions")
    material_of(group, data.material)
    doses, places = group.attrs["doses"], {name: row for row, name in enumerate(read_rows(group, "sample_id"))}
    if doses != data.doses.tolist():
        raise InputError(f"{path}: doses: found {doses}; allowed: the data set's {data.doses.tolist()}")
    missing = [name for name in data.coordinates["sample_id"] if name not in places]
    if missing:
        raise InputError(
            f"{path}: sample_id: found no prediction of {missing[0]}; allowed: the test split of {data.material}"
        )
    return group, np.array([places[name] for name in data.coordinates["sample_id"]])
