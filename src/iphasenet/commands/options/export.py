"""Options of `iphasenet export`."""

import argparse
from pathlib import Path

from iphasenet.base.quantities import DOSE, THICKNESS


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command's options."""
    command = commands.add_parser(
        "export",
        help="write a data set in another format, or a network for a model hub",
        description="Write a data set as one .npz file per sample in train/, val/ and test/ (the published format), or "
        "one sample or material as a HyperSpy signal; a sample or a simulation as a microscope's file; or a network as "
        "a folder for a model hub.",
    )
    command.add_argument("input", type=Path, metavar="INPUT",
                         help="assembled data set or simulation (.zarr), or weights (.safetensors)")  # fmt: skip
    command.add_argument("--output", type=Path, required=True,
                         help="folder to be made, for .npz files or the network; or file to be made: .zspy, or for one "
                         "image also .emd (as Velox writes it), .hspy, .tif, .npz or .npy")  # fmt: skip
    dataset = command.add_argument_group("options for a data set or a simulation")
    dataset.add_argument("--material", nargs="+", metavar="NAME", help="names of materials; if not given, all")
    dataset.add_argument("--sample", metavar="ID", help="sample_id of one sample, such as GaN-tilt0003-rotation01-40nm")
    dataset.add_argument("--dose", type=DOSE, metavar="E",
                         help="dose of the noisy images [e/Å²]: of a data set, one of its doses, only for validation "
                         "and test samples; of a simulation, any dose; if not given, images without noise")  # fmt: skip
    dataset.add_argument(
        "--thickness", type=THICKNESS, metavar="NM", help="thickness [nm] of a simulation with several"
    )
    dataset.add_argument("--compressed", action="store_true", help="compress the .npz files")
    network = command.add_argument_group("options for a network")
    network.add_argument(
        "--card", type=Path, metavar="FILE", help="model card; if not given, NAME.md or README.md beside the weights"
    )
    network.add_argument(
        "--example", type=Path, metavar="FILE", help="file of an image that the example in the folder reconstructs"
    )
    network.add_argument("--allow-pickle", action="store_true",
                         help="read .pt weights of the published system: a pickle, so only from a source that you "
                         "trust")  # fmt: skip
    network.add_argument("--angles", nargs=3, choices=("alpha", "beta", "gamma"), metavar="NAME",
                         help="order of the angles among the inputs of a .pt network; if not given, that of the "
                         "published scripts: gamma alpha beta")  # fmt: skip
