"""Aberrations of the probe-forming lenses in the polar expansion that abTEM uses."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.base.quantities import ABERRATION, ANGLE, DEFOCUS, Quantity, check_number

SYMBOLS = tuple(f"C{n}{m}" for n in range(1, 6) for m in range(n + 2) if (n + m) % 2 == 1)
"""Coefficients C_nm up to the fifth order; those with m > 0 have an angle phi_nm."""

_ANGLES = tuple(f"phi{symbol[1:]}" for symbol in SYMBOLS if not symbol.endswith("0"))

ALIASES = {
    "defocus": "C10",
    "Cs": "C30",
    "astigmatism": "C12",
    "astigmatism_angle": "phi12",
    "coma": "C21",
    "coma_angle": "phi21",
}
"""Names that may be used instead; `defocus` is -C10."""

FloatArray = NDArray[np.floating[Any]]


def polar_coefficients(aberrations: Mapping[str, float]) -> dict[str, float]:
    """
    Translate names and check values.

    Parameters
    ----------
    aberrations : mapping
        Symbols C_nm [Å] and phi_nm [degrees], or `ALIASES`.

    Returns
    -------
    dict
        Values by symbol, without zeros.
    """
    allowed = (*ALIASES, *SYMBOLS, *_ANGLES)
    found: dict[str, float] = {}
    for name, value in aberrations.items():
        if name not in allowed:
            raise InputError(f"optics: aberrations: found {name!r}; allowed: {', '.join(allowed)}")
        symbol = ALIASES.get(name, name)
        check_number(value, f"optics: aberrations: {name}", _quantity(symbol))
        if symbol in found:
            raise InputError(f"optics: aberrations: found {symbol} twice, as {', '.join(aberrations)}; allowed: once")
        found[symbol] = -value if name == "defocus" else value
    for symbol in found:
        if symbol.startswith("phi") and f"C{symbol[3:]}" not in found:
            raise InputError(f"optics: aberrations: found {symbol} without C{symbol[3:]}; allowed: both or neither")
    return {symbol: value for symbol, value in found.items() if value}


def angles_without_effect() -> dict[str, dict[str, float]]:
    """Angles, by every name, and the coefficients by every name that are 0 where these have no effect."""
    names = {symbol: [symbol, *(alias for alias, other in ALIASES.items() if other == symbol)] for symbol in SYMBOLS}
    names |= {angle: [angle, *(alias for alias, other in ALIASES.items() if other == angle)] for angle in _ANGLES}
    return {name: dict.fromkeys(names[f"C{angle[3:]}"], 0) for angle in _ANGLES for name in names[angle]}


def _quantity(symbol: str) -> Quantity:
    if symbol.startswith("phi"):
        return ANGLE
    return DEFOCUS if symbol.startswith("C1") else ABERRATION


def aberration_function(
    coefficients: Mapping[str, float], alpha: FloatArray, phi: FloatArray, wavelength: float
) -> FloatArray:
    """
    Aberration function chi; the probe's plane waves carry the phase factor exp(-i chi).

    Parameters
    ----------
    coefficients : mapping
        Values by symbol (`polar_coefficients`).
    alpha, phi : array
        Angle of each wave to the axis [rad], and its direction from x to y in the lab [rad].
    wavelength : float
        Electron wavelength [Å].

    Returns
    -------
    array
        2 pi / lambda sum alpha^(n + 1) / (n + 1) C_nm cos(m (phi - phi_nm)) [rad]. Kirkland, Advanced Computing in
        Electron Microscopy, section 2.4.
    """
    chi = np.zeros(np.broadcast(alpha, phi).shape)
    for symbol, value in coefficients.items():
        if symbol.startswith("C"):
            n, m = int(symbol[1]), int(symbol[2])
            angle = math.radians(coefficients.get(f"phi{n}{m}", 0.0))
            chi = chi + alpha ** (n + 1) / (n + 1) * value * np.cos(m * (phi - angle))
    return 2 * np.pi / wavelength * chi


def is_round(coefficients: Mapping[str, float]) -> bool:
    """Whether no aberration has a direction: then the crystal's rotation does not matter to the probe."""
    return all(symbol.endswith("0") for symbol in coefficients if symbol.startswith("C"))
