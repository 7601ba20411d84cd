"""The network: segments, thickness and angles in, mean potential out."""

from dataclasses import dataclass
from typing import Literal

import torch
from monai.networks.nets import SwinUNETR
from torch import Tensor, nn

from iphasenet.base.devices import single_precision
from iphasenet.base.errors import InputError
from iphasenet.base.quantities import Quantity, check_choices, check_number
from iphasenet.network.column_projection import column_shift, project_columns
from iphasenet.network.symmetry import turned

CHANNELS = (
    *("top-left", "top-right", "bottom-left", "bottom-right"),
    *("thickness / 100 nm", "alpha / 360°", "beta / 360°", "gamma / 360°"),
)
"""Input channels in the published order: four images, scaled jointly, and four constant maps."""

_CONTRAST = 20.0
"""Scale of beam fractions: images of 20 to 150 nm of crystal deviate from their mean by some hundredths."""

_LARGEST_LOG_SPREAD = 6.0
"""Bound of the logarithm of an output's spread, in units of the output's scale."""

_FEATURE_SIZE = Quantity("", 12, 1200, whole=True)
_WINDOW_SIZE = Quantity("tokens", 2, 64, whole=True)


@dataclass(frozen=True)
class ModelSettings:
    """
    What a network's weights fit.

    Attributes
    ----------
    feature_size : int
        Width of the first stage; a multiple of 12.
    norm : {'instance', 'batch', 'group'}
        Normalisation of the convolutional path.
    conditioning : {'maps', 'film'}
        How metadata enter: as constant maps alone, or also as scale and shift of the encoder's features. Instance
        norms nearly erase constant maps.
    window_size : int
        Side of an attention window; 8 divides the token grids of images whose sides divide by 128.
    inputs : {'minmax', 'fraction'}
        Scale of the images: jointly from 0 to 1, as published, or as fractions of the beam current about their mean.
    projection : {'direct', 'columns'}
        What the last layer holds: the mean potential itself, or columns as they stand at the entrance surface, which
        thickness and tilt then project (`iphasenet.network.column_projection`).
    uncertainty : bool
        Whether a second output is the spread of the first.
    angles : {'shares', 'sines'}
        How the maps say alpha, beta and gamma: as shares of a turn, or as their sines and then their cosines. Only the
        published system's weights have sines (`iphasenet.network.published`).
    output : {'mean', 'projected'}
        What the last layer holds: the mean potential, or, in the published system's weights, the projected one.
    """

    feature_size: int
    norm: Literal["instance", "batch", "group"] = "instance"
    conditioning: Literal["maps", "film"] = "film"
    window_size: int = 8
    inputs: Literal["minmax", "fraction"] = "minmax"
    projection: Literal["direct", "columns"] = "direct"
    uncertainty: bool = False
    angles: Literal["shares", "sines"] = "shares"
    output: Literal["mean", "projected"] = "mean"

    def __post_init__(self) -> None:
        check_number(self.feature_size, "model.feature_size", _FEATURE_SIZE)
        check_number(self.window_size, "model.window_size", _WINDOW_SIZE)
        check_choices(self, "model")
        if self.output == "projected" and (self.uncertainty or self.projection != "direct"):
            raise InputError(
                "model.output: found 'projected' with projection 'columns' or uncertainty; allowed: 'mean'"
            )
        if self.feature_size % 12:
            raise InputError(f"model.feature_size: found {self.feature_size}; allowed: a multiple of 12")


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
        How angles are said, as in `ModelSettings`.

    Returns
    -------
    (batch, 8 or 11, y, x) tensor
        Channels in the order of `CHANNELS`; with sines, those of alpha, beta and gamma and then their cosines are the
        last six.
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
    Vector that conditions the encoder: metadata, and what min-max scaling throws away.

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
            # Scale 1 and shift 0: training starts from the unconditioned network.
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
    SwinUNETR from four segments and metadata to the mean potential.

    Parameters
    ----------
    settings : ModelSettings
        Architecture.
    output_scale : float
        Mean potential that an output of 1 stands for [V]; projected potential [V Å] where that is the output.
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
        self.network = SwinUNETR(
            in_channels=len(CHANNELS) + 3 * (settings.angles == "sines"),
            out_channels=2 if settings.uncertainty else 1,
            feature_size=size,
            norm_name=norm,
            window_size=settings.window_size,
            spatial_dims=2,
        )
        for module in self.network.modules():
            # Fused attention, without gradients alone; MONAI before 1.6 has none.
            if hasattr(module, "use_flash_attention"):
                module.use_flash_attention = True
        widths = (size, size, 2 * size, 4 * size, 8 * size, 16 * size)
        self.modulation = _Modulation(widths) if settings.conditioning == "film" else None

    def forward(self, segments: Tensor, metadata: Tensor) -> tuple[Tensor, Tensor | None]:
        """
        Predict the mean potential, and how far it may be off.

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
            Scale of a Laplace distribution about it, its mean absolute error [V]; None without `uncertainty`.
        """
        found = self.image_columns(segments, metadata)
        return self.project(found[:, 0], metadata), found[:, 1] if self.settings.uncertainty else None

    def image_columns(self, segments: Tensor, metadata: Tensor) -> Tensor:
        """Predict `columns` (batch, 1 or 2, y, x) of whole images; segments and metadata as for `forward`."""
        description = describe(segments, metadata) if self.modulation is not None else None
        return self.columns(encode(segments, metadata, self.settings.inputs, self.settings.angles), description)

    def columns(self, inputs: Tensor, description: Tensor | None) -> Tensor:
        """
        Predict what is projected: all that does not depend on the rest of a large image, so it can be done in tiles.

        Parameters
        ----------
        inputs : (batch, 8, y, x) tensor
            From `encode`, or tiles of it; sides divide by 32.
        description : (batch, 13) tensor, optional
            From `describe`: of the whole image, for its tiles to agree; needed where features are modulated alone.

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
        # Potentials of three digits need more than the eight bits of bfloat16.
        with single_precision(decoded.device):
            output: Tensor = net.out(decoded.float())
        mean_potential = self.output_scale * output[:, :1]
        if not self.settings.uncertainty:
            return mean_potential
        log_spread = output[:, 1:].clamp(-_LARGEST_LOG_SPREAD, _LARGEST_LOG_SPREAD)
        return torch.cat([mean_potential, self.output_scale * log_spread.exp()], dim=1)

    def project(self, columns: Tensor, metadata: Tensor) -> Tensor:
        """Mean potential (batch, y, x) [V] that columns lean to; as it is with the projection 'direct'."""
        if self.settings.projection == "direct":
            return columns / (10 * metadata[:, :1, None]) if self.settings.output == "projected" else columns
        # So do positions and phases.
        with single_precision(columns.device):
            return project_columns(columns, column_shift(metadata), self.sampling)

    def projected_potential(self, segments: Tensor, metadata: Tensor, turns: int = 1) -> tuple[Tensor, Tensor | None]:
        """
        Predict the projected potential and its spread.

        Parameters
        ----------
        segments, metadata : tensor
            As for `forward`; images are square where they are turned.
        turns : int
            Mean of the predictions from so many quarter turns of image, detector and crystal: 1 or 4.

        Returns
        -------
        potential : (batch, y, x) tensor
            Projected potential [V Å].
        spread : (batch, y, x) tensor or None
            Its spread [V Å].
        """
        # What leans is projected once, after the mean: a fifth of the time less for the same scores.
        found = [self.image_columns(*turned(segments, metadata, turn)).rot90(-turn, (2, 3)) for turn in range(turns)]
        mean, length = torch.stack(found).mean(dim=0), 10 * metadata[:, :1, None]
        potential = self.project(mean[:, 0], metadata) * length
        return potential, mean[:, 1] * length if self.settings.uncertainty else None
