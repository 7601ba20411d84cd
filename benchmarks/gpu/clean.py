"""An interpreter that sees only its standard library and chosen distributions of those installed here."""

import venv
from collections import Counter
from collections.abc import Collection
from functools import cache
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def with_dependencies(names: Collection[str]) -> dict[str, Distribution]:
    """Installed distributions of some names and of all that they depend on."""
    found: dict[tuple[str, frozenset[str]], Distribution] = {}
    waiting = [Requirement(name) for name in names]
    while waiting:
        wanted = waiting.pop()
        key = (canonicalize_name(wanted.name), frozenset(wanted.extras))
        if key in found:
            continue
        found[key] = distribution(wanted.name)
        for child in map(Requirement, found[key].requires or ()):
            if child.marker is None or any(child.marker.evaluate({"extra": e}) for e in wanted.extras or {""}):
                waiting.append(child)
    return {name: item for (name, _), item in found.items()}


@cache
def shared_folders() -> frozenset[str]:
    """Folders of the installed packages that several distributions fill, such as `google`."""
    tops = (({file.parts[0] for file in item.files or () if len(file.parts) > 1}) for item in distributions())
    return frozenset(name for name, count in Counter(top for part in tops for top in part).items() if count > 1)


def link(names: Collection[str], folder: Path) -> None:
    """Fill a folder with links to distributions and what they depend on, and with nothing else."""
    for item in with_dependencies(names).values():
        for file in item.files or ():
            top = file.parts[0]
            if top in ("..", "__pycache__"):
                continue
            whole = file if top in shared_folders() else Path(top)
            path = folder / whole
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(Path(str(item.locate_file(whole))))


def clean_interpreter(names: Collection[str], folder: Path) -> Path:
    """
    Make a virtual environment of links.

    Parameters
    ----------
    names : collection of str
        Installed distributions that it holds, with what they depend on.
    folder : path
        Where to.

    Returns
    -------
    path
        Its interpreter.
    """
    venv.create(folder, symlinks=True)
    link(names, next(folder.glob("lib/python*/site-packages")))
    return folder / "bin" / "python"
