"""Images on other pixels: what a band-limited function is there, and where it is not."""

import numpy as np
import pytest

from iphasenet.base.errors import InputError
from iphasenet.microscope_files.resampling import resampled, turned_frame

FIELD = (40.0, 30.0)
"""Sides along y and x [Å]."""


def waves(shape: tuple[int, int], sampling: float, turn_deg: float = 0.0) -> np.ndarray:
    """Waves of 0.3 to 1.4 cycles an Å about the centre of an image, whose frame is turned by an angle."""
    y, x = ((np.arange(size) - (size - 1) / 2) * sampling for size in shape)
    x, y = np.meshgrid(x, y)
    cosine, sine = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
    x, y = cosine * x - sine * y, sine * x + cosine * y
    return np.cos(2 * np.pi * (0.3 * x + 0.7 * y) + 0.3) + 0.5 * np.cos(2 * np.pi * (1.1 * x - 0.9 * y))


def pixels(sampling: float) -> tuple[int, int]:
    return round(FIELD[0] / sampling), round(FIELD[1] / sampling)


@pytest.mark.parametrize("target", [0.2, 0.137, 0.07])
def test_a_band_limited_image_is_the_same_function_on_other_pixels(target: float) -> None:
    """Ten pixels from the edges, where the image and its mirror image meet: to 0.5 % of the waves' size."""
    image = resampled(waves(pixels(0.1), 0.1), 0.1, target)
    assert image.shape == tuple(int(side / target + 1e-6) for side in FIELD)
    error = np.abs(image - waves(image.shape, target))
    assert error[10:-10, 10:-10].max() < 5e-3
    assert error.max() < 0.12


def test_what_larger_pixels_cannot_hold_is_removed() -> None:
    """A wave of 4 cycles an Å would be one of 1 cycle an Å on pixels of 0.2 Å."""
    x = (np.arange(400) - 199.5) * 0.1
    fine = np.broadcast_to(np.cos(2 * np.pi * 4 * x), (300, 400))
    assert np.abs(resampled(fine, 0.1, 0.2)[:, 10:-10]).max() < 5e-3


def test_the_mean_stays_and_equal_pixels_change_nothing() -> None:
    image = np.random.default_rng(0).random((2, 60, 80)).astype(np.float32)
    np.testing.assert_allclose(resampled(image, 0.1, 0.2).mean((1, 2)), image.mean((1, 2)), rtol=1e-5)
    assert resampled(image, 0.2, 0.20000001) is image


@pytest.mark.parametrize(("sampling", "target"), [(0.0, 0.2), (0.1, float("nan")), (0.1, 100.0)])
def test_pixels_that_make_no_image_are_refused(sampling: float, target: float) -> None:
    with pytest.raises(InputError, match="sampling"):
        resampled(np.ones((8, 8)), sampling, target)


@pytest.mark.parametrize("turn", [20.0, -37.0, 90.0])
def test_a_turned_frame_shows_the_same_function(turn: float) -> None:
    image = turned_frame(waves(pixels(0.1), 0.1)[None], turn)[0]
    error = np.abs(image - waves(image.shape, 0.1, turn))
    assert error[5:-5, 5:-5].max() < 1e-3


@pytest.mark.parametrize("shape", [(100, 100), (60, 200), (200, 60)])
@pytest.mark.parametrize("turn", [0.0, 12.0, 45.0, 70.0, 90.0, -130.0])
def test_a_turned_frame_is_the_largest_inside_the_field(shape: tuple[int, int], turn: float) -> None:
    """Its corners lie inside; a frame larger by two pixels a side would stick out."""
    rows, columns = turned_frame(np.zeros((1, *shape)), turn).shape[1:]
    cosine, sine = (abs(function(np.deg2rad(turn))) for function in (np.cos, np.sin))
    for more, fits in ((0, True), (2, False)):
        high = sine * (columns + more) + cosine * (rows + more)
        wide = cosine * (columns + more) + sine * (rows + more)
        assert (high <= shape[0] + 1e-6 and wide <= shape[1] + 1e-6) == fits


def test_each_side_of_a_pixel_has_its_own_size() -> None:
    """A product of two waves, each of which is as on a grid of its own."""
    y, x = (np.cos(np.pi * 3 * (np.arange(size) + 0.5) / size) for size in (12, 16))
    finer = np.cos(np.pi * 3 * (np.arange(24) + 0.5) / 24)
    np.testing.assert_allclose(resampled(np.outer(y, x), (0.4, 0.2), 0.2), np.outer(finer, x), atol=1e-5)
