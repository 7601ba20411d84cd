"""What the structures decide is refused before anything runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from iphasenet.base.errors import InputError
from iphasenet.planning.crystal_check import check_crystals, main

ROOT = Path(__file__).parents[3]
GAN = {"cif": "resources/structures/GaN.cif", "zone_axis": [0, 0, 1]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rms_displacement_angstrom": {"Ga": 0.06, "Xx": 0.07}}, r"'Xx'; allowed: .* Ga, N$"),
        ({"zone_axis": [1, 2, 3]}, r"orthogonal along \[1 2 3\]"),
        ({"block": "other"}, "other"),
    ],
)
def test_what_a_structure_decides_is_one_line(change: dict[str, Any], message: str) -> None:
    check_crystals({"fine": GAN}, ROOT, 293)
    with pytest.raises(InputError, match=rf"^materials\.mine: .*{message}"):
        check_crystals({"fine": GAN, "mine": {**GAN, **change}}, ROOT, 293)


def test_displacements_of_atoms_at_rest_are_refused() -> None:
    warm = {**GAN, "rms_displacement_angstrom": {"Ga": 0.06}}
    check_crystals({"GaN": warm}, ROOT, 293)
    with pytest.raises(InputError, match=r"^materials\.GaN: .*rms_displacement_angstrom for Ga at temperature_k 0"):
        check_crystals({"GaN": warm}, ROOT)


def test_displacements_of_a_file_are_asked_for_only_where_atoms_move(tmp_path: Path) -> None:
    text = (ROOT / GAN["cif"]).read_text(encoding="utf-8")
    (tmp_path / "bad.cif").write_text(text.replace("0.0035", "-0.0035"), encoding="utf-8")
    bad = {"GaN": {**GAN, "cif": "bad.cif"}}
    check_crystals(bad, tmp_path, 0)
    with pytest.raises(InputError, match=r"^materials\.GaN: .*site Ga1: found U_iso that means U = -0\.0035"):
        check_crystals(bad, tmp_path, 293)


def test_a_refusal_is_the_only_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of a hundred materials as of one: they come in a file."""
    monkeypatch.chdir(ROOT)
    told, many = tmp_path / "told.json", {f"GaN{number}": GAN for number in range(100)}
    told.write_text(json.dumps({"materials": many, "temperature_k": 293}))
    main([str(told)])
    bad = {**GAN, "rms_displacement_angstrom": {"O": 0.1}}
    told.write_text(json.dumps({"materials": {**many, "GaN": bad}, "temperature_k": 293}))
    with pytest.raises(SystemExit) as stop:
        main([str(told)])
    line = str(stop.value)
    assert line.startswith("configuration: materials.GaN: ") and "\n" not in line and not any(capsys.readouterr())
