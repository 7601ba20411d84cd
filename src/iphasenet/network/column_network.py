"""The network for any crystal: four segments and what is known in; columns, their level and what was not known out."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from iphasenet.base.devices import single_precision
from iphasenet.network.column_settings import ColumnModel
from iphasenet.network.column_spectra import FourierFilters, Spectra, zeroed
from iphasenet.network.losses import correlations

CONDITIONS: dict[str, tuple[float, float]] = {
    "thickness_nm": (60.0, 40.0),
    "alpha_deg": (0.0, 0.5),
    "beta_deg": (0.0, 0.5),
    "defocus_angstrom": (0.0, 100.0),
    "semiangle_mrad": (21.5, 2.5),
    "detector_inner_mrad": (11.0, 2.0),
    "detector_outer_mrad": (50.0, 6.0),
}
"""What may be known of an image, with the middle and the scale by which it enters the network."""

ESTIMATED = ("log_level", "log_thickness", "alpha_deg", "beta_deg", "defocus")
"""What the network estimates: logarithms of the level [V] and of the thickness [nm], tilt, defocus [100 Å]."""

_LEAST_DEVIATION = 1e-5
"""Standard deviation of beam fractions below which images are not scaled up further."""

_LARGEST_LOG_SPREAD = 6.0
"""Bound of the logarithm of a spread."""

_LEAST_CONTRAST = 0.05
"""Contrast of columns over their mean below which errors count as if it were this one."""

_FEATURES = 128
"""Numbers that describe a whole image."""

_USUAL_LEVEL, _USUAL_THICKNESS = 12.0, 50.0
"""Level [V] and thickness [nm] at which training begins."""


class Estimates(NamedTuple):
    """
    What the network estimates of a batch of images.

    Attributes
    ----------
    values : (batch, 5) tensor
        `ESTIMATED`.
    errors : (batch, 5) tensor
        Expected absolute error of each, the scale of a Laplace distribution.
    """

    values: Tensor
    errors: Tensor


class ColumnOutput(NamedTuple):
    """
    What the network finds in a batch of images.

    Attributes
    ----------
    columns : (batch, y, x) tensor
        Potential averaged along the beam, columns where they are at the entrance surface [V].
    spread : (batch, y, x) tensor
        Expected absolute error of each pixel beside that of the level, the scale of a Laplace distribution [V].
    estimates : (batch, 5) tensor
        `ESTIMATED`.
    errors : (batch, 5) tensor
        Expected absolute error of each estimate, the scale of a Laplace distribution.
    features : (batch, feature) tensor
        Description of the whole image, by which images unlike those of the training are recognised.
    """

    columns: Tensor
    spread: Tensor
    estimates: Tensor
    errors: Tensor
    features: Tensor


def describe_images(segments: Tensor, conditions: Tensor) -> Tensor:
    """
    Vector of what is known of whole images, and of their brightness and contrast.

    Parameters
    ----------
    segments : (batch, 4, y, x) tensor
        Fractions of the beam current.
    conditions : (batch, 7) tensor
        `CONDITIONS`; NaN where one is not known.

    Returns
    -------
    (batch, 22) tensor
        Scaled conditions, 0 where unknown; whether each is known; mean of each segment, and the logarithm of its
        standard deviation, for which the contrast of thin and light crystals is a hundredth of that of others.
    """
    middle, scale = (_filled(one, conditions) for one in zip(*CONDITIONS.values(), strict=True))
    known = conditions.isfinite()
    scaled = torch.where(known, (conditions - middle) / scale, 0.0)
    spread, mean = torch.std_mean(segments, dim=(2, 3))
    contrast = spread.clamp_min(_LEAST_DEVIATION).log() + 4
    return torch.cat([scaled, known.float(), 10 * mean, contrast], dim=1)


def _scaled(segments: Tensor) -> Tensor:
    """Subtract each segment's mean and divide by the root mean square of all deviations."""
    away = segments - segments.mean(dim=(2, 3), keepdim=True)
    return away / away.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(_LEAST_DEVIATION)


