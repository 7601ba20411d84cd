"""Options of `iphasenet reconstruct`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from iphasenet.base import quantities
from iphasenet.base.errors import InputError

_DESCRIPTION = (
    "Reconstruct the projected potential [V Å] of the images of four detector segments, with its uncertainty, the mean "
    "potential [V] and the iDPC image. What the file does not know of the microscope is asked for by name. A range of "
    "thicknesses gives a table of how well each explains the images."
)


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command's options."""
    command = commands.add_parser("reconstruct", help="potential of your own images", description=_DESCRIPTION)
    command.add_argument("input", type=Path, nargs="+", metavar="FILE",
                         help="file, or four of one image each: .emd, .dm3, .dm4, .hspy, .zspy, .nxs, .tif, .npy, "
                         ".npz, .mib, .h5, .hdf5 or a data set's .zarr")  # fmt: skip
    command.add_argument("--output", type=Path, metavar="FILE",
                         help=".zspy, .hspy, .tif, .npz or .png; .csv for a range of thicknesses")  # fmt: skip
    command.add_argument("--figure", type=Path, metavar="FILE", help="picture of all images, .png or .svg")
    command.add_argument(
        "--weights", type=Path, metavar="FILE", help="of the network; the repository's own, in resources/models"
    )
    command.add_argument("--allow-pickle", action="store_true",
                         help="read the published system's .pt weights: of a source that you trust")  # fmt: skip
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    command.add_argument("--threads", type=quantities.THREADS, default=1, metavar="N",
                         help="CPU threads: more than one on idle cores alone; on busy ones they wait for each "
                         "other")  # fmt: skip
    command.add_argument("--turns", type=int, choices=(1, 4),
                         help="quarter turns that predictions are averaged over, 4 if not given: 1 is four times as "
                         "fast")  # fmt: skip
    command.add_argument("--tile", type=quantities.COUNT, metavar="PX",
                         help="side of the tiles of a large image, 128 if not given")  # fmt: skip
    command.add_argument("--check", action="store_true",
                         help="only try all orders of the segments and turns of the scan, and print which explain the "
                         "images best")  # fmt: skip
    command.add_argument("--no-check", action="store_true", help="do not look for a better order of the segments")
    _add_crystal(command)
    _add_microscope(command)
    _add_choices(command)


def refuse_three_angles(arguments: Sequence[str]) -> None:
    """
    Refuse three numbers behind `--rotation`, which argparse would take for names of files.

    The option was alpha, beta and gamma together once.
    """
    for place, option in enumerate(arguments):
        angles = arguments[place + 1 : place + 4]
        if option.startswith("--ro") and len(angles) == 3 and all(map(_is_number, angles)):
            alpha, beta, gamma = angles
            raise InputError(f"--rotation takes gamma alone: write --tilt {alpha} {beta} --rotation {gamma}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _add_crystal(command: argparse.ArgumentParser) -> None:
    crystal = command.add_argument_group("crystal, unless the file knows it")
    crystal.add_argument("--thickness", metavar="NM", help="thickness, or FIRST:LAST:STEP [nm]")
    crystal.add_argument("--tilt-error", type=quantities.TILT_ERROR, metavar="DEG",
                         help="how well the tilt is known about each axis, "
                         f"{quantities.USUAL_TILT_ERROR:g} if not given: it widens the uncertainty "
                         "[degrees]")  # fmt: skip
    crystal.add_argument("--thickness-error", type=quantities.THICKNESS_ERROR, metavar="PERCENT",
                         help=f"how well the thickness is known, {quantities.USUAL_THICKNESS_ERROR:g} if not given "
                         "[%%]")  # fmt: skip
    crystal.add_argument(
        "--columns",
        action="store_true",
        help="write the columns as they stand at the entrance surface too: they need no tilt",
    )
    crystal.add_argument("--tilt", type=quantities.ANGLE, nargs=2, metavar=("ALPHA", "BETA"),
                         help="tilt about x, then y, in the file's image, after the rotation [degrees]")  # fmt: skip
    crystal.add_argument("--rotation", type=quantities.ANGLE, metavar="GAMMA",
                         help="rotation about the beam, from x to y (down), in the file's image [degrees]")  # fmt: skip


def _add_microscope(command: argparse.ArgumentParser) -> None:
    optics = command.add_argument_group("microscope, unless the file knows it")
    optics.add_argument("--sampling", type=quantities.IMAGE_SAMPLING, metavar="Å", help="pixel size [Å]")
    optics.add_argument("--energy", type=quantities.ENERGY, metavar="KEV", help="beam energy [keV]")
    optics.add_argument("--semiangle", type=quantities.SEMIANGLE, metavar="MRAD", help="probe's semiangle [mrad]")
    optics.add_argument("--detector", type=quantities.COLLECTION_ANGLE, nargs=2, metavar=("INNER", "OUTER"),
                        help="collection angles of the segments [mrad]")  # fmt: skip
    optics.add_argument("--beam-intensity", metavar="VALUE",
                        help="value of a pixel if the whole beam fell on one segment; auto: such that the segments' "
                        "sum is that of the training images")  # fmt: skip
    optics.add_argument(
        "--dark-intensity", type=quantities.INTENSITY, metavar="VALUE", help="value of a pixel without electrons"
    )
    optics.add_argument("--dose", type=quantities.DOSE,
                        metavar="E", help="dose, to be compared with the trained ones; of a data "
                        "set, which of its noisy images [e/Å²]")  # fmt: skip
    optics.add_argument("--segment-order", nargs=4, metavar=("TL", "TR", "BL", "BR"),
                        help="which of the file's images, 1 to 4 or by name, lies top-left, top-right, bottom-left and "
                        "bottom-right")  # fmt: skip
    optics.add_argument("--flip", action="store_true", help="then exchange left and right: a detector seen from behind")
    optics.add_argument("--scan-rotation", type=quantities.ANGLE, metavar="DEG",
                        help="turn of the detector in the image, from x to y (down) [degrees]")  # fmt: skip


def _add_choices(command: argparse.ArgumentParser) -> None:
    choices = command.add_argument_group("what to read of a file that holds more")
    choices.add_argument("--sample", metavar="ID", help="of a data set")
    choices.add_argument("--frame", type=quantities.INDEX, metavar="N", help="of a series of scans, from 0")
    choices.add_argument("--detector-name", metavar="NAME", help="of several segmented detectors, such as DF4")
    choices.add_argument("--scan-shape", type=quantities.COUNT, nargs=2, metavar=("ROWS", "COLUMNS"),
                         help="of a .mib: all its patterns, flyback included; needed without its .hdr")  # fmt: skip
    choices.add_argument("--resample", action="store_true",
                         help="bring pixels that are not square to squares; refused otherwise")  # fmt: skip
    choices.add_argument(
        "--camera-pixel", type=quantities.CAMERA_PIXEL, metavar="MRAD", help="of 4D-STEM patterns [mrad]"
    )
    choices.add_argument(
        "--camera-centre", type=quantities.CAMERA_POSITION, nargs=2, metavar=("COLUMN", "ROW"), help="of the patterns"
    )
    choices.add_argument("--camera-rotation", type=quantities.ANGLE, metavar="DEG",
                         help="turn of the camera in the image, from x to y (down) [degrees]")  # fmt: skip
