"""From a file's conventions to the network's: order, turn, pixel, fractions, warnings."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from iphasenet.base.errors import InputError
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.network.column_projection import column_lean
from iphasenet.reconstruction.preparation import (
    aligned,
    automatic_beam_intensity,
    mirrored,
    prepare,
    quarter_turned,
    range_warnings,
    turned_angles,
)
from tests.unit.microscope_files.segmented_images import fractions

RANGES = {
    "thickness_nm": [20.0, 150.0],
    "tilt_deg": [0.01, 1.1],
    "dose": [1e4, 1e6],
    "energy_kev": [200, 200],
    "semiangle_mrad": [20, 20],
    "detector_inner_mrad": [10, 10],
    "detector_outer_mrad": [50, 50],
}


def image(**known: Any) -> SegmentedImage:
    made = fractions(sampling=0.2, order=(0, 1, 2, 3), scan_rotation_deg=0.0)
    values = np.random.default_rng(1).uniform(0.01, 0.2, (4, 80, 96)).astype(np.float32)
    return replace(made, **{"segments": values, **known})


def test_nothing_is_changed_where_nothing_differs() -> None:
    prepared = prepare(image(), 0.2)
    np.testing.assert_array_equal(prepared.segments, image().segments)
    np.testing.assert_allclose(prepared.metadata, [20, 0.1, -0.2, 30], rtol=1e-5)
    assert prepared.turned_deg == 0 and prepared.microscope.detector_outer_mrad == 50


def test_a_quarter_turn_takes_the_detectors_right_to_the_images_bottom() -> None:
    """A direction at the angle a, from x to y (down), lies at a + 90° in the image."""
    top_left, top_right, bottom_left, bottom_right = range(4)
    turned = quarter_turned((0, 1, 2, 3), 1)
    # Right is top-right and bottom-right; the image's bottom is the last two places.
    assert set(turned[2:]) == {top_right, bottom_right} and set(turned[:2]) == {top_left, bottom_left}
    assert set(turned[::2]) == {bottom_left, bottom_right}
    assert quarter_turned(turned, 3) == (0, 1, 2, 3)
    assert mirrored((0, 1, 2, 3)) == (top_right, top_left, bottom_right, bottom_left)


@pytest.mark.parametrize(("angle", "turns", "rest"), [(90.2, 1, 0.0), (-170.0, -2, 10.0), (350.0, 4, -10.0)])
def test_quarter_turns_are_a_matter_of_order(angle: float, turns: int, rest: float) -> None:
    made, found = aligned(image(scan_rotation_deg=angle))
    assert made.order == quarter_turned((0, 1, 2, 3), turns)
    assert found == pytest.approx(rest)


def test_a_turn_goes_with_the_crystals_angles() -> None:
    """The lean of a column is a vector of the image: in a frame turned by 25° it is turned back by 25°."""
    prepared = prepare(image(scan_rotation_deg=25.0, tilt_deg=(0.4, -0.7), rotation_deg=100.0), 0.2)
    assert prepared.turned_deg == 25 and min(prepared.segments.shape[1:]) < 80
    import torch

    before, after = (
        column_lean(torch.tensor(np.array([rows], np.float32)))[0].numpy()
        for rows in ((20.0, 0.4, -0.7, 100.0), prepared.metadata)
    )
    angle = np.deg2rad(-25)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(after, turn @ before, rtol=1e-4)
    # To first order in the tilt: its rotation as a whole is turned.
    assert prepared.metadata[3] == pytest.approx(75, abs=0.01)
    alpha, beta, gamma = turned_angles((0.4, -0.7), 100.0, 25)
    np.testing.assert_allclose(turned_angles((alpha, beta), gamma, -25), (0.4, -0.7, 100.0))


@pytest.mark.parametrize("turn", [0.0, 25.0, 90.0, -130.0])
@pytest.mark.parametrize("sampling", [0.2, 0.15, 0.33])
def test_pixels_stay_where_the_inputs_axes_have_them(turn: float, sampling: float) -> None:
    """Images of their own coordinates, 100 Å added: resampled and turned they still say where a pixel is."""
    y, x = np.mgrid[:80, :96] * 0.2 + np.array([-3.0, 7.0])[:, None, None]
    values = np.stack([x, y, x, y]).astype(np.float32) + 100
    known = {"order": (0, 1, 2, 3), "beam_intensity": 1.0, "origin": (7.0, -3.0), "scan_rotation_deg": turn}
    prepared = prepare(image(segments=values, **known), sampling)
    rows, columns = prepared.segments.shape[1:]
    row, column = rows // 2, columns // 2 - 3
    angle = np.deg2rad(prepared.turned_deg)
    right, down = (
        sampling * np.array([np.cos(angle), np.sin(angle)]),
        sampling * np.array([-np.sin(angle), np.cos(angle)]),
    )
    there = np.array(prepared.origin) + column * right + row * down
    # Quarter turns order the segments anew: one each of x and of y is where it was, in any order.
    found = sorted({round(float(value), 2) for value in prepared.segments[:, row, column] - 100})
    assert found[0] == pytest.approx(min(there), abs=0.03) and found[-1] == pytest.approx(max(there), abs=0.03)


def test_pixels_become_the_networks() -> None:
    prepared = prepare(image(sampling=0.1), 0.2)
    assert prepared.segments.shape == (4, 40, 48) and prepared.sampling == 0.2


def test_all_that_is_missing_is_named_with_its_option() -> None:
    with pytest.raises(InputError) as caught:
        prepare(image(energy_kev=None, beam_intensity=None, order=None, rotation_deg=None), 0.2)
    for part in ("energy_kev", "--energy", "--beam-intensity", "--segment-order", "--rotation"):
        assert part in str(caught.value)
    assert "--thickness" not in str(caught.value)


@pytest.mark.parametrize(("name", "option"), [("tilt_deg", "--tilt"), ("rotation_deg", "--rotation")])
def test_the_angle_that_is_missing_is_named_alone(name: str, option: str) -> None:
    with pytest.raises(InputError, match=rf"{name} is missing: give {option}$"):
        prepare(image(**{name: None}), 0.2)


def test_the_beam_is_guessed_from_the_mean_of_the_training_images() -> None:
    trained = {"segment_sum": {"thickness_nm": [10.0, 30.0], "mean": [0.3, 0.5]}}
    counts = image(segments=100 + 5000 * image().segments, dark_intensity=100.0, beam_intensity=None)
    value = automatic_beam_intensity(counts, trained)
    guessed = replace(counts, beam_intensity=value).fractions
    assert guessed.sum(axis=0).mean() == pytest.approx(0.4, rel=1e-4)
    with pytest.raises(InputError, match="auto"):
        automatic_beam_intensity(counts, {})
    with pytest.raises(InputError, match="thickness"):
        automatic_beam_intensity(replace(counts, thickness_nm=None), trained)


def test_settings_inside_the_trained_ranges_are_not_mentioned() -> None:
    assert range_warnings(image(tilt_deg=(0.0, 0.0), sampling=0.05), {"ranges": RANGES}) == []
    assert range_warnings(image(dose=None, thickness_nm=None), {"ranges": RANGES}) == []


@pytest.mark.parametrize(
    ("known", "parts"),
    [
        ({"thickness_nm": 10.0}, ["thickness_nm: 10 nm", "20 to 150 nm"]),
        ({"dose": 500.0}, ["dose: 500 e/Å²"]),
        ({"energy_kev": 300.0}, ["energy_kev: 300 keV", "200 keV"]),
        ({"semiangle_mrad": 25.0}, ["semiangle_mrad: 25 mrad"]),
        ({"detector_inner_mrad": 0.0}, ["detector_inner_mrad: 0 mrad"]),
        ({"detector_outer_mrad": 40.0}, ["detector_outer_mrad: 40 mrad"]),
        ({"tilt_deg": (1.0, 1.0)}, ["tilt_deg: 1.414 °"]),
        ({"sampling": 0.4}, ["0.4 Å", "0.313 Å"]),
    ],
)
def test_a_setting_outside_is_one_line(known: dict[str, Any], parts: list[str]) -> None:
    (line,) = range_warnings(image(**known), {"ranges": RANGES})
    assert all(part in line for part in parts) and "\n" not in line
