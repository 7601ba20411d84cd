"""Lattices of images, their continuation beyond the field, and leaning columns against the tilted crystal itself."""

import functools
from pathlib import Path

import numpy as np
import pytest
import torch

from iphasenet.crystal.potential import CrystalPotential
from iphasenet.crystal.structure import orthogonal_cell, read_structure
from iphasenet.microscope.optics import rotate
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.network.column_projection import column_shift, project_columns
from iphasenet.network.lattice import continued, lattice_vectors
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Field, render
from iphasenet.simulation.tilts import crystal_lean, lab_tilt

STRUCTURES = Path(__file__).parents[3] / "resources" / "structures"

SHORTEST = 8.0
"""Pixels; every lattice here has longer periods."""

CELLS = {
    "square": (15.3, 15.3, 90),
    "rectangular": (13.6, 21.7, 90),
    "oblique": (15.3, 19.8, 73),
    "hexagonal": (16.4, 16.4, 60),
}
"""Two shortest periods [pixels] and the angle between them [degrees]."""

IMAGE = Image(128, 0.2)


def lattice(cell: str, turn: float) -> np.ndarray:
    """The cell's vectors as rows (x, y), the first at an angle of `turn` degrees from x."""
    a, b, angle = CELLS[cell]
    return np.array([rotate(a, 0.0, turn), rotate(b, 0.0, turn + angle)])


def columns_of(vectors: np.ndarray, shape: tuple[int, int], sigma: float = 2.0) -> torch.Tensor:
    """A Gaussian at (1.3, -2.6) from the middle of an image (1, y, x) and at all lattice points from there."""
    orders = np.stack(np.meshgrid(*2 * [np.arange(-40, 41)]), axis=-1).reshape(-1, 2)
    x, y = ([1.3, -2.6] + orders @ vectors).T
    rows, columns = ((np.arange(size) - (size - 1) / 2)[:, None] for size in shape)
    along_y, along_x = (np.exp(-((axis - place) ** 2) / (2 * sigma**2)) for axis, place in ((rows, y), (columns, x)))
    return torch.from_numpy(along_y @ along_x.T).float()[None]


def assert_spans(found: torch.Tensor, vectors: np.ndarray) -> None:
    """Shortest vectors of the same lattice, to 0.05 pixel: 1/300 of a period, and a maximum is fitted by a parabola."""
    orders = np.rint(found.numpy() @ np.linalg.inv(vectors))
    assert abs(np.linalg.det(orders)) == pytest.approx(1)
    np.testing.assert_allclose(found, orders @ vectors, atol=0.05)
    lengths = np.linalg.norm(found, axis=1), np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(*map(np.sort, lengths), atol=0.05)


@pytest.mark.parametrize("turn", [0.0, 17.0, 48.0, 121.0, 260.0])
@pytest.mark.parametrize("cell", CELLS)
def test_the_lattice_is_found_whatever_its_shape_and_rotation(cell: str, turn: float) -> None:
    vectors = lattice(cell, turn)
    assert_spans(lattice_vectors(columns_of(vectors, (128, 128)), SHORTEST)[0], vectors)


@pytest.mark.parametrize("cell", CELLS)
def test_noise_hides_no_lattice(cell: str) -> None:
    """A fifth of the contrast on every pixel."""
    vectors = lattice(cell, 33.0)
    image = columns_of(vectors, (128, 128))
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    assert_spans(lattice_vectors(image + 0.2 * image.std() * noise, SHORTEST)[0], vectors)


def test_each_image_of_a_batch_has_its_own_lattice() -> None:
    """In a field that is wider than high, beside an image that has none."""
    shape = (96, 128)
    lattices = [lattice(cell, turn) for turn, cell in zip((5.0, 40.0, 77.0, 200.0), CELLS, strict=True)]
    alone = columns_of(np.array([[1e3, 0.0], [0.0, 1e3]]), shape)
    found = lattice_vectors(torch.cat([*(columns_of(vectors, shape) for vectors in lattices), alone]), SHORTEST)
    for one, vectors in zip(found[:-1], lattices, strict=True):
        assert_spans(one, vectors)
    assert found[-1].tolist() == [[128, 0], [0, 96]]


@pytest.mark.parametrize("level", [0.0, 0.1, 20.0])
def test_a_flat_image_stays_flat(level: float) -> None:
    image = torch.full((1, 64, 64), level)
    assert torch.isfinite(lattice_vectors(image, SHORTEST)).all()
    torch.testing.assert_close(project_columns(image, torch.tensor([[3.0, -2.0]]), 0.2), image)


@pytest.mark.parametrize("cell", CELLS)
def test_an_image_goes_on_beyond_its_field_as_its_lattice_says(cell: str) -> None:
    """A field of two periods: 3 % of the contrast in the root mean square, 10 % anywhere, columns 2.5 pixels wide.

    Torch's bicubic kernel, with a = -0.75, bends a straight slope by up to 5 % of its rise over a pixel.
    """
    vectors, (height, width) = lattice(cell, 25.0), (44, 56)
    image, wide = columns_of(vectors, (height, width), 2.5), columns_of(vectors, (3 * height, 3 * width), 2.5)
    result = continued(image, torch.from_numpy(vectors).float()[None])
    assert torch.equal(result[:, height : 2 * height, width : 2 * width], image)
    error = (result - wide) / wide.std()
    assert error.square().mean().sqrt() < 0.03
    assert error.abs().max() < 0.1


