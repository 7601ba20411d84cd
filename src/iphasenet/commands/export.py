"""`iphasenet export`: the data set in other formats, a network as a model hub wants it."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from iphasenet.commands.progress import progress_bar
from iphasenet.errors import InputError
from iphasenet.export import export_hyperspy, export_npz
from iphasenet.marks import IMAGE
from iphasenet.model_hub import export_model
from iphasenet.outputs import Output, check_outputs
from iphasenet.published import ENDINGS, SCRIPTS_ANGLES
from iphasenet.quantities import DOSE, THICKNESS, counted
from iphasenet.user_images.dataset_image import read_sample
from iphasenet.user_images.foreign_files import ENDINGS as IMAGE_ENDINGS
from iphasenet.user_images.foreign_files import write_image
from iphasenet.user_images.segmented_image import SegmentedImage
from iphasenet.user_images.simulated_image import is_simulation, read_simulation

_CHOICES = {
    "material": None,
    "sample": None,
    "dose": None,
    "thickness": None,
    "compressed": False,
    "card": None,
    "example": None,
    "allow_pickle": False,
    "angles": SCRIPTS_ANGLES,
}
"""Options of which each kind of export takes some, with their values where they are not given."""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command's options."""
    command = commands.add_parser(
        "export",
        help="write a data set in another format, or a network for a model hub",
        description="Write a data set as one .npz a sample in train/, val/ and test/ (the published format), or one "
        "sample or material as a HyperSpy signal; a sample or a simulation as a microscope's file; or a network as a "
        "folder for a model hub.",
    )
    command.set_defaults(run=run)
    command.add_argument("input", type=Path, metavar="INPUT",
                         help="assembled data set or simulation (.zarr), or weights (.safetensors)")  # fmt: skip
    command.add_argument("--output", type=Path, required=True,
                         help="folder to be made, of .npz files or of the network; or a file: .zspy, and of one image "
                         ".emd (as Velox writes it), .hspy, .tif, .npz or .npy")  # fmt: skip
    dataset = command.add_argument_group("of a data set or a simulation")
    dataset.add_argument("--material", nargs="+", metavar="NAME", help="materials; all if not given")
    dataset.add_argument("--sample", metavar="ID", help="one sample, such as GaN-tilt0003-rotation01-40nm")
    dataset.add_argument("--dose", type=DOSE, metavar="E",
                         help="images with the fixed noise of this dose, validation and test alone; of a simulation, "
                         "with shot noise [e/Å²]")  # fmt: skip
    dataset.add_argument("--thickness", type=THICKNESS, metavar="NM", help="of a simulation of several [nm]")
    dataset.add_argument("--compressed", action="store_true", help="compress the .npz files")
    network = command.add_argument_group("of a network")
    network.add_argument("--card", type=Path, metavar="FILE", help="its card; NAME.md or README.md beside the weights")
    network.add_argument("--example", type=Path, metavar="FILE", help="image that the example reconstructs")
    network.add_argument("--allow-pickle", action="store_true",
                         help="read the published system's .pt: of a source that you trust")  # fmt: skip
    network.add_argument("--angles", nargs=3, default=SCRIPTS_ANGLES, choices=SCRIPTS_ANGLES, metavar="NAME",
                         help="order of the angles in a .pt; the scripts': gamma alpha beta")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Write what the endings of input and output ask for."""
    ending = options.output.suffix.lower()
    if options.input.suffix.lower() in (".safetensors", *ENDINGS):
        _refuse_others(options, "a network", "card", "example", "allow_pickle", "angles")
        made = export_model(
            options.input, options.output, options.card, options.example, options.allow_pickle, options.angles
        )
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
            raise InputError(f"{_option(name)}: found it for {what}, where it has no effect; allowed: {allowed}")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _export_image(options: argparse.Namespace, read: Callable[[], SegmentedImage]) -> None:
    check_outputs([Output("--output", options.output, IMAGE, IMAGE_ENDINGS)], [options.input])
    write_image(read(), options.output)
    print(options.output)


def _export_npz(options: argparse.Namespace) -> None:
    with progress_bar("export", "files") as progress:
        count = export_npz(options.input, options.output, options.material, options.dose, options.compressed, progress)
    print(f"{options.output}: {counted(count, 'file')}")
