"""What every job of the workflow shares: a log, and one line for bad input."""

import logging
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from iphasenet import __version__
from iphasenet.base.error_lines import describe, is_foreseen
from iphasenet.base.errors import InputError
from iphasenet.base.files import file_bytes, format_bytes
from iphasenet.base.running_library import check_own


def library_versions() -> dict[str, str]:
    """Versions of this library and of those that results depend on, as far as this environment has them."""
    found = {"python": platform.python_version(), "iphasenet": __version__}
    for name in ("abtem", "ase", "numpy", "torch", "monai", "zarr"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def check_scratch() -> None:
    """
    Refuse a folder of temporary files that cannot be used: Python would silently take another one.

    Raises
    ------
    InputError
        One line with the folder that $TMPDIR names, and this machine's name.
    """
    folder = os.environ.get("TMPDIR")
    if not folder:
        return
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"scratch: found {folder}, which cannot be written on {platform.node()} ({error.strerror}); allowed: a "
            "folder for temporary files (TMPDIR; on a cluster, scratch in profiles/slurm/site.yaml)"
        ) from error


@contextmanager
def journal(name: str, handler: logging.Handler) -> Iterator[logging.Logger]:
    """
    Log some work: versions and library, messages and warnings, and at the end the time it took or what failed.

    Parameters
    ----------
    name : str
        What the work is called in the log.
    handler : logging.Handler
        Handler that writes the log; closed at the end.

    Yields
    ------
    logging.Logger
        Writes to the log.
    """
    logger = logging.getLogger("iphasenet")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    started = time.monotonic()
    logger.info("%s; %s", name, ", ".join(f"{key} {value}" for key, value in library_versions().items()))
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, category, *_rest: logger.warning(
                "%s: %s", category.__name__, message
            )
            logger.info("%s", check_own())
            check_scratch()
            yield logger
        logger.info("ended after %.1f s", time.monotonic() - started)
    except BaseException as error:
        # Bad input, and a machine that lacks something, need no traceback.
        if isinstance(error, Exception) and not is_foreseen(error):
            logger.error("%s failed", name, exc_info=True)
        logger.error("failed after %.1f s: %s", time.monotonic() - started, _in_words(error))
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()


@contextmanager
def stage(name: str, log: str | Path, outputs: Iterable[str] = ()) -> Iterator[logging.Logger]:
    """
    Run one job of the workflow: a failure ends it with the line that matters and the path of its log.

    Parameters
    ----------
    name : str
        What the job does.
    log : path
        Log file: versions, messages, warnings, outputs, time, and the traceback of a failure.
    outputs : iterable of str
        Files and folders that the job makes.

    Yields
    ------
    logging.Logger
        Writes to the log.
    """
    try:
        with journal(name, logging.FileHandler(log, mode="w", encoding="utf-8", errors="backslashreplace")) as logger:
            yield logger
            for path in outputs:
                logger.info("made %s, %s", path, format_bytes(file_bytes(path)))
    except Exception as error:
        sys.exit(f"{name}: {_in_words(error)}\nlog: {log}")


def _in_words(error: BaseException) -> str:
    """Describe an error in one line: bad input by its text, another error with its type."""
    text = " ".join(str(error).split())
    if isinstance(error, Exception) and is_foreseen(error):
        return describe(error)
    return text if isinstance(error, SystemExit) else f"{type(error).__name__}: {text}"
