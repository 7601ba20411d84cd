"""The exact-phase potential against abTEM's projections and against published numbers."""

from itertools import pairwise

import abtem
import numpy as np
import pytest
from abtem.core.energy import energy2sigma, energy2wavelength
from abtem.integrals import sinc
from ase import Atoms

from iphasenet.base.errors import InputError
from iphasenet.crystal.potential import CrystalPotential, crystal_potential
from iphasenet.crystal.slicing import Slicing, layer_slicing
from iphasenet.crystal.thermal_motion import with_displacements
from iphasenet.microscope.electron import interaction_constant, wavelength
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Field, render
from tests.physics.conftest import cell_of

PIXELS, SAMPLING = 48, 0.1


def atoms_on_grid() -> Atoms:
    """Three atoms on the points of a 48 x 48 grid of 0.1 Å."""
    position = np.array([[0.5, 1.0, 0.5], [2.3, 3.1, 0.5], [4.0, 0.2, 1.5]])
    return Atoms("GaNO", positions=position, cell=[4.8, 4.8, 2.0], pbc=True)


def ours(atoms: Atoms, pixels: int, sampling: float) -> np.ndarray:
    """Projected potential (y, x) on the grid whose first point is the origin."""
    potential = crystal_potential(atoms, 0.5 / sampling)
    corner = (pixels - 1) / 2 * sampling
    field = Field(Image(pixels, sampling), offset=(corner, corner))
    return render(potential.projected(whole(potential), 1), potential.lengths[:2], field)


def abtem_projection(atoms: Atoms, pixels: int, *, deconvolved: bool) -> np.ndarray:
    """abTEM's 'infinite' projection (y, x); `deconvolved` takes back its division by a pixel's sinc.

    abTEM compensates the spreading of an atom over four pixels by that division; an atom on a grid point is not
    spread, so there the division only sharpens it.
    """
    sampling = 4.8 / pixels
    potential = abtem.Potential(atoms, gpts=pixels, slice_thickness=2.0, projection="infinite")
    array = potential.build().compute().project().array
    if deconvolved:
        array = np.fft.ifft2(np.fft.fft2(array) * sinc((pixels, pixels), (sampling, sampling)) / sampling**2).real
    return array.T


def test_equals_abtem_for_atoms_on_grid_points() -> None:
    reference = abtem_projection(atoms_on_grid(), PIXELS, deconvolved=True)
    np.testing.assert_allclose(ours(atoms_on_grid(), PIXELS, SAMPLING), reference, atol=2e-6 * reference.max())


def test_abtem_approaches_it_off_the_grid_as_its_pixels_shrink() -> None:
    """rms difference of the two within 5 cycles/Å, as a share of the potential's standard deviation."""
    atoms = atoms_on_grid()
    atoms.positions[:, :2] += 0.037
    reference = ours(atoms, PIXELS, SAMPLING)
    errors = []
    for factor in (1, 2, 4, 8):
        fine = np.fft.fft2(abtem_projection(atoms, PIXELS * factor, deconvolved=False)) / factor**2
        order = np.fft.fftfreq(PIXELS, 1 / PIXELS).astype(int)
        coarse = np.fft.ifft2(fine[np.ix_(order, order)]).real
        errors.append(np.sqrt(np.mean((coarse - reference) ** 2)) / reference.std())
    assert all(later < earlier / 2 for earlier, later in pairwise(errors))
    assert errors[-1] < 0.01


def test_does_not_depend_on_the_position_relative_to_the_pixels() -> None:
    """A shifted crystal gives the shifted series: exact phases."""
    atoms, moved = atoms_on_grid(), atoms_on_grid()
    shift = np.array([0.0371, -0.0123, 0.0])
    moved.positions += shift
    first, second = crystal_potential(atoms, 5.0), crystal_potential(moved, 5.0)
    gx, gy = first.frequencies
    phase = np.exp(-2j * np.pi * (gx * shift[0] + gy * shift[1]))
    np.testing.assert_allclose(second.projected(whole(second), 1), first.projected(whole(first), 1) * phase, atol=1e-9)


def test_debye_waller_factor_equals_abtems() -> None:
    """abTEM damps its scattering factors by the same Gaussian when it is given standard deviations."""
    atoms, displacements = atoms_on_grid(), {"Ga": 0.06, "N": 0.08, "O": 0.11}
    thermal = abtem.parametrizations.LobatoParametrization(sigmas=displacements)
    potential = abtem.Potential(atoms, gpts=PIXELS, slice_thickness=2.0, projection="infinite", parametrization=thermal)
    reference = potential.build().compute().project().array
    reference = np.fft.ifft2(np.fft.fft2(reference) * sinc((PIXELS, PIXELS), (SAMPLING, SAMPLING)) / SAMPLING**2).real
    layers = crystal_potential(with_displacements(atoms, displacements), 0.5 / SAMPLING)
    corner = (PIXELS - 1) / 2 * SAMPLING
    field = Field(Image(PIXELS, SAMPLING), offset=(corner, corner))
    damped = render(layers.projected(whole(layers), 1), layers.lengths[:2], field)
    np.testing.assert_allclose(damped, reference.T, atol=2e-6 * reference.max())
    assert damped.max() < 0.8 * ours(atoms, PIXELS, SAMPLING).max()


def test_displacements_of_absent_elements_are_refused() -> None:
    with pytest.raises(InputError, match=r"'Xe'.*Ga, N, O"):
        with_displacements(atoms_on_grid(), {"Xe": 0.1})


def whole(potential: CrystalPotential) -> Slicing:
    """The whole cell as one slice."""
    return potential.slicing(potential.lengths[2])


