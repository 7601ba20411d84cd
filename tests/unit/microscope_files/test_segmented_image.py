"""The segmented image: what it refuses, how it is ordered and turned into fractions of the beam current."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from iphasenet.base.errors import InputError
from iphasenet.microscope_files.segmented_image import SegmentedImage, check_saturation
from tests.unit.microscope_files.segmented_images import SHAPE, counts, fractions


def test_segments_are_put_in_our_order() -> None:
    image = fractions()
    np.testing.assert_array_equal(image.arranged, image.segments[[2, 0, 3, 1]])


def test_counts_become_fractions_of_the_beam() -> None:
    # A count is 1/49000 of the beam: half of it is the rounding.
    np.testing.assert_allclose(counts().fractions, fractions().arranged, atol=0.51 / 49000)
    bright = replace(counts(), beam_intensity=99000.0)
    np.testing.assert_allclose(bright.fractions, counts().fractions / 2, rtol=1e-6)


def test_without_order_or_beam_it_asks_by_name() -> None:
    with pytest.raises(InputError, match="made: the order of the segments a, b, c, d is missing"):
        _ = fractions(order=None).arranged
    with pytest.raises(InputError, match="made: beam_intensity is missing: give the value"):
        _ = fractions(beam_intensity=None).fractions


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({"segments": np.ones((3, *SHAPE))}, "found 3 images of 24 x 32 pixels; allowed: four segments"),
        ({"segments": np.ones(SHAPE)}, "found an array of 24 x 32; allowed"),
        ({"segments": np.ones((4, *SHAPE))}, "segment a: found 1 everywhere"),
        ({"names": ("a", "b", "c")}, "found 3 names"),
        ({"order": (0, 1, 2, 2)}, r"order: found \(0, 1, 2, 2\)"),
        ({"sampling": 0.0}, "sampling: found 0 Å; allowed: 0.01 to"),
        ({"energy_kev": float("nan")}, "energy_kev: found nan"),
        ({"detector_inner_mrad": 60.0}, "detector: found 60 to 50 mrad"),
        ({"detector_outer_mrad": None, "detector_inner_mrad": -1.0}, "detector_inner_mrad: found -1 mrad; allowed: 0"),
        ({"beam_intensity": 5.0, "dark_intensity": 10.0}, "beam_intensity: found 5; allowed: above the value without"),
        ({"dark_intensity": float("inf")}, "dark_intensity: found inf"),
        ({"tilt_deg": (0.0, 0.0, 5.0)}, r"tilt_deg: found \(0.0, 0.0, 5.0\); allowed: alpha and beta"),
        ({"rotation_deg": 400.0}, "rotation_deg: found 400 degrees"),
        ({"scan_rotation_deg": float("nan")}, "scan_rotation_deg: found nan"),
    ],
)
def test_bad_values_are_named(known: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        fractions(**known)


def test_the_fraction_of_nan_is_named() -> None:
    values = fractions().segments.copy()
    values[1, :3, :8] = np.nan
    share = 100 * 24 / values.size
    with pytest.raises(InputError, match=f"found NaN or infinity in {share:.2g} % of the pixels"):
        SegmentedImage(values, "made")


def saturated(dtype: Any, value: float, pixels: int) -> np.ndarray[Any, Any]:
    values = np.round(value * np.random.default_rng(1).uniform(0, 0.5, (4, 50, 50))).astype(dtype)
    values.reshape(-1)[:pixels] = value
    return values


@pytest.mark.parametrize(
    ("dtype", "value", "pixels"),
    [(np.uint16, 65535, 1), (np.int16, 32767, 1), (np.uint8, 255, 1), (np.uint16, 4095, 10), (np.float32, 65535, 10)],
)
def test_the_fraction_of_saturated_pixels_is_named(dtype: Any, value: float, pixels: int) -> None:
    told = f"made: found {100 * pixels / 1e4:.2g} % of the pixels saturated at {value}"
    with pytest.raises(InputError, match=told):
        check_saturation(saturated(dtype, value, pixels), "made")


@pytest.mark.parametrize(
    ("dtype", "value", "pixels"),
    [(np.uint16, 65534, 10), (np.uint16, 4095, 3), (np.float32, 1.0, 10), (np.uint16, 4000, 10)],
)
def test_a_large_value_is_not_yet_saturated(dtype: Any, value: float, pixels: int) -> None:
    check_saturation(saturated(dtype, value, pixels), "made")


def test_half_of_a_count_at_a_power_of_two_is_no_saturation() -> None:
    values = saturated(np.float32, 4095, 10)
    values[-1, -1, -1] = 0.5
    check_saturation(values, "made")


def test_the_detectors_own_largest_value_counts() -> None:
    with pytest.raises(InputError, match="saturated at 4000"):
        check_saturation(saturated(np.uint16, 4000, 1), "made", 4000)
    check_saturation(saturated(np.uint16, 4000, 1), "made", 5000)
