"""Readers of segmented images: what each format keeps, and how bad files are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from rsciio import emd, nexus, tiff

from iphasenet.base.errors import InputError
from iphasenet.base.marks import IMAGE
from iphasenet.base.seals import seal
from iphasenet.microscope_files.export import export_hyperspy, export_npz
from iphasenet.microscope_files.foreign_files import write_image
from iphasenet.microscope_files.hyperspy_files import image_axes, write_hyperspy
from iphasenet.microscope_files.image_files import read_image
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.microscope_files.signals import Signal
from tests.unit.dataset.test_reader import NOISE, SAMPLING, make
from tests.unit.microscope_files.segmented_images import SHAPE, counts, fractions
from tests.unit.microscope_files.test_export import OPTICS, sample_of

KNOWN = ("sampling", "energy_kev", "semiangle_mrad", "detector_inner_mrad", "detector_outer_mrad", "dose",
         "beam_intensity", "dark_intensity", "scan_rotation_deg", "thickness_nm", "tilt_deg", "rotation_deg",
         "order")  # fmt: skip
COMPLETE = (".npz", ".hspy", ".zspy")
PARTIAL = (".emd", ".tif", ".npy")


def values_of(image: SegmentedImage) -> dict[str, Any]:
    return {name: getattr(image, name) for name in KNOWN}


def in_places(image: SegmentedImage) -> Any:
    """Intensities by place; those of a file that holds no order are written so."""
    return image.arranged if image.order is not None else image.segments


@pytest.mark.parametrize("ending", COMPLETE + PARTIAL)
@pytest.mark.parametrize("kind", ["fractions", "counts"])
def test_intensities_come_back(ending: str, kind: str, tmp_path: Path) -> None:
    image, dtype = (fractions(), np.float32) if kind == "fractions" else (counts(), np.uint16)
    write_image(image, tmp_path / f"image{ending}", dtype)
    found = read_image(tmp_path / f"image{ending}")
    np.testing.assert_array_equal(in_places(found), image.arranged)


@pytest.mark.parametrize("ending", COMPLETE)
def test_what_is_known_comes_back(ending: str, tmp_path: Path) -> None:
    write_image(fractions(), tmp_path / f"image{ending}")
    found = read_image(tmp_path / f"image{ending}")
    assert found.names == ("a", "b", "c", "d")
    assert values_of(found) == values_of(fractions())


@pytest.mark.parametrize("ending", COMPLETE + PARTIAL)
def test_what_is_unknown_stays_unknown(ending: str, tmp_path: Path) -> None:
    unknown = dict.fromkeys(name for name in KNOWN if name not in ("dark_intensity", "order", "sampling"))
    image = fractions(**unknown, **({} if ending == ".emd" else {"order": None, "sampling": None}))
    write_image(image, tmp_path / f"image{ending}")
    found = values_of(read_image(tmp_path / f"image{ending}"))
    told = {"order", "sampling", "scan_rotation_deg"} if ending == ".emd" else set()
    assert {name for name, value in found.items() if value is not None} == told | {"dark_intensity"}


def test_a_tif_of_imagej_keeps_the_pixel_size(tmp_path: Path) -> None:
    write_image(fractions(), tmp_path / "image.tif")
    assert read_image(tmp_path / "image.tif").sampling == pytest.approx(0.15)


@pytest.mark.parametrize(("unit", "length"), [("micron", 1e4), ("nm", 10), ("\\u00B5m", 1e4), ("inch", None)])
def test_units_of_imagej(unit: str, length: float | None, tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, fractions().segments, imagej=True, resolution=(50, 50), metadata={"unit": unit})
    assert read_image(path).sampling == (None if length is None else pytest.approx(length / 50))


def test_a_tif_of_ome_keeps_the_pixel_size(tmp_path: Path) -> None:
    path = tmp_path / "image.ome.tif"
    metadata = {"axes": "CYX", "PhysicalSizeX": 0.015, "PhysicalSizeXUnit": "nm"}
    tifffile.imwrite(path, fractions().segments, ome=True, metadata=metadata)
    assert read_image(path).sampling == pytest.approx(0.15)


def test_four_files_are_four_segments(tmp_path: Path) -> None:
    paths = [tmp_path / f"quadrant{number}.tif" for number in range(4)]
    for path, image in zip(paths, fractions().segments, strict=True):
        tifffile.imwrite(path, image, imagej=True, resolution=(100, 100), metadata={"unit": "nm"})
    found = read_image(paths)
    assert found.names == ("quadrant0", "quadrant1", "quadrant2", "quadrant3")
    assert found.sampling == pytest.approx(0.1)
    np.testing.assert_array_equal(found.segments, fractions().segments)
    with pytest.raises(InputError, match="segments: found 3 files; allowed: one file, or one for each of four"):
        read_image(paths[:3])
    tifffile.imwrite(paths[2], fractions().segments[:, :20, 0])
    with pytest.raises(InputError, match=r"different shapes \(quadrant0: 24 x 32, .*quadrant2: 4 x 20"):
        read_image(paths)


def signal(data: Any, title: str = "signal", units: str = "nm") -> dict[str, Any]:
    """Describe a signal for RosettaSciIO's writers."""
    axes = [
        {"name": f"axis{index}", "size": size, "scale": 0.015, "offset": 0.0,
         "units": units if index >= data.ndim - 2 else "", "_type": "UniformDataAxis",
         "navigate": index < data.ndim - 2, "index_in_array": index}
        for index, size in enumerate(data.shape)
    ]  # fmt: skip
    return {
        "data": data,
        "axes": axes,
        "metadata": {"General": {"title": title}, "Signal": {"signal_type": ""}},
        "original_metadata": {},
        "attributes": {"_lazy": False},
    }


