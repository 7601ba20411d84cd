"""Files of an earlier stage that were cut or changed: one line that names the file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from iphasenet.base.errors import InputError
from iphasenet.base.files import write_table
from iphasenet.base.reading import read_arrays, read_json
from iphasenet.base.tables import read_table
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.dataset.upload import find_dataset
from iphasenet.evaluation.baselines import Baselines
from iphasenet.evaluation.comparison import compare_runs
from iphasenet.evaluation.model_card import describe_model
from iphasenet.evaluation.wiener import WienerFilter
from iphasenet.multislice.periodic_images import PeriodicImages, load_images, save_images
from iphasenet.reporting.csv_tables import csv_table
from iphasenet.reporting.numbers import read_summary
from iphasenet.reporting.score_figures import draw_errors, draw_loss, draw_scores
from iphasenet.simulation.rendering import Rendered
from iphasenet.simulation.slabs import load_rendered, save_rendered


def images(path: Path) -> Path:
    save_images(path, [PeriodicImages((3.0, 4.0), np.ones(1), np.zeros(1), np.ones((1, 1, 4, 3, 3), complex))])
    return path


def slabs(path: Path) -> Path:
    one = np.ones((4, 4, 4), np.float32)
    save_rendered(path, [Rendered(one, one[0], {"sample_id": "GaN-tilt0000-rotation00-20nm"})])
    return path


def potential(path: Path) -> Path:
    CrystalPotential((3.0, 4.0, 5.0), np.zeros((1, 3)), np.zeros(1, int), np.ones((1, 3, 3)), []).save(path)
    return path


def baselines(path: Path) -> Path:
    Baselines(1.0, 2.0, WienerFilter(np.ones((4, 2, 2)), np.ones((4, 4, 2, 2)), (2, 2)), 0.1).save(path)
    return path


@pytest.mark.parametrize(
    ("make", "load"),
    [(images, load_images), (slabs, load_rendered), (potential, CrystalPotential.load), (baselines, Baselines.load)],
)
def test_arrays_that_were_cut_changed_or_are_others_are_named(
    make: Callable[[Path], Path], load: Callable[[Path], Any], tmp_path: Path
) -> None:
    path = make(tmp_path / "a.npz")
    load(path)
    content = path.read_bytes()
    # Within the values, and at the end, where the archive says what it holds.
    middle = content.index(b"\x93NUMPY") + 129
    changed = content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]
    for damaged in (content[: len(content) // 2], content[:-1], changed, b"", b"no archive"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"^[^\n]*a\.npz: found damage[^\n]*$"):
            load(path)
    np.savez(path, other=np.ones(2))
    with pytest.raises(InputError, match=r"^[^\n]*a\.npz: found damage[^\n]*$"):
        load(path)
    path.unlink()
    with pytest.raises(InputError, match=r"a\.npz: there is no such file"):
        load(path)


@pytest.mark.parametrize("content", ["", '{"title": "demo", "scores": {', "[1, 2]", "null", "\udcff"])
@pytest.mark.parametrize(
    "read",
    [
        read_json,
        read_summary,
        find_dataset,
        lambda path: draw_errors(path, []),
        lambda path: compare_runs([path.parent]),
    ],
)
def test_json_that_is_damaged_is_named(read: Callable[[Path], Any], content: str, tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=r"^[^\n]*summary\.json: found[^\n]*$"):
        read(path)


def test_the_model_cards_scores_are_read_as_all_json(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text('{"scores": ')
    weights = Path(__file__).parents[3] / "resources" / "models" / "laptop.safetensors"
    with pytest.raises(InputError, match=r"summary\.json: found damage"):
        describe_model(weights, tmp_path / "summary.json", tmp_path / "README.md", None, "run")


def table(rows: int = 40) -> pandas.DataFrame:
    number = np.arange(rows)
    ids = [f"NA-tilt{n:04d}-rotation00-20nm" for n in number]
    known = {"material": "NA", "dose": 1e5, "tilt": number, "held_out": "tilt", "method": "model"}
    return pandas.DataFrame({"sample_id": ids, **known, "pearson": 1 / (1 + number)})


def test_a_parquet_table_that_was_cut_or_whose_values_changed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "samples.parquet"
    write_table(table(), path)
    content = path.read_bytes()
    pandas.testing.assert_frame_equal(read_table(path), table())
    for size in range(0, len(content), 97):
        path.write_bytes(content[:size])
        with pytest.raises(InputError, match=r"^[^\n]*samples\.parquet: found[^\n]*$"):
            draw_scores(path, [tmp_path / "scores.png"])
    named = 0
    # The values; what follows describes them.
    for place in range(4, len(content) - 8 - int.from_bytes(content[-8:-4], "little"), 31):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        try:
            # Some bytes are read by nobody.
            pandas.testing.assert_frame_equal(read_table(path), table())
        except InputError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
            named += 1
    assert named > 10


@pytest.mark.parametrize("read", [read_table, lambda path: draw_loss(path, []), lambda path: csv_table(path, "cost")])
def test_a_csv_table_that_was_cut_within_a_row_is_named(read: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    write_table(table(), path)
    content = path.read_bytes()
    assert set(read_table(path)["material"]) == {"NA"}
    for size in (0, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(InputError, match=r"^[^\n]*history\.csv: the last row has no end[^\n]*$"):
            read(path)


def test_arrays_are_named_that_are_wanted(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.ones(2))
    assert list(read_arrays(tmp_path / "a.npz", "a")) == ["a"]
    (tmp_path / "ok.json").write_text(json.dumps({"a": 1}))
    assert read_json(tmp_path / "ok.json") == {"a": 1}
