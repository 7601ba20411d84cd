"""Report of what a file of images holds, for people and programs; nothing is integrated or reconstructed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from iphasenet.base.errors import InputError
from iphasenet.base.file_checks import check_file
from iphasenet.base.quantities import counted
from iphasenet.microscope_files.array_files import record_array
from iphasenet.microscope_files.axes import Axis
from iphasenet.microscope_files.image_files import images_of, read_recording, signals_of
from iphasenet.microscope_files.merlin_files import look, read_merlin
from iphasenet.microscope_files.recording import Recording, check_alone, is_square
from iphasenet.microscope_files.signal_images import choices_of, record_signals, told
from iphasenet.microscope_files.signals import Signal, load
from iphasenet.microscope_files.virtual_segments import checked_blocks
from iphasenet.planning.image_settings import option_of

_NEEDED = ("thickness_nm", "tilt_deg", "rotation_deg", "sampling_angstrom", "energy_kev", "semiangle_mrad",
           "detector_mrad", "beam_intensity", "segment_order")  # fmt: skip
"""Settings that every reconstruction needs."""

_SHOWN = {
    "energy_kev": ("energy", "keV"),
    "semiangle_mrad": ("semiangle", "mrad"),
    "dose": ("dose", "e/Å²"),
    "scan_rotation_deg": ("scan rotation", "degrees"),
    "thickness_nm": ("thickness", "nm"),
    "rotation_deg": ("rotation", "degrees"),
    "beam_intensity": ("beam intensity", ""),
    "dark_intensity": ("dark intensity", ""),
}
"""Numbers of an image, with their names and units."""

Facts = dict[str, Any]


def image_facts(path: Path) -> Facts:
    """
    Read a file of images and list what it holds, or refuse it as a reconstruction would.

    Parameters
    ----------
    path : path
        Images of four segments, one of them, or the patterns of a scan; a .hdr stands for its .mib.

    Returns
    -------
    dict
        Plain values for JSON; None where the file says nothing. `kind`, `shape` (of the array: segment, y, x; y, x;
        y, x, row, column of patterns; or number, row, column of patterns without the shape of the scan),
        `sampling_angstrom` [y, x], `energy_kev`, `semiangle_mrad`, `detector_mrad` [inner, outer], `segments` (names;
        none of patterns), `segment_order` (numbers of those top-left, top-right, bottom-left, bottom-right),
        `tilt_deg` [alpha, beta], `camera_pixel` ([row, column], each with its unit), numbers such as `rotation_deg`,
        `detectors` (names, where there are several), `frames` (scans of a series, or 1), `series` (its axis, where it
        is one detector's alone), of a .mib `counter_bits` and `header` (what its .hdr says), `missing` (settings that a
        reconstruction will ask for), `warnings`. Where detectors or scans differ in a value, it is None.

    Raises
    ------
    InputError
        If the file cannot be read as such, or all that it holds would be refused.
    """
    ending = path.suffix.lower()
    if ending == ".hdr" and (mib := path.with_suffix(".mib")).exists():
        facts = _merlin(mib)
        return {**facts, "warnings": [*facts["warnings"], f"shown with {mib.name}, which a reconstruction takes"]}
    if ending == ".mib":
        return _merlin(path)
    if ending == ".npz":
        return _facts_of(read_recording([path]))
    signals = signals_of(path)
    images = images_of(signals)
    if len(images) == 1 and (len(images[0].shape) == 2 or _is_series(images[0])):
        return _alone(images[0], path)
    if ending == ".npy":
        return _facts_of(record_array(signals[0].data, path))
    return _signals(signals, path)


def _is_series(signal: Signal) -> bool:
    return len(signal.shape) == 3 and signal.described_axes[0].role == "series"


def _signals(signals: Sequence[Signal], path: Path) -> Facts:
    """Read all detectors and scans from which a reconstruction must choose."""
    choices = choices_of(signals, path)
    attempts: dict[str, Callable[[], Facts]] = {}
    for name, count in choices.items():
        detector = name if len(choices) > 1 else None
        frames: Iterable[int | None] = range(count) if count > 1 else (None,)
        for frame in frames:
            called = filter(None, (detector, None if frame is None else f"frame {frame}"))
            attempts[" ".join(called)] = partial(_chosen, signals, path, frame, detector)
    facts = _joined(attempts, path)
    most = max(choices.values())
    detectors = list(choices) if len(choices) > 1 else []
    chosen = [name for name, needed in (("detector_name", detectors), ("frame", most > 1)) if needed]
    return {**facts, "detectors": detectors, "frames": most, "missing": [*facts["missing"], *chosen]}


def _chosen(signals: Sequence[Signal], path: Path, frame: int | None, detector: str | None) -> Facts:
    return _facts_of(record_signals(signals, path, frame, detector))


def _joined(attempts: Mapping[str, Callable[[], Facts]], path: Path) -> Facts:
    """Join all parts that can be read; others give a warning, or the error if no part can be read."""
    found: list[Facts] = []
    failed: dict[str, InputError] = {}
    for name, read in attempts.items():
        try:
            found.append(read())
        except InputError as error:
            failed[name] = error
    if not found:
        raise next(iter(failed.values()))
    same = {key: value if all(other[key] == value for other in found) else None for key, value in found[0].items()}
    missing = list(dict.fromkeys(name for facts in found for name in facts["missing"]))
    refused = [f"{name} is refused: {str(error).removeprefix(f'{path}: ')}" for name, error in failed.items()]
    warnings = dict.fromkeys(line for facts in found for line in facts["warnings"])
    return {**same, "segments": same["segments"] or [], "missing": missing, "warnings": [*warnings, *refused]}


def _merlin(path: Path) -> Facts:
    """List what a .mib and its .hdr hold, even if the shape of the scan is unknown."""
    check_file(path)
    header = look(path)
    shape, warnings, missing = header.scan_shape, [], []
    if shape is None or shape[0] * shape[1] < header.count:
        try:
            read_merlin(path)
        except InputError as error:
            warnings, missing = [str(error).removeprefix(f"{path}: ")], ["scan_shape"]
    recording = read_merlin(path, (1, header.count) if missing else None)
    facts = _facts_of(recording)
    if missing:
        facts["shape"] = facts["shape"][1:]
    return {
        **facts,
        "counter_bits": header.depth,
        "header": {name: text for name, text in (header.beside or {}).items() if text},
        "missing": [*facts["missing"], *missing],
        "warnings": [*facts["warnings"], *warnings],
    }


def _alone(signal: Signal, path: Path) -> Facts:
    """List what one of four files holds: an image, or a series of images."""
    axes, known = told(signal, path)
    images = load(signal, path).reshape(-1, *signal.shape[-2:])

    def facts_of(image: Any) -> Facts:
        check_alone(image, axes[-2:], known, str(path))
        return _facts(signal.shape[-2:], axes[-2:], known, [path.stem])

    attempts = {f"frame {index}": partial(facts_of, image) for index, image in enumerate(images)}
    facts = _joined(attempts, path)
    warning = "one image: a reconstruction takes four files"
    series = signal.described_axes[0].called if len(signal.shape) == 3 else None
    if series is not None:
        warning = (
            f"a series of one detector along {series}, not four segments: a reconstruction takes four such files, one "
            "for each segment, and --frame"
        )
    return {**facts, "frames": len(images), "series": series, "warnings": [*facts["warnings"], warning]}


def _facts_of(recording: Recording) -> Facts:
    """List the facts of images or patterns after a check of their values."""
    facts = _facts(
        recording.data.shape,
        recording.axes[:2] if recording.has_patterns else recording.axes[-2:],
        recording.known,
        [] if recording.has_patterns else list(recording.names),
    )
    sampling = recording.sampling
    if sampling is not None and not is_square(sampling):
        facts["warnings"].append(_not_square("pixels", sampling, "Å"))
    if recording.has_patterns:
        for _ in checked_blocks(recording):
            pass
        _add_camera(facts, recording)
    return facts


def _not_square(what: str, sides: tuple[float, float], unit: str) -> str:
    return f"{what} of {sides[1]:g} x {sides[0]:g} {unit} are refused without --resample"


def _facts(shape: Sequence[int], scan: Sequence[Axis], known: Mapping[str, Any], names: list[str]) -> Facts:
    pixels = [axis.pixel for axis in scan]
    inner, outer = known.get("detector_inner_mrad"), known.get("detector_outer_mrad")
    order, tilt = known.get("order"), known.get("tilt_deg")
    facts: Facts = {
        "kind": "image",
        "shape": [int(size) for size in shape],
        "sampling_angstrom": None if None in pixels else pixels,
        "detector_mrad": None if outer is None else [inner, outer],
        "segments": names,
        "segment_order": None if order is None else [index + 1 for index in order],
        "tilt_deg": None if tilt is None else list(tilt),
        **{name: known.get(name) for name in _SHOWN},
        "detectors": [],
        "frames": 1,
        "series": None,
        "warnings": [],
    }
    facts["missing"] = [name for name in _NEEDED if facts[name] is None]
    return facts


def _add_camera(facts: Facts, recording: Recording) -> None:
    """Add the facts of the camera; values that the integration finds from the patterns do not count as missing."""
    camera = recording.axes[2:]
    told = all(axis.step and axis.kind for axis in camera)
    is_angle = told and "camera length" not in [axis.kind for axis in camera]
    facts["camera_pixel"] = [f"{axis.step:g} {axis.unit}" for axis in camera] if told else None
    facts["missing"] = [name for name in facts["missing"] if name not in ("beam_intensity", "segment_order")]
    facts["missing"] += [] if is_angle else ["camera_pixel_mrad"]
    sides = recording.camera_sides
    if sides is not None and not is_square(sides):
        facts["warnings"].append(_not_square("camera pixels", sides, camera[1].unit or "(no unit)"))


def image_text(facts: Mapping[str, Any]) -> str:
    """Write the facts of images for people, without the warnings, which go to stderr."""
    lines = [_first_line(facts)]
    if facts["detectors"]:
        lines.append(f"detectors: {', '.join(facts['detectors'])}")
    if facts["frames"] > 1:
        called = f" of one detector along {facts['series']}" if facts["series"] else ""
        lines.append(f"series: {facts['frames']} scans{called}, 0 to {facts['frames'] - 1}")
    if facts["sampling_angstrom"]:
        high, wide = facts["sampling_angstrom"]
        lines.append(f"pixel: {wide:.5g} x {high:.5g} Å")
    if facts["detector_mrad"]:
        shown = ("unknown" if angle is None else f"{angle:g}" for angle in facts["detector_mrad"])
        lines.append("detector: {} to {} mrad".format(*shown))
    if facts.get("camera_pixel"):
        lines.append(f"camera pixel: {' x '.join(reversed(facts['camera_pixel']))}")
    for name, (called, unit) in _SHOWN.items():
        if facts[name] is not None:
            lines.append(f"{called}: {facts[name]:.6g} {unit}".rstrip())
    if facts["segment_order"]:
        lines.append("top-left, top-right, bottom-left, bottom-right: " + ", ".join(map(str, facts["segment_order"])))
    if facts["tilt_deg"]:
        lines.append("tilt about x, y: {:g}, {:g} degrees".format(*facts["tilt_deg"]))
    if facts.get("counter_bits"):
        lines.append(f"counter: {counted(facts['counter_bits'], 'bit')}")
    lines += [f"{name}: {text}" for name, text in facts.get("header", {}).items()]
    options = [option_of(name) for name in facts["missing"]]
    crystal = [option for option in options if option in _OF_CRYSTAL]
    others = [option for option in options if option not in _OF_CRYSTAL]
    also = f"; for a network of known crystals also {' '.join(crystal)}" if crystal else ""
    lines.append(f"missing: {' '.join(others) or 'nothing'}{also}")
    return "\n".join(lines)


_OF_CRYSTAL = ("--thickness", "--tilt", "--rotation")
"""Options that a network for any crystal does not need."""


def _first_line(facts: Mapping[str, Any]) -> str:
    shape, names = facts["shape"], facts["segments"]
    size = " x ".join(map(str, shape[-2:]))
    if len(shape) == 4:
        number = f"{shape[0]} x {shape[1]} patterns"
    else:
        count = 1 if len(shape) == 2 else shape[0]
        number = counted(count, "image" if names or facts["detectors"] else "pattern")
    return f"image, {number} of {size} pixels" + (f": {', '.join(names)}" if names else "")
