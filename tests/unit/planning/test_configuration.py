"""One clear line for every wrong configuration."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from iphasenet.base.errors import InputError
from iphasenet.microscope.acquisition import Acquisition, FixedNoise
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.settings import Numerics
from iphasenet.network.settings import ModelSettings
from iphasenet.planning import configuration_pages
from iphasenet.planning.configuration import (
    accuracy_settings,
    check_configuration,
    temperature,
)
from iphasenet.planning.configuration_form import check_form, check_keys, one_form
from iphasenet.planning.configuration_schema import configuration_schema
from iphasenet.planning.materials import crystals, selected_materials
from iphasenet.simulation.grid import Grid
from iphasenet.training.settings import LossWeights, TrainingSettings

ROOT = Path(__file__).parents[3]
GAN = "resources/structures/GaN.cif"
SHIPPED = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))


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
    check_configuration(SHIPPED, ROOT)
    config = merged(SHIPPED, yaml.safe_load((ROOT / "config" / name).read_text(encoding="utf-8")))
    check_configuration(config, ROOT)
    assert config["run"] != SHIPPED["run"]


def test_schema_and_tables_are_those_of_the_settings() -> None:
    """`make settings` writes both; every key has a row that says what it means."""
    assert (ROOT / configuration_pages.SCHEMA).read_text(encoding="utf-8") == configuration_pages.schema_page()
    readme = (ROOT / configuration_pages.README).read_text(encoding="utf-8")
    assert configuration_pages.readme_page(readme) == readme

    def keys(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        for key, part in schema.get("properties", {}).items():
            yield key, part
            yield from keys(part)
        others = schema.get("additionalProperties")
        yield from keys(others) if isinstance(others, dict) else ()

    for key, part in keys(configuration_schema()):
        assert part["description"], key
        assert "properties" in part or part["description"].split(" [")[0].rstrip(".") in readme, key


@pytest.mark.parametrize("place", ["settings", "own.wedge_07"])
def test_three_angles_under_rotation_are_told_the_new_keys(place: str) -> None:
    group: dict[str, Any] = {"rotation_deg": [0.3, -0.1, 12.5]}
    for name in reversed(place.split(".")):
        group = {name: group}
    with pytest.raises(InputError) as caught:
        check_configuration({**SHIPPED, "reconstruction": {"images": "images", **group}}, ROOT)
    assert str(caught.value) == (
        f"configuration: reconstruction.{place}.rotation_deg takes gamma alone: write tilt_deg: [0.3, -0.1] and "
        "rotation_deg: 12.5"
    )


@pytest.mark.parametrize(
    ("apply", "parts"),
    [
        (change("optics", "semiangle_mard", value=20), ["optics.semiangle_mard", "semiangle_mrad"]),
        (change("grid", "thickness_nm", value=[20, -40]), ["grid.thickness_nm.1", "-40", "at least 0.01"]),
        (change("image", "pixels", value=100), ["image.pixels", "100", "multiple of 32"]),
        (change("materials", "GaN", "cif", value="no.cif"), ["materials.GaN.cif", "no.cif", "CIF"]),
        (change("select", value=["GaN", "Unobtainium"]), ["select", "Unobtainium", "GaN, LiCoO2"]),
        (change("simulation", "device", value="tpu"), ["simulation.device", "tpu", "auto"]),
        (change("materials", "GaN", value={"cif": GAN}), ["materials.GaN.zone_axis is missing", "zone_axes"]),
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
        (change("optics", "detector_outer_mrad", value=330), ["multislice.sampling_angstrom", "0.08", "330"]),
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
        check_configuration(config, ROOT)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("value", [-5, 0.5, 3000])
def test_a_temperature_is_zero_or_real(value: float) -> None:
    config = copy.deepcopy(SHIPPED)
    config["simulation"]["temperature_k"] = value
    with pytest.raises(InputError, match=rf"simulation\.temperature_k.*{value:g}.*allowed"):
        check_configuration(config, ROOT)


def test_the_published_set_is_at_rest_whatever_the_shipped_one_is() -> None:
    """Its images follow from its own file."""
    published = yaml.safe_load((ROOT / "config" / "published.yaml").read_text(encoding="utf-8"))
    other = copy.deepcopy(SHIPPED)
    other["simulation"] |= {"temperature_k": 293}
    other["simulation"]["multislice"] |= {"sampling_angstrom": 0.05, "thermal_noise": 0.01, "window_angstrom": 30}
    other["image"], other["grid"]["thickness_nm"] = {"pixels": 128, "sampling_angstrom": 0.2}, [30]
    config = one_form(merged(other, published))
    check_configuration(config, ROOT)
    assert config["image"] == {"pixels": 256, "sampling_angstrom": 0.1}
    assert config["grid"]["thickness_nm"] == [20, 40, 60, 80, 100, 120, 150]
    assert temperature(config) == 0
    pixel, window = 0.1, 25.6
    assert accuracy_settings(config) == {
        "sampling_angstrom": pixel, "slice_thickness_angstrom": 0.3, "window_angstrom": window
    }  # fmt: skip


def test_settings_of_motion_count_only_where_atoms_move() -> None:
    config = copy.deepcopy(SHIPPED)
    config["simulation"] |= {"temperature_k": 0, "truth": "rest"}
    config["simulation"]["multislice"]["thermal_noise"] = 0.01
    assert "thermal_noise" not in accuracy_settings(config) and "truth" not in one_form(config)["simulation"]
    config["simulation"]["temperature_k"] = 293
    assert accuracy_settings(config)["thermal_noise"] == 0.01 and one_form(config)["simulation"]["truth"] == "rest"
    assert "memory_mb" not in accuracy_settings(config)


def test_a_selection_has_the_configurations_order_and_all_is_the_default() -> None:
    assert selected_materials(SHIPPED) == ["GaN", "LiCoO2", "PVSK", "MoS2", "KNbO3"]
    for select in (["MoS2", "GaN"], ["GaN", "MoS2"]):
        assert selected_materials({**SHIPPED, "select": select}) == ["GaN", "MoS2"]


def test_every_zone_axis_is_a_crystal_of_its_own() -> None:
    config = copy.deepcopy(SHIPPED)
    config["materials"]["GaN"]["zone_axes"] = [[0, 0, 1], [1, -1, 0]]
    check_configuration(config, ROOT)
    named = crystals(config)
    assert list(named)[:2] == ["GaN_001", "GaN_1-10"] and "GaN" not in named
    assert named["GaN_1-10"] == {"cif": SHIPPED["materials"]["GaN"]["cif"], "zone_axis": [1, -1, 0]}
    assert selected_materials({**config, "select": ["MoS2", "GaN"]}) == ["GaN_001", "GaN_1-10", "MoS2"]
    assert selected_materials({**config, "select": ["GaN_1-10"]}) == ["GaN_1-10"]
    config["materials"]["GaN"]["zone_axes"] = [[0, 0, 0]]
    with pytest.raises(InputError, match=r"GaN_000.*\[0, 0, 0\]"):
        check_configuration(config, ROOT)


def test_zone_axes_stand_alone() -> None:
    config = copy.deepcopy(SHIPPED)
    config["materials"]["Foo"] = {"cif": GAN, "zone_axes": [[0, 0, 1], [1, 0, 0]]}
    check_configuration(config, ROOT)
    assert selected_materials({**config, "select": ["Foo"]}) == ["Foo_001", "Foo_100"]


def rewritten(value: Any, rules: dict[str, Any], draw: Callable[[int], int]) -> Any:
    """Write the same configuration another way: numbers with a point, keys and unordered lists in another order."""
    if isinstance(value, dict):
        properties, others = rules.get("properties", {}), rules.get("additionalProperties")
        parts = {key: properties.get(key, others if isinstance(others, dict) else {}) for key in value}
        added = {key: part["default"] for key, part in properties.items() if "default" in part and key not in value}
        keys = sorted(value, key=lambda _key: draw(1000))
        added |= {"Xx": 0, "C10": 0.0} if rules.get("zero_if_absent") else {}
        return {key: rewritten(value[key], parts[key], draw) for key in keys} | (added if draw(2) else {})
    if isinstance(value, list):
        entries = [rewritten(entry, rules.get("items", {}), draw) for entry in value]
        if rules.get("direction") and draw(2):
            return [3 * entry for entry in entries]
        return sorted(entries, key=lambda _entry: draw(1000)) if rules.get("unordered") else entries
    if rules.get("path") and draw(2):
        return f"./resources/../{value}"
    is_number = isinstance(value, int) and not isinstance(value, bool) and rules.get("type") == "number"
    return float(value) if is_number and draw(2) else value


@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_what_means_the_same_has_one_form(data: st.DataObject) -> None:
    """By the schema's types, whatever the key."""
    config = copy.deepcopy(SHIPPED)
    config |= {"select": ["GaN", "MoS2"], "evaluation": {"turns": 4, "window_factors": [1.5, 2]}}
    config["materials"]["GaN"] |= {"zone_axes": [[0, 0, 1], [1, 0, 0]]}
    config["training"]["leave_out"] = {"materials": [], "thickness_nm": config["grid"]["thickness_nm"][:2]}
    rules = configuration_schema()
    other = rewritten(config, rules, lambda most: data.draw(st.integers(0, most - 1)))
    check_form(other)
    assert json.dumps(one_form(other)) == json.dumps(one_form(config))
    assert one_form(one_form(other)) == one_form(other)


