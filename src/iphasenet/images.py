"""Periodic four-segment images of a crystal as Fourier series.

The probe at R is sum_k A(k) exp(-2 pi i k.R) exp(2 pi i k.r). Its amplitude in an outgoing beam is a sum over the
columns of the scattering matrix, its intensity is periodic in the cell and band-limited to twice the aperture: an
image is a few hundred coefficients, from which any rotation, offset, pixel and field of view are evaluated.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iphasenet.errors import InputError
from iphasenet.files import atomic_file
from iphasenet.multislice import CellGrid, propagators, scatter, smooth_size, transmission_functions
from iphasenet.optics import SEGMENTS, Microscope, sampling_limit
from iphasenet.potential import LayerPotential, series_frequencies
from iphasenet.probe import Block, batches, probe_blocks, window_cells

ComplexArray = NDArray[np.complexfloating[Any, Any]]

_BEAMS = 256
"""Outgoing beams whose images are computed together: bounds memory, changes nothing."""


@dataclass(frozen=True)
class Numerics:
    """
    What the simulation's accuracy and cost depend on.

    Attributes
    ----------
    sampling_angstrom : float
        Largest pixel of the multislice grid [Å].
    slice_thickness_angstrom : float
        Largest slice thickness [Å].
    window_angstrom : float
        Smallest side of the window, a whole number of cells, in which a probe is periodic [Å].
    waves_per_batch : int
        Plane waves carried together.
    """

    sampling_angstrom: float
    slice_thickness_angstrom: float
    window_angstrom: float
    waves_per_batch: int = 128

    def __post_init__(self) -> None:
        for name in ("sampling_angstrom", "slice_thickness_angstrom", "window_angstrom", "waves_per_batch"):
            if not getattr(self, name) > 0:
                raise InputError(f"simulation: {name} is {getattr(self, name)}; allowed: above 0")


@dataclass(frozen=True)
class PeriodicImages:
    """
    Fourier series of segment images over the cell.

    Attributes
    ----------
    lengths : (float, float)
        Periods along x and y [Å].
    thicknesses : (thickness,) array
        Thickness of the simulated slabs [Å].
    rotations : (rotation,) array
        In-plane rotations gamma of the crystal [degrees]; they set which beams fall on which segment.
    coefficients : (thickness, rotation, segment, 2 my + 1, 2 mx + 1) complex array
        I(R) = sum_G I_G exp(2 pi i G.R), fractions of the beam current, R in the crystal's frame.
    """

    lengths: tuple[float, float]
    thicknesses: NDArray[np.float64]
    rotations: NDArray[np.float64]
    coefficients: ComplexArray

    def __post_init__(self) -> None:
        expected = (len(self.thicknesses), len(self.rotations), len(SEGMENTS))
        if self.coefficients.ndim != 5 or self.coefficients.shape[:3] != expected:
            raise ValueError(f"coefficients {self.coefficients.shape} do not begin with {expected}")


def save_images(path: str | Path, images: Sequence[PeriodicImages]) -> None:
    """
    Write the series of several tilts of one crystal; the file appears whole or not at all.

    Parameters
    ----------
    path : path
        The .npz file to be made.
    images : sequence of PeriodicImages
        Series with equal periods and thicknesses.
    """
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            lengths=images[0].lengths,
            thicknesses=images[0].thicknesses,
            rotations=np.stack([series.rotations for series in images]),
            coefficients=np.stack([series.coefficients for series in images]),
        )


def load_images(path: str | Path) -> list[PeriodicImages]:
    """Read what `save_images` wrote."""
    with np.load(path) as data:
        lengths = (float(data["lengths"][0]), float(data["lengths"][1]))
        pairs = zip(data["rotations"], data["coefficients"], strict=True)
        return [PeriodicImages(lengths, data["thicknesses"], rotations, series) for rotations, series in pairs]


def potential_cutoff(lengths: tuple[float, float], sampling: float, image_sampling: float) -> float:
    """
    Spatial frequency up to which a potential's coefficients are needed.

    Parameters
    ----------
    lengths : (float, float)
        Periods along x and y [Å].
    sampling : float
        Largest pixel of the multislice grid [Å].
    image_sampling : float
        Pixel of the rendered images [Å]; turned by 45°, the corner of their Nyquist square lies on an axis.

    Returns
    -------
    float
        Cutoff along each axis [1/Å].
    """
    grid = CellGrid.from_sampling(lengths, sampling)
    nyquist = max(n / (2 * length) for n, length in zip(grid.gpts, lengths, strict=True))
    return max(nyquist, math.sqrt(0.5) / image_sampling)


def _check_band(microscope: Microscope, grid: CellGrid) -> None:
    reach = microscope.frequency(max(microscope.detector_outer_mrad, microscope.semiangle_mrad))
    if reach > grid.full_transmission:
        angle = 1e3 * grid.full_transmission * microscope.wavelength
        raise InputError(
            f"detector_outer_mrad {microscope.detector_outer_mrad} and semiangle_mrad {microscope.semiangle_mrad}: "
            f"found a band limit of {angle:.1f} mrad; allowed: a multislice sampling_angstrom of at most "
            f"{sampling_limit(reach):.4f}"
        )


def exit_planes(thicknesses: Sequence[float], slice_thickness: float) -> list[int]:
    """Slices nearest to each thickness [Å]; InputError where a thickness is below one slice."""
    if min(thicknesses) < slice_thickness:
        raise InputError(
            f"thickness {min(thicknesses) / 10:g} nm is below one slice; allowed: from {slice_thickness / 10:.3g} nm"
        )
    return [round(thickness / slice_thickness) for thickness in thicknesses]


def block_intensity(columns: Tensor, block: Block, weights: Tensor, size: tuple[int, int]) -> Tensor:
    """
    Segment intensities that one block adds, at the positions of a small grid over the cell.

    Parameters
    ----------
    columns : (exit, wave, beam) complex tensor
        Columns of the scattering matrix, in the outgoing beams that reach the detector.
    block : Block
        Incident waves.
    weights : (detector, beam) tensor
        Share of each outgoing beam that falls on each detector.
    size : (int, int)
        Grid points along x and y, above twice the range of the orders.

    Returns
    -------
    (exit, detector, y, x) tensor
        Intensity at R = (x a / size, y b / size).
    """
    amplitude = torch.as_tensor(block.amplitudes, dtype=weights.dtype, device=columns.device)
    orders = torch.as_tensor(block.orders, device=columns.device)
    total = weights.new_zeros(len(columns), len(weights), size[1], size[0])
    for part, share in zip(columns.split(_BEAMS, dim=2), weights.split(_BEAMS, dim=1), strict=True):
        spectrum = part.new_zeros(len(part), part.shape[2], size[1], size[0])
        spectrum[..., orders[:, 1] % size[1], orders[:, 0] % size[0]] = (part * amplitude[:, None]).transpose(1, 2)
        intensity = torch.fft.fft2(spectrum).abs().square()
        total += torch.einsum("db,ebyx->edyx", share, intensity)
    return total


def simulate_images(
    potential: LayerPotential,
    microscope: Microscope,
    numerics: Numerics,
    thicknesses: Sequence[float],
    tilt: tuple[float, float] = (0.0, 0.0),
    rotations: Sequence[float] = (0.0,),
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: Callable[[int, int], object] | None = None,
) -> PeriodicImages:
    """
    Four-segment images of a crystal at all thicknesses and rotations, from one multislice pass.

    Parameters
    ----------
    potential : LayerPotential
        Potential of the cell.
    microscope : Microscope
        Probe and detector.
    numerics : Numerics
        Grid, slices and window.
    thicknesses : sequence of float, rising
        Thicknesses [Å]; each is rounded to whole slices.
    tilt : (float, float)
        Lateral shift of an atomic column per depth (x, y), in the crystal's frame.
    rotations : sequence of float
        In-plane rotations gamma of the crystal [degrees].
    device : str
        Torch device.
    dtype : torch.dtype
        float32 or float64; sums over blocks are float64 in both.
    progress : callable, optional
        Called with the number of plane waves done so far and that of all.

    Returns
    -------
    PeriodicImages
        Fourier series of the segment images.
    """
    a, b, c = potential.lengths
    grid = CellGrid.from_sampling((a, b), numerics.sampling_angstrom)
    _check_band(microscope, grid)
    slices = potential.slice_count(numerics.slice_thickness_angstrom)
    exits = exit_planes(thicknesses, c / slices)
    cells = window_cells((a, b), numerics.window_angstrom)
    pixel = (1 / (cells[0] * a), 1 / (cells[1] * b))
    potential_slices = torch.as_tensor(potential.slices(slices, grid.gpts), dtype=dtype, device=device)
    transmission = transmission_functions(potential_slices, grid, microscope.interaction_constant)
    orders, size = _image_grid((a, b), 2 * microscope.frequency(microscope.semiangle_mrad) + 2 * max(pixel))
    total = torch.zeros(len(exits), 4 * len(rotations), size[1], size[0], dtype=torch.float64, device=device)

    blocks = probe_blocks((a, b), cells, microscope)
    done, waves = 0, sum(len(block.orders) for block in blocks)
    for batch in batches(blocks, numerics.waves_per_batch):
        kappa = torch.as_tensor(np.stack([block.kappa for block in batch]), dtype=torch.float64, device=device)
        propagator = propagators(grid, kappa, microscope.wavelength, c / slices, tilt).to(transmission.dtype)
        detected = [_detector(block, grid, microscope, pixel, rotations) for block in batch]
        beams = [beam for beam, _ in detected]
        columns = _columns(batch, beams, transmission, propagator, exits, grid, numerics.waves_per_batch)
        for block, column, (_, weights) in zip(batch, columns, detected, strict=True):
            total += block_intensity(column, block, weights.to(device, dtype), size)
        done += sum(len(block.orders) for block in batch)
        if progress is not None:
            progress(done, waves)

    coefficients = _centred_coefficients(total, orders).reshape(
        len(exits), len(rotations), len(SEGMENTS), 2 * orders[1] + 1, 2 * orders[0] + 1
    )
    # Probe positions that the source blurs are an incoherent sum: a product in the images' Fourier series.
    gx, gy = series_frequencies(coefficients.shape[-2:], (a, b))
    coefficients = coefficients * np.exp(-2 * (np.pi * microscope.source_size_angstrom) ** 2 * (gx**2 + gy**2))
    precision = np.complex128 if dtype == torch.float64 else np.complex64
    thickness = np.array(exits) * (c / slices)
    return PeriodicImages((a, b), thickness, np.array(rotations, float), coefficients.astype(precision))


def _image_grid(lengths: tuple[float, float], band: float) -> tuple[tuple[int, int], tuple[int, int]]:
    """Highest orders (x, y) of images limited to `band` [1/Å], and a grid that holds them."""
    orders = (math.floor(band * lengths[0]), math.floor(band * lengths[1]))
    return orders, (smooth_size(2 * orders[0] + 1), smooth_size(2 * orders[1] + 1))


def _centred_coefficients(values: Tensor, orders: tuple[int, int]) -> ComplexArray:
    """Fourier coefficients of values on a grid, orders -m..m, zero order central."""
    coefficients = torch.fft.fftshift(torch.fft.fft2(values, norm="forward"), dim=(-2, -1)).cpu().numpy()
    cy, cx = values.shape[-2] // 2, values.shape[-1] // 2
    return coefficients[..., cy - orders[1] : cy + orders[1] + 1, cx - orders[0] : cx + orders[0] + 1]


def _columns(
    batch: Sequence[Block],
    beams: Sequence[tuple[Tensor, Tensor]],
    transmission: Tensor,
    propagator: Tensor,
    exits: Sequence[int],
    grid: CellGrid,
    waves: int,
) -> list[Tensor]:
    """Columns (exit, wave, beam) of each block's scattering matrix, carrying at most `waves` waves at a time."""
    device = transmission.device
    incident = torch.as_tensor(np.concatenate([block.orders for block in batch]), device=device)
    owner = torch.repeat_interleave(torch.tensor([len(block.orders) for block in batch])).to(device)
    parts: list[list[Tensor]] = [[] for _ in batch]
    for start in range(0, len(incident), waves):
        owners = owner[start : start + waves]
        matrix = scatter(incident[start : start + waves], transmission, propagator[owners], exits, grid)
        for index in owners.unique().tolist():
            rows, columns = beams[index]
            parts[index].append(matrix[:, owners == index][..., rows, columns])
    return [torch.cat(part, dim=1) for part in parts]


def _detector(
    block: Block,
    grid: CellGrid,
    microscope: Microscope,
    pixel: tuple[float, float],
    rotations: Sequence[float],
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Outgoing beams that reach the detector, and their weights (4 x rotations, beam)."""
    kx, ky = grid.frequencies(torch.as_tensor(block.kappa)[None])
    inside = torch.hypot(kx[0], ky[0]) < microscope.frequency(microscope.detector_outer_mrad) + max(pixel)
    rows, columns = inside.nonzero(as_tuple=True)
    qx, qy = kx[0, 0, columns].numpy(), ky[0, rows, 0].numpy()
    weights = np.concatenate([microscope.segments(qx, qy, pixel, rotation) for rotation in rotations])
    return (rows, columns), torch.as_tensor(weights)
