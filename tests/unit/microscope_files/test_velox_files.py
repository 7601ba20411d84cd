"""Velox's files: the four segments, the microscope, and what is refused."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from rsciio import emd

from iphasenet.base.errors import InputError
from iphasenet.microscope_files.foreign_files import write_image
from iphasenet.microscope_files.image_files import read_image
from iphasenet.microscope_files.segmented_image import SegmentedImage
from tests.unit.microscope_files.segmented_images import SHAPE, counts, fractions


def velox(folder: Path, image: SegmentedImage | None = None, dtype: Any = np.float32) -> Path:
    path = folder / "scan.emd"
    write_image(image or fractions(), path, dtype)
    return path


def rename(path: Path, names: dict[str, str | None]) -> None:
    """Give detectors in the file other names; none takes the image away."""
    with h5py.File(path, "r+") as file:
        for entry in file["Operations/StemInputOperation"].values():
            operation = json.loads(entry[0])
            name = names.get(operation["detector"], operation["detector"])
            if name is None:
                del file[operation["dataPath"]]
            else:
                operation["detector"] = name
                entry[0] = json.dumps(operation).encode()


def edit(path: Path, change: Any) -> None:
    """Change the metadata of every image."""
    with h5py.File(path, "r+") as file:
        for group in file["Data/Image"].values():
            column = group["Metadata"][:, 0]
            metadata = json.loads(column.tobytes().rstrip(b"\0"))
            change(metadata)
            text = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
            group["Metadata"][:, 0] = np.concatenate([text, np.zeros(len(column) - len(text), np.uint8)])


def test_rosettasciio_reads_four_named_images(tmp_path: Path) -> None:
    signals = {entry["metadata"]["General"]["title"]: entry for entry in emd.file_reader(velox(tmp_path))}
    assert sorted(signals) == ["DF4-A", "DF4-B", "DF4-C", "DF4-D"]
    axes = signals["DF4-A"]["axes"]
    assert [(axis["name"], axis["size"]) for axis in axes] == [("y", SHAPE[0]), ("x", SHAPE[1])]
    assert [axis["scale"] for axis in axes] == pytest.approx([15, 15])
    assert {axis["units"] for axis in axes} == {"pm"}
    # A, B, C, D follow one another clockwise from the top-right.
    for letter, place in zip("ABCD", (1, 3, 2, 0), strict=True):
        np.testing.assert_array_equal(signals[f"DF4-{letter}"]["data"], fractions().arranged[place])


def test_the_microscope_is_understood(tmp_path: Path) -> None:
    found = read_image(velox(tmp_path, counts(), np.uint16))
    assert found.names == ("DF4-A", "DF4-B", "DF4-C", "DF4-D")
    for name in ("sampling", "energy_kev", "semiangle_mrad", "detector_inner_mrad", "detector_outer_mrad"):
        assert getattr(found, name) == pytest.approx(getattr(fractions(), name)), name
    assert found.scan_rotation_deg == pytest.approx(7)
    assert (found.beam_intensity, found.thickness_nm, found.dose) == (None, None, None)
    assert found.tilt_deg is found.rotation_deg is None


def test_what_velox_left_at_zero_is_unknown(tmp_path: Path) -> None:
    unknown = dict.fromkeys(("energy_kev", "semiangle_mrad", "detector_inner_mrad", "detector_outer_mrad"))
    found = read_image(velox(tmp_path, fractions(**unknown)))
    assert [getattr(found, name) for name in unknown] == [None] * 4


def test_the_screen_current_gives_the_dose(tmp_path: Path) -> None:
    path = velox(tmp_path)

    def expose(metadata: dict[str, Any]) -> None:
        metadata["Optics"]["LastMeasuredScreenCurrent"] = "1.602176634e-11"
        metadata["Scan"]["DwellTime"] = "1e-5"

    edit(path, expose)
    # 16 pA for 10 us are 1000 electrons in a pixel of 0.15 Å.
    assert read_image(path).dose == pytest.approx(1000 / 0.15**2)


def test_without_a_detector_rotation_the_scan_rotation_counts(tmp_path: Path) -> None:
    path = velox(tmp_path)

    def turn(metadata: dict[str, Any]) -> None:
        del metadata["CustomProperties"]["DetectorRotation"]
        metadata["Scan"]["ScanRotation"] = str(np.deg2rad(30))

    edit(path, turn)
    assert read_image(path).scan_rotation_deg == pytest.approx(-30)
    edit(path, lambda metadata: metadata["Scan"].pop("ScanRotation"))
    assert read_image(path).scan_rotation_deg is None


def test_other_images_beside_the_segments_do_no_harm(tmp_path: Path) -> None:
    path = velox(tmp_path)
    with h5py.File(path, "r+") as file:
        source = next(iter(file["Data/Image"].values()))
        file.copy(source, "Data/Image/0000")
        operation = {"dataPath": "/Data/Image/0000", "detector": "HAADF"}
        file["Operations/StemInputOperation/0000"] = np.array([json.dumps(operation).encode()], dtype=object)
    np.testing.assert_array_equal(read_image(path).arranged, fractions().arranged)


def test_a_later_version_names_images_by_their_displays(tmp_path: Path) -> None:
    path = velox(tmp_path)
    with h5py.File(path, "r+") as file:
        titles = {}
        for entry in file["Operations/StemInputOperation"].values():
            operation = json.loads(entry[0])
            titles[operation["dataPath"]] = operation["detector"]
        del file["Operations"], file["Version"]
        texts: dict[str, dict[str, str]] = {"Version": {"version": "11", "format": "Velox"}}
        for number, (place, title) in enumerate(titles.items()):
            reference = f"SharedProperties/ImageSeriesDataReference/{number}"
            texts[reference] = {"dataPath": place}
            texts[f"Displays/ImageDisplay/{number}"] = {"data": f"/{reference}", "id": title, "title": title}
        for name, text in texts.items():
            file[name] = np.array([json.dumps(text).encode()], dtype=object)
    assert {entry["metadata"]["General"]["title"] for entry in emd.file_reader(path)} == {"DF4"}
    found = read_image(path)
    assert found.names == ("DF4-A", "DF4-B", "DF4-C", "DF4-D")
    np.testing.assert_array_equal(found.arranged, fractions().arranged)


def test_one_scan_of_a_series_is_asked_for(tmp_path: Path) -> None:
    path = velox(tmp_path)
    with h5py.File(path, "r+") as file:
        for group in file["Data/Image"].values():
            first = group["Data"][:]
            del group["Data"]
            group.create_dataset("Data", data=np.concatenate([first, 2 * first, 3 * first], axis=2))
    for frame in (None, 3, -1):
        told = f"frame: found {'none' if frame is None else frame} for a series of 3 scans; allowed: one of 0 to 2"
        with pytest.raises(InputError, match=told):
            read_image(path, frame=frame)
    np.testing.assert_array_equal(read_image(path, frame=1).arranged, 2 * fractions().arranged)


def test_differences_alone_are_refused_with_the_reason(tmp_path: Path) -> None:
    path = velox(tmp_path)
    rename(path, {"DF4-A": "A-C", "DF4-B": "B-D", "DF4-C": None, "DF4-D": None})
    with pytest.raises(InputError, match=r"only differences \((A-C, B-D|B-D, A-C)\), which do not give four"):
        read_image(path)


def test_missing_and_doubled_segments_are_refused(tmp_path: Path) -> None:
    path = velox(tmp_path)
    rename(path, {"DF4-D": None})
    with pytest.raises(
        InputError, match=r"found DF4-., DF4-., DF4-.; allowed: images of four segments, DF4-A to DF4-D"
    ):
        read_image(path)
    with h5py.File(velox(tmp_path), "r+") as file:
        for name, entry in list(file["Operations/StemInputOperation"].items()):
            operation = json.loads(entry[0])
            operation["detector"] = operation["detector"].replace("DF4", "DF2")
            copy = f"/Data/Image/{operation['dataPath'][:-33:-1]}"
            file.copy(file[operation["dataPath"]], copy)
            operation["dataPath"] = copy
            file[f"Operations/StemInputOperation/0{name}"] = np.array([json.dumps(operation).encode()], dtype=object)
    told = r"found the segments of (DF\d, DF\d); allowed: those of one detector, --detector-name DF\d or DF\d"
    with pytest.raises(InputError, match=told):
        read_image(path)
    np.testing.assert_array_equal(read_image(path, detector_name="DF2").arranged, fractions().arranged)
    with pytest.raises(InputError, match=r"found the segments of DF\d, DF\d and none of DF8; allowed"):
        read_image(path, detector_name="DF8")


def test_spectra_beside_the_images_do_no_harm(tmp_path: Path) -> None:
    """RosettaSciIO asks for `sparse` before it leaves out what it was not asked for."""
    path = velox(tmp_path)
    with h5py.File(path, "r+") as file:
        file.create_group("Data/SpectrumImage/a")
        file.create_group("Presentation/Displays/ImageDisplay")
    np.testing.assert_array_equal(read_image(path).arranged, fractions().arranged)


@pytest.mark.parametrize("name", ["AccelerationVoltage", "BeamConvergence"])
def test_a_number_that_is_none_is_one_line(name: str, tmp_path: Path) -> None:
    path = velox(tmp_path)
    edit(path, lambda metadata: metadata["Optics"].update({name: "a lot"}))
    with pytest.raises(InputError, match=rf"Velox's Optics\.{name}: found 'a lot'; allowed: one number"):
        read_image(path)


def test_saturation_is_that_of_the_detector(tmp_path: Path) -> None:
    path = velox(tmp_path, counts(), np.uint16)
    limit = int(np.sort(counts().segments, axis=None)[-3])

    def lower(metadata: dict[str, Any]) -> None:
        metadata["CustomProperties"]["MaxPossiblePixelValue"]["value"] = str(limit)

    edit(path, lower)
    with pytest.raises(InputError, match=f"found {300 / counts().segments.size:.2g} % of the pixels saturated"):
        read_image(path)


def test_pixels_that_are_not_square_are_refused(tmp_path: Path) -> None:
    path = velox(tmp_path)

    def stretch(metadata: dict[str, Any]) -> None:
        metadata["BinaryResult"]["PixelSize"]["height"] = "3e-11"

    edit(path, stretch)
    with pytest.raises(InputError, match=r"found pixels of 0\.15 x 0\.3 Å; allowed: square pixels"):
        read_image(path)
