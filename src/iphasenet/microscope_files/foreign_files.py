"""Writing of a segmented image as a microscope or another program would: for examples, tests and exchange.

`image_files.read_image` can read every such file. Only .npz, .hspy and .zspy hold all that is known about an image.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import fields
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_file, write_npz
from iphasenet.base.marks import IMAGE, KEY, mark_text
from iphasenet.microscope.detector import SEGMENTS
from iphasenet.microscope_files.hyperspy_files import image_axes, write_hyperspy
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.microscope_files.signals import Signal
from iphasenet.microscope_files.velox_files import LETTERS, VELOX_ORDER

WITHOUT_BEAM = (".emd", ".tif", ".npy")
"""Endings of files that cannot hold the intensity of the whole beam."""

_UNORDERED = (".tif", ".npy")
"""Endings of files that do not say which of their images is which segment."""

_METADATA_BYTES = 60000
"""Size of an image's metadata in Velox's files, filled with zeros."""


def write_image(image: SegmentedImage, path: Path, dtype: Any = np.float32) -> None:
    """
    Write the segments' images; the file appears whole or not at all.

    Parameters
    ----------
    image : SegmentedImage
        Intensities; .emd needs their order.
    path : path
        File to be made. By its ending: .emd (as Velox writes it, the segments named DF4-A to DF4-D), .hspy or .zspy (a
        stack), .tif (an ImageJ stack, calibrated in nm), .npz or .npy. A .tif or .npy cannot hold an order: if the
        image has one, the planes are written as top-left, top-right, bottom-left and bottom-right.
    dtype : type
        float32, or an integer type for whole counts, such as uint16.

    Raises
    ------
    InputError
        If the ending is another one, counts do not fit the type, or an .emd has no order or pixel size.
    """
    ending = path.suffix.lower()
    if ending not in _WRITERS:
        raise InputError(f"{path}: found the ending '{path.suffix}'; allowed: {', '.join(_WRITERS)}")
    values = _typed(image, np.dtype(dtype))
    if ending in _UNORDERED and image.order is not None:
        values = values[list(image.order)]
    _WRITERS[ending](image, path, values)


def _typed(image: SegmentedImage, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values in the given type."""
    if np.issubdtype(dtype, np.integer):
        limits, counts = np.iinfo(dtype), np.rint(image.segments)
        if counts.min() < limits.min or counts.max() > limits.max:
            raise InputError(f"{image.source}: found counts from {counts.min():g} to {counts.max():g}; "
                             f"allowed as {dtype}: {limits.min} to {limits.max}")  # fmt: skip
        return counts.astype(dtype)
    return image.segments.astype(dtype)


def _known(image: SegmentedImage) -> dict[str, Any]:
    """Known fields, except the images and their source."""
    found = {entry.name: getattr(image, entry.name) for entry in fields(image)}
    return {name: value for name, value in found.items() if value is not None and name not in ("segments", "source")}


def _write_npy(_image: SegmentedImage, path: Path, values: NDArray[Any]) -> None:
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, values)


def _write_npz(image: SegmentedImage, path: Path, values: NDArray[Any]) -> None:
    write_npz(path, {"segments": values, **_known(image)}, IMAGE)


def _write_tif(image: SegmentedImage, path: Path, values: NDArray[Any]) -> None:
    if values.dtype not in (np.float32, np.uint16, np.uint8):
        raise InputError(f"{path}: found the type {values.dtype}; allowed in ImageJ's .tif: float32, uint16, uint8")
    metadata: dict[str, Any] = {
        "axes": "ZYX",
        "Labels": list(image.names if image.order is None else SEGMENTS),
        "made_by": mark_text(IMAGE),
    }
    resolution = None
    if image.sampling is not None:
        metadata |= {"unit": "nm", "spacing": 1.0}
        resolution = (10 / image.sampling, 10 / image.sampling)
        metadata |= imagej_origin(image.origin, image.sampling)
    with atomic_file(path) as temporary:
        tifffile.imwrite(temporary, values, imagej=True, resolution=resolution, metadata=metadata)


def imagej_origin(origin: tuple[float, float], sampling: float) -> dict[str, float]:
    """Origin in ImageJ's terms: the pixel in which the zero of the axes lies."""
    return {"xorigin": -origin[0] / sampling, "yorigin": -origin[1] / sampling}


def _write_signal(image: SegmentedImage, path: Path, values: NDArray[Any]) -> None:
    microscope = {"beam_energy": image.energy_kev, "convergence_angle": image.semiangle_mrad}
    metadata: Mapping[str, Any] = {
        "Acquisition_instrument": {"TEM": {name: value for name, value in microscope.items() if value is not None}},
        "iphasenet": {
            name: list(value) if isinstance(value, tuple) else value for name, value in _known(image).items()
        },
    }
    axes = image_axes(values.shape, image.sampling, "segment", origin=image.origin)
    write_hyperspy(path, [Signal("segments", values, axes, metadata)], IMAGE)


