"""What the GPU machine's weights say they have seen is known again among the images that it renders."""

from pathlib import Path

import numpy as np
from benchmarks.gpu.data import Material, Packed
from benchmarks.gpu.samples import planned_split, rendered_split

from iphasenet.multislice.periodic_images import PeriodicImages
from iphasenet.simulation.grid import Grid, orientations
from iphasenet.simulation.rendering import Image
from iphasenet.training.seen import SEEN, describe_seen, what_is_new
from tests.gpu.crystal import potential

GRID = {"thickness_nm": [2, 4], "tilts": 4, "tilt_std_deg": 0.3, "rotations": 2}


def packed() -> Packed:
    """Images of noise; slabs are whole slices, a little thinner than they are called."""
    grid = {**GRID, "validation_share": 0.2, "test_share": 0.2}
    rng = np.random.default_rng(0)

    def images(rotations: tuple[float, ...]) -> PeriodicImages:
        coefficients = rng.random((2, len(rotations), 4, 3, 3)) + 0j
        return PeriodicImages(potential().lengths[:2], np.array([19.9, 39.8]), np.array(rotations), coefficients)

    series = {one.index: images(one.rotations_deg) for one in orientations(1, "Made", Grid(**grid))}
    configuration = {"seed": 1, "grid": grid, "optics": {}, "noise": {"acquisition": {}}}
    numerics = {"sampling_angstrom": 0.2, "slice_thickness_angstrom": 0.5, "window_angstrom": 6, "memory_mb": 100}
    configuration["simulation"] = {"multislice": numerics}
    return Packed(configuration, {}, {}, {}, (Material("Made", potential(), series, series[0]),), Path())


def test_training_samples_are_seen_and_test_samples_are_new_by_their_tilt() -> None:
    made = packed()
    seen = describe_seen(*(planned_split(made, split, 0.2) for split in ("train", "validation")))
    for split, new in (("train", SEEN), ("validation", SEEN), ("test", "tilt")):
        (data,) = rendered_split(made, split, Image(64, 0.2), 8, noisy=False)
        assert set(what_is_new(seen, data.crystal, data.coordinates)) == {new}
