"""From a store, predictions and baselines to tables: rows belong to their samples."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest

from iphasenet.base.errors import InputError
from iphasenet.base.files import write_table
from iphasenet.base.tables import NO_ROWS
from iphasenet.crystal.structure import orthogonal_cell, read_structure
from iphasenet.dataset.material_data import MaterialData
from iphasenet.dataset.reader import read_split
from iphasenet.dataset.writer import assemble, write_material
from iphasenet.evaluation.baselines import fit_baselines
from iphasenet.evaluation.prediction import predict_altered
from iphasenet.evaluation.predictions import write_predictions
from iphasenet.evaluation.scores import METHODS, Tables, evaluate_material
from iphasenet.evaluation.summary import write_summary
from iphasenet.microscope.acquisition import Acquisition
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.settings import ModelSettings
from iphasenet.reporting.examples import read_examples
from iphasenet.simulation.grid import samples
from iphasenet.simulation.image import Image
from tests.unit.dataset.test_reader import GRID, NOISE, PIXELS, SAMPLING, rendered
from tests.unit.planning.test_configuration import ROOT

OPTICS = {"energy_kev": 200, "semiangle_mrad": 20, "detector_inner_mrad": 10, "detector_outer_mrad": 50}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of one crystal, its potential and fitted baselines."""
    path = tmp_path_factory.mktemp("evaluation")
    planned = samples(7, "KNbO3", GRID)
    write_material(path / "KNbO3.zarr", rendered(planned), planned, Image(PIXELS, SAMPLING), NOISE, 7, "KNbO3", {})
    attributes = {"configuration": {"optics": OPTICS, "noise": {"acquisition": {}}}}
    assemble(path / "dataset.zarr", {"KNbO3": path / "KNbO3.zarr"}, attributes)
    cell = orthogonal_cell(read_structure(ROOT / "resources/structures/KNbO3.cif"), (0, 0, 1))
    sampled_potential(cell, 0.2, 1.0).save(path / "potential.npz")
    fit_baselines(read_split(path / "dataset.zarr", "train")).save(path / "baselines.npz")
    return path


@pytest.fixture(scope="module")
def data(folder: Path) -> MaterialData:
    return next(read_split(folder / "dataset.zarr", "test"))


def attributes(data: MaterialData, held_out: str = "tilt") -> dict[str, object]:
    return {"left_out": {}, "held_out": [held_out] * len(data.potential)}


def evaluate(folder: Path, predictions: Path) -> Tables:
    dataset = folder / "dataset.zarr"
    return evaluate_material(dataset, "KNbO3", predictions, folder / "potential.npz", folder / "baselines.npz", dataset)


def test_every_sample_dose_and_method_has_its_row(folder: Path, data: MaterialData, tmp_path: Path) -> None:
    """Predictions that are off by 3 V Å at the first dose and by 5 at the second, with half of that as spread."""
    offset = np.array([3.0, 5.0], np.float32)[:, None, None]
    model = data.potential[:, None] + offset
    held_out = ["tilt" if thickness == 20 else "tilt and thickness" for thickness in data.coordinates["thickness_nm"]]
    known = {"left_out": {"materials": [], "thickness_nm": [40]}, "held_out": held_out}
    write_predictions(tmp_path / "p.zarr", data, model, np.broadcast_to(offset / 2, model.shape).copy(), known)
    tables = evaluate(folder, tmp_path / "p.zarr")
    found = tables.samples
    assert len(found) == len(data.potential) * 2 * len(METHODS) and set(found["method"]) == set(METHODS)
    network = found[found["method"] == "model"]
    for dose, error in ((1e4, 3.0), (1e6, 5.0)):
        np.testing.assert_allclose(network.loc[network["dose"] == dose, "mae"], error, rtol=1e-3)
    assert dict(zip(network["thickness_nm"], network["held_out"], strict=True)) == {
        20: "tilt",
        40: "tilt and thickness",
    }
    assert tables.materials.to_dict("list") == {"material": ["KNbO3"], "scored": [4], "left_out": [0]}
    truth = dict(zip(data.coordinates["sample_id"], data.potential.mean(axis=(1, 2)), strict=True))
    np.testing.assert_allclose(network["mean_true"], [truth[name] for name in network["sample_id"]], rtol=1e-5)
    # |error| / spread is 2 everywhere: inside the 90 % interval (2.3), not inside that of 80 % (1.6).
    covered = tables.coverage.groupby("level")["covered"].mean()
    assert covered.to_dict() == {0.5: 0, 0.8: 0, 0.9: 1, 0.95: 1, 0.99: 1}
    # What sees no image is the same at both doses, in both tables.
    for table in (found, tables.columns):
        nearest = [
            part.drop(columns="dose").reset_index(drop=True)
            for _, part in table[table["method"] == "nearest"].groupby("dose")
        ]
        assert len(nearest) == 2
        pandas.testing.assert_frame_equal(*nearest)
    spectra = tables.spectra
    assert set(spectra["method"]) == {*METHODS, "truth"} and not spectra.duplicated(["method", "frequency"]).any()
    tables.save(tmp_path / "tables")
    pandas.testing.assert_frame_equal(Tables.load(tmp_path / "tables").samples, found, check_dtype=False)
    assert json.loads(json.dumps(sorted(tables.columns["column"].unique()))) == ["K", "Nb+O", "O", "spurious"]