def _write_velox(image: SegmentedImage, path: Path, values: NDArray[Any]) -> None:
    """Write four segments like Velox 2.15 (version 9 of its format), with all that readers need."""
    if image.order is None or image.sampling is None:
        raise InputError(f"{path}: the order of the segments or the pixel size is missing; the format needs both")
    # image.order leads from places to the file's segments, VELOX_ORDER from places to letters.
    of_letter = {letter: image.order[VELOX_ORDER.index(index)] for index, letter in enumerate(LETTERS)}
    stream = BytesIO()
    # In memory: of a full disk HDF5 makes a segmentation fault, when Python ends.
    with h5py.File(stream, "w") as file:
        file.attrs[KEY] = mark_text(IMAGE)
        _json(file, "Version", {"version": "9", "format": "Velox"})
        for number, (letter, index) in enumerate(of_letter.items()):
            key = uuid.uuid5(uuid.NAMESPACE_OID, letter).hex
            group = file.create_group(f"Data/Image/{key}")
            group.create_dataset("Data", data=values[index][..., None], chunks=(*values.shape[1:], 1))
            group.create_dataset("FrameLookupTable", data=np.zeros(1, np.uint32))
            group.create_dataset("Metadata", data=_encoded(_velox_metadata(image, values.dtype)))
            operation = {
                "dataPath": f"/Data/Image/{key}",
                "detector": f"DF4-{letter}",
                "detectorInfo": {"name": "DF4", "segments": [{"index": str(number), "polarity": "Positive"}]},
            }
            _json(file, f"Operations/StemInputOperation/{uuid.uuid5(uuid.NAMESPACE_URL, letter).hex}", operation)
    with atomic_file(path) as temporary:
        temporary.write_bytes(stream.getvalue())


def _json(file: Any, name: str, value: Mapping[str, Any]) -> None:
    """Write a dataset of one string, as Velox keeps its settings."""
    file.create_dataset(name, data=np.array([json.dumps(value).encode()], dtype=object), dtype=h5py.string_dtype())


def _encoded(metadata: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Metadata as a column of bytes, filled with zeros."""
    text = json.dumps(metadata).encode()
    column = np.zeros((max(_METADATA_BYTES, len(text)), 1), np.uint8)
    column[: len(text), 0] = np.frombuffer(text, np.uint8)
    return column


def _velox_metadata(image: SegmentedImage, dtype: np.dtype[Any]) -> dict[str, Any]:
    """Describe the microscope in Velox's terms: numbers as strings, in m, V and rad; unknown ones are zero."""
    metre = 1e-10 * (image.sampling or 0)
    rotation = np.deg2rad(45 - (image.scan_rotation_deg or 0))
    limits = {"MaxPossiblePixelValue": np.iinfo(dtype).max} if np.issubdtype(dtype, np.integer) else {}
    angles = {"begin": _radians(image.detector_inner_mrad), "end": _radians(image.detector_outer_mrad)}
    custom = {name: {"type": "double", "value": repr(float(value))}
              for name, value in {"DetectorRotation": rotation, **limits}.items()}  # fmt: skip
    return {
        "Core": {"MetadataDefinitionVersion": "7.9", "MetadataSchemaVersion": "v1/2013/07"},
        "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "0"}},
        "Optics": {
            "AccelerationVoltage": repr(1e3 * (image.energy_kev or 0)),
            "BeamConvergence": _radians(image.semiangle_mrad),
        },
        "Scan": {"ScanSize": {"width": str(image.segments.shape[2]), "height": str(image.segments.shape[1])},
                 "FrameTime": "1", "ScanRotation": "0"},
        "Detectors": {"Detector-0": {"DetectorName": "DF4", "DetectorType": "ScanningDetector",
                                     "CollectionAngleRange": angles}},
        "BinaryResult": {
            "DetectorIndex": "0",
            "Detector": "DF4",
            "PixelSize": {"width": repr(metre), "height": repr(metre)},
            "PixelUnitX": "m",
            "PixelUnitY": "m",
            "Offset": dict(zip("xy", (repr(1e-10 * place) for place in image.origin), strict=True)),
        },
        "CustomProperties": custom,
    }  # fmt: skip


def _radians(mrad: float | None) -> str:
    return repr(1e-3 * (mrad or 0))


_WRITERS: dict[str, Callable[[SegmentedImage, Path, NDArray[Any]], None]] = {
    ".emd": _write_velox,
    ".hspy": _write_signal,
    ".zspy": _write_signal,
    ".tif": _write_tif,
    ".npz": _write_npz,
    ".npy": _write_npy,
}

ENDINGS = tuple(_WRITERS)
"""Endings of the files that are written."""
