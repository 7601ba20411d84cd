"""Samples made again without the workflow; those with a small cell are in the workflow's tests."""

from pathlib import Path

import numpy as np
import pytest

from iphasenet.base.devices import use_threads
from iphasenet.base.errors import InputError
from iphasenet.crystal.structure import orthogonal_cell, read_structure
from iphasenet.multislice.settings import Numerics
from iphasenet.planning.regeneration import find_sample, remake_sample
from iphasenet.simulation.drawn_optics import PlannedOptics
from iphasenet.simulation.grid import Grid, samples
from iphasenet.simulation.image import Image
from iphasenet.simulation.slabs import load_rendered, save_rendered, simulate_slabs

ROOT = Path(__file__).parents[3]
CONFIGURATION = {
    "seed": 3,
    "grid": {
        "thickness_nm": [0.5, 1.0], "tilts": 3, "tilt_std_deg": 0.3, "rotations": 2, "validation_share": 0.3,
        "test_share": 0.3, "edge_share": 1.0, "wedge_share": 1.0, "wedge_deg": 4.0,
    },
    "image": {"pixels": 32, "sampling_angstrom": 0.2},
    "optics": {"energy_kev": 200, "semiangle_mrad": 15, "detector_inner_mrad": 8, "detector_outer_mrad": 40},
    "materials": {"KNbO3": {"cif": "resources/structures/KNbO3.cif", "zone_axis": [0, 0, 1]}},
    "simulation": {
        "parametrization": "lobato",
        "multislice": {"sampling_angstrom": 0.16, "slice_thickness_angstrom": 1.0, "window_angstrom": 5},
    },
    "noise": {"evaluation_doses": [1e5], "acquisition": {"readout_electrons": 0.3}},
}  # fmt: skip


def test_a_slab_is_made_again_bit_for_bit(tmp_path: Path) -> None:
    """The tilt as the workflow's job has it, through its file, and one sample of it alone."""
    planned = [s for s in samples(3, "KNbO3", Grid(**CONFIGURATION["grid"])) if s.orientation.index == 1]
    numerics = Numerics(**CONFIGURATION["simulation"]["multislice"])
    cell = orthogonal_cell(read_structure(ROOT / "resources/structures/KNbO3.cif"), (0, 0, 1))
    image = Image(**CONFIGURATION["image"])
    with use_threads(1):
        made = list(simulate_slabs(planned, cell, PlannedOptics.of(CONFIGURATION), numerics, image))
    save_rendered(tmp_path / "tilt1.npz", made)
    for sample, expected in zip(planned, load_rendered(tmp_path / "tilt1.npz"), strict=True):
        remade = remake_sample(CONFIGURATION, sample.sample_id, ROOT)
        assert remade.rendered.segments.tobytes() == expected.segments.tobytes()
        assert remade.rendered.potential.tobytes() == expected.potential.tobytes()
        assert remade.rendered.metadata == expected.metadata
        assert (remade.noisy_segments is None) == (sample.orientation.split == "train")
    assert {"edge_azimuth", "edge_distance", "wedge_azimuth", "wedge_angle"} <= set(expected.metadata)
    assert np.ptp([s.potential.mean() for s in made]) > 0


WARM = {
    **CONFIGURATION,
    "grid": {**CONFIGURATION["grid"], "thickness_nm": [2.0], "edge_share": 0, "wedge_share": 0},
    "simulation": {**CONFIGURATION["simulation"], "temperature_k": 293, "truth": "rest"},
}


def test_a_warm_sample_has_its_own_displacements_and_the_truth_that_is_asked_for() -> None:
    """What a run seed, a material and a tilt give, again and again; and no noise of its own in the truth."""
    first = remake_sample(WARM, "KNbO3-tilt0001-rotation00-2nm", ROOT).rendered
    again = remake_sample(WARM, "KNbO3-tilt0001-rotation00-2nm", ROOT).rendered
    assert first.segments.tobytes() == again.segments.tobytes()
    assert 0 < first.metadata["thermal_noise"] == again.metadata["thermal_noise"]
    thermal = {**WARM, "simulation": {**WARM["simulation"], "truth": "thermal"}}
    still = {**WARM, "simulation": {**WARM["simulation"], "temperature_k": 0}}
    averaged, at_rest = (remake_sample(one, "KNbO3-tilt0001-rotation00-2nm", ROOT).rendered for one in (thermal, still))
    assert averaged.segments.tobytes() == first.segments.tobytes() != at_rest.segments.tobytes()
    assert "thermal_noise" not in at_rest.metadata
    np.testing.assert_array_equal(first.potential, at_rest.potential)
    assert averaged.potential.max() < 0.95 * at_rest.potential.max()
    assert averaged.potential.mean() == pytest.approx(at_rest.potential.mean(), rel=0.05)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("KNbO3-tilt0009-rotation00-1nm", ["tilt0009", "tilt0000-rotation00-0.5nm ... KNbO3-tilt0002"]),
        ("BN-tilt0000-rotation00-1nm", ["BN-tilt0000", "of KNbO3"]),
    ],
)  # fmt: skip
def test_an_unknown_sample_is_named(name: str, parts: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        find_sample(CONFIGURATION, name)
    assert all(part in str(caught.value) for part in parts)
