"""Multislice of Bloch blocks: the scattering matrix of a crystal that repeats laterally.

A plane wave kappa + G only scatters to kappa + G' in a crystal with an orthogonal cell, so each wave lives on the
cell's own small grid. This module depends only on torch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_SMOOTH = (2, 3, 5, 7)


def smooth_size(minimum: float, multiple: int = 2) -> int:
    """Smallest multiple of `multiple` from `minimum` up whose prime factors are at most 7 (fast Fourier transforms)."""
    if not _is_smooth(multiple):
        raise ValueError(f"multiple {multiple}: allowed are numbers with no prime factor above 7")
    size = multiple * max(1, math.ceil(minimum / multiple))
    while not _is_smooth(size):
        size += multiple
    return size


def _is_smooth(number: int) -> bool:
    for factor in _SMOOTH:
        while number % factor == 0:
            number //= factor
    return number == 1


@dataclass(frozen=True)
class CellGrid:
    """
    Grid of one cell.

    Attributes
    ----------
    lengths : (float, float)
        Periods along x and y [Å].
    gpts : (int, int)
        Grid points along x and y, 7-smooth.
    band : float
        Largest spatial frequency that is kept, as a share of Nyquist's: with two thirds, products of two functions have
        no aliases inside the band.
    """

    lengths: tuple[float, float]
    gpts: tuple[int, int]
    band: float = 2 / 3

    def __post_init__(self) -> None:
        if min(self.gpts) < 2 or not all(_is_smooth(n) for n in self.gpts):
            raise ValueError(f"grid points {self.gpts}: allowed are numbers with no prime factor above 7")

    @classmethod
    def from_sampling(
        cls, lengths: tuple[float, float], sampling: float, multiples: tuple[int, int] = (1, 1)
    ) -> "CellGrid":
        """Grid with pixels of at most `sampling` [Å] and even numbers of points that `multiples` divide."""
        x, y = (
            smooth_size(length / sampling - 1e-9, math.lcm(2, multiple))
            for length, multiple in zip(lengths, multiples, strict=True)
        )
        return cls(lengths, (x, y))

    @property
    def band_limit(self) -> float:
        """Largest spatial frequency that the multislice keeps [1/Å]."""
        return self.band / (2 * max(length / n for length, n in zip(self.lengths, self.gpts, strict=True)))

    @property
    def full_transmission(self) -> float:
        """Spatial frequency up to which the soft edge of the band limit leaves waves unchanged [1/Å]."""
        return self.band_limit - self._taper

    @property
    def _taper(self) -> float:
        return 0.01 / max(length / n for length, n in zip(self.lengths, self.gpts, strict=True))

    def frequencies(self, kappa: Tensor) -> tuple[Tensor, Tensor]:
        """
        Spatial frequencies kappa + G in the order of the FFT.

        Parameters
        ----------
        kappa : (block, 2) tensor
            Fractional (x, y) wave vectors of the blocks [1/Å].

        Returns
        -------
        (block, 1, x) tensor, (block, y, 1) tensor
            kx and ky [1/Å].
        """
        (a, b), (nx, ny) = self.lengths, self.gpts
        gx = torch.fft.fftfreq(nx, a / nx, dtype=kappa.dtype, device=kappa.device)
        gy = torch.fft.fftfreq(ny, b / ny, dtype=kappa.dtype, device=kappa.device)
        return kappa[:, 0, None, None] + gx, kappa[:, 1, None, None] + gy[:, None]

    def antialias(self, k: Tensor) -> Tensor:
        """Band limit with the cosine edge that abTEM puts on it (0.01 / pixel wide)."""
        edge = 0.5 * (1 + torch.cos(math.pi * (k - self.full_transmission) / self._taper))
        return torch.where(k > self.band_limit, 0.0, torch.where(k > self.full_transmission, edge, 1.0))


def transmission_functions(slices: Tensor, grid: CellGrid, interaction_constant: float) -> Tensor:
    """
    Fourier coefficients of the band-limited transmission functions exp(i sigma V).

    Parameters
    ----------
    slices : (slice, y, x) tensor
        Projected potential of each slice [V Å].
    grid : CellGrid
        Grid of the cell.
    interaction_constant : float
        sigma [rad / (V Å)].

    Returns
    -------
    (slice, y, x) complex tensor
        Coefficients t_G of t(r) = sum_G t_G exp(2 pi i G.r), in the order of the FFT.
    """
    kx, ky = grid.frequencies(torch.zeros(1, 2, dtype=slices.dtype, device=slices.device))
    exact = torch.exp(1j * interaction_constant * slices)
    return torch.fft.fft2(exact, norm="forward") * grid.antialias(torch.hypot(kx, ky))


def propagators(grid: CellGrid, kappa: Tensor, wavelength: float, distance: float, lean: tuple[float, float]) -> Tensor:
    """
    Fresnel propagators of the blocks, with a small crystal tilt.

    Parameters
    ----------
    grid : CellGrid
        Grid of the cell.
    kappa : (block, 2) tensor
        Fractional wave vectors (x, y) [1/Å].
    wavelength : float
        Electron wavelength [Å].
    distance : float
        Distance dz to the next slice [Å].
    lean : (float, float)
        Lateral shift of an atomic column per depth, t: waves are propagated in the frame of the columns, which
        multiplies the propagator by exp(2 pi i dz k.t).

    Returns
    -------
    (block, y, x) complex tensor
        exp(-i pi lambda dz |k|²) exp(2 pi i dz k.t), k = kappa + G, band-limited.
    """
    kx, ky = grid.frequencies(kappa)
    k2 = kx**2 + ky**2
    phase = math.pi * distance * (2 * (kx * lean[0] + ky * lean[1]) - wavelength * k2)
    return torch.polar(grid.antialias(k2.sqrt()), phase)


def slice_propagators(
    grid: CellGrid,
    kappa: Tensor,
    wavelength: float,
    distances: Sequence[float],
    lean: tuple[float, float],
    dtype: torch.dtype,
) -> list[Tensor]:
    """Return the `propagators` after each slice, in a complex type; slices of one distance share theirs."""
    # Distances that differ only by rounding count as equal.
    keys = [round(distance, 9) for distance in distances]
    phases = {key: propagators(grid, kappa, wavelength, key, lean).to(dtype) for key in set(keys)}
    return [phases[key] for key in keys]


def scatter(
    incident: Tensor,
    owner: Tensor,
    transmission: Tensor,
    propagator: Sequence[Tensor],
    exit_slices: Sequence[int],
    beams: Tensor,
) -> Tensor:
    """
    Send plane waves through a slab and collect them at its exit planes.

    Parameters
    ----------
    incident : (wave, 2) integer tensor
        Orders (x, y) of each incident plane wave G.
    owner : (wave,) or (1,) integer tensor
        Block of each wave, or the one block of all waves, whose common propagator then stays in the cache.
    transmission : (slice, y, x) complex tensor
        Transmission functions of one cell on the grid; they repeat along the beam.
    propagator : sequence of (block, y, x) complex tensor
        Propagators of the blocks after each slice of one cell.
    exit_slices : sequence of int, rising
        Numbers of slices after which the waves are collected.
    beams : (block, beam) integer tensor
        Points of the grid, y nx + x, of the outgoing beams that are kept.

    Returns
    -------
    (exit, wave, beam) complex tensor
        Columns of the scattering matrix: amplitudes of the plane waves kappa + G'.
    """
    ny, nx = transmission.shape[-2:]
    waves = transmission.new_zeros(len(incident), ny, nx)
    waves[torch.arange(len(waves), device=waves.device), incident[:, 1] % ny, incident[:, 0] % nx] = 1
    collected: list[Tensor] = []
    for index in range(exit_slices[-1]):
        real = torch.fft.ifft2(waves, norm="forward")
        real *= transmission[index % len(transmission)]
        waves = torch.fft.fft2(real, norm="forward")
        waves *= propagator[index % len(propagator)][owner]
        if index + 1 in exit_slices:
            kept = waves.flatten(1).gather(1, beams[owner].expand(len(waves), -1))
            collected.extend(kept for _ in range(exit_slices.count(index + 1)))
    return torch.stack(collected)
