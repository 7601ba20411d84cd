"""Stores of predictions: made of a data set's test split, sealed, and opened again."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec

from iphasenet.acquisition import Acquisition
from iphasenet.dataset import configuration, find_material, open_dataset, read_material, read_rows
from iphasenet.errors import InputError
from iphasenet.files import write_table
from iphasenet.material_data import MaterialData
from iphasenet.model import PotentialNetwork
from iphasenet.names import material_of
from iphasenet.predict import FloatImages, predict, predict_altered
from iphasenet.seals import GUARDED, open_store, sealed_store
from iphasenet.seen import UNKNOWN, is_by_name, unseen, what_is_new
from iphasenet.tables import NO_ROWS
from iphasenet.weights import load_weights


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
        (sample, dose, y, x) [V Å]; `sample_id`; attributes `doses` [e/Å²], `left_out`, what training was told to leave
        out, and `held_out`, what is new of each sample (`iphasenet.seen.what_is_new`).
    altered : path
        Parquet table to be made, `predict_altered` of samples that the network has not seen; no row without any.
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
    seen = trained.get("seen")
    held_out = what_is_new(seen, data.crystal, data.coordinates)
    scored = unseen(held_out)
    if UNKNOWN in held_out:
        warnings.warn(f"{weights}: they do not say what they were trained on: scores are '{UNKNOWN}'", stacklevel=2)
    if is_by_name(seen, data.crystal):
        warnings.warn(
            f"{material}: whether {weights} have seen it is judged by its name: they or the data set do not say the "
            "structure",
            stacklevel=2,
        )
    try:
        potential, spread = predict(network, data, turns)
        table = predict_altered(network, data.select(scored), acquisition) if len(scored) else NO_ROWS
    except InputError as error:
        raise InputError(f"{material}: {error}") from error
    left_out = trained.get("training", {}).get("leave_out", {})
    write_predictions(predictions, data, potential, spread, {"left_out": left_out, "held_out": held_out})
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


def held_out_samples(group: zarr.Group) -> dict[str, str]:
    """Read what is new of each sample of predictions that were opened, by its sample_id."""
    held_out: Any = group.attrs["held_out"]
    return dict(zip(read_rows(group, "sample_id").tolist(), held_out, strict=True))
