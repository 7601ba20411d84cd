"""Windows of several sizes."""

import numpy as np

from iphasenet.crystal.structure import orthogonal_cell, read_structure
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.multislice.settings import Numerics
from iphasenet.simulation.window_convergence import window_differences
from tests.unit.planning.test_configuration import ROOT


def test_a_larger_window_is_nearer_to_the_largest_and_thick_crystals_need_more() -> None:
    cell = orthogonal_cell(read_structure(ROOT / "resources/structures/KNbO3.cif"), (0, 0, 1))
    microscope = Microscope(energy_kev=200, semiangle_mrad=20, detector_inner_mrad=10, detector_outer_mrad=30)
    table = window_differences(
        sampled_potential(cell, 0.2, 1.0), microscope, Numerics(0.2, 2.1, 8), [40.0, 300.0], (0.002, 0.0), [1.5, 4.0]
    )
    assert list(table["window_angstrom"].unique()) == [8, 12]
    difference = table.pivot(index="thickness_nm", columns="window_angstrom", values="difference")
    assert (difference[12.0] < difference[8.0]).all() and (difference > 0).all(axis=None)
    assert difference.loc[30.0, 8.0] > 2 * difference.loc[4.0, 8.0]
    assert np.isfinite(difference).all(axis=None)
