"""Scores of the network and the baselines, compared with the truth, as tables for summary and figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas
from numpy.typing import NDArray

from iphasenet.base.files import atomic_directory, write_table
from iphasenet.base.tables import NO_ROWS, read_table
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.dataset.material_data import MaterialData
from iphasenet.dataset.reader import configuration, find_material, open_dataset, read_material, read_rows
from iphasenet.evaluation.alterations import nearest_dose
from iphasenet.evaluation.atomic_columns import column_rows
from iphasenet.evaluation.baselines import BASELINES, LARGEST_TILT_DEG, Baselines, nearest_training, told_baselines
from iphasenet.evaluation.column_structure import CrystalColumns, crystal_columns
from iphasenet.evaluation.metrics import score
from iphasenet.evaluation.predictions import held_out_samples, open_predictions
from iphasenet.evaluation.spectra import radial_spectrum
from iphasenet.evaluation.uncertainty import coverage
from iphasenet.microscope.optics import Microscope
from iphasenet.simulation.grid import LeftOut
from iphasenet.training.seen import unseen

METHODS = ("model", *BASELINES)

_TOGETHER = 16
"""Number of samples that are in memory together."""

FloatImages = NDArray[np.float32]


@dataclass(frozen=True)
class Tables:
    """
    Measurements of one material.

    Attributes
    ----------
    samples : DataFrame
        One row per sample, dose and method: metadata, what is new in the sample (`held_out`), `METRICS`, `POTENTIALS`.
    columns : DataFrame
        One row per sample, dose, method and type of atomic column (`iphasenet.evaluation.atomic_columns`).
    spectra : DataFrame
        material, dose, method ('truth' too), frequency [1/Å], power [V² Å²] of the mean potential.
    coverage : DataFrame
        material, dose, level, covered, spread_over_error; empty if the network predicts no uncertainty.
    materials : DataFrame
        material, scored, left_out: numbers of test samples that are scored, and not scored as training has seen them.
    """

    samples: pandas.DataFrame
    columns: pandas.DataFrame
    spectra: pandas.DataFrame
    coverage: pandas.DataFrame
    materials: pandas.DataFrame

    def save(self, folder: Path) -> None:
        """Write one Parquet file per table; the folder appears whole or not at all."""
        with atomic_directory(folder) as temporary:
            temporary.mkdir()
            for field in fields(self):
                write_table(getattr(self, field.name), temporary / f"{field.name}.parquet")

    @classmethod
    def load(cls, folder: Path) -> "Tables":
        """Read what `save` wrote; InputError names a damaged file."""
        return cls(*(read_table(folder / f"{field.name}.parquet", may_be_empty=True) for field in fields(cls)))

    @classmethod
    def joined(cls, parts: "list[Tables]") -> "Tables":
        """Put the tables of several materials, or of parts of one, below each other."""
        names = [field.name for field in fields(cls)]
        found = {name: [table for part in parts if len(table := getattr(part, name))] for name in names}
        return cls(*(pandas.concat(found[name], ignore_index=True) if found[name] else NO_ROWS for name in names))


@dataclass(frozen=True)
class Reference:
    """
    References with which predictions of a material are compared.

    Attributes
    ----------
    crystal : CrystalColumns
        Atomic columns that are sought.
    baselines : Baselines
        Baselines fitted to the training split.
    microscope : Microscope
        Optics of the data set.
    held_out : mapping
        What is new in each sample, by its sample_id.
    leaning : bool
        Whether the crystals have columns with a small tilt, along which baselines can be projected.
    """

    crystal: CrystalColumns
    baselines: Baselines
    microscope: Microscope
    held_out: Mapping[str, str]
    leaning: bool = True


class _Prediction(NamedTuple):
    """Potentials (sample, y, x) [V Å] by a method, and the doses of the images from which they were predicted."""

    method: str
    doses: Sequence[float]
    images: FloatImages


def evaluate_material(
    dataset: Path, material: str, predictions: Path, potential: Path, baselines: Path, training_store: Path
) -> Tables:
    """
    Score the predictions of one material's test split, except samples that the network has seen.

    Parameters
    ----------
    dataset : path
        Assembled store.
    material : str
        Name of the material.
    predictions : path
        Store that `iphasenet.evaluation.predict_material` wrote.
    potential : path
        File of the crystal's potential.
    baselines : path
        File of the fitted baselines.
    training_store : path
        Data set on which the network was trained.

    Returns
    -------
    Tables
        Rows of this material; without rows of scores if the network has seen all samples.

    Raises
    ------
    InputError
        If predictions are missing, damaged, of other samples, not finite or zero everywhere.
    """
    root = open_dataset(dataset)
    data = read_material(find_material(root, material), "test")
    group, places = open_predictions(predictions, data)
    held_out = held_out_samples(group)
    scored = unseen([held_out[name] for name in data.coordinates["sample_id"]])
    counted = _counted(material, len(scored), len(places) - len(scored))
    if not len(scored):
        return Tables(NO_ROWS, NO_ROWS, NO_ROWS, NO_ROWS, counted)
    data, places = data.select(scored), places[scored]
    reference = Reference(
        crystal_columns(CrystalPotential.load(potential)),
        Baselines.load(baselines),
        Microscope(**configuration(root)["optics"]),
        held_out,
        bool((data.tilt_deg <= LARGEST_TILT_DEG).all()),
    )
    nearest = nearest_training(training_store, data, LeftOut(**group.attrs["left_out"]))
    parts = []
    for start in range(0, len(data.potential), _TOGETHER):
        rows = np.arange(start, min(start + _TOGETHER, len(data.potential)))
        model = read_rows(group, "model", places[rows])
        spread = read_rows(group, "model_spread", places[rows]) if "model_spread" in group else None
        parts.append(evaluate_samples(data.select(rows), model, spread, nearest[rows], reference))
    return replace(_averaged(Tables.joined(parts)), materials=counted)


def evaluate_samples(
    data: MaterialData, model: FloatImages, spread: FloatImages | None, nearest: FloatImages, reference: Reference
) -> Tables:
    """
    Score some samples that are in memory.

    Parameters
    ----------
    data : MaterialData
        Test samples of one material.
    model : (sample, dose, y, x) array
        Predictions of the network [V Å].
    spread : (sample, dose, y, x) array or None
        Their spread [V Å].
    nearest : (sample, y, x) array
        Potentials of the nearest training samples [V Å].
    reference : Reference
        References for the comparison.

    Returns
    -------
    Tables
        Tables whose `spectra` and `coverage` have one row per sample; their mean is that of the material.
    """
    untold = reference.baselines.predict(data, reference.microscope)
    seeing = {"model": model, **untold, **(told_baselines(data, untold) if reference.leaning else {})}
    predictions = [
        _Prediction(method, (dose,), images[:, index])
        for method, images in seeing.items()
        for index, dose in enumerate(data.doses)
    ]
    # It uses no image, so that it is the same at every dose.
    predictions.append(_Prediction("nearest", tuple(data.doses), nearest))
    return Tables(
        _sample_rows(data, predictions, reference),
        _column_rows(data, predictions, reference.crystal),
        _spectrum_rows(data, predictions),
        _coverage_rows(data, model, spread),
        _counted(data.material, len(data.potential), 0),
    )


def _counted(material: str, scored: int, left_out: int) -> pandas.DataFrame:
    return pandas.DataFrame([{"material": material, "scored": scored, "left_out": left_out}])


def _known(data: MaterialData) -> dict[str, Any]:
    names = ("sample_id", "tilt", "thickness_nm", "alpha", "beta", "gamma")
    return {"material": data.material, **{name: data.coordinates[name] for name in names}, "tilt_deg": data.tilt_deg}


def _sample_rows(data: MaterialData, predictions: Sequence[_Prediction], reference: Reference) -> pandas.DataFrame:
    known = _known(data)
    held_out = [reference.held_out[name] for name in known["sample_id"]]
    tables = []
    for predicted in predictions:
        scores = score(predicted.images, data.potential)
        for dose in predicted.doses:
            named = {"held_out": held_out, "dose": dose, "method": predicted.method}
            tables.append(pandas.DataFrame({**known, **named, **scores}))
    return pandas.concat(tables, ignore_index=True)


def _column_rows(data: MaterialData, predictions: Sequence[_Prediction], crystal: CrystalColumns) -> pandas.DataFrame:
    rows = []
    for sample in range(len(data.potential)):
        known = {key: value if key == "material" else value[sample] for key, value in _known(data).items()}
        images = {number: predicted.images[sample] for number, predicted in enumerate(predictions)}
        for row in column_rows(crystal, data, sample, images):
            predicted = predictions[row["method"]]
            rows += [{**known, **row, "dose": dose, "method": predicted.method} for dose in predicted.doses]
    return pandas.DataFrame(rows)


def _spectrum_rows(data: MaterialData, predictions: Sequence[_Prediction]) -> pandas.DataFrame:
    """Spectra at the dose nearest to `ALTERED_DOSE`."""
    dose = data.doses[nearest_dose(data.doses)]
    length = 10 * data.coordinates["thickness_nm"][:, None, None]
    shown = {predicted.method: predicted.images for predicted in predictions if dose in predicted.doses}
    tables = []
    for method, images in {"truth": data.potential, **shown}.items():
        for mean_potential in images / length:
            frequency, power = radial_spectrum(mean_potential[None], data.sampling)
            rows = {"material": data.material, "dose": dose, "method": method}
            tables.append(pandas.DataFrame({**rows, "frequency": frequency, "power": power}))
    return pandas.concat(tables, ignore_index=True)


def _coverage_rows(data: MaterialData, model: FloatImages, spread: FloatImages | None) -> pandas.DataFrame:
    if spread is None:
        return NO_ROWS
    tables = [
        coverage(model[sample, index], spread[sample, index], data.potential[sample]).assign(dose=dose)
        for sample in range(len(model))
        for index, dose in enumerate(data.doses)
    ]
    return pandas.concat(tables, ignore_index=True).assign(material=data.material)


def _averaged(tables: Tables) -> Tables:
    """Mean spectra and coverage over a material's samples."""
    keys = {"spectra": ["material", "dose", "method", "frequency"], "coverage": ["material", "dose", "level"]}
    means = {
        name: table.groupby(key, as_index=False).mean() if len(table := getattr(tables, name)) else table
        for name, key in keys.items()
    }
    return replace(tables, **means)
