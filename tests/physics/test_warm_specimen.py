"""Specimens whose atoms move, and mixed ones: cell, slab and snapshots against each other."""

from dataclasses import replace

import numpy as np
import pytest
import xarray
from ase import Atoms
from numpy.typing import NDArray

from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.periodic_images import simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.simulation.image import Image
from iphasenet.simulation.specimen import Simulator, Specimen
from tests.physics.conftest import cell_of, potential_of

SOFT = Microscope(energy_kev=200, semiangle_mrad=12, detector_inner_mrad=6, detector_outer_mrad=30)
IMAGE = Image(12, 0.4)
NUMERICS = Numerics(0.18, 0.3, 10.0, thermal_noise=0.05, thermal_passes=12)


def aluminium_nitride(tensor: tuple[float, float, float] = (0.04, 0.005, 0.02)) -> Atoms:
    """Cell of light atoms, whose cores coarse pixels hold, that move by different amounts along x, y and z [Å²]."""
    cell = cell_of("GaN")
    cell.symbols[cell.symbols == "Ga"] = "Al"
    cell.set_array("displacements", np.tile(np.diag(tensor), (len(cell), 1, 1)))
    return cell


def warm(cell: Atoms, **known: object) -> Specimen:
    """Specimen of which a slab has no lateral translations."""
    return Specimen(cell, thickness_nm=(4.0,), rotation_deg=33.0, offset=(0.3, 0.6), **known)


def at_rest(cell: Atoms) -> Atoms:
    still = cell.copy()
    del still.arrays["displacements"]
    return still


Images = xarray.Dataset | NDArray[np.float32]


def difference(found: Images, reference: Images) -> float:
    """Rms difference of the segments as a share of the reference's contrast."""
    first, second = (
        data["segments"].values if isinstance(data, xarray.Dataset) else data for data in (found, reference)
    )
    contrast = np.sqrt(np.mean((second - second.mean(axis=(-2, -1), keepdims=True)) ** 2))
    return float(np.sqrt(np.mean((first - second) ** 2)) / contrast)


def test_cell_slab_and_frozen_phonons_of_a_warm_crystal_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within their noise and 3 % for slices of 1 Å; atoms at rest, or that move along the wrong axis, are far off.

    The noise is that of the whole slab: the image shows a fifth of it, whose noise may be 1.5 times as large.
    """
    cell = aluminium_nitride()
    simulator, specimen = Simulator(SOFT, NUMERICS, IMAGE), warm(cell)
    periodic, still = simulator.simulate(specimen), simulator.simulate(replace(specimen, cell=at_rest(cell)))
    rough = replace(simulator, numerics=replace(NUMERICS, thermal_passes=1))
    turned = rough.simulate(replace(specimen, cell=aluminium_nitride((0.005, 0.04, 0.02))))
    assert "thermal_noise" not in still
    assert still["potential"].attrs["description"] == "projected electrostatic potential"
    snapshots = simulator.simulate(replace(specimen, phonons=8, seed=2))
    monkeypatch.setattr("iphasenet.simulation.specimen.SMALL_TILT", -1.0)
    slab = simulator.simulate(specimen)
    noises = {name: float(data["thermal_noise"][0]) for name, data in
              {"periodic": periodic, "slab": slab, "snapshots": snapshots}.items()}  # fmt: skip
    assert all(0.001 < noise < 0.07 for noise in noises.values())
    for found, name in ((slab, "slab"), (snapshots, "snapshots")):
        assert difference(found, periodic) < 1.5 * np.hypot(noises[name], noises["periodic"]) + 0.03
        np.testing.assert_allclose(
            found["potential"], periodic["potential"], atol=0.07 * float(periodic["potential"].max())
        )
    assert difference(snapshots, slab) < 1.5 * np.hypot(noises["snapshots"], noises["slab"])
    assert difference(still, periodic) > 0.15
    assert difference(turned, periodic) > 0.12


def test_the_potential_is_averaged_over_thermal_motion_or_at_rest() -> None:
    """Damping lowers the columns; the other truth is that of the crystal at rest, under the same images."""
    specimen = warm(aluminium_nitride())
    quick = replace(NUMERICS, thermal_passes=1)
    thermal, rest = (Simulator(SOFT, quick, IMAGE, truth=truth).simulate(specimen) for truth in ("thermal", "rest"))
    still = Simulator(SOFT, quick, IMAGE).simulate(replace(specimen, cell=at_rest(specimen.cell)))
    np.testing.assert_array_equal(thermal["segments"], rest["segments"])
    np.testing.assert_array_equal(rest["potential"], still["potential"])
    assert float(thermal["potential"].max()) < 0.8 * float(rest["potential"].max())
    descriptions = [data["potential"].attrs["description"] for data in (thermal, rest)]
    assert descriptions[0].endswith("averaged over thermal motion") and descriptions[1].endswith("atoms at rest")


def test_a_seed_gives_the_same_images_whatever_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """With little memory a slab's waves pass in groups."""
    monkeypatch.setattr("iphasenet.simulation.specimen.SMALL_TILT", -1.0)
    specimen = replace(warm(aluminium_nitride(), seed=5), thickness_nm=(1.0, 2.0))
    simulator = Simulator(SOFT, replace(NUMERICS, thermal_passes=2), IMAGE)
    first = simulator.simulate(specimen)
    small = replace(simulator, numerics=replace(simulator.numerics, memory_mb=12.0)).simulate(specimen)
    other = simulator.simulate(replace(specimen, seed=6))
    np.testing.assert_allclose(small["segments"], first["segments"], atol=1e-6)
    np.testing.assert_allclose(small["thermal_noise"], first["thermal_noise"], rtol=1e-3)
    assert difference(other, first) > 0.02


