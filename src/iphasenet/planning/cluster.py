"""Check that the jobs of a run fit to what a Slurm site offers; imports nothing slow, because the Snakefile uses it."""

import math
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from iphasenet.base.errors import InputError

_KEYS = ("account", "partitions", "gpu_type", "scratch", "status")

_SINFO = ("sinfo", "--noheader", "--format=%R|%l|%c|%m|%G|%D")


@dataclass(frozen=True)
class Site:
    """
    Settings of a site: profiles/slurm/site.yaml.

    Attributes
    ----------
    partitions : tuple of str
        Partitions to which jobs may be sent.
    gpu_type : str
        Type of GPU that jobs request; empty for any.
    cpu_minutes, gpu_minutes : float
        Longest run time of any partition, and of any with GPUs; infinite if one has no limit [minutes].
    """

    partitions: tuple[str, ...]
    gpu_type: str
    cpu_minutes: float
    gpu_minutes: float

    def raised_minutes(self, minutes: int, attempt: int, gpus: int) -> int:
        """Run time of an attempt, at most that of a partition; with a longer one, the job would wait for ever."""
        longest = self.gpu_minutes if gpus else self.cpu_minutes
        return int(max(minutes, min(attempt * minutes, longest)))


@dataclass(frozen=True)
class Nodes:
    """
    Equal nodes of a partition.

    Attributes
    ----------
    partition : str
        Its name.
    count : int
        Number of nodes.
    minutes : float
        Longest run time; infinite if there is none [minutes].
    cores, gpus : int
        Cores and GPUs of each node.
    memory_mb : int
        Memory of each node [MB].
    """

    partition: str
    count: int
    minutes: float
    cores: int
    memory_mb: int
    gpus: int

    def __str__(self) -> str:
        limit = "no limit" if math.isinf(self.minutes) else f"{self.minutes:,.0f} minutes"
        return (
            f"{self.partition} ({self.count} node(s) of {self.cores} cores, {self.memory_mb:,} MB, {self.gpus} GPUs; "
            f"{limit})"
        )


@dataclass(frozen=True)
class Request:
    """
    Resources that a job requests.

    Attributes
    ----------
    job : str
        Name of the rule or group.
    nodes : int
        Number of nodes.
    minutes : float
        Run time [minutes].
    cores, gpus : int
        Cores and GPUs on each node.
    memory_mb : float
        Memory on each node [MB].
    """

    job: str
    nodes: int
    minutes: float
    cores: int
    memory_mb: float
    gpus: int

    def fits(self, nodes: Nodes) -> bool:
        """Whether these nodes could ever run the job."""
        return (
            self.nodes <= nodes.count
            and self.minutes <= nodes.minutes
            and self.cores <= nodes.cores
            and self.memory_mb <= nodes.memory_mb
            and self.gpus <= nodes.gpus
        )

    def __str__(self) -> str:
        return (
            f"{self.nodes} node(s) of {self.cores} cores, {self.memory_mb:,.0f} MB and {self.gpus} GPUs for "
            f"{self.minutes:,.0f} minutes"
        )


def read_site(path: str | Path) -> Site:
    """
    Read a site's settings.

    Parameters
    ----------
    path : path
        YAML file; the executor plugin reads its `partitions`, the profile the rest.

    Returns
    -------
    Site
        Settings; InputError names what is wrong in the file.
    """
    try:
        found: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(
            f"{path}: this is no YAML file ({' '.join(str(error).split())}); allowed: a YAML file"
        ) from error
    if not isinstance(found, Mapping) or set(found) - set(_KEYS) or not found.get("partitions"):
        keys = sorted(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
        raise InputError(f"{path}: found {keys}; allowed: {', '.join(_KEYS)}, and at least one partition")
    partitions: dict[str, dict[str, Any]] = {name: limits or {} for name, limits in found["partitions"].items()}
    times = {name: _site_minutes(limits.get("max_runtime", math.inf)) for name, limits in partitions.items()}
    with_gpus = [times[name] for name, limits in partitions.items() if limits.get("max_gpu")]
    return Site(
        tuple(map(str, partitions)), str(found.get("gpu_type") or ""), max(times.values()), max(with_gpus, default=0)
    )


def _site_minutes(limit: float | str) -> float:
    """Minutes of 90, `2d`, `1d12h` or Slurm's own forms."""
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([dhms])", str(limit).lower())
    if parts:
        return sum(float(number) * {"d": 1440, "h": 60, "m": 1, "s": 1 / 60}[unit] for number, unit in parts)
    return float(limit) if isinstance(limit, int | float) else _limit_minutes(limit)


def parse_sinfo(text: str) -> list[Nodes]:
    """Read lines `partition|time limit|cores|MB|generic resources|nodes` of sinfo."""
    found = []
    for line in text.splitlines():
        partition, limit, cores, memory, resources, count = line.strip().split("|")
        numbers = {"cores": int(cores.rstrip("+")), "memory_mb": int(memory.rstrip("+")), "gpus": _gpus(resources)}
        found.append(Nodes(partition, int(count), _limit_minutes(limit), **numbers))
    return found


def _limit_minutes(limit: str) -> float:
    """Minutes of `infinite`, `30`, `30:00`, `2:00:00` or `1-00:00:00`."""
    if limit in ("infinite", "n/a", "UNLIMITED"):
        return math.inf
    days, _, clock = limit.rpartition("-")
    parts = [float(part) for part in clock.split(":")]
    hours, minutes, seconds = ([0.0] * (3 - len(parts)) + parts) if len(parts) > 1 else (0.0, parts[0], 0.0)
    return 1440 * int(days or 0) + 60 * hours + minutes + seconds / 60


def _gpus(resources: str) -> int:
    """GPUs of `(null)`, `gpu:4` or `gpu:a100:4(S:0-1),nvme:1`."""
    names = [part.split("(")[0].split(":") for part in resources.split(",")]
    return sum(int(name[-1]) for name in names if name[0] == "gpu" and name[-1].isdigit())


def check_requests(requests: Iterable[Request], partitions: Sequence[str], offered: Sequence[Nodes]) -> None:
    """
    Refuse jobs that no partition could ever run; Slurm would refuse some, and let others wait for ever.

    Parameters
    ----------
    requests : iterable of Request
        Jobs.
    partitions : sequence of str
        Partitions in the site's settings.
    offered : sequence of Nodes
        Nodes of the cluster.

    Raises
    ------
    InputError
        One line with the job, its request and the available nodes.
    """
    known = sorted({nodes.partition for nodes in offered})
    unknown = [name for name in partitions if name not in known]
    if unknown:
        raise InputError(f"cluster: found partition {unknown[0]!r} in the site's settings; allowed: {', '.join(known)}")
    usable = [nodes for nodes in offered if nodes.partition in partitions]
    for request in requests:
        if not any(request.fits(nodes) for nodes in usable):
            there = "; ".join(map(str, usable))
            raise InputError(f"cluster: {request.job}: found a request for {request}; allowed: {there}")


def offered_nodes() -> list[Nodes]:
    """Ask Slurm which nodes there are."""
    try:
        result = subprocess.run(_SINFO, check=True, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(
            f"cluster: sinfo gave no answer ({error}); start the workflow on a machine that submits jobs"
        ) from error
    return parse_sinfo(result.stdout)
