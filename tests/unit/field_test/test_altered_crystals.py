"""Crystals with defects, edges and carbon."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from scipy.spatial import cKDTree

from iphasenet.base.errors import InputError
from iphasenet.crystal.structure import orthogonal_cell, read_structure
from iphasenet.field_test.altered_crystals import VACUUM, with_carbon, with_defect, with_edge


def cell_of(name: str) -> Atoms:
    return orthogonal_cell(read_structure(Path("resources/structures") / f"{name}.cif", temperature_k=293))


def near(cell: Atoms, site: np.ndarray) -> np.ndarray:
    """Which atoms belong to the column at a site."""
    lengths = cell.cell.lengths()[:2]
    off = cell.positions[:, :2] - site
    return np.asarray(np.linalg.norm(off - lengths * np.rint(off / lengths), axis=1) < 0.3)


@pytest.mark.parametrize("seed", range(6))
def test_one_column_lacks_the_stated_share_of_its_atoms(seed: int) -> None:
    cell = cell_of("KNbO3")
    altered = with_defect(cell, 12.0, False, np.random.default_rng(seed))
    occupancies = altered.atoms.arrays["occupancies"]
    assert altered.atoms.cell.lengths()[:2].min() >= 12 and altered.defects.sum() == 1
    assert 0.4 <= altered.share <= 1
    inside = near(altered.atoms, altered.sites[altered.defects][0])
    np.testing.assert_allclose(occupancies[inside], 1 - altered.share)
    assert (occupancies[~inside] == 1).all()
    # The other sites are columns of the same elements.
    elements = [sorted(set(altered.atoms.symbols[near(altered.atoms, site)])) for site in altered.sites]
    assert len(elements) > 8 and all(one == elements[0] for one in elements)


@pytest.mark.parametrize("seed", range(4))
def test_an_antisite_column_holds_another_element(seed: int) -> None:
    cell = cell_of("MoS2")
    altered = with_defect(cell, 12.0, True, np.random.default_rng(seed))
    repeated = np.array([round(a / b) for a, b in zip(altered.atoms.cell.lengths(), cell.cell.lengths(), strict=True)])
    perfect = cell.repeat(tuple(repeated))
    changed = perfect.numbers != altered.atoms.numbers
    inside = near(altered.atoms, altered.sites[altered.defects][0])
    assert changed.any() and (inside[changed]).all()
    assert set(altered.atoms.symbols) <= set(cell.symbols)


def test_an_element_alone_has_no_antisite() -> None:
    iron = Atoms("Fe2", [[0, 0, 0], [1.43, 1.43, 1.43]], cell=[2.87] * 3, pbc=True)
    with pytest.raises(InputError, match="antisite: found only Fe"):
        with_defect(iron, 8.0, True, np.random.default_rng(0))


def test_an_edge_leaves_a_vacuum_beside_whole_cells() -> None:
    cell = cell_of("GaN")
    altered = with_edge(cell, 8.0)
    lengths, before = altered.atoms.cell.lengths(), cell.cell.lengths()
    cells = (lengths[0] - VACUUM) / before[0]
    assert cells == pytest.approx(round(cells)) and lengths[0] - VACUUM >= 20 and lengths[1] == pytest.approx(before[1])
    assert len(altered.atoms) == round(cells) * len(cell)
    assert altered.atoms.positions[:, 0].max() < lengths[0] - VACUUM + 1e-6


def test_carbon_lies_on_the_crystal_at_its_density() -> None:
    cell = cell_of("GaN")
    altered = with_carbon(cell, 12.0, 40.0, 20.0, np.random.default_rng(1))
    is_carbon = altered.atoms.numbers == 6
    carbon, crystal = altered.atoms[is_carbon], altered.atoms[~is_carbon]
    assert carbon.positions[:, 2].max() <= 20 and crystal.positions[:, 2].min() == pytest.approx(altered.cover)
    area = np.prod(altered.atoms.cell.lengths()[:2])
    density = len(carbon) * 12.011 / 0.602214076 / (area * 20)
    assert density == pytest.approx(2.0, abs=0.05)
    periods = np.array([*altered.atoms.cell.lengths()[:2], 1e3])
    nearest, _ = cKDTree(carbon.positions % periods, boxsize=periods).query(carbon.positions % periods, k=2)
    assert nearest[:, 1].min() >= 1.3
    # As many whole cells of the crystal as the thickness needs, and all atoms move.
    assert len(crystal) % len(cell) == 0
    assert np.ptp(crystal.positions[:, 2]) > 40 - cell.cell.lengths()[2]
    assert (np.trace(altered.atoms.arrays["displacements"], axis1=1, axis2=2) > 0).all()
