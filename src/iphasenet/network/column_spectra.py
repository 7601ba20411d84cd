"""What the spectra of four segments say of an image before its pattern is known, and filters made from it."""

import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, silu

from iphasenet.microscope.electron import wavelength

TILE = 64
"""Side of the tiles of which spectra are taken [pixels]; images are at least this large."""

_HIGHEST_FREQUENCY = 1.2
"""Highest spatial frequency that counts [1/Å]; columns are blurred, and images hold nothing beyond 2 of it."""

_DETECTED = 0.33
"""Mean angle of a segment's part of the bright field along x and y, over the sum of semiangle and inner angle."""

_BORDER = 16
"""Zeros around a filtered image [pixels]: what leaves it at one side must not come in at the other."""

_LEAST = 1e-12
"""Power and amplitude that an image without contrast is taken to have."""

_SEGMENTS = 4
_WIDTH = 64


Layer = TypeVar("Layer", bound=nn.Module)


def zeroed(layer: Layer) -> Layer:
    """
    Set all weights of a layer to zero: scales and shifts, say, that change nothing when training begins.

    Parameters
    ----------
    layer : Module
        Layer, which changes.

    Returns
    -------
    Module
        The same layer.
    """
    for weights in layer.parameters():
        nn.init.zeros_(weights)
    return layer


class Frequencies(nn.Module):
    """
    Spatial frequencies of a tile that count: half of the plane, up to 1.2 1/Å.

    Parameters
    ----------
    sampling : float
        Pixel size [Å].
    """

    x: Tensor
    y: Tensor
    place: Tensor

    def __init__(self, sampling: float) -> None:
        super().__init__()
        y, x = torch.meshgrid(torch.fft.fftfreq(TILE, sampling), torch.fft.rfftfreq(TILE, sampling), indexing="ij")
        counted = torch.hypot(x, y) < _HIGHEST_FREQUENCY
        # Where they are among all, flattened: a GPU would have to tell its host how many a mask counts.
        place = counted.flatten().nonzero()[:, 0]
        for name, values in (("place", place), ("x", x[counted]), ("y", y[counted])):
            self.register_buffer(name, values, persistent=False)


class Spectra(nn.Module):
    """
    Description of whole images by the spectra of their segments.

    The ratios of the segments' Fourier coefficients hold defocus, tilt and thickness whatever the crystal: for a weak
    object, all four are the same coefficient of its potential times the segments' transfer functions. Each frequency is
    described by the products of the four coefficients, over their total power; a small network of it and of what is
    known is averaged over all frequencies, weighted with the amplitude, and as it is.

    Parameters
    ----------
    described : int
        Numbers that are known of an image.
    features : int
        Numbers that describe it.
    sampling : float
        Pixel size [Å].
    """

    def __init__(self, described: int, features: int, sampling: float) -> None:
        super().__init__()
        self.frequencies = Frequencies(sampling)
        self.first = nn.Linear(_SEGMENTS**2 + 5, _WIDTH)
        self.modulation = zeroed(nn.Linear(described, 2 * _WIDTH))
        self.second, self.third = nn.Linear(_WIDTH, _WIDTH), nn.Linear(_WIDTH, 2 * _WIDTH)
        self.last = nn.Linear(4 * _WIDTH, features)

    def forward(self, segments: Tensor, description: Tensor) -> Tensor:
        """
        Describe images.

        Parameters
        ----------
        segments : (batch, 4, y, x) tensor
            Fractions of the beam current, in any scale; sides of at least 64 pixels.
        description : (batch, described) tensor
            What is known.

        Returns
        -------
        (batch, features) tensor
            Description.
        """
        frequencies = self.frequencies
        products = _products(segments, frequencies.place)
        power = products[:, :_SEGMENTS].sum(dim=1, keepdim=True)
        mean = power.mean(dim=2, keepdim=True) + _LEAST
        amplitude = power.sqrt()
        x, y = frequencies.x, frequencies.y
        place = torch.stack([x, y, torch.hypot(x, y)]).expand(len(segments), -1, -1)
        relative = amplitude / amplitude.mean(dim=2, keepdim=True).clamp_min(_LEAST)
        strength = [
            (power / mean + 1e-4).log() / 4,
            relative.clamp(max=10) / 3,
        ]
        each = torch.cat([2 * products / (power + 1e-3 * mean), place, *strength], dim=1).transpose(1, 2)
        scale, shift = self.modulation(description)[:, None].chunk(2, dim=2)
        each = silu(self.third(silu(self.second(_modulated(self.first, each, scale, shift)))))
        weight = (amplitude / amplitude.sum(dim=2, keepdim=True).clamp_min(_LEAST)).transpose(1, 2)
        found: Tensor = silu(self.last(torch.cat([(weight * each).sum(dim=1), each.mean(dim=1)], dim=1)))
        return found


