"""Options of `iphasenet simulate`."""

import argparse
from pathlib import Path

from iphasenet.base import quantities
from iphasenet.commands.options import DefaultsHelp, pair
from iphasenet.multislice.settings import Numerics


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command's options."""
    command = commands.add_parser(
        "simulate",
        help="simulate one crystal",
        description="Simulate the four segment images and the projected potential of one crystal, all thicknesses in "
        "one pass. Writes a Zarr store: segments (thickness, segment, y, x) as fractions of the beam current and "
        "potential (thickness, y, x) in V Å.",
        formatter_class=DefaultsHelp,
    )
    command.add_argument("cif", type=Path, metavar="CIF", help="file of the crystal structure")
    command.add_argument("--output", type=Path, required=True, metavar="ZARR", help="store to be made")
    command.add_argument("--preview", type=Path, metavar="PNG", help="picture of the images to be made")
    _add_crystal(command)
    _add_motion(command)
    _add_microscope(command)
    _add_accuracy(command)


def _add_crystal(command: argparse.ArgumentParser) -> None:
    crystal = command.add_argument_group("crystal")
    crystal.add_argument("--zone-axis", type=quantities.LATTICE_INDEX, nargs=3, default=(0, 0, 1),
                         metavar=("U", "V", "W"),
                         help="zone axis [UVW]: lattice direction along the beam")  # fmt: skip
    crystal.add_argument("--block", metavar="NAME", help="block of a CIF that holds several structures")
    crystal.add_argument("--max-strain", type=quantities.STRAIN, metavar="PERCENT",
                         help="largest strain that may make a skew cell orthogonal [%%]; if not given, "
                         f"{quantities.MAX_STRAIN:g}, and only where there is no small cell without")  # fmt: skip
    crystal.add_argument("--thickness", type=quantities.THICKNESS, nargs="+", required=True, metavar="NM",
                         help="one or more rising thicknesses [nm]")  # fmt: skip
    crystal.add_argument("--rotation", type=quantities.ANGLE, default=0.0, metavar="DEG",
                         help="rotation of the crystal about the beam, from x to y [degrees]")  # fmt: skip
    crystal.add_argument("--tilt", type=quantities.ANGLE, nargs=2, default=(0.0, 0.0), metavar=("ALPHA", "BETA"),
                         help="tilt about x, then y, in the image's frame, after the rotation [degrees]; beyond 2 "
                         "degrees a slab of rotated atoms is simulated, which takes far longer")  # fmt: skip
    crystal.add_argument("--offset", type=quantities.OFFSET, nargs=2, default=(0.0, 0.0), metavar=("X", "Y"),
                         help="point of the crystal under the image's centre, as fractions of the cell")  # fmt: skip


def _add_motion(command: argparse.ArgumentParser) -> None:
    motion = command.add_argument_group(
        "thermal motion",
        "At a temperature above 0 each atom moves by itself, as far as the CIF says, or else a rough estimate. Images "
        "are then means over this motion: passes through other random displacements are averaged until their "
        "statistical error is small enough. The potential is averaged over the motion too.",
    )
    motion.add_argument("--temperature", type=quantities.TEMPERATURE, default=0.0, metavar="K",
                        help="temperature of the crystal, such as 293 [K]; 0: atoms at rest")  # fmt: skip
    motion.add_argument("--rms-displacement", type=pair, nargs="+", default=[], metavar="ELEMENT=Å",
                        help="rms displacement along one axis at that temperature, such as Ga=0.06 [Å]; elements not "
                        "given move as the CIF says")  # fmt: skip
    motion.add_argument("--truth", choices=("thermal", "rest"),
                        help="projected potential that is written: averaged over thermal motion, which is the default, "
                        "or of the atoms at rest")  # fmt: skip
    motion.add_argument("--thermal-noise", type=quantities.THERMAL_NOISE, metavar="SHARE",
                        help="statistical error at which passes end, as a share of the images' contrast; default: "
                        f"{Numerics.thermal_noise:g}")  # fmt: skip
    motion.add_argument("--thermal-passes", type=quantities.THERMAL_PASSES, metavar="N",
                        help=f"largest number of passes; default: {Numerics.thermal_passes}")  # fmt: skip
    motion.add_argument("--thermal-coarse-passes", type=quantities.COARSE_PASSES, metavar="N",
                        help="largest number of cheap passes on a coarse grid for each of those, which take most of "
                        f"the noise away; default: {Numerics.thermal_coarse_passes}")  # fmt: skip
    motion.add_argument("--frozen-phonons", type=quantities.SNAPSHOTS, default=0, metavar="N",
                        help="average N snapshots of a whole slab with displaced atoms instead: the slow reference; 0: "
                        "do not")  # fmt: skip
    motion.add_argument("--seed", type=quantities.SEED, default=0, metavar="N",
                        help="seed of random displacements, and of what partly occupied places of a slab "
                        "hold")  # fmt: skip


