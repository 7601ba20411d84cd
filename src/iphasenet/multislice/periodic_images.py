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

from iphasenet.base.files import atomic_file
from iphasenet.base.reading import read_arrays, whole_file
from iphasenet.base.recorded_names import recorded_as
from iphasenet.crystal.potential import CrystalPotential, series_frequencies
from iphasenet.crystal.slicing import Slicing
from iphasenet.microscope.optics import Microscope, enveloping
from iphasenet.multislice.detection import centred_coefficients
from iphasenet.multislice.displacements import Seed
from iphasenet.multislice.multislice_pass import MultislicePass
from iphasenet.multislice.settings import Numerics
from iphasenet.multislice.thermal_images import thermal_mean
from iphasenet.multislice.thermal_pass import ThermalPass

ComplexArray = NDArray[np.complexfloating[Any, Any]]
FloatArray = NDArray[np.floating[Any]]


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
    noise : (thickness,) array
        Standard error that the mean over thermal motion has left, as a share of the images' contrast; empty if the
        atoms are at rest.
    """

    lengths: tuple[float, float]
    depths: NDArray[np.float64] = field(metadata=recorded_as("thicknesses"))
    rotations: NDArray[np.float64]
    coefficients: ComplexArray
    noise: NDArray[np.floating[Any]] = field(default_factory=lambda: np.zeros(0), compare=False)

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
        Series with equal periods and depths; where their optics differ, some may have fewer coefficients.
    """
    arrays: dict[str, Any] = {
        "lengths": images[0].lengths,
        "thicknesses": images[0].depths,
        "rotations": np.stack([series.rotations for series in images]),
        "coefficients": stacked(images),
    }
    # Files of atoms at rest are what they were.
    if images[0].noise.size:
        arrays["noise"] = np.stack([series.noise for series in images])
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)


def stacked(images: Sequence[PeriodicImages]) -> ComplexArray:
    """Stack the coefficients of several tilts, with zeros around those whose optics reach to fewer frequencies."""
    shapes = np.array([series.coefficients.shape[-2:] for series in images])
    around = [[(0, 0)] * 3 + [(size, size) for size in sizes] for sizes in (shapes.max(axis=0) - shapes) // 2]
    return np.stack([np.pad(series.coefficients, pad) for series, pad in zip(images, around, strict=True)])


def load_images(path: str | Path) -> list[PeriodicImages]:
    """Read what `save_images` wrote; InputError names a damaged file."""
    data = read_arrays(path, "lengths", "thicknesses", "rotations", "coefficients", optional=["noise"])
    with whole_file(Path(path), "periodic images"):
        lengths = (float(data["lengths"][0]), float(data["lengths"][1]))
        noise = data.get("noise", np.zeros((len(data["rotations"]), 0)))
        rows = zip(data["rotations"], data["coefficients"], noise, strict=True)
        return [PeriodicImages(lengths, data["thicknesses"], *row) for row in rows]


def simulate_images(
    potential: CrystalPotential,
    microscope: Microscope | Sequence[Microscope],
    numerics: Numerics,
    depths: Sequence[float],
    lean: tuple[float, float] = (0.0, 0.0),
    rotations: Sequence[float] = (0.0,),
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: Callable[[int, int], object] | None = None,
    slicing: Slicing | None = None,
    seed: Seed = 0,
) -> PeriodicImages:
    """
    Images of a crystal at all thicknesses and rotations, from one multislice pass.

    Parameters
    ----------
    potential, numerics, depths, lean, rotations, device, dtype
        As in `iphasenet.multislice.multislice_pass.MultislicePass`; sums over blocks are float64 whatever the dtype.
    microscope : Microscope or sequence of Microscope
        Microscope, or one for each rotation, with one beam energy and equal channels: lenses and detectors come after
        the crystal, so that several need no more passes than one.
    progress : callable, optional
        Called with the numbers of plane waves done so far and in all.
    slicing : Slicing, optional
        `given_slicing` of the pass.
    seed : int or sequence of int
        Seed of the displacements, if the atoms move.

    Returns
    -------
    PeriodicImages
        Fourier series of the images in all channels of the microscope.

    Raises
    ------
    InputError
        If the pass is refused, or the microscopes differ in energy or channels.
    """
    around, optics = (microscope, ()) if isinstance(microscope, Microscope) else (enveloping(microscope), microscope)
    kind = ThermalPass if potential.is_warm else MultislicePass
    simulation = kind(potential, around, numerics, depths, lean, rotations, device, dtype, slicing, optics)
    if isinstance(simulation, ThermalPass):
        mean = thermal_mean(simulation, seed, progress)
        return _periodic(simulation, mean.coefficients, mean.noise)
    columns, exits = simulation.columns(), len(simulation.exits)
    total = simulation.summed_intensity(columns, exits, [0] * len(simulation.blocks), progress)[0]
    return _periodic(simulation, centred_coefficients(total, simulation.image_grid[0]), np.zeros(0))


def _periodic(simulation: MultislicePass, series: ComplexArray, noise: NDArray[np.floating[Any]]) -> PeriodicImages:
    """Images of a simulation, blurred by the source's size."""
    reached = np.array([simulation.slicing.depth(count) for count in simulation.exits])
    # Displacements may repeat after several cells; their mean has the crystal's own periods.
    a, b, _ = simulation.potential.lengths
    rotations = np.array(simulation.rotations, float)
    microscopes = simulation.optics or [simulation.microscope] * len(rotations)
    sizes = [microscope.source_size_angstrom for microscope in microscopes]
    seen = blurred(series, (a, b), np.array(sizes)[:, None, None, None])
    precision = np.complex128 if simulation.dtype == torch.float64 else np.complex64
    return PeriodicImages((a, b), reached, rotations, seen.astype(precision), noise)


def blurred(series: ComplexArray, lengths: tuple[float, ...], deviation: FloatArray | float) -> ComplexArray:
    """
    Blur Fourier series by Gaussians: images by the source, incoherently, or a potential to a resolution.

    Parameters
    ----------
    series : (..., 2 my + 1, 2 mx + 1) complex array
        Centred coefficients.
    lengths : (float, float)
        Periods along x and y [Å].
    deviation : float or array
        Standard deviation [Å]; an array has two more axes of length 1.

    Returns
    -------
    complex array
        Coefficients: a convolution is a product of Fourier series.
    """
    gx, gy = series_frequencies(series.shape[-2:], lengths)
    return np.asarray(series * np.exp(-2 * (np.pi * deviation) ** 2 * (gx**2 + gy**2)))
