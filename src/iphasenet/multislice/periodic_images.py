"""Periodic images of a crystal as Fourier series.

The probe at R is sum_k A(k) exp(-2 pi i k.R) exp(2 pi i k.r). Its amplitude in an outgoing beam is a sum over the
columns of the scattering matrix, its intensity is periodic in the cell and band-limited to twice the aperture: an
image is a few hundred coefficients, from which any rotation, offset, pixel and field of view are evaluated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from iphasenet.base.devices import exact_float32
from iphasenet.base.files import atomic_file
from iphasenet.base.reading import read_arrays, whole_file
from iphasenet.base.recorded_names import recorded_as
from iphasenet.crystal.potential import CrystalPotential, series_frequencies
from iphasenet.crystal.slicing import Slicing
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.detection import centred_coefficients
from iphasenet.multislice.multislice_pass import MultislicePass
from iphasenet.multislice.settings import Numerics

ComplexArray = NDArray[np.complexfloating[Any, Any]]


@dataclass(frozen=True)
class PeriodicImages:
    """
    Fourier series of images over the cell.

    Attributes
    ----------
    lengths : (float, float)
        Periods along x and y [Å].
    depths : (thickness,) array
        Depths of the simulated slabs [Å].
    rotations : (rotation,) array
        In-plane rotations gamma of the crystal [degrees]; they decide which beams fall on which segment.
    coefficients : (thickness, rotation, channel, 2 my + 1, 2 mx + 1) complex array
        I(R) = sum_G I_G exp(2 pi i G.R), fractions of the beam current, R in the crystal's frame.
    """

    lengths: tuple[float, float]
    depths: NDArray[np.float64] = field(metadata=recorded_as("thicknesses"))
    rotations: NDArray[np.float64]
    coefficients: ComplexArray

    def __post_init__(self) -> None:
        expected = (len(self.depths), len(self.rotations))
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
        Series with equal periods and depths.
    """
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            lengths=images[0].lengths,
            thicknesses=images[0].depths,
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
    depths: Sequence[float],
    lean: tuple[float, float] = (0.0, 0.0),
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
    potential, microscope, numerics, depths, lean, rotations, device, dtype
        As in `iphasenet.multislice.multislice_pass.MultislicePass`; sums over blocks are float64 whatever the dtype.
    progress : callable, optional
        Called with the numbers of plane waves done so far and in all.
    slicing : Slicing, optional
        `given_slicing` of the pass.

    Returns
    -------
    PeriodicImages
        Fourier series of the images in all channels of the microscope.
    """
    simulation = MultislicePass(potential, microscope, numerics, depths, lean, rotations, device, dtype, slicing)
    detection, (orders, size) = simulation.detection, simulation.image_grid
    shape = (len(simulation.exits), len(rotations), len(microscope.channels), size[1], size[0])
    total = torch.zeros(shape, dtype=torch.float64, device=device)
    done, every = 0, sum(len(block.orders) for block in simulation.blocks)
    with exact_float32(total.device):
        for block, beams, matrix in simulation.columns():
            # A small detector may see none of a block's beams.
            if len(beams):
                total += detection.intensity(matrix, block, beams)
            done += len(block.orders)
            if progress is not None:
                progress(done, every)

    reached = np.array([simulation.slicing.depth(count) for count in simulation.exits])
    series = _series(total, orders, simulation.lengths, microscope.source_size_angstrom)
    precision = np.complex128 if dtype == torch.float64 else np.complex64
    return PeriodicImages(simulation.lengths, reached, np.array(rotations, float), series.astype(precision))


def _series(
    images: torch.Tensor, orders: tuple[int, int], lengths: tuple[float, float], source_size: float
) -> ComplexArray:
    """Fourier series of images on a grid of probe positions (..., y, x), blurred by a source of some size [Å]."""
    series = centred_coefficients(images, orders)
    # The source blurs images incoherently: a convolution, which is a product in their Fourier series.
    gx, gy = series_frequencies(series.shape[-2:], lengths)
    return np.asarray(series * np.exp(-2 * (np.pi * source_size) ** 2 * (gx**2 + gy**2)))
