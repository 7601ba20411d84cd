"""4D-STEM patterns integrated over four virtual segments, from the formats that hold them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import h5py
import numpy as np
import pytest
from rsciio import emd

from iphasenet.base.errors import InputError
from iphasenet.base.marks import IMAGE
from iphasenet.microscope.electron import wavelength
from iphasenet.microscope_files import virtual_segments
from iphasenet.microscope_files.axes import Axis
from iphasenet.microscope_files.hyperspy_files import uniform_axis, write_hyperspy
from iphasenet.microscope_files.image_files import read_image, read_recording
from iphasenet.microscope_files.recording import Recording
from iphasenet.microscope_files.signals import Signal
from iphasenet.microscope_files.virtual_segments import VirtualDetector, blocks, find_centre, mean_pattern

SCAN, CAMERA = (6, 5), (32, 40)
# Between pixels: each lies in one segment alone.
CENTRE = (18.5, 15.5)
DETECTOR = VirtualDetector(3, 11, pixel_mrad=1.0, centre=CENTRE)


def patterns() -> np.ndarray[Any, Any]:
    """Counts on the whole pixels of four segments and inside their hole, none where a border cuts a pixel."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: CAMERA[0], : CAMERA[1]]
    radius = np.hypot(x - CENTRE[0], y - CENTRE[1])
    whole = ((radius > 4) & (radius < 10)) | (radius < 2)
    return (rng.poisson(20, (*SCAN, *CAMERA)) * whole).astype(np.uint16)


