"""Aperture and detector against geometry, and samples against sums over rotated atoms."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

from iphasenet.base.errors import InputError
from iphasenet.crystal.potential import crystal_potential
from iphasenet.crystal.slicing import Slicing
from iphasenet.microscope.detector import SEGMENTS
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.periodic_images import simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.simulation.grid import Orientation, Sample
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import render_sample
from tests.physics.conftest import MICROSCOPE, cell_of, potential_of

NUMERICS = Numerics(sampling_angstrom=0.12, slice_thickness_angstrom=0.3, window_angstrom=8)


@pytest.mark.parametrize("gamma", [0.0, 30.0, 90.0])
def test_segments_are_quadrants_of_the_annulus(gamma: float) -> None:
    """Area, angles and side of each segment, counted on a fine mesh in the lab's frame."""
    pixel = 0.02
    axis = np.arange(-120, 121) * pixel
    kx, ky = (m.ravel() for m in np.meshgrid(axis, axis))
    weights = MICROSCOPE.detector_weights(kx, ky, (pixel, pixel), gamma)
    inner, outer = 10e-3 / MICROSCOPE.wavelength, 50e-3 / MICROSCOPE.wavelength
    np.testing.assert_allclose(weights.sum(axis=1) * pixel**2, np.pi * (outer**2 - inner**2) / 4, rtol=1e-3)
    radius = np.hypot(kx, ky)
    assert (weights[:, (radius < inner - pixel) | (radius > outer + pixel)] == 0).all()
    angle = np.deg2rad(gamma)
    lab_x, lab_y = np.cos(angle) * kx - np.sin(angle) * ky, np.sin(angle) * kx + np.cos(angle) * ky
    for name, weight in zip(SEGMENTS, weights, strict=True):
        assert np.sign((weight * lab_x).sum()) == (1 if "right" in name else -1)
        assert np.sign((weight * lab_y).sum()) == (1 if "bottom" in name else -1)


@pytest.mark.parametrize("change", [{"detector_outer_mrad": 80}, {"semiangle_mrad": 80, "detector_outer_mrad": 30}])
def test_angles_beyond_the_band_limit_are_refused(change: dict[str, float]) -> None:
    microscope = Microscope(**{**vars(MICROSCOPE), **change})
    with pytest.raises(InputError, match=r"sampling_angstrom of at most 0\.10"):
        simulate_images(potential_of(cell_of("KNbO3"), 0.12), microscope, NUMERICS, [40.0])


def test_a_thickness_below_one_slice_is_refused() -> None:
    with pytest.raises(InputError, match="below one slice"):
        simulate_images(potential_of(cell_of("KNbO3"), 0.12), MICROSCOPE, NUMERICS, [1.0])


def test_the_number_of_waves_carried_together_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a single block holds more waves than that."""
    potential = potential_of(cell_of("PVSK"), 0.12)
    images = []
    for waves in (7, 1000):
        monkeypatch.setattr("iphasenet.multislice.memory._CACHED_WAVES", waves)
        images.append(
            simulate_images(
                potential, MICROSCOPE, NUMERICS, [20.0, 40.0], lean=(0.004, 0.002), dtype=torch.float64
            ).coefficients
        )
    np.testing.assert_allclose(images[0], images[1], atol=1e-13)


def test_a_simulation_beyond_its_memory_is_refused_with_the_number() -> None:
    with pytest.raises(InputError, match=r"needs [\d.]+ MB; allowed: memory_mb 1;"):
        simulate_images(potential_of(cell_of("KNbO3"), 0.12), MICROSCOPE, Numerics(0.05, 0.3, 30, 1), [40.0])


@pytest.mark.parametrize("undefined", [{"lean": (np.nan, 0.0)}, {"rotations": [np.inf]}])
def test_undefined_angles_are_refused(undefined: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="undefined angle"):
        simulate_images(potential_of(cell_of("KNbO3"), 0.12), MICROSCOPE, NUMERICS, [40.0], **undefined)


@pytest.mark.parametrize("segments", [1, 2, 3, 8, 16])
def test_sectors_share_the_annulus_from_where_they_begin(segments: int) -> None:
    """Equal areas; each sector's mean direction is its middle, from +x towards +y, turned with the detector."""
    pixel, turn = 0.02, 10.0
    axis = np.arange(-120, 121) * pixel
    kx, ky = (m.ravel() for m in np.meshgrid(axis, axis))
    microscope = replace(MICROSCOPE, detector_segments=segments, detector_rotation_deg=turn)
    weights = microscope.detector_weights(kx, ky, (pixel, pixel))
    assert len(weights) == segments == len(microscope.channels)
    inner, outer = (microscope.frequency(angle) for angle in (10, 50))
    np.testing.assert_allclose(weights.sum(axis=1) * pixel**2, np.pi * (outer**2 - inner**2) / segments, rtol=2e-3)
    if segments > 1:
        middle = np.degrees(np.arctan2((weights * ky).sum(axis=1), (weights * kx).sum(axis=1)))
        expected = turn + (np.arange(segments) + 0.5) * 360 / segments
        np.testing.assert_allclose((middle - expected + 180) % 360 - 180, 0, atol=0.1)


