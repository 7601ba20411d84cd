"""Check that the workflow can run in its folder; it runs before anything is installed, with Python only."""

import os
import re
import sys
from pathlib import Path

from iphasenet.base.errors import InputError

_UNREADABLE = "\x00-\x1f\x7f\ud800-\udfff"
"""Control characters, and bytes that are no text in the locale's encoding."""


def check_path(folder: str, unfit: str = "{}") -> None:
    """
    Refuse a path below which the workflow cannot run.

    Parameters
    ----------
    folder : str
        Path of a folder.
    unfit : str
        Characters that it must not hold; by default braces, in which Snakemake fills in values.

    Raises
    ------
    InputError
        One line with the path.
    """
    found = re.search(f"[{_UNREADABLE}{re.escape(unfit)}]", folder)
    if found:
        raise InputError(
            f"checkout: found {folder!r}, a path with {found[0]!r}; allowed: a path without {' '.join(unfit)}, control "
            "characters and bytes of another encoding"
        )


def check_writable(folder: Path) -> None:
    """Refuse a checkout in which Snakemake cannot make its own folder or that of the results."""
    for place in (folder, folder / ".snakemake", folder / "results"):
        if place.exists() and not os.access(place, os.W_OK | os.X_OK):
            raise InputError(
                f"checkout: found {place}, which cannot be written; allowed: a checkout in a folder that you may "
                "write, in which Snakemake makes .snakemake and results"
            )


if __name__ == "__main__":
    try:
        # A colon separates the folders of PATH; the shell that starts an installed command interprets the others.
        check_path(str(Path.cwd()), '{}:"$`\\')
        check_writable(Path.cwd())
    except InputError as error:
        sys.exit(str(error))