def test_what_means_something_else_has_another_form() -> None:
    forms = [one_form(SHIPPED)]
    for path, value in (
        (("grid", "thickness_nm"), [20, 40, 60, 80, 100, 120, 150.5]),
        (("noise", "evaluation_doses"), [1e4, 1e3, 1e5, 1e6]),
        (("optics", "source_size_angstrom"), 0.5),
        (("optics", "semiangle_mrad"), 20.000001),
    ):
        config = copy.deepcopy(SHIPPED)
        change(*path, value=value)(config)
        forms.append(one_form(config))
    assert all(one != other for i, one in enumerate(forms) for other in forms[:i])


@pytest.mark.parametrize(
    ("section", "idle", "name", "effective"),
    [
        ("grid", {"wedge_share": 0}, "wedge_deg", {"wedge_share": 0.1}),
        ("grid", {"orientation": "any"}, "tilt_std_deg", {"orientation": "tilt"}),
        ("optics", {"aberrations": {"C12": 0}}, "phi12", {"aberrations": {"C12": 20}}),
        ("optics", {"aberrations": {"coma": 0}}, "phi21", {"aberrations": {"coma": 20}}),
        ("optics", {"aberrations": {"C56": 0}}, "phi56", {"aberrations": {"C56": 20}}),
    ],
)
def test_a_setting_without_effect_makes_no_other_form(
    section: str, idle: dict[str, Any], name: str, effective: dict[str, Any]
) -> None:
    """A wedge's angle without wedges, an aberration's direction without the aberration: nothing is made again."""

    def form(others: dict[str, Any], value: float) -> dict[str, Any]:
        config = copy.deepcopy(SHIPPED)
        config["model"]["projection"], config["training"]["augmentation"] = "direct", "none"
        config[section] |= copy.deepcopy(others)
        config[section].get("aberrations", config[section])[name] = value
        check_configuration(config, ROOT)
        return one_form(config)

    first, second = form(idle, 0.5), form(idle, 1.5)
    assert first == second == one_form(first)
    Grid(**first["grid"]), Microscope(**first["optics"])
    assert form(effective, 0.5) != form(effective, 1.5)


