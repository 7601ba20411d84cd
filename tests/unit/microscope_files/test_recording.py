"""Every reader against the same list of faults, in files that the tests write in each format."""

import gc
import json
import logging
import os
import socket
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray
from rsciio import emd, nexus

from iphasenet.base.errors import InputError, InputWarning
from iphasenet.base.marks import IMAGE
from iphasenet.microscope_files.axes import Axis, pixel_axes
from iphasenet.microscope_files.foreign_files import write_image
from iphasenet.microscope_files.hyperspy_files import uniform_axis, write_hyperspy
from iphasenet.microscope_files.image_files import read_image
from iphasenet.microscope_files.recording import Recording
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.microscope_files.signals import Signal
from tests.unit.microscope_files.segmented_images import fractions

Values = NDArray[Any]
Writer = Callable[[Path, Values, tuple[float, float], str], Path | list[Path]]

COUNTS = np.random.default_rng(0).integers(1000, 60000, (4, 24, 32)).astype(np.uint16)
SQUARE = (0.2, 0.2)


def axes(shape: tuple[int, ...], pixel: tuple[float, float], name: str) -> tuple[dict[str, Any], ...]:
    first = uniform_axis(name, shape[0], True)
    sides = [uniform_axis(n, size, False, side, "Å") for n, size, side in zip("yx", shape[1:], pixel, strict=True)]
    return first, *sides


def hyperspy(path: Path, values: Values, pixel: tuple[float, float], name: str) -> Path:
    path = path.with_suffix(path.suffix or ".hspy")
    write_hyperspy(path, [Signal("segments", values, axes(values.shape, pixel, name))], IMAGE)
    return path


def zspy(path: Path, values: Values, pixel: tuple[float, float], name: str) -> Path:
    return hyperspy(path.with_suffix(".zspy"), values, pixel, name)


def older_hyperspy(path: Path, values: Values, pixel: tuple[float, float], name: str) -> Path:
    """As HyperSpy called its files before 1.3."""
    written = hyperspy(path.with_suffix(".hspy"), values, pixel, name)
    with h5py.File(written, "r+") as file:
        file.attrs["file_format_version"] = "2.2"
    return written.rename(path.with_suffix(".hdf5"))


def described(values: Values, pixel: tuple[float, float], name: str) -> dict[str, Any]:
    listed = [{**axis, "index_in_array": index} for index, axis in enumerate(axes(values.shape, pixel, name))]
    metadata = {"General": {"title": "segments"}, "Signal": {"signal_type": ""}}
    return {"data": values, "axes": listed, "metadata": metadata, "original_metadata": {},
            "attributes": {"_lazy": False}}  # fmt: skip


def berkeley(path: Path, values: Values, pixel: tuple[float, float], name: str) -> Path:
    emd.file_writer(str(path.with_suffix(".emd")), described(values, pixel, name))
    return path.with_suffix(".emd")


def nxs(path: Path, values: Values, pixel: tuple[float, float], name: str) -> Path:
    nexus.file_writer(str(path.with_suffix(".nxs")), described(values, pixel, name))
    return path.with_suffix(".nxs")


def older_nexus(path: Path, values: Values, pixel: tuple[float, float], name: str) -> Path:
    """Axes named by the array itself, as NeXus did until 2014."""
    path = path.with_suffix(".nxs")
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        data = entry.create_group("data")
        data.attrs["NX_class"] = "NXdata"
        array = data.create_dataset("data", data=values)
        array.attrs.update({"signal": 1, "axes": f"{name}:y:x"})
        for axis, size, side in zip((name, "y", "x"), values.shape, (1, *pixel), strict=True):
            data[axis] = (side * np.arange(size)).astype(np.float32)
            data[axis].attrs["units"] = "" if axis == name else "angstrom"
    return path


