"""Folders on a disk or behind an fsspec URL, such as `s3://bucket/sets/demo.zarr`.

Credentials, regions and endpoints are the environment's (for S3 `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
`AWS_ENDPOINT_URL`, ...): none is taken from a URL, written down or logged.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import fsspec

from iphasenet.base.errors import InputError

Place = str | Path
"""A folder on a disk, or the URL of one."""

_S3 = {"config_kwargs": {"connect_timeout": 10, "read_timeout": 10, "retries": {"total_max_attempts": 1}}}
_OPTIONS: dict[str, dict[str, Any]] = {"s3": _S3, "s3a": _S3, "file": {"auto_mkdir": True}}
"""With these limits, a server that does not answer is an error within a minute; by default s3fs waits for several."""

TRIES = 2
"""Number of tries of each request to S3."""


def is_url(place: Place) -> bool:
    """Whether a place is a URL, not a path."""
    return "://" in str(place)


def parse_place(text: str) -> Place:
    """Read a command's option: a URL is kept as text, anything else is a path."""
    return text if is_url(text) else Path(text)


def storage_options(place: Place) -> dict[str, Any]:
    """Options of the file system that serves a place, time limits among them; none for a path."""
    protocol = str(place).split("://", maxsplit=1)[0]
    return _OPTIONS.get(protocol, {}) if is_url(place) else {}


@contextmanager
def reached(place: Place) -> Iterator[None]:
    """
    Say in one line why a URL cannot be reached; errors of paths, and of missing files, pass unchanged.

    Raises
    ------
    InputError
        If the protocol is unknown, its package is missing, the server does not answer or denies access.
    """
    if "@" in str(place).split("://", maxsplit=1)[-1].split("/", maxsplit=1)[0] and is_url(place):
        raise InputError("storage: found a user name in the URL; allowed: credentials in environment variables only")
    try:
        yield
    except (InputError, FileNotFoundError, AttributeError, NameError, TypeError):
        raise
    # Each file system raises its own exceptions; missing files and mistakes of the program passed above.
    except Exception as error:
        if not is_url(place):
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{place}: found {text.rstrip('.')}; allowed: a URL that this machine reaches with the environment's "
            "credentials"
        ) from error


@dataclass(frozen=True)
class Folder:
    """
    A folder and the files in it, by their names relative to it.

    Attributes
    ----------
    place : str or Path
        Where it is; it need not exist. All methods raise InputError where a URL cannot be reached.
    """

    place: Place

    @cached_property
    def system(self) -> Any:
        """File system of fsspec."""
        with reached(self.place):
            system, _ = fsspec.url_to_fs(str(self.place), **storage_options(self.place))
            # Only S3 uses this; it is no argument of its file system.
            system.retries = TRIES
            return system

    @cached_property
    def root(self) -> str:
        """Path of the folder within its file system."""
        return str(self.system._strip_protocol(str(self.place))).rstrip("/")

    def sizes(self) -> dict[str, int]:
        """Sizes of all files in the folder and its subfolders, by name [bytes]; empty if it does not exist."""
        try:
            with reached(self.place):
                # A cached listing would lack what other processes wrote meanwhile.
                self.system.invalidate_cache()
                found = self.system.find(self.root, detail=True)
        except FileNotFoundError as error:
            raise InputError(f"{self.place}: there is no such bucket; create it, or give one that exists") from error
        return {path[len(self.root) + 1 :]: int(entry["size"]) for path, entry in sorted(found.items())}

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading."""
        with reached(self.place):
            stream: IO[bytes] = self.system.open(f"{self.root}/{name}", "rb")
            return stream

    def put(self, files: dict[str, Path]) -> None:
        """Copy files from the disk, by their names here."""
        with reached(self.place):
            self.system.put([str(path) for path in files.values()], [f"{self.root}/{name}" for name in files])

    def remove(self, names: list[str]) -> None:
        """Delete files."""
        if names:
            with reached(self.place):
                self.system.rm([f"{self.root}/{name}" for name in names])
