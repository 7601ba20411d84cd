"""Symmetry operations of the square scan: exact images of a crystal that is turned or mirrored with its detector."""

import torch
from torch import Tensor

from iphasenet.columns import column_lean

OPERATIONS = 8
"""Four quarter turns, each without and with a mirror before it."""


def transformed(segments: Tensor, potential: Tensor, metadata: Tensor, operation: int) -> tuple[Tensor, Tensor, Tensor]:
    """
    Turn a square image by quarter turns, after mirroring top and bottom.

    The segments go where the operation takes them, and the crystal's angles follow: the result is what the microscope
    would record of the turned (mirrored) crystal.

    Parameters
    ----------
    segments : (4, y, x) tensor
        Top-left, top-right, bottom-left, bottom-right.
    potential : (y, x) tensor
        Truth.
    metadata : (4,) tensor
        Thickness [nm], alpha, beta, gamma [degrees].
    operation : int
        0 to 7: quarter turns from x towards -y as the image is seen, plus 4 with the mirror.

    Returns
    -------
    segments, potential, metadata
        Views or copies, of the same shapes.
    """
    turns = operation % 4
    if operation >= 4:
        segments = segments.unflatten(0, (2, 2)).flip(0, 2).flatten(0, 1)
        potential = potential.flip(0)
        metadata = metadata * metadata.new_tensor([1, -1, 1, -1])
    images, described = turned(segments[None], metadata[None], turns)
    return images[0], potential.rot90(turns), described[0]


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