def imagej(path: Path, values: Values, pixel: tuple[float, float], name: str) -> Path:
    resolution = (10 / pixel[1], 10 / pixel[0])
    metadata = {"unit": "nm", "axes": "TYX" if name == "time" else "ZYX"}
    values = values.astype(np.float32) if values.dtype.kind == "f" else values
    tifffile.imwrite(path.with_suffix(".tif"), values, imagej=True, resolution=resolution, metadata=metadata)
    return path.with_suffix(".tif")


def ome(path: Path, values: Values, pixel: tuple[float, float], name: str) -> Path:
    metadata = {"axes": "TYX" if name == "time" else "CYX"}
    for letter, side in zip("YX", pixel, strict=True):
        metadata |= {f"PhysicalSize{letter}": side / 10, f"PhysicalSize{letter}Unit": "nm"}
    tifffile.imwrite(path.with_suffix(".ome.tif"), values, ome=True, metadata=metadata)
    return path.with_suffix(".ome.tif")


def npz(path: Path, values: Values, pixel: tuple[float, float], _name: str) -> Path:
    np.savez(path.with_suffix(".npz"), segments=values, sampling=pixel)
    return path.with_suffix(".npz")


def npy(path: Path, values: Values, _pixel: tuple[float, float], _name: str) -> Path:
    np.save(path.with_suffix(".npy"), values)
    return path.with_suffix(".npy")


def velox(path: Path, values: Values, pixel: tuple[float, float], _name: str) -> Path:
    path = path.with_suffix(".emd")
    image = SegmentedImage(COUNTS, "made", order=(0, 1, 2, 3), sampling=pixel[1])
    write_image(image, path, np.uint16)
    with h5py.File(path, "r+") as file:
        for group, one in zip(file["Data/Image"].values(), values, strict=False):
            del group["Data"]
            group["Data"] = one[..., None]
            text = group["Metadata"][:, 0].tobytes().rstrip(b"\0").replace(b'"MaxPossiblePixelValue"', b'"Unused"')
            metadata = json.loads(text)
            metadata["BinaryResult"]["PixelSize"]["height"] = repr(1e-10 * pixel[0])
            text = json.dumps(metadata).encode()
            group["Metadata"][:, 0] = np.frombuffer(text.ljust(len(group["Metadata"]), b"\0"), np.uint8)
        for key in list(file["Data/Image"])[len(values) :]:
            del file[f"Data/Image/{key}"]
    return path


def four_files(path: Path, values: Values, pixel: tuple[float, float], _name: str) -> list[Path]:
    paths = [path.with_name(f"part{index}.hspy") for index in range(len(values))]
    for part, image in zip(paths, values, strict=True):
        write_hyperspy(part, [Signal("one", image, axes((4, *image.shape), pixel, "")[1:])], IMAGE)
    return paths


FORMATS: dict[str, Writer] = {
    writer.__name__: writer
    for writer in (hyperspy, zspy, older_hyperspy, berkeley, nxs, older_nexus, imagej, ome, npz, npy, velox, four_files)
}
WITH_PIXEL = sorted(FORMATS.keys() - {"npy"})
WITH_AXES = sorted(FORMATS.keys() - {"npy", "npz", "velox", "four_files"})


def changed(values: Values, change: Callable[[Values], None]) -> Values:
    values = values.copy()
    change(values)
    return values


def repeat(values: Values) -> None:
    values[2] = values[0]


def flatten(values: Values) -> None:
    values[1] = 7


def saturate(values: Values) -> None:
    values[0, 0, :5] = 65535


def hole(values: Values) -> None:
    values[3, 1, 1] = np.nan


