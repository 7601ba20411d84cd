"""Exports: the published .npz files and HyperSpy's .zspy, against the store that they come from."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from iphasenet.base.errors import InputError
from iphasenet.base.seals import seal
from iphasenet.dataset.names import file_name
from iphasenet.dataset.reader import read_split
from iphasenet.dataset.validation import validate
from iphasenet.microscope_files import export
from iphasenet.microscope_files.dataset_image import read_sample
from iphasenet.microscope_files.export import export_hyperspy, export_npz
from iphasenet.simulation.grid import SPLITS
from tests.unit.dataset.test_reader import NOISE, PIXELS, SAMPLING, make

OPTICS = {"energy_kev": 200, "semiangle_mrad": 20, "detector_inner_mrad": 10, "detector_outer_mrad": 50}
DOSE = NOISE.doses[1]
KEYS = {
    *("input", "sum", "potential", "material", "mode", "thickness_nm", "fov_angstrom", "sampling", "res"),
    *("detector_inner_mrad", "detector_outer_mrad", "rotation"),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with its optics, and images in which no two pixels, segments and samples are alike."""
    path = make(tmp_path_factory.mktemp("store"))
    root = zarr.open_group(path, mode="r+", use_consolidated=False)
    root.attrs["configuration"] = {"optics": OPTICS}
    root["MoS2"].attrs["mode"] = "vacancy"
    rng = np.random.default_rng(0)
    for name in ("GaN", "MoS2"):
        for key in ("segments", "noisy_segments", "potential"):
            array = root[name][key]
            array[:] = rng.uniform(1e-3, 0.3, array.shape).astype(array.dtype)
        for key in ("alpha", "beta", "offset_x"):
            root[name][key][:] = rng.uniform(-1, 1, root[name][key].shape)
    seal(path, "dataset")
    return path


def group(store: Path, material: str) -> dict[str, Any]:
    """Arrays of a material, read independently of the library."""
    return {name: array[:] for name, array in zarr.open_group(store, mode="r")[material].arrays()}


def sample_of(store: Path, split: str, material: str = "GaN") -> tuple[int, str]:
    data = group(store, material)
    index = int(np.flatnonzero(data["split"] == SPLITS.index(split))[1])
    return index, str(data["sample_id"][index])


