"""Options that say what a file of recorded images does not: the microscope, and which of its contents are meant."""

import argparse
from typing import Any, Literal, get_args, get_origin

from iphasenet.base.settings import described
from iphasenet.planning.image_settings import ImageSettings, option_of

_SETTINGS = {one.name: one for one in described(ImageSettings)}

_READ_BY_THE_COMMAND = {"thickness_nm", "beam_intensity", "segment_order", "sample", "detector_name", "structure"}
"""Texts, and numbers that may be something else: a range, `auto`, a name."""

_MORE = {"thickness_nm": "; or a range, FIRST:LAST:STEP"}
"""What the command line takes besides."""

FILES = (
    "one file, or four files with one image each: .emd, .dm3, .dm4, .hspy, .zspy, .nxs, .tif, .npy, .npz, .mib, .h5, "
    ".hdf5 or a data set's .zarr"
)
"""Files that are read, for a command's help."""

Metavars = dict[str, str | tuple[str, ...] | None]

GROUPS: dict[str, Metavars] = {
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
"""Options for the microscope and the file, by title: keys of the configuration and what stands in the help."""


def add_groups(command: argparse.ArgumentParser, groups: dict[str, Metavars]) -> None:
    """Add groups of options."""
    for title, metavars in groups.items():
        group = command.add_argument_group(title)
        for key, metavar in metavars.items():
            add_setting(group, key, metavar)


def add_setting(group: "argparse._ActionsContainer", key: str, metavar: str | tuple[str, ...] | None = None) -> None:
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
