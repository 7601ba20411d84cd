"""A folder of images as the workflow finds it: parsing the Snakefile needs no more than this."""

import logging
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from iphasenet.base.errors import InputError
from iphasenet.planning.image_settings import option_of

ENDINGS = (
    *(".emd", ".dm3", ".dm4", ".hspy", ".zspy", ".nxs", ".tif", ".tiff", ".npy", ".npz", ".mib", ".h5", ".hdf5"),
    ".zarr",
)
"""Endings of the files that are taken for images."""

_UNSAFE = re.compile("[{}<>,\x00-\x1f\x7f\ud800-\udfff]|%(?=[0-9A-F]{2})")
"""What Snakemake reads as a part of a pattern or of its command line, or cannot write; and `%` where it could be taken
for such a character."""

_PATTERN = re.compile("[{}\ud800-\udfff]|<[a-z][a-z0-9_]*>")

_LONGEST = 200
"""Bytes of an output's name: 255 are the file system's, and endings and temporary names need some."""


def find_images(folder: str | Path) -> dict[str, str]:
    """
    List the images of a folder.

    Parameters
    ----------
    folder : path
        Folder of files; those of other endings than `ENDINGS` are left alone.

    Returns
    -------
    dict
        Path of each image by the name of its outputs, in alphabetical order: the file's name without the ending; with
        it where two differ by their endings alone; characters that Snakemake has a use for as `%7B`.

    Raises
    ------
    InputError
        Where there is no such folder, or no image in it.
    """
    folder = Path(folder)
    key = "configuration: reconstruction.images"
    if not folder.is_dir():
        raise InputError(f"{key}: found {str(folder)!r}, which is no folder; allowed: a folder of images")
    found = [
        path for path in sorted(folder.iterdir()) if path.suffix.lower() in ENDINGS and not path.name.startswith(".")
    ]
    for path in [path for path in found if not path.exists()]:
        logging.getLogger(__name__).warning("%s: %s is a link that leads nowhere and is left out", key, path)
        found.remove(path)
    if not found:
        raise InputError(f"{key}: found no image in {folder}; allowed: files ending in {', '.join(ENDINGS)}")
    return {_safe(name): str(path) for name, path in zip(_distinct(found), found, strict=True)}


def _distinct(paths: Iterable[Path]) -> list[str]:
    """Names without endings, but where several share one."""
    paths = list(paths)
    names = [path.stem for path in paths]
    while len(set(names)) < len(names):
        shared = {name for name, count in Counter(names).items() if count > 1}
        names = [path.name if name in shared else name for name, path in zip(names, paths, strict=True)]
    return names


def _safe(name: str) -> str:
    """Write a name such that Snakemake takes it as it is and a file system has room for it."""
    safe = _UNSAFE.sub(lambda match: "".join(f"%{byte:02X}" for byte in os.fsencode(match[0])), name)
    if len(os.fsencode(safe)) <= _LONGEST:
        return safe
    start = os.fsencode(safe)[: _LONGEST - 9].decode(errors="ignore")
    return f"{start}-{zlib.crc32(os.fsencode(name)):08x}"


def is_pattern(path: str) -> bool:
    """Whether Snakemake would fill in a part of a path, or cannot write it into its records."""
    return bool(_PATTERN.search(path))


def settings_of(image: str, reconstruction: Mapping[str, Any]) -> dict[str, Any]:
    """
    Join the settings of one image: those of all, and its own in their place.

    Parameters
    ----------
    image : str
        Path of the image.
    reconstruction : mapping
        Section of the configuration: `settings`, and `own` by the file's name without or with its ending.

    Returns
    -------
    dict
        By the fields of `iphasenet.planning.image_settings.ImageSettings`.
    """
    own, path = reconstruction.get("own", {}), Path(image)
    return {**reconstruction.get("settings", {}), **own.get(path.stem, {}), **own.get(path.name, {})}


def check_own_settings(reconstruction: Mapping[str, Any], images: Mapping[str, str]) -> None:
    """Refuse settings of images that are not there."""
    paths = [Path(path) for path in images.values()]
    known = {path.stem: path for path in paths} | {path.name: path for path in paths}
    unknown = sorted(set(reconstruction.get("own", {})) - set(known))
    if unknown:
        shown = ", ".join(path.stem for path in paths[:20]) + (", ..." if len(paths) > 20 else "")
        raise InputError(
            f"configuration: reconstruction.own: found {unknown[0]!r}; allowed: images of the folder, with or without "
            f"their endings, {shown}"
        )


def check_weights(reconstruction: Mapping[str, Any]) -> None:
    """Refuse weights that are not there."""
    path = Path(reconstruction.get("weights", "."))
    if "weights" in reconstruction and not path.is_file():
        inside = [name for name in ("model.safetensors", "weights.safetensors") if (path / name).is_file()]
        hint = f"{path / inside[0]}, which is in it" if inside else "the network of a run or of resources/models"
        found = "a folder" if path.is_dir() else "which does not exist"
        raise InputError(
            f"configuration: reconstruction.weights: found {str(path)!r}, {found}; allowed: a file of weights, {hint}"
        )


def command_options(settings: Mapping[str, Any]) -> list[str]:
    """Write settings as options of `iphasenet reconstruct`."""
    options: list[str] = []
    for name, value in settings.items():
        if isinstance(value, bool):
            options += [option_of(name)] if value else []
        else:
            options += [option_of(name), *map(_text, value if isinstance(value, list) else [value])]
    return options


def _text(value: Any) -> str:
    """Write a number without an exponent: `-1e-05` would be taken for an option."""
    return np.format_float_positional(value, trim="-") if isinstance(value, float) else str(value)
