"""`iphasenet inspect`: what a file holds, for people and for other programs."""

import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from iphasenet.base.errors import InputError
from iphasenet.base.marks import IMAGE
from iphasenet.cli import main
from iphasenet.microscope_files.foreign_files import write_image
from iphasenet.microscope_files.hyperspy_files import write_hyperspy
from iphasenet.microscope_files.image_files import read_image
from iphasenet.microscope_files.signals import Signal
from tests.unit.dataset.test_reader import make
from tests.unit.microscope_files.segmented_images import fractions
from tests.unit.microscope_files.test_merlin_files import write_bytes, write_hdr
from tests.unit.microscope_files.test_simulated_image import simulated
from tests.unit.microscope_files.test_virtual_segments import pattern_axes, patterns, write_merlin, write_signal

STRUCTURES = Path(__file__).parents[3] / "resources" / "structures"


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
    assert found["missing"] == ["thickness_nm", "tilt_deg", "rotation_deg", "energy_kev", "semiangle_mrad",
                                "detector_mrad", "beam_intensity", "segment_order"]  # fmt: skip


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
    from iphasenet.base.checksums import write_checksums

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


def failing(capsys: pytest.CaptureFixture[str], *paths: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Facts, and what stands on stderr, of files of which one cannot be read."""
    with pytest.raises(SystemExit) as ended:
        main(["inspect", *map(str, paths), "--json"])
    assert ended.value.code == 1
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err.splitlines()


def test_an_error_of_the_program_ends_its_file_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_path: Path) -> dict[str, Any]:
        raise TypeError("a timedelta is no number")

    write_image(fractions(), tmp_path / "good.npz")
    monkeypatch.setattr("iphasenet.microscope_files.store_facts.store_facts", broken)
    found, told = failing(capsys, tmp_path / "a.zarr", tmp_path / "good.npz")
    line = f"{tmp_path / 'a.zarr'}: an error of the program, TypeError: a timedelta is no number; --debug shows where"
    assert told == [f"iphasenet: {line}"]
    assert found[0]["error"] == line and found[1]["shape"] == [4, 24, 32]
    with pytest.raises(TypeError, match="timedelta"):
        main(["inspect", str(tmp_path / "a.zarr"), "--debug"])


def test_no_number_that_json_lacks_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iphasenet.microscope_files.store_facts.store_facts", lambda _: {"energy_kev": float("nan")})
    found, _ = failing(capsys, tmp_path / "a.zarr")
    assert "an error of the program, ValueError" in found[0]["error"]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"energy_kev": -5.0}, "energy_kev: found -5 keV; allowed: 10 to 1,000 keV"),
        ({"energy_kev": np.inf}, "energy_kev: found inf keV"),
        ({"sampling": np.nan}, "found a step of nan"),
        ({"semiangle_mrad": 1e9}, "semiangle_mrad: found 1e+09 mrad"),
    ],
)
def test_what_a_reconstruction_refuses_is_refused(
    fields: dict[str, float], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "a.npz", segments=fractions().segments, **fields)  # type: ignore[arg-type]
    with pytest.raises(InputError) as refused:
        read_image(tmp_path / "a.npz")
    (found,), _ = failing(capsys, tmp_path / "a.npz")
    assert found["error"] == str(refused.value) and told in found["error"]


def test_one_image_alone_is_checked_as_four_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = fractions().segments[0]
    faults = {"flat": np.ones_like(image), "hole": np.where(image > 0.19, np.nan, image), "complex": image + 1j}
    for name, values in faults.items():
        np.save(tmp_path / f"{name}.npy", values)
    found, _ = failing(capsys, *(tmp_path / f"{name}.npy" for name in faults))
    assert [entry["error"].split("; ")[0].partition(": found ")[2] for entry in found[:1]] == ["1 everywhere"]
    assert "found NaN or infinity" in found[1]["error"] and "values of type complex64" in found[2]["error"]


def test_saturated_patterns_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A counter of 6 bits in bytes, whose disc stands at 63."""
    path = tmp_path / "a.mib"
    write_bytes(path, 255, "6")
    (fine,) = facts(capsys, path)
    assert fine["counter_bits"] == 6
    path.write_bytes(path.read_bytes().replace(bytes([int(patterns().max())]), bytes([63])))
    (found,), _ = failing(capsys, path)
    assert "of the camera's pixels saturated at 63; allowed: none" in found["error"]


def test_a_mib_is_told_with_what_its_header_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_merlin(tmp_path / "whole.mib")
    write_merlin(tmp_path / "alone.mib", with_header=False)
    write_merlin(tmp_path / "more.mib", with_header=False)
    write_hdr(tmp_path / "more.mib", frames="20", per_trigger="5")
    names = ("whole.mib", "whole.hdr", "alone.mib", "more.mib")
    whole, described, alone, more = facts(capsys, *(tmp_path / name for name in names))
    assert (whole["shape"], whole["counter_bits"], whole["header"]["Chip ID"]) == ([6, 5, 32, 40], 12, "W1")
    assert "scan_shape" not in whole["missing"]
    assert described["shape"] == whole["shape"] and "shown with whole.mib" in described["warnings"][0]
    assert alone["shape"] == more["shape"] == [30, 32, 40]
    assert "scan_shape" in alone["missing"] and "scan_shape" in more["missing"]
    assert "--scan-shape, such as 5 x 6" in alone["warnings"][0]
    assert "found 30 patterns and, by the .hdr beside it, a scan of 4 x 5" in more["warnings"][0]
    main(["inspect", str(tmp_path / "alone.mib")])
    text = capsys.readouterr().out
    assert "30 patterns of 32 x 40 pixels" in text and "counter: 12 bits" in text and "--scan-shape" in text


def test_exchanged_and_stretched_cameras_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    axes = list(pattern_axes())
    axes[3] = axes[3] | {"scale": 2.0}
    write_hyperspy(tmp_path / "a.hspy", [Signal("patterns", patterns(), tuple(axes))], IMAGE)
    (found,) = facts(capsys, tmp_path / "a.hspy")
    assert found["warnings"] == ["camera pixels of 2 x 1 mrad are refused without --resample"]


def test_a_series_of_one_detector_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = fractions().segments
    tifffile.imwrite(tmp_path / "a.tif", values, imagej=True, metadata={"axes": "TYX"})
    (found,) = facts(capsys, tmp_path / "a.tif")
    assert (found["shape"], found["frames"], found["segments"]) == ([24, 32], 4, ["a"])
    assert "frame" not in found["missing"] and found["series"] == "'time'"
    told = (
        "a series of one detector along 'time', not four segments: a reconstruction takes four such files, one for each"
    )
    assert found["warnings"] == [f"{told} segment, and --frame"]
    main(["inspect", str(tmp_path / "a.tif")])
    assert "series: 4 scans of one detector along 'time', 0 to 3\n" in capsys.readouterr().out


def test_detectors_and_scans_to_choose_from_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two, series = tmp_path / "two.emd", tmp_path / "series.emd"
    second = fractions(detector_outer_mrad=90.0)
    write_image(fractions(), two)
    write_image(second, tmp_path / "other.emd")
    add_detector(two, tmp_path / "other.emd", "HAADF4")
    write_image(fractions(), series)
    with h5py.File(series, "r+") as file:
        for group in file["Data/Image"].values():
            one = group["Data"][...]
            # The second scan is empty.
            replace_data(group, np.concatenate([one, np.zeros_like(one), one + 1], axis=-1))
    both, scans = facts(capsys, two, series)
    assert (both["detectors"], both["frames"], both["shape"]) == (["DF4", "HAADF4"], 1, [4, 24, 32])
    assert "detector_name" in both["missing"] and "frame" not in both["missing"]
    assert both["detector_mrad"] is None and "detector_mrad" not in both["missing"] and both["energy_kev"] == 200
    assert (scans["detectors"], scans["frames"], scans["shape"]) == ([], 3, [4, 24, 32])
    assert "frame" in scans["missing"]
    assert [line.split(":")[0] for line in scans["warnings"]] == ["frame 1 is refused"]
    main(["inspect", str(two), str(series)])
    text = capsys.readouterr().out
    assert "detectors: DF4, HAADF4" in text and "series: 3 scans, 0 to 2" in text and "--detector-name" in text


def replace_data(group: Any, values: Any) -> None:
    del group["Data"], group["FrameLookupTable"]
    group["Data"] = values
    group["FrameLookupTable"] = np.zeros(values.shape[-1], np.uint32)


def add_detector(path: Path, other: Path, name: str) -> None:
    """Put the segments of another Velox file beside those of one, as those of another detector."""
    with h5py.File(path, "r+") as file, h5py.File(other) as source:
        for key, group in source["Data/Image"].items():
            new = f"f{key[1:]}"
            source.copy(group, file["Data/Image"], new)
            text = file[f"Data/Image/{new}/Metadata"][:, 0].tobytes().rstrip(b"\0").replace(b"DF4", name.encode())
            column = np.frombuffer(text.ljust(60000, b"\0"), np.uint8)[:, None]
            file[f"Data/Image/{new}/Metadata"][...] = column
            for operation in source["Operations/StemInputOperation"].values():
                text = operation[0]
                if key.encode() in text:
                    changed = text.replace(key.encode(), new.encode()).replace(b"DF4", name.encode())
                    entry = f"Operations/StemInputOperation/{new}"
                    file.create_dataset(entry, data=np.array([changed], object), dtype=h5py.string_dtype())


def test_a_pipe_is_refused_at_once_whatever_it_is_called(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / f"a{ending}" for ending in (".cif", ".zarr", ".tif")]
    for path in paths:
        os.mkfifo(path)
    found, _ = failing(capsys, *paths)
    assert all("found a device or pipe, which is no regular file" in entry["error"] for entry in found)
    with pytest.raises(SystemExit, match="found a device or pipe, which is no regular file"):
        main(["simulate", str(paths[0]), "--thickness", "1", "--output", str(tmp_path / "b.zarr")])


def test_a_cameras_physical_pixel_is_told_and_its_angle_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_hyperspy(tmp_path / "a.hspy", [Signal("patterns", patterns(), pattern_axes("µm", 55.0))], IMAGE)
    (found,) = facts(capsys, tmp_path / "a.hspy")
    assert found["camera_pixel"] == ["55 µm", "55 µm"] and "camera_pixel_mrad" in found["missing"]
