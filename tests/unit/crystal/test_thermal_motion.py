"""Displacements of a CIF: which are taken, turned by symmetry as gemmi's structure factors have it, and refused."""

import re
import warnings
from pathlib import Path

import gemmi
import numpy as np
import pytest
from ase import Atoms
from ase.cell import Cell

from iphasenet.base.errors import InputError, InputWarning
from iphasenet.crystal.cif import read_crystal
from iphasenet.crystal.structure import crystal_cell, orthogonal_cell, read_structure
from iphasenet.crystal.thermal_motion import DEFAULT_U, einstein_ratio, mean_displacements, thermal_motion
from tests.unit.crystal.test_cif import COLUMNS, CUBE, FM3M, HEXAGONAL, MONOCLINIC, all_operations, name, text_of

ROOT = Path(__file__).resolve().parents[3]
SMALL = (3.5, 3.5, 3.5, 90, 90, 90)
TRICLINIC = (4.1, 5.2, 6.3, 81, 97, 103)
P1 = name("P 1")
ANISO = "loop_\n_atom_site_aniso_label\n" + "\n".join(
    f"_atom_site_aniso_U_{part}" for part in ("11", "22", "33", "23", "13", "12")
)


def write(folder: Path, *told: str, **more) -> Path:
    path = folder / "told.cif"
    path.write_text(text_of(*told, **more), encoding="utf-8")
    return path


def tensors(path: Path, temperature_k: float = 293.0) -> np.ndarray:
    return read_structure(path, temperature_k=temperature_k).arrays["displacements"]


def test_a_cell_says_where_the_displacements_of_its_elements_come_from() -> None:
    crystal = {"cif": "resources/structures/PVSK.cif", "zone_axis": [0, 0, 1], "rms_displacement_angstrom": {"C": 0.2}}
    cell = crystal_cell(crystal, ROOT, 293)
    assert cell.info["displacements_from"] == {
        "C": "configured",
        "H": "U_iso",
        "I": "U_ij",
        "N": "U_iso",
        "Pb": "U_iso",
    }
    # The file's own numbers: U of the iodines, and u² of the others.
    means = mean_displacements(cell)
    assert means["C"] == pytest.approx(0.2) and means["Pb"] == pytest.approx(np.sqrt(0.03))
    assert means["I"] == pytest.approx(np.sqrt(0.0657), rel=1e-2)
    still = crystal_cell({key: crystal[key] for key in ("cif", "zone_axis")}, ROOT)
    assert "displacements_from" not in still.info and mean_displacements(still) == {}


SOURCES = {
    "U_ij before U_iso": ("U_iso_or_equiv", ".02", f"{ANISO}\nO1 .01 .01 .01 0 0 0", "U_ij", 0.01),
    "B_ij": ("U_iso_or_equiv", ".02", f"{ANISO}\nO1 .8 .8 .8 0 0 0".replace("U_", "B_"), "B_ij", 0.8 / 78.9568),
    # The cell is a cube of 5.64 Å: beta = 2 pi² U / 5.64².
    "beta_ij": (
        *("U_iso_or_equiv", ".02"),
        f"{ANISO}\nO1 .0062054 .0062054 .0062054 0 0 0".replace("U_", "beta_"),
        *("beta_ij", 0.01),
    ),
    "new names": ("U_iso_or_equiv", ".02", f"{ANISO}\nO1 .01 .01 .01 0 0 0".replace("aniso_", "aniso."), "U_ij", 0.01),
    "another label's tensor": ("U_iso_or_equiv", ".02", f"{ANISO}\nO2 .01 .01 .01 0 0 0", "U_iso", 0.02),
    "an unknown tensor": ("U_iso_or_equiv", ".02", f"{ANISO}\nO1 .01 ? .01 0 0 0", "U_iso", 0.02),
    "a tensor of zeros": ("U_iso_or_equiv", ".02", f"{ANISO}\nO1 0 0 0 0 0 0", "U_iso", 0.02),
    "with its error": ("U_iso_or_equiv", ".0200(12)", "", "U_iso", 0.02),
    "B_iso": ("B_iso_or_equiv", "0.5", "", "B_iso", 0.5 / 78.9568),
    "zero": ("U_iso_or_equiv", "0.0000", "", "estimate", DEFAULT_U),
    "unknown": ("U_iso_or_equiv", "?", "", "estimate", DEFAULT_U),
    "a point": ("B_iso_or_equiv", ".", "", "estimate", DEFAULT_U),
}


