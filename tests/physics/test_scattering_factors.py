"""Scattering factors against abTEM's functions and published values."""

import numpy as np
import pytest
from abtem.parametrizations import validate_parametrization

from iphasenet.crystal.scattering_factors import PARAMETRIZATIONS, projected_scattering_factor, scattering_tables

SQUARED = np.linspace(0, 60, 500) ** 2


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
def test_every_element_has_the_scattering_factor_of_abtem(parametrization):
    theirs = validate_parametrization(parametrization)
    assert set(scattering_tables(parametrization)) == set(theirs.parameters)
    for symbol in theirs.parameters:
        expected = theirs.projected_scattering_factor(symbol)(SQUARED)
        # abTEM sums in single precision large terms of opposite sign: He has lost four digits by that, O five.
        error = np.abs(projected_scattering_factor(symbol, SQUARED, parametrization) - expected).max()
        assert error < 1.2e-4 * expected[0] if symbol == "He" else error < 2e-5 * expected[0]


def test_forward_scattering_of_gold_and_oxygen_is_that_of_the_tables_of_doyle_and_turner():
    # Doyle & Turner, Acta Cryst. A24, 390 (1968), f(0) in Å: relativistic Hartree-Fock, as in both tables.
    for symbol, published in (("O", 1.983), ("Au", 10.573)):
        for parametrization in PARAMETRIZATIONS:
            found = projected_scattering_factor(symbol, np.zeros(1), parametrization)[0] / 47.878
            assert found == pytest.approx(published, rel=0.03)
