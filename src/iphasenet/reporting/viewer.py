"""Interactive viewer of a few samples: one Plotly figure each, in HTML that needs no internet access."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.offline import get_plotlyjs

from iphasenet.base.errors import InputError
from iphasenet.base.wording import number_text

LARGEST = 160
"""Largest number of pixels along a side that are shown; of larger images, the centre is shown."""

NOTE = (
    "The slider under each sample steps through its images; hovering or tapping gives the value and the position from "
    "the image’s centre. Input is the "
    "noisy image of the top-left segment, one of four. Prediction and truth share the range of the truth; iDPC has a "
    "range of its own; the difference is prediction − truth. "
    f"Of images of more than {LARGEST} pixels a side, the central {LARGEST} are shown."
)
"""Text of the page about the viewer."""

# Positive differences are red, as in the sheets of images.
COLOURS = {"viridis": "Viridis", "gray": "gray", "RdBu": "RdBu_r"}

_LEFT, _RIGHT, _TOP, _BELOW = 44, 74, 30, 104

FloatImage = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class View:
    """
    One image of a sample.

    Attributes
    ----------
    image : (y, x) array
        Finite values, row 0 at the top.
    unit : str
        Unit of its values.
    colours : str
        'viridis', 'gray' or 'RdBu' (red is positive).
    limits : (float, float) or None
        Ends of the colour scale; by default those of what is shown.
    symmetric : bool
        Put 0 in the middle of the colour scale; only without `limits`.

    Raises
    ------
    InputError
        If the image is not two-dimensional or not finite, or the colour scale is impossible.
    """

    image: FloatImage
    unit: str
    colours: Literal["viridis", "gray", "RdBu"] = "viridis"
    limits: tuple[float, float] | None = None
    symmetric: bool = False

    def __post_init__(self) -> None:
        if self.image.ndim != 2 or not self.image.size or not np.isfinite(self.image).all():
            raise InputError(f"image: found shape {self.image.shape} or NaN or infinity; allowed: finite (y, x) values")
        if self.colours not in COLOURS:
            raise InputError(f"colours: found {self.colours!r}; allowed: {', '.join(COLOURS)}")
        if self.limits and not (np.isfinite(self.limits).all() and self.limits[0] < self.limits[1]):
            raise InputError(f"limits: found {self.limits}; allowed: two finite numbers, the lower one first")
        if self.limits and self.symmetric:
            raise InputError("symmetric: found limits as well; allowed: one of the two")

    def scale(self, shown: FloatImage) -> tuple[float, float]:
        """Return the ends of the colour scale for the part of the image that is shown."""
        if self.limits:
            return self.limits
        if self.symmetric:
            limit = float(np.abs(shown).max()) or 1.0
            return -limit, limit
        low, high = float(shown.min()), float(shown.max())
        return (low, high) if low < high else (low, low + 1.0)


@dataclass(frozen=True)
class ViewerSample:
    """
    Images of one sample.

    Attributes
    ----------
    title : str
        What the sample is.
    sampling : float
        Pixel size [Å].
    views : mapping of View
        Images of one shape by their names, in the order of the slider.
    start : str or None
        Name of the view that is shown first; by default the first one.

    Raises
    ------
    InputError
        If there is no view, shapes differ, the sampling is not positive or `start` is not a view.
    """

    title: str
    sampling: float
    views: Mapping[str, View]
    start: str | None = None

    def __post_init__(self) -> None:
        shapes = {view.image.shape for view in self.views.values()}
        if len(shapes) != 1:
            raise InputError(f"{self.title}: views: found the shapes {sorted(shapes)}; allowed: one shape")
        if not (np.isfinite(self.sampling) and self.sampling > 0):
            raise InputError(f"{self.title}: sampling: found {self.sampling}; allowed: a positive number")
        if self.start is not None and self.start not in self.views:
            raise InputError(f"{self.title}: start: found {self.start!r}; allowed: {', '.join(self.views)}")


def sample_title(material: str, metadata: Mapping[str, Any], dose: float) -> str:
    """
    Say what a sample is.

    Parameters
    ----------
    material : str
        Name of the material.
    metadata : mapping
        thickness_nm [nm], alpha, beta and gamma [degrees].
    dose : float
        Dose of the noisy image [e/Å²].

    Returns
    -------
    str
        One line.
    """
    thickness, alpha, beta, gamma = (float(metadata[name]) for name in ("thickness_nm", "alpha", "beta", "gamma"))
    angles = f"α {alpha:z.2f}°, β {beta:z.2f}°, γ {gamma:z.1f}°".replace("-", "−")
    return f"{material}, {thickness:g} nm, {angles}, " + number_text("{:,.7g} e/Å²", dose)


def sample_views(segments: FloatImage, idpc: FloatImage, prediction: FloatImage, truth: FloatImage) -> dict[str, View]:
    """
    Make the views of one sample as the report shows them.

    Parameters
    ----------
    segments : (4, y, x) array
        Noisy images, fractions of the beam current; the top-left one is shown.
    idpc, prediction, truth : (y, x) arrays
        Projected potential [V Å].

    Returns
    -------
    dict of View
        Input, iDPC, Prediction, Truth and Difference (prediction - truth); prediction and truth share one scale.
    """
    low, high = float(truth.min()), float(truth.max())
    limits = (low, high) if low < high else None
    return {
        "Input": View(segments[0], "of beam", "gray"),
        "iDPC": View(idpc, "V Å"),
        "Prediction": View(prediction, "V Å", limits=limits),
        "Truth": View(truth, "V Å", limits=limits),
        "Difference": View(prediction - truth, "V Å", "RdBu", symmetric=True),
    }


def viewer_html(samples: Sequence[ViewerSample]) -> list[str]:
    """
    Make the viewer's HTML.

    Parameters
    ----------
    samples : sequence of ViewerSample
        Samples to show.

    Returns
    -------
    list of str
        One fragment per sample: a `div` that fills its parent, and the script that draws in it. `plotly_script` must
        run before.
    """
    return [
        sample_figure(sample).to_html(
            full_html=False,
            include_plotlyjs=False,
            div_id=f"viewer-{number}",
            default_height="100%",
            config={"displayModeBar": False, "responsive": True, "doubleClick": False},
        )
        for number, sample in enumerate(samples, 1)
    ]


def plotly_script() -> str:
    """Source of plotly.js from the Python package, for one script element of the page."""
    return str(get_plotlyjs())


def sample_figure(sample: ViewerSample) -> go.Figure:
    """Make the Plotly figure of a sample: one heat map per view, of which the slider shows one."""
    names = list(sample.views)
    first = names.index(sample.start) if sample.start is not None else 0
    figure = go.Figure(
        [_heatmap(view, sample.sampling, visible=name == names[first]) for name, view in sample.views.items()]
    )
    figure.update_layout(
        template="none",
        title={"text": names[first], "x": 0, "xref": "paper", "y": 1, "yref": "container", "yanchor": "top",
               "pad": {"t": 6}, "font": {"size": 14}},
        margin={"l": _LEFT, "r": _RIGHT, "t": _TOP, "b": _BELOW},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        separators=".\u202f",
        dragmode=False,
        hoverlabel={"bgcolor": "#ffffff", "bordercolor": "#1b1f24", "font": {"color": "#1b1f24", "size": 13}},
        sliders=[_slider(names, first)],
    )  # fmt: skip
    axis = {"fixedrange": True, "constrain": "domain", "zeroline": False, "showgrid": False, "ticks": "outside",
            "ticklen": 3, "nticks": 6, "title": {"standoff": 4}}  # fmt: skip
    figure.update_xaxes(**axis | {"title": {"text": "x [Å]", "standoff": 4}})
    figure.update_yaxes(
        **axis | {"title": {"text": "y [Å]", "standoff": 4}}, autorange="reversed", scaleanchor="x", scaleratio=1
    )
    return figure


def _heatmap(view: View, sampling: float, visible: bool) -> go.Heatmap:
    (top, shown_y), (left, shown_x) = (_centre(length) for length in view.image.shape)
    shown = np.ascontiguousarray(view.image[top : top + shown_y, left : left + shown_x], dtype=np.float32)
    low, high = view.scale(shown)
    # Potentials reach tens of thousands, intensities are fractions.
    large = max(abs(low), abs(high)) >= 100
    number = ",.0f" if large else ".3~g"
    return go.Heatmap(
        z=shown,
        x0=(left - (view.image.shape[1] - 1) / 2) * sampling,
        dx=sampling,
        y0=(top - (view.image.shape[0] - 1) / 2) * sampling,
        dy=sampling,
        zmin=low,
        zmax=high,
        colorscale=COLOURS[view.colours],
        colorbar={"title": {"text": view.unit, "side": "top"}, "thickness": 11, "len": 1, "outlinewidth": 0, "x": 1.02,
                  "xpad": 0, "ypad": 0, "tickformat": ",.0f" if large else "~g", "nticks": 6},
        hovertemplate=f"x %{{x:.1f}} Å, y %{{y:.1f}} Å<br><b>%{{z:{number}}} {view.unit}</b><extra></extra>",
        visible=visible,
    )  # fmt: skip


def _centre(length: int) -> tuple[int, int]:
    """First pixel and number of pixels that are shown."""
    shown = min(length, LARGEST)
    return (length - shown) // 2, shown


def _slider(names: Sequence[str], active: int) -> dict[str, Any]:
    return {
        "active": active,
        "currentvalue": {"visible": False},
        "pad": {"t": 44, "b": 0, "l": 10, "r": 10},
        # In pixels, and wider than the image on a phone, because five labels need the space.
        "lenmode": "pixels",
        "len": 304,
        "x": 0.5,
        "xanchor": "center",
        "bgcolor": "#8a94a0",
        "bordercolor": "#8a94a0",
        "activebgcolor": "#c9d1d9",
        "ticklen": 4,
        "minorticklen": 0,
        "font": {"size": 10},
        "steps": [
            {
                "label": name,
                "method": "update",
                "args": [{"visible": [other == name for other in names]}, {"title.text": name}],
            }
            for name in names
        ],
    }
