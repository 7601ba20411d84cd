"""Common inputs of the measurements: the five crystals and the published microscope."""

from pathlib import Path

from ase import Atoms

from iphasenet.crystal.potential import CrystalPotential
from iphasenet.crystal.structure import crystal_cell, orthogonal_cell, read_structure
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.numerics import sampled_potential

STRUCTURES = Path(__file__).parents[1] / "resources" / "structures"
ZONE_AXES = {"GaN": (0, 0, 1), "LiCoO2": (1, 0, 0), "PVSK": (0, 0, 1), "MoS2": (0, 0, 1), "KNbO3": (0, 0, 1)}
MICROSCOPE = Microscope(energy_kev=200, semiangle_mrad=20, detector_inner_mrad=10, detector_outer_mrad=50)
THICKNESSES = [200.0, 400.0, 600.0, 800.0, 1000.0, 1200.0, 1500.0]
TEMPERATURE = 293.0
TILT = (0.0042, -0.0031)
"""Tilt of 0.30 degrees, not along an axis of any of the crystals."""


def cell_of(material: str) -> Atoms:
    """Orthogonal cell of a shipped crystal."""
    return orthogonal_cell(read_structure(STRUCTURES / f"{material}.cif"), ZONE_AXES[material])


def warm_cell(material: str) -> Atoms:
    """Orthogonal cell of a shipped crystal whose atoms move as at room temperature."""
    return crystal_cell({"cif": f"{material}.cif", "zone_axis": ZONE_AXES[material]}, STRUCTURES, TEMPERATURE)


def potential_of(cell: Atoms, sampling: float) -> CrystalPotential:
    """Potential up to the Nyquist frequency of a multislice grid."""
    return sampled_potential(cell, sampling, 10 * sampling)
