"""A made-up crystal, for machines that know of no scattering factors."""

from dataclasses import replace

import numpy as np

from iphasenet.crystal.potential import (
    SCATTERING_REACH,
    SCATTERING_STEP,
    CrystalPotential,
    series_frequencies,
)
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.beam_pairs import BeamPairs, simulate_pairs
from iphasenet.multislice.multislice_pass import MultislicePass
from iphasenet.multislice.periodic_images import PeriodicImages, simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.multislice.thermal_pass import ThermalPass
from iphasenet.simulation.grid import Grid, Sample, samples
from iphasenet.training.rendered_frames import SimulatedMaterial

MICROSCOPE = Microscope(energy_kev=200, semiangle_mrad=20, detector_inner_mrad=10, detector_outer_mrad=50)
NUMERICS = Numerics(0.16, 0.3, 8.0)
GRID = Grid((20.0, 40.0), 3, 0.3, 2, 0.3, 0.3)


def potential() -> CrystalPotential:
    """Two atoms in 4 x 4.4 x 4 Å, as Gaussians."""
    lengths = (4.0, 4.4, 4.0)
    gx, gy = series_frequencies((65, 61), lengths[:2])
    shape = np.exp(-0.6 * (gx**2 + gy**2))
    positions = np.array([[0.0, 0.0, 0.0], [2.1, 2.0, 1.9]])
    return CrystalPotential(lengths, positions, np.array([0, 1]), np.stack([40 * shape, 15 * shape]))


def warm_potential() -> CrystalPotential:
    """Make the same crystal with atoms that move by 0.08 Å."""
    still = potential()
    a, b, _ = still.lengths
    shape = a * b * np.exp(-0.6 * np.arange(0.0, SCATTERING_REACH, SCATTERING_STEP) ** 2)
    return replace(still, displacements=np.tile(0.08**2 * np.eye(2), (2, 1, 1)),
                   scattering=np.stack([40 * shape, 15 * shape]))  # fmt: skip


def pairs(crystal: CrystalPotential, device: str) -> BeamPairs:
    """Simulate what a fit does."""
    kind = ThermalPass if crystal.is_warm else MultislicePass
    return simulate_pairs(kind(crystal, MICROSCOPE, NUMERICS, [40.0, 80.0], (0.004, 0.002), (20.0,), device), [1, 2])


def images(planned: Sample, device: str) -> PeriodicImages:
    """Simulate the images of a sample's tilt."""
    orientation, thicknesses = planned.orientation, [10 * thickness for thickness in GRID.thickness_nm]
    return simulate_images(
        potential(), MICROSCOPE, NUMERICS, thicknesses, orientation.lean, orientation.rotations_deg, device
    )


def material() -> SimulatedMaterial:
    """Simulate the training tilts on a CPU."""
    planned = [sample for sample in samples(1, "Made", GRID) if sample.orientation.split == "train"]
    found = {sample.orientation.index: sample for sample in planned}
    series = {tilt: images(sample, "cpu") for tilt, sample in found.items()}
    return SimulatedMaterial("Made", planned, series, potential(), NUMERICS.slice_thickness_angstrom)
