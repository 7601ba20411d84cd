"""Reconstructions at several assumed thicknesses: which of these explain the images, and which cannot be told apart."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
from matplotlib import style
from matplotlib.figure import Figure

from iphasenet.base.drawing import BLUE, CURVES, ORANGE, Look, save_figure
from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_file
from iphasenet.microscope.optics import Microscope
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.reconstruction.agreement import MEANINGLESS, explain
from iphasenet.reconstruction.preparation import prepare
from iphasenet.reconstruction.reconstruct import Trained

ALIKE = 0.03
"""Agreements that differ by less are alike, because a tilt error of 0.05° has this effect (docs/reconstruction.md)."""

_MOST = 200
"""Largest number of thicknesses."""


def parse_thicknesses(text: str) -> list[float]:
    """
    Read a thickness or a range of them.

    Parameters
    ----------
    text : str
        A number, or first:last:step, including the last one if a step meets it [nm].

    Returns
    -------
    list of float
        Thicknesses [nm]; InputError if the text is neither.
    """
    try:
        numbers = [float(part) for part in text.split(":")]
    except ValueError as error:
        raise InputError(f"--thickness: found {text!r}; allowed: a number or FIRST:LAST:STEP [nm]") from error
    if not all(0 < number < math.inf for number in numbers) or len(numbers) not in (1, 3):
        raise InputError(f"--thickness: found {text!r}; allowed: a number or FIRST:LAST:STEP above 0 [nm]")
    if len(numbers) == 1:
        return numbers
    first, last, step = numbers
    count = math.floor((last - first) / step + 1e-6) + 1
    if not 1 <= count <= _MOST:
        raise InputError(f"--thickness: found {text!r}, {count} thicknesses; allowed: 1 to {_MOST}")
    return [first + index * step for index in range(count)]


def phase_object_limit(microscope: Microscope) -> float:
    """Largest thickness of a phase object [nm]: the probe's depth of focus, wavelength / semiangle²."""
    return microscope.wavelength / (1e-3 * microscope.semiangle_mrad) ** 2 / 10


def scan_thickness(
    image: SegmentedImage,
    trained: Trained,
    thicknesses: Sequence[float],
    progress: Callable[[int, int], object] | None = None,
) -> pandas.DataFrame:
    """
    Reconstruct the middle of an image at several thicknesses, and simulate images from each result.

    Parameters
    ----------
    image : SegmentedImage
        Image with all calibrations but the thickness.
    trained : Trained
        Network.
    thicknesses : sequence of float
        Assumed thicknesses [nm].
    progress : callable, optional
        Called with the numbers of thicknesses done and in all.

    Returns
    -------
    DataFrame
        One row a thickness: `thickness_nm`; `agreement` of the recorded images with those that Bloch waves give for the
        reconstructed columns, `phase_object` with those of a phase object (NaN without a lattice); `agreement_means`:
        whether the agreement is at least `agreement.MEANINGLESS`; `phase_object_means`: whether the crystal is thinner
        than `phase_object_limit`; `trained`: whether the network was trained on such a thickness; `mean_potential` [V];
        `relative_spread`; `alike`: whether the agreement cannot be told from the best.
    """
    prepared = prepare(replace(image, thickness_nm=thicknesses[0]), trained.potential_network.sampling)
    low, high = trained.described.get("ranges", {}).get("thickness_nm", (0.0, math.inf))
    limit = phase_object_limit(prepared.microscope)
    rows = []
    for number, thickness in enumerate(thicknesses):
        metadata = np.array([thickness, *prepared.metadata[1:]], np.float32)
        found = explain(trained.potential_network, prepared.microscope, prepared.segments, metadata, phase_object=True)
        rows.append(
            {
                "thickness_nm": thickness,
                "agreement": found.agreement,
                "phase_object": found.phase_object,
                "agreement_means": found.agreement >= MEANINGLESS,
                "phase_object_means": thickness <= limit,
                "trained": low * (1 - 2e-3) <= thickness <= high * (1 + 2e-3),
                "mean_potential": found.mean_potential,
                "relative_spread": found.relative_spread,
            }
        )
        if progress is not None:
            progress(number + 1, len(thicknesses))
    table = pandas.DataFrame(rows)
    return table.assign(alike=alike(table))


