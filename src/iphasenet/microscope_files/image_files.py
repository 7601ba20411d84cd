"""Reading of a microscope's images of four segments from any file that holds them.

| ending | what |
|---|---|
| .emd | Velox with the segments A to D; Berkeley's with a stack or patterns |
| .hspy, .hdf5, .zspy, .nxs | a stack (4, y, x), four images, or patterns (y, x, row, column) |
| .dm3, .dm4, .tif | a stack, four images, or four files of one image each |
| .mib, .h5 (py4DSTEM) | patterns |
| .npy, .npz | a stack; .npy also four files |
| .zarr | a sample of the data set, or a simulation by `iphasenet simulate` |
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from iphasenet.base.errors import InputError, InputWarning
from iphasenet.base.file_checks import check_file
from iphasenet.microscope.detector import SEGMENTS
from iphasenet.microscope_files.array_files import load_npy, read_npy, read_npz
from iphasenet.microscope_files.axes import Axis
from iphasenet.microscope_files.dataset_image import read_sample
from iphasenet.microscope_files.merlin_files import read_merlin
from iphasenet.microscope_files.recording import Recording
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.microscope_files.signal_files import read_signals
from iphasenet.microscope_files.signal_images import join_images, record_signals, refuse_choices, told
from iphasenet.microscope_files.signals import Signal, reading
from iphasenet.microscope_files.simulated_image import is_simulation, read_simulation
from iphasenet.microscope_files.virtual_segments import VirtualDetector, integrate_segments

_STORE = ".zarr"


def read_image(
    path: Path | Sequence[Path],
    sample: str | None = None,
    dose: float | None = None,
    frame: int | None = None,
    detector: VirtualDetector | None = None,
    scan_shape: tuple[int, int] | None = None,
    energy_kev: float | None = None,
    detector_name: str | None = None,
    resample: bool = False,
) -> SegmentedImage:
    """
    Read the images of four segments, and the calibrations that the file holds.

    Parameters
    ----------
    path : path, or four of them
        One file or data set, or one file for each segment, in the wanted order.
    sample : str, optional
        The sample_id of a sample, for a data set.
    dose : float, optional
        Dose [e/Å²] of the fixed noise, for a data set.
    frame : int, optional
        Number of the scan, from 0, for a series of scans.
    detector : VirtualDetector, optional
        Segments over which patterns are integrated, for 4D-STEM data.
    scan_shape : (int, int), optional
        Rows and columns of the scan, for a .mib file; they replace those of the .hdr beside it.
    energy_kev : float, optional
        Energy [keV] that converts a camera calibrated in inverse lengths into angles, for 4D-STEM data.
    detector_name : str, optional
        Name of the detector, for a file with several segmented detectors.
    resample : bool
        Interpolate images whose pixels are not square; without it they are refused.

    Returns
    -------
    SegmentedImage
        Intensities as in the file, in its order.

    Raises
    ------
    InputError
        If there are not four images, one is damaged, saturated or not finite, or a choice is missing.
    """
    paths = [Path(path)] if isinstance(path, str | Path) else [Path(one) for one in path]
    if len(paths) == 1 and paths[0].suffix.lower() == _STORE:
        (only,) = paths
        _refuse_camera(only, detector)
        refuse_choices(str(only), frame, detector_name)
        _tell_resample(str(only), resample, True)
        if not is_simulation(only):
            return read_sample(only, sample, dose)
        if sample is not None:
            raise InputError(f"{only}: sample: found {sample!r}, but the file holds one simulation: remove it")
        return read_simulation(only)
    recording = read_recording(paths, frame, scan_shape, detector_name)
    _tell_resample(recording.source, resample, recording.is_square)
    if recording.has_patterns:
        return _integrated(recording, detector, energy_kev, resample).image(resample)
    _refuse_camera(paths[0], detector)
    return recording.image(resample)


def read_recording(
    paths: Sequence[Path],
    frame: int | None = None,
    scan_shape: tuple[int, int] | None = None,
    detector_name: str | None = None,
) -> Recording:
    """Read one file, or four files with one image each; arguments and errors as in `read_image`."""
    if len(paths) != 1:
        refuse_choices(str(paths[0]), None, detector_name)
        return _read_four(paths, frame)
    (path,) = paths
    ending = path.suffix.lower()
    if ending in (".npy", ".npz", ".mib"):
        check_file(path)
        refuse_choices(str(path), frame, detector_name)
    if ending == ".npy":
        return read_npy(path)
    if ending == ".npz":
        return read_npz(path)
    return (
        read_merlin(path, scan_shape)
        if ending == ".mib"
        else record_signals(read_signals(path), path, frame, detector_name)
    )


def _tell_resample(source: str, resample: bool, is_square: bool) -> None:
    """Warn of a choice without effect; it is no error, because settings of a folder hold for all of its images."""
    if resample and is_square:
        warnings.warn(f"{source}: resample: all pixels are square already; it has no effect", InputWarning,
                      stacklevel=3)  # fmt: skip


def _refuse_camera(path: Path, detector: VirtualDetector | None) -> None:
    """Refuse settings of a camera if there are no patterns."""
    if detector is not None and detector.has_camera:
        raise InputError(
            f"{path}: camera: its pixel, centre or rotation has no effect for images: remove it; it is for 4D-STEM "
            "patterns"
        )


def _read_four(paths: Sequence[Path], frame: int | None) -> Recording:
    """Read one image from each of four files."""
    if len(paths) != 4:
        raise InputError(f"segments: found {len(paths)} files; allowed: one file, or one for each of four segments")
    chosen, described = [], []
    alike = len({path.stem for path in paths}) < len({path.parent for path in paths})
    for path in paths:
        images = images_of(signals_of(path))
        if len(images) != 1:
            raise InputError(f"{path}: found {len(images) or 'no'} images; allowed: one in each of four files")
        chosen.append(replace(images[0], title=f"{path.parent.name}/{path.stem}" if alike else path.stem))
        described.append(told(images[0], path))
    return join_images(chosen, described, paths[0], frame)


def signals_of(path: Path) -> list[Signal]:
    """Read the signals of a file; a .npy is one."""
    if path.suffix.lower() != ".npy":
        return read_signals(path)
    check_file(path)
    array = load_npy(path)
    return [Signal(path.stem, array, ({},) * array.ndim)]


def images_of(signals: Sequence[Signal]) -> list[Signal]:
    """Choose the signals that are images, or series of them."""
    return [signal for signal in signals if len(signal.shape) >= 2 and min(signal.shape[-2:]) > 1]


def _integrated(
    recording: Recording, detector: VirtualDetector | None, energy: float | None, resample: bool
) -> Recording:
    """Integrate the patterns of a 4D-STEM data set."""
    source = recording.source
    if detector is None:
        rows, columns, *pattern = recording.data.shape
        raise InputError(
            f"{source}: found {rows} x {columns} patterns of {pattern[0]} x {pattern[1]} pixels; "
            "give the inner and outer angle of the segments (--detector)"
        )
    energy = energy or recording.known.get("energy_kev")
    with reading(Path(source)):
        result = integrate_segments(recording, detector, energy, resample)
    known = dict(recording.known) | {
        "order": (0, 1, 2, 3),
        "energy_kev": energy,
        "detector_inner_mrad": detector.inner_mrad,
        "detector_outer_mrad": detector.outer_mrad,
        "beam_intensity": result.beam_intensity,
        "scan_rotation_deg": 0.0,
    }
    # Saturated pixels of the camera were refused above; the sums have no largest count.
    return Recording(result.segments, source, (Axis("segment"), *recording.axes[:2]), SEGMENTS, known)
