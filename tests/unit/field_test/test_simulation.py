"""Simulated specimens of a field test, and their truth."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from iphasenet.crystal.structure import orthogonal_cell, read_structure
from iphasenet.field_test.plan import FieldSpecimen, field_specimens
from iphasenet.field_test.simulation import FieldSimulator, FieldTruth, load_truths, save_truths, told
from tests.unit.field_test.test_plan import configuration

COARSE = {"sampling_angstrom": 0.16, "slice_thickness_angstrom": 1.0, "window_angstrom": 4, "thermal_passes": 1,
          "thermal_coarse_passes": 0, "thermal_period_angstrom": 1}  # fmt: skip


def small(**test: Any) -> dict[str, Any]:
    """Configuration of few, small and coarse images."""
    config = configuration(
        known=["KNbO3"], thickness_nm=[2, 3], thin_nm=[2, 3], images=2, pixels=[64], doses=[1e5], cell_angstrom=8,
        cell_multislice=COARSE, carbon_nm=0.5, wedge_deg=5, tilt_std_deg=0.5, **test,
    )  # fmt: skip
    config["image"]["sampling_angstrom"] = 0.2
    config["simulation"]["multislice"] = {**COARSE, "memory_mb": 500}
    config["simulation"]["parametrization"] = "kirkland"
    return config


def specimen(kind: str) -> tuple[FieldSpecimen, FieldSimulator, Atoms]:
    config = small(kinds=[kind], specimens_of_known=1)
    cell = orthogonal_cell(read_structure(Path("resources/structures/KNbO3.cif"), temperature_k=293))
    return field_specimens(config)[0], FieldSimulator.of(config), cell


def made(kind: str) -> tuple[FieldSpecimen, list[FieldTruth]]:
    one, simulator, cell = specimen(kind)
    return one, simulator.simulate(one, cell)


@pytest.mark.parametrize("kind", ["crystal", "wedge", "vacancy", "antisite", "edge", "carbon"])
def test_images_and_truth_of_each_kind(kind: str) -> None:
    one, truths = made(kind)
    assert len(truths) == 2
    for image, truth in zip(one.images, truths, strict=True):
        assert truth.segments.shape == (4, 64, 64) and truth.potential.shape == truth.columns.shape == (64, 64)
        assert 0.02 < truth.segments.sum(axis=0).mean() < 1
        assert truth.facts["thickness_nm"] == pytest.approx(image.thickness_nm, abs=0.25)
        # Where columns are, the crystal's projected potential is higher.
        high = truth.columns > np.percentile(truth.columns, 90)
        assert truth.potential[high].mean() > 1.5 * truth.potential.mean()
        assert truth.defects.any() == (kind in ("vacancy", "antisite"))
        if kind != "edge":
            assert truth.columns.mean() == pytest.approx(truth.facts["mean_potential_v"], rel=0.05)


def test_an_altered_column_is_seen_at_its_sites() -> None:
    _, truths = made("vacancy")
    for truth in truths:
        places = np.rint(truth.sites).astype(int)
        heights = truth.columns[places[:, 0], places[:, 1]]
        usual = np.median(heights[~truth.defects])
        np.testing.assert_allclose(heights[~truth.defects], usual, rtol=0.12)
        assert (heights[truth.defects] < 0.8 * usual).all()


def test_a_wedge_grows_thicker_along_its_azimuth() -> None:
    one, truths = made("wedge")
    for image, truth in zip(one.images, truths, strict=True):
        place = (np.arange(64) - 31.5) * 0.2
        azimuth = np.radians(image.wedge[0])
        along = place[None] * np.cos(azimuth) + place[:, None] * np.sin(azimuth)
        thick, thin = truth.potential[along > 0].mean(), truth.potential[along < 0].mean()
        assert thick > thin


def test_a_wedge_without_an_angle_is_the_crystal_of_whole_cells() -> None:
    one, simulator, cell = specimen("wedge")
    height = float(cell.cell.lengths()[2])
    images = tuple(replace(image, wedge=(0.0, 0.0), thickness_nm=count * height / 10)
                   for image, count in zip(one.images, (5, 7), strict=True))  # fmt: skip
    flat = replace(one, images=images)
    wedge = simulator.simulate(flat, cell)
    crystal = simulator.simulate(replace(flat, kind="crystal"), cell)
    for first, second in zip(wedge, crystal, strict=True):
        np.testing.assert_allclose(first.segments, second.segments, atol=1e-6)
        np.testing.assert_allclose(first.potential, second.potential, rtol=1e-4, atol=0.1)


def test_carbon_adds_to_the_images_and_not_to_the_truth() -> None:
    one, simulator, cell = specimen("carbon")
    # Not tilted: columns below the carbon lie where they lie without.
    upright = replace(one, lean=(0.0, 0.0))
    covered, bare = (simulator.simulate(replace(upright, kind=kind), cell) for kind in ("carbon", "edge"))
    crystal = simulator.simulate(replace(upright, kind="crystal"), cell)
    for first, second in zip(covered, crystal, strict=True):
        assert first.facts["mean_potential_v"] == pytest.approx(second.facts["mean_potential_v"])
        assert np.std(first.columns) == pytest.approx(np.std(second.columns), rel=0.05)
        assert abs(first.segments.sum(axis=0).mean() - second.segments.sum(axis=0).mean()) > 1e-4
    assert bare[0].columns.min() < 0.05 * bare[0].columns.max()


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    one, truths = made("antisite")
    save_truths(tmp_path / "one.npz", truths)
    again = load_truths(tmp_path / "one.npz")
    for first, second in zip(truths, again, strict=True):
        assert first.facts == second.facts
        for name in ("segments", "potential", "columns", "sites", "defects"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    exactly, roughly = (told(one, one.images[0], again[0], rough) for rough in (False, True))
    assert exactly["tilt_deg"] == pytest.approx(again[0].facts["tilt_deg"])
    assert exactly["thickness_nm"] != roughly["thickness_nm"] and exactly["rotation_deg"] == roughly["rotation_deg"]