def alike(table: pandas.DataFrame) -> pandas.Series:
    """Whether the agreement of each thickness has a meaning and cannot be told from the best one (within `ALIKE`)."""
    agreement = table["agreement"].where(table["agreement_means"])
    return agreement >= agreement.max() - ALIKE


def ranges_alike(table: pandas.DataFrame) -> list[tuple[float, float]]:
    """Find ranges (lowest, highest) of thickness [nm] in which all tried thicknesses are alike."""
    rising = table.assign(alike=alike(table)).sort_values("thickness_nm")
    number = (rising["alike"] != rising["alike"].shift()).cumsum()
    runs = rising[rising["alike"]].groupby(number)["thickness_nm"]
    return [(float(low), float(high)) for low, high in zip(runs.min(), runs.max(), strict=True)]


def _describe_ranges(ranges: Sequence[tuple[float, float]]) -> str:
    return " and ".join(f"{low:g}" if low == high else f"{low:g} to {high:g}" for low, high in ranges) + " nm"


def describe_scan(table: pandas.DataFrame) -> str:
    """Say in one line which thicknesses explain the images, and which cannot be told apart."""
    found = table[alike(table)]
    if found.empty:
        return "no thickness explains the images; the table means nothing"
    ranges = ranges_alike(table)
    low, high = ranges[0][0], ranges[-1][1]
    if len(found) == 1:
        said = f"{low:g} nm explains the images best of {len(table)} thicknesses"
    else:
        said = f"{_describe_ranges(ranges)} explain the images alike: they cannot be told apart"
    ends = [f"{end:g}" for end in (low, high) if end in (table["thickness_nm"].min(), table["thickness_nm"].max())]
    beyond = f"; the table ends at {' and '.join(dict.fromkeys(ends))} nm, and others were not tried" if ends else ""
    return f"{said} (agreement {found['agreement'].min():.2f} to {found['agreement'].max():.2f}){beyond}"


def write_scan(table: pandas.DataFrame, path: Path) -> None:
    """Write a scan as CSV; it appears whole or not at all."""
    if path.suffix.lower() != ".csv":
        raise InputError(f"{path}: found the ending '{path.suffix}'; allowed: .csv for a range of thicknesses")
    with atomic_file(path) as temporary:
        table.to_csv(temporary, index=False)


def draw_scan(table: pandas.DataFrame, output: Path) -> None:
    """
    Draw the agreement over the thickness, and mark where it has no meaning.

    Parameters
    ----------
    table : DataFrame
        Table from `scan_thickness`.
    output : path
        Figure to be made, .png or .svg.
    """
    thickness = table["thickness_nm"]
    with style.context(CURVES):
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(thickness, table["agreement"], **Look("columns, Bloch waves", BLUE, "o").curve)
        thin, thick = table["phase_object_means"], "phase object, too thick to mean anything"
        axes.plot(thickness, table["phase_object"].where(~thin), **Look(thick, "0.6", "s", ":").curve)
        if thin.any():
            axes.plot(thickness, table["phase_object"].where(thin), **Look("phase object", ORANGE, "s", "--").curve)
        lowest = float(np.nanmin([*table["agreement"], *table["phase_object"], 0.0]))
        axes.axhspan(lowest, MEANINGLESS, color="0.9", zorder=0, label="means nothing")
        ranges = ranges_alike(table)
        for number, (low, high) in enumerate(ranges):
            label = None if number else f"alike: {_describe_ranges(ranges)}"
            axes.axvspan(low, high, color=BLUE, alpha=0.15, lw=1, zorder=0, label=label)
        axes.set(xlabel="assumed thickness [nm]", ylabel="agreement with the recorded images", ylim=(lowest, 1))
        axes.legend(fontsize=8.5)
        save_figure(figure, [output])
