"""Which library runs: its version, its place and its source, and whether it is the workflow's own.

An environment of conda, or a container, may hold the library of another checkout. Snakemake starts every job in bash,
after it has activated the environment: what is exported there counts.
"""

import hashlib
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import iphasenet
from iphasenet.base.errors import InputError

OWN = "IPHASENET_OWN"
"""Environment variable of a workflow's jobs: source and folder of the workflow's own library."""


@dataclass(frozen=True)
class Library:
    """
    A library in a folder.

    Attributes
    ----------
    folder : Path
        The package's folder.
    source : str
        First twelve hexadecimal digits of the SHA-256 of its files' names and contents.
    """

    folder: Path
    source: str

    def __str__(self) -> str:
        return f"iphasenet {iphasenet.__version__} in {self.folder}, source {self.source}"


@cache
def library_in(folder: Path) -> Library:
    """Identify the library in a package's folder."""
    checksum = hashlib.sha256()
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("templates/*")]):
        for part in (path.relative_to(folder).as_posix().encode(), path.read_bytes()):
            checksum.update(len(part).to_bytes(8, "little") + part)
    return Library(folder.resolve(), checksum.hexdigest()[:12])


def running_library() -> Library:
    """Identify the library that this process runs."""
    return library_in(Path(iphasenet.__file__).parent)


def own_library(checkout: Path, conda: bool = False) -> Library:
    """
    Identify a workflow's own library: the one in its checkout or, if it has none, the one that runs.

    Parameters
    ----------
    checkout : Path
        Folder of the workflow's Snakefile.
    conda : bool
        Whether jobs run in conda environments, which hold no library: then the checkout must have one.

    Raises
    ------
    InputError
        If another library runs.
    """
    package = checkout / "src" / "iphasenet"
    if conda and not package.is_dir():
        raise InputError(
            f"library: found no {package}; jobs in conda environments need a checkout of the whole repository"
        )
    own = library_in(package) if package.is_dir() else running_library()
    check_own({OWN: _told(own)})
    return own


def check_own(environment: Mapping[str, str] = os.environ) -> Library:
    """
    Refuse to run as a job of a workflow that has another library.

    Parameters
    ----------
    environment : mapping
        Environment variables of this process; in a job, `OWN` is one of them.

    Returns
    -------
    Library
        The one that runs. It is the workflow's own if it lies in the same folder, whatever was changed there since
        the workflow started, or if its source is the same, such as in a container.

    Raises
    ------
    InputError
        One line that names both.
    """
    found, told = running_library(), environment.get(OWN)
    if told:
        source, _, folder = told.partition(" ")
        if source != found.source and Path(folder) != found.folder:
            raise InputError(f"library: found {found}; allowed: the workflow's own, in {folder}, source {source}")
    return found


def job_prelude(own: Library, checkout: Path) -> str:
    """
    Write the commands that bash runs before every job: Snakemake's own, then those that set the jobs' library.

    Parameters
    ----------
    own : Library
        The workflow's library.
    checkout : Path
        Folder of the workflow's Snakefile. Its library comes before that of an environment. PYTHONPATH cannot hold a
        path with a colon; then the environment must have the same library.

    Returns
    -------
    str
        Commands, each ended by a semicolon, without braces that Snakemake would fill in.
    """
    lines = ["set -euo pipefail", f"export {OWN}={shlex.quote(_told(own))}"]
    root = str(own.folder.parent)
    if own.folder == (checkout / "src" / "iphasenet").resolve() and os.pathsep not in root:
        # Snakemake removes PYTHONPATH from jobs with a conda environment.
        lines.append(f"export PYTHONPATH={shlex.quote(root)}${{PYTHONPATH:+:$PYTHONPATH}}")
    return "".join(f"{line}; " for line in lines)


def _told(library: Library) -> str:
    return f"{library.source} {library.folder}"