def by_hand(data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Sums over the quadrants, by masks."""
    y, x = np.mgrid[: CAMERA[0], : CAMERA[1]]
    x, y = x - CENTRE[0], y - CENTRE[1]
    outside = np.hypot(x, y) > 3
    quadrants = ((x < 0) & (y < 0), (x > 0) & (y < 0), (x < 0) & (y > 0), (x > 0) & (y > 0))
    return np.stack([(data * (quadrant & outside)).sum(axis=(2, 3)) for quadrant in quadrants])


def pattern_axes(units: str | None = "mrad", scale: float = 1.0) -> tuple[dict[str, Any], ...]:
    scan = [uniform_axis(name, size, True, 0.2, "Å") for name, size in zip("yx", SCAN, strict=True)]
    camera = [uniform_axis(f"q{name}", size, False, scale, units) for name, size in zip("yx", CAMERA, strict=True)]
    return (*scan, *camera)


def write_signal(path: Path) -> None:
    metadata = {"Acquisition_instrument": {"TEM": {"beam_energy": 200.0, "convergence_angle": 20.0}}}
    write_hyperspy(path, [Signal("patterns", patterns(), pattern_axes(), metadata)], IMAGE)


def write_py4dstem(path: Path) -> None:
    """Write what py4DSTEM 0.14 writes, as the published example of RosettaSciIO has it."""
    with h5py.File(path, "w") as file:
        file.attrs.update({"emd_group_type": "file", "version_major": 1, "version_minor": 0})
        root = file.create_group("datacube_root")
        root.attrs["emd_group_type"] = "root"
        cube = root.create_group("datacube")
        cube.attrs.update({"emd_group_type": "array", "python_class": "DataCube"})
        cube.create_dataset("data", data=patterns(), chunks=(2, 2, *CAMERA))
        for index, (name, step, units) in enumerate(
            [("Rx", 0.02, "nm"), ("Ry", 0.02, "nm"), ("Qx", 0.04, "A^-1"), ("Qy", 0.04, "A^-1")]
        ):
            axis = cube.create_dataset(f"dim{index}", data=[0, step])
            axis.attrs.update({"name": name, "units": units})
        calibration = root.create_group("metadatabundle/calibration")
        calibration["Q_pixel_size"] = 0.04


def write_berkeley(path: Path) -> None:
    axes = [{**axis, "index_in_array": index} for index, axis in enumerate(pattern_axes())]
    metadata = {"General": {"title": "patterns"}, "Signal": {"signal_type": ""}}
    signal = {"data": patterns(), "axes": axes, "metadata": metadata, "original_metadata": {}}
    emd.file_writer(str(path), {**signal, "attributes": {"_lazy": False}})


def write_merlin(path: Path, with_header: bool = True, counter: int = 12, frames: int | None = None) -> None:
    """Write what Quantum Detectors' Merlin writes: a header of text before each frame, big-endian counts."""
    rows, columns = CAMERA
    # The camera's rows are stored from below.
    stored = patterns().reshape(-1, *CAMERA)[:, ::-1].astype(">u2")
    with path.open("wb") as file:
        for number, frame in enumerate(stored[:frames], 1):
            fields = ["MQ1", f"{number:06}", "00384", "01", f"{columns:04}", f"{rows:04}", "U16", "   1x1", "01",
                      "2021-05-07 18:50:41.000", "0.001", "0", "0", "1.2E2", "5.11E2", "3RX", "175", "511",
                      "MQ1A", "2021-05-07T18:50:41.000000000Z", "1000000ns", str(counter), ""]  # fmt: skip
            file.write(",".join(fields).encode().ljust(384, b"\0"))
            file.write(frame.tobytes())
    if with_header:
        text = [
            "HDR,\t",
            "Chip ID:\tW1",
            f"Frames in Acquisition (Number):\t{len(stored)}",
            f"Frames per Trigger (Number):\t{SCAN[1]}",
            "End\t ",
        ]
        path.with_suffix(".hdr").write_text("\n".join(text))


WRITERS: dict[str, Callable[[Path], None]] = {
    "patterns.hspy": write_signal,
    "patterns.zspy": write_signal,
    "patterns.h5": write_py4dstem,
    "patterns.emd": write_berkeley,
    "patterns.mib": write_merlin,
}


@pytest.mark.parametrize("name", WRITERS)
def test_each_format_gives_the_sums_over_four_segments(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    found = read_image(tmp_path / name, detector=DETECTOR)
    np.testing.assert_array_equal(found.arranged, by_hand(patterns()))
    assert (found.detector_inner_mrad, found.detector_outer_mrad, found.scan_rotation_deg) == (3, 11, 0)
    assert found.beam_intensity == pytest.approx(patterns().sum(axis=(2, 3)).mean())
    np.testing.assert_allclose(found.fractions, by_hand(patterns()) / found.beam_intensity, rtol=1e-6)
    assert found.sampling == (None if name.endswith(".mib") else pytest.approx(0.2))


def test_hyperspys_metadata_are_kept(tmp_path: Path) -> None:
    write_signal(tmp_path / "patterns.hspy")
    found = read_image(tmp_path / "patterns.hspy", detector=VirtualDetector(3, 11, centre=CENTRE))
    assert (found.energy_kev, found.semiangle_mrad) == (200, 20)
    np.testing.assert_array_equal(found.arranged, by_hand(patterns()))


def test_inverse_lengths_are_angles_of_the_energy(tmp_path: Path) -> None:
    path = tmp_path / "patterns.h5"
    write_py4dstem(path)
    pixel = 1e3 * wavelength(200) * 0.04
    scaled = VirtualDetector(3 * pixel, 11 * pixel, centre=CENTRE)
    found = read_image(path, detector=scaled, energy_kev=200)
    np.testing.assert_array_equal(found.arranged, by_hand(patterns()))
    assert found.energy_kev == 200
    with pytest.raises(InputError, match=r"camera pixel: found the unit '1/Å' and no energy; give its angle"):
        read_image(path, detector=scaled)


def test_a_turned_camera_turns_the_segments() -> None:
    y, x = np.mgrid[: CAMERA[0], : CAMERA[1]]
    right = (x > 25) & (abs(y - 15) < 3)
    lower = (abs(x - 18) < 3) & (y > 22)
    detector = VirtualDetector(3, 11, 1.0, CENTRE)
    for turn, spot in ((0, right), (90, lower), (-90, y < 9), (180, x < 11)):
        turned = VirtualDetector(3, 11, 1.0, CENTRE, rotation_deg=-turn).weights(CAMERA, "made")
        # What the camera sees at the angle `turn` lies to the right in the image.
        shares = (turned * spot).sum(axis=(1, 2))
        assert shares[[1, 3]].sum() > 20 * shares[[0, 2]].sum(), turn
    quarter = VirtualDetector(3, 11, 1.0, CENTRE, rotation_deg=90).weights(CAMERA, "made")
    # A quarter turn from x to y: the camera's top-right is the image's bottom-right.
    np.testing.assert_allclose(quarter[[1, 3, 2, 0]], detector.weights(CAMERA, "made")[[0, 1, 3, 2]], atol=1e-6)


def test_shares_are_areas() -> None:
    weights = VirtualDetector(3.3, 10.7, 1.0, (17.9, 15.2), rotation_deg=20).weights(CAMERA, "made")
    assert weights.min() >= 0
    assert weights.sum(axis=0).max() == pytest.approx(1)
    np.testing.assert_allclose(weights.sum(axis=(1, 2)), np.pi / 4 * (10.7**2 - 3.3**2), rtol=0.02)


def disc(centre: tuple[float, float], radius: float = 9.0) -> np.ndarray[Any, Any]:
    """A bright disc with a soft edge, faint scattering around it."""
    y, x = np.mgrid[:64, :72]
    distance = np.hypot(x - centre[0], y - centre[1])
    return np.asarray(100 / (1 + np.exp(3 * (distance - radius))) + 5 * np.exp(-distance / 20))


@pytest.mark.parametrize("centre", [(35.5, 31.5), (30.2, 28.9), (41.0, 33.7)])
def test_the_centre_of_the_disc_is_found(centre: tuple[float, float]) -> None:
    rng = np.random.default_rng(0)
    # Patches inside, as a thick crystal makes them, counting noise and a hot pixel far away.
    pattern = rng.poisson(disc(centre) * rng.uniform(0.7, 1.3, (64, 72))).astype(float)
    pattern[3, 60] = 1e6
    assert find_centre(pattern, "made") == pytest.approx(centre, abs=0.25)


def test_the_centre_is_taken_from_the_mean_pattern(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = rng.poisson(disc((30.2, 28.9)), (4, 4, 64, 72)).astype(np.uint16)
    axes = tuple(uniform_axis("", size, index < 2) for index, size in enumerate(data.shape))
    write_hyperspy(tmp_path / "a.hspy", [Signal("patterns", data, axes)], IMAGE)
    found = read_image(tmp_path / "a.hspy", detector=VirtualDetector(1, 8, pixel_mrad=1))
    named = read_image(tmp_path / "a.hspy", detector=VirtualDetector(1, 8, pixel_mrad=1, centre=(30.2, 28.9)))
    np.testing.assert_allclose(found.segments, named.segments, rtol=0.05)
    with pytest.raises(InputError, match="made: camera centre: found no bright-field disc"):
        find_centre(np.zeros((8, 8)), "made")


def test_patterns_are_read_in_blocks_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    data, read = patterns(), []
    pattern = data[0, 0].nbytes
    monkeypatch.setattr(virtual_segments, "BLOCK_BYTES", 4 * pattern)

    def block(info: Any = None) -> np.ndarray[Any, Any]:
        (y, x), (rows, columns) = info[None]["array-location"][:2], info[None]["chunk-shape"][:2]
        read.append(rows * columns)
        return data[y[0] : y[1], x[0] : x[1]]

    lazy = da.map_blocks(
        lambda block_info=None: block(block_info), chunks=((3, 3), (2, 2, 1), *((size,) for size in CAMERA)), dtype="u2"
    )
    seen = np.zeros(SCAN, int)
    for place, part in blocks(lazy):
        assert part.nbytes <= 4 * pattern
        np.testing.assert_array_equal(part, data[place])
        seen[place] += 1
    assert (seen == 1).all()
    np.testing.assert_allclose(mean_pattern(lazy), data.mean(axis=(0, 1)))
    assert max(read) == 6


def test_the_mean_pattern_is_of_rows_over_the_whole_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_segments, "CENTRE_PATTERNS", 10)
    np.testing.assert_allclose(mean_pattern(patterns()), patterns()[::3].mean(axis=(0, 1)))


def test_a_merlin_file_needs_the_shape_of_the_scan(tmp_path: Path) -> None:
    path = tmp_path / "patterns.mib"
    write_merlin(path, with_header=False)
    with pytest.raises(InputError, match=r"found 30 patterns of 32 x 40 pixels without the shape of the scan; allowed"):
        read_image(path, detector=DETECTOR)
    found = read_image(path, detector=DETECTOR, scan_shape=SCAN)
    np.testing.assert_array_equal(found.arranged, by_hand(patterns()))


def test_a_truncated_merlin_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "patterns.mib"
    write_merlin(path, frames=17)
    with pytest.raises(InputError, match="found 15 of 30 patterns; allowed: a whole file"):
        read_image(path, detector=DETECTOR)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"found no readable \.mib|found 0 of 30"):
        read_image(path, detector=DETECTOR)


def saturate(data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    data[0, 0, :2, :3] = 65535
    return data


def test_bad_patterns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "patterns.zspy"
    write_signal(path)
    with pytest.raises(InputError, match="found 6 x 5 patterns of 32 x 40 pixels; give the inner and outer angle"):
        read_image(path)
    with pytest.raises(InputError, match=r"outer angle of 30 mrad; allowed: up to 16 mrad, .* centre 18.5, 15.5"):
        read_image(path, detector=VirtualDetector(3, 30, 1.0, CENTRE))
    write_hyperspy(path, [Signal("patterns", saturate(patterns()), pattern_axes())], IMAGE)
    with pytest.raises(InputError, match=f"found {600 / patterns().size:.2g} % of the camera's pixels saturated"):
        read_image(path, detector=DETECTOR)
    holes = patterns().astype(np.float32)
    holes[2, 2, 5, 5] = np.nan
    write_hyperspy(path, [Signal("patterns", holes, pattern_axes())], IMAGE)
    with pytest.raises(InputError, match="found NaN or infinity in the patterns"):
        read_image(path, detector=DETECTOR)
    write_hyperspy(path, [Signal("patterns", patterns(), pattern_axes(None))], IMAGE)
    with pytest.raises(InputError, match="camera pixel: found the unit ''; give its angle"):
        read_image(path, detector=VirtualDetector(3, 11, centre=CENTRE))


def test_a_damaged_pattern_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "patterns.zspy"
    write_signal(path)
    chunk = path / "Experiments" / "patterns" / "data" / "3" / "2" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:40])
    with pytest.raises(InputError, match=r"found no readable \.zspy \([^\n]*\); allowed: a whole file$"):
        read_image(path, detector=DETECTOR)


