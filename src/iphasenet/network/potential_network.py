"""The network: segments, thickness and angles in, mean potential out."""

from typing import Literal

import torch
from torch import Tensor, nn

from iphasenet.base.devices import single_precision
from iphasenet.network.column_projection import column_shift, project_columns
from iphasenet.network.settings import ModelSettings
from iphasenet.network.symmetry import turned

CHANNELS = (
    *("top-left", "top-right", "bottom-left", "bottom-right"),
    *("thickness / 100 nm", "alpha / 360°", "beta / 360°", "gamma / 360°"),
)
"""Input channels in the published order: four images, scaled jointly, and four constant maps."""

_CONTRAST = 20.0
"""Scale of beam fractions: images of crystals of 20 to 150 nm deviate from their mean by a few hundredths."""

_LARGEST_LOG_SPREAD = 6.0
"""Bound of the logarithm of an output's spread, in units of the output's scale."""


def encode(
    segments: Tensor,
    metadata: Tensor,
    inputs: Literal["minmax", "fraction"] = "minmax",
    angles: Literal["shares", "sines"] = "shares",
) -> Tensor:
    """
    Stack the input channels.

    Parameters
    ----------
    segments : (batch, 4, y, x) tensor
        Fractions of the beam current.
    metadata : (batch, 4) tensor
        Thickness [nm], alpha, beta, gamma [degrees].
    inputs : {'minmax', 'fraction'}
        Scale of the images, as in `ModelSettings`.
    angles : {'shares', 'sines'}
        Encoding of the angles, as in `ModelSettings`.

    Returns
    -------
    (batch, 8 or 11, y, x) tensor
        Channels in the order of `CHANNELS`; with sines, the last six are the sines of alpha, beta and gamma and then
        their cosines.
    """
    if inputs == "fraction":
        scaled = _CONTRAST * (segments - segments.mean(dim=(1, 2, 3), keepdim=True))
    else:
        low = segments.amin(dim=(1, 2, 3), keepdim=True)
        high = segments.amax(dim=(1, 2, 3), keepdim=True)
        scaled = (segments - low) / (high - low).clamp_min(torch.finfo(segments.dtype).tiny)
    if angles == "sines":
        turns = torch.deg2rad(metadata[:, 1:])
        maps = torch.cat([metadata[:, :1] / 100, turns.sin(), turns.cos()], dim=1)
    else:
        maps = torch.cat([metadata[:, :1] / 100, metadata[:, 1:] / 360], dim=1)
    return torch.cat([scaled, maps[:, :, None, None].expand(-1, -1, *segments.shape[2:])], dim=1)


def describe(segments: Tensor, metadata: Tensor) -> Tensor:
    """
    Vector that conditions the encoder: metadata, and the means and contrasts that min-max scaling removes.

    Parameters
    ----------
    segments : (batch, 4, y, x) tensor
        Fractions of the beam current.
    metadata : (batch, 4) tensor
        Thickness [nm], alpha, beta, gamma [degrees].

    Returns
    -------
    (batch, 13) tensor
        Thickness, tilt, sine and cosine of gamma; mean and standard deviation of each segment.
    """
    thickness, alpha, beta, gamma = metadata.unbind(dim=1)
    angle = torch.deg2rad(gamma)
    known = torch.stack([thickness / 100, alpha, beta, angle.sin(), angle.cos()], dim=1)
    return torch.cat([known, 5 * segments.mean(dim=(2, 3)), 20 * segments.std(dim=(2, 3))], dim=1)


