"""The five structures shipped with the package, and the orthogonal cells cut from them."""

import itertools
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.neighborlist import neighbor_list

from iphasenet.base.errors import InputError, InputWarning
from iphasenet.crystal.structure import crystal_cell, orthogonal_cell, read_structure
from iphasenet.crystal.translations import lateral_translations
from iphasenet.multislice.lattice_grid import primitive_vectors
from iphasenet.planning.configuration_schema import configuration_schema

ROOT = Path(__file__).resolve().parents[3]
STRUCTURES = ROOT / "resources" / "structures"
MATERIALS = ("GaN", "LiCoO2", "PVSK", "MoS2", "KNbO3")

CELLS = {
    "GaN": ({"Ga": 2, "N": 2}, (3.189, 3.189, 5.185, 90, 90, 120), "P6_3mc"),
    "LiCoO2": ({"Li": 3, "Co": 3, "O": 6}, (2.816, 2.816, 14.05, 90, 90, 120), "R-3m"),
    "PVSK": ({"C": 1, "N": 1, "H": 6, "Pb": 1, "I": 3}, (6.289, 6.229, 6.374, 90, 90, 90), "Pm"),
    "MoS2": ({"Mo": 2, "S": 4}, (3.161, 3.161, 12.295, 90, 90, 120), "P6_3/mmc"),
    "KNbO3": ({"K": 1, "Nb": 1, "O": 3}, (4.029, 4.029, 4.029, 90, 90, 90), "Pm-3m"),
}

# Bond, length [Å], tolerance [Å], bonds of that kind in the cell. PVSK: calculated structure with rounded
# coordinates and idealised angles, hence the wider tolerances.
BONDS = [
    ("GaN", "Ga", "N", 1.95, 0.01, 8),
    ("LiCoO2", "Co", "O", 1.92, 0.005, 18),
    ("LiCoO2", "Li", "O", 2.09, 0.005, 18),
    ("MoS2", "Mo", "S", 2.41, 0.01, 12),
    ("KNbO3", "Nb", "O", 2.0145, 1e-6, 6),
    ("PVSK", "Pb", "I", 3.16, 0.1, 6),
    ("PVSK", "C", "N", 1.49, 0.03, 1),
    ("PVSK", "C", "H", 1.09, 0.02, 3),
    ("PVSK", "N", "H", 1.04, 0.02, 3),
]

ORTHOGONAL = [
    ("GaN", (0, 0, 1), (3.189, 3.189 * 3**0.5, 5.185), 8),
    ("GaN", (1, 0, 0), (5.185, 3.189 * 3**0.5, 3.189), 8),
    ("LiCoO2", (0, 0, 1), (2.816, 2.816 * 3**0.5, 14.05), 24),
    ("LiCoO2", (1, 0, 0), (14.05, 2.816 * 3**0.5, 2.816), 24),
    ("LiCoO2", (1, 2, 0), (2.816, 14.05, 2.816 * 3**0.5), 24),
    ("MoS2", (0, 0, 1), (3.161, 3.161 * 3**0.5, 12.295), 12),
    ("MoS2", (1, 0, 0), (12.295, 3.161 * 3**0.5, 3.161), 12),
    ("PVSK", (0, 0, 1), (6.289, 6.229, 6.374), 12),
    ("PVSK", (0, 1, 0), (6.289, 6.374, 6.229), 12),
    ("KNbO3", (0, 0, 1), (4.029, 4.029, 4.029), 5),
    ("KNbO3", (1, 1, 0), (4.029, 4.029 * 2**0.5, 4.029 * 2**0.5), 10),
    ("KNbO3", (1, 1, 1), (4.029 * 2**0.5, 4.029 * 6**0.5, 4.029 * 3**0.5), 30),
    ("KNbO3", (1, 3, 0), (4.029, 4.029 * 10**0.5, 4.029 * 10**0.5), 50),
]

ORTHOGONAL_COUNTS = [(name, zone, count) for name, zone, _, count in ORTHOGONAL]
ORTHOGONAL_ZONES = [(name, zone) for name, zone, _, _ in ORTHOGONAL]

