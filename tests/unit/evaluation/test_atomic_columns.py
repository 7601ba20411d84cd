"""Atomic columns: expected, found, matched and integrated, on made-up lattices and on rendered crystals."""

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from scipy.ndimage import gaussian_filter
from skimage.feature import peak_local_max

from iphasenet.base.errors import InputError
from iphasenet.crystal.potential import CrystalPotential, crystal_potential
from iphasenet.crystal.structure import orthogonal_cell, read_structure
from iphasenet.crystal.thermal_motion import with_displacements
from iphasenet.dataset.material_data import MaterialData
from iphasenet.evaluation.atomic_columns import SPURIOUS, column_rows, prediction_rows, true_columns
from iphasenet.evaluation.column_peaks import (
    BORDER,
    MINIMUM_DISTANCE,
    SMOOTHING,
    THRESHOLD,
    ColumnMasks,
    find_columns,
    match_columns,
)
from iphasenet.evaluation.column_structure import (
    ColumnView,
    CrystalColumns,
    columns_apart,
    crystal_columns,
    expected_columns,
)
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Field, render
from iphasenet.simulation.tilts import lab_tilt

STRUCTURES = Path(__file__).parents[3] / "resources" / "structures"

KINDS = {
    "GaN": ["Ga+N"],
    "KNbO3": ["Nb+O", "K", "O"],
    "LiCoO2": ["Co", "O", "Li"],
    "MoS2": ["Mo+S"],
    "PVSK": ["Pb+I", "I", "N", "C"],
}

ZONES = {"LiCoO2": (1, 0, 0)}

IMAGE = Image(96, 0.2)

LATTICE = CrystalColumns(
    np.array([[0.7, 0.4], [2.7, 2.4]]), ("Sr", "O"), np.array([False, True]), np.array([38.0, 8.0]), (4.0, 4.0)
)
"""A heavy and a light column, 2.8 Å apart."""

VIEW = ColumnView(Field(IMAGE, 20.0, (0.3, 1.1)), (0.0, 0.0), 100.0)


def gaussians(places: np.ndarray, heights: Any, image: Image = IMAGE, width: float = 0.35) -> np.ndarray:
    """Columns at (y, x) [pixels], `width` in Å."""
    pixels = np.arange(image.pixels)
    along_y, along_x = (
        np.exp(-(((pixels - place[:, None]) * image.sampling_angstrom / width) ** 2) / 2) for place in places.T
    )
    return np.einsum("k,ky,kx->yx", np.broadcast_to(np.asarray(heights, float), len(places)), along_y, along_x)


@functools.cache
def lattice_truth() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image of `LATTICE`, its columns' places and heights: light ones a fifth as high."""
    columns = expected_columns(LATTICE, VIEW)
    heights = np.where(columns.kind == 0, 1000.0, 200.0)
    return 100 + gaussians(columns.positions, heights), columns.positions, heights


