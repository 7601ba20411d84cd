"""`iphasenet inspect`: what a file holds, for people and for other programs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from iphasenet.cli import main
from iphasenet.user_images.foreign_files import write_image
from tests.unit.test_dataset import make
from tests.unit.user_images.segmented_images import fractions
from tests.unit.user_images.test_simulated_image import simulated
from tests.unit.user_images.test_virtual_segments import write_merlin, write_signal

STRUCTURES = Path(__file__).parents[2] / "resources" / "structures"


def facts(capsys: pytest.CaptureFixture[str], *paths: Path) -> list[dict[str, Any]]:
    capsys.readouterr()
    main(["inspect", *map(str, paths), "--json"])
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_an_image_is_told_with_what_it_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(fractions(beam_intensity=None), tmp_path / "a.hspy")
    (found,) = facts(capsys, tmp_path / "a.hspy")
    assert found["file"] == str(tmp_path / "a.hspy")
    expected = {
        "kind": "image",
        "shape": [4, 24, 32],
        "sampling_angstrom": [0.15, 0.15],
        "energy_kev": 200.0,
        "semiangle_mrad": 20.0,
        "detector_mrad": [10.0, 50.0],
        "segments": ["a", "b", "c", "d"],
        "segment_order": [3, 1, 4, 2],
        "missing": ["beam_intensity"],
        "warnings": [],
    }
    assert {key: found[key] for key in expected} == expected


def test_pixels_that_are_not_square_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = fractions().segments
    tifffile.imwrite(tmp_path / "a.tif", values, imagej=True, resolution=(50, 25), metadata={"unit": "nm"})
    (found,) = facts(capsys, tmp_path / "a.tif")
    assert found["sampling_angstrom"] == pytest.approx([0.4, 0.2])
    assert found["warnings"] == ["pixels of 0.2 x 0.4 Å are refused without --resample"]
    assert found["energy_kev"] is found["semiangle_mrad"] is found["detector_mrad"] is None
    assert found["missing"] == ["thickness_nm", "rotation_deg", "energy_kev", "semiangle_mrad", "detector_mrad",
                                "beam_intensity", "segment_order"]  # fmt: skip


def test_patterns_and_one_of_four_images_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_signal(tmp_path / "a.hspy")
    write_merlin(tmp_path / "b.mib")
    np.save(tmp_path / "c.npy", fractions().segments[0])
    known, unknown, alone = facts(capsys, tmp_path / "a.hspy", tmp_path / "b.mib", tmp_path / "c.npy")
    assert known["shape"] == unknown["shape"] == [6, 5, 32, 40]
    assert known["camera_pixel"] == ["1 mrad", "1 mrad"] and known["sampling_angstrom"] == pytest.approx([0.2, 0.2])
    assert "camera_pixel_mrad" in unknown["missing"] and "camera_pixel_mrad" not in known["missing"]
    assert alone["shape"] == [24, 32] and alone["segments"] == ["c"]


def test_stores_and_crystals_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    simulation, data = simulated(tmp_path), make(tmp_path / "data", ("GaN",))
    first, second, crystal = facts(capsys, simulation, data, STRUCTURES / "LiCoO2.cif")
    attributes = dict(zarr.open_group(simulation, mode="r").attrs)
    assert (first["kind"], first["thickness_nm"]) == ("simulation", attributes["thickness"])
    assert first["detector_mrad"] == attributes["detector"]
    assert first["sampling_angstrom"] == pytest.approx([attributes["sampling"]] * 2)
    assert second["kind"] == "dataset" and sum(second["samples"]["GaN"].values()) > 0
    assert (crystal["kind"], crystal["formula"], crystal["atoms"]) == ("crystal", "Co3Li3O6", 12)
    main(["inspect", str(simulation), str(data)])
    text = capsys.readouterr().out
    assert "simulation: a store that" in text and "dataset: a data set made" in text


def test_a_file_that_cannot_be_read_is_one_line_and_the_others_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(fractions(), tmp_path / "good.npz")
    (tmp_path / "bad.tif").write_text("no image")
    files = [str(tmp_path / name) for name in ("bad.tif", "gone.cif", "good.npz")]
    with pytest.raises(SystemExit) as ended:
        main(["inspect", *files])
    captured = capsys.readouterr()
    assert ended.value.code == 1 and "good.npz\n  image, 4 images of 24 x 32 pixels: a, b, c, d" in captured.out
    assert [line.split(": ")[:2] for line in captured.err.splitlines()] == [["iphasenet", name] for name in files[:2]]
    with pytest.raises(SystemExit):
        main(["inspect", *files, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [entry["file"] for entry in found] == files
    assert ["error" in entry for entry in found] == [True, True, False]


def test_a_store_that_lies_of_its_size_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from iphasenet.checksums import write_checksums

    store = make(tmp_path / "data", ("GaN",))
    root = store / "zarr.json"
    described = json.loads(root.read_text())
    described["consolidated_metadata"]["metadata"]["GaN/split"]["shape"] = [10**12]
    root.write_text(json.dumps(described))
    (store / "checksums.sha256").unlink()
    write_checksums(store, {})
    with pytest.raises(SystemExit):
        main(["inspect", str(store)])
    assert "GaN/split: found a header that claims 1,000,000,000,000 values, 1.0 TB, in" in capsys.readouterr().err
