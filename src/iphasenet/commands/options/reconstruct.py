"""Options of `iphasenet reconstruct`."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from iphasenet.base import quantities
from iphasenet.base.errors import InputError
from iphasenet.base.settings import described
from iphasenet.planning.image_settings import ImageSettings, option_of

_DESCRIPTION = (
    "Reconstruct the projected potential [V Å] of the images of four detector segments, with its uncertainty, the mean "
    "potential [V] and the iDPC image. Calibrations that the file lacks must be given by options; an error names them. "
    "A range of thicknesses gives a table of how well each thickness explains the images."
)

_SETTINGS = {one.name: one for one in described(ImageSettings)}

_READ_BY_THE_COMMAND = {"thickness_nm", "beam_intensity", "segment_order", "sample", "detector_name"}
"""Texts, and numbers that may be something else: a range, `auto`, a name."""

_MORE = {"thickness_nm": "; or a range, FIRST:LAST:STEP"}
"""What the command line takes besides."""

_GROUPS: dict[str, dict[str, str | tuple[str, ...] | None]] = {
    "crystal (what the file lacks)": {
        "thickness_nm": "NM",
        "tilt_deg": ("ALPHA", "BETA"),
        "rotation_deg": "GAMMA",
        "tilt_error_deg": "DEG",
        "thickness_error_percent": "PERCENT",
        "columns": None,
    },
    "microscope (what the file lacks)": {
        "sampling_angstrom": "Å",
        "energy_kev": "KEV",
        "semiangle_mrad": "MRAD",
        "detector_mrad": ("INNER", "OUTER"),
        "beam_intensity": "VALUE",
        "dark_intensity": "VALUE",
        "dose": "E",
        "segment_order": ("TL", "TR", "BL", "BR"),
        "flip": None,
        "scan_rotation_deg": "DEG",
    },
    "what to read from a file that holds several things": {
        "sample": "ID",
        "frame": "N",
        "detector_name": "NAME",
        "scan_shape": ("ROWS", "COLUMNS"),
        "resample": None,
        "camera_pixel_mrad": "MRAD",
        "camera_centre": ("COLUMN", "ROW"),
        "camera_rotation_deg": "DEG",
    },
}


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command's options."""
    command = commands.add_parser(
        "reconstruct", help="reconstruct the potential from your own images", description=_DESCRIPTION
    )
    command.add_argument("input", type=Path, nargs="+", metavar="FILE",
                         help="one file, or four files with one image each: .emd, .dm3, .dm4, .hspy, .zspy, .nxs, "
                         ".tif, .npy, .npz, .mib, .h5, .hdf5 or a data set's .zarr")  # fmt: skip
    command.add_argument("--output", type=Path, metavar="FILE",
                         help="file to be made: .zspy, .hspy, .tif, .npz or .png; for a range of thicknesses "
                         ".csv")  # fmt: skip
    command.add_argument("--figure", type=Path, metavar="FILE", help="picture of all images to be made, .png or .svg")
    command.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="file of the network's weights; if not given, the one in resources/models of the repository",
    )
    command.add_argument("--allow-pickle", action="store_true",
                         help="read .pt weights of the published system: a pickle, so only from a source that you "
                         "trust")  # fmt: skip
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto",
                         help="device that computes; if not given, auto: a GPU where there is one")  # fmt: skip
    command.add_argument("--threads", type=quantities.THREADS, default=1, metavar="N",
                         help="number of CPU threads, 1 if not given; use more only on idle cores, for on busy ones "
                         "threads wait for each other")  # fmt: skip
    _add(command, "turns")
    command.add_argument("--tile", type=quantities.COUNT, metavar="PX",
                         help="side of the tiles in which a large image is computed [pixels], 128 if not "
                         "given")  # fmt: skip
    command.add_argument("--check", action="store_true",
                         help="only try all orders of the segments and turns of the scan, and print those that explain "
                         "the images best")  # fmt: skip
    command.add_argument("--no-check", action="store_true", help="do not look for a better order of the segments")
    for title, metavars in _GROUPS.items():
        group = command.add_argument_group(title)
        for key, metavar in metavars.items():
            _add(group, key, metavar)


def refuse_three_angles(arguments: Sequence[str]) -> None:
    """
    Refuse three numbers after `--rotation`, which argparse would take for names of files.

    In earlier versions the option took alpha, beta and gamma.
    """
    for place, option in enumerate(arguments):
        name, joined, first = option.partition("=")
        angles = [first, *arguments[place + 1 : place + 3]] if joined else arguments[place + 1 : place + 4]
        if name.startswith("--ro") and len(angles) == 3 and all(map(_is_number, angles)):
            alpha, beta, gamma = angles
            raise InputError(f"--rotation takes gamma alone: write --tilt {alpha} {beta} --rotation {gamma}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _add(group: "argparse._ActionsContainer", key: str, metavar: str | tuple[str, ...] | None = None) -> None:
    """Add the option that a key of the configuration stands for; a text is read by the command itself."""
    setting, kind = _SETTINGS[key].setting, _SETTINGS[key].kind
    text = setting.text.replace("%", "%%").replace("`", "").removesuffix(".")
    told: dict[str, Any] = {"help": text[0].lower() + text[1:] + _MORE.get(key, "")}
    if kind is bool:
        told["action"] = "store_true"
    elif get_origin(kind) is Literal:
        told |= {"type": int, "choices": get_args(kind)}
    else:
        if get_origin(kind) is tuple:
            told["nargs"] = len(get_args(kind))
        told |= {"type": str if key in _READ_BY_THE_COMMAND else setting.quantity, "metavar": metavar}
    group.add_argument(option_of(key), **told)
