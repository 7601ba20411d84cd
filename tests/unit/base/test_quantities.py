"""Ranges of numbers, and their words."""

import argparse

import pytest

from iphasenet.base.errors import InputError
from iphasenet.base.quantities import TEMPERATURE


def test_zero_may_be_allowed_beside_a_range():
    assert [TEMPERATURE.holds(value) for value in (0, 0.0, 1, 293.5, 2000)] == [True] * 5
    assert not any(TEMPERATURE.holds(value) for value in (-1, 0.5, 2000.1, float("nan"), False, True))
    assert TEMPERATURE("0") == 0
    with pytest.raises(argparse.ArgumentTypeError, match=r"found '0\.5'; allowed: 0, or 1 to 2,000 K"):
        TEMPERATURE("0.5")
    with pytest.raises(InputError, match=r"temperature: found -3 K; allowed: 0, or 1 to 2,000 K"):
        TEMPERATURE.check(-3, "temperature")