def test_columns_lean_from_entrance_to_exit_by_the_tilt_times_the_thickness() -> None:
    """A tilt in the crystal's frame goes to the lab's angles and back, far beyond small angles."""
    rng = np.random.default_rng(0)
    tilts, gammas, thicknesses = rng.uniform(-0.3, 0.3, (6, 2)), rng.uniform(0, 360, 6), rng.uniform(5, 150, 6)
    angles = [lab_tilt((x, y), gamma) for (x, y), gamma in zip(tilts, gammas, strict=True)]
    shift = column_shift(torch.from_numpy(np.column_stack([thicknesses, angles, gammas])))
    for found, tilt, gamma, thickness in zip(shift, tilts, gammas, thicknesses, strict=True):
        np.testing.assert_allclose(found, 10 * thickness * np.array(rotate(*tilt, gamma)), rtol=1e-9)


@functools.cache
def potential(material: str) -> CrystalPotential:
    cell = orthogonal_cell(read_structure(STRUCTURES / f"{material}.cif"))
    return sampled_potential(cell, IMAGE.sampling_angstrom, IMAGE.sampling_angstrom)


def slabs(material: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean potentials of slabs untilted and tilted, and their metadata: 20 and 100 nm, tilts of 0.2 to 0.5 degrees."""
    rng, crystal = np.random.default_rng(1), potential(material)
    slicing, lengths = crystal.slicing(0.3), crystal.lengths[:2]
    untilted, tilted, metadata = [], [], []
    for thickness in (200.0, 1000.0, 200.0, 1000.0):
        total = slicing.nearest(thickness)
        depth = slicing.depth(total)
        gamma, (alpha, beta) = rng.uniform(0, 360), rotate(rng.uniform(0.2, 0.5), 0.0, rng.uniform(0, 360))
        field = Field(IMAGE, gamma, (rng.uniform(0, lengths[0]), rng.uniform(0, lengths[1])))
        tilt = crystal_lean(alpha, beta, gamma)
        untilted.append(render(crystal.projected(slicing, total), lengths, field) / depth)
        tilted.append(render(crystal.projected(slicing, total, tilt), lengths, field) / depth)
        metadata.append([depth / 10, alpha, beta, gamma])
    return torch.from_numpy(np.stack(untilted)), torch.from_numpy(np.stack(tilted)), torch.tensor(metadata)


@pytest.mark.parametrize("material", ["KNbO3", "GaN"])
def test_projected_columns_are_the_tilted_crystal(material: str) -> None:
    """The truth sums displaced atoms one by one, in lone layers and beyond the field: 1 % of its maximum on average.

    Leaning the other way is wrong by ten times as much.
    """
    untilted, tilted, metadata = slabs(material)
    shift = column_shift(metadata)
    right, wrong = (project_columns(untilted, sign * shift, IMAGE.sampling_angstrom) for sign in (1, -1))
    for truth, found, opposite in zip(tilted, right, wrong, strict=True):
        error = (found - truth).abs().mean()
        assert error < 0.01 * truth.max()
        assert torch.corrcoef(torch.stack([found.ravel(), truth.ravel()]))[0, 1] > 0.995
        assert (opposite - truth).abs().mean() > 10 * error


def test_upright_columns_stay_as_they_are() -> None:
    untilted, _, _ = slabs("GaN")
    projected = project_columns(untilted, torch.zeros(len(untilted), 2), IMAGE.sampling_angstrom)
    torch.testing.assert_close(projected, untilted, rtol=0, atol=1e-4 * float(untilted.max()))


@pytest.mark.parametrize("shift", [(1.3, -0.8), (-2.4, 4.0)])
def test_a_pixel_learns_from_the_columns_that_lean_into_it(shift: tuple[float, float]) -> None:
    """Its gradient is the weights of a mean whose centre lies half a shift back, to 0.15 pixel of ringing."""
    columns = columns_of(lattice("oblique", 25.0), (96, 96)).double().requires_grad_()
    pixel = project_columns(columns, torch.tensor([shift], dtype=torch.float64), 0.2)[0, 50, 40]
    (weights,) = torch.autograd.grad(pixel, columns)
    assert weights.sum() == pytest.approx(1)
    axis = torch.arange(96)
    assert (weights[0].sum(0) * axis).sum() == pytest.approx(40 - shift[0] / 0.2 / 2, abs=0.15)
    assert (weights[0].sum(1) * axis).sum() == pytest.approx(50 - shift[1] / 0.2 / 2, abs=0.15)


def test_a_shift_beyond_the_field_is_cut_to_it() -> None:
    columns, field = columns_of(lattice("oblique", 25.0), (64, 64)), 64 * 0.2
    shifts = torch.tensor([[0.5, -1.0], [1.5, -3.0], [0.45, -0.9]]) * field
    whole, longer, shorter = project_columns(columns.expand(3, -1, -1), shifts, 0.2)
    torch.testing.assert_close(longer, whole)
    assert (shorter - whole).abs().max() > 1e-3 * columns.max()
