"""What `iphasenet simulate` wrote, as an image and as a microscope's file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr

from iphasenet.base.errors import InputError
from iphasenet.base.seals import GUARDED, seal
from iphasenet.cli import main
from iphasenet.microscope_files.foreign_files import write_image
from iphasenet.microscope_files.image_files import read_image
from iphasenet.microscope_files.simulated_image import read_simulation
from iphasenet.reconstruction.preparation import mirrored, quarter_turned


def simulated(folder: Path, segments: int = 4, turn: float = 0.0) -> Path:
    """A store as the command writes it, of two thicknesses in which no two pixels are alike."""
    path = folder / f"gan-{segments}-{turn:g}.zarr"
    root = zarr.open_group(path, mode="w", zarr_format=3)
    root.attrs.update(
        {
            **{"structure": "GaN.cif", "thickness": [20.0, 40.0], "rotation": 12.5, "tilt": [0.3, -0.1], "seed": 0},
            **{"sampling": 0.2, "energy": 200.0, "semiangle": 20.0, "detector": [10.0, 50.0], "segments": segments},
            "detector_rotation": turn,
        }
    )
    values = np.random.default_rng(0).uniform(0.1, 0.2, (2, segments, 64, 64)).astype(np.float32)
    root.create_array("segments", data=values, compressors=GUARDED)
    for name in ("x", "y"):
        root.create_array(name, data=(np.arange(64) - 31.5) * 0.2, compressors=GUARDED)
    seal(path, "simulation")
    return path


def test_a_thickness_is_an_image_with_all_that_is_known(tmp_path: Path) -> None:
    path = simulated(tmp_path)
    image = read_simulation(path, 40.0)
    np.testing.assert_array_equal(image.fractions, zarr.open(path, mode="r")["segments"][1])
    assert (image.thickness_nm, image.tilt_deg, image.rotation_deg, image.sampling) == (40, (0.3, -0.1), 12.5, 0.2)
    with pytest.raises(InputError, match=r"thickness: found none; allowed: one of 20, 40 nm"):
        read_image(path)
    with pytest.raises(InputError, match=r"thickness: found 30 nm; allowed: one of 20, 40 nm"):
        read_simulation(path, 30.0)
    with pytest.raises(InputError, match=r"gan-6-0\.zarr: detector: found 6 segments; allowed: 4, 8, 12 or 16"):
        read_simulation(simulated(tmp_path, segments=6), 20.0)


def test_a_dose_adds_the_noise_of_its_electrons(tmp_path: Path) -> None:
    """The same every time, another one for another thickness: 4,000 electrons a pixel."""
    path = simulated(tmp_path)
    clean, noisy = read_simulation(path, 20.0).fractions, read_simulation(path, 20.0, dose=1e5).fractions
    spread = (noisy - clean) / np.sqrt(clean / 4000)
    assert np.std(spread) == pytest.approx(1, abs=0.03) and abs(np.mean(spread)) < 0.03
    np.testing.assert_array_equal(noisy, read_simulation(path, 20.0, dose=1e5).fractions)


@pytest.mark.parametrize("ending", [".emd", ".hspy", ".zspy", ".tif", ".npz", ".npy"])
def test_a_simulation_is_exported_as_a_microscopes_file(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, output = simulated(tmp_path), tmp_path / f"image{ending}"
    main(["export", str(path), "--thickness", "20", "--output", str(output)])
    image = read_image(output)
    expected = read_simulation(path, 20.0).fractions
    np.testing.assert_allclose(image.arranged if image.order else image.segments, expected, rtol=1e-6)
    # A file that does not say what a fraction is of is said to be one.
    told = "reconstruct it with --beam-intensity 1" in capsys.readouterr().err
    assert told == (image.beam_intensity is None)


def in_quarters(segments: int, turn: float, images: np.ndarray) -> np.ndarray:
    """Sum of the sectors in each quarter, by their middles' directions: right and down are positive."""
    middles = np.deg2rad((np.arange(segments) + 0.5) * 360 / segments)
    right, down = np.cos(middles) > 0, np.sin(middles) > 0
    if segments == 4 and turn == 0:
        return images
    places = [(False, False), (True, False), (False, True), (True, True)]
    return np.stack([images[(right == to_right) & (down == below)].sum(axis=0) for to_right, below in places])


@pytest.mark.parametrize("ending", [".emd", ".hspy", ".zspy", ".tif", ".npz", ".npy"])
@pytest.mark.parametrize("segments", [4, 8, 16])
def test_a_turned_detectors_segments_keep_their_places(segments: int, ending: str, tmp_path: Path) -> None:
    """Through every format, also mirrored: what it sees to the top left, before it is turned in the image, is there."""
    for turn in (0.0, 30.0, 90.0, -200.0):
        path = simulated(tmp_path, segments, turn)
        image = read_simulation(path, 20.0)
        expected = in_quarters(segments, turn, zarr.open(path, mode="r")["segments"][0])
        np.testing.assert_allclose(image.arranged, expected, rtol=1e-6)
        assert image.scan_rotation_deg == turn
        for number, order in enumerate([(0, 1, 2, 3), mirrored((0, 1, 2, 3)), quarter_turned((0, 1, 2, 3), 1)]):
            # As a file of another order has it: the same places.
            other = replace(image, segments=image.segments[np.argsort(order)], order=order)
            output = tmp_path / f"image-{turn:g}-{number}{ending}"
            write_image(other, output)
            found = read_image(output)
            if ending in (".tif", ".npy"):
                # They hold no order: the user says 1 2 3 4.
                found = replace(found, order=(0, 1, 2, 3))
            np.testing.assert_allclose(found.arranged, expected, rtol=1e-6)
            if ending != ".npy":
                assert found.origin == pytest.approx((-6.3, -6.3))
            if ending not in (".tif", ".npy"):
                assert (found.scan_rotation_deg - turn + 180) % 360 == pytest.approx(180)