class _Modulation(nn.Module):
    """Scale and shift of feature maps by an embedding of the description."""

    def __init__(self, channels: tuple[int, ...], width: int = 64) -> None:
        super().__init__()
        self.channels = channels
        self.embedding = nn.Sequential(nn.Linear(13, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        heads = [nn.Linear(width, 2 * channel) for channel in channels]
        for head in heads:
            # Scale 1 and shift 0, so that training starts from the unconditioned network.
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        self.heads = nn.ModuleList(heads)

    def forward(self, description: Tensor, features: list[Tensor]) -> list[Tensor]:
        embedded = self.embedding(description)
        modulated = []
        for head, feature in zip(self.heads, features, strict=True):
            scale, shift = head(embedded)[:, :, None, None].chunk(2, dim=1)
            modulated.append(feature * (1 + scale) + shift)
        return modulated


class PotentialNetwork(nn.Module):
    """
    SwinUNETR that predicts the mean potential from four segments and metadata.

    Parameters
    ----------
    settings : ModelSettings
        Architecture.
    output_scale : float
        Mean potential of an output of 1 [V]; if the output is the projected potential, in V Å.
    sampling : float
        Pixel size of the images [Å].
    """

    def __init__(self, settings: ModelSettings, output_scale: float = 20.0, sampling: float = 0.1) -> None:
        super().__init__()
        self.settings, self.sampling = settings, sampling
        size = settings.feature_size
        norm: str | tuple[str, dict[str, int]] = settings.norm
        if settings.norm == "group":
            norm = ("group", {"num_groups": size // 4})
        self.output_scale = output_scale
        # MONAI imports all of itself, which takes a second: whoever needs no network need not wait.
        from monai.networks.nets import SwinUNETR

        self.network = SwinUNETR(
            in_channels=len(CHANNELS) + 3 * (settings.angles == "sines"),
            out_channels=2 if settings.uncertainty else 1,
            feature_size=size,
            norm_name=norm,
            window_size=settings.window_size,
            spatial_dims=2,
        )
        for module in self.network.modules():
            # Fused attention, only without gradients; MONAI before 1.6 does not have it.
            if hasattr(module, "use_flash_attention"):
                module.use_flash_attention = True
        widths = (size, size, 2 * size, 4 * size, 8 * size, 16 * size)
        self.modulation = _Modulation(widths) if settings.conditioning == "film" else None

    def forward(self, segments: Tensor, metadata: Tensor) -> tuple[Tensor, Tensor | None]:
        """
        Predict the mean potential and its expected error.

        Parameters
        ----------
        segments : (batch, 4, y, x) tensor
            Fractions of the beam current; sides divide by 32.
        metadata : (batch, 4) tensor
            Thickness [nm], alpha, beta, gamma [degrees].

        Returns
        -------
        mean_potential : (batch, y, x) tensor
            Projected potential divided by thickness [V].
        spread : (batch, y, x) tensor or None
            Expected absolute error of each pixel, the scale of a Laplace distribution [V]; None without `uncertainty`.
        """
        found = self.image_columns(segments, metadata)
        return self.project(found[:, 0], metadata), found[:, 1] if self.settings.uncertainty else None

    def image_columns(self, segments: Tensor, metadata: Tensor) -> Tensor:
        """Predict `columns` (batch, 1 or 2, y, x) of whole images; segments and metadata as in `forward`."""
        description = describe(segments, metadata) if self.modulation is not None else None
        return self.columns(encode(segments, metadata, self.settings.inputs, self.settings.angles), description)

    def columns(self, inputs: Tensor, description: Tensor | None) -> Tensor:
        """
        Predict the potential before its projection; this can be done in tiles of a large image.

        Parameters
        ----------
        inputs : (batch, 8, y, x) tensor
            Result of `encode`, or tiles of it; sides divide by 32.
        description : (batch, 13) tensor, optional
            Result of `describe` for the whole image, so that its tiles agree; needed only with the conditioning 'film'.

        Returns
        -------
        (batch, 1 or 2, y, x) tensor
            Mean potential before `project` [V] and, with `uncertainty`, the spread [V].
        """
        net = self.network
        hidden = net.swinViT(inputs, net.normalize)
        features = [
            net.encoder1(inputs),
            net.encoder2(hidden[0]),
            net.encoder3(hidden[1]),
            net.encoder4(hidden[2]),
            hidden[3],
            net.encoder10(hidden[4]),
        ]
        if self.modulation is not None:
            features = self.modulation(description, features)
        decoded = net.decoder5(features[5], features[4])
        for decoder, feature in zip((net.decoder4, net.decoder3, net.decoder2), features[3:0:-1], strict=True):
            decoded = decoder(decoded, feature)
        decoded = net.decoder1(decoded, features[0])
        # Potentials with three digits need more than the eight bits of bfloat16.
        with single_precision(decoded.device):
            output: Tensor = net.out(decoded.float())
        mean_potential = self.output_scale * output[:, :1]
        if not self.settings.uncertainty:
            return mean_potential
        log_spread = output[:, 1:].clamp(-_LARGEST_LOG_SPREAD, _LARGEST_LOG_SPREAD)
        return torch.cat([mean_potential, self.output_scale * log_spread.exp()], dim=1)

    def project(self, columns: Tensor, metadata: Tensor) -> Tensor:
        """Mean potential (batch, y, x) [V] of the tilted crystal; unchanged with the projection 'direct'."""
        if self.settings.projection == "direct":
            return columns / (10 * metadata[:, :1, None]) if self.settings.output == "projected" else columns
        # Positions and phases need more than bfloat16 as well.
        with single_precision(columns.device):
            return project_columns(columns, column_shift(metadata), self.sampling)

    def projected_potential(self, segments: Tensor, metadata: Tensor, turns: int = 1) -> tuple[Tensor, Tensor | None]:
        """
        Predict the projected potential and its spread.

        Parameters
        ----------
        segments, metadata : tensor
            As in `forward`; images that are turned are square.
        turns : int
            Number of quarter turns of image, detector and crystal over which predictions are averaged: 1 or 4.

        Returns
        -------
        potential : (batch, y, x) tensor
            Projected potential [V Å].
        spread : (batch, y, x) tensor or None
            Its spread [V Å].
        """
        # Columns are projected once, after the mean: this saves a fifth of the time for the same scores.
        found = [self.image_columns(*turned(segments, metadata, turn)).rot90(-turn, (2, 3)) for turn in range(turns)]
        mean, length = torch.stack(found).mean(dim=0), 10 * metadata[:, :1, None]
        potential = self.project(mean[:, 0], metadata) * length
        return potential, mean[:, 1] * length if self.settings.uncertainty else None