def test_dark_field_comes_from_the_same_pass() -> None:
    """An annulus divided in four, summed, is the annulus; the four segments stay what they were."""
    potential = potential_of(cell_of("GaN"), 0.09)
    numerics = Numerics(0.09, 0.3, 8)
    both = replace(MICROSCOPE, dark_field_mrad=(55.0, 70.0))
    alone = replace(MICROSCOPE, detector_inner_mrad=55.0, detector_outer_mrad=70.0)
    series = simulate_images(potential, both, numerics, [20.0]).coefficients[0, 0]
    quarters = simulate_images(potential, alone, numerics, [20.0]).coefficients[0, 0]
    segments = simulate_images(potential, MICROSCOPE, numerics, [20.0]).coefficients[0, 0]
    scale = np.abs(series[4]).max()
    np.testing.assert_allclose(series[4], quarters.sum(axis=0), atol=1e-5 * scale)
    np.testing.assert_allclose(series[:4], segments, atol=1e-5 * np.abs(segments).max())


def test_a_rendered_sample_is_its_atoms_seen_from_the_lab() -> None:
    """Truth of a rotated, tilted, shifted slab against a direct sum over its atoms, and its metadata."""
    atoms = Atoms("SrO", positions=[[1, 2, 0.5], [3, 1, 2.5]], cell=[4, 5, 4], pbc=True)
    potential = crystal_potential(atoms, 4.0)
    alpha, beta, gamma = np.deg2rad([0.8, -1.5, 40.0])
    lean = np.array([np.tan(beta), -np.tan(alpha) / np.cos(beta)])
    turn = np.array([[np.cos(gamma), -np.sin(gamma)], [np.sin(gamma), np.cos(gamma)]])
    crystal = turn.T @ lean
    orientation = Orientation(3, (float(crystal[0]), float(crystal[1])), (float(np.rad2deg(gamma)),), "test")
    sample = Sample("x", orientation, 0, 1, 4.0, (0.3, 0.6))
    numerics = Numerics(0.2, 0.3, 8)
    soft = Microscope(energy_kev=200, semiangle_mrad=10, detector_inner_mrad=5, detector_outer_mrad=30)
    series = simulate_images(potential, soft, numerics, [20.0, 40.0], orientation.lean, orientation.rotations_deg)
    image = Image(32, 0.3)
    rendered = render_sample(sample, series, potential, potential.slicing(0.3), image)

    # The same atoms, placed in the lab one by one, each with the Fourier transform of its own potential.
    frequency = np.fft.fftfreq(160, 9.6 * 5 / 160)
    fx, fy = np.meshgrid(frequency, frequency)
    keep = (np.abs(fx) < 0.5 / 0.3) & (np.abs(fy) < 0.5 / 0.3)
    single = Slicing(np.array([4.0]), np.array([0]), 0.0, np.zeros(1))
    form = {
        s: crystal_potential(Atoms(s, positions=[[0, 0, 0]], cell=[48, 48, 4], pbc=True), 2.0).projected(single, 1)
        for s in ("Sr", "O")
    }
    order = np.rint(frequency * 48).astype(int)
    spectrum = np.zeros((160, 160), complex)
    for symbol, position in zip(atoms.symbols, atoms.positions, strict=True):
        for i in range(-12, 13):
            for j in range(-12, 13):
                for n in range(10):
                    flat = position[:2] + np.array([4 * (i - 0.3), 5 * (j - 0.6)])
                    x, y = turn @ flat + lean * (position[2] - 0.5 + 4 * n)
                    if max(abs(x), abs(y)) < 20:
                        centre = form[symbol].shape[0] // 2
                        factor = np.where(keep, form[symbol][np.ix_(order + centre, order + centre)], 0)
                        spectrum += factor * np.exp(-2j * np.pi * (fx * x + fy * y))
    position = image.positions
    inside = np.abs(position) < 2
    sub = position[inside]
    along = np.exp(2j * np.pi * np.outer(sub, frequency))
    direct = np.einsum("yk,xl,kl->yx", along, along, spectrum).real
    truth = rendered.potential[np.ix_(inside, inside)]
    assert np.sqrt(np.mean((truth - direct) ** 2)) < 0.02 * direct.std()
    assert rendered.metadata["alpha"] == pytest.approx(0.8)
    assert rendered.metadata["beta"] == pytest.approx(-1.5)
    assert rendered.metadata["gamma"] == pytest.approx(40.0)
    assert rendered.metadata["slab_thickness"] == pytest.approx(40.0)
