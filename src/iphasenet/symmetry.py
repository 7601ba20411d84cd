"""Symmetry operations of the square scan: exact images of a crystal that is turned or mirrored with its detector."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iphasenet.columns import column_lean

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
    if mirrored:
        quadrants, potential = quadrants[::-1, :, ::-1], potential[::-1]
        metadata = metadata * np.array([1, -1, 1, -1], np.float32)
    quadrants = np.rot90(np.rot90(quadrants, turns, (0, 1)), turns, (2, 3))
    angles = _turned_metadata(torch.from_numpy(metadata)[None], turns)[0].numpy()
    return quadrants.reshape(segments.shape), np.rot90(potential, turns), angles


def turned(segments: Tensor, metadata: Tensor, turns: int) -> tuple[Tensor, Tensor]:
    """
    Turn a batch of square images by quarter turns, as operations 0 to 3 of `transformed`.

    Parameters
    ----------
    segments : (batch, 4, y, x) tensor
        Top-left, top-right, bottom-left, bottom-right.
    metadata : (batch, 4) tensor
        Thickness [nm], alpha, beta, gamma [degrees].
    turns : int
        Quarter turns.

    Returns
    -------
    segments, metadata : tensors
        Of the same shapes.
    """
    quadrants = segments.unflatten(1, (2, 2)).rot90(turns, (1, 2)).rot90(turns, (3, 4))
    return quadrants.flatten(1, 2), _turned_metadata(metadata, turns)


def _turned_metadata(metadata: Tensor, turns: int) -> Tensor:
    x, y = column_lean(metadata).unbind(dim=1)
    for _ in range(turns % 4):
        x, y = y, -x
    beta = torch.atan(x)
    alpha = -torch.atan(y * torch.cos(beta))
    angles = [metadata[:, 0], torch.rad2deg(alpha), torch.rad2deg(beta), (metadata[:, 3] - 90 * turns) % 360]
    return torch.stack(angles, dim=1)