CIF = """data_test
_cell_length_a {a}
_cell_length_b 4.0
_cell_length_c 4.0
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_IT_number 1
_space_group_name_H-M_alt 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
{sites}
"""


def load(name: str) -> Atoms:
    return read_structure(STRUCTURES / f"{name}.cif")


def write_cif(folder: Path, *sites: str, a: str = "4.0") -> Path:
    path = folder / "bad.cif"
    path.write_text(CIF.format(a=a, sites="\n".join(sites)))
    return path


def bond_lengths(atoms: Atoms, first: str, second: str, cutoff: float) -> np.ndarray:
    i, j, distance = neighbor_list("ijd", atoms, cutoff)
    symbols = np.array(atoms.get_chemical_symbols())
    return distance[(symbols[i] == first) & (symbols[j] == second)]


def environments(atoms: Atoms, cutoff: float) -> Counter:
    """Every atom's element with its sorted neighbour list (element, distance), counted over the cell."""
    i, j, distance = neighbor_list("ijd", atoms, cutoff)
    symbols = atoms.get_chemical_symbols()
    seen = Counter()
    for k in range(len(atoms)):
        mine = np.flatnonzero(i == k)
        seen[symbols[k], tuple(sorted((symbols[j[m]], round(distance[m], 4)) for m in mine))] += 1
    return seen


def find_axes(atoms: Atoms, supercell: Atoms) -> list[np.ndarray]:
    """Proper rotations (rows: x, y, z of the supercell) that bring the crystal onto the supercell's atoms."""
    cell, target = np.asarray(atoms.cell[:]), np.diag(supercell.cell.lengths())
    span = np.arange(-4, 5)
    points = np.stack(np.meshgrid(span, span, span), axis=-1).reshape(-1, 3) @ cell
    lengths = np.linalg.norm(points, axis=1)
    a, b, c = (points[np.abs(lengths - target[k, k]) < 1e-6] for k in range(3))
    rotations = []
    for u, v in itertools.product(a, b):
        if abs(u @ v) > 1e-6:
            continue
        w = np.cross(u, v) * target[2, 2] / (target[0, 0] * target[1, 1])
        if np.linalg.norm(c - w, axis=1).min() < 1e-6:
            frame = np.stack([u, v, w]) / supercell.cell.lengths()[:, None]
            if same_crystal(atoms, supercell, frame):
                rotations.append(frame)
    return rotations


def same_crystal(atoms: Atoms, supercell: Atoms, frame: np.ndarray) -> bool:
    """Whether each supercell atom, turned back into the crystal's frame, is an atom of the crystal."""
    cell = np.asarray(atoms.cell[:])
    back = supercell.positions @ frame @ np.linalg.inv(cell)
    ours = atoms.positions @ np.linalg.inv(cell)
    gap = back[:, None, :] - ours[None, :, :]
    close = np.abs(gap - np.round(gap)).max(axis=2) < 1e-6
    return bool((close & (supercell.numbers[:, None] == atoms.numbers[None, :])).any(axis=1).all())


def turned(atoms: Atoms) -> Atoms:
    """The same crystal with its cell in a general orientation."""
    copy = atoms.copy()
    copy.rotate(37.0, (1, 2, 3), rotate_cell=True)
    return copy


@pytest.mark.parametrize("name", MATERIALS)
def test_composition_and_cell(name):
    composition, cellpar, _ = CELLS[name]
    atoms = load(name)
    assert Counter(atoms.get_chemical_symbols()) == composition
    np.testing.assert_allclose(atoms.cell.cellpar(), cellpar, atol=1e-9)
    assert atoms.pbc.all()


@pytest.mark.parametrize("name", MATERIALS)
def test_space_group(name, monkeypatch):
    monkeypatch.setenv("SPGLIB_OLD_ERROR_HANDLING", "0")
    atoms = load(name)
    crystal = (atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers)
    assert spglib.get_symmetry_dataset(crystal, symprec=1e-5).international == CELLS[name][2]


