"""Axes by names, units and places in every order: the array that was written, or a question."""

from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
from rsciio import emd, nexus

from iphasenet.base.errors import InputError
from iphasenet.base.marks import IMAGE
from iphasenet.microscope_files.axes import Axis, arrangement, check_axes
from iphasenet.microscope_files.hyperspy_files import uniform_axis, write_hyperspy
from iphasenet.microscope_files.image_files import read_image, read_recording
from iphasenet.microscope_files.signals import Signal
from iphasenet.microscope_files.virtual_segments import VirtualDetector

Described = Sequence[tuple[str, float, str]]
"""Name, step and unit of each axis."""

RNG = np.random.default_rng(0)
SEGMENTS = RNG.random((4, 6, 7), np.float32)
PATTERNS = RNG.random((3, 4, 5, 6), np.float32)

NAMES = {
    "k": ("y", "x", "ky", "kx"),
    "Q_": ("R_y", "R_x", "Q_y", "Q_x"),
    "q": ("Scan Y", "Scan X", "qY", "qX"),
    "detector": ("sample_y", "sample_x", "detector_y", "detector_x"),
    "words": ("scan row", "scan column", "camera row", "camera column"),
    "empad": ("scan_y", "scan_x", "height", "width"),
    "tvips": ("y", "x", "dy", "dx"),
    "posx": ("pos_y", "posx", "detY", "xDet"),
}
"""Names of the axes of a scan and a camera that tell all, without units."""


def axis_dicts(shape: Sequence[int], described: Described) -> list[dict[str, Any]]:
    return [
        {**uniform_axis(name, size, index < len(shape) - 2, step, unit or None), "index_in_array": index}
        for index, (size, (name, step, unit)) in enumerate(zip(shape, described, strict=True))
    ]


def hspy(path: Path, values: Any, described: Described) -> Path:
    path = path.with_suffix(".hspy")
    write_hyperspy(path, [Signal("one", values, tuple(axis_dicts(values.shape, described)))], IMAGE)
    return path


def zspy(path: Path, values: Any, described: Described) -> Path:
    path = path.with_suffix(".zspy")
    write_hyperspy(path, [Signal("one", values, tuple(axis_dicts(values.shape, described)))], IMAGE)
    return path


def _signal(values: Any, described: Described) -> dict[str, Any]:
    metadata = {"General": {"title": "one"}, "Signal": {"signal_type": ""}}
    return {"data": values, "axes": axis_dicts(values.shape, described), "metadata": metadata, "original_metadata": {},
            "attributes": {"_lazy": False}}  # fmt: skip


def berkeley(path: Path, values: Any, described: Described) -> Path:
    emd.file_writer(str(path.with_suffix(".emd")), _signal(values, described))
    return path.with_suffix(".emd")


def nxs(path: Path, values: Any, described: Described) -> Path:
    nexus.file_writer(str(path.with_suffix(".nxs")), _signal(values, described))
    return path.with_suffix(".nxs")


def plain_nexus(path: Path, values: Any, described: Described) -> Path:
    """As others write it: without RosettaSciIO's metadata, an axis without values as a dot."""
    path = path.with_suffix(".nxs")
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        data = entry.create_group("data")
        data.attrs.update({"NX_class": "NXdata", "signal": "data"})
        data["data"] = values
        data.attrs["axes"] = [name or "." for name, _, _ in described]
        for index, (name, step, unit) in enumerate(described):
            if not name:
                continue
            data[name] = step * np.arange(values.shape[index])
            data[name].attrs["units"] = unit
    return path


WRITERS: dict[str, Callable[[Path, Any, Described], Path]] = {
    writer.__name__: writer for writer in (hspy, zspy, berkeley, nxs, plain_nexus)
}


def turned(values: Any, described: Described, order: Sequence[int]) -> tuple[Any, Described]:
    """The same array with its axes in another order."""
    return np.ascontiguousarray(values.transpose(order)), [described[index] for index in order]


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_names_of_a_scan_and_a_camera_tell_every_order(names: tuple[str, ...]) -> None:
    """Two axes that only a direction names (y, x; height, width) are beside each other in all formats."""
    for order in permutations(range(4)):
        plain = [not Axis(name).role for name in names]
        if any(plain) and {*order[:2]} not in ({0, 1}, {2, 3}):
            continue
        values, described = turned(PATTERNS, [(name, 1.0, "") for name in names], order)
        found = Signal("", values, tuple(axis_dicts(values.shape, described))).arranged
        np.testing.assert_array_equal(found.data, PATTERNS, str(order))
        check_axes(found.described_axes, found.shape, "made")