@pytest.mark.parametrize(("column", "value", "more", "source", "u"), SOURCES.values(), ids=SOURCES)
def test_where_displacements_come_from(tmp_path, column, value, more, source, u):
    path = write(tmp_path, P1, more, sites=(f"O1 O 0 0 0 {value}",), columns=f"{COLUMNS} {column}")
    (motion,), notes = thermal_motion(read_crystal(path), 293)
    assert motion.source == source
    np.testing.assert_allclose(motion.tensor, u * np.eye(3), rtol=1e-4, atol=1e-12)
    strays = ["found displacement tensors of O2, which no site is called; they are not used"] * ("O2" in more)
    assert notes[: len(strays)] == tuple(strays)
    assert len(notes) == len(strays) + (source == "estimate")
    # A configuration replaces it, and is not scaled with temperature.
    (motion,), notes = thermal_motion(read_crystal(path), 600, {"O": 0.1})
    assert (motion.source, notes) == ("configured", ())
    np.testing.assert_allclose(motion.tensor, 0.01 * np.eye(3))


def test_an_estimate_is_said_in_one_line_and_a_crystal_at_rest_needs_none(tmp_path):
    path = write(tmp_path, FM3M)
    with pytest.warns(InputWarning, match=r"found no displacements of Cl, Na; U = 0.0076 Å² at 293 K") as caught:
        atoms = read_structure(path, temperature_k=293)
    assert len(caught) == 1
    np.testing.assert_allclose(atoms.arrays["displacements"], np.tile(0.0076 * np.eye(3), (8, 1, 1)))
    assert not read_structure(path).has("displacements")


GROUPS = {
    "P -1": TRICLINIC,
    "P 1 21/c 1": MONOCLINIC,
    "P 63 m c": HEXAGONAL,
    "R -3 m:H": (2.8, 2.8, 14.0, 90, 90, 120),
    "P 3 1 2": (4.9, 4.9, 5.4, 90, 90, 120),
    "I 41/a m d:2": (3.8, 3.8, 9.5, 90, 90, 90),
    "F d -3 m:1": (8.1, 8.1, 8.1, 90, 90, 90),
}
PLACES = {"P 63 m c": ".33333333 .66666667 .1", "R -3 m:H": "0 0 .24"}
ORDERED = ".012 .012 .020 0 0 .006"
"""A tensor that threefold and sixfold axes along c obey."""


@pytest.mark.parametrize("group", GROUPS)
def test_structure_factors_are_those_of_gemmi(tmp_path, group):
    """Tensors turned by symmetry, occupancies, places: against gemmi, which turns the reflections instead."""
    place, u = PLACES.get(group, ".11 .17 .23"), ORDERED if group in PLACES else ".012 .018 .026 .003 -.004 .002"
    sites = (f"Ca1 Ca {place} .8 .01",)
    columns = COLUMNS + " occupancy U_iso_or_equiv"
    # Far apart, so that no occupancy excludes another.
    cell = tuple(6 * v if k < 3 else v for k, v in enumerate(GROUPS[group]))
    path = write(tmp_path, all_operations(group), f"{ANISO}\nCa1 {u}", sites=sites, columns=columns, cell=cell)
    with pytest.warns(InputWarning, match="found only Ca"):
        atoms = read_structure(path, temperature_k=293)
    small = gemmi.read_small_structure(str(path))
    small.change_occupancies_to_crystallographic()
    calculator = gemmi.StructureFactorCalculatorX(small.cell)
    inverse = np.linalg.inv(atoms.cell[:])
    for hkl in ([6, 0, 0], [8, 4, 12], [-18, 12, 30], [16, -16, 28], [24, 12, 0], [0, 8, 32]):
        g = inverse @ hkl
        damping = np.exp(-2 * np.pi**2 * np.einsum("i,aij,j->a", g, atoms.arrays["displacements"], g))
        waves = np.exp(2j * np.pi * atoms.get_scaled_positions() @ hkl)
        found = (atoms.arrays["occupancies"] * damping * waves).sum()
        found *= gemmi.Element("Ca").it92.calculate_sf(g @ g / 4)
        assert found == pytest.approx(calculator.calculate_sf_from_small_structure(small, hkl), abs=2e-3)