def test_bad_detectors_are_refused() -> None:
    with pytest.raises(InputError, match="detector_inner_mrad 11, detector_outer_mrad 3; allowed: inner < outer"):
        VirtualDetector(11, 3)
    with pytest.raises(InputError, match="camera pixel: found -1 mrad"):
        VirtualDetector(3, 11, pixel_mrad=-1)
    with pytest.raises(InputError, match="camera centre: found nan"):
        VirtualDetector(3, 11, centre=(float("nan"), 3))


def test_camera_pixels_that_are_not_square_are_refused_or_taken_as_they_are(tmp_path: Path) -> None:
    """Half the camera's rows, twice as high: the same segments, but for the pixels that a border cuts."""
    path = tmp_path / "a.hspy"
    full = patterns()
    binned = full.reshape(*SCAN, CAMERA[0] // 2, 2, CAMERA[1]).sum(axis=3)
    axes = list(pattern_axes())
    axes[2] = uniform_axis("qy", CAMERA[0] // 2, False, 2.0, "mrad")
    write_hyperspy(path, [Signal("patterns", binned, tuple(axes))], IMAGE)
    halved = VirtualDetector(3, 11, centre=(CENTRE[0], (CENTRE[1] - 0.5) / 2))
    with pytest.raises(InputError, match=r"found camera pixels of 1 x 2 mrad; allowed: square camera pixels, or"):
        read_image(path, detector=halved)
    found = read_image(path, detector=halved, resample=True)
    np.testing.assert_allclose(found.arranged, by_hand(full), rtol=0.15)
    with pytest.raises(InputError, match=r"outer angle of 17 mrad; allowed: up to 16 mrad"):
        read_image(path, detector=VirtualDetector(3, 17, centre=halved.centre), resample=True)


@pytest.mark.parametrize("unit", ["mrad", "1/nm"])
def test_a_scan_and_a_camera_that_are_exchanged_are_put_right(unit: str, tmp_path: Path) -> None:
    """As HyperSpy writes a transposed signal: diffraction patterns before the scan, with their units."""
    axes = (*pattern_axes(unit)[2:], *pattern_axes(unit)[:2])
    path = tmp_path / "a.hspy"
    write_hyperspy(path, [Signal("patterns", np.ascontiguousarray(patterns().transpose(2, 3, 0, 1)), axes)], IMAGE)
    found = read_recording([path])
    np.testing.assert_array_equal(np.asarray(found.data), patterns())
    assert found.sampling == pytest.approx((0.2, 0.2)) and [axis.unit for axis in found.axes[2:]] == [unit, unit]


@pytest.mark.parametrize("units", [("[nm]", "[nm^-1]"), ("[pix]", "[pix]")])
def test_an_older_file_of_py4dstem_is_read_as_a_newer_one(units: tuple[str, str], tmp_path: Path) -> None:
    """Before 0.13: dim1 to dim4 in the array's order, often without units; RosettaSciIO transposes such files."""
    write_py4dstem(tmp_path / "new.h5")
    with h5py.File(tmp_path / "old.h5", "w") as file:
        top = file.create_group("4DSTEM_experiment")
        top.attrs.update({"emd_group_type": 2, "version_major": 0, "version_minor": 12})
        cube = top.create_group("data/datacubes/datacube_0")
        cube.attrs["emd_group_type"] = 1
        cube.create_dataset("data", data=patterns())
        for index, (name, size) in enumerate(zip(("R_x", "R_y", "Q_x", "Q_y"), (*SCAN, *CAMERA), strict=True)):
            axis = cube.create_dataset(f"dim{index + 1}", data=0.02 * np.arange(size))
            axis.attrs.update({"name": name, "units": units[index // 2]})
    old, new = read_recording([tmp_path / "old.h5"]), read_recording([tmp_path / "new.h5"])
    np.testing.assert_array_equal(np.asarray(old.data), np.asarray(new.data))
    assert old.sampling == (new.sampling if units[0] == "[nm]" else None)


@pytest.mark.parametrize(
    ("units", "told"),
    [
        (("Å", "Å", "Å", "Å"), r"patterns of 32 x 40 pixels along 'qy' \[Å\] and 'qx' \[Å\]"),
        (("mrad", "mrad", "", ""), r"a scan of 6 x 5 pixels along 'y' \[mrad\] and 'x' \[mrad\]"),
        (("1/nm", "mrad", "nm", "nm"), r"a scan of 6 x 5 pixels along 'y' \[1/nm\] and 'x' \[mrad\]"),
        (("nm", "mrad", "mrad", "mrad"), r"along 'y' \[nm\] and 'x' \[mrad\] and patterns of 32 x 40 pixels"),
        (("nm", "nm", "mrad", "1/nm"), r"patterns of 32 x 40 pixels along 'qy' \[mrad\] and 'qx' \[1/nm\]"),
        (("nm", "s", "mrad", "mrad"), r"found a second axis called 'x' \[s\]"),
    ],
)
def test_units_that_fit_neither_a_scan_nor_a_camera_are_refused(units: tuple[str, ...], told: str) -> None:
    axes = tuple(Axis(name, 1.0, unit) for name, unit in zip(("y", "x", "qy", "qx"), units, strict=True))
    with pytest.raises(InputError, match=f"^made: .*{told}.*; allowed: "):
        Recording(patterns(), "made", axes)
