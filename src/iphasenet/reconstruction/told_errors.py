"""Effect of errors of tilt and thickness on a potential: the network runs at several values of both."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.quantities import THICKNESS_ERROR, TILT_ERROR, USUAL_THICKNESS_ERROR, USUAL_TILT_ERROR

FloatImage = NDArray[np.float32]

_STEP = math.sqrt(3)
_WEIGHT = 1 / 6
"""Outer nodes of the three-point Gauss-Hermite rule: distance in standard deviations, and weight of each."""


@dataclass(frozen=True)
class ToldErrors:
    """
    Errors of the tilt and the thickness that are given to the network.

    Attributes
    ----------
    tilt_deg : float
        Standard deviation of alpha, and of beta [degrees].
    thickness_percent : float
        Standard deviation of the thickness [%].
    fitted : str
        Name of the structure whose fit has found tilt and thickness; empty if a user has told them.
    """

    tilt_deg: float = USUAL_TILT_ERROR
    thickness_percent: float = USUAL_THICKNESS_ERROR
    fitted: str = ""

    def __post_init__(self) -> None:
        TILT_ERROR.check(self.tilt_deg, "--tilt-error")
        THICKNESS_ERROR.check(self.thickness_percent, "--thickness-error")

    def told(self, metadata: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """
        Yield other values of the metadata, which may be the true ones.

        Parameters
        ----------
        metadata : (4,) array
            Thickness [nm], alpha, beta, gamma [degrees] as given.

        Yields
        ------
        (4,) array
            Metadata with one value changed by `_STEP` standard deviations up or down; none for an error of zero.
        """
        for place, error in (
            (0, metadata[0] * self.thickness_percent / 100), (1, self.tilt_deg), (2, self.tilt_deg)
        ):  # fmt: skip
            for side in (-_STEP, _STEP) if error else ():
                other = metadata.copy()
                other[place] += side * error
                yield other

    def describe(self, metadata: NDArray[np.float32]) -> str:
        """Say in one line for which tilt and thickness, and for which errors of them, a potential holds."""
        thickness, alpha, beta, _ = map(float, metadata)
        origin = f"found by a fit of {self.fitted}" if self.fitted else "whether they are true was not tested"
        return (
            f"holds for a tilt of {alpha:.3g} and {beta:.3g}° (± {self.tilt_deg:g}°) and {thickness:.4g} nm "
            f"(± {self.thickness_percent:g} %); {origin}"
        )


DEFAULT = ToldErrors()
"""Errors that are assumed if a user gives none."""


def widened(
    spread: FloatImage,
    metadata: NDArray[np.float32],
    errors: ToldErrors,
    predict: Callable[[NDArray[np.float32]], FloatImage],
    told: FloatImage | None = None,
) -> FloatImage:
    """
    Increase an uncertainty by that due to tilt and thickness.

    Parameters
    ----------
    spread : (y, x) array
        Scale of a Laplace distribution about the potential, if the metadata are right [V Å].
    metadata : (4,) array
        Thickness and angles as given.
    errors : ToldErrors
        Standard deviations of tilt and thickness.
    predict : callable
        Function that predicts the projected potential (y, x) of the same images from metadata [V Å].
    told : (y, x) array, optional
        Result of `predict` for `metadata`, if it is known already.

    Returns
    -------
    (y, x) float32 array
        Scale of the Laplace distribution whose variance is the sum of twice the square of `spread` and of the variance
        of the potential over the values of `ToldErrors.told`, to third order in their errors.
    """
    others = list(errors.told(metadata))
    if not others:
        return spread
    told = predict(metadata) if told is None else told
    variance = np.zeros_like(spread)
    for other in others:
        variance += np.float32(_WEIGHT) * (predict(other) - told) ** 2
    return np.sqrt(spread**2 + variance / 2)
