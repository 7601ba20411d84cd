"""Pictures of a field test: what was recorded, what two ways made of it, and the truth, one row a crystal."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from iphasenet.base.drawing import STYLE, draw_scale_bar, save_figure
from iphasenet.base.files import atomic_file
from iphasenet.base.reading import read_arrays
from iphasenet.base.wording import number_text
from iphasenet.field_test.simulation import FieldTruth
from iphasenet.field_test.ways import Result
from iphasenet.microscope_files.resampling import resampled
from iphasenet.microscope_files.segmented_image import SegmentedImage

FloatImage = NDArray[np.floating[Any]]

_FIELD = 20.0
"""Side of the field that is shown [Å]."""

_TYPICAL_DOSE = (1e5, 1e6)
"""Doses of the images of which one is shown [e/Å²]."""


@dataclass(frozen=True)
class Picture:
    """
    One image of a field test.

    Attributes
    ----------
    segments : (y, x) float16 array
        Sum of the four recorded segments, fraction of the beam current.
    true_columns, columns : (y, x) float16 array
        Columns at the entrance surface [V]: the truth, and what was found where nothing was told; empty if refused.
    true_potential, potential : (y, x) float32 array
        Projected potential [V Å]: the truth, and that of the fitted crystal; empty if refused or not tried.
    pixels : (float, float)
        Pixels of the recorded image and of `columns` [Å]; `true_columns` has that of `columns`.
    """

    segments: FloatImage
    true_columns: FloatImage
    columns: FloatImage
    true_potential: FloatImage
    potential: FloatImage
    pixels: tuple[float, float]


_ARRAYS = ("segments", "true_columns", "columns", "true_potential", "potential")


def picture(image: SegmentedImage, truth: FieldTruth, results: Iterable[Result]) -> Picture:
    """Keep what is shown of an image."""
    assert image.sampling is not None
    of_way = {result.way: result for result in results}
    nothing, fitted, empty = of_way["nothing told"], of_way["fit"], np.zeros((0, 0))
    pixel = image.sampling if nothing.columns is None else nothing.sampling
    return Picture(
        image.fractions.sum(axis=0).astype(np.float16),
        resampled(truth.columns, image.sampling, pixel).astype(np.float16),
        (empty if nothing.columns is None else nothing.columns).astype(np.float16),
        truth.potential,
        (empty if fitted.potential is None else fitted.potential).astype(np.float32),
        (image.sampling, pixel),
    )


def save_pictures(path: Path, pictures: Sequence[Picture]) -> None:
    """Write the pictures of a specimen to an .npz file, which appears whole or not at all."""
    arrays = {f"{name}_{n}": getattr(one, name) for n, one in enumerate(pictures) for name in _ARRAYS}
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, pixels=np.array([one.pixels for one in pictures]), **arrays)


def load_picture(path: Path, number: int) -> Picture:
    """Read one picture that `save_pictures` wrote; InputError names a damaged file."""
    arrays = read_arrays(path, "pixels", *(f"{name}_{number}" for name in _ARRAYS))
    first, second = arrays["pixels"][number].tolist()
    return Picture(**{name: arrays[f"{name}_{number}"] for name in _ARRAYS}, pixels=(first, second))


def shown_images(scores: pandas.DataFrame) -> list[str]:
    """
    Choose an image of each material: neither the best nor the worst.

    Parameters
    ----------
    scores : DataFrame
        Rows of `iphasenet.field_test.scores.score_rows`.

    Returns
    -------
    list of str
        Names: of the perfect crystals and wedges at 1e5 or 1e6 e/Å², those that were fitted if there are any, the one
        with the median correlation of the columns where nothing is told.
    """
    return [_median(_typical(group, scores)) for _, group in _untold(scores).groupby("material", sort=False)]


def gallery_images(scores: pandas.DataFrame) -> list[str]:
    """Choose the image with the median correlation of each kind, of the known crystals and of the others."""
    groups = _untold(scores).groupby([scores["group"] == "known", "kind"], sort=False)
    return [_median(group) for _, group in groups]


def failures(scores: pandas.DataFrame) -> list[str]:
    """Choose the image of each kind with the lowest correlation of the columns where nothing is told."""
    nothing = _untold(scores)
    worst = nothing.loc[nothing.groupby("kind", sort=False)["columns_pearson"].idxmin()]
    return worst.sort_values("columns_pearson")["image"].to_list()


def _untold(scores: pandas.DataFrame) -> pandas.DataFrame:
    """Rows of the network that is told nothing, where it gives a result."""
    return scores[(scores["way"] == "nothing told") & (scores["refused"] == "")]


def _typical(rows: pandas.DataFrame, scores: pandas.DataFrame) -> pandas.DataFrame:
    fitted = scores[(scores["way"] == "fit") & (scores["refused"] == "")]["image"]
    usual = rows[rows["kind"].isin(["crystal", "wedge"]) & rows["dose"].isin(_TYPICAL_DOSE)]
    return next(part for part in (usual[usual["image"].isin(fitted)], usual, rows) if len(part))


def _median(rows: pandas.DataFrame) -> str:
    ordered = rows.sort_values("columns_pearson")["image"]
    return str(ordered.iloc[(len(ordered) - 1) // 2])


def draw_pictures(
    pictures: Mapping[str, Picture], titles: Mapping[str, str], outputs: Sequence[Path], fitted: bool = True
) -> None:
    """
    Draw one row a crystal: recorded; columns where nothing is told, truth, difference; potential of the fit, likewise.

    Parameters
    ----------
    pictures : mapping of Picture
        Pictures by name.
    titles : mapping of str
        What is said of each.
    outputs : sequence of Path
        Figures to write, PNG or SVG by their endings.
    fitted : bool
        Whether the fit is shown.
    """
    heads = ["recorded, sum", "nothing told", "truth", "difference"]
    heads += ["fitted crystal", "truth", "difference"] if fitted else []
    with style.context(STYLE):
        figure = Figure(figsize=(1.8 * len(heads), 2.06 * len(pictures) + 0.3), layout="constrained")
        panels = figure.subplots(len(pictures), len(heads), squeeze=False)
        for row, (name, one) in zip(panels, pictures.items(), strict=True):
            _draw_row(row, one)
            row[0].set_ylabel(titles[name], fontsize=8)
        for axes, head in zip(panels[0], heads, strict=True):
            axes.set_title(head, fontsize=9)
        save_figure(figure, outputs, dpi=110)


def _draw_row(row: NDArray[Any], one: Picture) -> None:
    recorded_pixel, pixel = one.pixels
    _show(row[0], one.segments, recorded_pixel, "gray")
    draw_scale_bar(row[0], *_shape(one.segments, recorded_pixel)[::-1], recorded_pixel, thickness=0.025)
    parts = [
        (row[1:4], one.columns, one.true_columns, pixel, "V"),
        (row[4:7], one.potential, one.true_potential, recorded_pixel, "V Å"),
    ]
    for axes, found, true, side, unit in parts[: len(row) // 3]:
        middle = _middle(true, side)
        low, high = float(middle.min()), float(middle.max())
        _show(axes[1], true, side, "viridis", (low, high))
        axes[1].set_xlabel(number_text("{:,.3g} to {:,.3g}", low, high) + f" {unit}", fontsize=7)
        if not found.size:
            for empty in (axes[0], axes[2]):
                empty.set_axis_off()
                empty.text(0.5, 0.5, "no result", ha="center", va="center", fontsize=8)
            continue
        _show(axes[0], found, side, "viridis", (low, high))
        off = _middle(found, side) - middle
        # Half of the truth's range to either side.
        limit = (high - low) / 2
        axes[2].imshow(off, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        axes[2].set(xticks=[], yticks=[])
        axes[2].set_xlabel(number_text("±{:,.3g}", limit) + f" {unit}", fontsize=7)
        r = np.corrcoef(_middle(found, side).ravel(), middle.ravel())[0, 1]
        axes[0].set_xlabel(number_text("r = {:z.3f}", float(r)), fontsize=7)


def _show(axes: Axes, image: FloatImage, pixel: float, colours: str, limits: tuple[float, float] | None = None) -> None:
    low, high = limits or (None, None)
    axes.imshow(_middle(image, pixel), cmap=colours, vmin=low, vmax=high, interpolation="nearest")
    axes.set(xticks=[], yticks=[])


def _shape(image: FloatImage, pixel: float) -> tuple[int, int]:
    rows, columns = (min(size, round(_FIELD / pixel)) for size in image.shape)
    return rows, columns


def _middle(image: FloatImage, pixel: float) -> NDArray[np.float64]:
    """Middle of an image in double precision."""
    rows, columns = _shape(image, pixel)
    top, left = (image.shape[0] - rows) // 2, (image.shape[1] - columns) // 2
    return np.asarray(image[top : top + rows, left : left + columns], np.float64)
