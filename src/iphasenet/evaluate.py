"""The network and the iDPC baseline on the test split: predictions, a table of samples, a summary."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import torch
import zarr
from numpy.typing import NDArray

from iphasenet.ablation import FIELDS, Coverage, ablation_table, shuffled, summarise_ablation
from iphasenet.dataset import MaterialData, read_split
from iphasenet.errors import InputError
from iphasenet.files import atomic_directory, atomic_file
from iphasenet.idpc import ScaleFit, idpc
from iphasenet.metrics import METRICS, score
from iphasenet.model import PotentialNetwork
from iphasenet.weights import load_weights

METHODS = ("model", "idpc")

ABLATION_DOSE = 1e5
"""Dose at which metadata are shuffled [e/Å²]."""

FloatImages = NDArray[np.float32]


def predict(
    network: PotentialNetwork,
    data: MaterialData,
    metadata: FloatImages | None = None,
    doses: slice = slice(None),
    turns: int = 1,
    batch_size: int = 8,
) -> tuple[FloatImages, FloatImages | None]:
    """
    Predict the noisy images of a material.

    Parameters
    ----------
    network : PotentialNetwork
        Network in evaluation mode.
    data : MaterialData
        Validation or test split.
    metadata : (sample, 4) array, optional
        In place of the samples' own.
    doses : slice
        Which of the doses.
    turns : int
        Quarter turns that predictions are averaged over, 1 or 4.
    batch_size : int
        Images predicted together.

    Returns
    -------
    potential : (sample, dose, y, x) float32 array
        Projected potential [V Å].
    spread : (sample, dose, y, x) float32 array or None
        Its spread [V Å], where the network says one.
    """
    device = next(network.parameters()).device
    noisy = data.noisy_segments[:, doses]
    images = torch.from_numpy(noisy).flatten(0, 1).float()
    known = torch.from_numpy(data.metadata if metadata is None else metadata).repeat_interleave(noisy.shape[1], 0)
    batches: list[list[torch.Tensor]] = []
    with torch.inference_mode():
        for part, described in zip(images.split(batch_size), known.split(batch_size), strict=True):
            outputs = network.projected_potential(part.to(device), described.to(device), turns)
            batches.append([output.cpu() for output in outputs if output is not None])
    shape = noisy.shape[:2] + data.potential.shape[1:]
    found = [torch.cat(parts).reshape(shape).numpy() for parts in zip(*batches, strict=True)]
    if not all(np.isfinite(part).all() for part in found):
        raise InputError(f"{data.material}: the prediction holds NaN or infinity; no number is worth printing")
    return found[0], found[1] if len(found) > 1 else None


def baseline_scale(training: Iterable[MaterialData]) -> tuple[float, float]:
    """Scale [V Å] and mean potential [V] of the iDPC baseline, fitted to noise-free training images."""
    fit = ScaleFit()
    for data in training:
        thicknesses = 10 * data.coordinates["thickness_nm"]
        for segments, potential, thickness in zip(data.segments, data.potential, thicknesses, strict=True):
            fit.add(idpc(segments, data.sampling), float(thickness), potential)
    return fit.solve()


def predict_idpc(data: MaterialData, scale: tuple[float, float]) -> FloatImages:
    """Potential (sample, dose, y, x) [V Å] by iDPC with a fitted scale."""
    mean = scale[1] * 10 * data.coordinates["thickness_nm"]
    return (scale[0] * idpc(data.noisy_segments, data.sampling) + mean[:, None, None, None]).astype(np.float32)


def sample_table(data: MaterialData, predictions: dict[str, FloatImages]) -> pandas.DataFrame:
    """One row a sample, dose and method with its metadata and metrics."""
    rows = []
    for sample, truth in enumerate(torch.from_numpy(data.potential)):
        names = ("sample_id", "thickness_nm", "alpha", "beta", "gamma", "tilt")
        known = {name: data.coordinates[name][sample] for name in names}
        for dose_index, dose in enumerate(data.doses):
            for method, images in predictions.items():
                numbers = score(torch.from_numpy(images[sample, dose_index]), truth)
                rows.append({**known, "material": data.material, "dose": dose, "method": method, **numbers})
    return pandas.DataFrame(rows)


def summarise(table: pandas.DataFrame) -> dict[str, Any]:
    """Mean of every metric by method, then the same by material."""

    def by_method(rows: pandas.DataFrame) -> dict[str, Any]:
        means = rows.groupby("method")[list(METRICS)].mean()
        return {method: {name: float(means.loc[method, name]) for name in METRICS} for method in METHODS}

    return {
        **by_method(table),
        "by_material": {str(name): by_method(rows) for name, rows in table.groupby("material")},
        "samples": int(table["sample_id"].nunique()),
        "doses": sorted(float(dose) for dose in table["dose"].unique()),
    }


def evaluate(
    dataset: Path, weights: Path, predictions: Path, table: Path, summary: Path, device: str, turns: int = 1
) -> None:
    """
    Evaluate the network and the baseline on the test split.

    Parameters
    ----------
    dataset : path
        Assembled store.
    weights : path
        Weights of the network.
    predictions : path
        Zarr store to be made: a group a material with `model` and `idpc` (sample, dose, y, x) [V Å].
    table : path
        CSV file to be made, one row a sample, dose and method.
    summary : path
        JSON file to be made: means by method, and by material; with shuffled metadata, at the dose nearest to
        `ABLATION_DOSE`; coverage of the uncertainty.
    device : str
        Torch device.
    turns : int
        Quarter turns that the network's predictions are averaged over, 1 or 4; 1 with shuffled metadata.
    """
    network, _ = load_weights(weights)
    network.to(device)
    scale = baseline_scale(read_split(dataset, "train"))
    tables, ablations, coverage = [], [], Coverage()
    with atomic_directory(predictions) as temporary:
        root = zarr.open_group(temporary, mode="w", zarr_format=3)
        for data in read_split(dataset, "test"):
            model, spread = predict(network, data, turns=turns)
            predicted = {"model": model, "idpc": predict_idpc(data, scale)}
            ablations.append(ablate(network, data))
            kept = dict(predicted)
            if spread is not None:
                coverage.add(model, spread, data.potential[:, None])
                kept["model_spread"] = spread
            group = root.create_group(data.material)
            for method, images in kept.items():
                group.create_array(
                    method,
                    data=images,
                    chunks=(1, 1, *images.shape[2:]),
                    shards=(len(images), *images.shape[1:]),
                    dimension_names=("sample", "dose", "y", "x"),
                    attributes={"units": "V Å"},
                )
            ids = group.create_array("sample_id", shape=(len(data.potential),), dtype=str, dimension_names=("sample",))
            ids[:] = data.coordinates["sample_id"]
            tables.append(sample_table(data, predicted))
            root.attrs["doses"] = data.doses.tolist()
    joined = pandas.concat(tables)
    with atomic_file(table) as temporary:
        joined.to_csv(temporary, index=False)
    with atomic_file(summary) as temporary:
        ablation = {"shuffled_metadata": summarise_ablation(pandas.concat(ablations))}
        calibration = {"uncertainty": coverage.summary()} if spread is not None else {}
        temporary.write_text(json.dumps({**summarise(joined), **ablation, **calibration}, indent=2) + "\n")


def ablate(network: PotentialNetwork, data: MaterialData) -> pandas.DataFrame:
    """Metrics with the metadata as they are and shuffled, field by field, at the dose nearest to `ABLATION_DOSE`."""
    dose = int(np.abs(np.log(data.doses / ABLATION_DOSE)).argmin())
    chosen = slice(dose, dose + 1)
    predictions = {"nothing": predict(network, data, doses=chosen)[0][:, 0]}
    for field in FIELDS:
        other = shuffled(data.metadata, field, data.material)
        # One sample, or one thickness: there is nothing to be mistaken for.
        if np.array_equal(other, data.metadata):
            continue
        predictions[field] = predict(network, data, other, chosen)[0][:, 0]
    return ablation_table(data.potential, predictions)
