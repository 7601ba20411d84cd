"""Check before a workflow starts that training has the GPUs it requests; runs in an environment with torch.

python -m iphasenet.planning.gpu_check --cores 2 --materials 5 --configuration JSON
"""

import argparse
import json
import sys
from collections.abc import Sequence

from iphasenet.base.error_lines import one_line
from iphasenet.base.errors import InputError
from iphasenet.base.running_library import check_own


def main(arguments: Sequence[str] | None = None) -> None:
    """End with one line if the training would be refused."""
    parser = argparse.ArgumentParser(
        prog="iphasenet.planning.gpu_check", description="Refuse a training without its GPUs."
    )
    parser.add_argument("--cores", type=int, required=True, help="number of cores that the training may use")
    parser.add_argument("--materials", type=int, required=True, help="number of materials")
    parser.add_argument("--configuration", required=True, help="checked configuration as JSON")
    options = parser.parse_args(arguments)
    with one_line("training", mistakes=False):
        check_own()
        try:
            from iphasenet.planning.training_cost import check_gpu
        except ModuleNotFoundError as error:
            raise InputError(
                f"found no {error.name} in {sys.executable}; use the environment that make sets up, or --use-conda"
            ) from error
        check_gpu(json.loads(options.configuration), options.materials, options.cores)


if __name__ == "__main__":
    main()