FAULTS: dict[str, tuple[Values, str]] = {
    "the same image twice": (changed(COUNTS, repeat), r"found the same values in segments \d \(.*\) and \d \(.*\)"),
    "an empty image": (changed(COUNTS, flatten), "found 7 everywhere; allowed: an image"),
    "saturated": (changed(COUNTS, saturate), "% of the pixels saturated at 65535"),
    "not finite": (changed(COUNTS.astype(np.float32), hole), "found NaN or infinity in"),
    "three segments": (COUNTS[:3], r"found 3 (images|files)|found (DF4-\w, ){2}DF4-\w;|array of 24 x 32"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_whole_file_tells_what_it_can(name: str, tmp_path: Path) -> None:
    found = read_image(FORMATS[name](tmp_path / "file", COUNTS, SQUARE, "segment"))
    order = found.segments.reshape(4, -1)[:, 0].argsort()
    np.testing.assert_array_equal(found.segments[order], COUNTS[COUNTS.reshape(4, -1)[:, 0].argsort()])
    assert found.sampling == (pytest.approx(0.2) if name in WITH_PIXEL else None)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", FORMATS)
def test_each_reader_refuses_each_fault_in_one_line(name: str, fault: str, tmp_path: Path) -> None:
    values, told = FAULTS[fault]
    path = FORMATS[name](tmp_path / "file", values, SQUARE, "segment")
    with pytest.raises(InputError, match=told) as error:
        read_image(path)
    assert "\n" not in str(error.value) and "; allowed: " in str(error.value)


@pytest.mark.parametrize("name", WITH_PIXEL)
def test_pixels_that_are_not_square_are_refused_or_resampled(name: str, tmp_path: Path) -> None:
    smooth = 1000 + 100 * np.arange(4)[:, None, None] + np.add.outer(np.arange(24), np.arange(32) ** 1.5)
    path = FORMATS[name](tmp_path / "file", smooth.astype(np.uint16), (0.4, 0.2), "segment")
    with pytest.raises(InputError, match=r"found pixels of 0\.2 x 0\.4 Å; allowed: square pixels, or --resample"):
        read_image(path)
    found = read_image(path, resample=True)
    assert found.sampling == pytest.approx(0.2) and found.segments.shape == (4, 48, 32)


@pytest.mark.parametrize("name", WITH_AXES)
def test_four_frames_are_no_segments(name: str, tmp_path: Path) -> None:
    path = FORMATS[name](tmp_path / "file", COUNTS, SQUARE, "time")
    with pytest.raises(InputError, match="found a first axis called 'time'; allowed: one of four segments"):
        read_image(path)


@pytest.mark.parametrize("name", ["Time", "Frame number", "frameNumber", "Energy loss", "TILT", "t", "dwell_time"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_series_is_seen_at_every_place_and_by_any_name(name: str, place: int) -> None:
    named = [Axis("segment"), Axis("scan y"), Axis("scan x")]
    Recording(COUNTS, "made", tuple(named))
    named[place] = Axis(name)
    with pytest.raises(InputError, match=f"found a (first|second|third) axis called '{name}'; allowed: "):
        Recording(COUNTS, "made", tuple(named))


def test_one_of_four_files_with_other_axes_is_refused(tmp_path: Path) -> None:
    paths = four_files(tmp_path / "file", COUNTS, SQUARE, "")
    spectra = axes((4, *COUNTS[2].shape), SQUARE, "")[1:]
    spectra[1].update({"name": "Energy", "units": "eV"})
    write_hyperspy(tmp_path / "other.hspy", [Signal("one", COUNTS[2], spectra)], IMAGE)
    with pytest.raises(InputError, match=r"other: found a second axis called 'Energy' \[eV\]"):
        read_image([*paths[:2], tmp_path / "other.hspy", paths[3]])


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({"energy_kev": -5.0}, "energy_kev: found -5 keV; allowed: 10 to 1,000 keV"),
        ({"semiangle_mrad": 1e9}, r"semiangle_mrad: found 1e\+09 mrad"),
        ({"dose": float("nan")}, "dose: found nan"),
        ({"tilt_deg": (0.0, float("inf"))}, "tilt_deg: found inf degrees"),
        ({"rotation_deg": float("inf")}, "rotation_deg: found inf degrees"),
        ({"detector_inner_mrad": 50.0, "detector_outer_mrad": 10.0}, "detector: found 50 to 10 mrad"),
        ({"beam_intensity": 1.0, "dark_intensity": 2.0}, "beam_intensity: found 1; allowed: above"),
    ],
)
def test_what_is_known_is_in_range(known: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=f"^made: {told}"):
        Recording(COUNTS, "made", pixel_axes(None), known=known)


def test_names_are_shown_on_one_line() -> None:
    names = ("a\nb", "\x1b[31m", "", "ä")
    assert Recording(COUNTS, "made", pixel_axes(None), names).names == ("a b", "[31m", "3", "ä")


def test_a_choice_without_effect_is_refused(tmp_path: Path) -> None:
    stack, files = hyperspy(tmp_path / "stack", COUNTS, SQUARE, ""), four_files(tmp_path / "f", COUNTS, SQUARE, "")
    for paths in ([stack], files):
        with pytest.raises(InputError, match="frame: found 1, but the file holds one scan: remove it"):
            read_image(paths, frame=1)
        with pytest.raises(InputError, match="detector name: found 'DF4', but the file names no detectors"):
            read_image(paths, detector_name="DF4")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


@pytest.mark.parametrize("make", [os.mkfifo, make_socket, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.parametrize("ending", [".npy", ".npz", ".tif", ".hspy", ".emd", ".mib", ".zspy"])
def test_pipes_sockets_and_devices_are_refused_at_once(
    make: Callable[[Path], None], ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(f"a{ending}")
    make(path)
    with pytest.raises(InputError, match=r"^a\.\w+: found a device or pipe, which is no regular file; allowed: "):
        read_image(path)


def test_folders_and_empty_files_are_refused_by_what_they_are(tmp_path: Path) -> None:
    for ending in (".npy", ".npz", ".tif", ".hspy", ".mib"):
        (tmp_path / f"folder{ending}").mkdir()
        (tmp_path / f"empty{ending}").touch()
        for name, told in (
            ("folder", "this is a folder; give the path of"),
            ("empty", "this file is empty; give a whole"),
        ):
            with pytest.raises(InputError, match=f"{name}{ending}: {told}"):
                read_image(tmp_path / f"{name}{ending}")


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({"data": COUNTS.astype(complex)}, "found values of type complex128; allowed: real numbers"),
        ({"data": COUNTS.astype("m8[s]")}, r"found values of type timedelta64\[s\]; allowed: real numbers"),
        ({"data": COUNTS[0]}, "found an array of 24 x 32"),
        ({"axes": (Axis(),)}, "found 1 axes of 4 images"),
        ({"axes": (Axis("segment", 1.0, "s"), Axis(), Axis())}, r"found a first axis called 'segment' \[s\]"),
        ({"axes": (Axis(), Axis("y", float("inf"), "Å"), Axis())}, "found a step of inf Å along the axis 'y'"),
        ({"axes": pixel_axes((1e9, 1e9))}, "sampling: found 1e[+]09 Å; allowed: 0.01 to"),
        ({"axes": (Axis("z", 5.0, "nm"), Axis(), Axis())}, r"found a first axis called 'z' \[nm\]; allowed: one of"),
        (
            {"axes": (Axis(), Axis("ky", 1.0, "1 / nm"), Axis())},
            r"found an image of 24 x 32 pixels along 'ky' \[1 / nm\]",
        ),
        ({"names": ("a", "b")}, "found 2 names of segments; allowed: four"),
        ({"full_count": 2000.0}, "found .* of the pixels saturated at 59996"),
        ({"data": np.ones((2, 2, 1, 1))}, "found an array of 2 x 2 x 1 x 1; allowed: patterns of a scan"),
    ],
)
def test_a_recording_checks_itself(known: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=f"^made: {told}"):
        Recording(**{"data": COUNTS, "source": "made", "axes": pixel_axes(None)} | known)


def test_files_that_were_not_taken_together_are_refused(tmp_path: Path) -> None:
    paths = four_files(tmp_path / "file", COUNTS, SQUARE, "")
    sides = axes((4, *COUNTS[2].shape), (0.3, 0.3), "")[1:]
    write_hyperspy(tmp_path / "other.hspy", [Signal("one", COUNTS[2], sides)], IMAGE)
    with pytest.raises(InputError, match=r"pixel along y: found 0\.2 Å in part0 and 0\.3 Å in other; allowed: four"):
        read_image([*paths[:2], tmp_path / "other.hspy", paths[3]])
    microscope = {"Acquisition_instrument": {"TEM": {"beam_energy": "80 kV"}}}
    for part, energy in ((1, "200 kV"), (2, "80 kV")):
        microscope = {"Acquisition_instrument": {"TEM": {"beam_energy": energy}}}
        signal = Signal("one", COUNTS[part], axes((4, *COUNTS[part].shape), SQUARE, "")[1:], microscope)
        paths[part].unlink()
        write_hyperspy(paths[part], [signal], IMAGE)
    with pytest.raises(InputError, match="energy_kev: found 200 keV in part1 and 80 keV in part2; allowed: four"):
        read_image(paths)
    with pytest.raises(InputError, match=r"found the same values in segments 1 \(part0 1\) and 2 \(part0 2\)"):
        read_image([paths[0]] * 4)


def test_files_of_one_name_in_four_folders_are_told_apart(tmp_path: Path) -> None:
    paths = [tmp_path / letter / "segment.tif" for letter in "abcd"]
    for path, image, side in zip(paths, COUNTS, (0.2, 0.2, 0.4, 0.2), strict=True):
        path.parent.mkdir()
        options: dict[str, Any] = {"imagej": True, "metadata": {"unit": "nm"}}
        tifffile.imwrite(path, image.astype(np.uint16), resolution=(10 / side, 10 / side), **options)
    with pytest.raises(InputError, match=r"pixel along y: found 0\.2 Å in a/segment and 0\.4 Å in c/segment; allowed"):
        read_image(paths)


def test_four_numpy_arrays_are_four_segments(tmp_path: Path) -> None:
    paths = [tmp_path / f"{index}.npy" for index in range(4)]
    for path, image in zip(paths, COUNTS, strict=True):
        np.save(path, image)
    np.testing.assert_array_equal(read_image(paths).segments, COUNTS)


@pytest.mark.parametrize(
    ("sampling", "told"),
    [([0.2], 0.2), (np.array([[0.2]]), 0.2), ("0.02 nm", 0.2), (b"0.2", 0.2), (0.2, 0.2), ([0.2, 0.2], 0.2)],
)
def test_numbers_of_a_npz_may_be_written_in_any_way(sampling: Any, told: float, tmp_path: Path) -> None:
    angle = {"detector_outer_mrad": "0.05 rad"}
    np.savez(tmp_path / "a.npz", segments=COUNTS, sampling=sampling, energy_kev="200 kV", **angle)
    found = read_image(tmp_path / "a.npz")
    assert (found.sampling, found.energy_kev, found.detector_outer_mrad) == pytest.approx((told, 200, 50))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"sampling": [0.2, 0.2, 0.2]}, "sampling: found '.*'; allowed: one number"),
        ({"energy_kev": "two hundred"}, "energy_kev: found 'two hundred'; allowed: one number"),
        ({"energy_kev": "200 nm"}, "energy_kev: found '200 nm'; allowed: one number"),
        ({"energy_kev": True}, "energy_kev: found 'True'; allowed: one number"),
        ({"rotation": [1.0, 2.0]}, "rotation: found '.*'; allowed: 3 numbers"),
        ({"tilt_deg": [1.0, 2.0, 3.0]}, "tilt_deg: found '.*'; allowed: 2 numbers"),
        ({"rotation_deg": [1.0, 2.0, 3.0]}, "rotation_deg: found '.*'; allowed: one number"),
        ({"order": [0, 1, 2, 2]}, "order: found 0, 1, 2, 2; allowed: 0 to 3, each once"),
        ({"order": ["a", "b", "c", "d"]}, "order: found 'a'; allowed: one number"),
        ({"order": [0.0, np.nan, 1.0, 2.0]}, "order: found 0, nan, 1, 2; allowed"),
    ],
)
def test_what_is_no_number_is_one_line(fields: dict[str, Any], told: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", segments=COUNTS, **fields)
    with pytest.raises(InputError, match=rf"a\.npz: {told}"):
        read_image(tmp_path / "a.npz")


def test_an_energy_may_have_its_unit(tmp_path: Path) -> None:
    told = {"Acquisition_instrument": {"TEM": {"beam_energy": "200 kV", "convergence_angle": "20 mrad"}}}
    write_hyperspy(tmp_path / "a.hspy", [Signal("s", COUNTS, axes(COUNTS.shape, SQUARE, "segment"), told)], IMAGE)
    found = read_image(tmp_path / "a.hspy")
    assert (found.energy_kev, found.semiangle_mrad) == (200, 20)


def test_a_pixel_that_another_program_changed_counts(tmp_path: Path) -> None:
    """HyperSpy keeps its axes right when it rebins an image, and not what else stands in the file."""
    told = {"iphasenet": {"sampling": 0.2, "energy_kev": 200.0}}
    signal = Signal("s", COUNTS, axes(COUNTS.shape, (0.4, 0.4), "segment"), told)
    write_hyperspy(tmp_path / "a.hspy", [signal], IMAGE)
    assert read_image(tmp_path / "a.hspy").sampling == pytest.approx(0.4)


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.uint8])
def test_what_tifffile_writes_unless_told_otherwise_is_a_stack(dtype: Any, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(1, 200, (4, 24, 32)).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tifffile.imwrite(tmp_path / "a.tif", values)
        tifffile.imwrite(tmp_path / "time.tif", values, metadata={"axes": "TYX"})
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").segments, values)
    with pytest.raises(InputError, match="found a first axis called 'time'"):
        read_image(tmp_path / "time.tif")


def lying_npy(path: Path) -> Path:
    path = path.with_suffix(".npy")
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (4, 500_000, 500_000)}
        )
        file.write(bytes(4000))
    return path


