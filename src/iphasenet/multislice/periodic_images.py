"""Periodic images of a crystal as Fourier series.

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

from iphasenet.base.devices import exact_float32
from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_file
from iphasenet.base.reading import read_arrays, whole_file
from iphasenet.crystal.potential import CrystalPotential, series_frequencies
from iphasenet.crystal.slicing import Slicing
from iphasenet.microscope.optics import Microscope
from iphasenet.microscope.probe import probe_blocks, window_cells
from iphasenet.multislice.detection import centred_coefficients, detector_weights, illuminations, image_grid, intensity
from iphasenet.multislice.memory import MATRICES, waves_together
from iphasenet.multislice.numerics import Numerics, cell_grid, check_band, exit_planes
from iphasenet.multislice.propagation import transmission_functions
from iphasenet.multislice.scattering_matrix import Crystal, columns

ComplexArray = NDArray[np.complexfloating[Any, Any]]


@dataclass(frozen=True)
class PeriodicImages:
    """
    Fourier series of images over the cell.

    Attributes
    ----------
    lengths : (float, float)
        Periods along x and y [Å].
    thicknesses : (thickness,) array
        Thickness of the simulated slabs [Å].
    rotations : (rotation,) array
        In-plane rotations gamma of the crystal [degrees]; they decide which beams fall on which segment.
    coefficients : (thickness, rotation, channel, 2 my + 1, 2 mx + 1) complex array
        I(R) = sum_G I_G exp(2 pi i G.R), fractions of the beam current, R in the crystal's frame.
    """

    lengths: tuple[float, float]
    thicknesses: NDArray[np.float64]
    rotations: NDArray[np.float64]
    coefficients: ComplexArray

    def __post_init__(self) -> None:
        expected = (len(self.thicknesses), len(self.rotations))
        if self.coefficients.ndim != 5 or self.coefficients.shape[:2] != expected:
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
    """Read what `save_images` wrote; InputError names a damaged file."""
    data = read_arrays(path, "lengths", "thicknesses", "rotations", "coefficients")
    with whole_file(Path(path), "periodic images"):
        lengths = (float(data["lengths"][0]), float(data["lengths"][1]))
        pairs = zip(data["rotations"], data["coefficients"], strict=True)
        return [PeriodicImages(lengths, data["thicknesses"], rotations, series) for rotations, series in pairs]


def simulate_images(
    potential: CrystalPotential,
    microscope: Microscope,
    numerics: Numerics,
    thicknesses: Sequence[float],
    tilt: tuple[float, float] = (0.0, 0.0),
    rotations: Sequence[float] = (0.0,),
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: Callable[[int, int], object] | None = None,
    slicing: Slicing | None = None,
) -> PeriodicImages:
    """
    Images of a crystal at all thicknesses and rotations, from one multislice pass.

    Parameters
    ----------
    potential : CrystalPotential
        Potential of the cell.
    microscope : Microscope
        Probe and detectors.
    numerics : Numerics
        Grid, slices, window and memory.
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
        Called with the numbers of plane waves done so far and in all.
    slicing : Slicing, optional
        Slices of the cell; if not given, by the slice thickness of `numerics`.

    Returns
    -------
    PeriodicImages
        Fourier series of the images in all channels of the microscope.
    """
    a, b, _ = potential.lengths
    if not np.isfinite([*tilt, *rotations]).all():
        raise InputError(f"tilt {tilt}, rotations {list(rotations)}: found an undefined angle; allowed: finite numbers")
    grid = cell_grid((a, b), numerics.sampling_angstrom, potential.translations)
    check_band(microscope, grid)
    slicing = slicing or potential.slicing(numerics.slice_thickness_angstrom)
    exits = exit_planes(thicknesses, slicing)
    cells = window_cells((a, b), numerics.window_angstrom)
    pixel = (1 / (cells[0] * a), 1 / (cells[1] * b))
    orders, size = image_grid((a, b), 2 * microscope.frequency(microscope.semiangle_mrad) + 2 * max(pixel))
    blocks = probe_blocks((a, b), cells, microscope, potential.translations)
    shape = (len(exits), len(rotations), len(microscope.channels), size[1], size[0])
    reach = microscope.detector_reach + max(pixel)
    # Beams of a block that a detector sees: area of the detected disc over the area of one mesh of reciprocal space.
    beams = math.ceil(math.pi * (reach + max(1 / a, 1 / b)) ** 2 * a * b)
    memory, points, images = numerics.memory_mb, size[0] * size[1], shape[1] * shape[2]
    waves = waves_together(memory, grid, slicing.count, len(exits), blocks, beams, points, images, dtype, device)

    potential_slices = torch.as_tensor(potential.slices(slicing, grid.gpts), dtype=dtype, device=device)
    coefficients = transmission_functions(potential_slices, grid, microscope.interaction_constant)
    crystal = Crystal(
        grid, coefficients, slicing.thicknesses.tolist(), microscope.wavelength, tilt, potential.translations
    )
    matrices = MATRICES * 1e6 * memory
    total = torch.zeros(shape, dtype=torch.float64, device=device)
    done, every = 0, sum(len(block.orders) for block in blocks)
    with exact_float32(total.device):
        for block, beam_orders, matrix in columns(blocks, crystal, exits, reach, waves, matrices):
            # A small detector may see none of a block's beams.
            if len(beam_orders):
                weights = detector_weights(beam_orders, block, microscope, (a, b), pixel, rotations, matrix)
                total += intensity(matrix, block, illuminations(block, microscope, (a, b), rotations), weights, size)
            done += len(block.orders)
            if progress is not None:
                progress(done, every)

    thickness = np.array([slicing.depth(total) for total in exits])
    series = _series(total, orders, (a, b), microscope.source_size_angstrom)
    precision = np.complex128 if dtype == torch.float64 else np.complex64
    return PeriodicImages((a, b), thickness, np.array(rotations, float), series.astype(precision))


def _series(
    images: torch.Tensor, orders: tuple[int, int], lengths: tuple[float, float], source_size: float
) -> ComplexArray:
    """Fourier series of images on a grid of probe positions (..., y, x), blurred by a source of some size [Å]."""
    series = centred_coefficients(images, orders)
    # The source blurs images incoherently: a convolution, which is a product in their Fourier series.
    gx, gy = series_frequencies(series.shape[-2:], lengths)
    return np.asarray(series * np.exp(-2 * (np.pi * source_size) ** 2 * (gx**2 + gy**2)))
