"""What `iphasenet simulate` wrote, as an image and as a microscope's file."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from iphasenet.cli import main
from iphasenet.errors import InputError
from iphasenet.seals import GUARDED, seal
from iphasenet.user_images.image_files import read_image
from iphasenet.user_images.simulated_image import read_simulation


def simulated(folder: Path, segments: int = 4) -> Path:
    """A store as the command writes it, of two thicknesses in which no two pixels are alike."""
    path = folder / "gan.zarr"
    root = zarr.open_group(path, mode="w", zarr_format=3)
    root.attrs.update(
        {
            **{"structure": "GaN.cif", "thickness": [20.0, 40.0], "rotation": 12.5, "tilt": [0.3, -0.1], "seed": 0},
            **{"sampling": 0.2, "energy": 200.0, "semiangle": 20.0, "detector": [10.0, 50.0], "segments": segments},
            "detector_rotation": 0.0,
        }
    )
    values = np.random.default_rng(0).uniform(0.1, 0.2, (2, segments, 64, 64)).astype(np.float32)
    root.create_array("segments", data=values, compressors=GUARDED)
    seal(path, "simulation")
    return path


def test_a_thickness_is_an_image_with_all_that_is_known(tmp_path: Path) -> None:
    path = simulated(tmp_path)
    image = read_simulation(path, 40.0)
    np.testing.assert_array_equal(image.fractions, zarr.open(path, mode="r")["segments"][1])
    assert image.thickness_nm == 40 and image.rotation == (0.3, -0.1, 12.5) and image.sampling == 0.2
    with pytest.raises(InputError, match=r"thickness: found none; allowed: one of 20, 40 nm"):
        read_image(path)
    with pytest.raises(InputError, match=r"thickness: found 30 nm; allowed: one of 20, 40 nm"):
        read_simulation(path, 30.0)
    with pytest.raises(InputError, match=r"found 8 segments; allowed: four"):
        read_simulation(simulated(tmp_path, segments=8), 20.0)


def test_a_dose_adds_the_noise_of_its_electrons(tmp_path: Path) -> None:
    """The same every time, another one for another thickness: 4,000 electrons a pixel."""
    path = simulated(tmp_path)
    clean, noisy = read_simulation(path, 20.0).fractions, read_simulation(path, 20.0, dose=1e5).fractions
    spread = (noisy - clean) / np.sqrt(clean / 4000)
    assert np.std(spread) == pytest.approx(1, abs=0.03) and abs(np.mean(spread)) < 0.03
    np.testing.assert_array_equal(noisy, read_simulation(path, 20.0, dose=1e5).fractions)


@pytest.mark.parametrize("ending", [".emd", ".hspy", ".zspy", ".tif", ".npz", ".npy"])
def test_a_simulation_is_exported_as_a_microscopes_file(ending: str, tmp_path: Path) -> None:
    path, output = simulated(tmp_path), tmp_path / f"image{ending}"
    main(["export", str(path), "--thickness", "20", "--output", str(output)])
    image = read_image(output)
    expected = read_simulation(path, 20.0).fractions
    np.testing.assert_allclose(image.arranged if image.order else image.segments, expected, rtol=1e-6)
