"""The field test by the workflow: images of another model, all ways and their tables."""

from pathlib import Path
from typing import Any

import pandas
import pytest
import yaml

from tests.workflow.conftest import snakemake

SETTINGS: dict[str, Any] = {
    "run": "tiny",
    "image": {"sampling_angstrom": 0.2},
    "drawn_optics": {"defocus_angstrom": [-20, 20]},
    "simulation": {
        "parametrization": "kirkland",
        "multislice": {"window_angstrom": 8, "thermal_passes": 1, "thermal_coarse_passes": 0},
    },
    "field_test": {
        "known": ["KNbO3"],
        "new": ["GaN"],
        "specimens_of_known": 2,
        "specimens_of_others": 1,
        "images": 1,
        "kinds": ["crystal", "vacancy"],
        "thickness_nm": [3],
        "thin_nm": [2],
        "pixels": [104],
        "doses": [1.0e5],
        "cell_angstrom": 8,
        "cell_multislice": {
            "sampling_angstrom": 0.16,
            "slice_thickness_angstrom": 1,
            "window_angstrom": 8,
            "thermal_passes": 1,
            "thermal_coarse_passes": 0,
            "memory_mb": 500,
        },
        "not_fitted": ["GaN"],
        # A fit takes minutes: tests/physics has them.
        "fit_nm": 0.5,
    },
}


def configured(workflow: Path, **test: Any) -> str:
    settings = {**SETTINGS, "field_test": {**SETTINGS["field_test"], **test}}
    (workflow / "config/field_tiny.yaml").write_text(yaml.safe_dump(settings))
    return "config/tiny.yaml config/field_tiny.yaml"


def test_all_ways_are_tried_and_summarised(workflow: Path) -> None:
    files = configured(workflow)
    result = snakemake(workflow, config=files)
    assert result.returncode == 0, result.stdout[-3000:]
    folder = workflow / "results/tiny/field"
    scores = pandas.read_csv(folder / "scores.csv", keep_default_na=False)
    assert set(scores["image"]) == {"KNbO3-0-0", "KNbO3-1-0", "GaN-0-0"}
    fits = scores[scores["way"] == "fit"].set_index("image")["refused"]
    assert fits.str.startswith("not tried").all()
    summary = pandas.read_csv(folder / "summary.csv")
    assert set(summary["group"]) == {"known", "new"} and summary["used"].max() == 2
    assert {"kind", "nominal_nm", "dose"} == set(pandas.read_csv(folder / "conditions.csv")["condition"])
    assert (folder / "pictures.png").stat().st_size > 20_000
    assert "Nothing to be done" in snakemake(workflow, "-n", config=files).stdout
    # Fits are no input of the simulation.
    again = snakemake(workflow, "-n", "--quiet", "rules", config=configured(workflow, fit_nm=2.5))
    assert "fit_specimen" in again.stdout and "simulate_specimen" not in again.stdout


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ({"new": ["SrTiO3"]}, "field_test: found 'SrTiO3'; allowed: materials of the run"),
        ({"new": ["KNbO3"]}, "field_test: found KNbO3 in two groups"),
        ({"any_weights": "resources/models/laptop.safetensors"}, "allowed: weights of a network for any crystal"),
        ({"weights": "none.safetensors"}, "field_test.weights: found 'none.safetensors', which does not exist"),
        ({"energies_kev": [1000]}, "simulation.multislice.sampling_angstrom: found"),
        ({"kinds": ["dislocation"]}, "dislocation"),
        ({"doses": []}, "doses"),
    ],
)
def test_bad_settings_are_one_line(workflow: Path, test: dict[str, Any], message: str) -> None:
    result = snakemake(workflow, "-n", config=configured(workflow, **test))
    lines = [line for line in result.stdout.splitlines() if message in line]
    assert result.returncode == 1 and len(lines) == 1 and "Traceback" not in result.stdout, result.stdout[-2000:]
