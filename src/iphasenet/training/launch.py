"""Start of training processes on one machine, or on the machines of a Slurm job.

srun --ntasks-per-node=1 python -m iphasenet.training.launch --processes 4 -- -m iphasenet.training.train ...
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence

from torch.distributed import run
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from iphasenet.base.error_lines import describe
from iphasenet.base.errors import InputError
from iphasenet.base.job_log import check_scratch

_PORTS = (20_000, 10_000)
"""First port at which processes of a job meet, and number of ports: jobs on one machine get different ones."""


def torchrun_options(
    environment: Mapping[str, str], nodes: int, processes: int, hosts: Callable[[str], Sequence[str]]
) -> list[str]:
    """
    Options that tell torchrun where its processes run.

    Parameters
    ----------
    environment : mapping
        Variables of this process: Slurm's, where there are several machines.
    nodes : int
        Machines that take part.
    processes : int
        Processes on each.
    hosts : callable
        Function that splits Slurm's list of nodes into host names.

    Returns
    -------
    list of str
        Options of torchrun; InputError if this is no step of a Slurm job with as many machines.
    """
    if nodes == 1:
        return ["--standalone", f"--nproc-per-node={processes}"]
    found = environment.get("SLURM_STEP_NUM_NODES", environment.get("SLURM_NNODES", "1"))
    if found != str(nodes):
        raise InputError(
            f"training: found {found} machine(s) for jobs.training_nodes {nodes}; allowed: a Slurm job of as many "
            "(--workflow-profile profiles/slurm), or 1"
        )
    first, count = _PORTS
    return [
        f"--nnodes={nodes}",
        f"--node-rank={environment['SLURM_NODEID']}",
        f"--nproc-per-node={processes}",
        f"--master-addr={hosts(environment['SLURM_JOB_NODELIST'])[0]}",
        f"--master-port={first + int(environment['SLURM_JOB_ID']) % count}",
    ]


def slurm_hosts(nodes: str) -> list[str]:
    """Host names of a list such as `node[1-3]`."""
    return subprocess.run(
        ["scontrol", "show", "hostnames", nodes], check=True, capture_output=True, text=True
    ).stdout.split()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run torchrun, which starts the processes and ends when they end."""
    parser = argparse.ArgumentParser(
        prog="iphasenet.training.launch", description="Start training processes with torchrun."
    )
    parser.add_argument("--nodes", type=int, default=1, help="number of machines, 1 if not given")
    parser.add_argument("--processes", type=int, required=True, help="number of processes on each machine")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- and the command that torchrun starts")
    options = parser.parse_args(arguments)
    try:
        check_scratch()
        where = torchrun_options(os.environ, options.nodes, options.processes, slurm_hosts)
        # torchrun would keep its processes' error files in a folder that it never removes.
        with tempfile.TemporaryDirectory(prefix="iphasenet-", ignore_cleanup_errors=True) as folder:
            run.run(run.parse_args([*where, f"--log-dir={folder}", *options.command[1:]]))
    except ChildFailedError:
        # The process has printed the reason; torchrun would add forty lines.
        sys.exit(1)
    except SignalException as stop:
        sys.exit(128 + int(stop.sigval))
    except (InputError, OSError) as error:
        sys.exit(f"training: {describe(error).removeprefix('training: ')}")


if __name__ == "__main__":
    main()
