"""`iphasenet corpus`: survey a folder of crystals."""

import argparse

from iphasenet.base.errors import InputError
from iphasenet.base.files import write_table
from iphasenet.base.marks import CORPUS
from iphasenet.base.outputs import Output, check_outputs
from iphasenet.commands.progress import progress_bar
from iphasenet.corpus.survey import survey


def run(options: argparse.Namespace) -> None:
    """Write the table, and say in a few lines what it holds."""
    if not options.folder.is_dir():
        raise InputError(f"{options.folder}: found no such folder; allowed: a folder with CIFs")
    check_outputs([Output("--output", options.output, CORPUS, (".csv",))], [options.folder])
    with progress_bar("corpus", "files") as progress:
        table = survey(options.folder, options.largest_area, progress)
    write_table(table, options.output)
    counts = table["reading"].value_counts()
    listed = ", ".join(f"{counts.get(name, 0)} {name}" for name in ("read", "warned", "refused"))
    axes = [len(text.split(";")) if isinstance(text, str) and text else 0 for text in table["zone_axes"]]
    usable = table[[number > 0 for number in axes]]
    print(f"{options.output}: {len(table)} CIFs: {listed}")
    print(
        f"{len(usable)} ordered crystals of {usable['type'].nunique()} structure types in {usable['family'].nunique()} "
        f"families, with {sum(axes)} zone axes up to {options.largest_area:g} Å²"
    )
    for row in table[table["reading"] == "refused"].itertuples():
        print(f"refused: {row.file}: {row.remark}")