class _First(nn.Module):
    """First estimates, from spectra, and the filtered images that they allow to make."""

    def __init__(self, described: int, filters: int, sampling: float, energy_kev: float) -> None:
        super().__init__()
        self.spectra = Spectra(described, _FEATURES, sampling)
        self.estimate = nn.Linear(described + _FEATURES, 2 * len(ESTIMATED))
        self.filters = FourierFilters(described + _FEATURES + len(ESTIMATED), filters, sampling, energy_kev)

    def forward(self, segments: Tensor, conditions: Tensor, description: Tensor) -> tuple[Tensor, Tensor, Estimates]:
        """Make filtered images (batch, count, y, x), a longer description, and estimates."""
        description = torch.cat([description, self.spectra(segments, description)], dim=1)
        values, logs = self.estimate(description).chunk(2, dim=1)
        usual = _usual(values)
        told = _as_estimates(conditions) - usual[1:]
        filled = torch.cat([values[:, :1], torch.where(told.isfinite(), told, values[:, 1:])], dim=1)
        description = torch.cat([description, filled], dim=1)
        middle = sum(CONDITIONS[name][0] for name in ("semiangle_mrad", "detector_inner_mrad"))
        angles = conditions[:, 4] + conditions[:, 5]
        angles = torch.where(angles.isfinite(), angles, middle)
        filtered = self.filters(segments, description, 100 * filled[:, 4], angles)
        return filtered, description, Estimates(values + usual, _bounded_exp(logs))


def _usual(like: Tensor) -> Tensor:
    """`ESTIMATED` with which training begins."""
    return _filled([math.log(_USUAL_LEVEL), math.log(_USUAL_THICKNESS), 0.0, 0.0, 0.0], like)


def _filled(values: Sequence[float], like: Tensor) -> Tensor:
    """Make a tensor of a few numbers on another one's device, filled there: a copy would have the host wait for it."""
    return torch.stack([like.new_full((), value) for value in values])


class _Block(nn.Module):
    """Residual block whose features are scaled and shifted by the description of the whole image."""

    def __init__(self, channels: int, described: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.GroupNorm(8, channels) for _ in range(2)])
        self.first, self.last = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.modulation = zeroed(nn.Linear(described, 2 * channels))
        # No change by the block when training begins.
        zeroed(self.last)

    def forward(self, features: Tensor, description: Tensor) -> Tensor:
        scale, shift = self.modulation(description)[:, :, None, None].chunk(2, dim=1)
        inner = self.first(nn.functional.silu(self.norms[0](features)))
        inner = self.norms[1](inner) * (1 + scale) + shift
        result: Tensor = features + self.last(nn.functional.silu(inner))
        return result


