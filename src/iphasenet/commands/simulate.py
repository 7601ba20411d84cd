"""`iphasenet simulate`: one crystal without the workflow."""

import argparse
import warnings
from collections.abc import Sequence

import xarray
from ase import Atoms

from iphasenet.base import quantities
from iphasenet.base.devices import choose_device
from iphasenet.base.errors import InputError, InputWarning
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


_PASSES = {"thermal_passes": Numerics.thermal_passes, "thermal_coarse_passes": Numerics.thermal_coarse_passes}
_MOTION = {"truth": "thermal", "thermal_noise": Numerics.thermal_noise, **_PASSES}
"""Options of thermal motion and their defaults; one that is given without effect is refused."""


def _settle_motion(options: argparse.Namespace) -> None:
    """Refuse options of motion that would do nothing, and put in the defaults of those that are not given."""
    for name in ("rms_displacement", "frozen_phonons", *_MOTION):
        option = f"--{name.replace('_', '-')}"
        # Of the others, 0 is as good as nothing.
        given = getattr(options, name) is not None if name in _MOTION else getattr(options, name)
        if given and options.temperature == 0:
            raise InputError(
                f"{option}: found no --temperature, so atoms are at rest; allowed: a temperature above 0 K"
            )
    passes = [f"--{name.replace('_', '-')}" for name in _PASSES if getattr(options, name) is not None]
    if options.frozen_phonons and passes:
        raise InputError(
            f"{passes[0]}: found --frozen-phonons {options.frozen_phonons}, whose snapshots are no passes; "
            "allowed: one of the two"
        )
    for name, default in _MOTION.items():
        if getattr(options, name) is None:
            setattr(options, name, default)


def _cell(options: argparse.Namespace) -> Atoms:
    """Orthogonal cell with the motion that the options ask for."""
    displacements = _once("--rms-displacement", options.rms_displacement)
    crystal = read_structure(options.cif, options.block, options.temperature, displacements)
    return orthogonal_cell(crystal, tuple(options.zone_axis), options.max_strain)


def run(options: argparse.Namespace) -> None:
    """Simulate one crystal as the command line says."""
    _settle_motion(options)
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
    numerics = Numerics(
        options.multislice_sampling,
        options.slice_thickness,
        options.window,
        options.memory,
        options.thermal_noise,
        options.thermal_passes,
        options.thermal_coarse_passes,
    )
    specimen = Specimen(
        _cell(options),
        thickness_nm=tuple(options.thickness),
        tilt_deg=tuple(options.tilt),
        rotation_deg=options.rotation,
        offset=tuple(options.offset),
        phonons=options.frozen_phonons,
        seed=options.seed,
    )
    device = choose_device(options.device)
    simulator = Simulator(microscope, numerics, image, options.parametrization, device, options.truth)
    with progress_bar("multislice", "waves") as progress:
        data = simulator.simulate(specimen, progress)
    recorded = {name: value for name, value in vars(options).items() if name not in _UNRECORDED and value is not None}
    data.attrs |= {"structure": options.cif.name, "strain_percent": specimen.cell.info["strain_percent"], **recorded}
    for name in ("rms_displacement", "aberrations"):
        data.attrs[name] = [f"{key}={value:g}" for key, value in recorded[name]]
    write_xarray(options.output, data, SIMULATION)
    if options.preview is not None:
        draw_simulation(data, [options.preview])
    if "thermal_noise" in data:
        _warn_of_noise(data, options)
    made = quantities.counted(data.sizes["thickness"], "thickness", "thicknesses")
    print(f"{options.output}: {made}, {image.pixels} x {image.pixels} px")


def _warn_of_noise(data: xarray.Dataset, options: argparse.Namespace) -> None:
    """Say where the mean over thermal motion is noisier than asked for."""
    noise, thickness = data["thermal_noise"].values, data["thickness"].values
    if noise.max() > options.thermal_noise:
        worst = int(noise.argmax())
        more = f"passes (--thermal-passes, now {options.thermal_passes})"
        if options.frozen_phonons:
            more = f"snapshots (--frozen-phonons, now {options.frozen_phonons})"
        warnings.warn(
            f"thermal noise: found {100 * noise[worst]:.2g} % of the contrast at {thickness[worst]:.4g} nm, "
            f"asked for {100 * options.thermal_noise:g} %; more {more} lower it",
            InputWarning,
            stacklevel=2,
        )
