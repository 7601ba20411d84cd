"""Segmented and annular detectors."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.base.quantities import ANGLE, COLLECTION_ANGLE
from iphasenet.base.quantities import SEGMENTS as SEGMENT_COUNT

FloatArray = NDArray[np.floating[Any]]

SEGMENTS = ("top-left", "top-right", "bottom-left", "bottom-right")
"""Detector segments in the order of every array, as seen in the image frame (x to the right, y down)."""

_QUADRANTS = (2, 3, 1, 0)
"""Quarter of the detector that each of the four `SEGMENTS` is, counted from +x towards +y."""


@dataclass(frozen=True)
class Detector:
    """
    Annulus divided into equal sectors.

    Attributes
    ----------
    inner_mrad, outer_mrad : float
        Collection angles [mrad].
    segments : int
        Sectors, 1 to 16. Four that are not rotated are ordered as `SEGMENTS`; others are counted from +x towards +y.
    rotation_deg : float
        Angle from +x, towards +y, at which the first sector begins [degrees].
    """

    inner_mrad: float
    outer_mrad: float
    segments: int = 4
    rotation_deg: float = 0.0

    def __post_init__(self) -> None:
        COLLECTION_ANGLE.check(self.inner_mrad, "optics: detector_inner_mrad")
        COLLECTION_ANGLE.check(self.outer_mrad, "optics: detector_outer_mrad")
        if not self.inner_mrad < self.outer_mrad:
            raise InputError(
                f"optics: detector_inner_mrad {self.inner_mrad}, detector_outer_mrad {self.outer_mrad}; "
                "allowed: inner < outer"
            )
        SEGMENT_COUNT.check(self.segments, "optics: detector segments")
        ANGLE.check(self.rotation_deg, "optics: detector_rotation_deg")

    @property
    def _quadrants(self) -> bool:
        return self.segments == 4 and self.rotation_deg == 0

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each segment."""
        angles = f"{self.inner_mrad:g}-{self.outer_mrad:g} mrad"
        if self._quadrants:
            return SEGMENTS
        if self.segments == 1:
            return (f"annular {angles}",)
        return tuple(f"sector {index + 1} of {self.segments}" for index in range(self.segments))

    @property
    def quarters(self) -> NDArray[np.int64]:
        """
        Which segments lie in each quarter of the detector: readers and writers of images use this.

        A (4, n) array of indices: top-left, top-right, bottom-left, bottom-right as the detector sees them, before it
        is turned in the image. InputError if it has no quarters.
        """
        if self.segments % 4:
            raise InputError(
                f"detector: found {self.segments} segments; allowed: 4, 8, 12 or 16, which divide into quarters"
            )
        sectors = np.arange(self.segments).reshape(4, -1)
        return sectors if self._quadrants else sectors[list(_QUADRANTS)]

    def weights(self, alpha_x: FloatArray, alpha_y: FloatArray) -> FloatArray:
        """
        Share of each pixel of a diffraction pattern that lies in each segment.

        Parameters
        ----------
        alpha_x, alpha_y : (n, subpixel, subpixel) array
            Scattering angles of the subpixels of each pixel, in the lab's frame [mrad].

        Returns
        -------
        (segments, n) array
            Weights between 0 and 1.
        """
        radius = np.hypot(alpha_x, alpha_y)
        annulus = (radius >= self.inner_mrad) & (radius < self.outer_mrad)
        if self.segments == 1:
            return annulus.mean(axis=(1, 2))[None]
        turn = np.degrees(np.arctan2(alpha_y, alpha_x)) - self.rotation_deg
        sector = turn / (360 / self.segments)
        # A point on a border counts half for each side: it is replaced by two points a hair to either side of it.
        hair = 1e-9
        first, second = (np.floor(sector + side).astype(int) % self.segments for side in (-hair, hair))
        order = _QUADRANTS if self._quadrants else range(self.segments)
        return np.stack([(annulus * (0.5 * (first == s) + 0.5 * (second == s))).mean(axis=(1, 2)) for s in order])
