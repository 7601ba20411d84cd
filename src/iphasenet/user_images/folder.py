"""A folder of images as the workflow finds it: parsing the Snakefile needs no more than this."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from iphasenet.errors import InputError

ENDINGS = (
    *(".emd", ".dm3", ".dm4", ".hspy", ".zspy", ".nxs", ".tif", ".tiff", ".npy", ".npz", ".mib", ".h5"),
    ".zarr",
)
"""Endings of the files that are taken for images."""

OPTIONS = {
    "thickness_nm": "--thickness",
    "rotation_deg": "--rotation",
    "sampling_angstrom": "--sampling",
    "energy_kev": "--energy",
    "semiangle_mrad": "--semiangle",
    "detector_mrad": "--detector",
    "beam_intensity": "--beam-intensity",
    "dark_intensity": "--dark-intensity",
    "dose": "--dose",
    "segment_order": "--segment-order",
    "flip": "--flip",
    "scan_rotation_deg": "--scan-rotation",
    "sample": "--sample",
    "frame": "--frame",
    "scan_shape": "--scan-shape",
    "camera_pixel_mrad": "--camera-pixel",
    "camera_centre": "--camera-centre",
    "camera_rotation_deg": "--camera-rotation",
    "turns": "--turns",
}
"""Keys of the configuration, and the options of `iphasenet reconstruct` that they stand for."""


def find_images(folder: str | Path) -> dict[str, str]:
    """
    List the images of a folder.

    Parameters
    ----------
    folder : path
        Folder of files; those of other endings than `ENDINGS` are left alone.

    Returns
    -------
    dict
        Path of each image by its file's name without the ending, in alphabetical order.

    Raises
    ------
    InputError
        Where there is no such folder, no image in it, or two that differ by their endings alone.
    """
    folder = Path(folder)
    key = "configuration: reconstruction.images"
    if not folder.is_dir():
        raise InputError(f"{key}: found {str(folder)!r}, which is no folder; allowed: a folder of images")
    found: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in ENDINGS or path.name.startswith("."):
            continue
        if path.stem in found:
            raise InputError(
                f"{key}: found {found[path.stem]} and {path}; allowed: names that differ before the ending"
            )
        found[path.stem] = str(path)
    if not found:
        raise InputError(f"{key}: found no image in {folder}; allowed: files ending in {', '.join(ENDINGS)}")
    return found


def settings_of(image: str, reconstruction: Mapping[str, Any]) -> dict[str, Any]:
    """
    Join the settings of one image: those of all, and its own in their place.

    Parameters
    ----------
    image : str
        Name of the file without its ending.
    reconstruction : mapping
        Section of the configuration: `settings`, and `own` by image.

    Returns
    -------
    dict
        By the keys of `OPTIONS`.
    """
    return {**reconstruction.get("settings", {}), **reconstruction.get("own", {}).get(image, {})}


def check_own_settings(reconstruction: Mapping[str, Any], images: Mapping[str, str]) -> None:
    """Refuse settings of images that are not there."""
    unknown = sorted(set(reconstruction.get("own", {})) - set(images))
    if unknown:
        raise InputError(
            f"configuration: reconstruction.own: found {unknown[0]!r}; allowed: images of the folder without their "
            f"endings, {', '.join(images)}"
        )


def command_options(settings: Mapping[str, Any]) -> list[str]:
    """Write settings as options of `iphasenet reconstruct`."""
    options: list[str] = []
    for name, value in settings.items():
        if isinstance(value, bool):
            options += [OPTIONS[name]] if value else []
        else:
            options += [OPTIONS[name], *map(_text, value if isinstance(value, list) else [value])]
    return options


def _text(value: Any) -> str:
    """Write a number without an exponent: `-1e-05` would be taken for an option."""
    return np.format_float_positional(value, trim="-") if isinstance(value, float) else str(value)
