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
        Twelve hexadecimal digits of the SHA-256 of its files' names and contents.
    """

    folder: Path
    source: str

    def __str__(self) -> str:
        return f"iphasenet {iphasenet.__version__} in {self.folder}, source {self.source}"


@cache
def library_in(folder: Path) -> Library:
    """Look at the library in a folder, the package's."""
    checksum = hashlib.sha256()
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("templates/*")]):
        for part in (path.relative_to(folder).as_posix().encode(), path.read_bytes()):
            checksum.update(len(part).to_bytes(8, "little") + part)
    return Library(folder.resolve(), checksum.hexdigest()[:12])


def running_library() -> Library:
    """Look at the library that this process runs."""
    return library_in(Path(iphasenet.__file__).parent)


def own_library(checkout: Path, conda: bool = False) -> Library:
    """
    Look at a workflow's own library: its checkout's, or, where that holds none, the one that runs.

    Parameters
    ----------
    checkout : Path
        Folder of the workflow's Snakefile.
    conda : bool
        Whether jobs run in environments of conda, which hold no library: then the checkout must.

    Raises
    ------
    InputError
        Where another one runs.
    """
    package = checkout / "src" / "iphasenet"
    if conda and not package.is_dir():
        raise InputError(f"library: found no {package}; allowed with conda: a whole checkout, whose library jobs run")
    own = library_in(package) if package.is_dir() else running_library()
    check_own({OWN: _told(own)})
    return own


def check_own(environment: Mapping[str, str] = os.environ) -> Library:
    """
    Refuse to run as a job of a workflow whose library is another.

    Parameters
    ----------
    environment : mapping
        Variables of this process: `OWN` is one where it is a job.

    Returns
    -------
    Library
        The one that runs. That of the own folder is the own one, whatever was changed there since the workflow
        started; and so is any of the same source, such as a container's.

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
    Write what bash does before every job: Snakemake's own words, then the jobs' library.

    Parameters
    ----------
    own : Library
        The workflow's.
    checkout : Path
        Folder of the workflow's Snakefile. Its library comes before that of an environment; a path with a colon cannot
        be told, and then the environment's has to be the same.

    Returns
    -------
    str
        Commands, each with its end, in which Snakemake has nothing to fill in.
    """
    lines = ["set -euo pipefail", f"export {OWN}={shlex.quote(_told(own))}"]
    root = str(own.folder.parent)
    if own.folder == (checkout / "src" / "iphasenet").resolve() and os.pathsep not in root:
        # Snakemake takes PYTHONPATH from jobs with an environment of conda.
        lines.append(f"export PYTHONPATH={shlex.quote(root)}${{PYTHONPATH:+:$PYTHONPATH}}")
    return "".join(f"{line}; " for line in lines)


def _told(library: Library) -> str:
    return f"{library.source} {library.folder}"