@pytest.mark.parametrize("unit", ["mrad", "1/nm", "Å^-1", "deg"])
@pytest.mark.parametrize("length", ["nm", ""])
def test_a_cameras_unit_tells_it_from_a_scan(unit: str, length: str) -> None:
    scan, camera = [("y", 0.1, length), ("x", 0.1, length)], [("y", 0.4, unit), ("x", 0.4, unit)]
    for order in permutations(range(4)):
        values, described = turned(PATTERNS, [*scan, *camera], order)
        found = Signal("", values, tuple(axis_dicts(values.shape, described))).arranged
        np.testing.assert_array_equal(found.data, PATTERNS, str(order))


@pytest.mark.parametrize("order", [(2, 3, 0, 1), (3, 2, 1, 0), (1, 0, 3, 2), (0, 2, 1, 3)])
@pytest.mark.parametrize("name", WRITERS)
def test_every_reader_gives_the_patterns_that_were_written(name: str, order: tuple[int, ...], tmp_path: Path) -> None:
    described = [("scan_y", 0.1, "nm"), ("scan_x", 0.1, "nm"), ("Q_y", 1.0, "px"), ("Q_x", 1.0, "px")]
    path = WRITERS[name](tmp_path / "a", *turned(PATTERNS, described, order))
    found = read_recording([path])
    np.testing.assert_array_equal(np.asarray(found.data), PATTERNS)
    assert found.sampling == pytest.approx((1, 1)) and [axis.name for axis in found.axes[2:]] == ["Q_y", "Q_x"]


@pytest.mark.parametrize("order", [(0, 2, 1), (1, 2, 0), (2, 1, 0)])
@pytest.mark.parametrize("name", WRITERS)
def test_every_reader_gives_the_segments_that_were_written(name: str, order: tuple[int, ...], tmp_path: Path) -> None:
    described = [("quadrant", 1.0, ""), ("y", 0.02, "nm"), ("x", 0.04, "nm")]
    path = WRITERS[name](tmp_path / "a", *turned(SEGMENTS, described, order))
    found = read_recording([path])
    np.testing.assert_array_equal(found.data, SEGMENTS)
    assert found.sampling == pytest.approx((0.2, 0.4))


def test_axes_of_nexus_are_those_of_their_places(tmp_path: Path) -> None:
    """RosettaSciIO lists axes without values last."""
    path = plain_nexus(tmp_path / "a", SEGMENTS, [("", 1.0, ""), ("y", 0.02, "nm"), ("x", 0.04, "nm")])
    assert read_recording([path]).sampling == pytest.approx((0.2, 0.4))


def test_four_files_of_images_by_x_and_y_are_turned(tmp_path: Path) -> None:
    described = [("x", 0.02, "nm"), ("y", 0.02, "nm")]
    paths = [hspy(tmp_path / f"{index}.hspy", image.T.copy(), described) for index, image in enumerate(SEGMENTS)]
    np.testing.assert_array_equal(read_image(paths).segments, SEGMENTS)


def test_a_series_in_each_of_four_files_may_come_last(tmp_path: Path) -> None:
    described = [("y", 0.02, "nm"), ("x", 0.02, "nm"), ("time", 1.0, "s")]
    paths = [
        hspy(tmp_path / f"{index}.hspy", np.stack([image, 2 * image], -1), described)
        for index, image in enumerate(SEGMENTS)
    ]
    np.testing.assert_array_equal(read_image(paths, frame=1).segments, 2 * SEGMENTS)


def test_segments_in_one_of_four_files_are_no_series(tmp_path: Path) -> None:
    described = [("segment", 1.0, ""), ("y", 0.02, "nm"), ("x", 0.02, "nm")]
    paths = [hspy(tmp_path / f"{index}.hspy", SEGMENTS + index, described) for index in range(4)]
    with pytest.raises(InputError, match="0: found an axis of segments, called 'segment'; allowed: one image in each"):
        read_image(paths, frame=1)


