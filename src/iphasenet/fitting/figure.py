"""Figure of a fit: recorded and simulated images, their difference, and the valleys around the result."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from iphasenet.base.drawing import BLUE, STYLE, draw_scale_bar, save_figure
from iphasenet.base.wording import number_text
from iphasenet.fitting.fit import Fit
from iphasenet.fitting.outcome import parameters_of, potentials, simulated
from iphasenet.fitting.patches import QUANTITIES, Patches
from iphasenet.microscope.detector import SEGMENTS

_CONTRAST = 3.0
"""Half of the grey scale's range, in standard deviations of the simulated image."""

_MOST = 256
"""Pixels of an image's middle that are shown, along each side."""


def draw_fit(fit: Fit, output: Path) -> None:
    """
    Draw a fit.

    Parameters
    ----------
    fit : Fit
        Result.
    output : path
        Figure to be made, .png or .svg.
    """
    rows = {"recorded": _middle(fit.task.segments), "simulated": _middle(simulated(fit))}
    rows["difference"] = rows["recorded"] - rows["simulated"]
    with style.context(STYLE):
        figure = Figure(figsize=(9.6, 10.6), layout="constrained")
        parts: Any = figure.subfigures(2, 1, height_ratios=(2.6, 1))
        upper, lower = parts
        panels = upper.subplots(len(rows), len(SEGMENTS))
        for row, (name, images) in enumerate(rows.items()):
            for axes, segment, image, model in zip(panels[row], SEGMENTS, images, rows["simulated"], strict=True):
                spread = _CONTRAST * model.std()
                centre = 0.0 if name == "difference" else float(model.mean())
                axes.imshow(image, cmap="gray", vmin=centre - spread, vmax=centre + spread)
                axes.set(xticks=[], yticks=[])
                if row == 0:
                    axes.set_title(segment, fontsize=10)
            panels[row, 0].set_ylabel(name)
        draw_scale_bar(panels[0, 0], images.shape[-1], images.shape[-2], fit.task.sampling)
        potential, tilts, thicknesses = lower.subplots(1, 3, width_ratios=(1.1, 1.15, 1))
        _draw_potential(lower, potential, fit)
        _draw_tilts(lower, tilts, fit)
        _draw_thicknesses(thicknesses, fit)
        figure.suptitle(_title(fit), fontsize=10)
        save_figure(figure, [output])


def draw_patches(patches: Patches, output: Path) -> None:
    """
    Draw the maps of `QUANTITIES`.

    Parameters
    ----------
    patches : Patches
        Maps.
    output : path
        Figure to be made, .png or .svg.
    """
    with style.context(STYLE):
        figure = Figure(figsize=(10, 6), layout="constrained")
        for axes, (name, label) in zip(figure.subplots(2, 3).ravel(), QUANTITIES.items(), strict=True):
            rows, columns = patches.maps[name].shape
            left, top = (value / 10 for value in patches.corner)
            extent = (left, left + columns * patches.side / 10, top + rows * patches.side / 10, top)
            shown = axes.imshow(patches.maps[name], cmap="viridis", extent=extent, interpolation="nearest")
            axes.set(title=label, xlabel="x [nm]", ylabel="y [nm]")
            figure.colorbar(shown, ax=axes)
        save_figure(figure, [output])


def _middle(images: NDArray[np.floating]) -> NDArray[np.floating]:
    rows, columns = images.shape[-2:]
    top, left = max(0, rows - _MOST) // 2, max(0, columns - _MOST) // 2
    return images[..., top : top + _MOST, left : left + _MOST]


def _draw_potential(figure: SubFigure, axes: Axes, fit: Fit) -> None:
    image = _middle(potentials(fit)[0])
    shown = axes.imshow(image, cmap="viridis", interpolation="nearest")
    axes.set(xticks=[], yticks=[], title="projected potential")
    figure.colorbar(shown, ax=axes, label="V Å", shrink=0.85)


def _draw_tilts(figure: SubFigure, axes: Axes, fit: Fit) -> None:
    """Contrast that the coarse search left unexplained at each tilt."""
    found = fit.refined.parameters
    alpha, beta, left = (
        np.array(values)
        for values in zip(
            *[(one.parameters.alpha, one.parameters.beta, one.unexplained) for one in fit.searched], strict=True
        )
    )
    shown = axes.scatter(beta, alpha, c=left, cmap="magma", vmin=0, s=110, marker="h")
    axes.plot(found.beta, found.alpha, "+", color=BLUE, markersize=14, markeredgewidth=2, label="fit")
    axes.set(xlabel="beta [°]", ylabel="alpha [°]", title="search of the tilt", aspect="equal")
    # What was found lies between the searched tilts, or a little outside.
    axes.margins(0.15)
    axes.legend(fontsize=8, loc="upper right")
    figure.colorbar(shown, ax=axes, label="unexplained share", shrink=0.85)


def _draw_thicknesses(axes: Axes, fit: Fit) -> None:
    """Contrast that each thickness leaves unexplained, at the tilt that was found."""
    depth, left = zip(*[(one.parameters.depth / 10, one.unexplained) for one in fit.thicknesses], strict=True)
    axes.plot(depth, left, color=BLUE)
    axes.axvline(fit.refined.parameters.depth / 10, color="0.5", ls="--", lw=1)
    axes.set(xlabel="thickness [nm]", ylabel="unexplained share", ylim=(0, 1), title="other thicknesses")


def _title(fit: Fit) -> str:
    found = parameters_of(fit)
    values = [found[name]["value"] for name in ("alpha_deg", "beta_deg", "gamma_deg", "thickness_nm")]
    defocus = found["defocus_angstrom"]["value"] / 10
    return number_text(
        "α = {:z.3f}°     β = {:z.3f}°     γ = {:.2f}°     {:.1f} nm     defocus {:z.1f} nm     {:.2g} % unexplained",
        *(*values, defocus, 100 * fit.refined.unexplained),
    )