def test_snapshots_scatter_into_a_dark_field_what_the_averaged_potential_alone_loses() -> None:
    """Means over a period; one snapshot tells no noise."""
    microscope = Microscope(200, 15, 8, 25, dark_field_mrad=(28, 40))
    cell, numerics = cell_of("KNbO3"), Numerics(0.15, 0.3, 8, thermal_passes=1)
    cell.set_array("displacements", np.tile(0.12**2 * np.eye(3), (len(cell), 1, 1)))
    specimen = Specimen(cell, thickness_nm=(6.0,), seed=1)
    simulator = Simulator(microscope, numerics, Image(8, 0.5))
    moving, snapshot = (simulator.simulate(replace(specimen, phonons=phonons)) for phonons in (0, 1))
    damped = simulate_images(potential_of(cell, 0.15).averaged(), microscope, numerics, [60.0]).coefficients[0, 0, -1]
    for data in (moving, snapshot):
        assert float(data["dark_field"].mean()) > 1.1 * damped[damped.shape[0] // 2, damped.shape[1] // 2].real
    assert np.isnan(snapshot["thermal_noise"]).all() and (moving["thermal_noise"] < 0.3).all()


def test_the_mean_over_random_occupations_is_the_virtual_crystal_where_it_is_thin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Al0.5Ga0.5N, 3 nm: within noise and 3 % for slices of 1 Å, each specimen further away; GaN is 12 % off."""
    gallium = cell_of("GaN")
    aluminium = gallium[gallium.symbols == "Ga"]
    aluminium.symbols[:] = "Al"
    mixed = gallium + aluminium
    mixed.set_array("occupancies", np.where(mixed.symbols == "N", 1.0, 0.5))
    simulator, specimen = Simulator(SOFT, NUMERICS, IMAGE), replace(warm(mixed), thickness_nm=(3.0,))
    virtual, pure = (simulator.simulate(replace(specimen, cell=cell)) for cell in (mixed, gallium))
    monkeypatch.setattr("iphasenet.simulation.specimen.SMALL_TILT", -1.0)
    drawn = np.array([simulator.simulate(replace(specimen, seed=seed))["segments"].values for seed in range(8)])
    noise = difference(drawn, drawn.mean(axis=0)) / np.sqrt(7)
    mean = difference(drawn.mean(axis=0), virtual)
    assert mean < 1.5 * noise + 0.03 < 0.6 * difference(pure, virtual)
    assert mean < min(difference(one, virtual) for one in drawn)