def lying_npz(path: Path) -> Path:
    import zipfile

    with zipfile.ZipFile(path.with_suffix(".npz"), "w") as archive:
        archive.write(lying_npy(path), "segments.npy")
    return path.with_suffix(".npz")


def lying_tif(path: Path) -> Path:
    """One page whose width and height are changed to 1e6 each."""
    path = path.with_suffix(".tif")
    tifffile.imwrite(path, COUNTS, photometric="minisblack")
    with tifffile.TiffFile(path) as file:
        places = [(page.tags[name].valueoffset, page.tags[name].dtype) for page in file.pages for name in
                  ("ImageWidth", "ImageLength", "RowsPerStrip")]  # fmt: skip
    content = bytearray(path.read_bytes())
    for place, _ in places:
        struct.pack_into("<I", content, place - 4 + 4, 1_000_000)
    path.write_bytes(content)
    return path


def lying_hspy(path: Path) -> Path:
    path = hyperspy(path.with_suffix(".hspy"), COUNTS, SQUARE, "segment")
    with h5py.File(path, "r+") as file:
        group = file["Experiments/segments"]
        del group["data"]
        group.create_dataset("data", (4, 500_000, 500_000), "f4", chunks=(1, 1000, 1000))
    return path


def lying_zspy(path: Path) -> Path:
    path = zspy(path, COUNTS, SQUARE, "segment")
    rewrite(path, {"shape": [4, 500_000, 500_000]})
    return path