def _add_microscope(command: argparse.ArgumentParser) -> None:
    image = command.add_argument_group("image and microscope")
    image.add_argument(
        "--pixels", type=quantities.IMAGE_PIXELS, default=256, metavar="N", help="pixels along each side of the image"
    )
    image.add_argument("--sampling", type=quantities.IMAGE_SAMPLING, default=0.1, metavar="Å", help="pixel size [Å]")
    image.add_argument("--energy", type=quantities.ENERGY, default=200.0, metavar="KEV", help="beam energy [keV]")
    image.add_argument(
        "--semiangle",
        type=quantities.SEMIANGLE,
        default=20.0,
        metavar="MRAD",
        help="convergence semiangle of the probe [mrad]",
    )
    image.add_argument("--detector", type=quantities.COLLECTION_ANGLE, nargs=2, default=(10.0, 50.0),
                       metavar=("INNER", "OUTER"),
                       help="inner and outer collection angle of the segmented detector [mrad]")  # fmt: skip
    image.add_argument(
        "--segments",
        type=quantities.SEGMENTS,
        default=4,
        metavar="N",
        help="number of segments of the detector, 1 to 16",
    )
    image.add_argument("--detector-rotation", type=quantities.ANGLE, default=0.0, metavar="DEG",
                       help="rotation of the detector in the image, from x to y [degrees]")  # fmt: skip
    image.add_argument("--dark-field", type=quantities.COLLECTION_ANGLE, nargs=2, default=None,
                       metavar=("INNER", "OUTER"),
                       help="inner and outer angle of an additional annular dark-field detector [mrad]; none if not "
                       "given")  # fmt: skip
    image.add_argument("--aberrations", type=pair, nargs="+", default=[], metavar="NAME=VALUE",
                       help="aberrations of the probe, such as Cs=1e4: defocus, Cs, astigmatism, coma, C10 ... C56 [Å] "
                       "and astigmatism_angle, coma_angle, phi12 ... [degrees]; none if not given")  # fmt: skip
    image.add_argument("--focal-spread", type=quantities.FOCAL_SPREAD, default=0.0, metavar="Å",
                       help="standard deviation of the defocus due to the energy spread [Å]")  # fmt: skip
    image.add_argument("--source-size", type=quantities.SOURCE_SIZE, default=0.0, metavar="Å",
                       help="standard deviation of the image of the Gaussian source on the specimen [Å]")  # fmt: skip


def _add_accuracy(command: argparse.ArgumentParser) -> None:
    numerics = command.add_argument_group("accuracy")
    numerics.add_argument(
        "--multislice-sampling",
        type=quantities.MULTISLICE_SAMPLING,
        default=0.1,
        metavar="Å",
        help="largest pixel of the multislice [Å]",
    )
    numerics.add_argument("--slice-thickness", type=quantities.SLICE_THICKNESS, default=0.3, metavar="Å",
                          help="atomic layers this close form one slice [Å]; at least 1 Å in slabs")  # fmt: skip
    numerics.add_argument("--window", type=quantities.WINDOW, default=25.6, metavar="Å",
                          help="smallest side of the window in which the probe is periodic [Å]")  # fmt: skip
    numerics.add_argument("--parametrization", choices=("lobato", "kirkland"), default="lobato",
                          help="authors of the scattering factors")  # fmt: skip
    numerics.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto",
                          help="device that computes; auto: a GPU where there is one")  # fmt: skip
    numerics.add_argument("--memory", type=quantities.MEMORY, default=4000.0, metavar="MB",
                          help="memory that the waves may take [MB]; refused if it needs more")  # fmt: skip
