"""Series on the pixels of an image, against their sums written out."""

import numpy as np
import pytest

from iphasenet.crystal.potential import series_frequencies
from iphasenet.microscope.optics import rotate
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Field, render
from tests.unit.base.test_devices import waves


@pytest.mark.parametrize("pixels", [8, 9])
@pytest.mark.parametrize("gamma", [0.0, 30.0, 45.0, -117.0])
def test_an_image_is_the_sum_of_its_waves(gamma: float, pixels: int) -> None:
    """All those within the Nyquist square, half of those on its edge; to the rounding of single precision."""
    series, lengths = waves()
    # 0.1 Å along x of a cell of 3.2 Å: the 16th order is on the edge.
    field = Field(Image(pixels, 0.1), gamma, (0.7, -2.1))
    gx, gy = np.broadcast_arrays(*series_frequencies(series.shape[1:], lengths))
    lab_x, lab_y = rotate(gx, gy, gamma)
    position = (np.arange(pixels) - (pixels - 1) / 2) * 0.1
    y, x = np.meshgrid(position, position, indexing="ij")
    expected = np.zeros((2, pixels, pixels))
    for h, v, fx, fy, one, two in zip(gx.flat, gy.flat, lab_x.flat, lab_y.flat, *map(np.ravel, series), strict=True):
        inside = [1.0 if abs(f) < 5 - 1e-6 else 0.5 * (abs(f) < 5 + 1e-6) for f in (fx, fy)]
        phase = 2 * np.pi * (h * field.offset[0] + v * field.offset[1] + fx * x + fy * y)
        for image, term in zip(expected, (one, two), strict=True):
            image += inside[0] * inside[1] * (term * np.exp(1j * phase)).real
    found = render(series, lengths, field)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * np.abs(expected).max())
