"""Recordings from the signals of a file: which signals are the four segments, and what their metadata say."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.microscope.detector import SEGMENTS
from iphasenet.microscope_files.axes import Axis, check_axes
from iphasenet.microscope_files.numbers import read_number, read_order, read_orientation, read_pixel
from iphasenet.microscope_files.recording import Recording
from iphasenet.microscope_files.resampling import SAME_PIXEL
from iphasenet.microscope_files.segmented_image import QUANTITIES, describe_shape
from iphasenet.microscope_files.signals import Signal, load, walk
from iphasenet.microscope_files.tif_files import tif_calibration
from iphasenet.microscope_files.velox_files import (
    VELOX_ORDER,
    choose_segments,
    describe_microscope,
    is_velox,
    largest_value,
    whole_detectors,
)

_TEM = "Acquisition_instrument.TEM"

_MEASURED = {"energy_kev": ("beam_energy", "keV"), "semiangle_mrad": ("convergence_angle", "mrad")}
"""Places and units of these fields in HyperSpy's metadata."""

Told = tuple[tuple[Axis, ...], dict[str, Any]]
"""Axes of a signal, and fields of a `SegmentedImage` from its metadata."""


def record_signals(
    signals: Sequence[Signal], path: Path, frame: int | None = None, detector_name: str | None = None
) -> Recording:
    """
    Find the images of four segments, or the patterns, among the signals of a file.

    Parameters
    ----------
    signals : sequence of Signal
        All signals of the file.
    path : path
        The file.
    frame : int, optional
        Number of the scan, from 0, for a series of scans.
    detector_name : str, optional
        Name of the detector, if there are several segmented detectors.

    Returns
    -------
    Recording
        Four images in the file's order, or patterns that are not read yet.

    Raises
    ------
    InputError
        If there are neither or several of them, or a choice is missing or has no effect.
    """
    source = str(path)
    if is_velox(signals):
        chosen = choose_segments(signals, path, detector_name)
        described = [(signal.described_axes, describe_microscope(signal, path)) for signal in chosen]
        joined = join_images(chosen, described, path, frame, largest_value(chosen[0], path))
        return replace(joined, known={**joined.known, "order": VELOX_ORDER})
    refuse_choices(source, None, detector_name)
    patterns = [signal for signal in signals if len(signal.shape) == 4]
    if len(patterns) > 1:
        raise InputError(f"{source}: found {len(patterns)} sets of patterns; allowed: one")
    if patterns:
        refuse_choices(source, frame)
        if patterns[0].axes[0].get("name") == "sample":
            raise InputError(f"{source}: found all samples of a material; allowed: one sample, as `iphasenet export "
                             "--sample` writes it")  # fmt: skip
        return _record(patterns[0], patterns[0].data, path)
    stacks = [signal for signal in signals if len(signal.shape) == 3]
    if len(stacks) == 1:
        if stacks[0].shape[0] != 4:
            raise InputError(f"{source}: found {describe_shape(stacks[0].shape)}; allowed: four segments' images "
                             "(4, y, x)")  # fmt: skip
        refuse_choices(source, frame)
        return _record(stacks[0], load(stacks[0], path), path)
    images = [signal for signal in signals if len(signal.shape) == 2 and min(signal.shape) > 1]
    if len(images) != 4:
        shapes = "; ".join(describe_shape(signal.shape) for signal in signals) or "nothing"
        raise InputError(f"{source}: found {shapes}; allowed: four images, a stack (4, y, x), or patterns of a scan")
    return join_images(images, [told(signal, path) for signal in images], path, frame)


def choices_of(signals: Sequence[Signal], path: Path) -> dict[str | None, int]:
    """Count the scans of each segmented detector of a file; {None: 1} if there is nothing to choose."""
    whole = whole_detectors(signals, path) if is_velox(signals) else {}
    counts: dict[str | None, int] = {name: math.prod(images[0].shape[:-2]) for name, images in whole.items()}
    return counts or {None: 1}


def refuse_choices(source: str, frame: int | None, detector_name: str | None = None) -> None:
    """Refuse choices that have no effect on a file with one scan and unnamed detectors."""
    if frame is not None:
        raise InputError(f"{source}: frame: found {frame}, but the file holds one scan: remove it")
    if detector_name is not None:
        raise InputError(f"{source}: detector name: found {detector_name!r}, but the file names no detectors: "
                         "remove it; it is for Velox's .emd")  # fmt: skip


