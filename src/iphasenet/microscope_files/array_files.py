"""Images of segments in NumPy's files (.npy, .npz)."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.base.file_checks import check_claim
from iphasenet.microscope.detector import SEGMENTS
from iphasenet.microscope_files.axes import pixel_axes
from iphasenet.microscope_files.numbers import read_number, read_numbers, read_order, read_orientation, read_pixel
from iphasenet.microscope_files.recording import Recording
from iphasenet.microscope_files.segmented_image import QUANTITIES, describe_shape
from iphasenet.microscope_files.signals import reading

_ARRAYS = ("segments", "input")

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
"""Readers of a header by the format's version; the third version, for non-Latin names, is not needed for images."""


def read_npy(path: Path) -> Recording:
    """Read a (4, y, x) array; everything else must be given by name."""
    return record_array(load_npy(path), path)


def load_npy(path: Path) -> NDArray[Any]:
    """Read the array of a .npy file, after a check that its header does not claim more than the file holds."""
    with reading(path), path.open("rb") as stream:
        _check_header(stream, path.stat().st_size, str(path))
        stream.seek(0)
        return np.asarray(np.load(stream, allow_pickle=False))


def read_npz(path: Path) -> Recording:
    """
    Read a .npz.

    Parameters
    ----------
    path : path
        File with `segments` (4, y, x) and any fields of `SegmentedImage`, as numbers, as arrays of one number or as
        text with a unit; `sampling` may be a pixel's height and width. Or a file of the published data set,
        with `input` (4, y, x), fractions of the beam current, and `rotation` (`numbers.read_orientation`); or a file
        with one array.

    Returns
    -------
    Recording
        The images. Their order is known if the file is one of the published set, or holds `order`.
    """
    # Opened here, because NumPy leaves a damaged file open.
    with reading(path), path.open("rb") as stream:
        _check_members(stream, path)
        with np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    named = [name for name in _ARRAYS if name in arrays] or list(arrays)
    name = named[0] if len(named) == 1 else None
    if name is None:
        raise InputError(f"{path}: found the arrays {', '.join(arrays) or 'none'}; allowed: one, `segments` or `input`")
    known: dict[str, Any] = {
        key: read_number(arrays[key], quantity.unit, f"{path}: {key}")
        for key, quantity in QUANTITIES.items()
        if key in arrays and key != "sampling"
    }
    known |= read_orientation(arrays, str(path), published=name == "input")
    if name == "input":
        known |= {"beam_intensity": 1.0, "order": (0, 1, 2, 3), "names": SEGMENTS, "scan_rotation_deg": 0.0}
    if "order" in arrays:
        known["order"] = read_order(arrays["order"], f"{path}: order")
    if "names" in arrays:
        known["names"] = tuple(str(value) for value in np.ravel(arrays["names"]))
    if "sampling" in arrays:
        known["sampling"] = read_pixel(arrays["sampling"], f"{path}: sampling")
    if "origin" in arrays:
        known["origin"] = read_numbers(arrays["origin"], 2, "Å", f"{path}: origin")
    return record_array(arrays[name], path, known)


def _check_members(stream: IO[bytes], path: Path) -> None:
    """Refuse an archive with an array that claims more than its bytes can hold."""
    stored = path.stat().st_size
    with zipfile.ZipFile(stream) as archive:
        for entry in archive.infolist():
            name = f"{path}: {entry.filename}"
            check_claim(name, (entry.file_size,), 1, stored, entry.compress_type != zipfile.ZIP_STORED)
            if entry.filename.endswith(".npy"):
                with archive.open(entry) as member:
                    _check_header(member, entry.file_size, name)
    stream.seek(0)


def _check_header(stream: IO[bytes], stored: int, source: str) -> None:
    """Refuse an array whose header claims more than the file holds."""
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        return
    shape, _, dtype = _HEADERS[version](stream)
    if not dtype.hasobject:
        check_claim(source, shape, dtype.itemsize, stored, compressed=False)


def record_array(images: NDArray[Any], path: Path, fields: Mapping[str, Any] | None = None) -> Recording:
    """Make a recording of an array (4, y, x) and the file's fields of a `SegmentedImage`; `sampling` has two sides."""
    known = dict(fields or {})
    if images.ndim == 4:
        raise InputError(f"{path}: found {describe_shape(images.shape)}; allowed: four segments' images (4, y, x)")
    chosen = {"names": known.pop("names")} if "names" in known else {}
    axes = pixel_axes(known.pop("sampling", None), known.pop("origin", (0.0, 0.0)))
    return Recording(images, str(path), axes, known=known, **chosen)
