"""Images in .tif files, and the size of their pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from iphasenet.base.file_checks import check_claim
from iphasenet.microscope_files.numbers import length
from iphasenet.microscope_files.signals import Signal, reading

_NAMES = {"T": "time", "C": "channel", "Z": "z", "Y": "y", "X": "x"}
"""Axes in tifffile's letters; Q and I are axes of unknown kind."""

_PAGES = ("image series", "None")
"""RosettaSciIO's names of such axes; it calls the axis of any ImageJ stack "depth", but OME's z really is one."""


def check_tif(path: Path) -> None:
    """Read a .tif once and check that the file holds what its header claims; RosettaSciIO leaves a damaged one open."""
    with tifffile.TiffFile(path) as file:
        if not file.series:
            raise ValueError("no image in it")
        for series in file.series:
            compressed = series.keyframe.compression != tifffile.COMPRESSION.NONE
            check_claim(str(path), series.shape, series.dtype.itemsize, path.stat().st_size, compressed)
            series.asarray()
        # In a stack that was cut off, the first image of ImageJ is still whole.
        wanted, found = (file.imagej_metadata or {}).get("images", 0), sum(len(series) for series in file.series)
        if found < wanted:
            raise ValueError(f"{found} of {wanted} images")


def planar_signals(path: Path) -> list[Signal]:
    """
    Read images that are stored as colour planes of one image; an empty list if there are none.

    tifffile writes an array (4, y, x) in this way by default, and RosettaSciIO expects colours to come last.
    """
    with tifffile.TiffFile(path) as file:
        if all(
            series.keyframe.planarconfig != tifffile.PLANARCONFIG.SEPARATE or series.keyframe.samplesperpixel < 2
            for series in file.series
        ):
            return []
        return [
            Signal(
                series.name if len(file.series) > 1 else "",
                series.asarray(),
                tuple({"name": _NAMES.get(letter, "")} for letter in series.axes),
            )
            for series in file.series
        ]


def unnamed_pages(path: Path, signals: Sequence[Signal]) -> list[Signal]:
    """Remove name and unit from the axis of plain pages, which RosettaSciIO calls a series in the pixel's unit."""
    with tifffile.TiffFile(path) as file:
        pages = _PAGES if file.is_ome else (*_PAGES, "depth")
    return [_without(signal, pages, {"name": "", "units": None}) for signal in signals]


def unnamed_stacks(_path: Path, signals: Sequence[Signal]) -> list[Signal]:
    """Remove the name z from axes: RosettaSciIO gives it to the third axis of any .dm3 and .dm4."""
    return [_without(signal, ("z",), {"name": ""}) for signal in signals]


def _without(signal: Signal, names: Sequence[str], blank: Mapping[str, Any]) -> Signal:
    axes = ({**axis, **blank} if axis.get("name") in names else axis for axis in signal.axes)
    return replace(signal, axes=tuple(axes))


def tif_calibration(path: Path) -> tuple[tuple[float | None, float | None], tuple[float, float]]:
    """
    Find how ImageJ or a writer of OME's metadata calibrated a .tif.

    Returns height and width of a pixel [Å] or None, and the pixel (y, x) in which the zero of ImageJ's axes lies, 0 if
    not given. RosettaSciIO knows the units of several microscopes' .tif, of ImageJ's only the micron, and not OME's.
    A side that the file does not give is assumed to be equal to the other.
    """
    with reading(path), tifffile.TiffFile(path) as file:
        described = file.imagej_metadata or {}
        tags = [file.pages.first.tags.get(name) for name in ("YResolution", "XResolution")]
        tree = tifffile.xml2dict(file.ome_metadata) if file.ome_metadata else {}
    sides = [_imagej_side(described, key, tag) for key, tag in zip(("yunit", "unit"), tags, strict=True)]
    if sides == [None, None]:
        image = tree.get("OME", {}).get("Image", {})
        pixels = (image[0] if isinstance(image, list) else image).get("Pixels", {})
        sides = [_ome_side(pixels, letter) for letter in "YX"]
    start = float(described.get("yorigin", 0)), float(described.get("xorigin", 0))
    return (sides[0] or sides[1], sides[1] or sides[0]), start


def _imagej_side(described: Mapping[str, Any], key: str, tag: Any) -> float | None:
    """Side of a pixel from ImageJ's unit and the pixels per unit, a fraction [Å]."""
    unit = length(str(described.get(key, described.get("unit", ""))).replace("\\u00B5", "µ"))
    if unit is None or tag is None or not tag.value[0]:
        return None
    return float(unit * tag.value[1] / tag.value[0])


def _ome_side(pixels: Mapping[str, Any], letter: str) -> float | None:
    """Side of a pixel from OME's metadata, whose default unit is the micron [Å]."""
    size, unit = pixels.get(f"PhysicalSize{letter}"), length(str(pixels.get(f"PhysicalSize{letter}Unit", "µm")))
    return float(np.float64(size)) * unit if size and unit else None