def test_samples_that_the_network_has_seen_are_left_out_and_counted(
    folder: Path, data: MaterialData, tmp_path: Path
) -> None:
    known, images = attributes(data), 0.9 * np.repeat(data.potential[:, None], 2, axis=1)
    known["held_out"] = ["", *(["tilt"] * (len(data.potential) - 1))]
    write_predictions(tmp_path / "p.zarr", data, images, images, known)
    tables = evaluate(folder, tmp_path / "p.zarr")
    for table in (tables.samples, tables.columns):
        assert set(table["sample_id"]) == set(data.coordinates["sample_id"][1:])
    assert tables.materials.to_dict("list") == {"material": ["KNbO3"], "scored": [3], "left_out": [1]}


def test_a_crystal_that_the_network_has_seen_whole_is_left_out_and_counted(
    folder: Path, data: MaterialData, tmp_path: Path
) -> None:
    images = 0.9 * np.repeat(data.potential[:, None], 2, axis=1)
    for name, held_out in (("seen", ""), ("new", "tilt")):
        write_predictions(tmp_path / f"{name}.zarr", data, images, images, attributes(data, held_out))
        evaluate(folder, tmp_path / f"{name}.zarr").save(tmp_path / name)
    seen, new = (Tables.load(tmp_path / name) for name in ("seen", "new"))
    assert seen.samples.empty and seen.materials.to_dict("list")["left_out"] == [4]
    write_table(NO_ROWS, tmp_path / "seen.parquet")
    network = PotentialNetwork(ModelSettings(12), 20, SAMPLING)
    write_table(predict_altered(network.eval(), data, Acquisition()), tmp_path / "new.parquet")
    both = [tmp_path / name for name in ("seen", "new")]
    write_summary(both, [path.with_suffix(".parquet") for path in both], tmp_path, "a test")
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["samples"] == summary["left_out"] == 4 and summary["left_out_materials"] == ["KNbO3"]
    pandas.testing.assert_frame_equal(pandas.read_parquet(tmp_path / "samples.parquet"), new.samples, check_dtype=False)
    with pytest.raises(InputError, match="test split: found 4 samples, all of which the network was trained on"):
        write_summary(both[:1], [tmp_path / "seen.parquet"], tmp_path, "a test")
    fitted = folder / "baselines.npz"
    assert not list(read_examples(folder / "dataset.zarr", [renamed(tmp_path / "seen.zarr")], fitted))
    assert len(list(read_examples(folder / "dataset.zarr", [renamed(tmp_path / "new.zarr")], fitted))) == 1


def renamed(predictions: Path) -> Path:
    """Predictions under the name that the workflow gives them."""
    path = predictions.parent / predictions.stem / "KNbO3.zarr"
    shutil.copytree(predictions, path)
    return path


def test_a_prediction_that_is_not_a_number_is_refused(folder: Path, data: MaterialData, tmp_path: Path) -> None:
    model = np.repeat(data.potential[:, None], 2, axis=1)
    model[1, 0, 5, 5] = np.nan
    write_predictions(tmp_path / "p.zarr", data, model, None, attributes(data))
    with pytest.raises(InputError, match="NaN"):
        evaluate(folder, tmp_path / "p.zarr")


def test_missing_or_damaged_predictions_are_refused(folder: Path, data: MaterialData, tmp_path: Path) -> None:
    """Zarr takes a shard that is lost for zeros, which would be scored."""
    images = 0.9 * np.repeat(data.potential[:, None], 2, axis=1)
    write_predictions(tmp_path / "p.zarr", data, images, images, attributes(data))
    for name in ("model", "model_spread", "sample_id"):
        path = next(path for path in (tmp_path / "p.zarr" / name / "c").rglob("*") if path.is_file())
        content = path.read_bytes()
        path.write_bytes(content[:20] + bytes([content[20] ^ 4]) + content[21:])
        with pytest.raises(InputError, match=rf"^[^\n]*/{name}: found a damaged chunk at row \d+[^\n]*$"):
            evaluate(folder, tmp_path / "p.zarr")
        path.unlink()
        with pytest.raises(InputError, match=rf"p\.zarr: found no {name}/c/0"):
            evaluate(folder, tmp_path / "p.zarr")
        path.write_bytes(content)
    evaluate(folder, tmp_path / "p.zarr")
    images[1] = 0
    write_predictions(tmp_path / "zero.zarr", data, images, None, attributes(data))
    with pytest.raises(InputError, match="model: found zeros alone in KNbO3-tilt"):
        evaluate(folder, tmp_path / "zero.zarr")


def test_predictions_of_other_samples_are_refused(folder: Path, data: MaterialData, tmp_path: Path) -> None:
    few = data.select(np.arange(len(data.potential) - 1))
    write_predictions(tmp_path / "p.zarr", few, np.repeat(few.potential[:, None], 2, axis=1), None, attributes(few))
    with pytest.raises(InputError, match="sample_id"):
        evaluate(folder, tmp_path / "p.zarr")
    with pytest.raises(InputError, match="no Zarr v3 store"):
        evaluate(folder, tmp_path / "missing.zarr")
