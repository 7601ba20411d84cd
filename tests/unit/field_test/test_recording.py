"""Recording of a field test's images."""

from dataclasses import replace

import numpy as np
import pytest

from iphasenet.field_test.plan import field_specimens
from iphasenet.field_test.recording import Recorder
from iphasenet.microscope.acquisition import Acquisition
from tests.unit.field_test.test_plan import configuration

IMAGE = field_specimens(configuration())[0].images[0]
PERFECT = Recorder(0.2, Acquisition(), 0.0, 0.0, 1)


def clean() -> np.ndarray:
    x = np.linspace(0, 1, 40, dtype=np.float32)
    return np.stack([0.1 + 0.05 * np.sin(6 * (x[None] + k * x[:, None])) for k in range(1, 5)])


def test_only_what_a_microscope_writes_down_is_told() -> None:
    image = PERFECT.image(IMAGE, clean())
    assert image.thickness_nm is image.tilt_deg is image.rotation_deg is None
    assert (image.energy_kev, image.semiangle_mrad, image.dose) == (200, 20, IMAGE.dose)
    assert image.beam_intensity == 1 and image.order == (0, 1, 2, 3)


def test_the_same_image_has_the_same_noise_and_another_one_another() -> None:
    first, again = (PERFECT.image(IMAGE, clean()).segments for _ in range(2))
    other = PERFECT.image(replace(IMAGE, name="another"), clean()).segments
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_zeros_shift_each_segment() -> None:
    perfect = PERFECT.image(IMAGE, clean()).segments
    shifted = replace(PERFECT, dark_offset=0.01).image(IMAGE, clean()).segments
    off = shifted - perfect
    assert np.ptp(off, axis=(1, 2)).max() < 1e-6 and len(set(off[:, 0, 0].round(6).tolist())) == 4


def test_bright_pixels_lose_more() -> None:
    bright = replace(IMAGE, dose=1e9)
    perfect = PERFECT.image(bright, clean()).segments
    saturated = replace(PERFECT, saturation=0.3).image(bright, clean()).segments
    lost = 1 - saturated / perfect
    assert 0 < lost.max() <= 0.31
    # A loss in proportion to the signal.
    ratio = lost / perfect
    assert ratio.max() == pytest.approx(ratio.min(), rel=1e-3)