class ColumnNetwork(nn.Module):
    """
    U-Net at half of the image's resolution; its lowest level describes the whole image.

    Before it, spectra of the segments give first estimates of what is not known; these modulate all of its blocks and
    make the filtered images that it sees beside the segments.

    Parameters
    ----------
    settings : ColumnModel
        Architecture.
    sampling : float
        Pixel size of the images [Å].
    energy_kev : float
        Beam energy of the images [keV].
    """

    error_factors: Tensor
    spread_factor: Tensor
    usual_features: Tensor
    feature_precision: Tensor

    def __init__(self, settings: ColumnModel, sampling: float = 0.25, energy_kev: float = 200.0) -> None:
        super().__init__()
        self.settings, self.sampling, self.energy_kev = settings, sampling, energy_kev
        widths = [settings.width * factor for factor in (1, 2, 3, 4)]
        described = 2 * len(CONDITIONS) + 8

        def blocks(channels: int, size: int) -> nn.ModuleList:
            return nn.ModuleList([_Block(channels, size) for _ in range(settings.blocks)])

        self.first = _First(described, settings.filters, sampling, energy_kev) if settings.filters else None
        if settings.filters:
            described += _FEATURES + len(ESTIMATED)
        # What was measured after training, on crystals that it has not seen (`training.column_calibration`).
        self.register_buffer("error_factors", torch.ones(len(ESTIMATED)))
        self.register_buffer("spread_factor", torch.ones(()))
        self.register_buffer("usual_features", torch.zeros(_FEATURES))
        self.register_buffer("feature_precision", torch.zeros(_FEATURES, _FEATURES))
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * (4 + settings.filters), widths[0], 3, padding=1))
        self.encoders = nn.ModuleList([blocks(width, described) for width in widths])
        self.downs = nn.ModuleList([nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths)])
        self.whole = nn.Sequential(
            nn.Linear(2 * widths[-1] + described, 2 * _FEATURES),
            nn.SiLU(),
            nn.Linear(2 * _FEATURES, _FEATURES),
            nn.SiLU(),
        )
        self.estimate = nn.Linear(_FEATURES, 2 * len(ESTIMATED))
        self.ups = nn.ModuleList([nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(widths)])
        self.decoders = nn.ModuleList([blocks(width, _FEATURES) for width in widths[:-1]])
        self.out = nn.Sequential(
            nn.GroupNorm(8, widths[0]), nn.SiLU(), nn.Conv2d(widths[0], 8, 3, padding=1), nn.PixelShuffle(2)
        )

    def forward(self, segments: Tensor, conditions: Tensor) -> ColumnOutput:
        """
        Find the columns, and what is not known.

        Parameters
        ----------
        segments : (batch, 4, y, x) tensor
            Fractions of the beam current; sides divide by 16, and are of at least 64 pixels.
        conditions : (batch, 7) tensor
            `CONDITIONS`; NaN where one is not known.

        Returns
        -------
        ColumnOutput
            Columns, estimates and their errors.
        """
        return self.find(segments, conditions)[0]

    def find(self, segments: Tensor, conditions: Tensor) -> tuple[ColumnOutput, Estimates | None]:
        """As `forward`; also the first estimates, of a network with filters."""
        description, images, first = describe_images(segments, conditions), _scaled(segments), None
        if self.first is not None:
            with single_precision(segments.device):
                filtered, description, first = self.first(images, conditions, description)
            images = torch.cat([images, filtered], dim=1)
        features = self.stem(images)
        passed = []
        for stage, encoder in enumerate(self.encoders):
            features = _through(encoder, features, description)
            if stage < len(self.downs):
                passed.append(features)
                features = self.downs[stage](features)
        pooled = torch.cat([*reversed(torch.std_mean(features, dim=(2, 3))), description], dim=1)
        whole = self.whole(pooled)
        for up, decoder, skipped in zip(reversed(self.ups), reversed(self.decoders), reversed(passed), strict=True):
            features = nn.functional.pixel_shuffle(up(features), 2) + skipped
            features = _through(decoder, features, whole)
        # Potentials with three digits need more than the eight bits of bfloat16.
        with single_precision(features.device):
            estimates, logs = self.estimate(whole.float()).chunk(2, dim=1)
            pattern, spread = self.out(features.float()).unbind(dim=1)
        estimates = estimates + _usual(estimates)
        level = estimates[:, :1, None].exp()
        columns = softplus(pattern)
        if self.settings.held == "level":
            columns = level * columns / columns.mean(dim=(1, 2), keepdim=True)
        else:
            columns = _USUAL_LEVEL * columns
            level = columns.mean(dim=(1, 2), keepdim=True)
            estimates = torch.cat([level[:, :, 0].log(), estimates[:, 1:]], dim=1)
        errors = self.error_factors * _bounded_exp(logs)
        spread = self.spread_factor * level.detach() * _bounded_exp(spread)
        return ColumnOutput(columns, spread, estimates, errors, whole), first

    def strangeness(self, features: Tensor) -> Tensor:
        """
        How unlike those of the training images are: 1 for usual ones.

        Parameters
        ----------
        features : (batch, feature) tensor
            `ColumnOutput.features`.

        Returns
        -------
        (batch,) tensor
            Mahalanobis distance from the features of training images, over its root mean square there.
        """
        away = features - self.usual_features
        squared = torch.einsum("bi,ij,bj->b", away, self.feature_precision, away)
        return (squared / _FEATURES).clamp_min(0).sqrt()


def _through(blocks: nn.Module, features: Tensor, description: Tensor) -> Tensor:
    for block in blocks.children():
        features = block(features, description)
    return features