def rewrite(path: Path, header: dict[str, Any]) -> None:
    """Change what a .zspy says of its array, in both places."""
    (one,) = path.rglob(".zarray")
    one.write_text(json.dumps(json.loads(one.read_text()) | header))
    gathered = json.loads((path / ".zmetadata").read_text())
    gathered["metadata"][one.relative_to(path).as_posix()] |= header
    (path / ".zmetadata").write_text(json.dumps(gathered))


@pytest.mark.parametrize("write", [lying_npy, lying_npz, lying_tif, lying_hspy, lying_zspy])
def test_a_header_that_lies_is_refused_before_anything_is_allocated(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"found a header that claims .* values, [\d,.]+ TB, in .*; allowed: a whole"):
        read_image(write(tmp_path / "file"))


def test_lists_of_different_lengths_are_refused_without_a_word_of_tasks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    path = zspy(tmp_path / "file", COUNTS, SQUARE, "segment")
    ragged = {"dtype": "|O", "filters": [{"id": "vlen-array", "dtype": "<f8"}], "shape": [4, 2], "chunks": [1, 1]}
    rewrite(path, ragged)
    with caplog.at_level(logging.DEBUG), pytest.raises(InputError, match="segments/data: found lists of different len"):
        read_image(path)
    gc.collect()
    assert "never retrieved" not in caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize("damage", [lambda whole: whole[:20], lambda whole: b"\xff" * 12 + whole[12:]])
