"""One test sample per material, with all that figures and report show of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.seals import open_store
from iphasenet.dataset.reader import configuration, find_material, open_dataset, read_material, read_rows
from iphasenet.evaluation.alterations import nearest_dose
from iphasenet.evaluation.baselines import Baselines
from iphasenet.evaluation.predictions import held_out_samples, open_predictions
from iphasenet.microscope.optics import Microscope
from iphasenet.training.seen import SEEN, unseen

FloatImage = NDArray[np.float32]


@dataclass(frozen=True)
class Example:
    """
    One test sample at one dose.

    Attributes
    ----------
    material : str
        Name of the material.
    sampling : float
        Pixel size [Å].
    metadata : dict
        Coordinates of the sample, such as thickness_nm.
    dose : float
        Dose of the noisy image [e/Å²].
    noisy : (4, y, x) array
        Noisy segments, fractions of the beam current.
    truth : (y, x) array
        Projected potential [V Å].
    predictions : dict of (y, x) arrays
        Potentials by the network ('model') and by the baselines that use the image [V Å].
    """

    material: str
    sampling: float
    metadata: dict[str, Any]
    dose: float
    noisy: FloatImage
    truth: FloatImage
    predictions: dict[str, FloatImage]


def middle_sample(
    coordinates: Mapping[str, NDArray[Any]], held_out: Mapping[str, str] | None = None
) -> NDArray[np.int64]:
    """Choose the first sample of the middle thickness; with `held_out`, among those that the network has not seen."""
    new = np.array([held_out is None or held_out[name] != SEEN for name in coordinates["sample_id"]])
    thickness = coordinates["thickness_nm"]
    levels = np.unique(thickness[new])
    return np.flatnonzero(new & (thickness == levels[len(levels) // 2]))[:1]


def read_examples(dataset: Path, predictions: Sequence[Path], baselines: Path) -> Iterator[Example]:
    """
    Read a test sample of the middle thickness of each material that the network has not seen, at about 1e5 e/Å².

    Parameters
    ----------
    dataset : path
        Assembled store.
    predictions : sequence of path
        Predictions of each material, `<material>.zarr`.
    baselines : path
        Fitted baselines.

    Yields
    ------
    Example
        One per material, in the order of `predictions`; none if the network has seen all samples of a material.
    """
    root = open_dataset(dataset)
    fitted, microscope = Baselines.load(baselines), Microscope(**configuration(root)["optics"])
    for path in predictions:
        new = held_out_samples(open_store(path, "predictions"))
        if not len(unseen(list(new.values()))):
            continue
        data = read_material(find_material(root, path.stem), "test", choose=partial(middle_sample, held_out=new))
        group, rows = open_predictions(path, data)
        dose = nearest_dose(data.doses)
        found = {name: images[0, dose] for name, images in fitted.predict(data, microscope).items()}
        yield Example(
            material=data.material,
            sampling=data.sampling,
            metadata={name: values[0] for name, values in data.coordinates.items()},
            dose=float(data.doses[dose]),
            noisy=data.noisy_segments[0, dose].astype(np.float32),
            truth=data.potential[0],
            predictions={"model": read_rows(group, "model", rows)[0, dose], **found},
        )