def _bounded_exp(logarithm: Tensor) -> Tensor:
    return logarithm.clamp(-_LARGEST_LOG_SPREAD, _LARGEST_LOG_SPREAD).exp()


def column_loss(
    found: ColumnOutput,
    first: Estimates | None,
    columns: Tensor,
    conditions: Tensor,
    told: Tensor,
    absolute: bool = False,
) -> Mapping[str, Tensor]:
    """
    Terms of the loss.

    Parameters
    ----------
    found : ColumnOutput
        What the network found.
    first : Estimates or None
        Its first estimates.
    columns : (batch, y, x) tensor
        True columns [V].
    conditions : (batch, 7) tensor
        True `CONDITIONS`.
    told : (batch, 7) bool tensor
        Conditions that the network was told: their estimates are not trained.
    absolute : bool
        Compare columns as they are, not scaled to a mean of 1.

    Returns
    -------
    mapping
        `pattern`: mean absolute error over the contrast; `likeness`: 1 minus the Pearson
        correlation; `estimates`: negative logarithms of the Laplace distributions' densities, the first estimates' and
        the last ones'; `spread`: the same of pixels, which does not change the columns.
    """
    mean = columns.mean(dim=(1, 2), keepdim=True)
    truth, own = columns / mean, found.columns.mean(dim=(1, 2), keepdim=True)
    guess = found.columns / (mean if absolute else own)
    contrast = truth.std(dim=(1, 2), keepdim=True).clamp_min(_LEAST_CONTRAST)
    pattern = ((guess - truth).abs() / contrast).mean()
    likeness = (1 - correlations(found.columns, columns)).mean()
    true = true_estimates(columns, conditions)
    counted = torch.cat([torch.ones_like(told[:, :1]), ~told[:, :4]], dim=1)
    made = [Estimates(found.estimates, found.errors), *([] if first is None else [first])]
    unlikely = [(one.values - true).abs() / one.errors + one.errors.log() for one in made]
    expected, miss = relative_errors(found, columns)
    return {
        "pattern": pattern,
        "likeness": likeness,
        "estimates": (torch.stack(unlikely) * counted).sum(dim=(0, 2)).mean(),
        "spread": (miss / expected + expected.log()).mean(),
    }


def expected_correlation(found: ColumnOutput) -> Tensor:
    """
    Pearson correlation with the true columns that the network expects, by its own expected errors.

    Errors of pixels have the variance of their Laplace distributions, and do not depend on the columns that were found:
    these deviate less from their mean than the true ones.

    Parameters
    ----------
    found : ColumnOutput
        What the network found.

    Returns
    -------
    (batch,) tensor
        0 to 1.
    """
    explained = found.columns.var(dim=(1, 2))
    missed = 2 * found.spread.square().mean(dim=(1, 2))
    return (explained / (explained + missed).clamp_min(1e-12)).sqrt()


def relative_errors(found: ColumnOutput, columns: Tensor) -> tuple[Tensor, Tensor]:
    """
    Errors of pixels over the mean of the image, beside that of the level.

    Parameters
    ----------
    found : ColumnOutput
        What the network found.
    columns : (batch, y, x) tensor
        True columns [V].

    Returns
    -------
    expected, made : (batch, y, x) tensor
        Absolute errors that the network expects, with gradient to them alone, and those that it made.
    """
    guess = found.columns.detach()
    own = guess.mean(dim=(1, 2), keepdim=True)
    return found.spread / own, (guess / own - columns / columns.mean(dim=(1, 2), keepdim=True)).abs()


def true_estimates(columns: Tensor, conditions: Tensor) -> Tensor:
    """Put together the true `ESTIMATED` (batch, 5) of columns (batch, y, x) [V] and `CONDITIONS` (batch, 7)."""
    return torch.cat([columns.mean(dim=(1, 2))[:, None].log(), _as_estimates(conditions)], dim=1)


def _as_estimates(conditions: Tensor) -> Tensor:
    """`ESTIMATED` but the level (batch, 4), of `CONDITIONS` (batch, 7)."""
    thickness, alpha, beta, defocus = conditions[:, :4].unbind(dim=1)
    return torch.stack([thickness.log(), alpha, beta, defocus / 100], dim=1)
