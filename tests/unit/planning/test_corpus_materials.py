"""Crystals of a corpus in a configuration."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from iphasenet.base.errors import InputError
from iphasenet.crystal.structure import crystal_cell
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.multislice.periodic_images import simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.network.column_settings import ColumnModel
from iphasenet.network.weights import load_column_weights
from iphasenet.planning.configuration import check_configuration
from iphasenet.planning.corpus_materials import with_corpus
from iphasenet.planning.materials import crystals
from iphasenet.simulation.drawn_optics import PlannedOptics

ROOT = Path(__file__).parents[3]


def merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """What Snakemake makes of two configuration files."""
    both = {
        key: merged(first[key], value) if isinstance(value, dict) and isinstance(first.get(key), dict) else value
        for key, value in second.items()
    }
    return first | both


@pytest.fixture
def configuration() -> dict[str, Any]:
    """The configuration of hundreds of crystals."""
    first, second = (yaml.safe_load((ROOT / "config" / name).read_text()) for name in ("config.yaml", "crystals.yaml"))
    return merged(first, second)


def test_the_corpus_is_added_to_the_materials(configuration: dict[str, Any]) -> None:
    expanded, splits = with_corpus(configuration, ROOT)
    materials = expanded["materials"]
    assert len(materials) > 400 and all((ROOT / entry["cif"]).is_file() for entry in materials.values())
    # The published crystals are in the table too, and keep their names and zone axes.
    assert materials["GaN"] == configuration["materials"]["GaN"]
    assert len({entry["cif"] for entry in materials.values()}) == len(materials)
    # GaN of another source has another name.
    assert materials["GaN2"]["cif"].startswith("resources/crystals/")
    assert set(splits) == set(crystals(expanded))
    held = {name for name, split in splits.items() if split != "train"}
    assert held == set(expanded["training"]["leave_out"]["materials"])
    check_configuration(configuration, ROOT)


@pytest.mark.parametrize("name", ["energy_80kev.yaml", "energy_300kev.yaml", "crystals_gpu.yaml"])
def test_changes_of_it_hold_all_angles_that_are_drawn(configuration: dict[str, Any], name: str) -> None:
    """A grid that is too coarse for the widest detector would be refused."""
    changed = merged(configuration, yaml.safe_load((ROOT / "config" / name).read_text()))
    check_configuration(changed, ROOT)
    numerics = Numerics(**changed["simulation"]["multislice"])
    cell = crystal_cell(changed["materials"]["GaN"], ROOT, 0.0)
    potential = sampled_potential(cell, numerics.sampling_angstrom, 0.3, "lobato")
    made = simulate_images(potential, PlannedOptics.of(changed).widest, numerics, [20.0])
    mean = made.coefficients[0, 0, :, made.coefficients.shape[-2] // 2, made.coefficients.shape[-1] // 2].real
    assert 0 < mean.sum() < 1


@pytest.mark.parametrize("start", ["README.md", "resources/models/laptop.safetensors", "none.safetensors"])
def test_weights_to_begin_with_are_checked_before_anything_is_simulated(
    configuration: dict[str, Any], start: str
) -> None:
    configuration["column_network"]["training"]["start"] = str(ROOT / start)
    with pytest.raises(InputError, match=r"training\.start: found .*; allowed: weights of a network for any crystal"):
        check_configuration(configuration, ROOT)


def test_a_crystal_that_is_not_there_is_told_with_those_of_like_names(configuration: dict[str, Any]) -> None:
    configuration["select"] = ["LiCoO"]
    with pytest.raises(InputError, match=r"found 'LiCoO' .perhaps LiCoO2.*; allowed: .* and \d+ more") as told:
        check_configuration(configuration, ROOT)
    assert len(str(told.value)) < 400


def test_published_crystals_can_be_held_out_with_their_relatives(configuration: dict[str, Any]) -> None:
    published = ["GaN", "LiCoO2", "PVSK", "MoS2", "KNbO3"]
    configuration["corpus"]["hold_out"] = published
    _, splits = with_corpus(configuration, ROOT)
    assert {splits[name] for name in published} == {"test"}
    # Wurtzite of another crystal is a relative of GaN.
    assert {split for name, split in splits.items() if name.startswith("ZnOZincite")} == {"test"}


def test_a_configuration_without_a_corpus_stays_as_it_is() -> None:
    plain = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    expanded, splits = with_corpus(plain)
    assert expanded == plain and set(splits.values()) == {"train"}


def test_an_empty_corpus_is_one_line(configuration: dict[str, Any]) -> None:
    configuration["corpus"] |= {"most_atoms": 1, "largest_area_angstrom2": 1}
    with pytest.raises(InputError, match=r"^resources/crystals\.csv: found no crystal with at most 1 atoms"):
        check_configuration(configuration, ROOT)


def test_detectors_that_may_be_drawn_must_fit_onto_the_grid(configuration: dict[str, Any]) -> None:
    configuration["drawn_optics"]["detector_outer_mrad"] = [40, 90]
    with pytest.raises(InputError, match=r"sampling_angstrom: found 0\.13; allowed: at most .*outer_mrad 90\.0"):
        check_configuration(configuration, ROOT)


def test_a_selection_keeps_what_is_held_out_of_it(configuration: dict[str, Any]) -> None:
    _, splits = with_corpus(configuration, ROOT)
    one = {split: next(name for name, found in splits.items() if found == split) for split in set(splits.values())}
    configuration["select"] = list(one.values())
    expanded, _ = with_corpus(configuration, ROOT)
    assert set(expanded["training"]["leave_out"]["materials"]) == {one["validation"], one["test"]}
    check_configuration(configuration, ROOT)
    configuration["select"] = [one["train"], one["test"]]
    with pytest.raises(InputError, match="column_network: found no crystal in the split 'validation'"):
        check_configuration(configuration, ROOT)


def test_a_file_is_the_same_however_its_path_is_written(configuration: dict[str, Any]) -> None:
    plain = with_corpus(configuration, ROOT)[0]["materials"]
    configuration["corpus"]["folder"] = "config/../resources"
    assert with_corpus(configuration, ROOT)[0]["materials"].keys() == plain.keys()


def test_materials_that_a_user_leaves_out_are_not_trained_on(configuration: dict[str, Any]) -> None:
    configuration["training"]["leave_out"] = {"materials": ["GaN"], "thickness_nm": []}
    assert with_corpus(configuration, ROOT)[1]["GaN"] == "test"


@pytest.mark.parametrize(
    ("section", "key", "value", "reason"),
    [
        ("grid", "edge_share", 0.5, "found crystals without periodic images"),
        ("training", "leave_out", {"materials": [], "thickness_nm": [10]}, "thickness_nm, which has no effect here"),
    ],
)
def test_a_network_that_could_not_be_trained_is_refused_at_once(
    configuration: dict[str, Any], section: str, key: str, value: Any, reason: str
) -> None:
    configuration[section][key] = value
    with pytest.raises(InputError, match=reason):
        check_configuration(configuration, ROOT)


def test_a_batch_larger_than_an_epoch_is_refused(configuration: dict[str, Any]) -> None:
    configuration["column_network"]["training"]["batch_size"] = 9000
    with pytest.raises(InputError, match=r"batch_size: found 9000; allowed: at most crops_per_epoch, 8000"):
        check_configuration(configuration, ROOT)


def test_a_network_for_any_crystal_takes_no_other_runs_network(configuration: dict[str, Any]) -> None:
    configuration["trained"] = "other"
    with pytest.raises(
        InputError, match=r"column_network: found trained 'other'.*allowed: column_network.training.start"
    ):
        check_configuration(configuration, ROOT)


def test_the_shipped_network_has_seen_no_relative_of_a_test_crystal(configuration: dict[str, Any]) -> None:
    """Of the crystals that the weights name, each is one of training, and those that validated it of validation."""
    network, described = load_column_weights(ROOT / "resources/models/crystals.safetensors")
    changed = yaml.safe_load((ROOT / "config/crystals_gpu.yaml").read_text())["column_network"]["model"]
    assert network.settings == ColumnModel(**{**configuration["column_network"]["model"], **changed})
    _, splits = with_corpus(configuration, ROOT)
    assert {splits[name] for name in described["crystals"]} == {"train"}
    assert {splits[name] for name in described["validated_on"]} == {"validation"}
    assert len(described["crystals"]) >= 250