def test_a_tensor_in_the_exponent_means_the_same_on_oblique_axes(tmp_path):
    """beta_ij = 2 pi² a*_i a*_j U_ij, with the reciprocal lengths of a triclinic cell."""
    u = [0.012, 0.018, 0.026, 0.003, -0.004, 0.002]
    inverse = np.linalg.inv(Cell.fromcellpar(TRICLINIC)[:])
    a, b, c = np.linalg.norm(inverse, axis=0)
    factors = 2 * np.pi**2 * np.array([a * a, b * b, c * c, b * c, a * c, a * b])
    found = []
    for tag, values in (("U_", u), ("beta_", factors * u)):
        told = f"{ANISO}\nNa1 {' '.join(f'{value:.10f}' for value in values)}".replace("U_", tag)
        path = write(tmp_path, P1, told, sites=("Na1 Na 0 0 0",), cell=TRICLINIC)
        ((motion,), _) = thermal_motion(read_crystal(path), 293)
        found.append(motion.tensor)
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_a_tensor_that_its_site_does_not_allow_is_averaged(tmp_path):
    """On the threefold axis of P63mc U11 = U22 = 2 U12: an isotropic list without U12 is not what the axes mean."""
    wrong = f"{ANISO}\nO1 .012 .014 .020 0 0 .001"
    path = write(tmp_path, name("P 63 m c"), wrong, sites=("O1 O .3333 .6667 0",), cell=HEXAGONAL)
    with pytest.warns(InputWarning, match="U_ij of site O1 is averaged, because its symmetry changes it"):
        found = tensors(path)
    across = found[0, 0, 0]
    np.testing.assert_allclose(found, np.tile(np.diag([across, across, 0.020]), (2, 1, 1)), atol=1e-9)
    right = wrong.replace(".014 .020 0 0 .001", ".012 .020 0 0 .006")
    path = write(tmp_path, name("P 63 m c"), right, sites=("O1 O .3333 .6667 0",), cell=HEXAGONAL)
    np.testing.assert_allclose(tensors(path), np.tile(np.diag([0.012, 0.012, 0.020]), (2, 1, 1)), atol=1e-9)


def test_einstein_oscillators():
    """From Theta = 300 K and hbar² / (2 u k) = 24.255 Å² K, by hand: the zero point at 1 K, twice U at twice T."""

    def u(temperature: float) -> float:
        return 24.255 / (28.085 * 300) / np.tanh(300 / (2 * temperature))

    for temperature in (1.0, 80.0, 293.0, 900.0):
        assert u(200.0) * einstein_ratio(u(200.0), "Si", 200.0, temperature) == pytest.approx(u(temperature), rel=1e-4)
    assert einstein_ratio(0.1, "Pb", 300, 600) == pytest.approx(2, rel=1e-3)
    # Less than any Si atom's zero point at its usual stiffness: the bond is stiff, and heat changes nothing.
    assert einstein_ratio(1e-4, "Si", 293, 600) == pytest.approx(1, rel=1e-3)
    assert einstein_ratio(0.005, "Si", 293, 293) == 1


@pytest.mark.parametrize(
    "tag", ["_diffrn_ambient_temperature", "_cell_measurement_temperature", "_diffrn.ambient_temp"]
)
def test_the_temperature_of_the_file(tmp_path, tag):
    u = f"{ANISO}\nPb1 .03 .03 .06 0 0 0"
    path = write(tmp_path, P1, f"{tag} 150(2)", u, sites=("Pb1 Pb 0 0 0",), cell=SMALL)
    np.testing.assert_allclose(tensors(path, 150), [np.diag([0.03, 0.03, 0.06])], rtol=1e-12)
    np.testing.assert_allclose(tensors(path, 300), [np.diag([0.06, 0.06, 0.12])], rtol=1e-2)


WRONG = {
    "negative": ("-.002", "", "site Na1: found U_iso that means U = -0.002 Å²"),
    "absurd": (".3", "", r"site Na1: found an rms displacement of 0.5477 Å; allowed: 0 to 0.5 Å"),
    "text": ("small", "", "site Na1: found U_iso 'small', which is no number"),
    "not positive": (
        ".01",
        f"{ANISO}\nNa1 .01 .01 .01 .02 0 0",
        r"tensor that is not positive \(eigenvalue -0.01 Å²\)",
    ),
    "absurd along one axis": (".01", f"{ANISO}\nNa1 .01 .01 .26 0 0 0", "rms displacement of 0.5099 Å"),
    "text in a tensor": (".01", f"{ANISO}\nNa1 .01 .01 x 0 0 0", "found U_ij 'x', which is no number"),
    "two tensors": (".01", f"{ANISO}\nNa1 .01 .01 .01 0 0 0\nNa1 .01 .01 .02 0 0 0", "found two different U_ij"),
}


