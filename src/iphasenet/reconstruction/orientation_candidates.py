"""Possible arrangements of a segmented detector relative to the scan."""

import math
from dataclasses import dataclass, replace

import pandas

from iphasenet.microscope.detector import SEGMENTS
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.reconstruction.agreement import MEANINGLESS
from iphasenet.reconstruction.preparation import Order, arrangements


@dataclass(frozen=True)
class Candidate:
    """
    One arrangement of the detector relative to the scan.

    Attributes
    ----------
    order : tuple of 4 int
        Indices of the file's images that lie top-left, top-right, bottom-left, bottom-right.
    scan_rotation_deg : float
        Rotation of the detector, in this order, in the image, from x to y (down) [degrees].
    agreement : float
        Likeness of the images to those simulated from their reconstruction; NaN if these do not exist.
    curl : float
        Curl of the difference signals over their divergence (root mean squares): near 0 for a thin crystal, about 1
        if they are no gradient.
    brightness : float
        Skewness of the iDPC image: positive if columns are bright.
    """

    order: Order
    scan_rotation_deg: float
    agreement: float
    curl: float
    brightness: float

    def applied(self, image: SegmentedImage) -> SegmentedImage:
        """Return an image with this order and rotation."""
        return replace(image, order=self.order, scan_rotation_deg=self.scan_rotation_deg)

    @property
    def options(self) -> str:
        """Options of the command that describe this arrangement."""
        order = " ".join(str(index + 1) for index in self.order)
        turn = f" --scan-rotation {self.scan_rotation_deg:.1f}" if self.scan_rotation_deg else ""
        return f"--segment-order {order}{turn}"


@dataclass(frozen=True)
class OrientationCheck:
    """
    Result of the check.

    Attributes
    ----------
    given : Candidate
        Arrangement that the file or the user gave.
    best : Candidate
        Arrangement that is proposed; `given` itself if nothing is better.
    candidates : tuple of Candidate
        All arrangements that were tried, best first.
    """

    given: Candidate
    best: Candidate
    candidates: tuple[Candidate, ...]

    @property
    def is_kept(self) -> bool:
        """Whether no better order or turn than the given one was found; only these were tried."""
        return self.best is self.given

    @property
    def warning(self) -> str | None:
        """One line if something better was found, or nothing explains the images; else None."""
        found, other = self.given, self.best
        if other.agreement < MEANINGLESS:
            return (
                f"orientation: no order of segments and turn of scan explains the images (agreement "
                f"{other.agreement:.2f}, below {MEANINGLESS:g}); thickness, tilt or a calibration may be wrong"
            )
        if self.is_kept:
            return None
        measure = f"agreement {found.agreement:.2f}, of the best {other.agreement:.2f}"
        if math.isnan(other.agreement):
            measure = f"curl {found.curl:.2f}, of the best {other.curl:.2f}"
        return (
            f"orientation: segment order or scan rotation seem to be others than given ({measure}); try {other.options}"
        )

    def table(self) -> pandas.DataFrame:
        """One row per candidate, best first: its options, `agreement`, `curl`, `brightness`, `given`, `proposed`."""
        rows = [
            {
                **{name: index + 1 for name, index in zip(SEGMENTS, one.order, strict=True)},
                "scan_rotation": one.scan_rotation_deg,
                "agreement": one.agreement,
                "curl": one.curl,
                "brightness": one.brightness,
                "given": one is self.given,
                "proposed": one is self.best,
            }
            for one in self.candidates
        ]
        return pandas.DataFrame(rows)


def orientation_of(one: Candidate, reference: Order) -> tuple[bool, float]:
    """Whether a candidate mirrors the reference order, and its rotation relative to it, 0 to 360 degrees."""
    for number, order in enumerate(arrangements(reference)):
        if order == one.order:
            return number >= 4, (90 * (number % 4) + one.scan_rotation_deg) % 360
    raise ValueError(f"{one.order} does not leave the neighbours of {reference} neighbours")
