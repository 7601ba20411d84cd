"""Symmetry operations of the square scan: exact images of a crystal that is turned or mirrored with its detector."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPERATIONS = 8
"""Four quarter turns, each without and with a mirror before it."""


def transformed(
    segments: NDArray[Any], potential: NDArray[Any], metadata: NDArray[np.float32], operation: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]:
    """
    Turn a square image by quarter turns, after mirroring top and bottom.

    The segments go where the operation takes them, and the crystal's angles follow: the result is what the microscope
    would record of the turned (mirrored) crystal.

    Parameters
    ----------
    segments : (4, y, x) array
        Top-left, top-right, bottom-left, bottom-right.
    potential : (y, x) array
        Truth.
    metadata : (4,) float32 array
        Thickness [nm], alpha, beta, gamma [degrees].
    operation : int
        0 to 7: quarter turns from x towards -y as the image is seen, plus 4 with the mirror.

    Returns
    -------
    segments, potential, metadata
        Views or copies, of the same shapes.
    """
    turns, mirrored = operation % 4, operation >= 4
    quadrants = segments.reshape(2, 2, *segments.shape[1:])
    thickness, alpha, beta, gamma = (float(value) for value in metadata)
    lean = np.array([math.tan(math.radians(beta)), -math.tan(math.radians(alpha)) / math.cos(math.radians(beta))])
    if mirrored:
        quadrants, potential = quadrants[::-1, :, ::-1], potential[::-1]
        lean, gamma = lean * (1, -1), -gamma
    quadrants = np.rot90(np.rot90(quadrants, turns, (0, 1)), turns, (2, 3))
    for _ in range(turns):
        lean = np.array([lean[1], -lean[0]])
    beta = math.atan(lean[0])
    alpha = -math.atan(lean[1] * math.cos(beta))
    angles = np.array([thickness, math.degrees(alpha), math.degrees(beta), (gamma - 90 * turns) % 360], np.float32)
    return quadrants.reshape(segments.shape), np.rot90(potential, turns), angles
