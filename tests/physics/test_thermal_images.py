"""Images of moving atoms against frozen configurations, and the parts of which they are made."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from numpy.typing import NDArray
from scipy.stats import kstest

from iphasenet.crystal.potential import SCATTERING_STEP, CrystalPotential, crystal_potential
from iphasenet.crystal.translations import lateral_translations
from iphasenet.microscope.optics import Microscope
from iphasenet.microscope.probe import parities
from iphasenet.multislice.displaced_cell import core_corrections
from iphasenet.multislice.displacements import balanced_normals, serpentine
from iphasenet.multislice.lattice_grid import LatticeGrid, lateral_atoms
from iphasenet.multislice.periodic_images import load_images, save_images, simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.multislice.thermal_images import one_pass, thermal_mean
from iphasenet.multislice.thermal_pass import ThermalPass
from tests.physics.conftest import MICROSCOPE, cell_of, potential_of

AXES = {"GaN": (0, 0, 1), "KNbO3": (0, 0, 1), "LiCoO2": (1, 0, 0), "MoS2": (0, 0, 1), "PVSK": (0, 0, 1)}
LEAN = (0.004, -0.002)

Series = NDArray[np.complex128]


def warm(material: str, u: float = 0.07) -> Atoms:
    """Cell of a shipped material whose atoms move by `u` along each axis [Å]."""
    cell = cell_of(material, AXES[material])
    cell.arrays["displacements"] = np.tile(u**2 * np.eye(3), (len(cell), 1, 1))
    return cell


def thermal(cell: Atoms, depths: list[float], sampling: float = 0.1, **numerics: float) -> ThermalPass:
    """Passes of the probe through a warm cell."""
    settings = Numerics(
        sampling,
        **{
            "slice_thickness_angstrom": 0.3,
            "window_angstrom": 9.0,
            "thermal_period_angstrom": 1.0,
            "thermal_coarse_passes": 0,
            **numerics,
        },
    )
    return ThermalPass(potential_of(cell, sampling), MICROSCOPE, settings, depths, LEAN)


def share_of_contrast(found: Series, reference: Series) -> float:
    """Rms difference of images as a share of the contrast of the reference."""
    varying = reference.copy()
    varying[..., reference.shape[-2] // 2, reference.shape[-1] // 2] = 0
    return float(np.linalg.norm(found - reference) / np.linalg.norm(varying))


@pytest.mark.parametrize("material", ["GaN", "KNbO3"])
def test_a_configuration_at_a_coarse_pixel_is_that_of_displaced_atoms_at_a_fine_one(material: str) -> None:
    """One configuration of the whole window, by the plain engine at 0.04 Å; cut cores would be 2 % off."""
    cell = warm(material)
    simulation = thermal(cell, [12.0], thermal_period_angstrom=9.0)
    assert len(simulation.blocks) == 1
    atoms = lateral_atoms(simulation.potential, simulation.grid, simulation.repeats)
    layers = -(-simulation.exits[0] // simulation.slicing.count)
    shifts = simulation._shifts(layers, [3])[0]
    heights = simulation.potential.positions[atoms.origin, 2:]
    height = simulation.potential.lengths[2]
    positions = [np.hstack([atoms.positions + shift, heights + n * height]) for n, shift in enumerate(shifts)]
    displaced = Atoms(
        np.tile(cell.numbers[atoms.origin], layers),
        np.concatenate(positions),
        cell=[*simulation.lengths, layers * height],
        pbc=True,
    )
    found, _ = one_pass(simulation, simulation.exits, [3])
    plain = Numerics(0.04, 0.3, 1.0)
    fine = simulate_images(potential_of(displaced, 0.04), MICROSCOPE, plain, [12.0], LEAN).coefficients[0]
    (x, y), (rows, columns) = simulation.repeats, found.shape[-2:]
    my, mx = fine.shape[-2] // 2, fine.shape[-1] // 2
    h, k = x * (np.arange(columns) - columns // 2), y * (np.arange(rows) - rows // 2)
    reference = fine[..., (my + k)[:, None], mx + h]
    allowed = (parities(*np.meshgrid(h // x, k // y), simulation.potential.translations) == 0).all(axis=-1)
    assert share_of_contrast(found[0].sum(axis=0), reference * allowed) < 0.004


@pytest.mark.parametrize("material", ["GaN", "LiCoO2"])
def test_the_mean_is_that_of_configurations_of_the_whole_window(material: str) -> None:
    """Displacements that repeat with the primitive cell change no image beyond the noise; Debye-Waller factors do."""
    cell, depths = warm(material), [40.0]
    primitive, whole = thermal(cell, depths), thermal(cell, depths, thermal_period_angstrom=9.0)
    assert primitive.grid.area < whole.grid.area / 4
    passes = [np.array([one_pass(run, run.exits, [n])[0].sum(axis=1) for n in range(6)]) for run in (primitive, whole)]
    first, second = (images.mean(axis=0) for images in passes)
    error = np.sqrt(sum(share_of_contrast(images, images.mean(axis=0)[None]) ** 2 / 30 for images in passes))
    assert share_of_contrast(first, second) < 1.5 * error < 0.07
    still = replace(primitive.numerics, sampling_angstrom=0.05)
    damped = simulate_images(potential_of(cell, 0.05).averaged(), MICROSCOPE, still, depths, LEAN).coefficients
    assert share_of_contrast(damped, second) > 0.1


def test_pairs_of_layers_may_share_a_slice_where_atoms_move() -> None:
    """The same displacements on half as many slices; gallium and nitrogen of GaN are 0.64 Å apart."""
    cell = warm("GaN")
    cell.positions[:, 2] = (cell.positions[:, 2] + 0.7) % cell.cell[2, 2]
    fine, coarse = (thermal(cell, [25.9], slice_thickness_angstrom=thickness) for thickness in (0.3, 1.0))
    assert (fine.slicing.count, coarse.slicing.count) == (4, 2)
    images = [one_pass(run, run.exits, [5])[0].sum(axis=1) for run in (fine, coarse)]
    assert share_of_contrast(*images) < 0.015


def test_images_have_the_periods_of_the_crystal_however_its_atoms_move() -> None:
    """Displacements that repeat after two cells: as many coefficients over the same cell, blurred alike by a source."""
    source = replace(MICROSCOPE, source_size_angstrom=0.4)
    potential, numerics = potential_of(warm("GaN"), 0.15), Numerics(0.15, 0.3, 9.0, thermal_passes=1)
    sharp, one, two = (
        simulate_images(potential, microscope, replace(numerics, thermal_period_angstrom=period), [20.0], LEAN)
        for microscope, period in ((MICROSCOPE, 1.0), (source, 1.0), (source, 4.0))
    )
    assert one.lengths == two.lengths == pytest.approx(potential.lengths[:2])
    assert one.coefficients.shape == two.coefficients.shape
    # Noise of one pass is 3 % each; a source that blurs half as much would be another image.
    assert share_of_contrast(two.coefficients, one.coefficients) < 0.1
    assert share_of_contrast(sharp.coefficients, one.coefficients) > 0.3


def test_noise_is_what_other_seeds_show() -> None:
    """The error that two passes tell, against the scatter of their mean over seeds; one pass tells no less."""
    simulation = thermal(warm("KNbO3"), [30.0, 60.0], 0.12, window_angstrom=16.0, thermal_passes=2, thermal_noise=1e-4)
    means = [thermal_mean(simulation, seed) for seed in range(5)]
    every = np.array([mean.coefficients for mean in means])
    told = np.sqrt(np.mean([mean.noise**2 for mean in means], axis=0))
    for index in range(2):
        scatter = share_of_contrast(every[:, index], every[:, index].mean(axis=0)[None]) / np.sqrt(4)
        assert told[index] == pytest.approx(scatter, rel=0.4)
    single = replace(simulation, numerics=replace(simulation.numerics, thermal_passes=1))
    assert (thermal_mean(single, 0).noise > told).all()


def test_passes_end_when_the_noise_is_low_enough() -> None:
    """Thin crystals need fewer passes: these end at the deepest thickness that is still too noisy."""
    simulation = thermal(warm("KNbO3"), [8.0, 80.0], 0.12, thermal_passes=3, thermal_noise=1e-4)
    bound = float(thermal_mean(replace(simulation, depths=[8.0]), 1).noise[0])
    enough = replace(simulation, numerics=replace(simulation.numerics, thermal_noise=1.05 * bound))
    assert thermal_mean(simulation, 1).passes.tolist() == [3, 3]
    loose = replace(simulation, numerics=replace(simulation.numerics, thermal_noise=1.0))
    assert thermal_mean(loose, 1).passes.tolist() == [1, 1]
    assert thermal_mean(enough, 1).passes[1] == 3


def test_coarse_passes_take_noise_away_and_change_nothing_else() -> None:
    """The error that is told, with coarse passes and without, against the scatter over seeds; both tend to one mean."""
    plain = thermal(warm("KNbO3"), [16.0, 32.0], 0.08, thermal_passes=2, thermal_noise=1e-4)
    helped = replace(plain, numerics=replace(plain.numerics, thermal_coarse_passes=8))
    assert plain.coarse is None
    assert helped.coarse is not None and helped.coarse.exits == plain.exits
    found = [[thermal_mean(run, seed) for seed in range(4)] for run in (plain, helped)]
    images = [np.array([mean.coefficients for mean in means]) for means in found]
    told = [np.sqrt(np.mean([mean.noise**2 for mean in means], axis=0)) for means in found]
    for index in range(2):
        for every, noise in zip(images, told, strict=True):
            scatter = share_of_contrast(every[:, index], every[:, index].mean(axis=0)[None]) / np.sqrt(3)
            assert noise[index] == pytest.approx(scatter, rel=0.4)
        # Two pairs of passes and sixteen coarse ones.
        assert told[1][index] < 0.5 * told[0][index]
        apart = share_of_contrast(images[1][:, index].mean(axis=0), images[0][:, index].mean(axis=0))
        assert apart < 1.5 * np.hypot(*(noise[index] for noise in told)) / 2


def test_coarse_passes_end_when_their_noise_is_low_enough() -> None:
    """Half of the noise that is asked for is left to the differences."""
    asked = thermal(warm("KNbO3"), [20.0], 0.08, thermal_passes=1, thermal_noise=0.05, thermal_coarse_passes=1000)
    mean = thermal_mean(asked, 0)
    assert mean.noise[0] < 0.05
    assert mean.passes.tolist() == [1]


def test_a_coarse_grid_that_is_hardly_coarser_is_not_used() -> None:
    assert thermal(warm("KNbO3"), [20.0], 0.15, thermal_coarse_passes=8).coarse is None
    # Detectors to 65 mrad need as many points along one axis of MoS2 as there are.
    wide = replace(MICROSCOPE, detector_outer_mrad=65)
    assert replace(thermal(warm("MoS2"), [20.0], 0.1, thermal_coarse_passes=8), microscope=wide).coarse is None


def test_detectors_of_small_angles_have_the_coarsest_grid_that_is_allowed() -> None:
    """A grid that just holds 12 mrad would have pixels of 0.84 Å."""
    small = replace(MICROSCOPE, semiangle_mrad=5, detector_inner_mrad=2, detector_outer_mrad=12)
    simulation = replace(thermal(warm("KNbO3"), [8.0], thermal_passes=2, thermal_coarse_passes=2), microscope=small)
    assert simulation.coarse is not None and simulation.coarse.numerics.sampling_angstrom == 0.5
    assert np.isfinite(thermal_mean(simulation, 0).coefficients).all()


def test_images_without_contrast_have_no_noise_to_tell() -> None:
    """A beam that is one wave has the same signal everywhere: one pass is enough, and nothing is divided by zero."""
    microscope = Microscope(energy_kev=200, semiangle_mrad=0.5, detector_inner_mrad=10, detector_outer_mrad=50)
    numerics = Numerics(0.1, 0.3, 4.0, thermal_passes=3)
    mean = thermal_mean(ThermalPass(potential_of(warm("KNbO3"), 0.1), microscope, numerics, [20.0]), 0)
    assert np.isnan(mean.noise).all() and mean.passes.tolist() == [2]


def test_images_of_moving_atoms_are_those_of_their_seed(tmp_path: object) -> None:
    """One seed gives the same images and noise, which a file keeps; another seed gives others."""
    cell, numerics = warm("KNbO3"), Numerics(0.12, 0.3, 9.0, thermal_passes=1)
    potential = potential_of(cell, 0.12)

    def images(seed: int) -> object:
        return simulate_images(potential, MICROSCOPE, numerics, [10.0], LEAN, seed=seed)

    first, again, other = images(1), images(1), images(2)
    np.testing.assert_array_equal(first.coefficients, again.coefficients)
    assert not np.array_equal(first.coefficients, other.coefficients)
    assert 0 < first.noise[0] < 0.5
    path = tmp_path / "images.npz"
    save_images(path, [first])
    np.testing.assert_array_equal(load_images(path)[0].noise, first.noise)


def test_a_warm_potential_is_kept_in_its_file(tmp_path: object) -> None:
    """Displacements, occupancies and scattering factors come back; an averaged potential is the damped one."""
    cell = warm("GaN")
    cell.arrays["occupancies"] = np.linspace(0.2, 1.0, len(cell))
    potential = crystal_potential(cell, 3.0)
    potential.save(tmp_path / "potential.npz")
    again = CrystalPotential.load(tmp_path / "potential.npz")
    for name in ("displacements", "occupancies", "scattering"):
        np.testing.assert_array_equal(getattr(again, name), getattr(potential, name))
    slicing = potential.slicing(0.3)
    gx, gy = potential.frequencies
    damping = np.exp(-2 * np.pi**2 * 0.07**2 * (gx**2 + gy**2))
    np.testing.assert_allclose(
        potential.projected(slicing, 9), damping * potential.at_rest().projected(slicing, 9), atol=1e-9
    )


def test_anisotropic_motion_damps_along_its_axes() -> None:
    """A form factor is damped by exp(-2 pi² G.U.G), here along a diagonal."""
    tensor = np.array([[0.02, 0.01, 0.0], [0.01, 0.03, 0.0], [0.0, 0.0, 0.5]])
    atom = Atoms("Si", positions=[[1, 2, 0]], cell=[4, 5, 3], pbc=True)
    atom.arrays["displacements"] = tensor[None]
    potential = crystal_potential(atom, 1.0)
    slicing, (_, ny, nx) = potential.slicing(1.0), potential.form_factors.shape
    g = np.array([2 / 4, -1 / 5])
    moving, still = (p.projected(slicing, 1)[ny // 2 - 1, nx // 2 + 2] for p in (potential, potential.at_rest()))
    assert moving / still == pytest.approx(np.exp(-2 * np.pi**2 * g @ tensor[:2, :2] @ g))


def test_core_corrections_equal_those_of_a_fine_grid() -> None:
    """Against two-dimensional transforms of one heavy atom on a grid of 0.01 Å."""
    table = crystal_potential(warm("GaN"), 1.0)
    frequencies = np.arange(table.scattering.shape[1]) * SCATTERING_STEP
    phase = MICROSCOPE.interaction_constant * table.scattering[0]
    band = (frequencies <= 4.0).astype(float)
    found = core_corrections(frequencies[::2], phase[None, ::2], band[::2], frequencies[::2] <= 4.0)[0]
    side, n = 6.0, 600
    g = np.hypot(*np.meshgrid(np.fft.fftfreq(n, side / n), np.fft.fftfreq(n, side / n)))
    whole = np.interp(g, frequencies, phase) / side**2
    both = [np.fft.ifft2(part, norm="forward").real for part in (whole, whole * (g <= 4.0))]
    lost = np.fft.fft2(np.exp(1j * both[0]) - np.exp(1j * both[1]) - 1j * (both[0] - both[1]), norm="forward") * side**2
    for order in (1, 5, 12, 20):
        at = np.interp(order / side, frequencies[::2][: len(found)], found)
        assert abs(at - lost[0, order]) < 0.05 * np.abs(lost[0, :25]).max()


@pytest.mark.parametrize("elements", ["Au", "AuAl"])
def test_the_core_of_a_shared_place_is_that_of_all_it_holds(elements: str) -> None:
    """Half an atom of gold, alone or mixed with aluminium: twice half the correction of a whole one was 8 % off."""
    atoms = Atoms(elements, positions=len(elements) // 2 * [(0.8, 0.8, 0.5)], cell=(3.2, 3.2, 3.2), pbc=True)
    atoms.set_array("occupancies", np.full(len(atoms), 0.5))
    atoms.set_array("displacements", np.tile(0.008 * np.eye(3), (len(atoms), 1, 1)))
    found, reference = (
        one_pass(one, one.exits, 3)[0].sum(axis=1) for one in (thermal(atoms, [32.0], pixel) for pixel in (0.1, 0.05))
    )
    assert share_of_contrast(found, reference) < 5e-3


@pytest.mark.parametrize(("material", "area"), [("GaN", 1 / 2), ("MoS2", 1 / 2), ("LiCoO2", 1 / 3), ("KNbO3", 1)])
def test_the_grid_is_that_of_the_primitive_cell(material: str, area: float) -> None:
    """Its beams are those that the crystal couples, and it holds one atom of those that translations exchange."""
    cell = cell_of(material, AXES[material])
    a, b, _ = cell.cell.lengths()
    translations = lateral_translations(cell)
    grid = LatticeGrid.of_lattice((a, b), 0.2, translations)
    assert grid.area == pytest.approx(area * a * b)
    orders = grid.all_orders()
    assert (parities(orders[:, 0], orders[:, 1], translations) == 0).all()
    np.testing.assert_array_equal(grid.points(orders), np.arange(len(orders)))
    kx, ky = grid.frequencies(torch.zeros(1, 2, dtype=torch.float64))
    np.testing.assert_allclose(np.stack([kx, ky], axis=-1).reshape(-1, 2), orders / (a, b), atol=1e-12)
    assert torch.hypot(kx, ky).max() >= grid.band_limit
    assert len(lateral_atoms(crystal_potential(cell, 1.0), grid, (1, 1)).origin) == round(area * len(cell))


def test_atoms_that_translations_exchange_are_one_whatever_their_decimals() -> None:
    """Coordinates such as 0.12345 lie on the edge between two steps: rounding errors must not make two atoms of one."""
    shares = np.arange(0.00005, 0.5, 0.0333)
    half = np.array([[0.1 + x, 0.1, 0.1234 + 0.03 * n] for n, x in enumerate(shares)])
    scaled = np.concatenate([half, (half + np.array([0.5, 0.5, 0.0])) % 1])
    cell = Atoms(f"Si{len(scaled)}", scaled_positions=scaled, cell=[3.1, 5.3, 10.0], pbc=True)
    potential = crystal_potential(cell, 0.5)
    grid = LatticeGrid.of_lattice(potential.lengths[:2], 0.2, [(1, 1, 2)])
    assert len(lateral_atoms(potential, grid, (1, 1)).origin) == len(half)


def test_balanced_numbers_have_the_moments_of_the_normal_distribution() -> None:
    """Pairs cancel, spreads are 1, neighbouring coordinates are hardly correlated, and each number alone is normal."""
    drawn = balanced_normals(40, 30, np.random.default_rng(1))
    np.testing.assert_array_equal(drawn[0::2], -drawn[1::2])
    # The outermost quantiles of few pairs are drawn from a wide range.
    assert 0.75 < (drawn**2).mean(axis=0).min() < (drawn**2).mean(axis=0).max() < 1.25
    correlation = np.corrcoef(drawn[0::2, :19].T) - np.eye(19)
    assert np.sqrt((correlation**2).mean()) < 0.1 < 1 / np.sqrt(20)
    numbers = np.concatenate([balanced_normals(8, 10, np.random.default_rng(n))[0] for n in range(200)])
    assert kstest(numbers, "norm").pvalue > 0.01
    assert balanced_normals(1, 3, np.random.default_rng(0)).shape == (1, 3)


def test_a_serpentine_goes_to_neighbours() -> None:
    """On a mesh, each step leads to the next field."""
    mesh = np.stack(np.meshgrid(np.arange(4), np.arange(3)), axis=-1).reshape(-1, 2)
    path = mesh[serpentine(np.random.default_rng(0).permutation(mesh))]
    assert len(path) == len(mesh)
    path = mesh[serpentine(mesh)]
    assert (np.abs(np.diff(path, axis=0)).sum(axis=1) == 1).all()
