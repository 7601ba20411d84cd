"""`iphasenet reconstruct`: the potential of a user's own images."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from iphasenet.base.devices import choose_device, use_threads
from iphasenet.base.errors import InputError
from iphasenet.base.marks import FIGURE, RECONSTRUCTION, SCAN
from iphasenet.base.outputs import PICTURE_ENDINGS, Output, check_outputs
from iphasenet.base.quantities import THICKNESS_ERROR, TILT_ERROR, Quantity
from iphasenet.commands.fit import check_accepted, fit_with_progress, summary
from iphasenet.commands.known_crystal import with_starts
from iphasenet.commands.progress import progress_bar
from iphasenet.commands.recorded_image import beam_intensity, check_file_options, read_recorded
from iphasenet.crystal.structure import orthogonal_cell, read_structure
from iphasenet.fitting.limits import Limits
from iphasenet.fitting.simulation_cache import SimulationCache, default_folder
from iphasenet.fitting.start_network import load_start
from iphasenet.fitting.task import task_of
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.network.column_network import ColumnNetwork
from iphasenet.network.column_settings import holds_columns
from iphasenet.reconstruction.agreement import MEANINGLESS
from iphasenet.reconstruction.column_reconstruction import reconstruct_columns
from iphasenet.reconstruction.figure import draw_reconstruction
from iphasenet.reconstruction.files import ENDINGS, write_reconstruction
from iphasenet.reconstruction.orientation_check import check_orientation
from iphasenet.reconstruction.preparation import automatic_beam_intensity, check_known
from iphasenet.reconstruction.reconstruct import Choices, Trained, load_trained, reconstruct, setting_warnings
from iphasenet.reconstruction.thickness_scan import (
    describe_scan,
    draw_scan,
    parse_thicknesses,
    scan_thickness,
    write_scan,
)
from iphasenet.reconstruction.tiled_prediction import Tiling
from iphasenet.reconstruction.told_errors import ToldErrors


def run(options: argparse.Namespace) -> None:
    """Check, scan the thickness or reconstruct, as the options say."""
    # On busy cores, threads that wait for each other turn seconds into minutes.
    with use_threads(options.threads):
        _run(options)


def _run(options: argparse.Namespace) -> None:
    thicknesses = [None] if options.thickness is None else parse_thicknesses(options.thickness)
    several = len(thicknesses) > 1
    if options.weights is not None and options.weights.is_file() and holds_columns(options.weights):
        _check_any_crystal(options, several)
    _check_choices(options, several)
    check_outputs(_outputs(options, several), _inputs(options))
    image = read_recorded(options, _crystal(options, thicknesses[0]), options.check)
    check_outputs(_outputs(options, several, image), _inputs(options))
    trained = load_trained(options.weights, choose_device(options.device), options.allow_pickle)
    image, warnings = _calibrated(image, options, trained)
    errors = ToldErrors()
    if options.structure is not None:
        image, errors = _fitted(image, options)
    errors = _told_errors(options, errors)
    check_known(image, crystal=not isinstance(trained.network, ColumnNetwork))
    if isinstance(trained.network, ColumnNetwork):
        _reconstruct_columns(image, trained, options, warnings)
    elif options.check:
        _print_check(image, trained)
    elif several:
        _tell([*warnings, *setting_warnings(replace(image, thickness_nm=None), trained)])
        _scan(image, trained, thicknesses, options)
    else:
        _reconstruct(image, trained, options, warnings, errors)


def _inputs(options: argparse.Namespace) -> list[Path | None]:
    named = [None if text is None else Path(text) for text in (options.structure, options.start)]
    return [*options.input, options.weights, *named]


def _crystal(options: argparse.Namespace, thickness: float | None) -> dict[str, Any]:
    """Collect what the options say about the crystal."""
    return {
        "thickness_nm": thickness,
        "tilt_deg": None if options.tilt is None else tuple(options.tilt),
        "rotation_deg": options.rotation,
    }


_WITHOUT_EFFECT = {
    "--check": (
        "output",
        "figure",
        "no_check",
        "turns",
        "tile",
        "tilt_error",
        "thickness_error",
        "columns",
        "structure",
    ),
    "a range of thicknesses": ("no_check", "turns", "tile", "tilt_error", "thickness_error", "columns", "structure"),
}
"""Options that are refused together with `--check` or a range of thicknesses."""


def _check_choices(options: argparse.Namespace, several: bool) -> None:
    """Refuse options that would have no effect, and a command without an output."""
    if options.check and several:
        raise InputError(f"--thickness: found {options.thickness} beside --check; allowed: one thickness")
    chosen = "--check" if options.check else "a range of thicknesses" if several else None
    for name in _WITHOUT_EFFECT.get(chosen or "", ()):
        if getattr(options, name) not in (None, False):
            raise InputError(f"--{name.replace('_', '-')} has no effect beside {chosen}: remove one of them")
    if options.output is None and not options.check:
        raise InputError("--output is missing: give the file to be made, or --check alone")
    check_file_options(options)
    for name, value in (("zone-axis", options.zone_axis), ("start", options.start)):
        if options.structure is None and value is not None:
            raise InputError(f"--{name} has no effect without --structure: give both, or remove it")
    if options.allow_pickle and (options.weights is None or options.weights.suffix.lower() == ".safetensors"):
        raise InputError(
            "--allow-pickle has no effect here: remove it; it is for --weights of the published system (.pt)"
        )


def _outputs(options: argparse.Namespace, several: bool, image: SegmentedImage | None = None) -> list[Output | None]:
    """List all outputs; once the image is known, with the size of four images in single precision."""
    output, figure = options.output, options.figure
    size = 0 if image is None or several else 16 * image.segments[0].size
    if output is None:
        return []
    kind, endings = (SCAN, (".csv",)) if several else (RECONSTRUCTION, ENDINGS)
    if output.suffix.lower() == ".png":
        kind, size = FIGURE, 0
    return [
        Output("--output", output, kind, endings, size=size),
        figure and Output("--figure", figure, FIGURE, PICTURE_ENDINGS),
    ]


_TEMPERATURE_K = 293.0
"""Temperature of a crystal that is fitted [K]."""

_TOLD_THICKNESS, _TOLD_TILT = (0.75, 1.25), 0.5
"""How far a fit looks from a thickness, as factors, and from a tilt that are told [degrees]."""


def _fitted(image: SegmentedImage, options: argparse.Namespace) -> tuple[SegmentedImage, ToldErrors]:
    """Find what is not told of the crystal, and its errors, by a fit of its structure: the network is told all."""
    # What is told is as good as a user knows it.
    told: dict[str, Any] = {"rotation_deg": image.rotation_deg}
    if image.thickness_nm is not None:
        told["thickness_nm"] = tuple(factor * image.thickness_nm for factor in _TOLD_THICKNESS)
    if image.tilt_deg is not None:
        told |= {"tilt_deg": image.tilt_deg, "tilt_reach_deg": _TOLD_TILT}
    structure = Path(options.structure)
    atoms = read_structure(structure, None, _TEMPERATURE_K)
    cell = orthogonal_cell(atoms, tuple(options.zone_axis or (0, 0, 1)))
    device, cache = choose_device(options.device), SimulationCache(default_folder())
    starts = [] if options.start is None else [(Path(options.start), load_start(Path(options.start)))]
    (task,) = with_starts([task_of(image, cell, Limits(**told), device, options.threads, cache)], starts)
    found = fit_with_progress(task)
    check_accepted(found, image, structure)
    print(f"{structure.name}: {summary(found)}")
    parameters, errors = found.refined.parameters, found.refined.errors
    told_all = replace(
        image,
        thickness_nm=parameters.depth / 10,
        tilt_deg=(parameters.alpha, parameters.beta),
        rotation_deg=found.model.rotation_deg,
    )
    tilt = max(errors.get("alpha", 0.0), errors.get("beta", 0.0))
    thickness = 100 * errors.get("depth", 0.0) / parameters.depth
    return told_all, ToldErrors(_error(tilt, TILT_ERROR), _error(thickness, THICKNESS_ERROR), structure.name)


def _error(found: float, allowed: Quantity) -> float:
    """Round a fit's standard error to two digits; an image that says little may leave more than can be told."""
    return min(float(f"{found:.2g}"), allowed.high)


