"""From columns of the scattering matrix to the intensities that the detectors record."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iphasenet.base.devices import send
from iphasenet.microscope.optics import Microscope
from iphasenet.microscope.probe import Block, aperture_norm
from iphasenet.multislice.propagation import smooth_size

ComplexArray = NDArray[np.complexfloating[Any, Any]]
Pixel = tuple[float, float]

BEAMS_TOGETHER = 256
"""Number of outgoing beams whose images are computed together; it limits the memory and does not change the result."""


@dataclass(frozen=True)
class Illumination:
    """
    One coherent probe of an incoherent sum.

    Attributes
    ----------
    amplitudes : (wave,) complex array
        Amplitudes of the plane waves of a block.
    share : float
        Share of the beam current in this probe.
    rotations : slice
        Rotations of the crystal for which the probe is the same.
    """

    amplitudes: ComplexArray
    share: float
    rotations: slice


@dataclass(frozen=True)
class Detection:
    """
    Probe, detectors and grid with which the beams that leave a crystal become images.

    Attributes
    ----------
    microscope : Microscope
        Probe and detectors.
    lengths : (float, float)
        Periods along x and y [Å].
    pixel : (float, float)
        Size of a reciprocal pixel of the window [1/Å].
    rotations : sequence of float
        Rotations gamma of the crystal [degrees].
    size : (int, int)
        Numbers of probe positions along x and y of the cell, larger than twice the highest orders of the images.
    own_aperture : bool
        Whether the probe is smaller than the one whose waves the blocks hold, so that their amplitudes are not its own.
    """

    microscope: Microscope
    lengths: tuple[float, float]
    pixel: Pixel
    rotations: Sequence[float]
    size: tuple[int, int]
    own_aperture: bool = False

    def illuminations(self, block: Block) -> list[Illumination]:
        """List the probes of the incoherent sum: one per focus, and per rotation if aberrations have a direction."""
        (kx, ky), microscope = (block.kappa + block.orders / self.lengths).T, self.microscope
        amplitudes: NDArray[np.floating[Any]] = block.amplitudes
        if self.own_aperture:
            amplitudes = microscope.aperture(kx, ky, self.pixel) / self._norm
        # A round probe looks the same from every rotation.
        groups: list[tuple[float, slice]] = [(0.0, slice(None))]
        if not microscope.is_round:
            groups = [(rotation, slice(index, index + 1)) for index, rotation in enumerate(self.rotations)]
        return [
            Illumination(amplitudes * microscope.aberration_phase(kx, ky, rotation, focus), share, group)
            for focus, share in microscope.foci()
            for rotation, group in groups
        ]

    @cached_property
    def _norm(self) -> float:
        return aperture_norm(self.pixel, self.microscope)

    def weights(self, orders: NDArray[np.int64], block: Block, like: Tensor) -> Tensor:
        """
        Share of outgoing beams that falls on each detector segment.

        Parameters
        ----------
        orders : (beam, 2) integer array
            Orders (x, y) of the beams.
        block : Block
            Block of the beams.
        like : tensor
            The weights get its device and real precision.

        Returns
        -------
        (rotation, channel, beam) tensor
            Weights between 0 and 1.
        """
        kx, ky = (block.kappa + orders / self.lengths).T
        weights = np.stack([self.microscope.detector_weights(kx, ky, self.pixel, r) for r in self.rotations])
        return send(torch.from_numpy(weights).to(like.real.dtype), like.device)

    def intensity(self, columns: Tensor, block: Block, orders: NDArray[np.int64]) -> Tensor:
        """
        Intensities that one block adds, at the positions of a small grid over the cell.

        Parameters
        ----------
        columns : (exit, wave, beam) complex tensor
            Columns of the scattering matrix, for the outgoing beams that reach a detector.
        block : Block
            Incident waves.
        orders : (beam, 2) integer array
            Orders (x, y) of the outgoing beams.

        Returns
        -------
        (exit, rotation, channel, y, x) tensor
            Intensity at R = (x a / size, y b / size).
        """
        weights, lit, (nx, ny) = self.weights(orders, block, columns), self.illuminations(block), self.size
        places = send(block.orders, columns.device)
        waves = [send(torch.from_numpy(probe.amplitudes).to(columns.dtype), columns.device)[:, None] for probe in lit]
        total = weights.new_zeros(len(columns), *weights.shape[:2], ny, nx)
        for part, share in zip(columns.split(BEAMS_TOGETHER, dim=2), weights.split(BEAMS_TOGETHER, dim=2), strict=True):
            spectrum = part.new_zeros(len(part), part.shape[2], ny, nx)
            for probe, amplitudes in zip(lit, waves, strict=True):
                spectrum[..., places[:, 1] % ny, places[:, 0] % nx] = (part * amplitudes).transpose(1, 2)
                signal, group = torch.fft.fft2(spectrum), probe.rotations
                # Several times as fast as the square of `abs`, which takes care of numbers that overflow.
                power = signal.real.square() + signal.imag.square()
                total[:, group] += torch.einsum("rcb,ebyx->ercyx", probe.share * share[group], power)
        return total


def image_grid(lengths: tuple[float, ...], band: float) -> tuple[tuple[int, int], tuple[int, int]]:
    """Highest orders (x, y) of images limited to `band` [1/Å], and a grid that holds them."""
    orders = (math.floor(band * lengths[0]), math.floor(band * lengths[1]))
    return orders, (smooth_size(2 * orders[0] + 1), smooth_size(2 * orders[1] + 1))


def centred_coefficients(values: Tensor, orders: tuple[int, int]) -> ComplexArray:
    """Fourier coefficients of values on a grid, orders -m..m, zero order central."""
    coefficients = torch.fft.fftshift(torch.fft.fft2(values, norm="forward"), dim=(-2, -1)).cpu().numpy()
    cy, cx = values.shape[-2] // 2, values.shape[-1] // 2
    return coefficients[..., cy - orders[1] : cy + orders[1] + 1, cx - orders[0] : cx + orders[0] + 1]
