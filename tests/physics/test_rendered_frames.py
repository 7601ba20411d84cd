"""Training crops rendered from simulations, against the samples that the workflow renders from them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from iphasenet.base.errors import InputError
from iphasenet.crystal.structure import orthogonal_cell, read_structure
from iphasenet.microscope.acquisition import Acquisition, TrainingNoise
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.multislice.periodic_images import save_images, simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.simulation.grid import Grid, orientations
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Series, render_sample
from iphasenet.training.crops import Crops
from iphasenet.training.rendered_frames import RenderedFrames, SimulatedMaterial, View, load_simulated
from tests.unit.base.test_devices import NoWaitingOnMeta

CIF = Path(__file__).parents[2] / "resources" / "structures" / "KNbO3.cif"
CONFIGURATION = {
    "seed": 3,
    "materials": {"KNbO3": {}},
    "grid": {
        "thickness_nm": [2, 4], "tilts": 4, "tilt_std_deg": 0.5, "rotations": 2, "rendered_rotations": 3,
        "validation_share": 0.25, "test_share": 0.25,
    },
    "simulation": {"multislice": {"slice_thickness_angstrom": 0.3}},
}  # fmt: skip
GRID = Grid(**CONFIGURATION["grid"])
NOISE = TrainingNoise((1e10, 1e10), Acquisition())


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Potential and images of four tilts, two a file, as the workflow leaves them."""
    folder = tmp_path_factory.mktemp("results")
    potential = sampled_potential(orthogonal_cell(read_structure(CIF)), 0.15, 0.2)
    potential.save(folder / "potential" / "KNbO3.npz")
    microscope = Microscope(200, 20, 10, 50)
    images = [
        simulate_images(potential, microscope, Numerics(0.15, 0.3, 6), (20, 40), o.lean, o.rotations_deg)
        for o in orientations(3, "KNbO3", GRID)
    ]
    for batch in range(2):
        save_images(folder / "images" / "KNbO3" / f"batch{batch}.npz", images[2 * batch : 2 * batch + 2])
    return folder


@pytest.fixture
def simulated(results: Path) -> SimulatedMaterial:
    return load_simulated(sorted(results.rglob("*.npz")), CONFIGURATION)[0]


def test_at_a_samples_own_place_it_is_that_sample(simulated: SimulatedMaterial) -> None:
    image, slicing = Image(64, 0.2), simulated.potential.slicing(0.3)
    frames = RenderedFrames([simulated], image)
    assert {sample.orientation.split for sample in simulated.planned} == {"train"}
    assert len(simulated.planned) == 2 * 2 * 2
    for number, sample in enumerate(simulated.planned):
        expected = render_sample(
            sample, simulated.images[sample.orientation.index], simulated.potential, slicing, image
        )
        frame = frames.rendered([View(0, number, sample.offset, sample.rotation_index)])
        np.testing.assert_array_equal(frame.segments[0], expected.segments)
        np.testing.assert_allclose(frame.potential[0], expected.potential, atol=1e-6 * expected.potential.max())
        names = ("thickness_nm", "alpha", "beta", "gamma")
        np.testing.assert_allclose(frame.metadata[0], [expected.metadata[name] for name in names], rtol=1e-6)


def test_every_epoch_sees_new_places_and_rotations_of_the_same_tilts(simulated: SimulatedMaterial) -> None:
    frames = RenderedFrames([simulated], Image(64, 0.2))
    crops = [Crops(frames, NOISE, 2, seed=1) for _ in range(2)]
    assert len(crops[0]) == 16 and frames.sample_names == [sample.sample_id for sample in simulated.planned]
    first, again, later = crops[0][3], crops[1][3], crops[0][3 + 16]
    assert all(torch.equal(one, two) for one, two in zip(first[:3], again[:3], strict=True))
    assert first[1][0] == later[1][0] and first[3] == later[3] == 3
    assert float((first[2] - later[2]).abs().mean()) > 0.3 * float(first[2].std())
    # Two rotations of samples, and three more, of two tilts.
    angles = {sample.orientation.rotations_deg for sample in simulated.planned}
    expected = {angle for rotations in angles for angle in rotations}
    seen = {float(crops[0][item][1][3]) for item in range(10 * 16)}
    assert len(expected) == 10 and sorted(seen) == pytest.approx(sorted(expected), rel=1e-6)


@pytest.mark.parametrize("as_on_a_gpu", [False, True])
def test_a_batch_is_its_crops_one_by_one(
    simulated: SimulatedMaterial, as_on_a_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two materials in any order, turned, distorted, with noise: the same bits on a CPU, to rounding on a GPU."""
    other = replace(simulated, material="Other", planned=simulated.planned[::-1])
    frames, acquisition = RenderedFrames([simulated, other], Image(64, 0.2)), Acquisition(0.3, 0.01, 0.3, 0.2)
    crops = Crops(frames, TrainingNoise((1e5, 1e6), acquisition), 1, 1, "symmetry")
    items, tolerance = [17, 3, 12, 0, 40, 9], 0.0
    if as_on_a_gpu:
        # All Poisson numbers of a CPU are others where a mean is rounded otherwise.
        monkeypatch.setattr(torch, "poisson", lambda expected, _generator: expected)
    alone = [crops[item] for item in items]
    if as_on_a_gpu:
        tolerance = 5e-6
        monkeypatch.setattr(Series, "on_fields", Series.together)
    found, again = crops.__getitems__(items), crops.__getitems__(items)
    for one, expected, same in zip(found, alone, again, strict=True):
        for part, known, repeated in zip(one, expected, same, strict=True):
            assert torch.equal(part, repeated)
            torch.testing.assert_close(part, known, rtol=0, atol=tolerance * float(known.abs().max()))
    batch = next(iter(DataLoader(crops, 6, sampler=items)))
    assert all(
        torch.equal(torch.stack(parts), part) for parts, part in zip(zip(*found, strict=True), batch, strict=True)
    )


@pytest.mark.parametrize("room", [0, 10**9])
def test_frames_are_rendered_where_training_is_and_nothing_waits(simulated: SimulatedMaterial, room: int) -> None:
    """Series are kept there, or sent with each crop where they do not fit."""
    frames, meta = RenderedFrames([simulated], Image(64, 0.2)), torch.device("meta")
    frames.to(meta, room)
    assert {series.terms.device.type for series in frames.series[0]} == {"meta" if room else "cpu"}
    with NoWaitingOnMeta():
        wanted = [(0, number, np.random.default_rng(number)) for number in (3, 1, 0)]
        ((segments, potential, _, _),) = frames.frames(wanted)
    assert (segments.shape, potential.shape) == ((3, 4, 64, 64), (3, 64, 64))
    assert {segments.device.type, potential.device.type} == {"meta"}


def test_what_is_missing_is_named(results: Path) -> None:
    files = sorted(results.rglob("*.npz"))
    for left, found in (("batch1", "1 potentials and 2 tilts"), ("KNbO3", "0 potentials and 4 tilts")):
        with pytest.raises(InputError, match=f"simulations of KNbO3: found {found}"):
            load_simulated([path for path in files if path.stem != left], CONFIGURATION)
    other = {**CONFIGURATION, "grid": {**CONFIGURATION["grid"], "rendered_rotations": 0}}
    with pytest.raises(InputError, match="KNbO3: found other rotations"):
        load_simulated(files, other)
    with pytest.raises(InputError, match="without its configuration"):
        load_simulated(files, None)
