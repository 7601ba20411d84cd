"""Training losses on the mean potential."""

from collections.abc import Mapping

import torch
from torch import Tensor


def _gradient_l1(difference: Tensor) -> Tensor:
    return difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()


_TERMS = {
    "l1": lambda difference: difference.abs().mean(),
    "l2": lambda difference: difference.square().mean(),
    "gradient_l1": _gradient_l1,
    "spectral_l1": lambda difference: torch.fft.rfft2(difference, norm="ortho").abs().mean(),
}


def weighted_loss(prediction: Tensor, target: Tensor, weights: Mapping[str, float]) -> Tensor:
    """
    Sum of weighted loss terms.

    Parameters
    ----------
    prediction, target : (batch, y, x) tensor
        In the same unit.
    weights : mapping
        Weight of each of 'l1', 'l2', 'gradient_l1' (differences of neighbouring pixels) and 'spectral_l1'
        (amplitudes of the orthonormal Fourier transform). The published work used 1, 0, 0.1, 0.1.

    Returns
    -------
    () tensor
        Loss.
    """
    difference = prediction.float() - target.float()
    terms = [weight * _TERMS[name](difference) for name, weight in weights.items() if weight]
    return torch.stack(terms).sum()