@pytest.mark.parametrize("told", ["-5", "0", "1e9"])
def test_a_temperature_of_the_file_that_cannot_be(tmp_path, told):
    path = write(tmp_path, P1, f"_diffrn_ambient_temperature {told}", sites=("Na1 Na 0 0 0",), cell=SMALL)
    with pytest.raises(InputError, match=r"temperature of the displacements: found .*; allowed: above 0 to 3,000 K"):
        tensors(path)
    assert len(read_structure(path)) == 1


def test_degrees_celsius_written_as_kelvin_are_warned_of(tmp_path):
    """25 for 298 K made the squares of a heavy atom's displacements ten times too large, without a word."""
    atom, u = ("Pb1 Pb 0 0 0",), f"{ANISO}\nPb1 .01 .01 .01 0 0 0"
    path = write(tmp_path, P1, "_diffrn_ambient_temperature 25", u, sites=atom, cell=SMALL)
    _, warnings = thermal_motion(read_crystal(path), 293)
    assert any("are those of 25 K; at 293 K" in one and "degrees Celsius" in one for one in warnings)
    path = write(tmp_path, P1, "_diffrn_ambient_temperature 100", u, sites=atom, cell=SMALL)
    assert not thermal_motion(read_crystal(path), 293)[1]


def test_rows_of_one_element_at_one_place_share_their_motion(tmp_path):
    """Two halves of an atom move by the mean of their squares, not by the first row's."""
    sites, columns = ("Cs1 Cs 0 0 0 .25 .01", "Cs2 Cs 0 0 0 .75 .02"), f"{COLUMNS} occupancy U_iso_or_equiv"
    path = write(tmp_path, P1, sites=sites, columns=columns, cell=SMALL)
    np.testing.assert_allclose(tensors(path), [0.0175 * np.eye(3)], rtol=1e-9)


def test_symmetry_does_not_hide_a_tensor_that_is_not_positive(tmp_path):
    """Four-fold symmetry averages U12 to 0, and what is left is positive."""
    text = (ROOT / "resources" / "structures" / "KNbO3.cif").read_text(encoding="utf-8")
    path = tmp_path / "told.cif"
    path.write_text(text.replace("0.0086 0.0086 0.004 0 0 0", "0.0086 0.0086 0.004 0 0 0.02"), encoding="utf-8")
    with pytest.raises(InputError, match=r"site O1: found a displacement tensor that is not positive"):
        tensors(path)


@pytest.mark.parametrize(("value", "more", "message"), WRONG.values(), ids=WRONG)
def test_displacements_that_are_refused(tmp_path, value, more, message):
    path = write(tmp_path, P1, more, sites=(f"Na1 Na 0 0 0 {value}",), columns=f"{COLUMNS} U_iso_or_equiv", cell=SMALL)
    with pytest.raises(InputError, match=message) as caught:
        tensors(path)
    assert "\n" not in str(caught.value)
    assert len(read_structure(path)) == 1  # at rest nothing asks


def test_a_hydrogen_is_refused_beyond_half_an_angstrom_and_heat_counts(tmp_path):
    path = write(tmp_path, P1, sites=("H1 H 0 0 0 .3",), columns=f"{COLUMNS} U_iso_or_equiv", cell=SMALL)
    with pytest.raises(InputError, match=r"rms displacement of 0\.5477 Å"):
        tensors(path)
    path = write(tmp_path, P1, sites=("Pb1 Pb 0 0 0 .1",), columns=f"{COLUMNS} U_iso_or_equiv", cell=SMALL)
    with pytest.raises(InputError, match=r"site Pb1 at 900 K: found an rms displacement of 0\.55"):
        tensors(path, 900)


