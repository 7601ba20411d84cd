"""Names under which finished work is known: they stay as they are whatever fields are called."""

from pathlib import Path

import numpy as np

from iphasenet.base.recorded_names import recorded_text
from iphasenet.crystal.slab_shape import Shape
from iphasenet.multislice.periodic_images import PeriodicImages, load_images, save_images
from iphasenet.simulation.grid import Orientation, Sample
from iphasenet.training.trained_on import checksum

SAMPLE = Sample(
    "GaN-tilt0003-rotation00-2nm",
    Orientation(3, (0.25, -0.5), (12.5, 90.0), "test", Shape((30.0, 0.25), None), (100.0, 200.0)),
    0,
    1,
    2.0,
    (0.5, 0.25),
)


def test_snakemake_sees_a_samples_text_as_it_was() -> None:
    """Another text would simulate finished slabs again."""
    assert recorded_text(SAMPLE) == (
        "Sample(sample_id='GaN-tilt0003-rotation00-2nm', orientation=Orientation(index=3, tilt=(0.25, -0.5), "
        "rotations_deg=(12.5, 90.0), split='test', shape=Shape(edge=(30.0, 0.25), wedge=None), angles=(100.0, 200.0)), "
        "rotation_index=0, thickness_index=1, thickness_nm=2.0, offset=(0.5, 0.25))"
    )


def test_simulations_of_before_are_read(tmp_path: Path) -> None:
    """Arrays of the file are called as they were."""
    series = np.arange(9.0).reshape(1, 1, 1, 1, 3, 3) + 0j
    np.savez(tmp_path / "old.npz", lengths=(3.0, 5.0), thicknesses=[20.0], rotations=[[12.5]], coefficients=series)
    (old,) = load_images(tmp_path / "old.npz")
    assert (old.lengths, old.depths.tolist(), old.rotations.tolist()) == ((3.0, 5.0), [20.0], [12.5])
    save_images(tmp_path / "new.npz", [old])
    with np.load(tmp_path / "new.npz") as new:
        assert list(new) == ["lengths", "thicknesses", "rotations", "coefficients"]


def test_a_trainings_checkpoints_are_found_under_the_name_that_they_had() -> None:
    """Another checksum would begin a training anew that was interrupted before."""
    series = np.arange(9.0).reshape(1, 1, 1, 3, 3) + 0j
    images = PeriodicImages((3.0, 5.0), np.array([20.0]), np.array([12.5]), series)
    assert f"{checksum([SAMPLE, images]):08x}" == "d9553fd6"
