"""Names of materials and samples in a store: their form is checked, so that no name can be a path."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from iphasenet.base.errors import InputError

if TYPE_CHECKING:
    import zarr

_MATERIAL = re.compile(r"[A-Za-z0-9]+(_(-?\d){3})?")
"""Name as in the configuration's schema, with a suffix where a material has several zone axes: GaN_1-10."""

_SAMPLE = re.compile(rf"({_MATERIAL.pattern})-tilt\d+-rotation\d+-\d+(\.\d+)?nm")
"""Name as `iphasenet.simulation.grid.samples` makes it."""


def material_of(group: "zarr.Group", name: str = "") -> str:
    """
    Name of the material whose samples a group holds.

    Parameters
    ----------
    group : zarr.Group
        Group of a data set, or a material's own store.
    name : str
        Name that it must have; in a data set, that of the group.

    Raises
    ------
    InputError
        If it has another name, or one that is not of letters and digits.
    """
    expected, found = name or group.basename, group.attrs.get("material")
    if not isinstance(found, str) or not _MATERIAL.fullmatch(found):
        raise InputError(f"{_where(group)}: found the material {found!r}; allowed: a name of letters and digits")
    if expected and found != expected:
        raise InputError(
            f"{_where(group)}: found the material {found!r}; allowed: {expected!r}, the name of its group or file"
        )
    return found


def check_samples(material: str, names: Iterable[object]) -> None:
    """Refuse names that are not those of a material's samples, such as GaN-tilt0003-rotation01-40nm."""
    for name in names:
        match = _SAMPLE.fullmatch(name) if isinstance(name, str) else None
        if match is None or match[1] != material:
            raise InputError(
                f"{material}/sample_id: found {name!r}; allowed: material, tilt, rotation and thickness, such as "
                f"{material}-tilt0003-rotation01-40nm"
            )


def file_name(name: str) -> str:
    """Check that the name of a material or sample can name a file; InputError if it would be a path."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise InputError(f"name: found {name!r}; allowed: letters, digits, points, hyphens and underscores")
    return name


def _where(group: "zarr.Group") -> str:
    return group.path or str(group.store)
