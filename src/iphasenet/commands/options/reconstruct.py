"""Options of `iphasenet reconstruct`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from iphasenet.base import quantities
from iphasenet.base.errors import InputError
from iphasenet.commands.options.recorded_image import FILES, GROUPS, Metavars, add_groups, add_setting

_DESCRIPTION = (
    "Reconstruct the projected potential [V Å] of the images of four detector segments, with its uncertainty, the mean "
    "potential [V] and the iDPC image. Calibrations that the file lacks must be given by options; an error names them. "
    "A range of thicknesses gives a table of how well each thickness explains the images."
)

_CRYSTAL: dict[str, Metavars] = {
    "crystal (what the file lacks)": {
        "thickness_nm": "NM",
        "tilt_deg": ("ALPHA", "BETA"),
        "rotation_deg": "GAMMA",
        "structure": "CIF",
        "zone_axis": ("U", "V", "W"),
        "start": "FILE",
        "tilt_error_deg": "DEG",
        "thickness_error_percent": "PERCENT",
        "columns": None,
    },
}


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command's options."""
    command = commands.add_parser(
        "reconstruct", help="reconstruct the potential from your own images", description=_DESCRIPTION
    )
    command.add_argument("input", type=Path, nargs="+", metavar="FILE", help=FILES)
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
    add_setting(command, "turns")
    command.add_argument("--tile", type=quantities.COUNT, metavar="PX",
                         help="side of the tiles in which a large image is computed [pixels], 128 if not "
                         "given")  # fmt: skip
    command.add_argument("--check", action="store_true",
                         help="only try all orders of the segments and turns of the scan, and print those that explain "
                         "the images best")  # fmt: skip
    command.add_argument("--no-check", action="store_true", help="do not look for a better order of the segments")
    add_groups(command, _CRYSTAL | GROUPS)


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
