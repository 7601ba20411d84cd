"""`iphasenet export`: the data set in other formats."""

import argparse
from pathlib import Path

from iphasenet.commands.progress import progress_bar
from iphasenet.errors import InputError
from iphasenet.export import export_hyperspy, export_npz


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command's options."""
    command = commands.add_parser(
        "export",
        help="write a data set in another format",
        description="Write a data set as one .npz a sample in train/, val/ and test/ (the published format), or one "
        "sample or material as a HyperSpy signal.",
    )
    command.set_defaults(run=run)
    command.add_argument("dataset", type=Path, metavar="ZARR", help="assembled data set")
    command.add_argument("--output", type=Path, required=True,
                         help="folder of .npz files to be made, or a .zspy to be made")  # fmt: skip
    command.add_argument("--material", nargs="+", metavar="NAME", help="materials; all if not given")
    command.add_argument("--sample", metavar="ID", help="for .zspy: one sample, such as GaN-tilt0003-rotation01-40nm")
    command.add_argument("--dose", type=float, metavar="E",
                         help="images with the fixed noise of this dose; validation and test alone [e/Å²]")  # fmt: skip
    command.add_argument("--compressed", action="store_true", help="compress the .npz files")


def run(options: argparse.Namespace) -> None:
    """Write what the ending of the output asks for."""
    if options.output.suffix == ".zspy":
        names = [options.sample] if options.sample else options.material or []
        if len(names) != 1:
            raise InputError(f"{options.output}: found {len(names)} names; allowed: one --sample or one --material")
        made = export_hyperspy(options.dataset, options.output, names[0], options.dose)
        print("\n".join(map(str, made)))
        return
    if options.sample:
        raise InputError(f"--sample: found {options.sample!r} for a folder of .npz; allowed: with a .zspy output")
    with progress_bar("export", "files") as progress:
        count = export_npz(
            options.dataset, options.output, options.material, options.dose, options.compressed, progress
        )
    print(f"{options.output}: {count} files")
