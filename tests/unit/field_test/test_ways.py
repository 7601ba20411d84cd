"""Ways from an image to the potential."""

from dataclasses import replace

import numpy as np
import pytest

from iphasenet.base.errors import InputError
from iphasenet.field_test.fits import FieldFit, not_fitted
from iphasenet.field_test.plan import field_specimens
from iphasenet.field_test.recording import Recorder
from iphasenet.field_test.ways import BASELINES, TOLD_BASELINES, WAYS, Result, Ways
from iphasenet.microscope.acquisition import Acquisition
from iphasenet.planning.field_settings import FieldTest
from tests.unit.field_test.test_plan import configuration

TEST = FieldTest(known=("GaN",))
TOLD = {"thickness_nm": 30.0, "tilt_deg": (0.2, -0.1), "rotation_deg": 10.0}
ROUGHLY = {**TOLD, "tilt_deg": (0.3, 0.0)}


def segments(side: int = 104) -> np.ndarray:
    """Images that look like those of columns on a square lattice."""
    place = np.arange(side) * 0.2
    pattern = np.cos(2 * np.pi * place / 4)[None] + np.cos(2 * np.pi * place / 4)[:, None]
    return (0.12 - 0.01 * np.stack(4 * [pattern])).astype(np.float32)


@pytest.fixture(scope="module")
def ways() -> Ways:
    return Ways.load(TEST)


def tried(ways: Ways, fitted: FieldFit, is_known: bool = True, side: int = 104) -> dict[str, Result]:
    image = replace(field_specimens(configuration())[0].images[0], dose=1e6)
    recorded = Recorder(0.2, Acquisition(), 0.0, 0.0, 1).image(image, segments(side))
    return {result.way: result for result in ways.results(recorded, is_known, TOLD, ROUGHLY, fitted)}


def test_every_way_is_tried_and_a_fit_that_was_refused_says_why(ways: Ways) -> None:
    results = tried(ways, not_fitted("no lattice"))
    assert set(results) == {*WAYS, *BASELINES, *TOLD_BASELINES}
    assert results["fit"].refused == results["fit + network"].refused == "no lattice"
    assert not any(result.refused for way, result in results.items() if not way.startswith("fit"))
    # The network of a few crystals has pixels of 0.2 Å, that for any crystal of 0.3 Å.
    assert (results["told exactly"].sampling, results["nothing told"].sampling) == (0.2, 0.3)
    assert {"thickness_nm", "alpha_deg_error", "expected_pearson"} <= set(results["nothing told"].found)


def test_an_unknown_crystal_is_given_to_the_network_for_any(ways: Ways) -> None:
    results = tried(ways, not_fitted("no lattice"), is_known=False)
    assert results["told exactly"].sampling == 0.3 and results["told exactly"].columns_error is not None
    # What is told is not estimated.
    assert "thickness_nm" not in results["told exactly"].found


def test_the_fit_tells_the_network_what_it_has_found(ways: Ways) -> None:
    parameters = {"thickness_nm": 30.0, "alpha_deg": 0.2, "beta_deg": -0.1, "gamma_deg": -350.0}
    told = {"parameters": {name: {"value": value, "error": 0.01} for name, value in parameters.items()},
            "unexplained": 0.001, "seconds": 12.0}  # fmt: skip
    potential = np.ones((104, 104), np.float32)
    results = tried(ways, FieldFit(told, potential, potential))
    exactly, fitted = results["told exactly"].potential, results["fit + network"].potential
    assert exactly is not None and fitted is not None
    np.testing.assert_allclose(fitted, exactly, rtol=1e-4)
    assert results["fit"].seconds == 12 and results["fit"].potential is potential


def test_baselines_are_bright_on_columns_and_the_told_ones_are_projected(ways: Ways) -> None:
    results = tried(ways, not_fitted("no lattice"))
    pattern = -segments().sum(axis=0)
    for name in ("sum", "sum to the 4th power"):
        found, projected = results[name].columns, results[f"{name}, told"].potential
        assert found is not None and projected is not None and not results[name].scaled
        assert np.corrcoef(found.ravel(), pattern.ravel())[0, 1] > 0.8
        # Columns of 30 nm lean over 1.2 Å: less contrast.
        assert projected.std() < 0.95 * found.std()


def test_a_field_that_is_too_small_is_refused_by_one_network_alone(ways: Ways) -> None:
    results = tried(ways, not_fitted("no lattice"), side=80)
    assert "allowed: at least 64" in results["nothing told"].refused and not results["told exactly"].refused


def test_networks_of_the_wrong_kind_are_refused() -> None:
    few, any_crystal = TEST.weights, TEST.any_weights
    with pytest.raises(InputError, match=r"any_weights: found .*laptop"):
        Ways.load(replace(TEST, any_weights=few))
    with pytest.raises(InputError, match="found a network for any crystal"):
        Ways.load(replace(TEST, weights=any_crystal))
