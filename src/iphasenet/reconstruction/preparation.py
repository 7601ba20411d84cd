"""Preparation of a microscope's images for the network: fractions of the beam, aligned, on the network's pixels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.base.memory import check_memory
from iphasenet.dataset.material_data import zone_axis_angle
from iphasenet.evaluation.idpc import idpc
from iphasenet.microscope.electron import interaction_constant, wavelength
from iphasenet.microscope.optics import Microscope
from iphasenet.microscope_files.resampling import moved_origin, resampled, turned_frame
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.network.rotations import turned_about_beam

OPTIONS = {
    "sampling": "--sampling",
    "energy_kev": "--energy",
    "semiangle_mrad": "--semiangle",
    "detector_inner_mrad": "--detector",
    "detector_outer_mrad": "--detector",
    "beam_intensity": "--beam-intensity",
    "order": "--segment-order",
    "thickness_nm": "--thickness",
    "tilt_deg": "--tilt",
    "rotation_deg": "--rotation",
}
"""Calibrations that an image must have, and the options that give them where the file does not."""

ALIGNED = 0.5
"""Turn of the detector in the image below which the image is not turned [degrees]."""

_UNITS = {"energy_kev": "keV", "thickness_nm": "nm", "dose": "e/Å²", "tilt_deg": "°"}

UNCALIBRATED = "idpc: the edge of the bright-field disc falls on no segment; its scale is arbitrary"
"""Warning of an `idpc_potential` without a scale."""

FloatImage = NDArray[np.float32]
Order = tuple[int, int, int, int]
Known = TypeVar("Known")


@dataclass(frozen=True)
class Prepared:
    """
    What the network sees.

    Attributes
    ----------
    segments : (4, y, x) float32 array
        Fractions of the beam current: top-left, top-right, bottom-left, bottom-right as seen in these images.
    sampling : float
        Pixel size [Å].
    metadata : (4,) float32 array
        Thickness [nm], alpha, beta, gamma [degrees], in the frame of these images.
    microscope : Microscope
        Probe and detector.
    turned_deg : float
        Rotation of these images' frame in the file's image, from x to y (down) [degrees].
    origin : (float, float)
        Centre of the first pixel of these images in the file's axes: x, y [Å].
    """

    segments: FloatImage
    sampling: float
    metadata: FloatImage
    microscope: Microscope
    turned_deg: float
    origin: tuple[float, float] = (0.0, 0.0)


CRYSTAL = ("thickness_nm", "tilt_deg", "rotation_deg")
"""Those of the crystal, which the network for any crystal need not be told."""


def check_known(image: SegmentedImage, crystal: bool = True) -> None:
    """Refuse an image that lacks a calibration of the microscope, or of the crystal; the message names the options."""
    missing = [name for name in OPTIONS if getattr(image, name) is None and (crystal or name not in CRYSTAL)]
    if missing:
        options = " ".join(dict.fromkeys(OPTIONS[name] for name in missing))
        raise InputError(f"{image.source}: {', '.join(missing)} is missing: give {options}")


def quarter_turned(order: Sequence[int], turns: int) -> Order:
    """Order of segments after the detector is turned in the image by quarter turns from x to y (down)."""
    first, second, third, fourth = np.rot90(np.reshape(list(order), (2, 2)), -turns).ravel().tolist()
    return first, second, third, fourth


def mirrored(order: Sequence[int]) -> Order:
    """Order of segments with left and right exchanged: a detector that is seen from behind."""
    return order[1], order[0], order[3], order[2]


def arrangements(order: Order, adjacent: bool = True) -> list[Order]:
    """
    List the orders of four segments.

    Parameters
    ----------
    order : tuple of 4 int
        Given order, which comes first.
    adjacent : bool
        Only orders in which neighbours stay neighbours: four turns, each without and with a mirror; else all 24.

    Returns
    -------
    list of tuple
        8 or 24 orders.
    """
    found = [quarter_turned(start, turns) for start in (order, mirrored(order)) for turns in range(4)]
    if not adjacent:
        found += [(a, b, c, d) for a, b, c, d in permutations(order) if (a, b, c, d) not in found]
    return found


def turned_angles(tilt_deg: tuple[float, float], rotation_deg: float, turn_deg: float) -> tuple[float, float, float]:
    """
    Orientation of a crystal as seen in a frame that is turned.

    Parameters
    ----------
    tilt_deg : (float, float)
        alpha, beta [degrees].
    rotation_deg : float
        gamma [degrees].
    turn_deg : float
        Turn of the new frame in the old one, from x to y (down) [degrees].

    Returns
    -------
    (float, float, float)
        alpha, beta, gamma in the new frame [degrees].
    """
    alpha, beta, gamma = turned_about_beam(np.array([*tilt_deg, rotation_deg], np.float64), -turn_deg).tolist()
    return alpha, beta, gamma % 360


def aligned(image: SegmentedImage) -> tuple[SegmentedImage, float]:
    """
    Express quarter turns of the detector by the order of its segments.

    Parameters
    ----------
    image : SegmentedImage
        Image with a known order.

    Returns
    -------
    image : SegmentedImage
        The image with a new order and a `scan_rotation_deg` between -45 and 45.
    rest : float
        This `scan_rotation_deg`, or 0 if it is smaller than `ALIGNED`.
    """
    angle = image.scan_rotation_deg or 0.0
    turns = round(angle / 90)
    rest = angle - 90 * turns
    rest = 0.0 if abs(rest) < ALIGNED else rest
    if image.order is None:
        raise InputError(f"{image.source}: the order of the segments is missing: give {OPTIONS['order']}")
    return replace(image, order=quarter_turned(image.order, turns), scan_rotation_deg=rest), rest


def prepare(image: SegmentedImage, sampling: float) -> Prepared:
    """
    Bring images to the network's conventions and pixels.

    Quarter turns between scan and detector change only the order of the segments. By the rest of the angle, the images
    are turned into the detector's frame, and lose their corners.

    Parameters
    ----------
    image : SegmentedImage
        Images with all of `OPTIONS` known. Angles of the crystal are those in the file's image.
    sampling : float
        Pixel size of the network [Å].

    Returns
    -------
    Prepared
        Input of the network.

    Raises
    ------
    InputError
        If a calibration is missing or out of range.
    """
    check_known(image)
    straight, rest = aligned(image)
    rows, columns = (round(size * _known(image.sampling) / sampling) for size in image.segments.shape[1:])
    # Memory for images, their spectra, predictions of a few tiles and their sums.
    check_memory(100.0 * rows * columns, f"images of {rows:,} x {columns:,} of the network's pixels, {sampling:g} Å")
    segments = resampled(straight.fractions, _known(image.sampling), sampling)
    if rest:
        segments = turned_frame(segments, rest)
    angles = turned_angles(_known(image.tilt_deg), _known(image.rotation_deg), rest)
    metadata = np.array([_known(image.thickness_nm), *angles], np.float32)
    side = _known(image.sampling)
    origin = moved_origin(image.origin, (side, side), image.segments.shape[1:], sampling, segments.shape[1:], rest)
    return Prepared(np.ascontiguousarray(segments), sampling, metadata, microscope_of(image), rest, origin)


def microscope_of(image: SegmentedImage) -> Microscope:
    """Probe and detector of an image whose calibrations are known."""
    return Microscope(
        _known(image.energy_kev),
        _known(image.semiangle_mrad),
        _known(image.detector_inner_mrad),
        _known(image.detector_outer_mrad),
    )


def _known(value: Known | None) -> Known:
    """Value of a calibration that `check_known` has checked."""
    if value is None:
        raise ValueError("a calibration is missing that check_known should have refused")
    return value


def automatic_beam_intensity(image: SegmentedImage, trained: Mapping[str, Any]) -> float:
    """
    Beam intensity that makes the mean sum of the segments equal to that of the training images.

    Parameters
    ----------
    image : SegmentedImage
        Images of a known thickness.
    trained : mapping
        Description in the weights' header: `segment_sum` as `trained_on.segment_sums` writes it.

    Returns
    -------
    float
        Beam intensity in the file's unit.

    Raises
    ------
    InputError
        If the weights do not hold the segment sums, or the thickness is unknown.
    """
    known = trained.get("segment_sum")
    if known is None:
        raise InputError("--beam-intensity: found auto, but the weights do not hold the mean segment sum of their "
                         "training images; allowed: a number")  # fmt: skip
    if image.thickness_nm is None:
        raise InputError(f"{image.source}: thickness_nm is missing: give {OPTIONS['thickness_nm']}")
    expected = float(np.interp(image.thickness_nm, known["thickness_nm"], known["mean"]))
    signal = float((image.segments - image.dark_intensity).sum(axis=0).mean())
    if signal <= 0:
        raise InputError(f"{image.source}: found a mean signal of {signal:g} above the dark level; allowed: above 0")
    return image.dark_intensity + signal / expected


def tilt_angle(image: SegmentedImage) -> float | None:
    """Angle between beam and zone axis [degrees], if the tilt is known."""
    return None if image.tilt_deg is None else float(zone_axis_angle(*np.array(image.tilt_deg)))


def range_warnings(image: SegmentedImage, trained: Mapping[str, Any]) -> list[str]:
    """
    Compare an image's settings with those that the network was trained on.

    Parameters
    ----------
    image : SegmentedImage
        Image; unknown settings are not compared.
    trained : mapping
        Description in the weights' header, with `ranges`.

    Returns
    -------
    list of str
        One line for each setting that lies outside.
    """
    ranges = trained.get("ranges", {})
    if not ranges:
        return ["weights: the file does not say what the network was trained on; no setting was compared",
                *_sampling_warning(image)]  # fmt: skip
    names = ("thickness_nm", "dose", "energy_kev", "semiangle_mrad", "detector_inner_mrad", "detector_outer_mrad")
    found = {**{name: getattr(image, name) for name in names}, "tilt_deg": tilt_angle(image)}
    warnings = []
    for name, value in found.items():
        low, high = ranges.get(name, (-math.inf, math.inf))
        # A tilt of 0 is not new to a network that has seen 0.01 degrees.
        low = 0.0 if name == "tilt_deg" else low
        if value is not None and not low * (1 - 2e-3) <= value <= high * (1 + 2e-3):
            unit = _UNITS.get(name, "mrad")
            trained_on = f"{low:g} {unit}" if low == high else f"{low:g} to {high:g} {unit}"
            warnings.append(f"{name}: {value:.4g} {unit} lies outside what the network was trained on, {trained_on}")
    return [*warnings, *_sampling_warning(image)]


def _sampling_warning(image: SegmentedImage) -> list[str]:
    """Warn of a pixel that is too coarse for the probe, because aliasing cannot be undone."""
    if image.sampling is None or image.energy_kev is None or image.semiangle_mrad is None:
        return []
    largest = wavelength(image.energy_kev) / (4e-3 * image.semiangle_mrad)
    if image.sampling <= largest:
        return []
    return [f"sampling: pixels of {image.sampling:.3g} Å are too coarse for a {image.semiangle_mrad:g} mrad probe; "
            f"allowed without aliasing: at most {largest:.3g} Å"]  # fmt: skip


def idpc_potential(prepared: Prepared) -> tuple[FloatImage, bool]:
    """
    IDPC image in units of potential.

    Parameters
    ----------
    prepared : Prepared
        Images.

    Returns
    -------
    idpc : (y, x) float32 array
        iDPC image of zero mean [V Å]: the projected potential, if the object is so thin that it only shifts the
        bright-field disc.
    calibrated : bool
        Whether the disc's edge falls on the segments; if not, its shift changes no signal and the scale is arbitrary.

    Notes
    -----
    A uniform disc of semiangle a that is shifted by d changes right minus left by 4 d / (pi a). The shift is
    lambda sigma / (2 pi) times the potential's gradient.
    """
    microscope = prepared.microscope
    semiangle = 1e-3 * microscope.semiangle_mrad
    scale = math.pi**2 * semiangle / 2 / wavelength(microscope.energy_kev) / interaction_constant(microscope.energy_kev)
    calibrated = microscope.detector_inner_mrad < microscope.semiangle_mrad < microscope.detector_outer_mrad
    image = scale * idpc(prepared.segments.astype(np.float64), prepared.sampling)
    return image.astype(np.float32), calibrated
