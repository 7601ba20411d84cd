"""Images of segments in numpy's files (.npy, .npz), and the pixel size of a .tif."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from iphasenet.detector import SEGMENTS
from iphasenet.errors import InputError
from iphasenet.user_images.segmented_image import SegmentedImage, check_saturation
from iphasenet.user_images.signals import length, reading

_ARRAYS = ("segments", "input")
_NUMBERS = tuple(
    entry.name for entry in fields(SegmentedImage) if entry.name not in ("segments", "source", "names", "order")
)


def read_npy(path: Path) -> SegmentedImage:
    """Read a (4, y, x) array; everything else must be given by name."""
    with reading(path):
        images = np.load(path, allow_pickle=False)
    return _image(images, path, {})


def read_npz(path: Path) -> SegmentedImage:
    """
    Read a .npz.

    Parameters
    ----------
    path : path
        File with `segments` (4, y, x) and any fields of `SegmentedImage` as numbers; or of the published data set,
        with `input` (4, y, x), fractions of the beam current, and `rotation` gamma, alpha, beta; or with one array.

    Returns
    -------
    SegmentedImage
        The images. Those of the published set, and those whose `order` is stored, are ordered.
    """
    # Opened here: of a damaged file numpy leaves it open.
    with reading(path), path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    name = next((name for name in _ARRAYS if name in arrays), next(iter(arrays)) if len(arrays) == 1 else None)
    if name is None:
        raise InputError(f"{path}: found the arrays {', '.join(arrays) or 'none'}; allowed: one, `segments` or `input`")
    known: dict[str, Any] = {key: _value(arrays[key]) for key in _NUMBERS if key in arrays}
    if name == "input":
        known |= {"beam_intensity": 1.0, "order": (0, 1, 2, 3), "names": SEGMENTS, "scan_rotation_deg": 0.0}
        if len(known.get("rotation", ())) == 3:
            gamma, alpha, beta = known["rotation"]
            known["rotation"] = (alpha, beta, gamma)
    if "order" in arrays:
        known["order"] = tuple(int(value) for value in arrays["order"])
    if "names" in arrays:
        known["names"] = tuple(str(value) for value in arrays["names"])
    return _image(arrays[name], path, known)


def _value(array: NDArray[Any]) -> Any:
    """Convert an array of a file to a number or a tuple of numbers."""
    return float(array) if array.ndim == 0 else tuple(float(value) for value in array)


def _image(images: NDArray[Any], path: Path, known: Mapping[str, Any]) -> SegmentedImage:
    if not (np.issubdtype(images.dtype, np.integer) or np.issubdtype(images.dtype, np.floating)):
        raise InputError(f"{path}: found values of type {images.dtype}; allowed: real numbers")
    image = SegmentedImage(segments=images, source=str(path), **known)
    check_saturation(images, str(path))
    return image


def tif_origin(path: Path, sampling: float | None) -> tuple[float, float]:
    """Where ImageJ's axes have the first pixel of a .tif: x, y [Å]; 0 where it does not say."""
    with reading(path), tifffile.TiffFile(path) as file:
        described = file.imagej_metadata or {}
    x, y = (-float(described.get(name, 0)) * (sampling or 0) for name in ("xorigin", "yorigin"))
    return x, y


def tif_sampling(path: Path) -> float | None:
    """
    Pixel size of a .tif [Å] that ImageJ or a writer of OME's metadata calibrated; None where there is none.

    RosettaSciIO knows the units of several microscopes' .tif, but of ImageJ's only the micron, and not OME's.
    """
    with reading(path), tifffile.TiffFile(path) as file:
        described = file.imagej_metadata or {}
        resolution = file.pages.first.tags.get("XResolution")
        tree = tifffile.xml2dict(file.ome_metadata) if file.ome_metadata else {}
    unit = length(str(described.get("unit", "")).replace("\\u00B5", "µ"))
    if unit and resolution is not None and resolution.value[0]:
        return unit * resolution.value[1] / resolution.value[0]
    image = tree.get("OME", {}).get("Image", {})
    pixels = (image[0] if isinstance(image, list) else image).get("Pixels", {})
    size, unit = pixels.get("PhysicalSizeX"), length(pixels.get("PhysicalSizeXUnit", "µm"))
    return float(size) * unit if size and unit else None
