"""Inputs altered one thing at a time."""

from dataclasses import replace

import numpy as np
import pytest

from iphasenet.dataset.material_data import MaterialData
from iphasenet.evaluation.alterations import ALTERED_SAMPLES, FIELDS, alterations, chosen_samples, shuffled
from iphasenet.microscope.acquisition import Acquisition
from tests.unit.training.test_training import material

ACQUISITION = Acquisition(readout_electrons=0.5, gain_mismatch=0.02, jitter_angstrom=0.05)


def named(samples: int = 4, doses: tuple[float, ...] = (1e4, 1e6)) -> MaterialData:
    data = material(samples)
    more = {
        "tilt": np.arange(samples),
        "sample_id": np.array([f"GaN-tilt{i:04d}-rotation00-20nm" for i in range(samples)]),
    }
    return replace(data, doses=np.array(doses), coordinates={**data.coordinates, **more})


@pytest.mark.parametrize("field", list(FIELDS))
def test_shuffling_moves_every_row_of_its_field_and_nothing_else(field: str) -> None:
    metadata = np.arange(28, dtype=np.float32).reshape(7, 4)
    other = shuffled(metadata, field, "GaN")
    moved = list(FIELDS[field])
    assert (other[:, moved] != metadata[:, moved]).all()
    assert sorted(map(tuple, other[:, moved])) == sorted(map(tuple, metadata[:, moved]))
    kept = [column for column in range(4) if column not in moved]
    np.testing.assert_array_equal(other[:, kept], metadata[:, kept])


def test_each_noise_has_its_own_imperfection_alone() -> None:
    """Of constant images at a dose without shot noise to speak of, every imperfection leaves its own trace."""
    data = named()
    flat = replace(data, segments=np.full_like(data.segments, 0.05), doses=np.array([1e12]))
    found = {each.name: each.segments for each in alterations(flat, ACQUISITION) if each.kind == "noise"}
    assert list(found) == ["none", "shot", "shot+readout", "shot+gains", "shot+scan", "all"]
    np.testing.assert_array_equal(found["none"], flat.segments)
    # A displaced scan of a constant image is that image.
    for name in ("shot", "shot+scan", "shot+readout"):
        np.testing.assert_allclose(found[name], 0.05, rtol=1e-3)
    means = found["shot+gains"].mean(axis=(2, 3)) / 0.05
    assert 0.003 < means.std() < 0.06


def test_the_dose_is_the_nearest_and_what_cannot_be_altered_is_left_out() -> None:
    data = named(doses=(1e3, 2e5))
    data.noisy_segments[:, 1] += 1
    one_thickness = {**data.coordinates, "thickness_nm": np.full(4, 40.0)}
    found = list(alterations(replace(data, coordinates=one_thickness), Acquisition(gain_mismatch=0.1)))
    assert [each.name for each in found] == ["nothing", "tilt", "gamma", "all", "none", "shot", "shot+gains", "all"]
    for index in (0, -1):
        np.testing.assert_array_equal(found[index].segments, data.noisy_segments[:, 1])


def test_some_samples_are_chosen_with_all_that_belongs_to_them() -> None:
    data = named(samples=ALTERED_SAMPLES + 5)
    chosen = chosen_samples(data)
    assert len(chosen.potential) == ALTERED_SAMPLES == len(set(chosen.coordinates["sample_id"]))
    rows = chosen.coordinates["tilt"]
    np.testing.assert_array_equal(chosen.noisy_segments, data.noisy_segments[rows])
    np.testing.assert_array_equal(chosen.metadata, data.metadata[rows])
