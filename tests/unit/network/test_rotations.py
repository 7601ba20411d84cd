"""Orientations of any size, turned and mirrored, against rotation matrices that slabs are cut by."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from iphasenet.crystal.slab import rotation_matrix
from iphasenet.network.rotations import beam_directions, crystal_rotation, rotation_angles, turned_about_beam
from iphasenet.network.symmetry import OPERATIONS, transformed
from iphasenet.reconstruction.preparation import turned_angles

ANGLE = st.floats(-720, 720)
ANGLES = st.tuples(ANGLE, ANGLE, ANGLE)

QUARTER = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]])
"""From x towards -y."""
MIRROR = np.diag([1, -1, 1])


@given(ANGLES)
@example((90.0, 20.0, 30.0))
@example((-90.0, 170.0, 300.0))
def test_angles_are_those_of_the_slabs_matrix(angles: tuple[float, float, float]) -> None:
    rotation = crystal_rotation(np.array(angles))
    np.testing.assert_allclose(rotation.as_matrix(), rotation_matrix(*angles), atol=1e-9)
    found = rotation_angles(rotation)
    np.testing.assert_allclose(rotation_matrix(*found), rotation_matrix(*angles), atol=1e-6)
    assert abs(found[0]) <= 90 + 1e-9 and abs(found[1]) <= 180 + 1e-9 and 0 <= found[2] <= 360
    np.testing.assert_allclose(beam_directions(np.array(angles)), rotation_matrix(*angles)[2], atol=1e-9)


@given(ANGLES, st.integers(0, OPERATIONS - 1))
@example((170.0, 30.0, 100.0), 0)
@example((31.0, -78.0, 200.0), 1)
@example((90.0, 0.0, 0.0), 3)
def test_an_augmented_crystal_has_the_angles_of_the_turned_one(angles: tuple[float, float, float], op: int) -> None:
    blank = torch.zeros(4, 2, 2), torch.zeros(2, 2)
    told = transformed(*blank, torch.tensor([20.0, *angles], dtype=torch.float64), op)[2].numpy()
    mirror = MIRROR if op >= 4 else np.eye(3)
    right = np.linalg.matrix_power(QUARTER, op % 4) @ mirror @ rotation_matrix(*angles) @ mirror
    np.testing.assert_allclose(rotation_matrix(*told[1:]), right, atol=1e-6)
    assert told[0] == 20


@given(ANGLES)
def test_no_turn_changes_nothing(angles: tuple[float, float, float]) -> None:
    metadata = torch.tensor([20.0, *angles], dtype=torch.float64)
    assert torch.equal(transformed(torch.zeros(4, 2, 2), torch.zeros(2, 2), metadata, 0)[2], metadata)
    np.testing.assert_array_equal(turned_about_beam(np.array(angles), 0), angles)


@given(ANGLES, ANGLE)
def test_a_users_crystal_is_turned_as_a_whole(angles: tuple[float, float, float], turn: float) -> None:
    alpha, beta, gamma = angles
    found = turned_angles((alpha, beta), gamma, turn)
    np.testing.assert_allclose(
        rotation_matrix(*found), rotation_matrix(0, 0, -turn) @ rotation_matrix(*angles), atol=1e-6
    )


def test_small_tilts_turn_as_leans_do() -> None:
    """(alpha, beta) of (0.3°, -0.2°) by a quarter turn: the axis's direction is a vector of the image."""
    found = turned_about_beam(np.array([0.3, -0.2, 40.0]), -90.0)
    assert tuple(found) == pytest.approx((-0.2, -0.3, 310.0), abs=2e-3)
