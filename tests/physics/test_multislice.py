"""The Bloch-block scattering matrix against abTEM's Probe.scan of the same slices."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms

from iphasenet.crystal.potential import crystal_potential
from iphasenet.microscope.probe import window_cells
from iphasenet.multislice.numerics import cell_grid
from iphasenet.multislice.periodic_images import PeriodicImages, simulate_images
from iphasenet.multislice.propagation import CellGrid
from iphasenet.multislice.settings import Numerics
from iphasenet.multislice.transfer_matrix import best_passage
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Field, render
from tests.physics.conftest import MICROSCOPE, abtem_segments, cell_of, potential_of, supercell_slices

NUMERICS = Numerics(sampling_angstrom=0.1, slice_thickness_angstrom=0.3, window_angstrom=14)


def evaluate(images: PeriodicImages, positions: np.ndarray) -> np.ndarray:
    """Segment signals (thickness, position, segment) at probe positions (x, y) [Å], at the first rotation."""
    my, mx = images.coefficients.shape[-2] // 2, images.coefficients.shape[-1] // 2
    phase_x = np.exp(2j * np.pi * np.outer(positions[:, 0] / images.lengths[0], np.arange(-mx, mx + 1)))
    phase_y = np.exp(2j * np.pi * np.outer(positions[:, 1] / images.lengths[1], np.arange(-my, my + 1)))
    return np.einsum("tsyx,py,px->tps", images.coefficients[:, 0], phase_y, phase_x).real


@pytest.mark.parametrize(
    ("material", "zone_axis"),
    [("GaN", (0, 0, 1)), ("LiCoO2", (1, 0, 0)), ("PVSK", (0, 0, 1)), ("MoS2", (0, 0, 1)), ("KNbO3", (0, 0, 1))],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 5e-4), (torch.float64, 1e-6)])
def test_equals_abtem_probe_scan(
    material: str, zone_axis: tuple[int, int, int], dtype: torch.dtype, tolerance: float
) -> None:
    """Largest difference as a share of the mean segment signal, at 10 and 40 nm and random positions.

    Measured: 8e-5 in float32; 2e-7 in float64, where the two use physical constants of different years.
    """
    potential = potential_of(cell_of(material, zone_axis), NUMERICS.sampling_angstrom)
    images = simulate_images(potential, MICROSCOPE, NUMERICS, [100.0, 400.0], dtype=dtype)
    positions = np.random.default_rng(7).uniform(0, 14, (8, 2))
    slicing = potential.slicing(NUMERICS.slice_thickness_angstrom)
    for index, thickness in enumerate(images.depths):
        slices, dz, extent = supercell_slices(potential, NUMERICS, slicing.nearest(thickness))
        reference = abtem_segments(slices, dz, extent, positions)
        difference = np.abs(evaluate(images, positions)[index] - reference).max()
        assert difference < tolerance * reference.mean()


def test_rotation_equals_abtem_on_the_rotated_scan_and_detector() -> None:
    """Rotating the crystal is scanning along turned axes with a turned detector."""
    potential = potential_of(cell_of("GaN"), NUMERICS.sampling_angstrom)
    gamma = 23.0
    images = simulate_images(potential, MICROSCOPE, NUMERICS, [60.0], rotations=[gamma], dtype=torch.float64)
    field = Field(Image(5, 0.3), rotation_deg=gamma, offset=(5.0, 6.0))
    rendered = render(images.coefficients[0, 0], images.lengths, field)

    position = (np.arange(5) - 2) * 0.3
    x, y = (m.ravel() for m in np.meshgrid(position, position))
    angle = np.deg2rad(gamma)
    scan = np.stack([np.cos(angle) * x + np.sin(angle) * y + 5, -np.sin(angle) * x + np.cos(angle) * y + 6], axis=1)
    slicing = potential.slicing(NUMERICS.slice_thickness_angstrom)
    slices, dz, extent = supercell_slices(potential, NUMERICS, slicing.nearest(images.depths[0]))
    reference = abtem_segments(slices, dz, extent, scan, gamma)
    # Rendering is float32 and leaves out the corner of the band beyond the pixel's Nyquist square.
    np.testing.assert_allclose(rendered.reshape(4, -1).T, reference, atol=1e-4 * reference.mean())
    np.testing.assert_allclose(evaluate(images, scan)[0], reference, atol=1e-6 * reference.mean())


@pytest.mark.parametrize("gamma", [0.0, 40.0])
def test_aberrations_equal_abtems(gamma: float) -> None:
    """Defocus, Cs, two-fold astigmatism and coma, fixed in the lab: largest difference over the mean signal."""
    polar = {"C10": -60.0, "C30": 1.2e5, "C12": 35.0, "C21": 900.0}
    angles = {"phi12": 25.0, "phi21": -70.0}
    microscope = replace(MICROSCOPE, aberrations=polar | angles)
    potential = potential_of(cell_of("GaN"), NUMERICS.sampling_angstrom)
    images = simulate_images(potential, microscope, NUMERICS, [60.0], rotations=[gamma], dtype=torch.float64)
    positions = np.random.default_rng(2).uniform(0, 14, (6, 2))
    slicing = potential.slicing(NUMERICS.slice_thickness_angstrom)
    slices, dz, extent = supercell_slices(potential, NUMERICS, slicing.nearest(images.depths[0]))
    # Seen from the crystal, lab directions turn back by gamma.
    turned = {name: np.deg2rad(angle - gamma) for name, angle in angles.items()}
    reference = abtem_segments(slices, dz, extent, positions, gamma, **polar, **turned)
    signal = evaluate(images, positions)[0]
    assert np.abs(signal - reference).max() < 1e-6 * reference.mean()
    plain = simulate_images(potential, MICROSCOPE, NUMERICS, [60.0], rotations=[gamma])
    assert np.abs(signal - evaluate(plain, positions)[0]).max() > 0.2 * reference.mean()


def test_focal_spread_averages_over_defocus() -> None:
    """Against a trapezium sum over abTEM's names for defocus, from -4 to 4 standard deviations."""
    potential = potential_of(cell_of("GaN"), NUMERICS.sampling_angstrom)
    spread = 40.0
    blurred = simulate_images(potential, replace(MICROSCOPE, focal_spread_angstrom=spread), NUMERICS, [50.0])
    foci = np.linspace(-4, 4, 33)
    weight = np.exp(-(foci**2) / 2)
    series = [
        simulate_images(potential, replace(MICROSCOPE, aberrations={"defocus": focus * spread}), NUMERICS, [50.0])
        for focus in foci
    ]
    average = np.average([images.coefficients for images in series], axis=0, weights=weight)
    scale = np.abs(average).max()
    np.testing.assert_allclose(blurred.coefficients, average, atol=1e-4 * scale)
    assert np.abs(series[16].coefficients - average).max() > 0.01 * scale


