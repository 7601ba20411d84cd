"""The network for any crystal by the workflow: crystals of a table, drawn optics, training and test."""

from pathlib import Path

import pandas
import yaml

from iphasenet.network.weights import load_column_weights
from tests.workflow.conftest import snakemake

CRYSTALS = ("NaCl-Halite", "Si-Silicon", "ZrO2-Cubic")
SETTINGS = {
    "run": "tiny",
    "corpus": {
        "table": "resources/few.csv", "folder": "resources", "largest_area_angstrom2": 30, "zone_axes": 1,
        "validation_families": 1, "test_families": 1,
    },
    "drawn_optics": {"defocus_angstrom": [-50, 50]},
    "simulation": {"multislice": {"window_angstrom": 4, "thermal_passes": 1, "thermal_coarse_passes": 0}},
    "noise": {"evaluation_doses": [1e5]},
    "column_network": {
        "model": {"width": 8, "resolution_angstrom": 0.6},
        "training": {
            "seed": 1, "epochs": 1, "crops_per_epoch": 16, "validation_crops": 8, "crop_pixels": 64, "batch_size": 8,
            "learning_rate": 1.0e-3, "weight_decay": 0,
        },
    },
}  # fmt: skip


def test_a_network_for_any_crystal_is_made_and_tested(workflow: Path) -> None:
    table = pandas.read_csv(workflow / "resources/crystals.csv", keep_default_na=False)
    few = table[table["name"].isin(CRYSTALS)]
    assert len(few) == len(CRYSTALS)
    few.to_csv(workflow / "resources/few.csv", index=False)
    # Three crystals are too few for families of at most a twentieth, so that each is small.
    names = [name.replace("-", "") for name in CRYSTALS]
    (workflow / "config/columns.yaml").write_text(yaml.safe_dump({**SETTINGS, "select": names}))
    files = "config/tiny.yaml config/columns.yaml"
    result = snakemake(workflow, config=files)
    assert result.returncode == 0, result.stdout[-3000:]
    folder = workflow / "results/tiny/columns"
    _, described = load_column_weights(folder / "weights.safetensors")
    assert len(described["crystals"]) == len(described["validated_on"]) == 1
    scores = pandas.read_parquet(folder / "scores.parquet")
    seen, unseen = (set(scores.loc[scores["seen"] == which, "material"]) for which in (True, False))
    assert seen == set(described["crystals"]) and len(unseen) == 1
    assert not unseen & {*described["crystals"], *described["validated_on"]}
    again = snakemake(workflow, "-n", config=files)
    assert "Nothing to be done" in again.stdout, again.stdout[-2000:]
    # Samples record the optics that were drawn for them.
    name = next(iter(unseen))
    made = snakemake(workflow, f"results/tiny/materials/{name}.zarr", config=files)
    assert made.returncode == 0, made.stdout[-2000:]
    import zarr

    defocus = zarr.open_group(workflow / f"results/tiny/materials/{name}.zarr", mode="r")["defocus"][:]
    # Thicknesses of one rotation of a tilt share their optics.
    assert len(set(defocus)) == 6 and abs(defocus).max() <= 50