def join_images(
    signals: Sequence[Signal],
    described: Sequence[Told],
    path: Path,
    frame: int | None,
    full_count: float | None = None,
) -> Recording:
    """
    Join four signals with one image each.

    Parameters
    ----------
    signals : sequence of 4 Signal
        The images; each may be a series of scans.
    described : sequence of 4 Told
        Axes and known fields of each.
    path : path
        Their file, or the first of four.
    frame : int, optional
        Number of the scan in a series, from 0.
    full_count : float, optional
        Largest count that the detector can record.

    Raises
    ------
    InputError
        If their shapes, pixels or microscopes differ.
    """
    source = str(path)
    names = tuple(signal.title or str(number) for number, signal in enumerate(signals, 1))
    if len({signal.shape for signal in signals}) != 1:
        shapes = (" x ".join(map(str, signal.shape)) for signal in signals)
        found = ", ".join(f"{name}: {shape}" for name, shape in zip(names, shapes, strict=True))
        raise InputError(f"{source}: found images of different shapes ({found}); allowed: one shape")
    axes: tuple[Axis, ...] = ()
    known: dict[str, Any] = {}
    for name, (one_axes, one_known) in zip(names, described, strict=True):
        check_axes(one_axes[-2:], signals[0].shape[-2:], f"{source}: {name}")
        facts = {f"pixel along {side}": axis.pixel for side, axis in zip("yx", one_axes[-2:], strict=True)}
        facts |= {key: value for key, value in one_known.items() if key in (*QUANTITIES, "tilt_deg")}
        for key, value in facts.items():
            if value is not None:
                _check_same(key, known.setdefault(key, (name, value)), (name, value), source)
        axes = axes or one_axes[-2:]
        # A field that the first lacks may be in another.
        axes = tuple(axis if axis.pixel else other for axis, other in zip(axes, one_axes[-2:], strict=True))
    for name, (one_axes, _) in zip(names, described, strict=True):
        if len(one_axes) == 3 and one_axes[0].role == "segment":
            raise InputError(f"{source}: {name}: found an axis of segments, called {one_axes[0].called}; allowed: one "
                             "image in each of four files, or a series of them")  # fmt: skip
    images = np.stack([_one_frame(load(signal, path), frame, source) for signal in signals])
    fields = {key: value for key, (_, value) in known.items() if not key.startswith("pixel")}
    return Recording(images, source, (Axis("segment"), *axes), names, fields, full_count)


def _check_same(key: str, first: tuple[str, Any], other: tuple[str, Any], source: str) -> None:
    """Refuse images with different values, which were not recorded together."""
    one, two = np.ravel(first[1]), np.ravel(other[1])
    if one.shape != two.shape or not np.allclose(one, two, rtol=SAME_PIXEL, atol=1e-9):
        quantity = QUANTITIES.get(key)
        unit = "Å" if key.startswith("pixel") else quantity.unit if quantity else ""
        told = " and ".join(
            " ".join(filter(None, [", ".join(f"{number:.6g}" for number in values), unit, f"in {name}"]))
            for name, values in ((first[0], one), (other[0], two))
        )
        raise InputError(f"{source}: {key}: found {told}; allowed: four images of one scan")


def _one_frame(image: NDArray[Any], frame: int | None, source: str) -> NDArray[Any]:
    """Select the image of one scan from a series."""
    if image.ndim == 3 and len(image) == 1 and not frame:
        return np.asarray(image[0])
    if image.ndim == 2:
        refuse_choices(source, frame)
        return image
    if image.ndim != 3 or frame is None or not 0 <= frame < len(image):
        found = "none" if frame is None else str(frame)
        raise InputError(
            f"{source}: frame: found {found} for a series of {len(image)} scans; "
            f"allowed: one of 0 to {len(image) - 1}; scans are not summed, because the sample drifts"
        )
    taken: NDArray[Any] = image[frame]
    return taken


def _record(signal: Signal, data: Any, path: Path) -> Recording:
    axes, known = told(signal, path)
    names = {"names": known.pop("names")} if "names" in known else {}
    return Recording(data, str(path), axes, known=known, **names)


def told(signal: Signal, path: Path) -> Told:
    """Read HyperSpy's metadata: the general ones, then this program's own; the axes' pixel takes precedence."""
    known: dict[str, Any] = {}
    for name, (place, unit) in _MEASURED.items():
        value = signal.lookup(f"{_TEM}.{place}")
        if value is not None and (number := read_number(value, unit, f"{path}: {name}")) != 0:
            known[name] = number
    own: Mapping[str, Any] = walk(signal.metadata, "iphasenet") or {}
    optics: Mapping[str, Any] = walk(signal.original, "configuration.optics") or {}
    for name, quantity in QUANTITIES.items():
        value = own.get(name, optics.get(name))
        if value is not None and name != "sampling":
            known[name] = read_number(value, quantity.unit, f"{path}: {name}")
    known |= read_orientation(own, str(path))
    if list(own.get("segments", ())) == list(SEGMENTS):
        known |= {"names": SEGMENTS, "order": (0, 1, 2, 3), "beam_intensity": 1.0, "scan_rotation_deg": 0.0}
    if "order" in own:
        known["order"] = read_order(own["order"], f"{path}: order")
    if "names" in own:
        known["names"] = tuple(str(value) for value in own["names"])
    return _calibrated(signal, own.get("sampling"), path), known


def _calibrated(signal: Signal, sampling: Any, path: Path) -> tuple[Axis, ...]:
    """Axes of a signal; if those of the scan have no pixel, they get the one from elsewhere in the file."""
    axes = list(signal.described_axes)
    first = 0 if len(axes) == 4 else len(axes) - 2
    scan = axes[first : first + 2]
    if any(axis.pixel is None for axis in scan):
        pixel: tuple[float | None, float | None] = (None, None)
        starts = (0.0, 0.0)
        if sampling is not None:
            pixel = read_pixel(sampling, f"{path}: sampling")
        elif path.suffix.lower() in (".tif", ".tiff"):
            pixel, starts = tif_calibration(path)
        axes[first : first + 2] = [
            Axis(axis.name, side, "Å", -start * side) if side else axis
            for axis, side, start in zip(scan, pixel, starts, strict=True)
        ]
    return tuple(axes)