def test_rounding_below_zero_is_cut_and_unusual_values_are_said(tmp_path):
    path = write(tmp_path, P1, f"{ANISO}\nNa1 .01 .01 -.00005 0 0 0", sites=("Na1 Na 0 0 0",), cell=SMALL)
    with pytest.warns(InputWarning, match=r"unusual rms displacements: Na1 0.000 Å; usual are 0.03 to 0.4 Å"):
        found = tensors(path)
    np.testing.assert_allclose(found, [np.diag([0.01, 0.01, 0])], atol=1e-15)
    path = write(
        tmp_path,
        P1,
        sites=("Na1 Na 0 0 0 .0005", "Cl1 Cl .5 .5 .5 .2"),
        columns=f"{COLUMNS} U_iso_or_equiv",
        cell=SMALL,
    )
    with pytest.warns(InputWarning, match=r"Na1 0.022 Å, Cl1 0.447 Å; .*is B written as U, or U as B") as caught:
        tensors(path)
    assert len(caught) == 1


@pytest.mark.parametrize("temperature", [-1, 0.5, 2001, float("nan"), "warm", True])
def test_temperatures_that_are_refused(tmp_path, temperature):
    with pytest.raises(InputError, match=r"temperature_k: found .*; allowed: 0, or 1 to 2,000 K"):
        read_structure(write(tmp_path, FM3M), temperature_k=temperature)


def test_a_configuration_says_displacements_only_with_a_temperature(tmp_path):
    write(tmp_path, FM3M)
    entry = {"cif": "told.cif", "zone_axis": [0, 0, 1], "rms_displacement_angstrom": {"Na": 0.1, "Cl": 0.08}}
    cell = crystal_cell(entry, tmp_path, 293)
    for symbol, u in entry["rms_displacement_angstrom"].items():
        np.testing.assert_allclose(
            cell.arrays["displacements"][cell.symbols == symbol], np.tile(u**2 * np.eye(3), (4, 1, 1))
        )
    with pytest.raises(InputError, match="found rms_displacement_angstrom for Na, Cl at temperature_k 0") as caught:
        crystal_cell(entry, tmp_path)
    assert "\n" not in str(caught.value)
    for bad, message in (({"K": 0.1}, "found 'K'; allowed: elements of the structure"), ({"Na": "big"}, "of Na")):
        with pytest.raises(InputError, match=message):
            crystal_cell({**entry, "rms_displacement_angstrom": bad}, tmp_path, 293)


@pytest.mark.parametrize(("zone", "order"), [((0, 0, 1), [0, 1, 2]), ((1, 0, 0), [2, 1, 0]), ((1, 2, 0), [0, 2, 1])])
def test_tensors_turn_with_the_axes_of_an_orthogonal_cell(tmp_path, zone, order):
    """A trigonal crystal without its axis: x along a, y along b*, z along c, seen along c, a and b*."""
    u = f"{ANISO}\nO1 .010 .014 .030 0 0 .007"
    path = write(tmp_path, P1, u, sites=("O1 O .1 .2 .3",), cell=HEXAGONAL)
    atoms = read_structure(path, temperature_k=293)
    (before,) = atoms.arrays["displacements"]
    cell = orthogonal_cell(atoms, zone)
    assert len(cell) == len(cell.arrays["displacements"]) == 2
    for after in cell.arrays["displacements"]:
        np.testing.assert_allclose(np.diag(after), np.diag(before)[order], rtol=1e-9)
        np.testing.assert_allclose(np.linalg.eigvalsh(after), np.linalg.eigvalsh(before), rtol=1e-9)


def test_strain_leaves_isotropic_motion_as_it_is():
    atoms = Atoms("Fe", cell=[[4, 0, 0], [0.006, 5, 0], [0, 0, 6]], pbc=True)
    atoms.set_array("displacements", 0.01 * np.eye(3)[None], float, (3, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cell = orthogonal_cell(atoms, (0, 0, 1), 1.0)
    np.testing.assert_allclose(cell.arrays["displacements"], 0.01 * np.eye(3)[None], rtol=1e-12, atol=1e-17)


SHIPPED = ("GaN", "LiCoO2", "PVSK", "MoS2", "KNbO3")


@pytest.mark.parametrize("material", SHIPPED)
def test_shipped_crystals_have_displacements_with_a_source(material):
    """No estimate and no warning; a tensor's mates obey the point group; the text says where values come from."""
    path = ROOT / "resources/structures" / f"{material}.cif"
    motions, notes = thermal_motion(read_crystal(path), 293)
    assert notes == ()
    assert {motion.source for motion in motions} <= {"U_ij", "U_iso"}
    assert re.search(r"[Dd]isplacements", path.read_text())
    found = read_structure(path, temperature_k=293).arrays["displacements"]
    assert np.linalg.eigvalsh(found).min() > 0.03**2
    assert CUBE
