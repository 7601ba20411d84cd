"""`iphasenet export`: the data set in other formats, or a network in the form that a model hub needs."""

import argparse
import sys
from collections.abc import Callable
from functools import partial

from iphasenet.base.errors import InputError
from iphasenet.base.marks import IMAGE
from iphasenet.base.outputs import Output, check_outputs
from iphasenet.base.quantities import counted
from iphasenet.commands.progress import progress_bar
from iphasenet.microscope_files.dataset_image import read_sample
from iphasenet.microscope_files.export import export_hyperspy, export_npz
from iphasenet.microscope_files.foreign_files import ENDINGS as IMAGE_ENDINGS
from iphasenet.microscope_files.foreign_files import WITHOUT_BEAM, write_image
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.microscope_files.simulated_image import is_simulation, read_simulation
from iphasenet.network.published import ENDINGS, SCRIPTS_ANGLES
from iphasenet.reconstruction.model_hub import export_model

_CHOICES = {
    "material": None,
    "sample": None,
    "dose": None,
    "thickness": None,
    "compressed": False,
    "card": None,
    "example": None,
    "allow_pickle": False,
    "angles": None,
}
"""Options that only some kinds of export take, with their defaults."""


def run(options: argparse.Namespace) -> None:
    """Write what the endings of input and output ask for."""
    ending = options.output.suffix.lower()
    if options.input.suffix.lower() in (".safetensors", *ENDINGS):
        _refuse_others(options, "a network", "card", "example", "allow_pickle", "angles")
        angles = options.angles or SCRIPTS_ANGLES
        made = export_model(options.input, options.output, options.card, options.example, options.allow_pickle, angles)
        print("\n".join(map(str, made)))
    elif is_simulation(options.input):
        _refuse_others(options, "a simulation", "dose", "thickness")
        _export_image(options, partial(read_simulation, options.input, options.thickness, options.dose))
    elif ending in IMAGE_ENDINGS and ending != ".zspy":
        _refuse_others(options, f"a {ending} of a data set", "sample", "dose")
        _export_image(options, partial(read_sample, options.input, options.sample, options.dose))
    elif ending == ".zspy":
        _refuse_others(options, "a .zspy of a data set", "sample", "material", "dose")
        names = [*([options.sample] if options.sample else []), *(options.material or [])]
        if len(names) != 1:
            found = ", ".join(names) or "neither"
            raise InputError(f"{options.output}: found {found}; allowed: one --sample or one --material")
        made = export_hyperspy(options.input, options.output, names[0], options.dose)
        print("\n".join(map(str, made)))
    else:
        _refuse_others(options, "a folder of .npz", "material", "dose", "compressed")
        _export_npz(options)


def _refuse_others(options: argparse.Namespace, what: str, *used: str) -> None:
    """Refuse options that would have no effect."""
    for name, absent in _CHOICES.items():
        if name not in used and getattr(options, name) != absent:
            allowed = ", ".join(map(_option, used))
            raise InputError(f"{_option(name)} has no effect for {what}: remove it; allowed: {allowed}")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _export_image(options: argparse.Namespace, read: Callable[[], SegmentedImage]) -> None:
    check_outputs([Output("--output", options.output, IMAGE, IMAGE_ENDINGS)], [options.input])
    image = read()
    write_image(image, options.output)
    print(options.output)
    if image.beam_intensity is not None and options.output.suffix.lower() in WITHOUT_BEAM:
        hint = f"reconstruct it with --beam-intensity {image.beam_intensity:g}"
        print(f"{options.output}: it cannot hold the beam intensity: {hint}", file=sys.stderr)


def _export_npz(options: argparse.Namespace) -> None:
    with progress_bar("export", "files") as progress:
        count = export_npz(options.input, options.output, options.material, options.dose, options.compressed, progress)
    print(f"{options.output}: {counted(count, 'file')}")