def _calibrated(
    image: SegmentedImage, options: argparse.Namespace, trained: Trained
) -> tuple[SegmentedImage, list[str]]:
    """Set an image's beam intensity by the options, and warn where it is guessed."""
    text = options.beam_intensity
    warnings = []
    if text == "auto":
        value = automatic_beam_intensity(image, trained.described)
        warnings = [f"beam intensity: guessed to be {value:.4g} from the training images' mean; an error in it scales "
                    "the potential"]  # fmt: skip
        image = replace(image, beam_intensity=value)
    elif text is not None:
        image = replace(image, beam_intensity=beam_intensity(text, "a number or auto"))
    return image, warnings


def _tell(warnings: list[str]) -> None:
    for line in warnings:
        print(f"warning: {line}", file=sys.stderr)


def _print_check(image: SegmentedImage, trained: Trained) -> None:
    with progress_bar("orientation", "arrangements") as progress:
        found = check_orientation(image, trained, thorough=True, progress=progress)
    print(found.table().head(12).to_string(index=False, float_format=lambda value: f"{value:.2f}"))
    if found.is_kept:
        print(f"given: {found.given.options}; no other setting agrees better; tilt and thickness were not tested")
    else:
        print(f"proposed: {found.best.options}")
    _tell([found.warning] if found.best.agreement < MEANINGLESS and found.warning else [])