def test_the_shipped_configurations_plan_the_same_samples_as_they_are_written() -> None:
    for name in ("config.yaml", "demo.yaml", "laptop.yaml", "published.yaml"):
        config = merged(SHIPPED, yaml.safe_load((ROOT / "config" / name).read_text(encoding="utf-8")))
        formed = one_form(config)
        assert formed["seed"] == config["seed"]
        assert Grid(**formed["grid"]) == Grid(**config["grid"])
        assert Microscope(**formed["optics"]) == Microscope(**config["optics"])
        noise = [
            FixedNoise(c["noise"]["evaluation_doses"], Acquisition(**c["noise"]["acquisition"]))
            for c in (formed, config)
        ]
        assert noise[0] == noise[1]


def test_columns_need_small_tilts() -> None:
    config = copy.deepcopy(SHIPPED)
    config["grid"]["orientation"] = "any"
    with pytest.raises(InputError, match=r"model\.projection.*'any'.*direct"):
        check_configuration(config, ROOT)
    config["model"]["projection"] = "direct"
    check_configuration(config, ROOT)


def test_what_the_schema_calls_optional_may_be_left_out() -> None:
    config = copy.deepcopy(SHIPPED)
    for key in ("orientation", "edge_share", "wedge_share", "wedge_deg"):
        del config["grid"][key]
    config["training"]["source"] = "rendered"
    check_configuration(config, ROOT)
    config["grid"]["edge_share"] = 0.1
    with pytest.raises(InputError, match=r"training\.source.*stored"):
        check_configuration(config, ROOT)


