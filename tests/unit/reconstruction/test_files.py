"""Writers of a reconstruction: each format holds its images, their scale and what they were made with."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from matplotlib.figure import Figure
from matplotlib.image import imread
from rsciio import hspy, tiff, zspy

from iphasenet.base.drawing import draw_scale_bar
from iphasenet.base.errors import InputError
from iphasenet.base.marks import FIGURE, IMAGE, RECONSTRUCTION
from iphasenet.base.outputs import Output, check_outputs
from iphasenet.reconstruction.files import write_reconstruction

SHAPE = (40, 60)
NAMES = ("potential", "mean_potential", "spread", "idpc")


def image(seed: int) -> Any:
    return np.random.default_rng(seed).normal(50, 20, SHAPE).astype(np.float32)


@dataclass(frozen=True)
class Made:
    """What the writers need of a reconstruction."""

    potential: Any = field(default_factory=lambda: image(0))
    mean_potential: Any = field(default_factory=lambda: image(1))
    spread: Any = field(default_factory=lambda: image(2))
    idpc: Any = field(default_factory=lambda: image(3))
    sampling: float = 0.2
    thickness_nm: float = 40.0
    tilt_deg: tuple[float, float] = (0.1, -0.2)
    rotation_deg: float = 30.0
    origin: tuple[float, float] = (3.5, -1.25)
    columns: Any = None
    columns_error: Any = None
    attributes: dict[str, Any] = field(
        default_factory=lambda: {"weights": Path("laptop.safetensors"), "warnings": ("dose in e/Å²",), "n": np.int64(3)}
    )


def hyperspy_images(path: Path) -> dict[str, dict[str, Any]]:
    reader = zspy.file_reader if path.suffix == ".zspy" else hspy.file_reader
    return {entry["metadata"]["General"]["title"]: entry for entry in reader(str(path))}


@pytest.mark.parametrize("ending", [".zspy", ".hspy", ".tif", ".npz"])
def test_the_first_pixel_is_where_the_inputs_axes_have_it(ending: str, tmp_path: Path) -> None:
    """As other readers see it: HyperSpy's offset, ImageJ's origin in pixels."""
    path = tmp_path / f"out{ending}"
    write_reconstruction(Made(), path)
    if ending == ".npz":
        with np.load(path) as made:
            found = tuple(made["origin"])
    elif ending == ".tif":
        with tifffile.TiffFile(path) as file:
            described = file.imagej_metadata or {}
        found = tuple(-0.2 * described[name] for name in ("xorigin", "yorigin"))
    else:
        axes = {axis["name"]: axis["offset"] for axis in hyperspy_images(path)["potential"]["axes"]}
        found = (axes["x"], axes["y"])
    assert found == pytest.approx(Made().origin)


@pytest.mark.parametrize("ending", [".zspy", ".hspy"])
def test_hyperspy_has_a_calibrated_signal_for_each_image(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{ending}"
    write_reconstruction(Made(), path)
    signals = hyperspy_images(path)
    assert sorted(signals) == sorted(NAMES)
    for name in NAMES:
        np.testing.assert_array_equal(signals[name]["data"], getattr(Made(), name))
        assert signals[name]["data"].dtype == np.float32
        axes = signals[name]["axes"]
        assert [(axis["name"], axis["scale"], axis["units"], axis["navigate"]) for axis in axes] == [
            ("y", 0.2, "Å", False),
            ("x", 0.2, "Å", False),
        ]
    assert signals["mean_potential"]["metadata"]["Signal"]["quantity"] == "Mean potential (V)"
    known = signals["potential"]["metadata"]["iphasenet"]
    assert (known["thickness_nm"], list(known["tilt_deg"]), known["rotation_deg"]) == (40, [0.1, -0.2], 30)
    assert known["weights"] == "laptop.safetensors"
    assert list(known["warnings"]) == ["dose in e/Å²"]


def test_a_tif_is_a_labelled_stack_calibrated_for_imagej(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    write_reconstruction(Made(), path)
    with tifffile.TiffFile(path) as file:
        described, stack = file.imagej_metadata or {}, file.asarray()
        numerator, denominator = file.pages.first.tags["XResolution"].value
    assert stack.dtype == np.float32
    np.testing.assert_array_equal(stack, np.stack([getattr(Made(), name) for name in NAMES]))
    assert (described["unit"], denominator / numerator) == ("nm", pytest.approx(0.02))
    assert described["Labels"] == [
        "Projected potential (V Å)", "Mean potential (V)", "Uncertainty (V Å)", "iDPC (V Å)",
    ]  # fmt: skip
    known = json.loads(described["Info"])
    assert (known["thickness_nm"], known["n"], known["warnings"]) == (40, 3, ["dose in e/Å²"])
    assert [axis["size"] for axis in tiff.file_reader(str(path))[0]["axes"]] == [4, *SHAPE]


def test_a_npz_holds_everything(tmp_path: Path) -> None:
    path = tmp_path / "out.npz"
    write_reconstruction(Made(), path)
    with np.load(path, allow_pickle=False) as file:
        for name in NAMES:
            np.testing.assert_array_equal(file[name], getattr(Made(), name))
        assert (file["sampling"], file["thickness_nm"]) == (0.2, 40)
        np.testing.assert_array_equal(file["tilt_deg"], (0.1, -0.2))
        assert file["rotation_deg"] == 30
        assert json.loads(str(file["attributes"]))["weights"] == "laptop.safetensors"


@pytest.mark.parametrize("ending", [".zspy", ".hspy", ".tif", ".npz"])
def test_without_an_uncertainty_none_is_written(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{ending}"
    write_reconstruction(replace(Made(), spread=None), path)
    if ending == ".npz":
        assert "spread" not in np.load(path).files
    elif ending == ".tif":
        np.testing.assert_array_equal(tifffile.imread(path), np.stack([getattr(Made(), NAMES[i]) for i in (0, 1, 3)]))
    else:
        assert "spread" not in hyperspy_images(path)


def test_a_picture_shows_the_potential(tmp_path: Path) -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    spot = np.exp(-((x - 45) ** 2 + (y - 10) ** 2) / 20).astype(np.float32)
    write_reconstruction(replace(Made(), potential=spot), tmp_path / "out.png")
    shown = imread(tmp_path / "out.png")[..., :3].sum(axis=2)
    height, width = shown.shape
    # Left of the colour bar, above the scale bar: dark but for the column, and as bright as the colour bar's top there.
    field_of_view = shown[int(0.1 * height) : int(0.7 * height), int(0.1 * width) : int(0.8 * width)]
    row, column = np.unravel_index(field_of_view.argmax(), field_of_view.shape)
    assert column > 0.6 * field_of_view.shape[1]
    assert row < 0.5 * field_of_view.shape[0]
    assert (field_of_view > 1.5).mean() < 0.1


@pytest.mark.parametrize(
    ("width", "length", "text"), [(12.0, 2.0, "2 Å"), (61.0, 20.0, "2 nm"), (400.0, 100.0, "10 nm")]
)
def test_the_scale_bar_is_a_round_length(width: float, length: float, text: str) -> None:
    axes = Figure().add_subplot()
    assert draw_scale_bar(axes, width, width) == length
    assert width / 8 <= length <= width / 3
    assert axes.texts[0].get_text() == text
    assert axes.patches[0].get_width() == length


def test_an_output_is_replaced_whole(tmp_path: Path) -> None:
    for ending in (".zspy", ".hspy", ".tif", ".npz", ".png"):
        for made in (Made(), replace(Made(), spread=None)):
            write_reconstruction(made, tmp_path / f"out{ending}")
    assert "spread" not in hyperspy_images(tmp_path / "out.zspy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.hspy", "out.npz", "out.png", "out.tif", "out.zspy"]


@pytest.mark.parametrize("ending", [".zspy", ".hspy", ".tif", ".npz", ".png"])
def test_a_failed_output_leaves_nothing(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_options: Any) -> None:
        raise OSError(28, "No space left on device")

    for target in ("tifffile.imwrite", "numpy.savez", "rsciio.hspy.file_writer", "matplotlib.figure.Figure.savefig",
                   "zarr.Group.create_array"):  # fmt: skip
        monkeypatch.setattr(target, fail)
    with pytest.raises(
        InputError, match=r"could not be written \(No space left on device\); allowed: a writable folder"
    ):
        write_reconstruction(Made(), tmp_path / f"out{ending}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", [".zspy", ".hspy", ".tif", ".npz", ".png"])
def test_its_own_outputs_alone_are_known_by_their_mark(ending: str, tmp_path: Path) -> None:
    write_reconstruction(Made(), tmp_path / f"out{ending}")
    kind = FIGURE if ending == ".png" else RECONSTRUCTION
    check_outputs([Output("--output", tmp_path / f"out{ending}", kind)])
    with pytest.raises(InputError, match=r"allowed: a new .*image of iphasenet to replace"):
        check_outputs([Output("--output", tmp_path / f"out{ending}", IMAGE)])


def test_bad_outputs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"out\.jpg: found the ending '\.jpg'; allowed: \.zspy, \.hspy, \.tif"):
        write_reconstruction(Made(), tmp_path / "out.jpg")
    (tmp_path / "data.zspy").mkdir()
    (tmp_path / "data.zspy" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"data\.zspy: found a folder with mine\.txt"):
        write_reconstruction(Made(), tmp_path / "data.zspy")
    (tmp_path / "folder.tif").mkdir()
    with pytest.raises(InputError, match=r"folder\.tif: found an empty folder; allowed: a new name"):
        write_reconstruction(Made(), tmp_path / "folder.tif")
    assert (tmp_path / "data.zspy" / "mine.txt").read_text() == "mine"
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"could not be written \(.*\); allowed: a writable folder"):
        write_reconstruction(Made(), tmp_path / "file" / "out.npz")
