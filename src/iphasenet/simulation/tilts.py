"""How a tilted crystal's columns lean: by angles about the lab's axes, and as a shift per depth in its own frame."""

import math

from iphasenet.microscope.optics import rotate
from iphasenet.simulation.grid import Sample


def lab_tilt(lean: tuple[float, float], rotation_deg: float) -> tuple[float, float]:
    """
    Tilt angles about the lab's axes of a crystal whose columns lean.

    Parameters
    ----------
    lean : (float, float)
        Lateral shift of an atomic column per depth (x, y) in the crystal's frame.
    rotation_deg : float
        Rotation gamma about the beam [degrees].

    Returns
    -------
    alpha, beta : float
        The crystal is rotated by gamma, then by alpha about lab x, then by beta about lab y [degrees]: the zone
        axis then points along (cos alpha sin beta, -sin alpha, cos alpha cos beta).
    """
    tx, ty = rotate(*lean, rotation_deg)
    beta = math.atan(tx)
    return math.degrees(-math.atan(ty * math.cos(beta))), math.degrees(beta)


def crystal_lean(alpha: float, beta: float, rotation_deg: float) -> tuple[float, float]:
    """
    How the columns of a crystal lean that is tilted about the lab's axes: the inverse of `lab_tilt`.

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
    any_tilt = sample.orientation.tilt_deg
    return lab_tilt(sample.orientation.lean, sample.gamma) if any_tilt is None else any_tilt
