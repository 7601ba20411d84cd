"""Predictions of the network for any crystal, averaged over the symmetry operations of the square scan."""

import torch
from torch import Tensor

from iphasenet.network.column_network import ColumnNetwork, ColumnOutput
from iphasenet.network.symmetry import OPERATIONS, transformed_images


@torch.inference_mode()
def predict_columns(
    network: ColumnNetwork, segments: Tensor, conditions: Tensor, operations: int = OPERATIONS
) -> ColumnOutput:
    """
    Find the columns, averaged over images that are turned and mirrored with their detector.

    Parameters
    ----------
    network : ColumnNetwork
        Network in evaluation mode.
    segments : (batch, 4, y, x) tensor
        Fractions of the beam current; sides divide by 16.
    conditions : (batch, 7) tensor
        `CONDITIONS`; NaN where one is not known.
    operations : int
        Number of operations, 1 to 8; the first four are quarter turns.

    Returns
    -------
    ColumnOutput
        Means over the operations; the level is the mean of its logarithm.
    """
    outputs = [_operated(network, segments, conditions, operation) for operation in range(operations)]
    means = [torch.stack(part).mean(dim=0) for part in zip(*outputs, strict=True)]
    found = ColumnOutput(*means)
    if network.settings.held == "direct":
        return found
    level = found.estimates[:, 0].exp() / found.columns.mean(dim=(1, 2))
    return found._replace(columns=found.columns * level[:, None, None])


def _operated(network: ColumnNetwork, segments: Tensor, conditions: Tensor, operation: int) -> ColumnOutput:
    """Output for images under an operation, as if it had not been applied."""
    images, _, tilts = _apply(segments, segments[:, 0], conditions[:, :3], operation)
    output = network(images, torch.cat([tilts, conditions[:, 3:]], dim=1))
    # A mirror is its own inverse.
    inverse = operation if operation >= OPERATIONS // 2 else -operation % 4
    blank = output.columns[:, None].expand(-1, 4, -1, -1)
    _, columns, tilts = _apply(blank, output.columns, output.estimates[:, 1:4], inverse)
    _, spread, _ = _apply(blank, output.spread, output.estimates[:, 1:4], inverse)
    estimates = torch.cat([output.estimates[:, :1], tilts, output.estimates[:, 4:]], dim=1)
    # Errors of alpha and beta change places with them.
    swapped = output.errors[:, [0, 1, 3, 2, 4]] if operation % 2 else output.errors
    return ColumnOutput(columns, spread, estimates, swapped, output.features)


def _apply(segments: Tensor, image: Tensor, known: Tensor, operation: int) -> tuple[Tensor, Tensor, Tensor]:
    """Turn images; `known` (batch, 3) holds a number that does not turn, alpha and beta [degrees]."""
    angles = torch.cat([known, torch.zeros_like(known[:, :1])], dim=1)
    turned, one, angles = transformed_images(segments, image, angles, [operation] * len(segments))
    return turned, one, angles[:, :3]
