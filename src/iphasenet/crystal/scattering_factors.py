"""Electron scattering factors of neutral atoms, from abTEM's tables.

The tables are read from abTEM's files. Importing abTEM itself takes five seconds, most of them Numba's compilation, and
every program and job would pay them for two sums.
"""

import json
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.constants import angstrom, elementary_charge, epsilon_0, physical_constants

FloatArray = NDArray[np.floating[Any]]

PARAMETRIZATIONS = ("lobato", "kirkland")

_VOLT = physical_constants["Bohr radius"][0] * elementary_charge / (2 * epsilon_0 * angstrom**2)
"""Fourier transform of a potential over the scattering factor in the first Born approximation: h²/(2 pi m e) [V Å²]."""


@lru_cache
def scattering_tables(parametrization: str) -> dict[str, FloatArray]:
    """
    Read the parameters of all elements.

    Parameters
    ----------
    parametrization : {'lobato', 'kirkland'}
        Lobato & Van Dyck, Acta Cryst. A70, 636 (2014); Kirkland, Advanced Computing in Electron Microscopy, appendix C.

    Returns
    -------
    dict of str to array
        Parameters (2, 5) or (4, 3) by chemical symbol.
    """
    found = find_spec("abtem")
    assert found is not None and found.origin is not None
    path = Path(found.origin).parent / "parametrizations" / "data" / f"{parametrization}.json"
    return {symbol: np.array(values) for symbol, values in json.loads(path.read_text("utf-8")).items()}


def projected_scattering_factor(symbol: str, squared: FloatArray, parametrization: str = "lobato") -> FloatArray:
    """
    Fourier transform of the projected potential of one atom at rest.

    Parameters
    ----------
    symbol : str
        Chemical symbol.
    squared : array
        Squares of spatial frequencies [1/Å²].
    parametrization : {'lobato', 'kirkland'}
        Table.

    Returns
    -------
    array of the shape of `squared`
        Coefficients [V Å³].
    """
    table = scattering_tables(parametrization)[symbol]
    total = np.zeros(np.shape(squared))
    if parametrization == "lobato":
        for a, b in table.T:
            total += a * (2 + b * squared) / (1 + b * squared) ** 2
    else:
        for a, b, c, d in table.T:
            total += a / (b + squared) + c * np.exp(-d * squared)
    return total * _VOLT
