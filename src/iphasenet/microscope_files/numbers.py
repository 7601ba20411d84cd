"""Numbers as files hold them: alone, in an array of one, or written with their unit."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from iphasenet.base.errors import InputError

_ANGSTROM = {
    **dict.fromkeys(("\u00c5", "\u212b", "A", "angstrom", "Angstrom", "angstroms", "Ang"), 1.0),
    **dict.fromkeys(("\u00b5m", "\u03bcm", "um", "micron", "microns", "micrometer", "micrometre"), 1e4),
    **dict.fromkeys(("nm", "nanometer", "nanometre", "nanometers", "nanometres"), 10.0),
    **dict.fromkeys(("pm", "picometer", "picometre"), 1e-2),
    **dict.fromkeys(("m", "meter", "metre"), 1e10),
    **{"fm": 1e-5, "mm": 1e7, "cm": 1e8},
}
"""Units of length [\u00c5]: angstrom and micro are written in two ways each."""

_UNITS: dict[str, dict[str, float]] = {
    "\u00c5": _ANGSTROM,
    "nm": {name: length / 10 for name, length in _ANGSTROM.items()},
    "keV": {"keV": 1, "kV": 1, "kev": 1, "kv": 1, "KV": 1, "eV": 1e-3, "V": 1e-3, "MeV": 1e3, "MV": 1e3},
    "mrad": {"mrad": 1, "rad": 1e3, "milliradian": 1, "radian": 1e3, "\u00b5rad": 1e-3, "\u03bcrad": 1e-3,
             "urad": 1e-3, "deg": 1e3 * np.pi / 180, "\u00b0": 1e3 * np.pi / 180},
    "degrees": {"degrees": 1, "degree": 1, "deg": 1, "\u00b0": 1, "rad": 180 / np.pi, "mrad": 0.18 / np.pi},
    "e/\u00c5\u00b2": {"e/\u00c5\u00b2": 1, "e/\u00c5^2": 1, "e/A^2": 1, "e/A2": 1, "e/nm\u00b2": 1e-2, "e/nm^2": 1e-2},
}  # fmt: skip
"""Value of each unit that a file may use, in the unit of this library."""

_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*")


def length(unit: str) -> float | None:
    """Length that a unit's symbol stands for [\u00c5], None where it is no length."""
    return _ANGSTROM.get(unit.strip())


def angle(unit: str) -> float | None:
    """Angle that a unit's symbol stands for [mrad], None where it is no angle."""
    return _UNITS["mrad"].get(unit.strip())


def inverse_length(unit: str) -> float | None:
    """Length [\u00c5] whose inverse a unit's symbol stands for, such as 1 / nm or A^-1; None where it is none."""
    unit = unit.replace(" ", "")
    for ending in ("^-1", "**-1", "\u207b\u00b9"):
        if unit.endswith(ending):
            return length(unit.removesuffix(ending))
    return length(unit.removeprefix("1/")) if unit.startswith("1/") else None


def read_number(value: Any, unit: str, what: str) -> float:
    """
    Read a number of a file.

    Parameters
    ----------
    value : number, array of one, or text such as "200 kV"
        Value in the file.
    unit : str
        Unit of the result, which is assumed if the file writes none.
    what : str
        Name of file and quantity, for the message.

    Returns
    -------
    float
        Number in that unit.

    Raises
    ------
    InputError
        If it is no number, several numbers, or has another kind of unit.
    """
    found = np.asarray(value)
    if found.size == 1:
        one: Any = found.reshape(-1)[0]
        one = one.item() if isinstance(one, np.generic) else one
        one = one.decode(errors="replace") if isinstance(one, bytes) else one
        if isinstance(one, int | float) and not isinstance(one, bool):
            return float(one)
        match = _NUMBER.fullmatch(one) if isinstance(one, str) else None
        factor = 1.0 if match and not match[2] else _UNITS.get(unit, {}).get(match[2]) if match else None
        if match and factor:
            return float(match[1]) * factor
    shown = " ".join(str(value).split())
    raise InputError(f"{what}: found {shown[:60]!r}; allowed: one number{f' [{unit}]' if unit else ''}")


def read_numbers(value: Any, count: int, unit: str, what: str) -> tuple[float, ...]:
    """Read `count` numbers like `read_number`; InputError if there are more or fewer."""
    found = np.atleast_1d(np.asarray(value))
    if found.shape != (count,):
        raise InputError(f"{what}: found {' '.join(str(value).split())[:60]!r}; allowed: {count} numbers")
    return tuple(read_number(one, unit, what) for one in found)


def read_orientation(fields: Mapping[str, Any], source: str, published: bool = False) -> dict[str, Any]:
    """
    Read how a crystal stands in the beam.

    Parameters
    ----------
    fields : mapping
        What a file holds: `tilt_deg` (alpha, beta), beside a `rotation_deg` that is read as every other number. Samples
        of a data set and older files have `alpha`, `beta` and `gamma` instead, or `rotation` with all three.
    source : str
        Name of the file, for the message.
    published : bool
        Whether `rotation` is in the published data set's order: gamma, alpha, beta.

    Returns
    -------
    dict
        `tilt_deg` of a `SegmentedImage`, and `rotation_deg` where it stands with the tilt; empty where none is known.
    """
    if "tilt_deg" in fields:
        return {"tilt_deg": read_numbers(fields["tilt_deg"], 2, "degrees", f"{source}: tilt_deg")}
    names = ("alpha", "beta", "gamma")
    if fields.keys() >= set(names):
        alpha, beta, gamma = (read_number(fields[name], "degrees", f"{source}: {name}") for name in names)
    elif "rotation" in fields:
        alpha, beta, gamma = read_numbers(fields["rotation"], 3, "degrees", f"{source}: rotation")
        if published:
            gamma, alpha, beta = alpha, beta, gamma
    else:
        return {}
    return {"tilt_deg": (alpha, beta), "rotation_deg": gamma}


def read_order(value: Any, what: str) -> tuple[int, int, int, int]:
    """Read the indices of the segments top-left, top-right, bottom-left and bottom-right: 0 to 3, each once."""
    numbers = read_numbers(value, 4, "", what)
    if sorted(numbers) != [0, 1, 2, 3]:
        raise InputError(f"{what}: found {', '.join(f'{number:g}' for number in numbers)}; allowed: 0 to 3, each once")
    first, second, third, fourth = map(int, numbers)
    return first, second, third, fourth


def read_pixel(value: Any, what: str) -> tuple[float, float]:
    """Read a pixel's height and width [\u00c5]: one number for both, or both."""
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes) and np.size(value) == 2:
        height, width = read_numbers(np.reshape(value, -1), 2, "\u00c5", what)
        return height, width
    side = read_number(value, "\u00c5", what)
    return side, side
