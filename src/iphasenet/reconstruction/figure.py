"""Figure of a reconstruction: potential, mean potential, uncertainty and iDPC."""

from pathlib import Path

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from iphasenet.base.drawing import STYLE, draw_scale_bar, save_figure
from iphasenet.base.wording import number_text
from iphasenet.reconstruction.reconstruct import Reconstruction

_PANEL = 4.2
"""Width of a panel [inch]."""

_SHOWN = (0.1, 99.9)
"""Percentiles at which the colour scale ends, so that a few pixels do not determine it."""


def draw_reconstruction(reconstruction: Reconstruction, output: Path) -> None:
    """
    Draw all images of a reconstruction, each with a colour bar, the first with a scale bar.

    Parameters
    ----------
    reconstruction : Reconstruction
        What to draw.
    output : path
        Figure to be made, .png or .svg.
    """
    images = {
        ("Projected potential", "V Å", "viridis"): reconstruction.potential,
        ("Mean potential", "V", "viridis"): reconstruction.mean_potential,
        ("Uncertainty", "V Å", "magma"): reconstruction.spread,
        ("iDPC", "V Å", "gray"): reconstruction.idpc,
    }
    shown = {key: image for key, image in images.items() if image is not None}
    rows, columns = reconstruction.potential.shape
    height = float(np.clip(_PANEL * rows / columns, 1.5, 3 * _PANEL))
    with style.context(STYLE):
        figure = Figure(figsize=(2 * _PANEL + 1.6, 1.8 * height + 0.6), layout="constrained")
        panels = figure.subplots(2, 2).ravel()
        for axes, ((title, unit, colours), image) in zip(panels, shown.items(), strict=False):
            _panel(figure, axes, image, reconstruction.sampling, colours, f"{title} [{unit}]")
        for axes in panels[len(shown) :]:
            axes.set_axis_off()
        draw_scale_bar(panels[0], columns * reconstruction.sampling, rows * reconstruction.sampling)
        (alpha, beta), gamma = reconstruction.tilt_deg, reconstruction.rotation_deg
        figure.suptitle(
            number_text(
                "{:g} nm     α = {:z.2f}°     β = {:z.2f}°     γ = {:.1f}°     pixel {:g} Å",
                *(reconstruction.thickness_nm, alpha, beta, gamma, reconstruction.sampling),
            ),
            fontsize=10,
        )
        save_figure(figure, [output])


def _panel(figure: Figure, axes: Axes, image: NDArray[np.float32], sampling: float, colours: str, label: str) -> None:
    rows, columns = image.shape
    low, high = (float(value) for value in np.percentile(image, _SHOWN))
    # A panel has fewer pixels than a large image.
    smooth = "auto" if max(rows, columns) > 150 * _PANEL else "nearest"
    shown = axes.imshow(image, cmap=colours, vmin=low, vmax=high, interpolation=smooth,
                        extent=(0, columns * sampling, rows * sampling, 0))  # fmt: skip
    axes.set_axis_off()
    extend = ("neither", "min", "max", "both")[int(image.min() < low) + 2 * int(image.max() > high)]
    bar = figure.colorbar(shown, ax=axes, extend=extend, ticks=MaxNLocator(5), shrink=0.9)
    bar.formatter = FuncFormatter(lambda value, _: number_text("{:,.7g}", value))
    bar.set_label(label)
