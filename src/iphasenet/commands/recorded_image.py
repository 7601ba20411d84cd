"""Reading recorded images as a command's options say."""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from iphasenet.base.errors import InputError
from iphasenet.microscope_files.image_files import read_image
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.microscope_files.virtual_segments import VirtualDetector
from iphasenet.reconstruction.preparation import mirrored


def check_file_options(options: argparse.Namespace) -> None:
    """Refuse options that have no effect on the files that are read."""
    endings = {path.suffix.lower() for path in options.input}
    for name, where in {"sample": (".zarr",), "scan_shape": (".mib",)}.items():
        if getattr(options, name) is not None and not endings <= set(where):
            raise InputError(f"--{name.replace('_', '-')} has no effect for {options.input[0].name}: remove it; it is "
                             f"for a {where[0]}")  # fmt: skip
    camera = (options.camera_pixel, options.camera_centre, options.camera_rotation)
    if options.detector is None and camera != (None, None, None):
        raise InputError("--detector is missing: give the angles of the segments, which --camera-... needs")


def read_recorded(options: argparse.Namespace, crystal: Mapping[str, Any], any_order: bool = False) -> SegmentedImage:
    """
    Read the images that a command is about.

    Parameters
    ----------
    options : argparse.Namespace
        Options of `iphasenet.commands.options.recorded_image`; they override what the file says.
    crystal : mapping
        Fields of the crystal that the command knows; None for what it does not.
    any_order : bool
        Whether the order of the images stands in for an unknown order of the segments.
    """
    detector = None
    if options.detector is not None:
        inner, outer = options.detector
        centre = None if options.camera_centre is None else tuple(options.camera_centre)
        detector = VirtualDetector(inner, outer, options.camera_pixel, centre, options.camera_rotation or 0.0)
    shape = None if options.scan_shape is None else tuple(options.scan_shape)
    paths = options.input[0] if len(options.input) == 1 else options.input
    chosen = {"detector": detector, "scan_shape": shape, "energy_kev": options.energy}
    chosen |= {"detector_name": options.detector_name, "resample": options.resample}
    dose = options.dose if options.sample else None
    image = read_image(paths, options.sample, dose, options.frame, **chosen)
    inner, outer = options.detector or (None, None)
    said: dict[str, Any] = {
        **crystal,
        "sampling": options.sampling,
        "energy_kev": options.energy,
        "semiangle_mrad": options.semiangle,
        "detector_inner_mrad": inner,
        "detector_outer_mrad": outer,
        "dark_intensity": options.dark_intensity,
        "dose": options.dose,
        "scan_rotation_deg": options.scan_rotation,
    }
    image = replace(image, **{name: value for name, value in said.items() if value is not None})
    return _ordered(image, options, any_order)


def _ordered(image: SegmentedImage, options: argparse.Namespace, any_order: bool) -> SegmentedImage:
    """Set the order of an image's segments by the options."""
    order = image.order
    if options.segment_order is not None:
        first, second, third, fourth = (_index(text, image) for text in options.segment_order)
        order = (first, second, third, fourth)
    elif any_order and order is None:
        order = (0, 1, 2, 3)
    if options.flip:
        if order is None:
            raise InputError(f"{image.source}: --flip: the order of the segments is missing: give --segment-order")
        order = mirrored(order)
    return replace(image, order=order)


def _index(text: str, image: SegmentedImage) -> int:
    """Index of a segment by its name or number."""
    if text in image.names:
        return image.names.index(text)
    if text in ("1", "2", "3", "4"):
        return int(text) - 1
    raise InputError(f"--segment-order: found {text!r}; allowed: 1 to 4 or {', '.join(image.names)}")


def beam_intensity(text: str, allowed: str) -> float:
    """Read the beam intensity of an option; InputError names what is allowed."""
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--beam-intensity: found {text!r}; allowed: {allowed}") from None
