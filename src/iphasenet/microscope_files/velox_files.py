"""What a Velox file (.emd) says about the images of its four segments and the microscope.

The segments A to D of a detector such as DF4 follow each other by quarter turns. Velox integrates its own iDPC from
A-C and B-D, turned by its `DetectorRotation`. In the published example of RosettaSciIO (fei_example_dpc_titles.emd) its
slopes agree with A at -DetectorRotation from x towards y (down); at 45 degrees, A, B, C and D then lie top-right,
bottom-right, bottom-left and top-left. Other microscopes may differ: the check of the orientation tests this.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
from scipy import constants

from iphasenet.base.errors import InputError
from iphasenet.microscope_files.numbers import read_number
from iphasenet.microscope_files.signals import Signal, reading, walk

LETTERS = "ABCD"

VELOX_ORDER = (3, 0, 2, 1)
"""Indices of the segments A, B, C, D that lie top-left, top-right, bottom-left, bottom-right at 45 degrees."""

_SEGMENT = re.compile(r"(?P<detector>.+?)[- ]?(?P<letter>[A-D])")
_DIFFERENCES = {"A-C", "B-D"}


def is_velox(signals: Sequence[Signal]) -> bool:
    """Whether images come from Velox: only Velox describes each image by its BinaryResult."""
    return any(walk(signal.original, "BinaryResult") is not None for signal in signals)


def choose_segments(signals: Sequence[Signal], path: Path, detector: str | None = None) -> list[Signal]:
    """
    Find the images of the segments A, B, C and D.

    Parameters
    ----------
    signals : sequence of Signal
        All images of the file, in its order.
    path : path
        The file.
    detector : str, optional
        Name of the detector, if there are several.

    Returns
    -------
    list of Signal
        A, B, C, D of one detector.

    Raises
    ------
    InputError
        If one is missing, or the file holds only their differences, several detectors, or not the named one.
    """
    signals = _named(signals, path)
    whole, source, titles = whole_detectors(signals, path), str(path), [signal.title for signal in signals]
    chosen = [segments for name, segments in whole.items() if detector in (None, name)]
    if len(chosen) == 1:
        return chosen[0]
    if whole:
        asked = f" and none of {detector}" if detector is not None else ""
        raise InputError(f"{source}: found the segments of {', '.join(whole)}{asked}; allowed: those of one detector, "
                         f"--detector-name {' or '.join(whole)}")  # fmt: skip
    if not _by_detector(signals) and _DIFFERENCES & set(titles):
        raise InputError(
            f"{source}: found only differences ({', '.join(titles)}), which do not give four intensities; "
            "allowed: the four segments DF4-A to DF4-D, which Velox saves if they are shown during acquisition"
        )
    raise InputError(
        f"{source}: found {', '.join(titles) or 'no images'}; allowed: images of four segments, DF4-A to DF4-D"
    )


def whole_detectors(signals: Sequence[Signal], path: Path) -> dict[str, list[Signal]]:
    """Find the detectors with all segments in a file: the images of A, B, C and D by the detector's name."""
    found = _by_detector(_named(signals, path))
    return {
        name: [images[letter] for letter in LETTERS] for name, images in found.items() if len(images) == len(LETTERS)
    }


def _named(signals: Sequence[Signal], path: Path) -> Sequence[Signal]:
    """Name images by their segments, if the file says to which they belong."""
    return signals if _by_detector(signals) else _named_by_display(signals, path)


def _by_detector(signals: Sequence[Signal]) -> dict[str, dict[str, Signal]]:
    """Find the images of segments, by detector and letter."""
    found: dict[str, dict[str, Signal]] = {}
    for signal in signals:
        if signal.title not in _DIFFERENCES and (match := _SEGMENT.fullmatch(signal.title)):
            found.setdefault(match["detector"], {})[match["letter"]] = signal
    return found


