"""A microscope's images of four segments, from any file that holds them.

| ending | what |
|---|---|
| .emd | Velox with the segments A to D; Berkeley's with a stack or patterns |
| .hspy, .zspy, .nxs | a stack (4, y, x), four images, or patterns (y, x, row, column) |
| .dm3, .dm4, .tif | a stack, four images, or four files of one image each |
| .mib, .h5 (py4DSTEM) | patterns |
| .npy, .npz | a stack |
| .zarr | a sample of the data set, or what `iphasenet simulate` wrote |
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.detector import SEGMENTS
from iphasenet.errors import InputError
from iphasenet.user_images.array_files import read_npy, read_npz, tif_origin, tif_sampling
from iphasenet.user_images.dataset_image import read_sample
from iphasenet.user_images.merlin_files import check_whole, largest_count
from iphasenet.user_images.segmented_image import SegmentedImage, check_saturation, describe_shape
from iphasenet.user_images.signals import Signal, load, read_signals, reading, walk
from iphasenet.user_images.simulated_image import is_simulation, read_simulation
from iphasenet.user_images.velox_files import VELOX_ORDER, choose_segments, describe_microscope, is_velox, largest_value
from iphasenet.user_images.virtual_segments import VirtualDetector, integrate_segments

_TEM = "Acquisition_instrument.TEM"
_OWN = (
    "sampling",
    "energy_kev",
    "semiangle_mrad",
    "detector_inner_mrad",
    "detector_outer_mrad",
    "dose",
    "beam_intensity",
    "dark_intensity",
    "scan_rotation_deg",
    "thickness_nm",
)


def read_image(
    path: Path | Sequence[Path],
    sample: str | None = None,
    dose: float | None = None,
    frame: int | None = None,
    detector: VirtualDetector | None = None,
    scan_shape: tuple[int, int] | None = None,
    energy_kev: float | None = None,
) -> SegmentedImage:
    """
    Read the images of four segments and what the file knows of the microscope.

    Parameters
    ----------
    path : path, or four of them
        One file or data set, or a file for each segment in the order that is wanted.
    sample : str, optional
        Of a data set: the sample_id.
    dose : float, optional
        Of a data set: take the images with the fixed noise of this dose [e/Å²].
    frame : int, optional
        Of a series of scans: which one, from 0.
    detector : VirtualDetector, optional
        Of 4D-STEM patterns: the segments over which they are integrated.
    scan_shape : (int, int), optional
        Of a .mib without its .hdr: rows and columns of the scan.
    energy_kev : float, optional
        Of 4D-STEM patterns: the energy [keV], by which a camera calibrated in inverse lengths is turned into angles.

    Returns
    -------
    SegmentedImage
        Intensities as they stand in the file, in its order.

    Raises
    ------
    InputError
        When there are no four images, one is damaged, saturated or not finite, or a choice is missing.
    """
    paths = [Path(path)] if isinstance(path, str | Path) else [Path(one) for one in path]
    if len(paths) != 1:
        return _read_four(paths, frame)
    (only,) = paths
    if only.suffix.lower() in (".npy", ".npz", ".zarr"):
        _refuse_unused(only, sample, frame, detector)
    if only.suffix.lower() in (".npy", ".npz"):
        _check_exists(only)
        return (read_npy if only.suffix.lower() == ".npy" else read_npz)(only)
    if only.suffix.lower() == ".zarr":
        return read_simulation(only) if is_simulation(only) else read_sample(only, sample, dose)
    signals = _read_merlin(only, scan_shape) if only.suffix.lower() == ".mib" else read_signals(only)
    return _from_signals(signals, only, frame, detector, energy_kev)


def _refuse_unused(path: Path, sample: str | None, frame: int | None, detector: VirtualDetector | None) -> None:
    """Refuse choices that have no effect on images of one scan."""
    _refuse_camera(path, detector)
    if frame is not None:
        raise InputError(f"{path}: frame: found {frame} for one scan; allowed: none")
    if sample is not None and is_simulation(path):
        raise InputError(f"{path}: sample: found {sample!r} for one simulation; allowed: none")


def _refuse_camera(path: Path, detector: VirtualDetector | None) -> None:
    """Refuse a camera for what are no patterns."""
    if detector is not None and detector.has_camera:
        raise InputError(
            f"{path}: camera: found its pixel, centre or rotation for images; allowed: for 4D-STEM patterns"
        )


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{path}: found no such file; allowed: a file that exists")


def _read_merlin(path: Path, scan_shape: tuple[int, int] | None) -> list[Signal]:
    """Read a .mib, whose scan may have to be given its shape."""
    signals = read_signals(path, **({"navigation_shape": scan_shape[::-1]} if scan_shape else {}))
    check_whole(signals[0], path, scan_shape)
    return signals


def _from_signals(
    signals: Sequence[Signal], path: Path, frame: int | None, detector: VirtualDetector | None, energy: float | None
) -> SegmentedImage:
    if is_velox(signals):
        _refuse_camera(path, detector)
        chosen = choose_segments(signals, path)
        first = chosen[0]
        fields = describe_microscope(first) | {
            "order": VELOX_ORDER,
            "sampling": first.sampling(str(path)),
            "origin": first.origin,
        }
        return _stack(chosen, path, frame, fields, largest_value(first))
    patterns = [signal for signal in signals if len(signal.shape) == 4]
    if patterns:
        return _integrated(patterns, path, detector, energy)
    _refuse_camera(path, detector)
    stacks = [signal for signal in signals if len(signal.shape) == 3]
    if len(stacks) == 1:
        return _from_stack(stacks[0], path)
    images = [signal for signal in signals if len(signal.shape) == 2 and min(signal.shape) > 1]
    if len(images) != 4:
        shapes = "; ".join(describe_shape(signal.shape) for signal in signals) or "nothing"
        raise InputError(f"{path}: found {shapes}; allowed: four images, a stack (4, y, x), or patterns of a scan")
    return _stack(images, path, frame, _known(images[0], path), None)


def _read_four(paths: Sequence[Path], frame: int | None) -> SegmentedImage:
    """Read one image from each of four files."""
    if len(paths) != 4:
        raise InputError(f"segments: found {len(paths)} files; allowed: one file, or one for each of four segments")
    chosen = []
    for path in paths:
        images = [signal for signal in read_signals(path) if len(signal.shape) >= 2 and min(signal.shape[-2:]) > 1]
        if len(images) != 1:
            raise InputError(f"{path}: found {len(images)} images; allowed: one in each of four files")
        chosen.append(replace(images[0], title=path.stem))
    return _stack(chosen, paths[0], frame, _known(chosen[0], paths[0]), None)


def _stack(
    signals: Sequence[Signal], path: Path, frame: int | None, fields: Mapping[str, Any], maximum: float | None
) -> SegmentedImage:
    """Put four signals of one image each together."""
    source = str(path)
    shapes = {signal.shape for signal in signals}
    if len(shapes) != 1:
        found = ", ".join(f"{signal.title}: {' x '.join(map(str, signal.shape))}" for signal in signals)
        raise InputError(f"{source}: found images of different shapes ({found}); allowed: one shape")
    images = np.stack([_one_frame(load(signal, path), frame, source) for signal in signals])
    names = tuple(signal.title or str(number) for number, signal in enumerate(signals, 1))
    return _checked(images, source, {"names": names, **fields}, maximum)


def _one_frame(image: NDArray[Any], frame: int | None, source: str) -> NDArray[Any]:
    """Take the image of one scan out of a series."""
    if image.ndim == 3 and len(image) == 1:
        image = image[0]
    if image.ndim == 2:
        return image
    if image.ndim != 3 or frame is None or not 0 <= frame < len(image):
        found = "none" if frame is None else str(frame)
        raise InputError(
            f"{source}: frame: found {found} for a series of {len(image)} scans; "
            f"allowed: one of 0 to {len(image) - 1}; scans are not summed, for the sample drifts"
        )
    taken: NDArray[Any] = image[frame]
    return taken


def _from_stack(signal: Signal, path: Path) -> SegmentedImage:
    """Take a signal (4, y, x) apart."""
    if signal.shape[0] != 4:
        raise InputError(f"{path}: found {describe_shape(signal.shape)}; allowed: four segments' images (4, y, x)")
    return _checked(load(signal, path), str(path), _known(signal, path), None)


def _checked(images: NDArray[Any], source: str, fields: Mapping[str, Any], maximum: float | None) -> SegmentedImage:
    if not (np.issubdtype(images.dtype, np.integer) or np.issubdtype(images.dtype, np.floating)):
        raise InputError(f"{source}: found values of type {images.dtype}; allowed: real numbers")
    image = SegmentedImage(segments=images, source=source, **fields)
    check_saturation(images, source, maximum)
    return image


def _integrated(
    patterns: Sequence[Signal], path: Path, detector: VirtualDetector | None, energy: float | None
) -> SegmentedImage:
    """Integrate the patterns of a 4D-STEM data set."""
    source = str(path)
    if len(patterns) != 1:
        raise InputError(f"{source}: found {len(patterns)} sets of patterns; allowed: one")
    if patterns[0].axes[0].get("name") == "sample":
        raise InputError(
            f"{source}: found all samples of a material; allowed: one sample, as `iphasenet export --sample` writes it"
        )
    if detector is None:
        rows, columns, *pattern = patterns[0].shape
        raise InputError(
            f"{source}: found {rows} x {columns} patterns of {pattern[0]} x {pattern[1]} pixels; "
            "allowed: with inner and outer angle of the segments by name"
        )
    known = _known(replace(patterns[0], axes=patterns[0].axes[:2]), path)
    energy = energy or known.get("energy_kev")
    with reading(path):
        result = integrate_segments(patterns[0], detector, energy, source, largest_count(patterns[0]))
    fields = known | {
        "names": SEGMENTS,
        "order": (0, 1, 2, 3),
        "energy_kev": energy,
        "detector_inner_mrad": detector.inner_mrad,
        "detector_outer_mrad": detector.outer_mrad,
        "beam_intensity": result.beam_intensity,
        "scan_rotation_deg": 0.0,
    }
    return SegmentedImage(segments=result.segments, source=source, **fields)


def _known(signal: Signal, path: Path) -> dict[str, Any]:
    """Fields of a `SegmentedImage` that HyperSpy's metadata hold: the general ones, then this program's own."""
    fields: dict[str, Any] = {"sampling": signal.sampling(str(path)), "origin": signal.origin}
    if fields["sampling"] is None and path.suffix.lower() in (".tif", ".tiff"):
        fields["sampling"] = tif_sampling(path)
        fields["origin"] = tif_origin(path, fields["sampling"])
    for name, place in (("energy_kev", "beam_energy"), ("semiangle_mrad", "convergence_angle")):
        value = signal.lookup(f"{_TEM}.{place}")
        if value is not None and float(value) > 0:
            fields[name] = float(value)
    own, optics = walk(signal.metadata, "iphasenet") or {}, walk(signal.original, "configuration.optics") or {}
    for name in _OWN:
        value = own.get(name, optics.get(name))
        if isinstance(value, float | int | np.number):
            fields[name] = float(value)
    if {"alpha", "beta", "gamma"} <= own.keys():
        fields["rotation"] = tuple(float(own[name]) for name in ("alpha", "beta", "gamma"))
    if list(own.get("segments", ())) == list(SEGMENTS):
        fields |= {"names": SEGMENTS, "order": (0, 1, 2, 3), "beam_intensity": 1.0, "scan_rotation_deg": 0.0}
    if "order" in own:
        fields["order"] = tuple(int(value) for value in own["order"])
    if "names" in own:
        fields["names"] = tuple(str(value) for value in own["names"])
    return fields
