"""Thicknesses as whole slices."""

import numpy as np
import pytest

from iphasenet.base.errors import InputError
from iphasenet.crystal.slicing import Slicing


def test_two_thicknesses_of_the_same_slab_are_one_line() -> None:
    """20 and 20.05 nm of a crystal with a layer each 0.26 nm would be one slab under two labels."""
    slicing = Slicing(np.array([2.6, 2.6]), np.array([0, 1]), 0.0)
    assert slicing.exits([200.0, 202.0, 400.0]) == [77, 78, 154]
    line = r"found 20 and 20\.05 nm, which are the same 77 slices, 20\.02 nm; allowed"
    with pytest.raises(InputError, match=line):
        slicing.exits([100.0, 200.0, 200.5])