def test_nexus_and_berkeleys_emd_hold_a_stack(tmp_path: Path) -> None:
    values = fractions().segments
    nexus.file_writer(str(tmp_path / "image.nxs"), signal(values))
    emd.file_writer(str(tmp_path / "image.emd"), signal(values))
    for name in ("image.nxs", "image.emd"):
        found = read_image(tmp_path / name)
        np.testing.assert_array_equal(found.segments, values)
        assert found.order is None
        assert found.sampling == pytest.approx(0.15)


def test_nexus_holds_four_images(tmp_path: Path) -> None:
    values = fractions().segments
    nexus.file_writer(str(tmp_path / "image.nxs"), [signal(image, f"part{n}") for n, image in enumerate(values)])
    found = read_image(tmp_path / "image.nxs")
    assert found.names == ("part0", "part1", "part2", "part3")
    np.testing.assert_array_equal(found.segments, values)


def test_a_tif_of_rosettasciio_keeps_the_pixel_size(tmp_path: Path) -> None:
    tiff.file_writer(str(tmp_path / "image.tif"), signal(fractions().segments))
    assert read_image(tmp_path / "image.tif").sampling == pytest.approx(0.15)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with optics, and images that differ from pixel to pixel."""
    path = make(tmp_path_factory.mktemp("store"), ("GaN",))
    root = zarr.open_group(path, mode="r+", use_consolidated=False)
    root.attrs["configuration"] = {"optics": OPTICS}
    rng = np.random.default_rng(0)
    for key in ("segments", "noisy_segments"):
        array: Any = root["GaN"][key]
        array[:] = rng.uniform(1e-3, 0.3, array.shape).astype(array.dtype)
    seal(path, "dataset")
    return path


def test_a_sample_of_the_data_set(store: Path) -> None:
    index, name = sample_of(store, "test")
    group: Any = zarr.open_group(store, mode="r")["GaN"]
    found = read_image(store, sample=name)
    np.testing.assert_array_equal(found.fractions, group["segments"][index])
    assert (found.energy_kev, found.semiangle_mrad, found.sampling) == (200, 20, SAMPLING)
    assert (found.detector_inner_mrad, found.detector_outer_mrad) == (10, 50)
    assert found.thickness_nm == group["thickness_nm"][index]
    assert found.tilt_deg == tuple(group[key][index] for key in ("alpha", "beta"))
    assert found.rotation_deg == group["gamma"][index]
    noisy = read_image(store, sample=name, dose=NOISE.doses[1])
    row = list(group["evaluation_sample"][:]).index(index)
    np.testing.assert_array_equal(noisy.fractions, group["noisy_segments"][row, 1].astype(np.float32))
    assert noisy.dose == NOISE.doses[1]


def write_old(image: SegmentedImage, path: Path) -> None:
    """As this library wrote an image when its `rotation` was alpha, beta and gamma."""
    (alpha, beta), gamma = image.tilt_deg or (0.0, 0.0), image.rotation_deg
    known = {"order": image.order, "sampling": image.sampling, "thickness_nm": image.thickness_nm}
    if path.suffix == ".npz":
        np.savez(path, segments=image.segments, rotation=(alpha, beta, gamma), **known)
        return
    own = {"alpha": alpha, "beta": beta, "gamma": gamma, **known, "order": list(image.order or ())}
    axes = image_axes(image.segments.shape, image.sampling, "segment")
    write_hyperspy(path, [Signal("segments", image.segments, axes, {"iphasenet": own})], IMAGE)


@pytest.mark.parametrize("ending", [".hspy", ".zspy", ".npz"])
def test_tilt_and_rotation_are_read_of_old_and_new_files(ending: str, tmp_path: Path) -> None:
    write_image(fractions(), tmp_path / f"new{ending}")
    write_old(fractions(), tmp_path / f"old{ending}")
    new, old = (read_image(tmp_path / f"{age}{ending}") for age in ("new", "old"))
    for found in (new, old):
        assert (found.tilt_deg, found.rotation_deg, found.thickness_nm) == ((0.1, -0.2), 30, 20)
    np.testing.assert_array_equal(new.arranged, old.arranged)


def test_a_published_file_has_gamma_first(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", input=fractions().segments, rotation=(30.0, 0.1, -0.2))
    found = read_image(tmp_path / "a.npz")
    assert (found.tilt_deg, found.rotation_deg) == ((0.1, -0.2), 30)


def test_exported_samples_are_read_as_the_data_set(store: Path, tmp_path: Path) -> None:
    _, name = sample_of(store, "validation")
    expected = read_image(store, sample=name)
    zspy = export_hyperspy(store, tmp_path / "a.zspy", name)[0]
    export_npz(store, tmp_path / "npz")
    for path, tolerance in ((zspy, 0), (tmp_path / "npz" / "val" / f"{name}.npz", 2**-11)):
        found = read_image(path)
        np.testing.assert_allclose(found.fractions, expected.fractions, rtol=tolerance)
        assert found.tilt_deg == pytest.approx(expected.tilt_deg)
        assert found.rotation_deg == pytest.approx(expected.rotation_deg)
        for key in ("sampling", "thickness_nm", "detector_inner_mrad", "detector_outer_mrad", "scan_rotation_deg"):
            assert getattr(found, key) == getattr(expected, key), key
    whole = export_hyperspy(store, tmp_path / "b.zspy", "GaN")[0]
    with pytest.raises(InputError, match="found all samples of a material; allowed: one sample"):
        read_image(whole)


def test_bad_choices_of_the_data_set(store: Path) -> None:
    train = sample_of(store, "train")[1]
    with pytest.raises(InputError, match="found a data set; name one of its samples"):
        read_image(store)
    with pytest.raises(InputError, match="found no sample 'Si'; allowed: a sample_id such as GaN-tilt"):
        read_image(store, sample="Si")
    with pytest.raises(InputError, match="dose: found 10000 e/Å²; allowed: none, as for every training sample"):
        read_image(store, sample=train, dose=1e4)
    with pytest.raises(InputError, match=r"dose: found 5 e/Å²; allowed: 10000, 1e\+06"):
        read_image(store, sample=sample_of(store, "test")[1], dose=5)
    with pytest.raises(InputError, match="found no Zarr v3 store"):
        read_image(store.with_name("nothing.zarr"), sample=train)


def test_numpy_arrays_without_a_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", stack=fractions().segments)
    np.testing.assert_array_equal(read_image(tmp_path / "one.npz").segments, fractions().segments)
    np.savez(tmp_path / "two.npz", left=fractions().segments, right=fractions().segments)
    with pytest.raises(InputError, match="found the arrays left, right; allowed: one, `segments` or `input`"):
        read_image(tmp_path / "two.npz")
    np.save(tmp_path / "complex.npy", fractions().segments * 1j)
    with pytest.raises(InputError, match="found values of type complex64; allowed: real numbers"):
        read_image(tmp_path / "complex.npy")
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(InputError, match=r"objects\.npy: found no readable \.npy"):
        read_image(tmp_path / "objects.npy")


@pytest.mark.parametrize("ending", [".emd", ".hspy", ".tif", ".npz", ".npy"])
def test_a_truncated_file_is_refused_in_one_line(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"image{ending}"
    write_image(fractions(), path)
    whole = path.read_bytes()
    for share in (0.02, 0.5, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError, match=rf"^{path}: found [^\n]*; allowed: [^\n]*$"):
            read_image(path)


def test_a_zspy_without_its_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.zspy"
    write_image(fractions(), path)
    (path / "Experiments" / "segments" / "data" / ".zarray").unlink()
    with pytest.raises(InputError, match=r"found no readable \.zspy \([^\n]*\); allowed: a whole file$"):
        read_image(path)


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    for name in ("text.emd", "text.dm4", "text.dm3", "text.mib", "text.nxs", "text.tif", "text.hspy", "text.h5"):
        (tmp_path / name).write_text("no image at all, but long enough to be taken for one " * 20)
        with pytest.raises(InputError, match=rf"{name}: found no readable \.\w+ \([^\n]*\); allowed: a whole file$"):
            read_image(tmp_path / name)
    with pytest.raises(InputError, match=r"image\.bmp: found the ending '\.bmp'; allowed: \.dm3, \.dm4"):
        read_image(tmp_path / "image.bmp")
    for name in ("gone.emd", "gone.npz"):
        with pytest.raises(InputError, match=rf"{name}: there is no such file"):
            read_image(tmp_path / name)


def test_wrong_shapes_are_named(tmp_path: Path) -> None:
    three, one = tmp_path / "three.tif", tmp_path / "one.tif"
    tifffile.imwrite(three, fractions().segments[:3], imagej=True)
    tifffile.imwrite(one, fractions().segments[0], imagej=True)
    with pytest.raises(InputError, match=r"three\.tif: found 3 images of 24 x 32 pixels; allowed: four segments"):
        read_image(three)
    with pytest.raises(InputError, match=r"one\.tif: found an array of 24 x 32; allowed: four images"):
        read_image(one)
    with pytest.raises(InputError, match=r"different shapes \(one: 24 x 32, .*three: 3 x 24 x 32"):
        read_image([one, one, three, one])
    np.save(tmp_path / "last.npy", np.moveaxis(fractions().segments, 0, -1))
    with pytest.raises(InputError, match=r"last\.npy: found 24 images of 32 x 4 pixels"):
        read_image(tmp_path / "last.npy")


@pytest.mark.parametrize("ending", [".hspy", ".tif", ".npz", ".npy"])
def test_nan_and_saturated_pixels_are_refused_with_their_share(ending: str, tmp_path: Path) -> None:
    path, pixels = tmp_path / f"image{ending}", 4 * SHAPE[0] * SHAPE[1]
    holes = counts()
    holes.segments[0, 0, :5] = 65535
    write_image(holes, path, np.uint16)
    with pytest.raises(InputError, match=f"found {500 / pixels:.2g} % of the pixels saturated at 65535"):
        read_image(path)
    holes.segments[0, 0, :5] = np.nan
    write_image(holes, path)
    with pytest.raises(InputError, match=f"found NaN or infinity in {500 / pixels:.2g} % of the pixels"):
        read_image(path)


def test_counts_that_do_not_fit_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"found counts from .*; allowed as uint8: 0 to 255"):
        write_image(counts(), tmp_path / "image.npy", np.uint8)
    with pytest.raises(InputError, match=r"allowed in ImageJ's \.tif: float32, uint16, uint8"):
        write_image(counts(), tmp_path / "image.tif", np.int32)
    with pytest.raises(InputError, match=r"found the ending '\.dm4'; allowed: \.emd"):
        write_image(counts(), tmp_path / "image.dm4")
    with pytest.raises(InputError, match="the order of the segments or the pixel size is missing"):
        write_image(fractions(order=None), tmp_path / "image.emd")
    assert not list(tmp_path.iterdir())
