"""Predictions of the network for any crystal, averaged over the symmetry operations of the square scan."""

import torch
from torch import Tensor

from iphasenet.network.column_network import ColumnNetwork, ColumnOutput
from iphasenet.network.symmetry import OPERATIONS, transformed_map, transformed_metadata, transformed_segments


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
    images = transformed_segments(segments, [operation] * len(segments))
    output = network(images, torch.cat([_turned(conditions[:, :3], operation), conditions[:, 3:]], dim=1))
    # A mirror is its own inverse.
    inverse = operation if operation >= OPERATIONS // 2 else -operation % 4
    tilts = _turned(output.estimates[:, 1:4], inverse)
    return ColumnOutput(
        columns=transformed_map(output.columns, inverse),
        spread=transformed_map(output.spread, inverse),
        estimates=torch.cat([output.estimates[:, :1], tilts, output.estimates[:, 4:]], dim=1),
        # Errors of alpha and beta change places with them.
        errors=output.errors[:, [0, 1, 3, 2, 4]] if operation % 2 else output.errors,
        features=output.features,
    )


def _turned(known: Tensor, operation: int) -> Tensor:
    """Turn tilts; `known` (batch, 3) holds a number that does not turn, alpha and beta [degrees]."""
    angles = torch.cat([known, torch.zeros_like(known[:, :1])], dim=1)
    return transformed_metadata(angles, [operation] * len(known))[:, :3]
