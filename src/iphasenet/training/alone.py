"""One training of a run at a time: two would write the same checkpoints."""

import errno
import fcntl
import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from iphasenet.base.errors import InputError

WAIT_SECONDS = 120.0
"""Time that a second training waits for the end of the first, which may be stopping [s]."""

_POLL_SECONDS = 0.5
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""Error numbers of file systems without locks."""


@contextmanager
def alone_in(folder: Path, wait: float | None = None) -> Iterator[None]:
    """
    Hold the lock of a run's folder; the system releases it when the process ends in any way.

    It works between the processes of one machine, and between machines if the file system shares locks (NFS, Lustre
    with `flock`); if it has no locks, a line in the log says so.

    Parameters
    ----------
    folder : path
        Folder of checkpoints; it is made when it is missing.
    wait : float, optional
        Time to wait for another process that holds the lock [s]; WAIT_SECONDS if not given.

    Raises
    ------
    InputError
        If another process still holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+", encoding="utf-8") as file:
        _take(file, folder, WAIT_SECONDS if wait is None else wait)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}\n")
        file.flush()
        yield


def _take(file: IO[str], folder: Path, wait: float) -> None:
    """Take the lock; wait if another process holds it."""
    log = logging.getLogger(__name__)
    deadline, told = time.monotonic() + wait, False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            log.warning("%s: its file system has no locks; do not start a second training of this run", folder)
            return
        if time.monotonic() > deadline:
            raise InputError(
                f"training: found {holder} still training in {folder} after {wait:g} s; allowed: one training of a run "
                "at a time; wait for its end, or end it"
            )
        if not told:
            log.warning("%s: %s trains there; waiting up to %g s for its end", folder, holder, wait)
            told = True
        time.sleep(_POLL_SECONDS)
