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
from iphasenet.optics import SEGMENTS, Microscope
from iphasenet.potential import LayerPotential
from iphasenet.probe import Block, batches, probe_blocks, window_cells

ComplexArray = NDArray[np.complexfloating[Any, Any]]


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
    outer = microscope.frequency(microscope.detector_outer_mrad)
    if outer > grid.band_limit:
        angle = 1e3 * grid.band_limit * microscope.wavelength
        raise InputError(
            f"detector_outer_mrad is {microscope.detector_outer_mrad}, beyond the band limit of {angle:.1f} mrad; "
            f"allowed: sampling_angstrom at most {1 / (3 * outer):.4f}"
        )


def exit_planes(thicknesses: Sequence[float], slice_thickness: float) -> list[int]:
    """Slices nearest to each thickness [Å]; InputError where a thickness is below one slice."""
    if min(thicknesses) < slice_thickness:
        raise InputError(
            f"thickness {min(thicknesses) / 10:g} nm is below one slice; allowed: from {slice_thickness / 10:.3g} nm"
        )
    return [round(thickness / slice_thickness) for thickness in thicknesses]


def block_intensity(
    matrix: Tensor, block: Block, weights: Tensor, size: tuple[int, int], beams: tuple[Tensor, Tensor]
) -> Tensor:
    """
    Segment intensities that one block adds, at the positions of a small grid over the cell.

    Parameters
    ----------
    matrix : (exit, wave, y, x) complex tensor
        Columns of the scattering matrix.
    block : Block
        Incident waves.
    weights : (detector, beam) tensor
        Share of each outgoing beam that falls on each detector.
    size : (int, int)
        Grid points along x and y, above twice the range of the orders.
    beams : two (beam,) index tensors
        Rows (y) and columns (x) of the outgoing beams in `matrix`.

    Returns
    -------
    (exit, detector, y, x) tensor
        Intensity at R = (x a / size, y b / size).
    """
    outgoing = matrix[..., beams[0], beams[1]]
    amplitude = torch.as_tensor(block.amplitudes, dtype=weights.dtype, device=matrix.device)
    spectrum = outgoing.new_zeros(outgoing.shape[0], outgoing.shape[2], size[1], size[0])
    orders = torch.as_tensor(block.orders, device=matrix.device)
    columns = (outgoing * amplitude[:, None]).transpose(1, 2)
    spectrum[..., orders[:, 1] % size[1], orders[:, 0] % size[0]] = columns
    intensity = torch.fft.fft2(spectrum).abs().square()
    return torch.einsum("db,ebyx->edyx", weights, intensity)


def simulate_images(
    potential: LayerPotential,
    microscope: Microscope,
    numerics: Numerics,
    thicknesses: Sequence[float],
    tilt: tuple[float, float] = (0.0, 0.0),
    rotations: Sequence[float] = (0.0,),
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: Callable[[int], object] | None = None,
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
        Called with the number of plane waves done since the last call.

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
    blocks = probe_blocks((a, b), cells, microscope)
    transmission = transmission_functions(
        torch.as_tensor(potential.slices(slices, grid.gpts), dtype=dtype, device=device),
        grid,
        microscope.interaction_constant,
    )
    reach = 2 * microscope.frequency(microscope.semiangle_mrad) + 2 * max(pixel)
    orders = (math.floor(reach * a), math.floor(reach * b))
    size = (smooth_size(2 * orders[0] + 1), smooth_size(2 * orders[1] + 1))
    total = torch.zeros(len(exits), 4 * len(rotations), size[1], size[0], dtype=torch.float64, device=device)

    for batch in batches(blocks, numerics.waves_per_batch):
        kappa = torch.as_tensor(np.stack([block.kappa for block in batch]), dtype=torch.float64, device=device)
        counts = torch.as_tensor([len(block.orders) for block in batch], device=device)
        propagator = propagators(grid, kappa, microscope.wavelength, c / slices, tilt).to(transmission.dtype)
        incident = torch.as_tensor(np.concatenate([block.orders for block in batch]), device=device)
        matrix = scatter(incident, transmission, propagator.repeat_interleave(counts, 0), exits, grid)
        for block, columns in zip(batch, matrix.split(counts.tolist(), dim=1), strict=True):
            beams, weights = _detector(block, grid, microscope, pixel, rotations)
            total += block_intensity(columns, block, weights.to(device, dtype), size, beams)
        if progress is not None:
            progress(int(counts.sum()))

    coefficients = torch.fft.fftshift(torch.fft.fft2(total, norm="forward"), dim=(-2, -1)).cpu().numpy()
    cy, cx = size[1] // 2, size[0] // 2
    coefficients = coefficients[..., cy - orders[1] : cy + orders[1] + 1, cx - orders[0] : cx + orders[0] + 1]
    shape = (len(exits), len(rotations), len(SEGMENTS), *coefficients.shape[-2:])
    precision = np.complex128 if dtype == torch.float64 else np.complex64
    return PeriodicImages(
        (a, b),
        np.array(exits) * (c / slices),
        np.array(rotations, float),
        coefficients.reshape(shape).astype(precision),
    )


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