class FourierFilters(nn.Module):
    """
    Linear filters of the four segments, made for each image from what is known and estimated of it.

    A defocus of 15 nm moves what a segment shows by up to 3 Å. Convolutions of three pixels would have to learn to
    undo it at every defocus; here, a small network of frequency, phases due to the defocus and description gives the
    transfer functions.

    Parameters
    ----------
    described : int
        Numbers that are known or estimated of an image.
    count : int
        Number of filtered images.
    sampling : float
        Pixel size [Å].
    energy_kev : float
        Beam energy, whose wavelength turns a defocus into phases [keV].
    """

    def __init__(self, described: int, count: int, sampling: float, energy_kev: float = 200.0) -> None:
        super().__init__()
        self.count, self.frequencies, self.wavelength = count, Frequencies(sampling), wavelength(energy_kev)
        self.first, self.second = nn.Linear(13, _WIDTH), nn.Linear(_WIDTH, _WIDTH)
        self.modulation = zeroed(nn.Linear(described, 4 * _WIDTH))
        self.last = nn.Linear(_WIDTH, 2 * _SEGMENTS * count)

    def forward(self, segments: Tensor, description: Tensor, defocus: Tensor, angles: Tensor) -> Tensor:
        """
        Filter images.

        Parameters
        ----------
        segments : (batch, 4, y, x) tensor
            Fractions of the beam current, in any scale; sides of at least 64 pixels.
        description : (batch, described) tensor
            What is known or estimated.
        defocus : (batch,) tensor
            Known or estimated defocus [Å].
        angles : (batch,) tensor
            Sum of semiangle and inner collection angle [mrad].

        Returns
        -------
        (batch, count, y, x) tensor
            Filtered images.
        """
        filters = self._filters(description, defocus, angles)
        height, width = (side + 2 * _BORDER for side in segments.shape[-2:])
        half = filters.new_zeros(*filters.shape[:3], TILE * (TILE // 2 + 1))
        half = half.index_copy(3, self.frequencies.place, filters).unflatten(3, (TILE, TILE // 2 + 1))
        kernels = torch.fft.fftshift(torch.fft.irfft2(_hermitian(half), s=(TILE, TILE)), dim=(-2, -1))
        kernels = pad(kernels, (0, width - TILE, 0, height - TILE)).roll((-TILE // 2, -TILE // 2), dims=(-2, -1))
        images = pad(segments, (_BORDER,) * 4)
        filtered = (torch.fft.rfft2(kernels) * torch.fft.rfft2(images)[:, None]).sum(dim=2)
        found = torch.fft.irfft2(filtered, s=(height, width))
        return found[..., _BORDER:-_BORDER, _BORDER:-_BORDER]

    def _filters(self, description: Tensor, defocus: Tensor, angles: Tensor) -> Tensor:
        """Transfer functions (batch, count, segment, frequency)."""
        x, y = self.frequencies.x, self.frequencies.y
        squared = x**2 + y**2
        moved = 2 * math.pi * _DETECTED * 1e-3 * (angles * defocus)[:, None]
        phases = [
            math.pi * self.wavelength * squared * defocus[:, None],
            # Segments are quadrants: the defocus shifts what they show along the diagonals.
            *(moved * along for along in (x + y, x - y)),
        ]
        waves = [wave for phase in phases for wave in (phase.cos(), phase.sin())]
        place = torch.stack([x, y, squared.sqrt(), squared, x**2 - y**2, x * y, (-squared).exp()], dim=1)
        each = torch.cat([torch.stack(waves, dim=2), place.expand(len(defocus), -1, -1)], dim=2)
        a, b, c, d = self.modulation(description)[:, None].chunk(4, dim=2)
        each = _modulated(self.second, _modulated(self.first, each, a, b), c, d)
        parts = self.last(each).transpose(1, 2).unflatten(1, (self.count, _SEGMENTS, 2))
        return torch.complex(parts[:, :, :, 0], parts[:, :, :, 1])


def _hermitian(half: Tensor) -> Tensor:
    """Make the columns that lie in both halves of the plane those of a real image: not every FFT sees to it."""
    kept = half.clone()
    for column in (0, -1):
        line = half[..., column]
        mirrored = torch.cat([line[..., :1], line[..., 1:].flip(-1)], dim=-1).conj()
        kept[..., column] = (line + mirrored) / 2
    return kept


def _products(segments: Tensor, place: Tensor) -> Tensor:
    """
    Products of the segments' Fourier coefficients, averaged over tiles that overlap by one half or more (Welch).

    Returns
    -------
    (batch, 16, frequency) tensor
        Power of each segment, real and imaginary parts of the products of two.
    """
    rows, columns = map(_tiles, segments.shape[2:])
    tiles = torch.stack([segments[:, :, row, column] for row in rows for column in columns], dim=2)
    window = torch.hann_window(TILE, periodic=False, device=segments.device)
    tiles = (tiles - tiles.mean(dim=(3, 4), keepdim=True)) * window[:, None] * window
    transformed = torch.fft.rfft2(tiles, norm="ortho").flatten(-2).index_select(-1, place)
    powers = [(transformed[:, one].abs() ** 2).mean(dim=1) for one in range(_SEGMENTS)]
    pairs = [(one, other) for one in range(_SEGMENTS) for other in range(one + 1, _SEGMENTS)]
    mixed = [(transformed[:, one] * transformed[:, other].conj()).mean(dim=1) for one, other in pairs]
    return torch.stack([*powers, *(each.real for each in mixed), *(each.imag for each in mixed)], dim=1)


def _tiles(size: int) -> list[slice]:
    """Tiles along a side, the last at its end."""
    return [slice(start, start + TILE) for start in sorted({*range(0, size - TILE + 1, TILE // 2), size - TILE})]


def _modulated(layer: nn.Module, each: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Apply a layer whose outputs are scaled and shifted by what is known of the image."""
    return silu(layer(each) * (1 + scale) + shift)
