"""Sealed stores of the predictions for a data set's test split: written, and opened without a network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec

from iphasenet.base.errors import InputError
from iphasenet.base.seals import GUARDED, open_store, sealed_store
from iphasenet.dataset.material_data import MaterialData
from iphasenet.dataset.names import material_of
from iphasenet.dataset.reader import read_rows

FloatImages = NDArray[np.float32]


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
        Store that `write_predictions` wrote.
    data : MaterialData
        Test split, or some of its samples.

    Returns
    -------
    group : zarr.Group
        The predictions; InputError if they are missing or damaged, or belong to other materials, samples or doses.
    rows : (sample,) array
        Row of the prediction for each sample of the data.
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
    """Read what is new in each sample of opened predictions, by its sample_id."""
    held_out: Any = group.attrs["held_out"]
    return dict(zip(read_rows(group, "sample_id").tolist(), held_out, strict=True))
