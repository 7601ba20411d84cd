"""Images of the four segments as in a file, with the calibrations that the file holds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.base import quantities
from iphasenet.base.errors import InputError
from iphasenet.microscope.detector import SEGMENTS

_SMALLEST_BEAM = 1e-20
"""Smallest difference between the values of a pixel with and without the beam."""

QUANTITIES = {
    "sampling": quantities.IMAGE_SAMPLING,
    "energy_kev": quantities.ENERGY,
    "semiangle_mrad": quantities.SEMIANGLE,
    "detector_inner_mrad": quantities.COLLECTION_ANGLE,
    "detector_outer_mrad": quantities.COLLECTION_ANGLE,
    "dose": quantities.DOSE,
    "thickness_nm": quantities.THICKNESS,
    "rotation_deg": quantities.ANGLE,
    "scan_rotation_deg": quantities.ANGLE,
    "dark_intensity": quantities.INTENSITY,
    "beam_intensity": quantities.INTENSITY,
}
"""Fields of a `SegmentedImage` that are single numbers, with unit and range."""


@dataclass(frozen=True)
class SegmentedImage:
    """
    Intensities of four detector segments at every pixel of a scan.

    Attributes
    ----------
    segments : (4, y, x) float32 array
        Intensities in the file's order, in any unit.
    source : str
        Name of the file, for messages.
    names : tuple of 4 str
        Names of the segments in the file.
    order : tuple of 4 int, optional
        Indices of the `segments` that lie top-left, top-right, bottom-left and bottom-right in the image, after the
        rotation by `scan_rotation_deg`; None if the file does not say.
    sampling : float, optional
        Pixel size [Å].
    energy_kev : float, optional
        Energy of the electrons [keV].
    semiangle_mrad : float, optional
        Convergence semiangle [mrad].
    detector_inner_mrad, detector_outer_mrad : float, optional
        Collection angles [mrad].
    dose : float, optional
        Electrons of the scan per unit of area [e/Å²].
    beam_intensity : float, optional
        Value of a pixel if the whole beam fell on that segment.
    dark_intensity : float
        Value of a pixel without any electron.
    scan_rotation_deg : float, optional
        Rotation of the detector in the image, from x to y (down) [degrees]: a direction at the angle a on the detector
        lies at a + scan_rotation_deg in the image.
    thickness_nm : float, optional
        Thickness of the crystal [nm].
    tilt_deg : (float, float), optional
        alpha, beta: the crystal, rotated by gamma, is tilted by alpha about the image's x, then by beta about its y
        [degrees].
    rotation_deg : float, optional
        gamma: rotation of the crystal about the beam, from x to y (down) [degrees].
    origin : (float, float)
        Centre of the first pixel in the file's axes: x, y [Å].

    Raises
    ------
    InputError
        If there are not four images of one shape, an image holds NaN or no contrast, or a number is out of range.
    """

    segments: NDArray[np.float32]
    source: str
    names: tuple[str, ...] = ("1", "2", "3", "4")
    order: tuple[int, int, int, int] | None = None
    sampling: float | None = None
    energy_kev: float | None = None
    semiangle_mrad: float | None = None
    detector_inner_mrad: float | None = None
    detector_outer_mrad: float | None = None
    dose: float | None = None
    beam_intensity: float | None = None
    dark_intensity: float = 0.0
    scan_rotation_deg: float | None = None
    thickness_nm: float | None = None
    tilt_deg: tuple[float, float] | None = None
    rotation_deg: float | None = None
    origin: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "segments", np.asarray(self.segments, np.float32))
        check_images(self.segments, self.names, self.source)
        check_fields(vars(self), self.source)

    @property
    def arranged(self) -> NDArray[np.float32]:
        """
        Intensities of the segments top-left, top-right, bottom-left, bottom-right: a (4, y, x) array.

        InputError if the order is unknown.
        """
        if self.order is None:
            raise InputError(
                f"{self.source}: the order of the segments {', '.join(self.names)} is missing: say which of them are "
                f"{', '.join(SEGMENTS)}"
            )
        return self.segments[list(self.order)]

    @property
    def fractions(self) -> NDArray[np.float32]:
        """
        Fractions of the beam current, ordered as `arranged`: a (4, y, x) array.

        InputError if the intensity of the whole beam or the order is unknown.
        """
        if self.beam_intensity is None:
            raise InputError(
                f"{self.source}: beam_intensity is missing: "
                "give the value of a pixel if the whole beam fell on one segment"
            )
        span = self.beam_intensity - self.dark_intensity
        return ((self.arranged - np.float32(self.dark_intensity)) / np.float32(span)).astype(np.float32)


def check_fields(known: Mapping[str, Any], source: str) -> None:
    """
    Refuse fields of a `SegmentedImage` that are out of range.

    Parameters
    ----------
    known : mapping
        Fields by their names; a missing field or None is unknown.
    source : str
        Name of the file, for messages.
    """
    for name, quantity in QUANTITIES.items():
        if known.get(name) is not None:
            quantity.check(known[name], f"{source}: {name}")
    inner, outer = known.get("detector_inner_mrad"), known.get("detector_outer_mrad")
    if inner is not None and outer is not None and inner >= outer:
        raise InputError(f"{source}: detector: found {inner:g} to {outer:g} mrad; allowed: an inner angle below the "
                         "outer one")  # fmt: skip
    order, tilt = known.get("order"), known.get("tilt_deg")
    if order is not None and sorted(order) != [0, 1, 2, 3]:
        raise InputError(f"{source}: order: found {order}; allowed: 0, 1, 2 and 3, each once")
    beam, dark = known.get("beam_intensity"), known.get("dark_intensity") or 0.0
    # In single precision, like the images.
    if beam is not None and np.float32(beam - dark) < _SMALLEST_BEAM:
        raise InputError(
            f"{source}: beam_intensity: found {beam:g}; allowed: above the value without electrons, {dark:g}"
        )
    if tilt is not None and len(tilt) != 2:
        raise InputError(f"{source}: tilt_deg: found {tilt}; allowed: alpha and beta [degrees]")
    for angle in () if tilt is None else tilt:
        quantities.ANGLE.check(angle, f"{source}: tilt_deg")
    origin = known.get("origin")
    if origin is not None and (len(origin) != 2 or not all(map(math.isfinite, origin))):
        raise InputError(f"{source}: origin: found {origin}; allowed: x and y of the first pixel [Å]")


def check_images(images: NDArray[np.floating], names: Sequence[str], source: str) -> None:
    """Refuse anything but four images of one shape, each with finite numbers and some contrast."""
    if images.ndim != 3 or len(images) != 4 or min(images.shape) < 2:
        raise InputError(f"{source}: found {describe_shape(images.shape)}; allowed: four segments' images (4, y, x)")
    if len(names) != 4:
        raise InputError(f"{source}: found {quantities.counted(len(names), 'name')} of segments; allowed: four")
    check_values(images, [f"segment {name}" for name in names], source)


def check_values(images: NDArray[np.floating], names: Sequence[str], source: str) -> None:
    """Refuse images with numbers that are not finite, or without contrast; `names` are for the message."""
    bad = float(1 - np.isfinite(images).mean())
    if bad:
        raise InputError(f"{source}: found NaN or infinity in {percent(bad)} of the pixels; allowed: finite numbers")
    for name, image in zip(names, images, strict=True):
        if image.min() == image.max():
            raise InputError(f"{source}: {name}: found {image.min():g} everywhere; allowed: an image with contrast")


def check_saturation(images: NDArray[Any], source: str, maximum: float | None = None) -> None:
    """
    Refuse images with saturated pixels.

    Parameters
    ----------
    images : array
        Values as recorded, before any conversion.
    source : str
        Name of the file, for messages.
    maximum : float, optional
        Largest value that the detector can record, if the file says so.

    Notes
    -----
    Without `maximum`, pixels count as saturated at the largest value of an integer type, and at the largest values of
    8 to 16 bits if whole numbers pile up there: at least 4 pixels and 0.01 % of all. Fewer may occur by chance.
    """
    found = float(images.max())
    if maximum is not None:
        saturated, whole = images >= maximum, True
    elif np.issubdtype(images.dtype, np.integer) and found == np.iinfo(images.dtype).max:
        saturated, whole = images == found, True
    elif found in [2**bits - 1 for bits in (8, 10, 12, 14, 16)]:
        saturated, whole = images == found, bool(np.all(images == np.round(images)))
        whole = whole and int(saturated.sum()) >= max(4, 1e-4 * images.size)
    else:
        return
    if whole and (share := float(saturated.mean())):
        raise InputError(f"{source}: found {percent(share)} of the pixels saturated at {found:g}; allowed: none")


def percent(share: float) -> str:
    """Write a share as a percentage with two significant digits, so that it is never rounded to 0."""
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"


def describe_shape(shape: Sequence[int]) -> str:
    """Describe an array's shape; for a stack, with the number of images."""
    sizes = " x ".join(map(str, shape))
    return (
        f"{quantities.counted(shape[0], 'image')} of {shape[1]} x {shape[2]} pixels"
        if len(shape) == 3
        else f"an array of {sizes}"
    )
