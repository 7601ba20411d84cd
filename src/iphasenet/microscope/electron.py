"""Relativistic electron wavelength and interaction constant."""

import math

from scipy import constants


def wavelength(energy_kev: float) -> float:
    """
    Relativistic de Broglie wavelength.

    Parameters
    ----------
    energy_kev : float
        Kinetic energy [keV].

    Returns
    -------
    float
        Wavelength [Å]. Kirkland, Advanced Computing in Electron Microscopy, eq. 2.5.
    """
    energy = energy_kev * 1e3 * constants.e
    rest = constants.m_e * constants.c**2
    return 1e10 * constants.h * constants.c / math.sqrt(energy * (2 * rest + energy))


def interaction_constant(energy_kev: float) -> float:
    """
    Phase shift per projected potential, sigma = 2 pi m e lambda / h².

    Parameters
    ----------
    energy_kev : float
        Kinetic energy [keV].

    Returns
    -------
    float
        Interaction constant [rad / (V Å)]. Kirkland, eq. 5.6.
    """
    mass = constants.m_e + energy_kev * 1e3 * constants.e / constants.c**2
    length = wavelength(energy_kev) * 1e-10
    return 1e-10 * 2 * math.pi * mass * constants.e * length / constants.h**2