def test_damaged_chunks_are_one_line(
    damage: Callable[[bytes], bytes],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Of cut ones Blosc returns what was in memory; of others asyncio complains of each that Zarr did not ask for."""
    path = zspy(tmp_path / "file", COUNTS, SQUARE, "segment")
    for chunk in (path / "Experiments/segments/data").rglob("[0-9]*"):
        if chunk.is_file():
            chunk.write_bytes(damage(chunk.read_bytes()))
    with pytest.raises(InputError, match=r"found no readable \.zspy"):
        read_image(path)
    gc.collect()
    assert "never retrieved" not in caplog.text + "".join(capfd.readouterr())


def test_xarray_opens_what_is_written_without_a_warning(tmp_path: Path) -> None:
    import xarray

    write_image(fractions(), tmp_path / "a.zspy")
    for group in (None, "Experiments/segments"):
        with xarray.open_zarr(tmp_path / "a.zspy", group=group) as opened:
            if group is not None:
                assert dict(opened["data"].sizes) == {"segment": 4, "y": 24, "x": 32}
    assert zarr.open_group(tmp_path / "a.zspy", mode="r").metadata.consolidated_metadata is not None


def test_a_npz_of_two_sets_of_segments_is_a_question(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", segments=COUNTS, input=COUNTS)
    with pytest.raises(InputError, match="found the arrays segments, input; allowed: one, `segments` or `input`"):
        read_image(tmp_path / "a.npz")


def test_names_of_several_segments_are_told_apart() -> None:
    assert Recording(COUNTS, "made", pixel_axes(None), ("a", "b", "a", "c")).names == ("a 1", "b", "a 3", "c")


def test_a_shape_below_zero_is_told_without_its_bytes(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 5, 5), np.float32))
    written = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(written.replace(b"(4, 5, 5), ", b"(4, -5, 5),"))
    with pytest.raises(InputError, match=r"claims 4 x -5 x 5 values; allowed: a whole file, without negative sizes"):
        read_image(tmp_path / "a.npy")


def test_a_resampling_without_effect_is_told(tmp_path: Path) -> None:
    """And not refused: the settings of a folder hold for images with square pixels too."""
    path = hyperspy(tmp_path / "a", COUNTS, SQUARE, "segment")
    with pytest.warns(InputWarning, match="a.hspy: resample: all pixels are square already; it has no effect"):
        found = read_image(path, resample=True)
    np.testing.assert_array_equal(found.segments, COUNTS)
