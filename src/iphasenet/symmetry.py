"""Symmetry operations of the square scan: exact images of a crystal that is turned or mirrored with its detector."""

import torch
from torch import Tensor

from iphasenet.rotations import turned_about_beam

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
        # Mirrored, a rotation about x or the beam is the opposite one, and one about y stays.
        thickness, alpha, beta, gamma = metadata.unbind()
        metadata = torch.stack([thickness, -alpha, beta, -gamma % 360])
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
        Quarter turns; none changes nothing.

    Returns
    -------
    segments, metadata : tensors
        Of the same shapes. The angles of a turned crystal are those of its rotation, alpha from -90° to 90°.
    """
    quadrants = segments.unflatten(1, (2, 2)).rot90(turns, (1, 2)).rot90(turns, (3, 4))
    return quadrants.flatten(1, 2), _turned_metadata(metadata, turns % 4)


def _turned_metadata(metadata: Tensor, turns: int) -> Tensor:
    """Turn a crystal as a whole: angles of any size are those of its rotation."""
    if not turns:
        return metadata
    angles = turned_about_beam(metadata[:, 1:].cpu().numpy(), -90.0 * turns)
    return torch.cat([metadata[:, :1], torch.from_numpy(angles).to(metadata)], dim=1)
