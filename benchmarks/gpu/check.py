"""Check of what a machine lacks, before anything starts; needs only the standard library."""

import importlib
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from benchmarks.gpu.layout import MODULES


def unpack_wheels(wheels: Path, site: Path) -> None:
    """Unpack carried wheels of packages that are not installed here into a folder on Python's path."""
    for wheel in sorted(wheels.glob("*.whl")):
        try:
            distribution(wheel.name.split("-")[0])
        except PackageNotFoundError:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(site)
    # The folder may not have been there when Python looked.
    importlib.invalidate_caches()


def missing(root: Path, output: Path) -> str:
    """Say in one line what the steps lack here; empty if they lack nothing."""
    modules = [name for name in MODULES if find_spec(name) is None]
    if modules:
        return f"found no {', '.join(modules)}; allowed: a Python that has them, or wheels of them in {root / 'wheels'}"
    if not (root / "data").is_dir():
        return f"found no {root / 'data'}; allowed: the whole folder that `python -m benchmarks.gpu --pack` wrote"
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / ".writable").touch()
        (output / ".writable").unlink()
    except OSError as error:
        return f"found {output}, which cannot be written ({error.strerror}); allowed: --output FOLDER"
    return ""