@pytest.mark.parametrize(("semiangle", "spread"), [(20, 30.0), (20, 400.0), (40, 100.0), (40, 1000.0)])
def test_foci_average_every_phase_of_the_aperture(semiangle: float, spread: float) -> None:
    """The mean of exp(i x p) over a standard normal x is exp(-p² / 2), for phases up to that of the aperture's edge."""
    microscope = replace(MICROSCOPE, semiangle_mrad=semiangle, focal_spread_angstrom=spread)
    foci, shares = np.array(microscope.foci()).T
    edge = np.pi * microscope.wavelength * microscope.frequency(semiangle) ** 2
    phases = np.linspace(0, edge, 50)
    average = (shares * np.exp(1j * np.outer(phases, foci))).sum(axis=1)
    np.testing.assert_allclose(average, np.exp(-((phases * spread) ** 2) / 2), atol=1e-6)


def test_a_small_focal_spread_needs_few_foci() -> None:
    """Each focus costs as much as a detector: 3 nm need fewer than the trapezium rule's 17."""
    counts = [len(replace(MICROSCOPE, focal_spread_angstrom=spread).foci()) for spread in (0.0, 5.0, 30.0, 400.0)]
    assert counts[0] == 1 and counts[1] <= 5 and counts[2] <= 9 and counts == sorted(counts)


@pytest.mark.parametrize("material", ["GaN", "LiCoO2"])
def test_lateral_translations_divide_the_work_and_change_nothing(material: str) -> None:
    potential = potential_of(cell_of(material, (1, 0, 0) if material == "LiCoO2" else (0, 0, 1)), 0.12)
    numerics = Numerics(0.12, 0.3, 9)
    grid = cell_grid(potential.lengths[:2], 0.12, potential.translations)
    assert cell_grid(potential.lengths[:2], 0.12, ()) == grid
    whole = replace(potential, translations=())
    first, second = (
        simulate_images(p, MICROSCOPE, numerics, [30.0], lean=(0.005, -0.002), dtype=torch.float64).coefficients
        for p in (potential, whole)
    )
    np.testing.assert_allclose(first, second, atol=1e-12)


