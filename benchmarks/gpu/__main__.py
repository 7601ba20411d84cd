"""Command line: pack, rehearse, unpack."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.gpu.layout import ROOT
from iphasenet.base.error_lines import describe, is_foreseen
from iphasenet.base.files import format_bytes


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack, rehearse or unpack; bad input is one line."""
    parser = argparse.ArgumentParser(prog="benchmarks.gpu", description="One command for a GPU.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--pack", type=Path, metavar="FOLDER", help="write the folder that goes to a GPU machine")
    what.add_argument("--rehearse", action="store_true", help="pack and run everything on this CPU, at toy size")
    what.add_argument(
        "--unpack", type=Path, metavar="RESULTS", help="put the results of a GPU machine into docs and resources"
    )
    parser.add_argument("--run", type=Path, help="with --pack: results/NAME, a finished run whose images are packed")
    parser.add_argument(
        "--corpus", type=Path, help="with --pack: results/NAME, a run with column_network whose potentials are packed"
    )
    parser.add_argument("--only-corpus", action="store_true", help="with --corpus: pack nothing else")
    published = ROOT / "config" / "published.yaml"
    parser.add_argument(
        "--config", type=Path, default=published, help="with --pack, without --run: configuration that is simulated"
    )
    parser.add_argument(
        "--wheels", action="store_true", help="with --pack: add wheels of packages that a GPU machine may lack"
    )
    parser.add_argument("--folder", type=Path, help="with --rehearse: folder to be made, instead of a temporary one")
    options = parser.parse_args(arguments)
    try:
        if options.unpack:
            from benchmarks.gpu.unpack import unpack

            print("\n".join(unpack(options.unpack, ROOT)))
        elif options.rehearse:
            from benchmarks.gpu.rehearse import rehearse

            return rehearse(options.folder)
        else:
            from benchmarks.gpu.pack import pack
            from benchmarks.gpu.simulated import corpus_of_run, from_run, on_the_spot, shipped

            make = partial(from_run, options.run) if options.run else partial(on_the_spot, shipped(options.config))
            corpus = corpus_of_run(options.corpus) if options.corpus else None
            made = None if options.only_corpus and corpus else make
            print(f"{options.pack}: {format_bytes(pack(options.pack, made, options.wheels, corpus))}")
    except Exception as error:
        if not is_foreseen(error):
            raise
        print(f"gpu: {describe(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
