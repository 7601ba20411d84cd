"""Options of `iphasenet export`."""

import argparse
from pathlib import Path

from iphasenet.base.quantities import DOSE, THICKNESS


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command's options."""
    command = commands.add_parser(
        "export",
        help="write a data set in another format, or a network for a model hub",
        description="Write a data set as one .npz a sample in train/, val/ and test/ (the published format), or one "
        "sample or material as a HyperSpy signal; a sample or a simulation as a microscope's file; or a network as a "
        "folder for a model hub.",
    )
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
    network.add_argument("--angles", nargs=3, choices=("alpha", "beta", "gamma"), metavar="NAME",
                         help="order of the angles in a .pt; the scripts': gamma alpha beta")  # fmt: skip
