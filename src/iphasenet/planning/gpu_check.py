"""Check before a workflow starts that training has the GPUs it requests; runs in an environment with torch.

python -m iphasenet.planning.gpu_check FILE
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from iphasenet.base.error_lines import one_line
from iphasenet.base.errors import InputError
from iphasenet.base.running_library import check_own


def main(arguments: Sequence[str] | None = None) -> None:
    """End with one line if the training would be refused."""
    parser = argparse.ArgumentParser(
        prog="iphasenet.planning.gpu_check", description="Refuse a training without its GPUs."
    )
    parser.add_argument(
        "file", type=Path, help="JSON: number of cores of the training, number of materials, checked configuration"
    )
    options = parser.parse_args(arguments)
    with one_line("training", mistakes=False):
        check_own()
        try:
            from iphasenet.planning.training_cost import check_gpu
        except ModuleNotFoundError as error:
            raise InputError(
                f"found no {error.name} in {sys.executable}; use the environment that make sets up, or --use-conda"
            ) from error
        told = json.loads(options.file.read_text(encoding="utf-8"))
        check_gpu(told["configuration"], told["materials"], told["cores"])


if __name__ == "__main__":
    main()
