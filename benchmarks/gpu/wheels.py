"""Wheels of packages that a GPU machine may lack, made without network from the versions installed here."""

import zipfile
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from iphasenet.base.errors import InputError


def write_wheels(names: Collection[str], folder: Path) -> list[Path]:
    """
    Write wheels of installed distributions.

    Parameters
    ----------
    names : collection of str
        Pure Python distributions.
    folder : path
        Folder to be made.

    Returns
    -------
    list of path
        A wheel each; InputError where one is not installed, or compiled.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_write_wheel(name, folder) for name in names]


def _write_wheel(name: str, folder: Path) -> Path:
    try:
        found = distribution(name)
    except PackageNotFoundError as error:
        raise InputError(f"wheels: {name} is not installed here; install requirements.lock") from (error)
    if "Root-Is-Purelib: true" not in (found.read_text("WHEEL") or ""):
        raise InputError(f"wheels: found {name} compiled for this machine; allowed: packages of pure Python")
    files = [file for file in found.files or () if file.parts[0] != ".." and file.suffix != ".pyc"]
    records = {file for file in files if file.name == "RECORD"}
    path = folder / f"{found.name.replace('-', '_')}-{found.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        lines = []
        for file in files:
            if file not in records:
                archive.write(str(file.locate()), str(file))
                checksum = f"{file.hash.mode}={file.hash.value}" if file.hash else ""
                lines.append(f"{file},{checksum},{file.size or ''}")
        for record in records:
            archive.writestr(str(record), "\n".join([*lines, f"{record},,", ""]))
    return path
