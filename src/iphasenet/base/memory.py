"""Memory that is free on this machine, and the refusal of work that needs more."""

import math
import re
import resource
from pathlib import Path

from iphasenet.base.errors import InputError
from iphasenet.base.files import format_bytes

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup/memory.max")


def available_bytes() -> float:
    """Memory that this process may still take [bytes]; infinity if the system does not say."""
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
    Refuse work that needs more memory than is free, before it starts.

    Parameters
    ----------
    needed : float
        Memory that it needs at least [bytes].
    what : str
        What needs it, and the settings that it depends on, for the message.
    """
    available = available_bytes()
    if needed > available:
        raise InputError(
            f"memory: found {what}, which needs {format_bytes(needed)}; allowed: at most "
            f"{format_bytes(available)}, the memory that is free here"
        )
