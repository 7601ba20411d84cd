"""Tilts of a crystal, in its own frame and about the lab's axes."""

import math

from iphasenet.microscope.optics import rotate
from iphasenet.simulation.grid import Sample


def lab_tilt(tilt: tuple[float, float], rotation_deg: float) -> tuple[float, float]:
    """
    Tilt angles about the lab's axes of a crystal tilted in its own frame.

    Parameters
    ----------
    tilt : (float, float)
        Lateral shift of an atomic column per depth (x, y) in the crystal's frame.
    rotation_deg : float
        Rotation gamma about the beam [degrees].

    Returns
    -------
    alpha, beta : float
        The crystal is rotated by gamma, then by alpha about lab x, then by beta about lab y [degrees]: the zone
        axis then points along (cos alpha sin beta, -sin alpha, cos alpha cos beta).
    """
    tx, ty = rotate(*tilt, rotation_deg)
    beta = math.atan(tx)
    return math.degrees(-math.atan(ty * math.cos(beta))), math.degrees(beta)


def crystal_tilt(alpha: float, beta: float, rotation_deg: float) -> tuple[float, float]:
    """
    Tilt in the crystal's frame of a crystal tilted about the lab's axes: the inverse of `lab_tilt`.

    Parameters
    ----------
    alpha, beta : float
        The crystal, rotated by gamma, is tilted by alpha about lab x, then by beta about lab y [degrees].
    rotation_deg : float
        Rotation gamma about the beam [degrees].

    Returns
    -------
    (float, float)
        Lateral shift of an atomic column per depth (x, y) in the crystal's frame.
    """
    tx = math.tan(math.radians(beta))
    ty = -math.tan(math.radians(alpha)) / math.cos(math.radians(beta))
    return rotate(tx, ty, -rotation_deg)


def lab_angles(sample: Sample) -> tuple[float, float]:
    """Tilt (alpha, beta) of a sample about the lab's axes, after its rotation [degrees]."""
    angles = sample.orientation.angles
    return lab_tilt(sample.orientation.tilt, sample.gamma) if angles is None else angles
