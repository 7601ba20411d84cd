"""Predictions of the network for a material's test split, and what is new in each sample, as files."""

import warnings
from pathlib import Path

import numpy as np

from iphasenet.base.errors import InputError
from iphasenet.base.files import write_table
from iphasenet.base.tables import NO_ROWS
from iphasenet.dataset.material_data import MaterialData
from iphasenet.dataset.reader import configuration, find_material, open_dataset, read_material
from iphasenet.evaluation.prediction import predict, predict_altered
from iphasenet.evaluation.predictions import write_predictions
from iphasenet.microscope.acquisition import Acquisition
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.weights import load_weights
from iphasenet.training.seen import UNKNOWN, is_by_name, unseen, what_is_new


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
        Name of the material.
    weights : path
        Weights of the network.
    predictions : path
        Zarr store to be made: `model` and, if the network predicts its uncertainty, `model_spread`
        (sample, dose, y, x) [V Å]; `sample_id`; attributes `doses` [e/Å²], `left_out`, which samples training left out,
        and `held_out`, what is new in each sample (`iphasenet.training.seen.what_is_new`).
    altered : path
        Parquet table to be made by `predict_altered` for samples that the network has not seen; empty without any.
    device : str
        Torch device.
    turns : int
        Number of quarter turns over which predictions are averaged, 1 or 4.
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
        warnings.warn(
            f"{weights}: the file does not say what the network was trained on; its scores are called '{UNKNOWN}'",
            stacklevel=2,
        )
    if is_by_name(seen, data.crystal):
        warnings.warn(
            f"{material}: whether {weights} have seen it is judged by its name; the weights or the data set lack the "
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