def changed(index: int, height: float = 0.0, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """The image with another height and place (y, x) [pixels] of one column."""
    truth, places, heights = lattice_truth()
    return (
        truth - gaussians(places[[index]], heights[index]) + gaussians(places[[index]] + shift, heights[index] * height)
    )


def central(kind: int) -> int:
    """Index of the column of a kind that is nearest to the image's centre."""
    columns = expected_columns(LATTICE, VIEW)
    distance = np.linalg.norm(columns.positions - (IMAGE.pixels - 1) / 2, axis=1)
    return int(np.where(columns.kind == kind, distance, np.inf).argmin())


def measured(predicted: np.ndarray) -> dict[str, dict[str, Any]]:
    rows = prediction_rows(true_columns(LATTICE, VIEW, lattice_truth()[0]), predicted)
    return {row["column"]: row for row in rows}


@functools.cache
def crystal(material: str) -> CrystalPotential:
    cell = orthogonal_cell(read_structure(STRUCTURES / f"{material}.cif"), ZONES.get(material, (0, 0, 1)))
    return sampled_potential(cell, 0.1, IMAGE.sampling_angstrom)


def rendered(potential: CrystalPotential, tilt: tuple[float, float], gamma: float, image: Image) -> MaterialData:
    """One sample, 20 nm thick, as the data set holds it; `tilt` in the crystal's frame."""
    slicing, offset = potential.slicing(0.3), (1.3, 0.8)
    total = slicing.nearest(200.0)
    truth = render(potential.projected(slicing, total, tilt), potential.lengths[:2], Field(image, gamma, offset))
    alpha, beta = lab_tilt(tilt, gamma)
    coordinates = {"alpha": alpha, "beta": beta, "gamma": gamma, "offset_x": offset[0], "offset_y": offset[1]}
    coordinates |= {"slab_thickness": slicing.depth(total), "thickness_nm": 20.0}
    none = np.empty((1, 4, 0, 0), np.float32)
    each = {name: np.array([value]) for name, value in coordinates.items()}
    return MaterialData("any", none, truth[None], none[None], np.array([1e5]), image.sampling_angstrom, each)


@pytest.mark.parametrize(("sampling", "accuracy"), [(0.1, 0.1), (0.2, 1.0)])
@pytest.mark.parametrize("turn", [0.0, 31.0, 45.0])
def test_peaks_are_found_to_picometres(sampling: float, accuracy: float, turn: float) -> None:
    """The quadratic of columns 0.35 Å wide, smoothed, is off by 0.06 pm at 0.1 Å and 0.6 pm at 0.2 Å per pixel."""
    image = Image(round(20 / sampling), sampling)
    view = ColumnView(Field(image, turn, (0.37, 1.21)), (0.0, 0.0), 100.0)
    places = expected_columns(LATTICE, view).positions
    found = find_columns(gaussians(places, 1.0, image), sampling)
    inside = ((places > 0.6 / sampling) & (places < image.pixels - 1 - 0.6 / sampling)).all(axis=1)
    match = match_columns(places[inside], found, 1.0)
    assert (match >= 0).all()
    offset = np.linalg.norm(found[match] - places[inside], axis=1) * sampling * 100
    assert 0 < offset.max() < accuracy


def test_peaks_stay_off_the_border_and_apart() -> None:
    close = np.array([[40.0, 40.0], [40.0, 41.5]])
    edges = np.array([[0.5, 50.0], [94.8, 20.0], [50.0, 1.0]])
    near = np.array([[2.6, 70.0]])
    found = find_columns(gaussians(np.concatenate([close, edges, near]), [1, 0.9, 1, 1, 1, 1]), 0.2)
    assert len(found) == 2
    np.testing.assert_allclose(sorted(found.tolist())[0], near[0], atol=0.2)


def test_peaks_below_the_threshold_are_left_out_whatever_the_scale() -> None:
    places = np.array([[30.0, 30.0], [60.0, 30.0], [30.0, 60.0]])
    image = gaussians(places, [1.0, 0.04, 0.01])
    for scale, level in ((1.0, 0.0), (3e4, -500.0)):
        np.testing.assert_allclose(find_columns(scale * image + level, 0.2), places[:2], atol=0.02)


@pytest.mark.parametrize("sampling", [0.1, 0.2, 0.35])
def test_crowded_peaks_are_kept_apart_as_scikit_image_does(sampling: float) -> None:
    image = gaussian_filter(np.random.default_rng(3).normal(size=(120, 150)), 1.2)
    smooth = gaussian_filter(image, SMOOTHING / sampling)
    expected = peak_local_max(
        smooth,
        min_distance=max(1, round(MINIMUM_DISTANCE / sampling)),
        threshold_abs=smooth.min() + THRESHOLD * np.ptp(smooth),
        exclude_border=max(1, round(BORDER / sampling)),
        footprint=np.ones((3, 3), bool),
        p_norm=2,
    )
    assert len(expected) > 50
    np.testing.assert_allclose(find_columns(image, sampling), expected, atol=0.5)


def test_a_flat_image_has_no_peaks() -> None:
    assert find_columns(np.full((32, 32), 7.0), 0.2).shape == (0, 2)


@pytest.mark.parametrize("image", [np.zeros((2, 8, 8)), np.full((8, 8), np.nan)])
def test_what_is_no_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(InputError, match="image"):
        find_columns(image, 0.2)


def test_a_match_is_mutual_and_near() -> None:
    first = np.array([[0.0, 0.0], [0.0, 1.0], [9.0, 9.0]])
    second = np.array([[9.0, 12.0], [0.0, 0.8]])
    assert match_columns(first, second, 2.0).tolist() == [-1, 1, -1]
    assert match_columns(first, second, 4.0).tolist() == [-1, 1, 0]
    assert match_columns(first, second[:0], 4.0).tolist() == [-1, -1, -1]


def test_masks_share_the_pixels_between_columns() -> None:
    """Discs of 1 Å, 1.2 Å apart: each holds its disc less the segment beyond the line between them."""
    peaks, image = np.array([[100.0, 94.0], [100.0, 106.0], [30.0, 30.0]]), Image(200, 0.1)
    area = ColumnMasks.around(peaks, image).integrate(np.ones((200, 200)))
    segment = math.acos(0.6) - 0.6 * 0.8
    np.testing.assert_allclose(area, [math.pi - segment, math.pi - segment, math.pi], rtol=0.05)


@pytest.mark.parametrize("material", KINDS)
def test_columns_of_the_crystals_are_named_by_their_elements(material: str) -> None:
    columns = crystal_columns(crystal(material))
    assert list(columns.kinds) == KINDS[material]
    assert [kind in ("O", "Li", "N", "C") for kind in columns.kinds] == list(columns.light_kinds)


def test_atoms_on_both_sides_of_the_cell_are_one_column() -> None:
    """Ti (22) at 3.95 and 8 O at 0.05 and 0.25, of a period of 4: linked in a chain, weighted by atomic number."""
    atoms = Atoms(
        "TiO2H2", [[3.95, 2, 0], [0.05, 2, 1], [0.25, 2, 2], [2, 1, 0], [3.9, 2, 3]], cell=[4, 5, 4], pbc=True
    )
    columns = crystal_columns(crystal_potential(atoms, 2.0))
    assert columns.types == ("Ti+O",)
    np.testing.assert_allclose(columns.positions, [[(22 * -0.05 + 8 * 0.05 + 8 * 0.25) / 38, 2.0]], atol=1e-12)
    assert columns.charges.tolist() == [38.0]


@pytest.mark.parametrize("parametrization", ["lobato", "kirkland"])
def test_elements_are_known_whatever_their_thermal_motion(parametrization: str) -> None:
    atoms = Atoms("BiAtSbTe", [[0, 0, 0], [2, 0, 0], [0, 2, 0], [2, 2, 0]], cell=[4, 4, 4], pbc=True)
    warm = with_displacements(atoms, {"Bi": 0.1, "At": 0.0, "Sb": 0.0, "Te": 0.2})
    columns = crystal_columns(crystal_potential(warm, 2.0, parametrization))
    assert columns.types == ("Bi", "At", "Sb", "Te")


def test_an_unknown_element_and_hydrogen_alone_are_refused() -> None:
    hydrogen = crystal_potential(Atoms("H", cell=[4, 4, 4], pbc=True), 2.0)
    with pytest.raises(InputError, match="hydrogen"):
        crystal_columns(hydrogen)
    with pytest.raises(InputError, match="form factors"):
        crystal_columns(dataclasses.replace(hydrogen, form_factors=1.0004 * hydrogen.form_factors))


@pytest.mark.parametrize("gamma", [0.0, 33.0, 250.0])
@pytest.mark.parametrize("material", KINDS)
def test_columns_stand_where_the_truth_has_its_maxima(material: str, gamma: float) -> None:
    """To 0.13 Å, for Pb+I whose atoms are 0.23 Å apart; columns lean by 0.5 Å."""
    data = rendered(crystal(material), (0.002, -0.0015), gamma, IMAGE)
    columns = expected_columns(crystal_columns(crystal(material)), ColumnView.of(data, 0))
    inside = ((columns.positions > 5) & (columns.positions < IMAGE.pixels - 6)).all(axis=1)
    peaks = find_columns(data.potential[0], 0.2)
    match = match_columns(columns.positions[inside], peaks, 1.0 / 0.2)
    assert inside.sum() > 30
    assert (match >= 0).all()
    assert np.linalg.norm(peaks[match] - columns.positions[inside], axis=1).max() * 0.2 < 0.13


@pytest.mark.parametrize("wrong", ["gamma", "offset_x", "offset_y", "alpha", "beta"])
def test_a_wrong_sign_would_be_seen(wrong: str) -> None:
    """A pattern without symmetry that leans by 0.84 Å along each axis of the image: half of it is no match."""
    atoms = Atoms("SrTiO", [[0.5, 0.6, 0], [3.1, 1.4, 0], [1.6, 3.4, 0]], cell=[4.6, 5.2, 4.0], pbc=True)
    potential = crystal_potential(atoms, 4.0)
    data = rendered(potential, (0.0058, 0.0012), 33.0, IMAGE)
    turned = dataclasses.replace(data, coordinates={**data.coordinates, wrong: -data.coordinates[wrong]})
    visible = []
    for sample in (data, turned):
        rows = column_rows(crystal_columns(potential), sample, 0, {"model": data.potential[0]})
        visible.append(sum(row["visible"] for row in rows) / sum(row["expected"] for row in rows))
    assert visible[0] == 1
    assert visible[1] < 0.9


@pytest.mark.parametrize("material", KINDS)
def test_a_perfect_prediction_has_all_columns_and_no_errors(material: str) -> None:
    data = rendered(crystal(material), (0.002, -0.0015), 33.0, IMAGE)
    rows = column_rows(crystal_columns(crystal(material)), data, 0, {"model": data.potential[0]})
    assert [row["column"] for row in rows] == [*KINDS[material], SPURIOUS]
    for row in rows[:-1]:
        assert row["found"] == row["visible"] == row["expected"] > 5
        assert row["position_error_pm"] == row["integrated_error"] == row["integrated_absolute_error"] == 0
    heights = [row["integrated_true"] for row in rows[:-1] if not row["light"]]
    assert heights == sorted(heights, reverse=True)
    assert rows[-1]["found"] == 0


def test_a_missing_column_lowers_the_detection_of_its_kind_alone() -> None:
    rows = measured(changed(central(1)))
    assert rows["Sr"]["found"] == rows["Sr"]["visible"] == rows["Sr"]["expected"]
    assert rows["O"]["found"] == rows["O"]["visible"] - 1
    assert rows[SPURIOUS]["found"] == 0


def test_light_columns_are_reported_apart() -> None:
    rows = measured(lattice_truth()[0])
    assert {name: row["light"] for name, row in rows.items()} == {"Sr": False, "O": True, SPURIOUS: False}
    # Of 17.2 x 17.2 Å² with one of each in 16 Å².
    assert rows["Sr"]["expected"] == pytest.approx(18.5, abs=4)


def test_a_shifted_column_has_its_distance_as_position_error() -> None:
    """0.3 Å of one column among n: the root mean square is 30 pm / sqrt(n)."""
    rows = measured(changed(central(0), 1.0, (0.9, -1.2)))
    assert rows["Sr"]["position_error_pm"] == pytest.approx(30 / math.sqrt(rows["Sr"]["found"]), rel=0.06)
    assert rows["O"]["position_error_pm"] < 0.5
    everywhere = np.roll(lattice_truth()[0], (1, 0), axis=(0, 1))
    assert measured(everywhere)["Sr"]["position_error_pm"] == pytest.approx(20, rel=0.02)


def test_a_column_that_is_too_far_off_is_missed_and_spurious() -> None:
    rows = measured(changed(central(0), 1.0, (4.0, 0.0)))
    assert rows["Sr"]["found"] == rows["Sr"]["visible"] - 1
    assert rows[SPURIOUS]["found"] == 1


def test_a_scaled_prediction_has_its_share_as_integrated_error() -> None:
    rows = measured(0.9 * lattice_truth()[0])
    for name in ("Sr", "O"):
        assert rows[name]["found"] == rows[name]["visible"]
        assert rows[name]["integrated_error"] == pytest.approx(-0.1)
        assert rows[name]["integrated_absolute_error"] == pytest.approx(0.1)


def test_errors_of_both_signs_cancel_in_the_mean_alone() -> None:
    """One column by half more, another one by half less."""
    centre, other = central(0), central(0) + 2
    heights = lattice_truth()[2]
    assert heights[centre] == heights[other]
    rows = measured(changed(centre, 1.5) + changed(other, 0.5) - lattice_truth()[0])
    assert rows["Sr"]["integrated_error"] == pytest.approx(0, abs=1e-3)
    assert rows["Sr"]["integrated_absolute_error"] > 0.03


def test_the_integral_is_that_of_the_column() -> None:
    """A Gaussian of 1000 V Å, 0.35 Å wide, is 2 pi s² h but for exp(-r² / 2 s²) beyond 1 Å; on 100 V Å."""
    expected = 1000 * 2 * math.pi * 0.35**2 * (1 - math.exp(-1 / (2 * 0.35**2))) + 100 * math.pi
    assert measured(lattice_truth()[0])["Sr"]["integrated_true"] == pytest.approx(expected, rel=0.02)


def test_peaks_that_match_nothing_are_counted_but_not_at_the_edges() -> None:
    truth = lattice_truth()[0]
    shifted = dataclasses.replace(LATTICE, positions=LATTICE.positions + np.array([2.0, 0.0]))
    holes = expected_columns(shifted, VIEW).positions
    middle = holes[np.linalg.norm(holes - (IMAGE.pixels - 1) / 2, axis=1).argmin()]
    extra = np.array([middle, [3.5, 40.0]])
    assert measured(truth + gaussians(extra[:1], 150.0, width=0.2))[SPURIOUS]["found"] == 1
    assert measured(truth + gaussians(extra, [150.0, 2000.0], width=0.2))[SPURIOUS]["found"] == 1


def test_a_prediction_without_columns_finds_none() -> None:
    rows = measured(np.full((96, 96), 300.0))
    assert rows["Sr"]["visible"] > rows["Sr"]["found"] == 0
    assert math.isnan(rows["Sr"]["position_error_pm"])
    assert math.isfinite(rows["Sr"]["integrated_error"])


def test_a_truth_without_columns_shows_none() -> None:
    true = true_columns(LATTICE, VIEW, np.full((96, 96), 300.0))
    rows = prediction_rows(true, lattice_truth()[0])
    assert [row["visible"] for row in rows] == [0, 0, 0]
    assert all(math.isnan(row["integrated_true"]) for row in rows)
    assert rows[-1]["found"] > 30


def row_of(types: tuple[str, ...], charges: list[float], *places: float) -> CrystalColumns:
    """Columns at x = places in a cell of 8 Å x 8 Å."""
    positions = np.array([[x, 1.0] for x in places])
    return CrystalColumns(positions, types, np.array(charges) <= 8, np.array(charges), (8.0, 8.0))


def test_columns_that_lean_into_one_another_are_not_told_apart() -> None:
    pair = row_of(("Sr", "Sr"), [38.0, 38.0], 1.0, 2.5)
    assert columns_apart(pair, (0.0, 0.0)).all()
    assert columns_apart(pair, (0.8, 0.0)).all()
    assert not columns_apart(pair, (-1.0, 0.0)).any()
    assert columns_apart(pair, (0.0, 3.0)).all()
    # A cell further, at 9 Å, across the cell's edge.
    assert not columns_apart(row_of(("Sr", "Sr"), [38.0, 38.0], 0.2, 7.0), (0.7, 0.0)).any()


def test_a_light_column_does_not_hide_a_heavy_one() -> None:
    pair = row_of(("Sr", "O"), [38.0, 8.0], 1.0, 2.5)
    assert columns_apart(pair, (1.2, 0.0)).tolist() == [True, False]


def test_a_column_hides_its_own_repeat() -> None:
    assert columns_apart(row_of(("Sr",), [38.0], 1.0), (7.3, 0.0)).tolist() == [True]
    assert columns_apart(row_of(("Sr",), [38.0], 1.0), (7.5, 0.0)).tolist() == [False]


def test_a_peak_is_spurious_only_where_the_nearest_column_can_be_located() -> None:
    """The O column leans into Sr: its own peak is no error, one as far from Sr on the other side is."""
    pair, view = row_of(("Sr", "O"), [38.0, 8.0], 1.0, 2.5), dataclasses.replace(VIEW, lean=(0.012, 0.0))
    columns = expected_columns(pair, view)
    heavy, hidden = columns.positions[columns.apart], columns.positions[~columns.apart]
    truth = gaussians(heavy, 1000.0)
    true = true_columns(pair, view, truth)
    centre = heavy[np.linalg.norm(heavy - (IMAGE.pixels - 1) / 2, axis=1).argmin()]
    light = hidden[np.linalg.norm(hidden - centre, axis=1).argmin()]
    for place, count in ((light, 0), (2 * centre - light, 1)):
        rows = prediction_rows(true, truth + gaussians(place[None], 300.0, width=0.2))
        assert rows[-1]["found"] == count


@pytest.mark.parametrize("tilt", [(0.0055, 0.0055), (0.0055, -0.0055)])
def test_leaning_columns_are_found_at_the_middle_of_their_lines(tilt: tuple[float, float]) -> None:
    """KNbO3 that leans by 1.6 Å between its rows: 20 nm x tilt."""
    data = rendered(crystal("KNbO3"), tilt, 33.0, IMAGE)
    rows = column_rows(crystal_columns(crystal("KNbO3")), data, 0, {"model": data.potential[0]})
    assert all(row["visible"] == row["expected"] for row in rows)
    view = dataclasses.replace(ColumnView.of(data, 0), lean=(0.0, 0.0))
    untilted = true_columns(crystal_columns(crystal("KNbO3")), view, data.potential[0])
    assert (untilted.visible >= 0).sum() < 0.5 * untilted.expected.sum()


def test_columns_that_lean_far_are_expected_and_not_visible() -> None:
    """By 6 Å, whatever peaks their lines have, and these are no errors of the prediction."""
    data = rendered(crystal("GaN"), (0.03, 0.004), 33.0, IMAGE)
    noise = np.random.default_rng(0).normal(0, 0.3 * data.potential.std(), data.potential[0].shape)
    rows = column_rows(crystal_columns(crystal("GaN")), data, 0, {"model": data.potential[0] + noise})
    assert rows[0]["expected"] > 50
    assert rows[0]["visible"] == rows[0]["found"] == rows[-1]["found"] == 0


@pytest.mark.parametrize(("alpha", "beta"), [(180.0, 0.0), (90.0, 45.0), (0.0, 12.0)])
def test_a_crystal_far_from_its_zone_axis_shows_no_columns(alpha: float, beta: float) -> None:
    data = rendered(crystal("GaN"), (0.0, 0.0), 33.0, IMAGE)
    tilted = {**data.coordinates, "alpha": np.array([alpha]), "beta": np.array([beta])}
    rows = column_rows(
        crystal_columns(crystal("GaN")), dataclasses.replace(data, coordinates=tilted), 0, {"model": data.potential[0]}
    )
    assert rows[0]["visible"] == 0


def test_every_method_has_its_rows() -> None:
    data = rendered(crystal("KNbO3"), (0.0, 0.0), 12.0, IMAGE)
    images = {"model": data.potential[0], "idpc": 0.5 * data.potential[0]}
    rows = column_rows(crystal_columns(crystal("KNbO3")), data, 0, images)
    assert [row["method"] for row in rows] == 4 * ["model"] + 4 * ["idpc"]
    assert [row["integrated_error"] for row in rows[4:7]] == pytest.approx(3 * [-0.5])


def test_a_prediction_of_another_size_is_refused() -> None:
    data = rendered(crystal("KNbO3"), (0.0, 0.0), 12.0, IMAGE)
    with pytest.raises(InputError, match=r"idpc.*\(48, 48\)"):
        column_rows(crystal_columns(crystal("KNbO3")), data, 0, {"idpc": data.potential[0][::2, ::2]})


def test_columns_and_views_check_themselves() -> None:
    with pytest.raises(InputError, match="columns"):
        dataclasses.replace(LATTICE, types=("Sr",))
    with pytest.raises(InputError, match="periods"):
        dataclasses.replace(LATTICE, periods=(4.0, 0.0))
    with pytest.raises(InputError, match="view"):
        dataclasses.replace(VIEW, depth=0.0)