@pytest.mark.parametrize(
    ("apply", "parts"),
    [
        (change("training", "learning_rate", value=float("nan")), ["training.learning_rate", "nan", "finite"]),
        (change("training", "weight_decay", value=float("inf")), ["training.weight_decay", "inf", "finite"]),
        (change("training", "loss", "l1", value=float("inf")), ["training.loss.l1", "finite"]),
        (change("image", "sampling_angstrom", value=float("nan")), ["image.sampling_angstrom", "finite"]),
        (change("noise", "evaluation_doses", value=[1e5, float("inf")]), ["evaluation_doses.1", "finite"]),
        (change("materials", "GaN", "rms_displacement_angstrom", value={"Ga": float("nan")}), ["Ga", "finite"]),
        (change("grid", "tilts", value=100_000_000), ["grid.tilts", "at most 10,000"]),
        (change("seed", value=10**400), ["seed", "digits"]),
        (change("seed", value=16**6000), ["seed", "digits"]),
        (change("seed", value=True), ["seed", "True", "integer"]),
        (change("optics", "semiangle_mrad", value=1e300), ["optics.semiangle_mrad", "1e+300", "at most 100 mrad"]),
        (change("image", "sampling_angstrom", value=1e-300), ["at least 0.01 and at most 1 Å"]),
        (change("optics", "aberrations", value={"defocus": 1e9}), ["defocus", "100,000 Å"]),
        (change("optics", "aberrations", value={"C12": 9, "phi12": 1e9}), ["phi12", "360 degrees"]),
        (change("noise", "acquisition", "drift_angstrom", value=11), ["drift_angstrom", "at most 10 Å"]),
        (change("run", value="tiny\n"), ["run", r"'tiny\n'", "matches"]),
        (change("run", value="x" * 300), ["run", "100 characters"]),
        (change("compare", value=["other\n"]), ["compare.0", "matches"]),
        (change("materials", "GaN\n", value=SHIPPED["materials"]["GaN"]), ["GaN", "matches"]),
        (change("storage", value="s3://bucket/a b"), ["storage", "matches"]),
        (change("title", value="a\0b"), ["title", "control"]),
        (change("title", value="\udcff"), ["title", "control"]),
        (change("materials", "GaN", "cif", value="{x}.cif"), ["materials.GaN.cif", "{x}.cif"]),
        (change("select", value=["GaN"] * 200_000), ["100,000 values"]),
        (
            change("training", "leave_out", "materials", value=["x" * 10_000]),
            ["leave_out.materials.0", "...", "100 characters"],
        ),
    ],
)
def test_numbers_and_texts_beyond_reason_are_one_line(
    apply: Callable[[dict[str, Any]], None], parts: list[str]
) -> None:
    config = copy.deepcopy(SHIPPED)
    apply(config)
    with pytest.raises(InputError) as caught:
        check_configuration(config, ROOT)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700
    for part in parts:
        assert part in str(caught.value)


