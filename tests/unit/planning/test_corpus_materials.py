"""Crystals of a corpus in a configuration."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from iphasenet.base.errors import InputError
from iphasenet.planning.configuration import check_configuration, crystals
from iphasenet.planning.corpus_materials import corpus_splits, with_corpus

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
    expanded = with_corpus(configuration, ROOT)
    materials = expanded["materials"]
    assert len(materials) > 400 and all((ROOT / entry["cif"]).is_file() for entry in materials.values())
    # The published crystals are in the table too, and keep their names and zone axes.
    assert materials["GaN"] == configuration["materials"]["GaN"]
    assert len({entry["cif"] for entry in materials.values()}) == len(materials)
    # GaN of another source has another name.
    assert materials["GaN2"]["cif"].startswith("resources/crystals/")
    splits = corpus_splits(expanded, ROOT)
    assert set(splits) == set(crystals(expanded))
    held = {name for name, split in splits.items() if split != "train"}
    assert held == set(expanded["training"]["leave_out"]["materials"])
    check_configuration(configuration, ROOT)


def test_published_crystals_can_be_held_out_with_their_relatives(configuration: dict[str, Any]) -> None:
    published = ["GaN", "LiCoO2", "PVSK", "MoS2", "KNbO3"]
    configuration["corpus"]["hold_out"] = published
    splits = corpus_splits(with_corpus(configuration, ROOT), ROOT)
    assert {splits[name] for name in published} == {"test"}
    # Wurtzite of another crystal is a relative of GaN.
    assert {split for name, split in splits.items() if name.startswith("ZnOZincite")} == {"test"}


def test_a_configuration_without_a_corpus_stays_as_it_is() -> None:
    plain = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    assert with_corpus(plain) == plain and set(corpus_splits(plain).values()) == {"train"}


def test_an_empty_corpus_is_one_line(configuration: dict[str, Any]) -> None:
    configuration["corpus"] |= {"most_atoms": 1, "largest_area_angstrom2": 1}
    with pytest.raises(InputError, match=r"^resources/crystals\.csv: found no crystal with at most 1 atoms"):
        check_configuration(configuration, ROOT)


def test_detectors_that_may_be_drawn_must_fit_onto_the_grid(configuration: dict[str, Any]) -> None:
    configuration["drawn_optics"]["detector_outer_mrad"] = [40, 90]
    with pytest.raises(InputError, match=r"sampling_angstrom: found 0\.13; allowed: at most .*outer_mrad 90\.0"):
        check_configuration(configuration, ROOT)
