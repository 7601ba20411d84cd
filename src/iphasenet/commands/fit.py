"""`iphasenet fit`: what nobody can measure at the microscope, from the images and a known crystal."""

import argparse
import sys
from pathlib import Path
from typing import Any

from iphasenet.base.devices import choose_device, use_threads
from iphasenet.base.errors import InputError
from iphasenet.base.marks import FIGURE, FIT, RECONSTRUCTION
from iphasenet.base.outputs import PICTURE_ENDINGS, Output, check_outputs
from iphasenet.commands.known_crystal import limits_of, read_cell, read_images, with_starts
from iphasenet.commands.progress import progress_bar, steps_progress
from iphasenet.fitting.fit import Fit, fit
from iphasenet.fitting.limits import GOOD
from iphasenet.fitting.outcome import as_reconstruction, at_limits, parameters_of, write_fit
from iphasenet.fitting.patches import Patches, check_patches, fit_patches
from iphasenet.fitting.simulation_cache import SimulationCache, default_folder
from iphasenet.fitting.start_network import load_start
from iphasenet.fitting.task import Task, task_of
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.reconstruction.files import ENDINGS, write_reconstruction
from iphasenet.reconstruction.preparation import aligned


def run(options: argparse.Namespace) -> None:
    """Fit as the command line says."""
    for number, path in enumerate(options.structure):
        if path in options.structure[:number]:
            raise InputError(f"--structure: found {path} twice; allowed: each once")
    limits = limits_of(options, rotation_deg=options.rotation, extra=tuple(dict.fromkeys(options.also)))
    read = [*options.input, *options.structure, *options.start]
    check_outputs(_outputs(options), read)
    starts = [(path, load_start(path)) for path in options.start]
    image = read_images(options)
    check_outputs(_outputs(options, image), read)
    device = choose_device(options.device)
    cache = None if options.no_cache else SimulationCache(options.cache or default_folder())
    cells = [read_cell(path, options) for path in options.structure]
    tasks = with_starts([task_of(image, cell, limits, device, options.threads, cache) for cell in cells], starts)
    results: list[tuple[Path, Fit]] = []
    refused: list[str] = []
    for structure, task in zip(options.structure, tasks, strict=True):
        try:
            if options.map is not None:
                check_patches(task, options.map)
            results.append((structure, fit_with_progress(task)))
        except InputError as error:
            # Of several structures, those whose lattice is not in the image drop out.
            if len(options.structure) == 1:
                raise
            refused.append(f"{structure.name}: {error}")
            print(refused[-1])
    if not results:
        raise InputError(f"--structure: found none of {len(refused)} that explains the image: {refused[0]}")
    results.sort(key=lambda pair: pair[1].refined.unexplained)
    structure, best = results[0]
    check_accepted(best, image, structure, options.accept, " (--accept)")
    more: dict[str, Any] = {
        "source": image.source,
        "structure": structure.name,
        "zone_axis": list(options.zone_axis),
        "temperature_k": options.temperature,
        "ranking": {str(path): found.refined.unexplained for path, found in results},
        "refused": refused,
    }
    patches: Patches | None = None
    if options.map is not None:
        with use_threads(1), progress_bar("map", "patches") as progress:
            patches = fit_patches(best, options.map, progress)
        more["map"] = patches.described()
        if patches.empty:
            print(f"warning: {patches.empty} of the map's patches hold no lattice: they are empty", file=sys.stderr)
    write_fit(best, options.output, more)
    if options.potential is not None:
        write_reconstruction(as_reconstruction(best, image, more), options.potential)
    if options.figure is not None:
        _draw(best, patches, options.figure)
    for name in at_limits(best):
        print(f"warning: {name} lies at a limit of its range: widen it, or give what is known", file=sys.stderr)
    for path, found in results[1:]:
        print(f"{path.name}: leaves {_percent(found)} of the contrast unexplained")
    print(f"{options.output}: {structure.name}, {summary(best)}")


def _draw(found: Fit, patches: Patches | None, output: Path) -> None:
    # Matplotlib takes a second to import.
    from iphasenet.fitting.figure import draw_fit, draw_patches

    draw_fit(found, output)
    if patches is not None:
        draw_patches(patches, _map_figure(output))


def _percent(found: Fit) -> str:
    return f"{100 * found.refined.unexplained:.2g} %"


def _map_figure(figure: Path) -> Path:
    """Path of the figure of a map, beside that of the fit."""
    return figure.with_stem(f"{figure.stem}-map")


def check_accepted(found: Fit, image: SegmentedImage, structure: Path, share: float = GOOD, option: str = "") -> None:
    """Refuse a crystal that leaves more than a share of the contrast unexplained."""
    if found.refined.unexplained > share:
        more = "or wider ranges"
        if option and "astigmatism" not in found.task.limits.extra:
            more = "wider ranges, or --also astigmatism"
        raise InputError(
            f"{image.source}: {structure.name}: found {_percent(found)} of the contrast unexplained at any tilt, "
            f"thickness and defocus in the ranges; allowed: at most {100 * share:g} %{option}: the right structure, "
            f"zone axis, segment order and calibrations, {more}{_other_order(found, image)}"
        )


def _other_order(found: Fit, image: SegmentedImage) -> str:
    """Say by which order of the segments more would be explained."""
    better = found.better_arrangement
    if better is None:
        return ""
    straight, rest = aligned(image)
    assert straight.order is not None
    order = " ".join(str(straight.order[place] + 1) for place in better)
    return f"; more is explained with --segment-order {order} --scan-rotation {rest:g}"


def summary(best: Fit) -> str:
    """Say in one line what a fit has found."""
    found = parameters_of(best)

    def text(name: str, label: str, unit: str, digits: int) -> str:
        value, error = found[name]["value"], found[name]["error"]
        return f"{label} {value:z.{digits}f}" + ("" if error is None else f" ± {error:.{digits}f}") + unit

    return ", ".join(
        [
            text("alpha_deg", "alpha", "°", 3),
            text("beta_deg", "beta", "°", 3),
            text("gamma_deg", "gamma", "°", 3),
            text("thickness_nm", "thickness", " nm", 2),
            text("defocus_angstrom", "defocus", " Å", 1),
            *([text("astigmatism_angstrom", "astigmatism", " Å", 1)] if "astigmatism_angstrom" in found else []),
            f"{_percent(best)} of the contrast unexplained",
        ]
    )


def _outputs(options: argparse.Namespace, image: SegmentedImage | None = None) -> list[Output | None]:
    size = 0 if image is None else 16 * image.segments[0].size
    potential = options.potential
    kind = RECONSTRUCTION if potential is None or potential.suffix.lower() != ".png" else FIGURE
    return [
        Output("--output", options.output, FIT, (".json",)),
        potential and Output("--potential", potential, kind, ENDINGS, size=size),
        options.figure and Output("--figure", options.figure, FIGURE, PICTURE_ENDINGS),
        options.figure
        and options.map
        and Output("--figure of the map", _map_figure(options.figure), FIGURE, PICTURE_ENDINGS),
    ]


def fit_with_progress(task: Task) -> Fit:
    """Fit with one progress bar a step; the task's threads are those of its simulations."""
    if task.cache is not None and task.cache.warning:
        print(f"warning: {task.cache.warning}", file=sys.stderr)
    with use_threads(1), steps_progress() as progress:
        return fit(task, progress)
