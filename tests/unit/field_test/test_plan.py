"""Which images a field test has."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from iphasenet.base.errors import InputError
from iphasenet.field_test.plan import SUPERCELLS, field_specimens, specimen_named
from iphasenet.planning.field_settings import FieldTest


def configuration(**test: Any) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(Path("config/config.yaml").read_text(encoding="utf-8"))
    return {
        **config,
        "field_test": {"known": ["GaN", "KNbO3"], **test},
        "drawn_optics": {"defocus_angstrom": [-50, 50]},
    }


def test_a_specimen_does_not_depend_on_others() -> None:
    few = field_specimens(configuration(specimens_of_known=2))
    many = field_specimens(configuration(specimens_of_known=5, corpus=["MoS2"]))
    assert len(few) == 4 and len(many) == 12
    by_name = {specimen.name: specimen for specimen in many}
    assert all(by_name[specimen.name] == specimen for specimen in few)


def test_names_are_unique_and_found() -> None:
    config = configuration()
    names = [image.name for specimen in field_specimens(config) for image in specimen.images]
    assert len(set(names)) == len(names) == 48
    assert specimen_named(config, "KNbO3-1").material == "KNbO3"
    with pytest.raises(InputError, match="no specimen 'KNbO3-9'"):
        specimen_named(config, "KNbO3-9")


def test_kinds_follow_each_other_and_decide_about_thickness_and_energy() -> None:
    specimens = field_specimens(configuration(energies_kev=[300], thickness_nm=[30, 50], thin_nm=[5]))
    kinds = [specimen.kind for specimen in specimens if specimen.material == "GaN"]
    assert kinds == list(FieldTest(known=("GaN",)).kinds[:6])
    for specimen in specimens:
        thicknesses = {image.thickness_nm for image in specimen.images}
        assert thicknesses == ({5} if specimen.kind in SUPERCELLS else {30, 50})
        assert specimen.energy_kev == (300 if specimen.kind == "crystal" else 200)
        wedges = [image.wedge[1] > 0 for image in specimen.images]
        assert all(wedges) if specimen.kind == "wedge" else not any(wedges)


def test_what_a_microscope_tells_is_wrong_by_at_most_the_stated_errors() -> None:
    told = {"tilt_deg": 0.3, "thickness_percent": 10}
    errors = [image.told_error for one in field_specimens(configuration(told_roughly=told)) for image in one.images]
    tilts = [abs(error) for alpha, beta, _ in errors for error in (alpha, beta)]
    assert 0.25 < max(tilts) <= 0.3 and 0.08 < max(abs(error) for *_, error in errors) <= 0.1


def test_drawn_optics_lie_in_their_ranges_and_differ() -> None:
    foci = [image.microscope.defocus_angstrom for one in field_specimens(configuration()) for image in one.images]
    assert max(map(abs, foci)) <= 50 and len(set(foci)) == len(foci)


def test_groups_are_checked() -> None:
    with pytest.raises(InputError, match="found GaN in two groups"):
        FieldTest(known=("GaN",), new=("GaN",))
    with pytest.raises(InputError, match="found no material"):
        FieldTest(known=())
    with pytest.raises(InputError, match="kinds: found"):
        FieldTest(known=("GaN",), kinds=("dislocation",))  # type: ignore[arg-type]