def test_a_configuration_that_holds_itself_is_one_line() -> None:
    """YAML's anchors can repeat a part within itself, or some lines a million times."""
    config = copy.deepcopy(SHIPPED)
    config["materials"]["GaN"]["cif"] = config["materials"]
    with pytest.raises(InputError, match="20 levels"):
        check_configuration(config, ROOT)
    many: Any = "x"
    for _ in range(12):
        many = [many] * 12
    with pytest.raises(InputError, match="100,000 values"):
        check_configuration({**SHIPPED, "select": many}, ROOT)


def test_the_product_of_sane_numbers_is_limited() -> None:
    config = copy.deepcopy(SHIPPED)
    config["grid"].update(tilts=9_000, rotations=9_000)
    with pytest.raises(InputError, match=r"grid: found .*rotations.*at most 10,000,000"):
        check_configuration(config, ROOT)
    config["grid"].update(tilts=10_000, rotations=1)
    config["materials"] = {f"M{n}": SHIPPED["materials"]["GaN"] for n in range(6)}
    with pytest.raises(InputError, match=r"grid: found 60,000 of materials x tilts; allowed: at most 50,000"):
        check_configuration(config, ROOT)


def schema_parts(schema: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every schema within a schema, with the keys that lead to it."""
    if isinstance(schema, dict):
        yield path, schema
    for key, child in schema.items() if isinstance(schema, dict) else enumerate(schema):
        if isinstance(child, dict | list):
            yield from schema_parts(child, (*path, str(key)))


def test_every_number_and_list_of_the_schema_ends_somewhere() -> None:
    for path, part in schema_parts(configuration_schema()):
        kinds = part.get("type", [])
        if {"number", "integer"} & set([kinds] if isinstance(kinds, str) else kinds):
            assert {"minimum", "exclusiveMinimum"} & set(part) and {"maximum", "exclusiveMaximum"} & set(part), path
        if kinds == "array" and "enum" not in part["items"]:
            assert "maxItems" in part, path


@pytest.mark.parametrize(
    ("make", "section"),
    [
        (lambda values: Grid(**values), ("grid",)),
        (lambda values: Acquisition(**values), ("noise", "acquisition")),
        (lambda values: Microscope(**values), ("optics",)),
        (lambda values: ModelSettings(**values), ("model",)),
        (lambda values: TrainingSettings(**values), ("training",)),
        (lambda values: LossWeights(**values), ("training", "loss")),
    ],
)
def test_what_the_schema_refuses_no_dataclass_takes(make: Callable[..., Any], section: tuple[str, ...]) -> None:
    """Those who use the library meet the limits of those who configure the workflow."""
    rules, valid = configuration_schema(), SHIPPED
    for key in section:
        rules, valid = rules["properties"][key], valid[key]
    make(valid)
    for name, rule in rules["properties"].items():
        if rule.get("type") in ("number", "integer"):
            high = rule.get("maximum", rule.get("exclusiveMaximum"))
            low = rule.get("minimum", rule.get("exclusiveMinimum"))
            for value in (high * 1.01 + 1, low - 1, float("nan"), float("inf")):
                with pytest.raises(InputError, match=name):
                    make({**valid, name: value})


def test_what_the_schema_takes_a_simulation_takes() -> None:
    """Else a run would start, and one of its jobs refuse."""
    rules, valid = configuration_schema(), SHIPPED["simulation"]["multislice"]
    for name, rule in rules["properties"]["simulation"]["properties"]["multislice"]["properties"].items():
        for end in (rule["minimum"], rule["maximum"]):
            assert getattr(Numerics(**{**valid, name: end}), name) == end


def test_a_key_that_is_there_twice_is_named_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("run: a\ngrid:\n  tilts: 3\n  rotations: 2\n  tilts: 4\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"grid\.tilts: found twice in .*twice\.yaml, lines 3 and 5; allowed: once"):
        check_keys(path)
    for text in ("run: a\ngrid: {tilts: 3}\nimage: {tilts: 3}\n", '{"run": "a"}', "materials: &a {GaN: *a}\n", ""):
        path.write_text(text, encoding="utf-8")
        check_keys(path)