def contents(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def signal(path: Path, title: str) -> zarr.Group:
    return zarr.open_group(path, mode="r", zarr_format=2)[f"Experiments/{title}"]


def test_every_sample_is_a_file_in_the_folder_of_its_split(store: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    count = export_npz(store, tmp_path / "out", progress=lambda done, total: seen.append((done, total)))
    expected = {
        f"{('train', 'val', 'test')[split]}/{name}.npz"
        for material in ("GaN", "MoS2")
        for data in [group(store, material)]
        for name, split in zip(data["sample_id"], data["split"], strict=True)
    }
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.npz")}
    assert found == expected
    assert len(found) == count == 40
    assert seen == [(i, 40) for i in range(1, 41)]


def test_a_file_holds_the_published_keys_and_the_sample(store: Path, tmp_path: Path) -> None:
    export_npz(store, tmp_path / "out", ["MoS2"])
    data, (index, name) = group(store, "MoS2"), sample_of(store, "train", "MoS2")
    file = contents(tmp_path / "out" / "train" / f"{name}.npz")
    assert set(file) == KEYS
    assert (file["input"].dtype, file["input"].shape) == (np.float16, (4, PIXELS, PIXELS))
    # Half precision: a relative error of 2**-11 at most.
    np.testing.assert_allclose(file["input"].astype(np.float64), data["segments"][index], rtol=2**-11)
    assert file["sum"].dtype == file["potential"].dtype == np.float32
    np.testing.assert_allclose(file["sum"], data["segments"][index].sum(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(file["potential"], data["potential"][index])
    np.testing.assert_allclose(file["rotation"], [data[key][index] for key in ("gamma", "alpha", "beta")], rtol=1e-6)
    assert (file["material"], file["mode"], file["thickness_nm"]) == ("MoS2", "vacancy", data["thickness_nm"][index])
    assert (file["res"], file["sampling"]) == (PIXELS, SAMPLING)
    assert file["fov_angstrom"] == pytest.approx(PIXELS * SAMPLING)
    assert (file["detector_inner_mrad"], file["detector_outer_mrad"]) == (10, 50)


def test_chosen_materials_alone_are_exported_and_their_mode_is_periodic(store: Path, tmp_path: Path) -> None:
    assert export_npz(store, tmp_path / "out", ["GaN"]) == 20
    files = [contents(path) for path in (tmp_path / "out").rglob("*.npz")]
    assert {(str(file["material"]), str(file["mode"])) for file in files} == {("GaN", "periodic")}


def test_with_a_dose_validation_and_test_are_noisy_and_train_is_not(store: Path, tmp_path: Path) -> None:
    export_npz(store, tmp_path / "out", ["GaN"], dose=DOSE)
    data = group(store, "GaN")
    for split, folder in (("train", "train"), ("validation", "val"), ("test", "test")):
        index, name = sample_of(store, split)
        if split == "train":
            expected = data["segments"][index]
        else:
            expected = data["noisy_segments"][list(data["evaluation_sample"]).index(index), 1]
        file = contents(tmp_path / "out" / folder / f"{name}.npz")
        np.testing.assert_array_equal(file["input"], expected.astype(np.float16))
        np.testing.assert_allclose(file["sum"], expected.astype(np.float32).sum(axis=0), rtol=1e-6)


def test_compressed_files_hold_the_same_in_less(store: Path, tmp_path: Path) -> None:
    export_npz(store, tmp_path / "plain", ["GaN"])
    export_npz(store, tmp_path / "packed", ["GaN"], compressed=True)
    name = f"{sample_of(store, 'train')[1]}.npz"
    plain, packed = tmp_path / "plain" / "train" / name, tmp_path / "packed" / "train" / name
    assert packed.stat().st_size < plain.stat().st_size
    for key, value in contents(plain).items():
        np.testing.assert_array_equal(contents(packed)[key], value)


def test_an_interrupted_export_leaves_nothing(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(done: int, _total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_npz(store, tmp_path / "out", progress=stop)
    whole = export._write_zspy

    def fail(path: Path, material: Any, samples: Any, kind: str, tree: Any) -> None:
        whole(path, material, samples, kind, tree)
        if kind == "potential":
            raise OSError("disk full")

    monkeypatch.setattr(export, "_write_zspy", fail)
    with pytest.raises(InputError, match=r"a-potential\.zspy: could not be written \(disk full\)"):
        export_hyperspy(store, tmp_path / "a.zspy", "GaN")
    assert not list(tmp_path.iterdir())


def test_what_is_there_stays(store: Path, tmp_path: Path) -> None:
    for taken in ("out", "a-potential.zspy"):
        (tmp_path / taken).mkdir()
        (tmp_path / taken / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"out: found a folder with mine\.txt; allowed: a new name, an empty folder"):
        export_npz(store, tmp_path / "out")
    with pytest.raises(InputError, match=r"a-potential\.zspy: found a folder with mine\.txt"):
        export_hyperspy(store, tmp_path / "a.zspy", "GaN")
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*") if path.is_file()}
    assert found == {"out/mine.txt", "a-potential.zspy/mine.txt"}
    (tmp_path / "empty").mkdir()
    assert export_npz(store, tmp_path / "empty", ["GaN"]) == 20


def test_one_sample_is_a_signal_without_an_axis_of_samples(store: Path, tmp_path: Path) -> None:
    data, (index, name) = group(store, "GaN"), sample_of(store, "train")
    paths = export_hyperspy(store, tmp_path / "new" / "a.zspy", name)
    assert paths == [tmp_path / "new" / "a-segments.zspy", tmp_path / "new" / "a-potential.zspy"]
    assert zarr.open_group(paths[0], mode="r").attrs["file_format"] == "ZSpy"
    segments, potential = signal(paths[0], f"{name} segments"), signal(paths[1], f"{name} potential")
    np.testing.assert_array_equal(segments["data"][:], data["segments"][index])
    np.testing.assert_array_equal(potential["data"][:], data["potential"][index])
    assert [segments[f"axis-{i}"].attrs["name"] for i in range(3)] == ["segment", "y", "x"]
    assert [potential[f"axis-{i}"].attrs["name"] for i in range(2)] == ["y", "x"]


def test_a_material_is_copied_block_by_block(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "CHUNK_BYTES", 3 * 4 * 4 * PIXELS**2 + 1)
    read, sizes = export._Material.read, []

    def spy(material: Any, kind: str, samples: Any) -> Any:
        sizes.append(len(samples))
        return read(material, kind, samples)

    monkeypatch.setattr(export._Material, "read", spy)
    paths = export_hyperspy(store, tmp_path / "GaN.zspy", "GaN")
    segments, potential = (signal(path, f"GaN {path.stem[4:]}")["data"] for path in paths)
    # Blocks of 3 samples of four segments, of 12 potentials.
    assert sizes == [3] * 6 + [2] + [12, 8]
    assert segments.chunks == (3, 4, PIXELS, PIXELS)
    np.testing.assert_array_equal(segments[:], group(store, "GaN")["segments"])
    np.testing.assert_array_equal(potential[:], group(store, "GaN")["potential"])


def test_with_a_dose_a_material_is_its_noisy_images(store: Path, tmp_path: Path) -> None:
    data = group(store, "GaN")
    paths = export_hyperspy(store, tmp_path / "GaN.zspy", "GaN", DOSE)
    segments, potential = signal(paths[0], "GaN segments"), signal(paths[1], "GaN potential")
    np.testing.assert_array_equal(segments["data"][:], data["noisy_segments"][:, 1].astype(np.float32))
    np.testing.assert_array_equal(potential["data"][:], data["potential"][data["evaluation_sample"]])
    identity = segments["metadata"].attrs["iphasenet"]
    assert identity["sample_id"] == list(data["sample_id"][data["evaluation_sample"]])
    assert identity["dose"] == DOSE
    index, name = sample_of(store, "test")
    path = export_hyperspy(store, tmp_path / "one.zspy", name, DOSE)[0]
    row = list(data["evaluation_sample"]).index(index)
    np.testing.assert_array_equal(signal(path, f"{name} segments")["data"][:], data["noisy_segments"][row, 1])


def test_rosettasciio_reads_a_sample(store: Path, tmp_path: Path) -> None:
    reader = pytest.importorskip("rsciio.zspy", reason="needs rosettasciio[hdf5]").file_reader
    data, (index, name) = group(store, "GaN"), sample_of(store, "validation")
    paths = export_hyperspy(store, tmp_path / "a.zspy", name)
    (segments,), (potential,) = reader(paths[0]), reader(paths[1])
    np.testing.assert_array_equal(segments["data"], data["segments"][index])
    np.testing.assert_array_equal(potential["data"], data["potential"][index])
    pixels = {
        "_type": "UniformDataAxis",
        "is_binned": False,
        "size": PIXELS,
        "scale": SAMPLING,
        "offset": data["x"][0],
        "units": "Å",
        "navigate": False,
    }
    index_axis = {**pixels, "name": "segment", "size": 4, "scale": 1, "offset": 0, "units": None, "navigate": True}
    assert potential["axes"] == [pixels | {"name": "y"}, pixels | {"name": "x"}]
    assert segments["axes"] == [index_axis, *potential["axes"]]
    metadata = segments["metadata"]
    assert metadata["General"]["title"] == f"{name} segments"
    assert metadata["Signal"]["quantity"] == "Intensity (fraction of the beam current)"
    assert potential["metadata"]["Signal"]["quantity"] == "Projected potential (V Å)"
    microscope = metadata["Acquisition_instrument"]["TEM"]
    assert (microscope["beam_energy"], microscope["convergence_angle"]) == (200, 20)
    identity = {key: data[key][index] for key in ("thickness_nm", "alpha", "beta", "gamma", "offset_x", "offset_y")}
    identity |= {"material": "GaN", "zone_axis": [0, 0, 1], "sample_id": name, "split": "validation", "dose": None}
    assert {key: metadata["iphasenet"][key] for key in identity} == identity
    assert segments["original_metadata"]["configuration"]["optics"] == OPTICS


def test_rosettasciio_reads_a_material(store: Path, tmp_path: Path) -> None:
    reader = pytest.importorskip("rsciio.zspy", reason="needs rosettasciio[hdf5]").file_reader
    data = group(store, "MoS2")
    (segments,) = reader(export_hyperspy(store, tmp_path / "MoS2.zspy", "MoS2")[0])
    np.testing.assert_array_equal(segments["data"], data["segments"])
    assert [(axis["name"], axis["size"], axis["navigate"]) for axis in segments["axes"]] == [
        ("sample", 20, True),
        ("segment", 4, True),
        ("y", PIXELS, False),
        ("x", PIXELS, False),
    ]
    assert segments["metadata"]["iphasenet"]["sample_id"] == list(data["sample_id"])
    np.testing.assert_array_equal(segments["metadata"]["iphasenet"]["alpha"], data["alpha"])


def test_bad_input_is_named(store: Path, tmp_path: Path) -> None:
    train, zspy = sample_of(store, "train")[1], tmp_path / "a.zspy"
    with pytest.raises(InputError, match=r"materials: found Si; allowed: GaN, MoS2$"):
        export_npz(store, tmp_path / "out", ["GaN", "Si"])
    with pytest.raises(InputError, match=r"name: found 'Si'; allowed: a sample_id, or a material: GaN, MoS2$"):
        export_hyperspy(store, zspy, "Si")
    for call in (lambda: export_npz(store, tmp_path / "out", dose=5), lambda: export_hyperspy(store, zspy, "GaN", 5)):
        with pytest.raises(InputError, match=r"dose: found 5 e/Å²; allowed: none, or one that GaN has: 10000, 1e\+06$"):
            call()
    with pytest.raises(
        InputError, match=f"dose: found 1e\\+06 e/Å² for {train} of train; allowed: validation or test samples$"
    ):
        export_hyperspy(store, zspy, train, DOSE)
    with pytest.raises(InputError, match=r"a\.dm3: found the ending '\.dm3'; allowed: \.zspy"):
        export_hyperspy(store, tmp_path / "a.dm3", "GaN")
    with pytest.raises(InputError, match=r"nothing\.zarr: found no Zarr v3 store"):
        export_npz(tmp_path / "nothing.zarr", tmp_path / "out")
    with pytest.raises(InputError, match=r"GaN: found one material's samples.*; allowed: a data set"):
        export_hyperspy(store / "GaN", zspy, "GaN")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    for call in (
        lambda: export_npz(store, tmp_path / "file" / "out"),
        lambda: export_hyperspy(store, tmp_path / "file" / "a.zspy", "GaN"),
    ):
        with pytest.raises(InputError, match=r"found no way to write \(.*\); allowed: a writable folder"):
            call()


def resealed(store: Path, folder: Path, change: Callable[[Any], None]) -> Path:
    """A copy that was changed and sealed again: its checksums are right."""
    path = Path(shutil.copytree(store, folder / "changed.zarr"))
    change(zarr.open_group(path, mode="r+", use_consolidated=False))
    seal(path, "dataset")
    return path


@pytest.mark.parametrize(
    "name", ["GaN/segments/c/0/0/0/0", "GaN/potential/c/0/0/0", "GaN/sample_id/c/0", "MoS2", "zarr.json"]
)
def test_nothing_is_exported_of_a_store_that_lacks_something(store: Path, tmp_path: Path, name: str) -> None:
    """Zarr takes what is lost for zeros, and a crystal that is lost for none."""
    damaged = Path(shutil.copytree(store, tmp_path / "damaged.zarr"))
    shutil.rmtree(damaged / name) if (damaged / name).is_dir() else (damaged / name).unlink()
    for call in (
        lambda: export_npz(damaged, tmp_path / "out"),
        lambda: export_hyperspy(damaged, tmp_path / "a.zspy", "GaN"),
        lambda: read_sample(damaged, sample_of(store, "train")[1]),
    ):
        with pytest.raises(InputError, match=r"^[^\n]*damaged\.zarr: found no [^\n]*$"):
            call()
    assert [path.name for path in tmp_path.iterdir()] == ["damaged.zarr"]


@pytest.mark.parametrize("name", ["segments", "potential", "sample_id", "thickness_nm"])
def test_a_flipped_bit_is_one_line_that_names_its_array(store: Path, tmp_path: Path, name: str) -> None:
    damaged = Path(shutil.copytree(store, tmp_path / "damaged.zarr"))
    path = next(path for path in (damaged / "GaN" / name / "c").rglob("*") if path.is_file())
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"^GaN/{name}: found a damaged chunk at row \d+; [^\n]*$"):
        export_npz(damaged, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_image_of_zeros_alone_is_no_image(store: Path, tmp_path: Path) -> None:
    index, name = sample_of(store, "train")

    def change(root: Any) -> None:
        root["GaN/potential"][index] = 0

    changed = resealed(store, tmp_path, change)
    with pytest.raises(InputError, match=f"GaN/potential: found zeros alone in {name}"):
        export_npz(changed, tmp_path / "out")
    with pytest.raises(InputError, match=f"GaN/potential: found zeros alone in {name}"):
        list(read_split(changed, "train"))
    told = f"GaN/potential: found zeros alone in {name}; allowed: finite numbers, not all of them 0"
    assert [problem.text for problem in validate(changed) if problem.check == "finite"] == [told]


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "GaN-tilt0000-rotation00-20nm/../x", "GaN", "", "MoS2{}"])
def test_a_samples_name_is_never_a_path(store: Path, tmp_path: Path, name: str) -> None:
    index, true_name = sample_of(store, "train")

    def change(root: Any) -> None:
        root["GaN/sample_id"][index] = name.replace("{}", true_name.removeprefix("GaN"))

    changed = resealed(store, tmp_path, change)
    for call in (
        lambda: export_npz(changed, tmp_path / "a" / "b" / "out"),
        lambda: export_hyperspy(changed, tmp_path / "a.zspy", "GaN"),
        lambda: list(read_split(changed, "train")),
        lambda: read_sample(changed, sample_of(store, "test")[1]),
    ):
        with pytest.raises(InputError, match=r"^GaN/sample_id: found .*; allowed: material, tilt, rotation"):
            call()
    assert {path.name for path in tmp_path.rglob("*") if path.suffix != ".zarr"} & {"x.npz", "out"} == set()
    assert any(problem.text.startswith("GaN/sample_id: found") for problem in validate(changed))


@pytest.mark.parametrize("name", ["../../x", "MoS2", "", None, 3])
def test_a_group_is_called_as_its_material(store: Path, tmp_path: Path, name: Any) -> None:
    def change(root: Any) -> None:
        root["GaN"].attrs["material"] = name

    changed = resealed(store, tmp_path, change)
    for call in (
        lambda: list(read_split(changed, "train")),
        lambda: export_npz(changed, tmp_path / "out"),
        lambda: read_sample(changed, sample_of(store, "test")[1]),
    ):
        with pytest.raises(InputError, match="GaN: found the material"):
            call()
    assert any(text.text.startswith("GaN: found the material") for text in validate(changed))


def test_a_name_is_checked_again_where_a_path_is_built() -> None:
    assert file_name("GaN-tilt0003-rotation01-0.5nm") == "GaN-tilt0003-rotation01-0.5nm"
    for name in ("../x", "a/b", "/a", "..", "", ".hidden", "a\nb", "a\\b"):
        with pytest.raises(InputError, match="name: found"):
            file_name(name)
