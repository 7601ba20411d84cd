"""The command `iphasenet`: single simulations without the workflow."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray
from numpy.dtypes import StringDType
from tqdm import tqdm

from iphasenet.devices import choose_device
from iphasenet.errors import InputError
from iphasenet.figures import draw_simulation
from iphasenet.files import atomic_directory
from iphasenet.images import Numerics, PeriodicImages, potential_cutoff, simulate_images
from iphasenet.optics import SEGMENTS, Microscope
from iphasenet.potential import LayerPotential, layer_potential
from iphasenet.render import Field, Image, crystal_tilt, render
from iphasenet.structure import orthogonal_cell, read_structure

_RECORDED = ("zone_axis", "rotation", "tilt", "offset", "energy", "semiangle", "detector", "source_size", "window")
"""Options that the store keeps as attributes, in the units of the command line."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; bad input ends it with one line and exit code 1."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except InputError as error:
        sys.exit(f"iphasenet: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="iphasenet", description="Four-quadrant STEM images of crystals.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "simulate",
        help="simulate one crystal",
        description="Simulate the four segment images and the projected potential of one crystal, all thicknesses in "
        "one pass. Writes a Zarr store: segments (thickness, segment, y, x) as fractions of the beam current and "
        "potential (thickness, y, x) in V Å.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.set_defaults(run=simulate)
    command.add_argument("cif", type=Path, help="crystal structure (CIF)")
    command.add_argument("--output", type=Path, required=True, metavar="ZARR", help="store to be made")
    command.add_argument("--preview", type=Path, metavar="PNG", help="picture to be made as well")

    crystal = command.add_argument_group("crystal")
    crystal.add_argument("--zone-axis", type=int, nargs=3, default=(0, 0, 1), metavar=("U", "V", "W"),
                         help="lattice direction along the beam")  # fmt: skip
    crystal.add_argument("--thickness", type=float, nargs="+", required=True, metavar="NM",
                         help="thicknesses, rising [nm]")  # fmt: skip
    crystal.add_argument("--rotation", type=float, default=0.0, metavar="DEG",
                         help="rotation of the crystal about the beam, from x to y [degrees]")  # fmt: skip
    crystal.add_argument("--tilt", type=float, nargs=2, default=(0.0, 0.0), metavar=("ALPHA", "BETA"),
                         help="tilt about x, then y, in the image's frame, after the rotation [degrees]")  # fmt: skip
    crystal.add_argument("--offset", type=float, nargs=2, default=(0.0, 0.0), metavar=("X", "Y"),
                         help="crystal's point under the image's centre, as shares of the cell")  # fmt: skip

    crystal.add_argument("--rms-displacement", type=_displacement, nargs="+", default=[], metavar="Ga=0.06",
                         help="thermal displacement along one axis by element [Å]; at rest if not given")  # fmt: skip

    image = command.add_argument_group("image and microscope")
    image.add_argument("--pixels", type=int, default=256, help="pixels along each side")
    image.add_argument("--sampling", type=float, default=0.1, metavar="Å", help="pixel size [Å]")
    image.add_argument("--energy", type=float, default=200.0, metavar="KEV", help="beam energy [keV]")
    image.add_argument("--semiangle", type=float, default=20.0, metavar="MRAD", help="probe's semiangle [mrad]")
    image.add_argument("--detector", type=float, nargs=2, default=(10.0, 50.0), metavar=("INNER", "OUTER"),
                       help="collection angles of the four segments [mrad]")  # fmt: skip

    image.add_argument("--source-size", type=float, default=0.0, metavar="Å",
                       help="standard deviation of the Gaussian source on the specimen [Å]")  # fmt: skip

    numerics = command.add_argument_group("accuracy")
    numerics.add_argument("--multislice-sampling", type=float, default=0.1, metavar="Å", help="largest pixel [Å]")
    numerics.add_argument("--slice-thickness", type=float, default=2.1, metavar="Å", help="largest slice [Å]")
    numerics.add_argument("--window", type=float, default=25.6, metavar="Å",
                          help="smallest side of the window in which a probe is periodic [Å]")  # fmt: skip
    numerics.add_argument("--parametrization", choices=("lobato", "kirkland"), default="lobato")
    numerics.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    return parser


def _displacement(text: str) -> tuple[str, float]:
    """Element and displacement of an argument such as Ga=0.06."""
    element, _, value = text.partition("=")
    return element, float(value)


def simulate(options: argparse.Namespace) -> None:
    """Simulate one crystal as the command line says."""
    if options.thickness != sorted(set(options.thickness)) or options.thickness[0] <= 0:
        raise InputError(f"--thickness: found {options.thickness}; allowed: rising, above 0")
    if max(abs(angle) for angle in options.tilt) > 2:
        raise InputError(f"--tilt: found {list(options.tilt)}; allowed: -2 to 2 degrees, small tilts of a zone axis")
    image = Image(options.pixels, options.sampling)
    inner, outer = options.detector
    microscope = Microscope(options.energy, options.semiangle, inner, outer, options.source_size)
    numerics = Numerics(options.multislice_sampling, options.slice_thickness, options.window)
    device = choose_device(options.device)
    cell = orthogonal_cell(read_structure(options.cif), tuple(options.zone_axis))
    a, b, _ = (float(length) for length in cell.cell.lengths())
    cutoff = potential_cutoff((a, b), numerics.sampling_angstrom, image.sampling_angstrom)
    layers = layer_potential(cell, cutoff, options.parametrization, dict(options.rms_displacement))
    alpha, beta = options.tilt
    tilt = crystal_tilt(alpha, beta, options.rotation)
    with tqdm(desc="multislice", unit=" waves") as bar:

        def progress(done: int, waves: int) -> None:
            bar.total = waves
            bar.update(done - bar.n)

        images = simulate_images(
            layers, microscope, numerics, [10 * t for t in options.thickness], tilt, [options.rotation], device,
            progress=progress,
        )  # fmt: skip
    field = Field(image, options.rotation, (options.offset[0] * a, options.offset[1] * b))
    slices = layers.slice_count(numerics.slice_thickness_angstrom)
    data = simulation_dataset(images, layers, slices, tilt, field)
    data.attrs |= {"structure": options.cif.name, **{name: vars(options)[name] for name in _RECORDED}}
    data.attrs["rms_displacement"] = [f"{element}={value:g}" for element, value in options.rms_displacement]
    with atomic_directory(options.output) as temporary:
        data.to_zarr(temporary, zarr_format=3, consolidated=False)
    if options.preview is not None:
        draw_simulation(data, [options.preview])
    print(f"{options.output}: {len(images.thicknesses)} thicknesses, {image.pixels} x {image.pixels} px")


def simulation_dataset(
    images: PeriodicImages, layers: LayerPotential, slices: int, tilt: tuple[float, float], field: Field
) -> xarray.Dataset:
    """
    Render all thicknesses of one simulation.

    Parameters
    ----------
    images : PeriodicImages
        Series at one rotation.
    layers : LayerPotential
        Potential of the cell.
    slices : int
        Slices of one cell in the multislice.
    tilt : (float, float)
        Lateral shift of an atomic column per depth, in the crystal's frame.
    field : Field
        Image and how the crystal lies under it.

    Returns
    -------
    xarray.Dataset
        segments (thickness, segment, y, x), fractions of the beam current; potential (thickness, y, x) [V Å].
    """
    lengths = layers.lengths[:2]
    totals = [layers.slab_slices(thickness, slices) for thickness in images.thicknesses]
    slabs = np.stack([layers.projected(slices, total, tilt) for total in totals])
    position = {"units": "Å"}
    return xarray.Dataset(
        {
            "segments": (
                ("thickness", "segment", "y", "x"),
                render(images.coefficients[:, 0], lengths, field),
                {"units": "1", "description": "fraction of the beam current"},
            ),
            "potential": (
                ("thickness", "y", "x"),
                render(slabs, lengths, field),
                {"units": "V Å", "description": "projected electrostatic potential"},
            ),
        },
        coords={
            "thickness": ("thickness", images.thicknesses / 10, {"units": "nm", "description": "whole slices"}),
            "segment": ("segment", np.array(SEGMENTS, dtype=StringDType())),
            "y": ("y", field.image.positions, position),
            "x": ("x", field.image.positions, position),
        },
    )