@pytest.mark.parametrize(
    "name", ["depth", "slice", "exposure", "index", "stack_element", "z", "s", "Bild", "x", "kx", "detector_y", "cycle"]
)
def test_a_leading_axis_is_one_of_segments_or_a_question(name: str, tmp_path: Path) -> None:
    path = hspy(tmp_path / "a", SEGMENTS, [(name, 1.0, ""), ("y", 0.02, "nm"), ("x", 0.02, "nm")])
    with pytest.raises(InputError, match=f"found a first axis called '{name}'; allowed: one of four segments"):
        read_image(path)


@pytest.mark.parametrize(
    "name",
    ["", "<undefined>", "axis-0", "segment", "Segments", "quadrant", "Quadrant number", "detectorSegment", "channel",
     "color|em-wavelength|channel", "DET"],
)  # fmt: skip
def test_a_leading_axis_of_segments_may_be_called_in_many_ways(name: str) -> None:
    axes = (Axis(name), Axis("y"), Axis("x"))
    assert arrangement(axes) == (0, 1, 2)
    check_axes(axes, (4, 6, 7), "made")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("segment", "kx", "ky"), "a second axis called 'ky'; allowed: no name, or one that says y of a scan, such as"),
        (("segment", "x", ""), "a second axis called 'x'; allowed: no name, or one that says y of a scan"),
        (("segment", "x", "x"), "a second axis called 'x'"),
        (("segment", "y", "y"), "a third axis called 'y'; allowed: no name, or one that says x of a scan"),
        (("segment", "y", "depth"), "a third axis called 'depth'"),
        (("a", "b", "y", "x"), "a first axis called 'a'; allowed: no name, or one that says y of a scan"),
        (("slice", "y", "ky", "kx"), "a first axis called 'slice'"),
        (("segment", "x", "ky", "kx"), "a first axis called 'segment'"),
        (("ky", "kx", "qy", "qx"), "a first axis called 'ky'"),
        (("y", "x", "scan y", "kx"), "a third axis called 'scan y'; allowed: no name, or one that says y of a camera"),
    ],
)
def test_names_that_tell_no_order_are_refused(names: tuple[str, ...], told: str) -> None:
    values = SEGMENTS if len(names) == 3 else PATTERNS
    found = Signal("", values, tuple(axis_dicts(values.shape, [(name, 1.0, "") for name in names]))).arranged
    with pytest.raises(InputError, match=f"^made: found {told}"):
        check_axes(found.described_axes, found.shape, "made")


@pytest.mark.parametrize("exchanged", [False, True])
def test_physical_pixels_of_a_camera_need_their_angle_by_name(exchanged: bool, tmp_path: Path) -> None:
    described: Described = [("y", 0.1, "nm"), ("x", 0.1, "nm"), ("y", 55.0, "µm"), ("x", 55.0, "µm")]
    values, described = turned(PATTERNS, described, (2, 3, 0, 1) if exchanged else (0, 1, 2, 3))
    path = hspy(tmp_path / "a", values, described)
    np.testing.assert_array_equal(np.asarray(read_recording([path]).data), PATTERNS)
    with pytest.raises(InputError, match=r"the unit 'µm'; give its angle \[mrad\] by --camera-pixel"):
        read_image(path, detector=VirtualDetector(0.1, 1.5, centre=(2.5, 2)))
    found = read_image(path, detector=VirtualDetector(0.1, 1.5, pixel_mrad=1.0, centre=(2.5, 2)))
    assert found.segments.shape == (4, 3, 4) and found.sampling == pytest.approx(1.0)


def test_a_z_of_ome_is_a_depth_and_imagejs_is_any_stack(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", SEGMENTS, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "b.tif", SEGMENTS, imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(InputError, match="found a first axis called 'depth'"):
        read_image(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif").segments, SEGMENTS)


@pytest.mark.parametrize("values", [SEGMENTS, PATTERNS], ids=["segments", "patterns"])
def test_a_hspy_in_one_piece_is_read(values: Any, tmp_path: Path) -> None:
    """As h5repack and programs that write HyperSpy's layout by themselves leave it; HyperSpy writes chunks."""
    names = ("segment", "y", "x") if values.ndim == 3 else NAMES["k"]
    path = hspy(tmp_path / "a", values, [(name, 1.0, "") for name in names])
    with h5py.File(path, "r+") as file:
        group = file["Experiments/one"]
        del group["data"]
        group["data"] = values
        group["original_metadata"]["list"] = np.arange(3)
        assert group["data"].chunks is None
    np.testing.assert_array_equal(np.asarray(read_recording([path]).data), values)