def test_pvsk_mirror_is_the_only_symmetry(monkeypatch):
    """Pm is what is left of the cubic group: a looser tolerance must not find more, nor the wrong mirror."""
    monkeypatch.setenv("SPGLIB_OLD_ERROR_HANDLING", "0")
    atoms = load("PVSK")
    crystal = (atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers)
    found = spglib.get_symmetry(crystal, symprec=0.02)["rotations"]
    assert {tuple(np.diag(r)) for r in found} == {(1, 1, 1), (1, -1, 1)}


@pytest.mark.parametrize(("name", "first", "second", "length", "tolerance", "count"), BONDS)
def test_bond_lengths(name, first, second, length, tolerance, count):
    atoms = load(name)
    assert len(bond_lengths(atoms, first, second, length - tolerance)) == 0
    found = bond_lengths(atoms, first, second, length * 1.15)
    assert len(found) == count
    np.testing.assert_allclose(found, length, atol=tolerance)


@pytest.mark.parametrize("name", MATERIALS)
def test_citation_in_file(name):
    text = (STRUCTURES / f"{name}.cif").read_text()
    sources = {"GaN": "1977", "LiCoO2": "1984", "PVSK": "2015", "MoS2": "1986", "KNbO3": "(1973)"}
    assert sources[name] in text
    assert "_space_group_symop_operation_xyz" in text


def test_knbo3_says_it_is_idealised():
    text = (STRUCTURES / "KNbO3.cif").read_text()
    assert "not the room-temperature phase" in text
    assert "Amm2" in text
    assert "displacements" in text


@pytest.mark.parametrize(("name", "zone", "lengths", "count"), ORTHOGONAL)
def test_orthogonal_cell_size(name, zone, lengths, count):
    cell = orthogonal_cell(load(name), zone)
    np.testing.assert_allclose(cell.cell[:], np.diag(lengths), atol=1e-9)
    assert len(cell) == count
    assert cell.pbc.all()