def test_matrix_powers_equal_fourier_transforms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit planes inside a cell and on its end, through powers of the transfer matrix and slice by slice."""
    potential = potential_of(cell_of("GaN"), 0.12)
    slicing = potential.slicing(0.3)
    depths = [slicing.depth(total) for total in (2, 4, 23, 60)]
    numerics, found = Numerics(0.12, 0.3, 9), []
    for cost in (0.0, 1e9):
        monkeypatch.setattr("iphasenet.multislice.transfer_matrix._FFT_COST", cost)
        images = simulate_images(potential, MICROSCOPE, numerics, depths, lean=(0.004, 0.002), dtype=torch.float64)
        found.append(images.coefficients)
    np.testing.assert_allclose(found[0], found[1], atol=1e-12)
    assert best_passage([2, 4, 23, 60], 4, 200, 20, CellGrid((3.0, 5.0), (30, 50))).products < 60


@pytest.mark.parametrize(
    ("angles", "thickness", "tolerance"),
    [
        ((0.3, 0.0), 80.0, 0.02),
        ((0.0, -0.7), 80.0, 0.02),
        ((0.6, 0.8), 80.0, 0.02),
        ((0.3, 0.0), 200.0, 0.02),
        ((0.0, 1.0), 200.0, 0.02),
    ],
)
def test_tilt_equals_a_rotated_slab(angles: tuple[float, float], thickness: float, tolerance: float) -> None:
    """Propagator tilt against atoms that were really rotated about lab x, then y: rms share of the contrast."""
    numerics = Numerics(sampling_angstrom=0.1, slice_thickness_angstrom=0.3, window_angstrom=20)
    atoms = cell_of("KNbO3")
    potential = potential_of(atoms, numerics.sampling_angstrom)
    alpha, beta = np.deg2rad(angles)
    tilt = (np.tan(beta), -np.tan(alpha) / np.cos(beta))
    images = simulate_images(potential, MICROSCOPE, numerics, [thickness], lean=tilt, dtype=torch.float64)
    # KNbO3's layers lie half a cell apart.
    dz = potential.lengths[2] / 2
    slices, extent = rotated_slices(atoms, alpha, beta, numerics, dz, round(thickness / dz))
    positions = np.random.default_rng(3).uniform(6, 14, (40, 2))
    reference = abtem_segments(slices, dz, extent, positions)
    contrast = (reference - reference.mean(axis=0)).std()
    error = np.sqrt(np.mean((evaluate(images, positions)[0] - reference) ** 2)) / contrast
    untilted = simulate_images(potential, MICROSCOPE, numerics, [thickness], dtype=torch.float64)
    without = np.sqrt(np.mean((evaluate(untilted, positions)[0] - reference) ** 2)) / contrast
    assert error < tolerance
    assert without > 5 * error


def test_source_size_averages_over_probe_positions() -> None:
    """Against a sum over a lattice of positions, weighted by the Gaussian source (to 3.5 standard deviations)."""
    potential = potential_of(cell_of("GaN"), NUMERICS.sampling_angstrom)
    sharp = simulate_images(potential, MICROSCOPE, NUMERICS, [50.0])
    blurred = simulate_images(potential, replace(MICROSCOPE, source_size_angstrom=0.4), NUMERICS, [50.0])
    positions = np.random.default_rng(5).uniform(0, 10, (6, 2))
    shift = np.arange(-14, 15) * 0.1
    weight = np.exp(-np.add.outer(shift**2, shift**2) / (2 * 0.4**2))
    shifts = np.stack(np.meshgrid(shift, shift), axis=-1).reshape(-1, 2)
    averages = [
        np.average(evaluate(sharp, position + shifts)[0], axis=0, weights=weight.ravel()) for position in positions
    ]
    signal = evaluate(blurred, positions)[0]
    np.testing.assert_allclose(signal, averages, atol=1e-3 * signal.mean())
    assert np.abs(signal - evaluate(sharp, positions)[0]).max() > 0.05 * signal.mean()


def rotated_slices(
    atoms: Atoms, alpha: float, beta: float, numerics: Numerics, dz: float, total: int
) -> tuple[np.ndarray, tuple[float, float]]:
    """Slices of a slab cut from a large crystal after a rotation about the middle of the window's entrance."""
    lengths = atoms.cell.lengths()
    cells = window_cells(tuple(lengths[:2]), numerics.window_angstrom)
    extent = (cells[0] * lengths[0], cells[1] * lengths[1])
    margin = 2
    repeats = (cells[0] + 2 * margin, cells[1] + 2 * margin, int(np.ceil(total * dz / lengths[2])) + 2)
    crystal = atoms.repeat(repeats)
    origin = np.array([margin * lengths[0] + extent[0] / 2, margin * lengths[1] + extent[1] / 2, lengths[2]])
    about_x = np.array([[1, 0, 0], [0, np.cos(alpha), -np.sin(alpha)], [0, np.sin(alpha), np.cos(alpha)]])
    about_y = np.array([[np.cos(beta), 0, np.sin(beta)], [0, 1, 0], [-np.sin(beta), 0, np.cos(beta)]])
    position = (crystal.positions - origin) @ (about_y @ about_x).T + [extent[0] / 2, extent[1] / 2, 0]
    # Half a slice keeps crystal planes away from the slices' faces, however they lean.
    index = np.floor(position[:, 2] / dz + 0.5).astype(int)
    inside = (index >= 0) & (index < total)
    for axis in (0, 1):
        inside &= (position[:, axis] >= -0.01) & (position[:, axis] < extent[axis] - 0.01)
    grid = CellGrid.from_sampling(tuple(lengths[:2]), numerics.sampling_angstrom)
    gpts = (grid.gpts[0] * cells[0], grid.gpts[1] * cells[1])
    slices = []
    for number in range(total):
        layer = crystal[inside & (index == number)]
        layer.positions = position[inside & (index == number)]
        layer.positions[:, 2] = 0
        layer.set_cell([*extent, dz])
        potential = crystal_potential(layer, max(gpts[0] / extent[0], gpts[1] / extent[1]) / 2)
        slices.append(potential.slices(potential.slicing(dz), gpts)[0])
    return np.array(slices), extent
