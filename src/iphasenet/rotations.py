"""Orientations of a crystal: the one place where three angles become a rotation, and a rotation three angles."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

FloatArray = NDArray[np.float64]

_ORDER = "zxy"
"""About the lab's fixed axes: gamma about the beam, then alpha about x, then beta about y."""


def crystal_rotation(angles: NDArray[np.floating[Any]]) -> Rotation:
    """
    Rotation of a crystal in the lab.

    Parameters
    ----------
    angles : (..., 3) array
        alpha, beta, gamma of any size [degrees]: the crystal is rotated by gamma about the beam (x to y), then by alpha
        about lab x, then by beta about lab y.

    Returns
    -------
    scipy.spatial.transform.Rotation
        One, or as many as there are rows: it takes vectors in the crystal's frame to the lab's.
    """
    alpha, beta, gamma = np.moveaxis(np.asarray(angles, np.float64), -1, 0)
    return Rotation.from_euler(_ORDER, np.stack([gamma, alpha, beta], axis=-1), degrees=True)


def rotation_angles(rotation: Rotation) -> FloatArray:
    """
    Angles of a rotation.

    Parameters
    ----------
    rotation : scipy.spatial.transform.Rotation
        Of a crystal in the lab.

    Returns
    -------
    (..., 3) array
        alpha from -90 to 90, beta from -180 to 180, gamma from 0 to 360 [degrees]. Where alpha is 90 or -90, beta and
        gamma turn about one axis: beta has all of it.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Gimbal lock")
        gamma, alpha, beta = np.moveaxis(rotation.as_euler(_ORDER, degrees=True), -1, 0)
    return np.stack([alpha, beta, gamma % 360], axis=-1)


def turned_about_beam(angles: NDArray[np.floating[Any]], turn_deg: float) -> FloatArray:
    """
    Angles of a crystal that is turned about the beam as it stands.

    Parameters
    ----------
    angles : (..., 3) array
        alpha, beta, gamma [degrees].
    turn_deg : float
        From x to y [degrees]; what is not turned keeps its angles as they are.

    Returns
    -------
    (..., 3) array
        alpha, beta, gamma [degrees], as `rotation_angles` gives them.
    """
    if turn_deg == 0:
        return np.asarray(angles, np.float64)
    return rotation_angles(Rotation.from_euler("z", turn_deg, degrees=True) * crystal_rotation(angles))


def beam_directions(angles: NDArray[np.floating[Any]]) -> FloatArray:
    """Direction of the beam in the crystal's frame, (..., 3) unit vectors: what a tilt is, however it is turned."""
    found: FloatArray = crystal_rotation(angles).inv().apply([0.0, 0.0, 1.0])
    return found