def _scan(image: SegmentedImage, trained: Trained, thicknesses: list[Any], options: argparse.Namespace) -> None:
    with progress_bar("thickness", "thicknesses") as progress:
        table = scan_thickness(image, trained, thicknesses, progress)
    write_scan(table, options.output)
    if options.figure is not None:
        draw_scan(table, options.figure)
    print(f"{options.output}: {describe_scan(table)}")


def _reconstruct(
    image: SegmentedImage, trained: Trained, options: argparse.Namespace, warnings: list[str], errors: ToldErrors
) -> None:
    tiling = Tiling() if options.tile is None else Tiling(options.tile)
    if not options.no_check:
        with progress_bar("orientation", "arrangements") as progress:
            found = check_orientation(image, trained, progress=progress).warning
        warnings = [*warnings, *([found] if found else [])]
    with progress_bar("reconstruction", "tiles") as progress:
        made = reconstruct(
            image,
            trained,
            Choices(options.turns or 4, tiling, errors, options.columns),
            progress,
            tuple(warnings),
        )
    _tell(made.attributes["warnings"])
    write_reconstruction(made, options.output)
    if options.figure is not None:
        draw_reconstruction(made, options.figure)
    rows, columns = made.potential.shape
    print(f"{options.output}: {rows} x {columns} px of {made.sampling:g} Å, mean potential "
          f"{made.mean_potential.mean():.1f} V; {made.attributes['holds']}")  # fmt: skip


_NOT_OF_ANY_CRYSTAL = ("check", "no_check", "turns", "tile", "tilt_error", "thickness_error")
"""Options that say how the network of a few crystals is used. Columns are always written by the one for any crystal."""


def _check_any_crystal(options: argparse.Namespace, several: bool) -> None:
    """Refuse options that have no effect on the network for any crystal."""
    for name in _NOT_OF_ANY_CRYSTAL:
        if getattr(options, name) not in (None, False):
            option = name.replace("_", "-")
            raise InputError(
                f"--{option} has no effect with {options.weights.name}, a network for any crystal: remove it"
            )
    if several:
        raise InputError(f"--thickness: found {options.thickness} with a network for any crystal; allowed: one "
                         "thickness, or none: it is estimated")  # fmt: skip


def _reconstruct_columns(
    image: SegmentedImage, trained: Trained, options: argparse.Namespace, warnings: list[str]
) -> None:
    """Reconstruct by the network for any crystal."""
    made = reconstruct_columns(image, trained, warnings=tuple(warnings))
    _tell(made.attributes["warnings"])
    write_reconstruction(made, options.output)
    if options.figure is not None:
        draw_reconstruction(made, options.figure)
    rows, columns = made.potential.shape
    print(f"{options.output}: {rows} x {columns} px of {made.sampling:g} Å; {made.attributes['holds']}")


def _told_errors(options: argparse.Namespace, errors: ToldErrors) -> ToldErrors:
    """Take the errors that the options give, and others from `errors`."""
    given = {"tilt_deg": options.tilt_error, "thickness_percent": options.thickness_error}
    return replace(errors, **{name: value for name, value in given.items() if value is not None})
