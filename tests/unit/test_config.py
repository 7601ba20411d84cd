"""One clear line for every wrong configuration."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from iphasenet.config import check_configuration, crystals, selected_materials
from iphasenet.errors import InputError

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
SHIPPED = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())


def change(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def apply(config: dict[str, Any]) -> None:
        for key in path[:-1]:
            config = config[key]
        config[path[-1]] = value

    return apply


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """What Snakemake makes of config.yaml and a file that overrides some of its keys."""
    both = {key: merged(base[key], change[key]) for key in base if isinstance(change.get(key), dict)}
    return {**base, **change, **both}


@pytest.mark.parametrize(
    "name", ["demo.yaml", "laptop.yaml", "published.yaml", "reconstruction.yaml", "../tests/workflow/tiny.yaml"]
)
def test_shipped_configurations_are_accepted(name: str) -> None:
    check_configuration(SHIPPED, SCHEMA, ROOT)
    config = merged(SHIPPED, yaml.safe_load((ROOT / "config" / name).read_text()))
    check_configuration(config, SCHEMA, ROOT)
    assert config["run"] != SHIPPED["run"]


def test_every_key_of_the_schema_is_described_in_the_configurations_readme() -> None:
    text = (ROOT / "config" / "README.md").read_text()

    def keys(schema: dict[str, Any]) -> list[str]:
        own = schema.get("properties", {})
        nested = [s for s in [*own.values(), schema.get("additionalProperties")] if isinstance(s, dict)]
        return [*own, *(key for child in nested for key in keys(child))]

    missing = [key for key in keys(yaml.safe_load(SCHEMA.read_text())) if f"`{key}`" not in text]
    assert not missing


@pytest.mark.parametrize(
    ("apply", "parts"),
    [
        (change("optics", "semiangle_mard", value=20), ["optics.semiangle_mard", "semiangle_mrad"]),
        (change("grid", "thickness_nm", value=[20, -40]), ["grid.thickness_nm.1", "-40", "above 0"]),
        (change("image", "pixels", value=100), ["image.pixels", "100", "multiple of 32"]),
        (change("materials", "GaN", "cif", value="no.cif"), ["materials.GaN.cif", "no.cif", "CIF"]),
        (change("select", value=["GaN", "Unobtainium"]), ["select", "Unobtainium", "GaN, LiCoO2"]),
        (change("simulation", "device", value="tpu"), ["simulation.device", "tpu", "auto"]),
        (change("materials", "GaN", value={"cif": "x.cif"}), ["materials.GaN.zone_axis", "required"]),
        (change("optics", "detector_inner_mrad", value=60), ["detector_inner_mrad", "60", "inner < outer"]),
        (change("noise", "training_dose", value=[1e6, 1e3]), ["noise.training_dose"]),
        (change("seed", value="one"), ["seed", "'one'", "integer"]),
        (change("grid", "tilts", value=43.0), ["grid.tilts", "43.0", "integer"]),
        (change("grid", "thickness_nm", value=[20, 20.0001]), ["grid.thickness_nm", "20.0001", "rising"]),
        (change("grid", "thickness_nm", value=[20, float("inf")]), ["grid.thickness_nm.1", "inf"]),
        (change("noise", "evaluation_doses", value=[1e5, 1e5]), ["noise.evaluation_doses", "once"]),
        (change("training", "crop_pixels", value=512), ["training.crop_pixels", "512", "image.pixels"]),
        (change("training", "loss", value=dict.fromkeys(SHIPPED["training"]["loss"], 0)), ["training.loss"]),
        (change("training", "batch_size", value=15), ["training.batch_size", "15", "multiple"]),
        (change("model", "norm", value="batch"), ["model.norm", "'batch' with 2 training processes", "group"]),
        (change("training", "loss", "spread", value=0), ["training.loss.spread", "uncertainty true"]),
        (change("model", "uncertainty", value=False), ["training.loss.spread", "0.1", "uncertainty false"]),
        (change("optics", "aberrations", value={"astigmatism": 9}), ["training.augmentation", "symmetry", "none"]),
        (change("optics", "detector_outer_mrad", value=330), ["multislice.sampling_angstrom", "0.025", "330"]),
        (change("simulation", "multislice", "sampling_angstrom", value=0.2), ["sampling_angstrom", "0.2", "50"]),
        (change("optics", "aberrations", value={"C9": 1}), ["aberrations", "'C9'", "C30"]),
        (change("materials", "GaN", "zone_axis", value=[0, 0, 0]), ["materials.GaN.zone_axis", "direction"]),
        (change("run", value=".."), ["run", "'..'"]),
        (change("materials", False, value={}), ["materials.False", "text"]),
    ],
)
def test_what_is_wrong_is_named_in_one_line(apply: Callable[[dict[str, Any]], None], parts: list[str]) -> None:
    config = copy.deepcopy(SHIPPED)
    apply(config)
    with pytest.raises(InputError) as caught:
        check_configuration(config, SCHEMA, ROOT)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_a_selection_keeps_its_order_and_all_is_the_default() -> None:
    assert selected_materials(SHIPPED) == ["GaN", "LiCoO2", "PVSK", "MoS2", "KNbO3"]
    assert selected_materials({**SHIPPED, "select": ["MoS2", "GaN"]}) == ["MoS2", "GaN"]


def test_every_zone_axis_is_a_crystal_of_its_own() -> None:
    config = copy.deepcopy(SHIPPED)
    config["materials"]["GaN"]["zone_axes"] = [[0, 0, 1], [1, -1, 0]]
    check_configuration(config, SCHEMA, ROOT)
    named = crystals(config)
    assert list(named)[:2] == ["GaN_001", "GaN_1-10"] and "GaN" not in named
    assert named["GaN_1-10"] == {"cif": SHIPPED["materials"]["GaN"]["cif"], "zone_axis": [1, -1, 0]}
    assert selected_materials({**config, "select": ["MoS2", "GaN"]}) == ["MoS2", "GaN_001", "GaN_1-10"]
    assert selected_materials({**config, "select": ["GaN_1-10"]}) == ["GaN_1-10"]
    config["materials"]["GaN"]["zone_axes"] = [[0, 0, 0]]
    with pytest.raises(InputError, match=r"GaN_000.*\[0, 0, 0\]"):
        check_configuration(config, SCHEMA, ROOT)


def test_columns_need_small_tilts() -> None:
    config = copy.deepcopy(SHIPPED)
    config["grid"]["orientation"] = "any"
    with pytest.raises(InputError, match=r"model\.projection.*'any'.*direct"):
        check_configuration(config, SCHEMA, ROOT)
    config["model"]["projection"] = "direct"
    check_configuration(config, SCHEMA, ROOT)


def test_what_the_schema_calls_optional_may_be_left_out() -> None:
    config = copy.deepcopy(SHIPPED)
    for key in ("orientation", "edge_share", "wedge_share", "wedge_deg"):
        del config["grid"][key]
    config["training"]["source"] = "rendered"
    check_configuration(config, SCHEMA, ROOT)
    config["grid"]["edge_share"] = 0.1
    with pytest.raises(InputError, match=r"training\.source.*stored"):
        check_configuration(config, SCHEMA, ROOT)
