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


def contrast(target: Tensor, floor: float = 1.0) -> Tensor:
    """Compute the standard deviation of each image (batch, y, x), as (batch, 1, 1), at least `floor` [V]."""
    return target.std(dim=(1, 2), keepdim=True).clamp_min(floor)


def training_loss(
    prediction: Tensor, spread: Tensor | None, target: Tensor, scale: Tensor | float, weights: Mapping[str, float]
) -> Tensor:
    """
    Sum of weighted loss terms.

    Parameters
    ----------
    prediction, target : (batch, y, x) tensor
        Mean potential [V].
    spread : (batch, y, x) tensor or None
        Predicted mean absolute error of the prediction [V].
    scale : tensor or float
        Mean potential that a difference of 1 stands for [V].
    weights : mapping
        Weight of each of 'l1', 'l2', 'gradient_l1' (differences of neighbouring pixels), 'spectral_l1' (amplitudes of
        the orthonormal Fourier transform) and 'spread' (negative logarithm of a Laplace distribution's density, which
        is smallest if the spread is the true mean absolute error; it does not change the prediction). The published
        work used 1, 0, 0.1, 0.1 and no spread.

    Returns
    -------
    () tensor
        Loss.
    """
    difference = (prediction.float() - target.float()) / scale
    terms = [weights[name] * term(difference) for name, term in _TERMS.items() if weights.get(name)]
    if spread is not None and weights.get("spread"):
        relative = spread.float() / scale
        terms.append(weights["spread"] * (difference.detach().abs() / relative + relative.log()).mean())
    return torch.stack(terms).sum()


def correlations(found: Tensor, truth: Tensor) -> Tensor:
    """
    Pearson correlation of each image of two batches (batch, y, x); 0 for a constant image, which has none.

    Of a constant image torchmetrics gives NaN, of which no gradient is left.
    """
    a, b = (one.flatten(1) - one.flatten(1).mean(dim=1, keepdim=True) for one in (found, truth))
    return (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1)).clamp_min(1e-12)
