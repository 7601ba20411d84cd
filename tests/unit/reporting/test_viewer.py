"""Viewer: what its figures hold, and what it refuses."""

import re
from typing import Any

import numpy as np
import pytest

from iphasenet.base.errors import InputError
from iphasenet.reporting.viewer import (
    LARGEST,
    View,
    ViewerSample,
    sample_figure,
    sample_title,
    sample_views,
    viewer_html,
)

RNG = np.random.default_rng(0)
SEGMENTS, IDPC, MODEL, TRUTH = RNG.random((4, 6, 8)) / 8, *(1e4 * RNG.random((3, 6, 8)))


def figure(**options: Any) -> Any:
    return sample_figure(ViewerSample("GaN", 0.2, sample_views(SEGMENTS, IDPC, MODEL, TRUTH), **options))


def test_slider_steps_show_one_image_each_under_its_name() -> None:
    drawn = figure(start="Truth")
    slider = drawn.layout.sliders[0]
    assert [step.label for step in slider.steps] == ["Input", "iDPC", "Prediction", "Truth", "Difference"]
    for number, step in enumerate(slider.steps):
        shown, title = step.args
        assert list(shown["visible"]) == [other == number for other in range(5)]
        assert title == {"title.text": step.label}
    assert slider.active == 3 and drawn.layout.title.text == "Truth"
    assert [trace.visible for trace in drawn.data] == [False, False, False, True, False]


def test_views_hold_the_images_with_comparable_scales() -> None:
    views = dict(zip(("Input", "iDPC", "Prediction", "Truth", "Difference"), figure().data, strict=True))
    np.testing.assert_array_equal(views["Input"].z, SEGMENTS[0].astype(np.float32))
    np.testing.assert_array_equal(views["Difference"].z, (MODEL - TRUTH).astype(np.float32))
    assert all(view.z.dtype == np.float32 for view in views.values())
    for name in ("Prediction", "Truth"):
        assert (views[name].zmin, views[name].zmax) == (TRUTH.min(), TRUTH.max())
    largest = np.abs(MODEL - TRUTH).max()
    assert -views["Difference"].zmin == views["Difference"].zmax == pytest.approx(largest)
    # Red, the last colour, is where the prediction is too large.
    assert views["Difference"].colorscale[-1][1] == "rgb(103,0,31)"
    assert views["Truth"].hovertemplate.endswith("<b>%{z:,.0f} V Å</b><extra></extra>")


@pytest.mark.parametrize("pixels", [1, 7, LARGEST, LARGEST + 1, 256])
def test_positions_count_from_the_centre_of_the_whole_image(pixels: int) -> None:
    image = np.arange(pixels * pixels, dtype=float).reshape(pixels, pixels)
    trace = sample_figure(ViewerSample("GaN", 0.5, {"Truth": View(image, "V Å")})).data[0]
    shown, first = min(pixels, LARGEST), (pixels - min(pixels, LARGEST)) // 2
    assert trace.z.shape == (shown, shown)
    assert trace.z[0, 0] == image[first, first]
    assert trace.x0 == trace.y0 == 0.5 * (first - (pixels - 1) / 2) and trace.dx == trace.dy == 0.5


def test_rows_run_downward_and_pixels_are_square() -> None:
    layout = figure().layout
    assert layout.yaxis.autorange == "reversed"
    assert layout.yaxis.scaleanchor == "x" and layout.yaxis.scaleratio == 1


@pytest.mark.parametrize("level", [0.0, 5.0])
def test_constant_image_has_a_scale(level: float) -> None:
    constant = np.full((4, 4), level)
    drawn = sample_figure(ViewerSample("vacuum", 0.2, sample_views(np.zeros((4, 4, 4)), constant, constant, constant)))
    assert all(trace.zmin < trace.zmax for trace in drawn.data)


def test_fragments_are_repeatable_and_cannot_end_the_script_early() -> None:
    sample = ViewerSample("GaN", 0.2, {"</script><b>": View(TRUTH, "</script>")})
    first = viewer_html([sample, sample])
    assert first == viewer_html([sample, sample])
    assert len(first) == 2 and "viewer-1" in first[0] and "viewer-2" in first[1]
    assert all(len(re.findall("</script>", part)) == len(re.findall("<script", part)) for part in first)


def test_title_says_what_the_sample_is() -> None:
    metadata = {"thickness_nm": np.float32(20), "alpha": -0.251, "beta": 0.1, "gamma": 12.34}
    assert sample_title("GaN", metadata, 1e5) == "GaN, 20 nm, α −0.25°, β 0.10°, γ 12.3°, 100\u202f000 e/Å²"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: View(np.zeros(3), "V Å"), "image: found shape (3,)"),
        (lambda: View(np.full((2, 2), np.nan), "V Å"), "image: found shape (2, 2) or NaN"),
        (lambda: View(TRUTH, "V Å", "jet"), "colours: found 'jet'; allowed: viridis, gray, RdBu"),
        (lambda: View(TRUTH, "V Å", limits=(2.0, 1.0)), "limits: found (2.0, 1.0)"),
        (lambda: View(TRUTH, "V Å", limits=(1.0, 2.0), symmetric=True), "symmetric: found limits as well"),
        (lambda: ViewerSample("GaN", 0.2, {}), "GaN: views: found the shapes []"),
        (lambda: ViewerSample("GaN", 0.0, {"Truth": View(TRUTH, "V Å")}), "GaN: sampling: found 0.0"),
        (lambda: ViewerSample("GaN", 0.2, {"Truth": View(TRUTH, "V Å")}, "iDPC"), "GaN: start: found 'iDPC'"),
        (
            lambda: ViewerSample("GaN", 0.2, {"Truth": View(TRUTH, "V Å"), "iDPC": View(TRUTH[1:], "V Å")}),
            "GaN: views: found the shapes [(5, 8), (6, 8)]",
        ),
    ],
)
def test_impossible_views_are_refused(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        make()
