"""What a file of images holds, for people and for other programs; nothing is integrated or reconstructed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iphasenet.user_images.folder import OPTIONS
from iphasenet.user_images.image_files import read_recording, single_image
from iphasenet.user_images.recording import Axis, Recording, is_square

_NEEDED = ("thickness_nm", "rotation_deg", "sampling_angstrom", "energy_kev", "semiangle_mrad", "detector_mrad",
           "beam_intensity", "segment_order")  # fmt: skip
"""Settings without which no image is reconstructed."""

_SHOWN = {
    "energy_kev": "keV",
    "semiangle_mrad": "mrad",
    "dose": "e/Å²",
    "scan_rotation_deg": "degrees",
    "thickness_nm": "nm",
    "beam_intensity": "",
    "dark_intensity": "",
}
"""Numbers of an image, and their units."""


def image_facts(path: Path) -> dict[str, Any]:
    """
    Read a file of images and say what it tells.

    Parameters
    ----------
    path : path
        Images of four segments, one of them, or the patterns of a scan.

    Returns
    -------
    dict
        Plain values for JSON; None where the file says nothing. `kind`, `shape` (of the array: segment, y, x; y, x; or
        y, x, row, column of patterns), `sampling_angstrom` [y, x], `energy_kev`, `semiangle_mrad`, `detector_mrad`
        [inner, outer], `segments` (names; none of patterns), `segment_order` (numbers of those top-left, top-right,
        bottom-left, bottom-right), `rotation_deg`, `camera_pixel` ([row, column], each with its unit), numbers such as
        `dose`, `missing` (settings that a reconstruction will ask for), `warnings`.

    Raises
    ------
    InputError
        If the file cannot be read as such.
    """
    alone = single_image(path)
    if alone is not None:
        (shape, axes, told), names = alone, [path.stem]
        facts = _facts(shape, axes[-2:], told, names)
        return {**facts, "warnings": ["one image: a reconstruction takes four files"]}
    recording = read_recording([path])
    facts = _facts(recording.data.shape, recording.axes[:2] if recording.has_patterns else recording.axes[-2:],
                   recording.known, [] if recording.has_patterns else list(recording.names))  # fmt: skip
    if recording.has_patterns:
        _add_camera(facts, recording)
    sampling = recording.sampling
    warnings = (
        []
        if sampling is None or is_square(sampling)
        else [f"pixels of {sampling[1]:g} x {sampling[0]:g} Å are refused without --resample"]
    )
    return {**facts, "warnings": warnings}


def _facts(shape: tuple[int, ...], scan: tuple[Axis, ...], told: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    pixels = [axis.pixel for axis in scan]
    inner, outer = told.get("detector_inner_mrad"), told.get("detector_outer_mrad")
    order, rotation = told.get("order"), told.get("rotation")
    facts: dict[str, Any] = {
        "kind": "image",
        "shape": [int(size) for size in shape],
        "sampling_angstrom": None if None in pixels else pixels,
        "detector_mrad": None if outer is None else [inner, outer],
        "segments": names,
        "segment_order": None if order is None else [index + 1 for index in order],
        "rotation_deg": None if rotation is None else list(rotation),
        **{name: told.get(name) for name in _SHOWN},
    }
    facts["missing"] = [name for name in _NEEDED if facts[name] is None]
    return facts


def _add_camera(facts: dict[str, Any], recording: Recording) -> None:
    """Say what is known of the camera; what its patterns tell when they are integrated is not missing."""
    camera = recording.axes[2:]
    told = all(axis.step and axis.unit for axis in camera)
    facts["camera_pixel"] = [f"{axis.step:g} {axis.unit}" for axis in camera] if told else None
    facts["missing"] = [name for name in facts["missing"] if name not in ("beam_intensity", "segment_order")]
    facts["missing"] += [] if told else ["camera_pixel_mrad"]


def image_text(facts: Mapping[str, Any]) -> str:
    """Write the facts of images for people: lines, without warnings, which belong on another stream."""
    shape = facts["shape"]
    size = " x ".join(map(str, shape[-2:]))
    number = {2: "one image", 3: f"{shape[0]} images"}.get(len(shape), " x ".join(map(str, shape[:2])) + " patterns")
    lines = [f"image, {number} of {size} pixels" + (f": {', '.join(facts['segments'])}" if facts["segments"] else "")]
    if facts["sampling_angstrom"]:
        high, wide = facts["sampling_angstrom"]
        lines.append(f"pixel: {wide:.5g} x {high:.5g} Å")
    if facts["detector_mrad"]:
        lines.append("detector: {} to {} mrad".format(*(f"{angle:g}" for angle in facts["detector_mrad"])))
    if facts.get("camera_pixel"):
        lines.append(f"camera pixel: {' x '.join(reversed(facts['camera_pixel']))}")
    for name, unit in _SHOWN.items():
        if facts[name] is not None:
            lines.append(f"{name.rsplit('_', 1)[0].replace('_', ' ')}: {facts[name]:.6g} {unit}".rstrip())
    if facts["segment_order"]:
        lines.append("top-left, top-right, bottom-left, bottom-right: " + ", ".join(map(str, facts["segment_order"])))
    if facts["rotation_deg"]:
        lines.append("alpha, beta, gamma: {:g}, {:g}, {:g} degrees".format(*facts["rotation_deg"]))
    options = [OPTIONS[name] for name in facts["missing"]]
    lines.append(f"missing: {' '.join(options) or 'nothing'}")
    return "\n".join(lines)
