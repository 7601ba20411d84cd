"""From columns of the scattering matrix to the intensities that the detectors record."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iphasenet.base.devices import send
from iphasenet.microscope.optics import Microscope
from iphasenet.microscope.probe import Block
from iphasenet.multislice.propagation import smooth_size

ComplexArray = NDArray[np.complexfloating[Any, Any]]
Pixel = tuple[float, float]

BEAMS_TOGETHER = 256
"""Outgoing beams whose images are computed together: this bounds the memory and does not change the result."""


@dataclass(frozen=True)
class Illumination:
    """
    One coherent probe of an incoherent sum.

    Attributes
    ----------
    amplitudes : (wave,) complex array
        Amplitudes of a block's plane waves.
    share : float
        Share of the beam current.
    rotations : slice
        Rotations of the crystal for which the probe is the same.
    """

    amplitudes: ComplexArray
    share: float
    rotations: slice


def illuminations(
    block: Block, microscope: Microscope, lengths: tuple[float, ...], rotations: Sequence[float]
) -> list[Illumination]:
    """List the probes of the incoherent sum: one per focus, and per rotation if aberrations have a direction."""
    k = block.kappa + block.orders / lengths[:2]
    # A round probe looks the same from every rotation.
    groups = [(0.0, slice(None))] if microscope.is_round else [(r, slice(i, i + 1)) for i, r in enumerate(rotations)]
    return [
        Illumination(block.amplitudes * microscope.aberration_phase(k[:, 0], k[:, 1], rotation, focus), share, group)
        for focus, share in microscope.foci()
        for rotation, group in groups
    ]


def detector_weights(
    orders: NDArray[np.int64],
    block: Block,
    microscope: Microscope,
    lengths: tuple[float, ...],
    pixel: Pixel,
    rotations: Sequence[float],
    like: Tensor,
) -> Tensor:
    """
    Share of outgoing beams that falls on each detector segment.

    Parameters
    ----------
    orders : (beam, 2) integer array
        Orders (x, y) of the beams.
    block : Block
        Block of the beams.
    microscope : Microscope
        Detectors.
    lengths : (float, float, ...)
        Periods along x and y [Å].
    pixel : (float, float)
        Size of a reciprocal pixel of the window [1/Å].
    rotations : sequence of float
        Rotations gamma of the crystal [degrees].
    like : tensor
        The weights get its device and real precision.

    Returns
    -------
    (rotation, channel, beam) tensor
        Weights between 0 and 1.
    """
    kx, ky = (block.kappa + orders / lengths[:2]).T
    weights = np.stack([microscope.detector_weights(kx, ky, pixel, r) for r in rotations])
    return send(torch.from_numpy(weights).to(like.real.dtype), like.device)


def intensity(
    columns: Tensor, block: Block, lit: Sequence[Illumination], weights: Tensor, size: tuple[int, int]
) -> Tensor:
    """
    Intensities that one block adds, at the positions of a small grid over the cell.

    Parameters
    ----------
    columns : (exit, wave, beam) complex tensor
        Columns of the scattering matrix, for the outgoing beams that reach a detector.
    block : Block
        Incident waves.
    lit : sequence of Illumination
        Probes of the incoherent sum.
    weights : (rotation, channel, beam) tensor
        Share of each outgoing beam that falls on each segment.
    size : (int, int)
        Grid points along x and y, above twice the range of the orders.

    Returns
    -------
    (exit, rotation, channel, y, x) tensor
        Intensity at R = (x a / size, y b / size).
    """
    orders = send(block.orders, columns.device)
    waves = [send(torch.from_numpy(probe.amplitudes).to(columns.dtype), columns.device)[:, None] for probe in lit]
    total = weights.new_zeros(len(columns), *weights.shape[:2], size[1], size[0])
    for part, share in zip(columns.split(BEAMS_TOGETHER, dim=2), weights.split(BEAMS_TOGETHER, dim=2), strict=True):
        spectrum = part.new_zeros(len(part), part.shape[2], size[1], size[0])
        for probe, amplitudes in zip(lit, waves, strict=True):
            spectrum[..., orders[:, 1] % size[1], orders[:, 0] % size[0]] = (part * amplitudes).transpose(1, 2)
            signal = torch.fft.fft2(spectrum).abs().square()
            total[:, probe.rotations] += torch.einsum("rcb,ebyx->ercyx", probe.share * share[probe.rotations], signal)
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
