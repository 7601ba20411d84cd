"""Options of `iphasenet fit`."""

import argparse
from pathlib import Path

from iphasenet.base import quantities
from iphasenet.commands.options import pair
from iphasenet.commands.options.recorded_image import FILES, GROUPS, add_groups
from iphasenet.fitting.limits import GOOD

_DESCRIPTION = (
    "Fit a known crystal to the images of four detector segments: tilt, rotation, thickness and defocus are found from "
    "the images, with standard errors. Write the numbers, the crystal's projected potential on the image's pixels, and "
    "a figure that shows how well it explains the images. Several structures are ranked. Calibrations of the "
    "microscope that the file lacks must be given by options; an error names them."
)


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command's options."""
    command = commands.add_parser(
        "fit", help="find tilt, thickness and focus of a known crystal in your own images", description=_DESCRIPTION
    )
    command.add_argument("input", type=Path, nargs="+", metavar="FILE", help=FILES)
    command.add_argument("--output", type=Path, required=True, metavar="JSON",
                         help="file of the parameters and their errors to be made, .json")  # fmt: skip
    command.add_argument("--potential", type=Path, metavar="FILE",
                         help="file of the crystal's potential on the image's pixels to be made: .zspy, .hspy, .tif, "
                         ".npz or .png")  # fmt: skip
    command.add_argument("--figure", type=Path, metavar="FILE",
                         help="picture of recorded and simulated images to be made, .png or .svg")  # fmt: skip
    command.add_argument("--map", type=quantities.COUNT, metavar="PX",
                         help="side of patches that are fitted one by one, started from the whole image's result: maps "
                         "of tilt, thickness and strain are written to --output, and drawn to a second figure, whose "
                         "name ends in -map [pixels]")  # fmt: skip
    command.add_argument("--accept", type=_share, default=GOOD, metavar="SHARE",
                         help="largest share of the contrast that the crystal may leave unexplained; if it leaves "
                         f"more, nothing is written; {GOOD:g} if not given")  # fmt: skip
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto",
                         help="device that computes; if not given, auto: a GPU where there is one")  # fmt: skip
    command.add_argument("--threads", type=quantities.THREADS, default=1, metavar="N",
                         help="simulations that are made at a time, one process each; 1 if not given")  # fmt: skip
    command.add_argument("--cache", type=Path, metavar="FOLDER",
                         help="folder in which the search's simulations are kept for other images of the crystal, up "
                         "to 2 GB; iphasenet/fit in the user's cache if not given")  # fmt: skip
    command.add_argument("--start", type=Path, nargs="+", default=[], metavar="FILE",
                         help="network of iphasenet train-start for one of the structures and this microscope: the "
                         "search begins where it guesses the tilt")  # fmt: skip
    command.add_argument("--no-cache", action="store_true", help="keep no simulations, and use none")
    add_crystal(command)
    _add_known(add_ranges(command))
    add_groups(command, GROUPS)


def add_crystal(command: argparse.ArgumentParser, several: bool = True) -> None:
    """Describe the structure, its zone axis and temperature."""
    crystal = command.add_argument_group("crystal")
    crystal.add_argument("--structure", type=Path, nargs="+" if several else 1, required=True, metavar="CIF",
                         help="file of the crystal structure" + several * "; of several, the one that explains the "
                         "images best is taken")  # fmt: skip
    crystal.add_argument("--zone-axis", type=quantities.LATTICE_INDEX, nargs=3, default=(0, 0, 1),
                         metavar=("U", "V", "W"),
                         help="zone axis [UVW]: lattice direction along the beam; 0 0 1 if not given")  # fmt: skip
    crystal.add_argument("--max-strain", type=quantities.STRAIN, metavar="PERCENT",
                         help="largest strain that may make a skew cell orthogonal [%%]")  # fmt: skip
    crystal.add_argument("--temperature", type=quantities.TEMPERATURE, default=293.0, metavar="K",
                         help="temperature of the crystal, 293 if not given [K]")  # fmt: skip
    crystal.add_argument("--rms-displacement", type=pair, nargs="+", default=[], metavar="ELEMENT=Å",
                         help="rms displacement along one axis, such as Ga=0.06 [Å]; elements not given move as the "
                         "CIF says, or as a rough estimate")  # fmt: skip


def add_ranges(command: argparse.ArgumentParser) -> "argparse._ArgumentGroup":
    """Describe the ranges of what decides about the images, and return their group."""
    known = command.add_argument_group(
        "what is known beforehand",
        "A number is taken as given, a range is searched. A range that begins with a minus needs a =: "
        "--defocus=-50:50.",
    )
    known.add_argument("--thickness", metavar="NM", help="thickness, or LOWEST:HIGHEST; 5:200 if not given [nm]")
    known.add_argument("--tilt", type=quantities.ANGLE, nargs=2, default=(0.0, 0.0), metavar=("ALPHA", "BETA"),
                       help="tilt about x, then y, about which others are searched; 0 0 if not given "
                       "[degrees]")  # fmt: skip
    known.add_argument("--tilt-range", type=float, default=1.0, metavar="DEG",
                       help="largest tilt from there that is searched, 1 if not given; 0: the tilt is known "
                       "[degrees]")  # fmt: skip
    known.add_argument("--defocus", metavar="Å", help="defocus, or LOWEST:HIGHEST; -150:150 if not given [Å]")
    known.add_argument("--source-size", metavar="Å",
                       help="standard deviation of the source and of the scan's noise, or LOWEST:HIGHEST; 0:0.8 if "
                       "not given [Å]")  # fmt: skip
    return known


def _add_known(known: "argparse._ArgumentGroup") -> None:
    known.add_argument("--rotation", type=quantities.ANGLE, metavar="GAMMA",
                       help="rotation of the crystal about the beam, from x to y, to 5 degrees; if not given, it is "
                       "found from the lattice [degrees]")  # fmt: skip
    known.add_argument("--scale", metavar="FACTOR",
                       help="intensity of the images over that of the simulation, or LOWEST:HIGHEST; 0.85:1.15 if not "
                       "given")  # fmt: skip
    known.add_argument("--displacement", metavar="FACTOR",
                       help="thermal displacements of all atoms over those of the structure, or LOWEST:HIGHEST; "
                       "0.6:1.5 if not given")  # fmt: skip
    known.add_argument("--also", nargs="+", default=[], choices=("astigmatism",),
                       help="what is fitted besides: twofold astigmatism")  # fmt: skip


def _share(text: str) -> float:
    """Read a number between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"found {text!r}; allowed: above 0, up to 1")
    return value
