"""What the measurements share: the five crystals, the published microscope, and how images are compared."""

from pathlib import Path

import numpy as np
from ase import Atoms

from iphasenet.images import PeriodicImages
from iphasenet.numerics import sampled_potential
from iphasenet.optics import Microscope
from iphasenet.potential import CrystalPotential
from iphasenet.structure import orthogonal_cell, read_structure

STRUCTURES = Path(__file__).parents[1] / "resources" / "structures"
ZONE_AXES = {"GaN": (0, 0, 1), "LiCoO2": (1, 0, 0), "PVSK": (0, 0, 1), "MoS2": (0, 0, 1), "KNbO3": (0, 0, 1)}
MICROSCOPE = Microscope(energy_kev=200, semiangle_mrad=20, detector_inner_mrad=10, detector_outer_mrad=50)
THICKNESSES = [200.0, 400.0, 600.0, 800.0, 1000.0, 1200.0, 1500.0]
TILT = (0.0042, -0.0031)
"""0.30 degrees, along no axis of any of the crystals."""


def cell_of(material: str) -> Atoms:
    """Orthogonal cell of a shipped crystal."""
    return orthogonal_cell(read_structure(STRUCTURES / f"{material}.cif"), ZONE_AXES[material])


def potential_of(cell: Atoms, sampling: float) -> CrystalPotential:
    """Potential up to the Nyquist frequency of a multislice grid."""
    return sampled_potential(cell, sampling, 10 * sampling)


def difference(images: PeriodicImages, reference: PeriodicImages) -> np.ndarray:
    """
    Compare images of the first rotation with a reference's.

    Returns
    -------
    (thickness,) array
        rms difference over all positions and segments as a share of the reference's contrast (its rms deviation from
        each segment's mean). By Parseval, sums over the Fourier coefficients.
    """
    first, second = images.coefficients[:, 0], reference.coefficients[:, 0]
    shape = tuple(min(a, b) for a, b in zip(first.shape[-2:], second.shape[-2:], strict=True))
    first, second = _central(first, shape), _central(second, shape)
    contrast = np.abs(second) ** 2
    contrast[..., shape[0] // 2, shape[1] // 2] = 0
    return np.sqrt((np.abs(first - second) ** 2).sum(axis=(1, 2, 3)) / contrast.sum(axis=(1, 2, 3)))


def _central(coefficients: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    y, x = (slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(coefficients.shape[-2:], shape, strict=True))
    return coefficients[..., y, x]
