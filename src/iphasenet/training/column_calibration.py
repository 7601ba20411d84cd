"""How far a trained network for any crystal is to be trusted, measured on crystals that it has not seen."""

import math

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from iphasenet.network.column_network import ColumnNetwork, ColumnOutput, relative_errors, true_estimates
from iphasenet.network.column_prediction import predict_columns
from iphasenet.training.column_crops import ColumnCrops, ColumnRenderer, collated

_SHRINKAGE = 0.05
"""Share of the mean variance in the features' covariance, so that it can be inverted."""

_BATCH, _BATCH_GPU = 8, 64


@torch.inference_mode()
def calibrate(network: ColumnNetwork, renderer: ColumnRenderer, training: ColumnCrops, unseen: ColumnCrops) -> None:
    """
    Scale the network's expected errors to those that it makes on unseen crystals, and note what usual images look like.

    Parameters
    ----------
    network : ColumnNetwork
        Trained network; its buffers change.
    renderer : ColumnRenderer
        Renders the crops.
    training : ColumnCrops
        Crops of the crystals that it has seen, with what may be told.
    unseen : ColumnCrops
        Crops of others, of which nothing is told but the optics.
    """
    network.eval()
    network.error_factors.fill_(1)
    network.spread_factor.fill_(1)
    features = torch.cat([output.features for output, _, _ in _outputs(network, renderer, training)])
    centred = features - features.mean(dim=0)
    covariance = centred.T @ centred / len(features)
    covariance += _SHRINKAGE * covariance.diagonal().mean() * torch.eye(len(covariance), device=features.device)
    precision = torch.linalg.inv(covariance)
    # A usual image has a strangeness of 1.
    mean = torch.einsum("bi,ij,bj->b", centred, precision, centred).mean() / features.shape[1]
    network.usual_features.copy_(features.mean(dim=0))
    network.feature_precision.copy_(precision / mean)
    ratios, misses = [], []
    for output, columns, conditions in _outputs(network, renderer, unseen):
        ratios.append((output.estimates - true_estimates(columns, conditions)).abs() / output.errors)
        misses.append([errors.mean(dim=(1, 2)) for errors in relative_errors(output, columns)])
    # The median of a Laplace distribution's absolute error is ln 2 of its scale.
    network.error_factors.copy_(torch.cat(ratios).median(dim=0).values / math.log(2))
    expected, made = (torch.cat(part).mean() for part in zip(*misses, strict=True))
    network.spread_factor.copy_(made / expected)


def _outputs(
    network: ColumnNetwork, renderer: ColumnRenderer, crops: ColumnCrops
) -> "list[tuple[ColumnOutput, Tensor, Tensor]]":
    """Predict crops; with their columns and conditions."""
    device = network.usual_features.device
    found = []
    for drawn in DataLoader(crops, batch_size=_BATCH if device.type == "cpu" else _BATCH_GPU, collate_fn=collated):
        segments, columns, conditions, told, _ = renderer.crops(drawn)
        known = torch.where(told, conditions, torch.nan)
        # As images are predicted later: a mean over symmetries has smaller errors, and features with less noise.
        output = predict_columns(network, segments.to(device), known.to(device))
        found.append((output, columns.to(device), conditions.to(device)))
    return found