def _named_by_display(signals: Sequence[Signal], path: Path) -> list[Signal]:
    """
    Name images by the displays that show them.

    Since version 11, Velox does not store the operations by which RosettaSciIO names the images; each then has the name
    of the whole detector.
    """
    with reading(path), h5py.File(path) as file:
        keys = list(file["Data/Image"])
    metadata = signals[0].original
    series = walk(metadata, "SharedProperties.ImageSeriesDataReference") or {}
    titles = {}
    for display in (walk(metadata, "Displays.ImageDisplay") or {}).values():
        shown = walk(series.get(str(display.get("data", "")).rpartition("/")[2]), "dataPath")
        if shown is not None:
            titles[str(shown).rpartition("/")[2]] = str(display.get("title", ""))
    if len(keys) != len(signals):
        return list(signals)
    return [replace(signal, title=titles.get(key, signal.title)) for key, signal in zip(keys, signals, strict=True)]


def describe_microscope(signal: Signal, path: Path) -> dict[str, Any]:
    """
    Read the metadata of a Velox image as fields of a `SegmentedImage`; values of zero are left out.

    Parameters
    ----------
    signal : Signal
        Image of a segment.
    path : path
        Its file.

    Returns
    -------
    dict
        energy_kev, semiangle_mrad, detector_inner_mrad, detector_outer_mrad, dose and scan_rotation_deg.

    Notes
    -----
    The dose follows from the last measured screen current, which equals the beam current only if the screen saw the
    whole beam. The rotation is DetectorRotation, which Velox itself uses; without it, that of the scan, whose sense is
    assumed.
    """
    metadata = signal.original
    inner, outer = _collection(signal, path)
    known = {
        "energy_kev": _number(metadata, "Optics.AccelerationVoltage", path) / 1e3,
        "semiangle_mrad": _number(metadata, "Optics.BeamConvergence", path) * 1e3,
        "detector_outer_mrad": outer * 1e3,
        # With a blanked beam, the current is noise of either sign.
        "dose": max(0.0, _dose(metadata, path)),
    }
    fields: dict[str, Any] = {name: value for name, value in known.items() if value != 0}
    if outer:
        fields["detector_inner_mrad"] = inner * 1e3
    detector = walk(_custom(metadata, "DetectorRotation"), "value")
    scan = walk(metadata, "Scan.ScanRotation")
    if detector is not None:
        fields["scan_rotation_deg"] = 45 - math.degrees(_read(detector, "DetectorRotation", path))
    elif scan is not None:
        fields["scan_rotation_deg"] = -math.degrees(_read(scan, "ScanRotation", path))
    return fields


def largest_value(signal: Signal, path: Path) -> float | None:
    """Largest value that the detector records, if the file says so."""
    value = walk(_custom(signal.original, "MaxPossiblePixelValue"), "value")
    return None if value is None else _read(value, "MaxPossiblePixelValue", path)


def _custom(metadata: Mapping[str, Any], name: str) -> Any:
    properties = metadata.get("CustomProperties")
    return properties.get(name) if isinstance(properties, Mapping) else None


def _number(metadata: Mapping[str, Any], place: str, path: Path) -> float:
    """Read a number at a place of the metadata; 0 if there is none."""
    value = walk(metadata, place)
    return _read(value, place, path) if value not in (None, "") else 0.0


def _read(value: Any, name: str, path: Path) -> float:
    """Read a number, which Velox writes as text."""
    return read_number(value, "", f"{path}: Velox's {name}")


def _collection(signal: Signal, path: Path) -> tuple[float, float]:
    """Find the collection angles of the image's detector [rad]: by its index, else by its name."""
    detectors = signal.original.get("Detectors") or {}
    index = walk(signal.original, "BinaryResult.DetectorIndex")
    named = [
        entry
        for entry in detectors.values()
        if (name := str(entry.get("DetectorName"))) and signal.title.startswith(name)
    ]
    candidates = [detectors.get(f"Detector-{index}"), *named]
    for entry in candidates:
        found = walk(entry, "CollectionAngleRange")
        if found is not None:
            begin, end = (_read(found.get(key), f"CollectionAngleRange {key}", path) for key in ("begin", "end"))
            return begin, end
    return 0.0, 0.0


def _dose(metadata: Mapping[str, Any], path: Path) -> float:
    """Dose from the last measured screen current [e/Å²]; 0 if a value is missing."""
    current = _number(metadata, "Optics.LastMeasuredScreenCurrent", path)
    area = math.prod(1e10 * _number(metadata, f"BinaryResult.PixelSize.{side}", path) for side in ("width", "height"))
    electrons = current * _number(metadata, "Scan.DwellTime", path) / constants.e
    return electrons / area if area else 0.0
