"""Symmetry operations of the square scan: they give exact images of a crystal turned or mirrored with its detector."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from iphasenet.base.devices import send
from iphasenet.network.rotations import quarter_turned

OPERATIONS = 8
"""Four quarter turns, each without and with a mirror before it."""


_AXES = (
    *((False, ()), (True, (0,)), (False, (0, 1)), (True, (1,))),
    *((False, (0,)), (True, (0, 1)), (False, (1,)), (True, ())),
)
"""For each operation, whether rows become columns, and which axes are then reversed: 0 rows, 1 columns."""


def transformed(segments: Tensor, potential: Tensor, metadata: Tensor, operation: int) -> tuple[Tensor, Tensor, Tensor]:
    """Turn an image (4, y, x) and its potential (y, x), like `transformed_images`."""
    images, truths, known = transformed_images(segments[None], potential[None], metadata[None], [operation])
    return images[0], truths[0], known[0]


def transformed_images(
    segments: Tensor, potential: Tensor, metadata: Tensor, operations: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Turn square images by quarter turns, after mirroring top and bottom.

    The segments go where the operation takes them, and the crystal's angles follow: the result is what the microscope
    would record of the turned (mirrored) crystal.

    Parameters
    ----------
    segments : (batch, 4, y, x) tensor
        Top-left, top-right, bottom-left, bottom-right.
    potential : (batch, y, x) tensor
        True potential.
    metadata : (batch, 4) tensor
        Thickness [nm], alpha, beta, gamma [degrees].
    operations : sequence of int
        Operation for each image, 0 to 7: number of quarter turns from x towards -y in the image, plus 4 with the
        mirror.

    Returns
    -------
    segments, potential, metadata
        Of the same shapes.
    """
    turned_segments = transformed_segments(segments, operations)
    return turned_segments, transformed_maps(potential, operations), transformed_metadata(metadata, operations)


def transformed_segments(segments: Tensor, operations: Sequence[int]) -> Tensor:
    """Turn the images of segments (batch, 4, y, x) alone, as in `transformed_images`."""
    return _by_operation(_transformed_quadrants, segments.unflatten(1, (2, 2)), operations).flatten(1, 2)


def transformed_maps(images: Tensor, operations: Sequence[int]) -> Tensor:
    """Turn images (batch, y, x) that are not of a segment, as in `transformed_images`."""
    return _by_operation(transformed_map, images, operations)


def _transformed_quadrants(quadrants: Tensor, operation: int) -> Tensor:
    """Turn segments (batch, 2, 2, y, x): they move like the pixels of their quadrant."""
    swapped, reversed_axes = _AXES[operation]
    turning = quadrants.permute(0, 2, 1, 4, 3) if swapped else quadrants
    return turning.flip([1 + axis + shift for axis in reversed_axes for shift in (0, 2)])


def _by_operation(turn: Callable[[Tensor, int], Tensor], images: Tensor, operations: Sequence[int]) -> Tensor:
    """Turn images, those of the same operation together: a GPU's host needs as long for one as for all."""
    numbers = np.asarray(operations)
    chosen = [(operation, np.flatnonzero(numbers == operation)) for operation in np.unique(numbers).tolist()]
    if len(chosen) == 1:
        return turn(images, chosen[0][0]).contiguous()
    parts = [turn(images.index_select(0, send(places, images.device)), operation) for operation, places in chosen]
    back = np.argsort(np.concatenate([places for _, places in chosen]))
    return torch.cat(parts).index_select(0, send(back, images.device))


def transformed_map(images: Tensor, operation: int) -> Tensor:
    """Turn images (..., y, x) that are not of a segment, like the potential of `transformed_images`."""
    swapped, reversed_axes = _AXES[operation]
    return (images.mT if swapped else images).flip([axis - 2 for axis in reversed_axes])


def transformed_metadata(metadata: Tensor, operations: Sequence[int]) -> Tensor:
    """Thickness and angles (batch, 4) of crystals that are turned and mirrored, as in `transformed_images`."""
    number = torch.tensor(operations, device=metadata.device)
    known = torch.where((number >= 4)[:, None], _mirrored(metadata), metadata)
    return torch.cat([known[:, :1], quarter_turned(known[:, 1:], number % 4)], dim=1)


def turned(segments: Tensor, metadata: Tensor, turns: int) -> tuple[Tensor, Tensor]:
    """
    Turn a batch of square images by quarter turns, like operations 0 to 3 of `transformed`.

    Parameters
    ----------
    segments : (batch, 4, y, x) tensor
        Top-left, top-right, bottom-left, bottom-right.
    metadata : (batch, 4) tensor
        Thickness [nm], alpha, beta, gamma [degrees].
    turns : int
        Number of quarter turns.

    Returns
    -------
    segments, metadata : tensors
        Turned images and metadata. The angles of a turned crystal are those of its rotation, alpha from -90° to 90°.
    """
    quadrants = segments.unflatten(1, (2, 2)).rot90(turns, (1, 2)).rot90(turns, (3, 4))
    angles = quarter_turned(metadata[:, 1:], torch.full_like(metadata[:, 0], turns % 4))
    return quadrants.flatten(1, 2), torch.cat([metadata[:, :1], angles], dim=1)


def _mirrored(metadata: Tensor) -> Tensor:
    """Mirror top and bottom: rotations about x and the beam change their sign, those about y do not."""
    thickness, alpha, beta, gamma = metadata.unbind(1)
    return torch.stack([thickness, -alpha, beta, -gamma % 360], dim=1)
