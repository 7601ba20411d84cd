"""Memory that is free here, and the refusal of what needs more."""

import math
import re
import resource
from pathlib import Path

from iphasenet.base.errors import InputError
from iphasenet.base.files import format_bytes

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup/memory.max")


def available_bytes() -> float:
    """Memory that this process may still take, as far as the system tells; infinity where it does not [bytes]."""
    found = [math.inf]
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        found.append(limit)
    for path, pattern, unit in ((_MEMINFO, r"MemAvailable: +(\d+) kB", 1024), (_CGROUP, r"(\d+)", 1)):
        try:
            match = re.search(pattern, path.read_text(encoding="utf-8"))
        except OSError:
            continue
        if match:
            found.append(unit * float(match[1]))
    return min(found)


def check_memory(needed: float, what: str) -> None:
    """
    Refuse what this machine has no memory for, before it is asked for.

    Parameters
    ----------
    needed : float
        Memory that it takes at least [bytes].
    what : str
        What takes it, and on what it depends.
    """
    available = available_bytes()
    if needed > available:
        raise InputError(
            f"memory: found {what}, which needs {format_bytes(needed)}; allowed: what fits into "
            f"{format_bytes(available)}, the memory that is free here"
        )