@pytest.mark.parametrize(("name", "zone", "count"), ORTHOGONAL_COUNTS)
def test_orthogonal_cell_is_the_same_crystal(name, zone, count):
    atoms = load(name)
    cell = orthogonal_cell(atoms, zone)
    density = [crystal.get_masses().sum() / crystal.get_volume() for crystal in (atoms, cell)]
    assert density[1] == pytest.approx(density[0], rel=1e-12)
    before, after = environments(atoms, 4.5), environments(cell, 4.5)
    assert after == Counter({key: n * count // len(atoms) for key, n in before.items()})


@pytest.mark.parametrize(("name", "zone"), ORTHOGONAL_ZONES)
def test_zone_axis_points_along_z(name, zone):
    """Turned back, the supercell's atoms lie on the crystal with its c vector on uvw times the lattice."""
    atoms = turned(load(name))
    cell = orthogonal_cell(atoms, zone)
    beam = np.array(zone) @ atoms.cell[:]
    frames = find_axes(atoms, cell)
    assert any(np.allclose(frame[2] * cell.cell.lengths()[2], beam, atol=1e-6) for frame in frames)


@pytest.mark.parametrize("zone", [(0, 0, 1), (0, 0, -1), (1, 0, 0)])
def test_polar_axis_keeps_its_sense(zone):
    """In GaN the long Ga-N bond points along +c: along [00-1] it must point against the beam."""
    cell = orthogonal_cell(load("GaN"), zone)
    i, j, vectors = neighbor_list("ijD", cell, 2.1)
    symbols = np.array(cell.get_chemical_symbols())
    from_gallium = vectors[(symbols[i] == "Ga") & (symbols[j] == "N")]
    along = from_gallium[np.abs(np.linalg.norm(from_gallium, axis=1) - 0.377 * 5.185) < 1e-6]
    expected = {(0, 0, 1): (0, 0, 1), (0, 0, -1): (0, 0, -1), (1, 0, 0): (1, 0, 0)}[zone]
    assert len(along) == 4
    np.testing.assert_allclose(along / (0.377 * 5.185), np.tile(expected, (4, 1)), atol=1e-9)


def test_no_mirror_image():
    """A chiral arrangement keeps its hand, in a left-handed cell too."""
    positions = np.array([[0.0, 0.0, 0.0], [1.1, 0.0, 0.0], [0.0, 1.4, 0.0], [0.0, 0.0, 1.8]])
    for cell in (np.diag([5.0, 6.0, 7.0]), np.array([[0, 6.0, 0], [5.0, 0, 0], [0, 0, 7.0]])):
        atoms = Atoms("CNOF", positions=positions, cell=cell, pbc=True)
        for zone in [(0, 0, 1), (1, 0, 0), (0, -1, 0)]:
            found = orthogonal_cell(atoms, zone)
            edges = found.get_distances(0, [1, 2, 3], mic=True, vector=True)
            assert np.linalg.det(edges) == pytest.approx(1.1 * 1.4 * 1.8, rel=1e-9)


@pytest.mark.parametrize(("name", "zone"), ORTHOGONAL_ZONES)
def test_positions_lie_in_the_cell(name, zone):
    cell = orthogonal_cell(turned(load(name)), zone)
    fractional = cell.positions / cell.cell.lengths()
    assert fractional.min() >= 0
    assert fractional.max() < 1 - 1e-6


@pytest.mark.parametrize("offset", [-1e-9, 1e-9, -1e-17, 0.9999999, -2.0, 3.0])
def test_atoms_on_the_face_stay_single(offset):
    atoms = load("KNbO3")
    atoms.positions[0, 0] += offset * 4.029
    cell = orthogonal_cell(atoms, (1, 1, 0))
    assert len(cell) == 10
    # Nothing may sit just below the upper face: there it would be drawn at the wrong side of the image.
    assert (cell.positions / cell.cell.lengths()).max() < 0.999
    assert len(neighbor_list("d", cell, 2.0)) == 0


def test_skewed_setting_of_the_same_lattice():
    """Another choice of lattice vectors for GaN leads to the same orthogonal cell."""
    atoms = load("GaN")
    skewed = atoms.copy()
    skewed.set_cell(np.array([[1, 0, 0], [3, 1, 0], [2, -1, 1]]) @ atoms.cell[:], scale_atoms=False)
    # c = [u v w] of the old cell is (c' - 2 a + b) = c' + b' - 5 a' in the new one.
    cell = orthogonal_cell(skewed, (-5, 1, 1))
    np.testing.assert_allclose(cell.cell.lengths(), (3.189, 3.189 * 3**0.5, 5.185), atol=1e-9)
    assert environments(cell, 4.5) == environments(orthogonal_cell(atoms), 4.5)


def test_smallest_base_beats_simplest_indices():
    """With a along <310> and b along <210>, the axes of the cube are a - b and its normal, not a or b."""
    atoms = load("KNbO3")
    atoms.set_cell(np.array([[3, 1, 0], [2, 1, 0], [0, 0, 1]]) @ atoms.cell[:], scale_atoms=False)
    cell = orthogonal_cell(atoms)
    np.testing.assert_allclose(cell.cell.lengths(), (4.029, 4.029, 4.029), atol=1e-9)
    assert len(cell) == 5


def test_left_handed_hexagonal_cell():
    atoms = load("GaN")
    swapped = atoms.copy()
    swapped.set_cell(atoms.cell[[1, 0, 2]], scale_atoms=False)
    cell = orthogonal_cell(swapped)
    np.testing.assert_allclose(cell.cell.lengths(), (3.189, 3.189 * 3**0.5, 5.185), atol=1e-9)
    assert environments(cell, 4.5) == environments(orthogonal_cell(atoms), 4.5)


def test_common_factor_is_divided_out():
    assert orthogonal_cell(load("GaN"), (0, 0, 4)) == orthogonal_cell(load("GaN"), (0, 0, 1))
    assert len(orthogonal_cell(load("KNbO3"), (2, 2, 0))) == 10


@pytest.mark.parametrize(("skew", "said"), [(0.5e-4, False), (2e-4, True)])
def test_a_strain_above_rounding_errors_is_said(skew, said):
    """A skew below 1e-4 rad is taken out without a word."""
    cell = np.array([[4.0, 0, 0], [5.137 * np.sin(skew), 5.137 * np.cos(skew), 0], [0, 0, 6.0]])
    atoms = Atoms("NaCl", scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=cell, pbc=True)
    with pytest.warns(InputWarning, match=r"by a strain of 0\.02 %") if said else nullcontext():
        found = orthogonal_cell(atoms)
    np.testing.assert_allclose(found.cell[:], np.diag([4.0, 5.137, 6.0]), atol=1e-9)


def test_the_strain_of_a_calculated_cell_is_allowed_told_and_kept():
    """0.012 degrees off, as after a relaxation: cut with a warning, or refused with the strain that it needs."""
    cell = Atoms(
        "Ga2N2",
        scaled_positions=[(1 / 3, 2 / 3, 0), (2 / 3, 1 / 3, 0.5), (1 / 3, 2 / 3, 0.377), (2 / 3, 1 / 3, 0.877)],
        cell=[3.1903, 3.1899, 5.1902, 90.0121, 89.9932, 120.0103],
        pbc=True,
    )
    with pytest.raises(InputError, match=r"within a strain of 0\.01 %; allow 0\.018 % \(--max-strain"):
        orthogonal_cell(cell, max_strain_percent=0.01)
    with pytest.warns(InputWarning, match=r"along \[0 0 1\] was made orthogonal by a strain of 0\.018 %"):
        strained = orthogonal_cell(cell)
    assert strained.info["strain_percent"] == pytest.approx(0.0175, abs=1e-4)
    assert len(strained) == 8
    np.testing.assert_allclose(strained.cell.lengths(), [3.1903, 3.1901 * 3**0.5, 5.1902], rtol=2e-4)
    # The wurtzite that it nearly is has the same neighbours but for the strain.
    assert len(neighbor_list("d", strained, 2.0)) == 32


def test_the_crystal_of_a_configuration(tmp_path):
    text = (STRUCTURES / "GaN.cif").read_text()
    (tmp_path / "two.cif").write_text(text + text[text.index("data_GaN") :].replace("data_GaN", "data_again"))
    entry = {"cif": "two.cif", "zone_axis": [1, 0, 0], "block": "again", "max_strain_percent": 0.2}
    assert crystal_cell(entry, tmp_path) == orthogonal_cell(load("GaN"), (1, 0, 0))


def test_a_block_that_yaml_reads_as_a_number(tmp_path):
    """Databases call blocks 1011280."""
    (tmp_path / "numbers.cif").write_text((STRUCTURES / "GaN.cif").read_text().replace("data_GaN", "data_1011280"))
    materials = {"GaN": {"cif": "numbers.cif", "zone_axis": [1, 0, 0], "block": 1011280}}
    jsonschema.validate(materials, configuration_schema()["properties"]["materials"])
    assert crystal_cell(materials["GaN"], tmp_path) == orthogonal_cell(load("GaN"), (1, 0, 0))


def test_input_is_left_alone():
    atoms = load("GaN")
    copy = atoms.copy()
    orthogonal_cell(atoms, (1, 0, 0))
    assert atoms == copy


@pytest.mark.parametrize("zone", [(1, 0, 0), (1, 1, 1)])
def test_an_oblique_lattice_without_nearly_right_angles_is_refused(zone):
    atoms = Atoms("Si", cell=[3.1, 4.3, 5.7, 83, 97, 101], pbc=True)
    along = rf"cannot be made orthogonal along \[{zone[0]} {zone[1]} {zone[2]}\]: .* indices up to 16"
    with pytest.raises(InputError, match=along):
        orthogonal_cell(atoms, zone)


@pytest.mark.parametrize(
    ("parameters", "zone"),
    [
        ([3.1, 4.3, 5.7, 83, 97, 101], (0, 0, 1)),
        # CuO
        ([4.6837, 3.4226, 5.1288, 90, 99.54, 90], (1, 0, 1)),
    ],
)
def test_an_oblique_lattice_gets_an_approximate_cell(parameters, zone):
    """Atoms keep their neighbours but for the strain, and columns along the beam stay straight."""
    atoms = Atoms("CuO", scaled_positions=[(0, 0, 0), (0.31, 0.42, 0.23)], cell=parameters, pbc=True)
    with pytest.warns(InputWarning, match=r"was made orthogonal by a strain of 0\.\d+ % \(up to"):
        cell = orthogonal_cell(atoms, zone)
    assert 0.01 < cell.info["strain_percent"] <= 0.2
    assert cell.cell.lengths()[2] == pytest.approx(np.linalg.norm(np.array(zone) @ atoms.cell[:]))
    assert len(cell) / cell.cell.volume == pytest.approx(2 / atoms.cell.volume, rel=2e-5)
    for number in range(len(cell)):
        found, expected = (
            np.sort(neighbor_list("d", some, 8.0)[neighbor_list("i", some, 8.0) == index])
            for some, index in ((cell, number), (atoms, number % 2))
        )
        # At the edge of the sphere, the strain moves some in or out.
        count = int((expected < 7.9).sum())
        np.testing.assert_allclose(found[:count], expected[:count], rtol=0.004)


@pytest.mark.parametrize(
    "zone",
    [(0, 0, 0), (1, 0), (1, 0, 0, 0), (1.0, 0, 0), (0.5, 0, 1), (True, 0, 0), "001", None, ("1", "0", "0")],
)
def test_zone_axis_must_be_integers(zone):
    with pytest.raises(InputError, match=r"zone axis: found .* allowed: three integers, not all zero"):
        orthogonal_cell(load("KNbO3"), zone)


@pytest.mark.parametrize("zone", [[1, 1, 0], np.array([1, 1, 0])])
def test_zone_axis_may_be_any_integer_sequence(zone):
    assert len(orthogonal_cell(load("KNbO3"), zone)) == 10


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.cif: there is no such file"):
        read_structure(tmp_path / "none.cif")


def test_path_given_as_text_or_with_at_sign(tmp_path):
    path = tmp_path / "cell@2.cif"
    path.write_text((STRUCTURES / "GaN.cif").read_text())
    assert read_structure(str(path)) == load("GaN")


@pytest.mark.parametrize("text", ["data_x\nloop_\n_cell_length_a\n", "\x00\x01 binary", "data_x\n_cell_length_a 4\n"])
def test_unreadable_cif(tmp_path, text):
    path = tmp_path / "bad.cif"
    path.write_text(text)
    with pytest.raises(InputError, match=r"bad\.cif: (not a readable CIF \(line |found 0 structures)") as caught:
        read_structure(path)
    assert "\n" not in str(caught.value)


def test_parser_failure_is_told_in_one_line(tmp_path):
    path = write_cif(tmp_path, "Na1 Na 0 0 0 1.0 'one more'")
    with pytest.raises(InputError, match=r"bad\.cif: not a readable CIF \(line \d+: .+\)") as caught:
        read_structure(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "data_empty\n"])
def test_empty_file(tmp_path, text):
    path = tmp_path / "bad.cif"
    path.write_text(text)
    with pytest.raises(InputError, match=r"bad\.cif: found 0 structures with atoms; allowed: exactly one"):
        read_structure(path)


def test_two_structures(tmp_path):
    path = write_cif(tmp_path, "Na1 Na 0 0 0 1.0")
    path.write_text(path.read_text() + path.read_text().replace("data_test", "data_more"))
    with pytest.raises(InputError, match=r"bad\.cif: found 2 structures, test, more; --block"):
        read_structure(path)


def test_atoms_too_close_across_the_face(tmp_path):
    path = write_cif(tmp_path, "Na1 Na 0.05 0 0 1.0", "Cl1 Cl 0.95 0 0 1.0")
    close = r"bad\.cif: found (Na1|Cl1) \((Na|Cl)\) and (Na1|Cl1) \((Na|Cl)\) 0\.400 Å apart, .* at least 1\.61 Å"
    with pytest.raises(InputError, match=close):
        read_structure(path)


def test_atoms_at_0_6_angstrom_pass(tmp_path):
    assert len(read_structure(write_cif(tmp_path, "H1 H 0.075 0 0 1.0", "H2 H 0.925 0 0 1.0"))) == 2


def test_cell_shorter_than_the_shortest_distance(tmp_path):
    """An atom too close to its own image is as wrong as two atoms on one place."""
    with pytest.raises(InputError, match=r"Na1 \(Na\) and Na1 \(Na\) 0\.400 Å apart"):
        read_structure(write_cif(tmp_path, "Na1 Na 0 0 0 1.0", a="0.4"))


def test_coinciding_atoms():
    atoms = Atoms("NaCl", positions=[(1, 1, 1), (1, 1, 1)], cell=[4, 4, 4], pbc=True)
    with pytest.raises(InputError, match=r"0\.000 Å apart"):
        orthogonal_cell(atoms)


def test_cif_without_cell(tmp_path):
    path = write_cif(tmp_path, "Na1 Na 0 0 0 1.0")
    lines = [line for line in path.read_text().splitlines() if not line.startswith("_cell")]
    path.write_text("\n".join(lines).replace("_fract_", "_Cartn_"))
    with pytest.raises(InputError, match=r"bad\.cif: found no cell \(_cell_length_a\); three lengths and angles"):
        read_structure(path)


def test_undefined_position():
    atoms = Atoms("NaCl", positions=[(0, 0, 0), (2, np.nan, 2)], cell=[4, 4, 4], pbc=True)
    with pytest.raises(InputError, match=r"undefined position \(atom 1, Cl\); allowed: finite numbers"):
        orthogonal_cell(atoms)


@pytest.mark.parametrize("cell", [[4, 4, 0], [[4, 0, 0], [0, 4, 0], [4, 4, 0]], [[np.nan, 0, 0], [0, 4, 0], [0, 0, 4]]])
def test_flat_or_undefined_cell(cell):
    with pytest.raises(InputError, match=r"structure: found the cell .* three independent finite vectors"):
        orthogonal_cell(Atoms("Na", cell=cell, pbc=True))


def test_no_atoms():
    with pytest.raises(InputError, match="found no atoms; at least one is needed"):
        orthogonal_cell(Atoms(cell=[4, 4, 4], pbc=True))


@pytest.mark.parametrize(
    ("repeats", "expected"), [((1, 1, 2), []), ((2, 1, 1), [(1, 0, 2)]), ((11, 1, 1), []), ((10, 7, 1), None)]
)
def test_lateral_translations_of_a_supercell(repeats: tuple[int, int, int], expected: list[object] | None) -> None:
    """Orders that no fast grid fits are left out; coordinates of 8 decimals are enough."""
    cell = orthogonal_cell(read_structure(STRUCTURES / "KNbO3.cif")).repeat(repeats)
    cell.set_scaled_positions(np.round(cell.get_scaled_positions(), 8))
    found = lateral_translations(cell)
    if expected is None:
        assert {n for _, _, n in found} <= {2, 5, 7, 10, 14, 35, 70}
        assert (0, 1, 7) in found
    else:
        assert found == expected


@pytest.mark.parametrize("temperature", [0, 293, 411.7])
def test_a_centred_cell_has_its_lateral_translations(temperature: float) -> None:
    """At rest or warm: centring moves tensors onto equal ones."""

    def translations(name: str, zone: tuple[int, int, int]) -> list[tuple[int, int, int]]:
        atoms = read_structure(STRUCTURES / f"{name}.cif", temperature_k=temperature)
        return lateral_translations(orthogonal_cell(atoms, zone))

    assert translations("LiCoO2", (1, 0, 0)) == [(1, 1, 3), (2, 2, 3)]
    assert translations("GaN", (0, 0, 1)) == [(1, 1, 2)]
    assert translations("MoS2", (0, 0, 1)) == [(1, 1, 2)]
    assert translations("PVSK", (0, 0, 1)) == translations("KNbO3", (0, 0, 1)) == []


def test_translations_of_rounded_coordinates_are_a_lattice() -> None:
    """Along [1 0 0] of Ni3S2, a third of the cell's diagonal was found, but not two thirds: its simulation failed."""
    crystal = {"cif": "resources/crystals/prototypes/Ni3S2_A3B2_hR5_155_e_c.cif", "zone_axis": [1, 0, 0]}
    cell = crystal_cell(crystal, ROOT)
    found = lateral_translations(cell)
    assert found == [(1, 1, 3), (2, 2, 3)]
    assert abs(np.linalg.det(primitive_vectors(cell.cell.lengths()[:2], found))) == pytest.approx(1 / 3)
