"""Symmetry operations of the square scan: exact images of a crystal that is turned or mirrored with its detector."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

OPERATIONS = 8
"""Four quarter turns, each without and with a mirror before it."""


_AXES = (
    *((False, ()), (True, (0,)), (False, (0, 1)), (True, (1,))),
    *((False, (0,)), (True, (0, 1)), (False, (1,)), (True, ())),
)
"""Whether rows become columns in an operation, and which of them are reversed then: 0 rows, 1 columns."""


def transformed(segments: Tensor, potential: Tensor, metadata: Tensor, operation: int) -> tuple[Tensor, Tensor, Tensor]:
    """Turn an image (4, y, x) and its truth (y, x), as `transformed_images`."""
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
        Truth.
    metadata : (batch, 4) tensor
        Thickness [nm], alpha, beta, gamma [degrees].
    operations : sequence of int
        Of each image, 0 to 7: quarter turns from x towards -y as the image is seen, plus 4 with the mirror.

    Returns
    -------
    segments, potential, metadata
        Of the same shapes.
    """
    quadrants, known, images, truths = segments.unflatten(1, (2, 2)), metadata.clone(), [], []
    for number, operation in enumerate(operations):
        swapped, reversed_axes = _AXES[operation]
        image, truth = quadrants[number], potential[number]
        if swapped:
            image, truth = image.permute(1, 0, 3, 2), truth.T
        # Quadrants go where their pixels go.
        images.append(image.flip([axis + shift for axis in reversed_axes for shift in (0, 2)]))
        truths.append(truth.flip(reversed_axes))
    for operation in set(operations):
        rows = [number for number, one in enumerate(operations) if one == operation]
        known[rows] = _turned_metadata(_mirrored(known[rows]) if operation >= 4 else known[rows], operation % 4)
    return torch.stack(images).flatten(1, 2), torch.stack(truths), known


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


def _mirrored(metadata: Tensor) -> Tensor:
    """Mirror top and bottom: a rotation about x or the beam is the opposite one, and one about y stays."""
    thickness, alpha, beta, gamma = metadata.unbind(1)
    return torch.stack([thickness, -alpha, beta, -gamma % 360], dim=1)


def _turned_metadata(metadata: Tensor, turns: int) -> Tensor:
    """
    Turn a crystal as a whole: angles of any size are those of its rotation.

    As `rotations.turned_about_beam`, on the device that holds them: a step of the training waits for no other.
    """
    if not turns:
        return metadata
    angles = metadata[:, 1:].double().deg2rad()
    (sin_a, sin_b, sin_c), (cos_a, cos_b, cos_c) = angles.sin().unbind(1), angles.cos().unbind(1)
    # Rows of the matrix: gamma about the beam, then alpha about x, then beta about y.
    right = torch.stack([cos_b * cos_c + sin_b * sin_a * sin_c, sin_b * sin_a * cos_c - cos_b * sin_c, sin_b * cos_a])
    down = torch.stack([cos_a * sin_c, cos_a * cos_c, -sin_a])
    along = cos_b * cos_a
    # By quarter turns from y to x.
    for _ in range(turns % 4):
        right, down = down, -right
    alpha = torch.atan2(-down[2], torch.hypot(down[0], down[1]))
    beta, gamma = torch.atan2(right[2], along), torch.atan2(down[0], down[1])
    # There beta and gamma turn about one axis: beta has all of it.
    upright = alpha.abs() > math.pi / 2 - 1e-6
    beta = torch.where(upright, torch.atan2(right[1] * alpha.sign(), right[0]), beta)
    gamma = torch.where(upright, 0.0, gamma)
    turned_angles = torch.stack([alpha.rad2deg(), beta.rad2deg(), gamma.rad2deg() % 360], dim=1)
    return torch.cat([metadata[:, :1], turned_angles.to(metadata)], dim=1)
