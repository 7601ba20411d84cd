"""`iphasenet simulate`: one crystal without the workflow."""

import argparse
from collections.abc import Sequence

from iphasenet.base import quantities
from iphasenet.base.devices import choose_device
from iphasenet.base.errors import InputError
from iphasenet.base.marks import FIGURE, SIMULATION
from iphasenet.base.outputs import PICTURE_ENDINGS, Output, check_outputs
from iphasenet.base.seals import write_xarray
from iphasenet.commands.progress import progress_bar
from iphasenet.crystal.structure import orthogonal_cell, read_structure
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.settings import Numerics
from iphasenet.reporting.image_figures import draw_simulation
from iphasenet.simulation.image import Image
from iphasenet.simulation.specimen import Simulator, Specimen

_UNRECORDED = ("command", "cif", "output", "preview", "device", "memory", "debug")
"""Options that do not change what is simulated."""


def _once(option: str, pairs: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Refuse a name that is given twice."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise InputError(f"{option}: found {', '.join(names)}; allowed: each name once")
    return dict(pairs)


def run(options: argparse.Namespace) -> None:
    """Simulate one crystal as the command line says."""
    image = Image(options.pixels, options.sampling)
    # Five images per thickness in single precision, which compress at best to half their size.
    size = 10 * len(options.thickness) * image.pixels**2
    check_outputs(
        [
            Output("--output", options.output, SIMULATION, (".zarr",), size=size),
            options.preview and Output("--preview", options.preview, FIGURE, PICTURE_ENDINGS),
        ],
        [options.cif],
    )
    inner, outer = options.detector
    microscope = Microscope(
        options.energy,
        options.semiangle,
        inner,
        outer,
        source_size_angstrom=options.source_size,
        focal_spread_angstrom=options.focal_spread,
        aberrations=_once("--aberrations", options.aberrations),
        detector_segments=options.segments,
        detector_rotation_deg=options.detector_rotation,
        dark_field_mrad=None if options.dark_field is None else tuple(options.dark_field),
    )
    numerics = Numerics(options.multislice_sampling, options.slice_thickness, options.window, options.memory)
    cell = orthogonal_cell(read_structure(options.cif, options.block), tuple(options.zone_axis), options.max_strain)
    specimen = Specimen(
        cell,
        thickness_nm=tuple(options.thickness),
        tilt_deg=tuple(options.tilt),
        rotation_deg=options.rotation,
        offset=tuple(options.offset),
        rms_displacements=_once("--rms-displacement", options.rms_displacement),
        phonons=options.frozen_phonons,
        seed=options.seed,
    )
    simulator = Simulator(microscope, numerics, image, options.parametrization, choose_device(options.device))
    with progress_bar("multislice", "waves") as progress:
        data = simulator.simulate(specimen, progress)
    recorded = {name: value for name, value in vars(options).items() if name not in _UNRECORDED and value is not None}
    data.attrs |= {"structure": options.cif.name, "strain_percent": cell.info["strain_percent"], **recorded}
    for name in ("rms_displacement", "aberrations"):
        data.attrs[name] = [f"{key}={value:g}" for key, value in recorded[name]]
    write_xarray(options.output, data, SIMULATION)
    if options.preview is not None:
        draw_simulation(data, [options.preview])
    made = quantities.counted(data.sizes["thickness"], "thickness", "thicknesses")
    print(f"{options.output}: {made}, {image.pixels} x {image.pixels} px")
