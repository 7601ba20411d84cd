"""Maps of tilt, thickness and strain: patches of an image, each fitted from the whole image's result."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.fitting.crystal_model import Parameters
from iphasenet.fitting.fit import Fit
from iphasenet.fitting.harmonics import Pixels, measure_harmonics
from iphasenet.fitting.image_lattice import moved_lattice, smallest_field
from iphasenet.fitting.orientation import CAREFUL, Orientation
from iphasenet.fitting.refinement import Refined
from iphasenet.fitting.task import Task

FREE = ("alpha", "beta", "depth", "offset_x", "offset_y", "scale")
"""Parameters that may differ from patch to patch; lenses, source and displacements are those of the whole image."""

QUANTITIES = {
    "alpha_deg": "alpha [°]",
    "beta_deg": "beta [°]",
    "thickness_nm": "thickness [nm]",
    "strain_xx_percent": "strain xx [%]",
    "strain_yy_percent": "strain yy [%]",
    "strain_xy_percent": "strain xy [%]",
}
"""What is drawn of a map, with its label."""


@dataclass(frozen=True)
class Patches:
    """
    Results over an image.

    Attributes
    ----------
    side : float
        Side of a patch [Å].
    corner : (float, float)
        Upper left corner of the first patch from that of the image, x and y [Å].
    maps : dict
        (rows, columns) arrays: those of `QUANTITIES`, `unexplained`, and standard errors `alpha_error_deg`,
        `beta_error_deg`, `thickness_error_nm`, `strain_error_percent` (of each component, by noise alone). Strain is
        that of the image's lattice over the crystal's, in the image's frame. NaN where a patch holds no lattice.
    """

    side: float
    corner: tuple[float, float]
    maps: dict[str, NDArray[np.float64]]

    @property
    def empty(self) -> int:
        """Number of patches that hold no lattice."""
        return int(np.isnan(self.maps["alpha_deg"]).sum())

    def described(self) -> dict[str, Any]:
        """Describe the maps in JSON's types; None for NaN."""
        plain = {name: [[_number(value) for value in row] for row in one] for name, one in self.maps.items()}
        return {"patch_angstrom": self.side, "corner_angstrom": list(self.corner), **plain}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def fit_patches(found: Fit, pixels: int, progress: Callable[[int, int], object] | None = None) -> Patches:
    """
    Fit the patches of an image.

    Parameters
    ----------
    found : Fit
        Fit of the whole image.
    pixels : int
        Side of a patch [pixels]; what is left at the right and the lower edge is shared by both sides.
    progress : callable, optional
        Called with the numbers of patches done and in all.

    Returns
    -------
    Patches
        Maps.

    Raises
    ------
    InputError
        If a patch is larger than the image, or too small for the crystal's lattice.
    """
    check_patches(found.task, pixels)
    rows, columns = (size // pixels for size in found.task.segments.shape[1:])
    values = [dict.fromkeys(_NAMES, np.nan)] * (rows * columns)
    for number in range(rows * columns):
        values[number] = _patch(found, pixels, divmod(number, columns))
        if progress is not None:
            progress(number + 1, rows * columns)
    maps = {name: np.array([one[name] for one in values]).reshape(rows, columns) for name in _NAMES}
    top, left = _corner(found.task, pixels)
    sampling = found.task.sampling
    return Patches(pixels * sampling, (left * sampling, top * sampling), maps)


def check_patches(task: Task, pixels: int) -> None:
    """Refuse patches that are larger than the image, or too small for the crystal's lattice."""
    height, width = task.segments.shape[1:]
    least = math.ceil(smallest_field(task.lengths, task.orders()) / task.sampling)
    if not least <= pixels <= min(height, width):
        raise InputError(
            f"--map: found patches of {pixels} pixels; allowed: {least} pixels, which hold this crystal's lattice, to "
            f"{min(height, width)}"
        )


def _corner(task: Task, pixels: int) -> tuple[int, int]:
    """First row and column of the first patch [pixels]."""
    top, left = (size % pixels // 2 for size in task.segments.shape[1:])
    return top, left


_NAMES = (
    *QUANTITIES,
    "unexplained",
    "alpha_error_deg",
    "beta_error_deg",
    "thickness_error_nm",
    "strain_error_percent",
)


def _patch(found: Fit, pixels: int, place: tuple[int, int]) -> dict[str, float]:
    """Fit one patch; NaN if the lattice is not in it."""
    task = found.task
    height, width = task.segments.shape[1:]
    top, left = (first + number * pixels for first, number in zip(_corner(task, pixels), place, strict=True))
    cut = task.segments[:, top : top + pixels, left : left + pixels]
    centre = task.sampling * np.array([left + (pixels - width) / 2, top + (pixels - height) / 2])
    part = Pixels(cut, task.sampling, task.band)
    lattice = moved_lattice(part, found.lattice, found.model.orders)
    harmonics = measure_harmonics(part, found.model.orders @ lattice.reciprocal)
    orientation = Orientation(replace(task, segments=cut), lattice, harmonics, found.model)
    if orientation.fault:
        return dict.fromkeys(_NAMES, np.nan)
    refined = orientation.refine(_moved(found, centre), CAREFUL, only=FREE)
    strain = 100 * lattice.strain
    return _values(refined) | {
        "strain_xx_percent": float(strain[0, 0]),
        "strain_yy_percent": float(strain[1, 1]),
        "strain_xy_percent": float(strain[0, 1]),
        # A length is that of waves along one axis alone, which hold half of the information.
        "strain_error_percent": 100 * math.sqrt(2) * harmonics.turn_error(pixels * task.sampling),
    }


def _moved(found: Fit, centre: NDArray[np.float64]) -> Parameters:
    """Parameters of the whole image, seen from another point of it [Å]."""
    parameters = found.refined.parameters
    x, y = np.array(found.lattice.lengths) * (found.lattice.reciprocal @ centre)
    return replace(parameters, offset_x=parameters.offset_x + float(x), offset_y=parameters.offset_y + float(y))


def _values(refined: Refined) -> dict[str, float]:
    parameters, errors = refined.parameters, refined.errors
    return {
        "alpha_deg": parameters.alpha,
        "beta_deg": parameters.beta,
        "thickness_nm": parameters.depth / 10,
        "unexplained": refined.unexplained,
        "alpha_error_deg": errors.get("alpha", np.nan),
        "beta_error_deg": errors.get("beta", np.nan),
        "thickness_error_nm": errors.get("depth", np.nan) / 10,
    }