def tilted_sum(potential: CrystalPotential, total: int, tilt: tuple[float, float]) -> np.ndarray:
    """The projected potential of a tilted slab, atom by atom and slice by slice."""
    gx, gy = potential.frequencies
    result = np.zeros(potential.form_factors.shape[1:], complex)
    slicing = potential.slicing(0.3)
    for index in range(total):
        for atom in np.flatnonzero(slicing.owner == index % slicing.count):
            x, y, z = potential.positions[atom] + [0, 0, index // slicing.count * potential.lengths[2]]
            phase = np.exp(-2j * np.pi * (gx * (x + tilt[0] * z) + gy * (y + tilt[1] * z)))
            result += potential.form_factors[potential.elements[atom]] * phase
    return result


@pytest.mark.parametrize("tilt", [(0.0, 0.0), (0.004, -0.009), (1e-8, 0.0)])
@pytest.mark.parametrize("total", [7, 12])
def test_slab_is_the_sum_of_its_atoms(tilt: tuple[float, float], total: int) -> None:
    potential = crystal_potential(cell_of("GaN"), 3.0)
    expected = tilted_sum(potential, total, tilt)
    found = potential.projected(potential.slicing(0.3), total, tilt)
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("energy_kev", "angstrom", "rad_per_volt_angstrom"),
    # Kirkland, Advanced Computing in Electron Microscopy, 2nd ed., table C.1 (sigma there in rad / (kV Å)).
    [(100, 0.037014, 0.92440e-3), (200, 0.025079, 0.72884e-3), (300, 0.019687, 0.65262e-3)],
)
def test_wavelength_and_interaction_constant(energy_kev: float, angstrom: float, rad_per_volt_angstrom: float) -> None:
    assert wavelength(energy_kev) == pytest.approx(angstrom, abs=2e-6)
    assert interaction_constant(energy_kev) == pytest.approx(rad_per_volt_angstrom, rel=1e-4)
    assert wavelength(energy_kev) == pytest.approx(energy2wavelength(energy_kev * 1e3), rel=1e-6)
    assert interaction_constant(energy_kev) == pytest.approx(energy2sigma(energy_kev * 1e3), rel=1e-6)


def test_mean_inner_potential_of_gallium_nitride() -> None:
    """h²/(2 pi m e) sum f(0) / volume with f(0) of Doyle & Turner, Acta Cryst. A24, 390 (1968), Hartree-Fock atoms.

    Bonding lowers it: density-functional theory gives 16.9 V (Schowalter et al., Appl. Phys. Lett. 88, 232108, 2006).
    """
    doyle_turner = 47.878 * 4 * (7.108 + 2.211) / cell_of("GaN").get_volume()
    assert mean_inner_potential("GaN", "lobato") == pytest.approx(doyle_turner, rel=0.01)


@pytest.mark.parametrize(
    ("material", "allowed"), [("GaN", (16, 20)), ("LiCoO2", (15, 22)), ("PVSK", (8, 14)), ("MoS2", (13, 20)),
                              ("KNbO3", (16, 24))]
)  # fmt: skip
def test_mean_inner_potentials_are_those_of_independent_atoms(material: str, allowed: tuple[float, float]) -> None:
    """Two independent sets of scattering factors agree within 5 %, in a range that solids of such density have."""
    lobato, kirkland = (mean_inner_potential(material, name) for name in ("lobato", "kirkland"))
    assert lobato == pytest.approx(kirkland, rel=0.05)
    assert allowed[0] < lobato < allowed[1]


def mean_inner_potential(material: str, parametrization: str) -> float:
    """Zero order of a cell's projected potential over its height [V]."""
    potential = crystal_potential(cell_of(material), 1.0, parametrization)
    projected = potential.projected(whole(potential), 1)
    return float(projected[projected.shape[0] // 2, projected.shape[1] // 2].real / potential.lengths[2])


def test_slices_are_cut_between_layers_wherever_they_lie() -> None:
    """Layers at odd heights: planes at the layers, distances between them, the last one to the next cell's first."""
    heights = np.array([3.0, 1.0, 1.1, 6.5, 6.4])
    slicing = layer_slicing(heights, np.array([1.0, 3.0, 1.0, 1.0, 1.0]), 8.0, 0.3)
    assert slicing.owner.tolist() == [1, 0, 0, 2, 2]
    assert slicing.origin == pytest.approx(1.025)
    np.testing.assert_allclose(slicing.distances, [1.975, 3.45, 2.575])
    assert slicing.depth(7) == pytest.approx(17.975)
    assert [slicing.nearest(t) for t in (2.0, 7.9, 10.2, 160.0)] == [1, 3, 4, 60]
    with pytest.raises(InputError, match="below one slice"):
        slicing.nearest(1.0)


def test_a_slice_across_the_cell_boundary_is_that_of_the_crystal_moved_along_the_beam() -> None:
    """The same slab of atoms, whether a pair of layers is cut by the cell's boundary or not: slices and projection."""
    cell = cell_of("GaN")
    moved = cell.copy()
    moved.positions[:, 2] = (cell.positions[:, 2] + 0.7) % cell.cell[2, 2]
    across, inside = (crystal_potential(atoms, 3.0) for atoms in (cell, moved))
    cuts = [potential.slicing(1.0) for potential in (across, inside)]
    assert [cut.count for cut in cuts] == [2, 2]
    assert (cuts[0].heights < 0).any() and (cuts[1].heights >= 0).all()
    slices = [potential.slices(cut, (32, 56)) for potential, cut in zip((across, inside), cuts, strict=True)]
    np.testing.assert_allclose(*slices, atol=1e-9)
    projected = [
        potential.projected(cut, 5, (0.004, -0.003)) for potential, cut in zip((across, inside), cuts, strict=True)
    ]
    np.testing.assert_allclose(*projected, atol=1e-9)
