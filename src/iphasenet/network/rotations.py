"""Orientations of a crystal: conversion between three angles and a rotation."""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

if TYPE_CHECKING:
    from torch import Tensor

FloatArray = NDArray[np.float64]

_ORDER = "zxy"
"""Rotations about the lab's fixed axes: gamma about the beam, then alpha about x, then beta about y."""


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
        One rotation, or one per row, which takes vectors from the crystal's frame to the lab's.
    """
    alpha, beta, gamma = np.moveaxis(np.asarray(angles, np.float64), -1, 0)
    return Rotation.from_euler(_ORDER, np.stack([gamma, alpha, beta], axis=-1), degrees=True)


def rotation_angles(rotation: Rotation) -> FloatArray:
    """
    Angles of a rotation.

    Parameters
    ----------
    rotation : scipy.spatial.transform.Rotation
        Rotation of a crystal in the lab.

    Returns
    -------
    (..., 3) array
        alpha from -90 to 90, beta from -180 to 180, gamma from 0 to 360 [degrees]. If alpha is 90 or -90, beta and
        gamma turn about the same axis; then beta is the whole rotation.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Gimbal lock")
        gamma, alpha, beta = np.moveaxis(rotation.as_euler(_ORDER, degrees=True), -1, 0)
    return np.stack([alpha, beta, gamma % 360], axis=-1)


def turned_about_beam(angles: NDArray[np.floating[Any]], turn_deg: float) -> FloatArray:
    """
    Angles of a tilted crystal after a further rotation about the beam.

    Parameters
    ----------
    angles : (..., 3) array
        alpha, beta, gamma [degrees].
    turn_deg : float
        Rotation from x to y [degrees]; 0 leaves the angles exactly as they are.

    Returns
    -------
    (..., 3) array
        alpha, beta, gamma [degrees], as `rotation_angles` gives them.
    """
    if turn_deg == 0:
        return np.asarray(angles, np.float64)
    return rotation_angles(Rotation.from_euler("z", turn_deg, degrees=True) * crystal_rotation(angles))


def quarter_turned(angles: "Tensor", turns: "Tensor") -> "Tensor":
    """
    Turn crystals by quarter turns about the beam, on the device of their angles; `turned_about_beam` needs the CPU.

    Parameters
    ----------
    angles : (batch, 3) tensor
        alpha, beta, gamma of any size [degrees].
    turns : (batch,) tensor
        Quarter turns of each crystal, from y to x; 0 leaves its angles exactly as they are.

    Returns
    -------
    (batch, 3) tensor
        Angles as `rotation_angles` gives them.
    """
    # The other functions of this module need no torch.
    import torch

    (sin_a, sin_b, sin_c), (cos_a, cos_b, cos_c) = (
        function(angles.double().deg2rad()).unbind(1) for function in (torch.sin, torch.cos)
    )
    # Rows of the matrix: gamma about the beam, then alpha about x, then beta about y.
    x = torch.stack([cos_b * cos_c + sin_b * sin_a * sin_c, sin_b * sin_a * cos_c - cos_b * sin_c, sin_b * cos_a])
    y = torch.stack([cos_a * sin_c, cos_a * cos_c, -sin_a])
    cosine, sine = (function(turns.double() * (torch.pi / 2)).round() for function in (torch.cos, torch.sin))
    x, y = cosine * x + sine * y, cosine * y - sine * x
    alpha = torch.atan2(-y[2], torch.hypot(y[0], y[1]))
    beta, gamma = torch.atan2(x[2], cos_b * cos_a), torch.atan2(y[0], y[1])
    # There beta and gamma turn about the same axis; beta is the whole rotation.
    upright = alpha.abs() > torch.pi / 2 - 1e-6
    beta = torch.where(upright, torch.atan2(x[1] * alpha.sign(), x[0]), beta)
    gamma = torch.where(upright, 0.0, gamma)
    found = torch.stack([alpha.rad2deg(), beta.rad2deg(), gamma.rad2deg() % 360], dim=1)
    return torch.where((turns % 4 == 0)[:, None], angles, found.to(angles))


def beam_directions(angles: NDArray[np.floating[Any]]) -> FloatArray:
    """Direction of the beam in the crystal's frame, (..., 3) unit vectors; the same at all rotations of a tilt."""
    found: FloatArray = crystal_rotation(angles).inv().apply([0.0, 0.0, 1.0])
    return found
