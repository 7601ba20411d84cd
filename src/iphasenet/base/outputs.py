"""Checks of a command's outputs before it computes anything."""

import os
import resource
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from iphasenet.base.errors import InputError
from iphasenet.base.files import LONGEST_NAME, describe_entry, format_bytes
from iphasenet.base.marks import is_marked_file, is_replaceable_folder

FOLDER_ENDINGS = (".zarr", ".zspy")
"""Endings of stores, which are folders."""

PICTURE_ENDINGS = (".png", ".svg")

_DEEPEST = 200
"""Folders in a path: more than anybody needs, and fewer than Python's own functions can make."""

_STORE_ROOTS = ("zarr.json", ".zgroup", ".zattrs")


@dataclass(frozen=True)
class Output:
    """
    A file or folder that a command is asked to write.

    Attributes
    ----------
    option : str
        Option of the command line that names it.
    path : Path
        Its path.
    kind : str, optional
        Kind of file or store that may be replaced (`iphasenet.base.marks`); if not given, only an empty folder may.
    endings : sequence of str
        Endings that can be written, in lower case; if empty, all can.
    folder : bool, optional
        Whether it is a folder; if not given, its ending decides.
    size : float
        Disk space that it takes at least [bytes].
    added : bool
        Whether it is a folder to which files are added, so that its other files stay.
    """

    option: str
    path: Path
    kind: str | None = None
    endings: Sequence[str] = ()
    folder: bool | None = None
    size: float = 0
    added: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.path.suffix.lower() in FOLDER_ENDINGS if self.folder is None else self.folder

    @property
    def place(self) -> Path:
        """Its path with all links followed."""
        return Path(os.path.realpath(self.path))

    def error(self, found: str, allowed: str) -> InputError:
        """Error that names the output."""
        return InputError(f"{self.option} {self.path}: found {found}; allowed: {allowed}")


def check_outputs(outputs: Iterable[Output | None], inputs: Iterable[Path | None] = ()) -> None:
    """
    Refuse outputs that cannot be written, or would replace or damage what is there.

    Parameters
    ----------
    outputs : iterable of Output or None
        All outputs of the command; None is left out.
    inputs : iterable of Path or None
        All inputs of the command; None is left out.

    Raises
    ------
    InputError
        One line if the ending cannot be written; if the place cannot be written or has no room; if an output is an
        input or another output, lies in one or holds one, or lies in a store; if something else is there already.
    """
    asked = [output for output in outputs if output is not None]
    read = [Path(os.path.realpath(path)) for path in inputs if path is not None]
    for number, output in enumerate(asked):
        _check_name(output)
        _check_apart(output, read, "input")
        _check_apart(output, [other.place for other in asked[:number]], "output")
        _check_no_store(output)
        _check_replaced(output)
        _check_place(output)


def _check_name(output: Output) -> None:
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in output.path.parts):
        raise output.error("a name that is too long", f"at most {LONGEST_NAME} bytes")
    if len(output.place.parts) > _DEEPEST:
        raise output.error(f"a path of {len(output.place.parts)} folders", f"at most {_DEEPEST}")
    ending = output.path.suffix
    if output.endings and ending.lower() not in output.endings:
        raise output.error(f"the ending '{ending}'", ", ".join(output.endings))


def _check_apart(output: Output, others: Sequence[Path], what: str) -> None:
    place = output.place
    for other in others:
        if place == other or (place.exists() and other.exists() and place.samefile(other)):
            raise output.error(f"an {what} of the same command", "another name")
        if other in place.parents and not other.is_file():
            raise output.error(f"a place inside the {what} {other.name}", "a place outside it")
        if place in other.parents:
            raise output.error(f"a folder that holds the {what} {other.name}", "another folder")


def _check_no_store(output: Output) -> None:
    for parent in output.place.parents:
        if any((parent / name).is_file() for name in _STORE_ROOTS):
            raise output.error(f"a place inside the store {parent}, which it would damage", "a place outside it")


def _check_replaced(output: Output) -> None:
    place, kind = output.place, output.kind
    if not os.path.lexists(place) or (output.added and place.is_dir()):
        return
    if not place.exists():
        raise output.error("a link that leads to itself", "a new name")
    if output.is_folder and (place.is_mount() or place == Path.cwd()):
        raise output.error("a disk's own folder or the one that the command runs in", "a new name")
    like = f", or {_with_article(kind)} of iphasenet to replace" if kind else ""
    if output.is_folder:
        if not is_replaceable_folder(place, kind):
            raise output.error(describe_entry(place), f"a new name, an empty folder{like}")
        return
    if not place.is_file():
        raise output.error(describe_entry(place), "a new file" + like)
    if kind is None or not is_marked_file(place, kind):
        raise output.error("a file of this name that iphasenet did not write", "a new name" + like)
    if not os.access(place, os.W_OK):
        raise output.error("a file that must not be written", "a new name")


def _with_article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _check_place(output: Output) -> None:
    """Refuse a place where nothing can be written, or without room; the test leaves nothing behind."""
    place = output.place
    folder = next(parent for parent in place.parents if os.path.lexists(parent))
    try:
        tempfile.TemporaryFile(dir=folder).close()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise output.error(f"no way to write ({error.strerror} in {folder})", "a writable folder") from error
    if not output.is_folder:
        limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        free = free if limit == resource.RLIM_INFINITY else min(free, limit)
    if output.size > free:
        raise output.error(f"room for {format_bytes(free)}", f"a place with {format_bytes(output.size)} at least")
