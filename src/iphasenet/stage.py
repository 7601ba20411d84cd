"""What every stage of the workflow shares: a version, a log, one line for bad input."""

import logging
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from iphasenet.errors import InputError

STAGE_VERSIONS = {
    "potential": 2,
    "images": 2,
    "samples": 4,
    "dataset": 2,
    "card": 1,
    "model": 3,
    "model_card": 1,
    "predictions": 2,
    "evaluation": 4,
    "report": 3,
    "reconstruction": 1,
}
"""Part of each rule's parameters: raise a number when the library's change must remake that stage's outputs."""


def library_versions() -> dict[str, str]:
    """Versions of this library and of those that results depend on, as far as this environment has them."""
    found = {"python": platform.python_version()}
    for name in ("iphasenet", "abtem", "ase", "numpy", "torch", "monai", "zarr"):
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
def stage(name: str, log: str | Path) -> Iterator[logging.Logger]:
    """
    Run one job of the workflow.

    Parameters
    ----------
    name : str
        What the job does.
    log : path
        Log file: versions, warnings, what was done and for how long.

    Yields
    ------
    logging.Logger
        Writes to the log.
    """
    logger = logging.getLogger("iphasenet")
    handler = logging.FileHandler(log, mode="w")
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
            check_scratch()
            yield logger
    except InputError as error:
        logger.error("%s", error)
        sys.exit(f"{name}: {error}")
    except BaseException:
        logger.exception("%s failed", name)
        raise
    finally:
        logger.info("ended after %.1f s", time.monotonic() - started)
        logger.removeHandler(handler)
        handler.close()
