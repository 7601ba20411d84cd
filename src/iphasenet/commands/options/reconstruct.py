"""Options of `iphasenet reconstruct`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from iphasenet.base import quantities
from iphasenet.base.errors import InputError

_DESCRIPTION = (
    "Reconstruct the projected potential [V Å] of the images of four detector segments, with its uncertainty, the mean "
    "potential [V] and the iDPC image. Calibrations that the file lacks must be given by options; an error names them. "
    "A range of thicknesses gives a table of how well each thickness explains the images."
)


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
    command.add_argument("--turns", type=int, choices=(1, 4),
                         help="number of quarter turns of the images over which predictions are averaged, 4 if not "
                         "given; 1 is four times as fast")  # fmt: skip
    command.add_argument("--tile", type=quantities.COUNT, metavar="PX",
                         help="side of the tiles in which a large image is computed [pixels], 128 if not "
                         "given")  # fmt: skip
    command.add_argument("--check", action="store_true",
                         help="only try all orders of the segments and turns of the scan, and print those that explain "
                         "the images best")  # fmt: skip
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
    crystal = command.add_argument_group("crystal (what the file lacks)")
    crystal.add_argument("--thickness", metavar="NM", help="thickness of the specimen, or a range FIRST:LAST:STEP [nm]")
    crystal.add_argument("--tilt-error", type=quantities.TILT_ERROR, metavar="DEG",
                         help="standard deviation of errors of the tilt about each axis [degrees], "
                         f"{quantities.USUAL_TILT_ERROR:g} if not given; it increases the uncertainty")  # fmt: skip
    crystal.add_argument("--thickness-error", type=quantities.THICKNESS_ERROR, metavar="PERCENT",
                         help="standard deviation of errors of the thickness [%%], "
                         f"{quantities.USUAL_THICKNESS_ERROR:g} if not given")  # fmt: skip
    crystal.add_argument(
        "--columns",
        action="store_true",
        help="also write the potential of the untilted columns, at their places at the entrance surface",
    )
    crystal.add_argument("--tilt", type=quantities.ANGLE, nargs=2, metavar=("ALPHA", "BETA"),
                         help="tilt about x, then y, in the file's image, after the rotation [degrees]")  # fmt: skip
    crystal.add_argument("--rotation", type=quantities.ANGLE, metavar="GAMMA",
                         help="rotation about the beam, from x to y (down), in the file's image [degrees]")  # fmt: skip


def _add_microscope(command: argparse.ArgumentParser) -> None:
    optics = command.add_argument_group("microscope (what the file lacks)")
    optics.add_argument("--sampling", type=quantities.IMAGE_SAMPLING, metavar="Å", help="pixel size of the images [Å]")
    optics.add_argument("--energy", type=quantities.ENERGY, metavar="KEV", help="beam energy [keV]")
    optics.add_argument(
        "--semiangle", type=quantities.SEMIANGLE, metavar="MRAD", help="convergence semiangle of the probe [mrad]"
    )
    optics.add_argument("--detector", type=quantities.COLLECTION_ANGLE, nargs=2, metavar=("INNER", "OUTER"),
                        help="inner and outer collection angle of the segments [mrad]")  # fmt: skip
    optics.add_argument("--beam-intensity", metavar="VALUE",
                        help="value of a pixel if the whole beam fell on one segment, in the file's unit; auto: the "
                        "value that makes the segments' sum equal to that of the training images")  # fmt: skip
    optics.add_argument(
        "--dark-intensity",
        type=quantities.INTENSITY,
        metavar="VALUE",
        help="value of a pixel without electrons, in the file's unit",
    )
    optics.add_argument("--dose", type=quantities.DOSE,
                        metavar="E", help="dose of the images [e/Å²], compared with that of the training; of a data "
                        "set's sample, the dose of the noisy image to be read")  # fmt: skip
    optics.add_argument("--segment-order", nargs=4, metavar=("TL", "TR", "BL", "BR"),
                        help="number (1 to 4) or name of the file's image whose segment lies top-left, top-right, "
                        "bottom-left and bottom-right")  # fmt: skip
    optics.add_argument(
        "--flip", action="store_true", help="exchange left and right in the order: a detector seen from behind"
    )
    optics.add_argument("--scan-rotation", type=quantities.ANGLE, metavar="DEG",
                        help="rotation of the detector in the image, from x to y (down) [degrees]")  # fmt: skip


def _add_choices(command: argparse.ArgumentParser) -> None:
    choices = command.add_argument_group("what to read from a file that holds several things")
    choices.add_argument("--sample", metavar="ID", help="sample_id of a sample of a data set")
    choices.add_argument(
        "--frame", type=quantities.INDEX, metavar="N", help="number of a scan in a series of scans, counted from 0"
    )
    choices.add_argument(
        "--detector-name", metavar="NAME", help="name of a segmented detector, such as DF4, where a file holds several"
    )
    choices.add_argument("--scan-shape", type=quantities.COUNT, nargs=2, metavar=("ROWS", "COLUMNS"),
                         help="rows and columns of the scan in a .mib file, flyback included; needed if its "
                         ".hdr is missing")  # fmt: skip
    choices.add_argument("--resample", action="store_true",
                         help="interpolate images whose pixels are not square; refused without it")  # fmt: skip
    choices.add_argument(
        "--camera-pixel",
        type=quantities.CAMERA_PIXEL,
        metavar="MRAD",
        help="angle of one camera pixel in 4D-STEM patterns [mrad]",
    )
    choices.add_argument(
        "--camera-centre",
        type=quantities.CAMERA_POSITION,
        nargs=2,
        metavar=("COLUMN", "ROW"),
        help="position of the undiffracted beam in the patterns [pixels]",
    )
    choices.add_argument("--camera-rotation", type=quantities.ANGLE, metavar="DEG",
                         help="rotation of the camera in the image, from x to y (down) [degrees]")  # fmt: skip
