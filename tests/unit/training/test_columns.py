"""Training of the network for any crystal, on crystals that are simulated here."""

import copy
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import pytest
import torch

from iphasenet.base.errors import InputError
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.crystal.structure import orthogonal_cell, read_structure
from iphasenet.evaluation.column_scores import TOLD, ColumnTest, score_plan, summarise_columns
from iphasenet.microscope.acquisition import Acquisition
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.multislice.periodic_images import save_images, simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.network.column_network import ColumnNetwork
from iphasenet.network.column_settings import ColumnModel
from iphasenet.network.weights import load_column_weights, save_column_weights
from iphasenet.simulation.drawn_optics import PlannedOptics
from iphasenet.simulation.grid import Grid, orientations
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Field, Series, SeriesTable
from iphasenet.training.column_crops import (
    ColumnCrops,
    ColumnItem,
    ColumnRenderer,
    ColumnView,
    collated,
    column_series,
    rendered,
)
from iphasenet.training.column_data import ColumnPlan
from iphasenet.training.column_training import ColumnSplits, ColumnTrainer

ROOT = Path(__file__).parents[3]
MULTISLICE = {"sampling_angstrom": 0.16, "slice_thickness_angstrom": 2.0, "window_angstrom": 4}
CONFIGURATION: dict[str, Any] = {
    "seed": 3,
    "grid": {
        "thickness_nm": [2.0, 5.0], "tilts": 3, "tilt_std_deg": 0.4, "rotations": 1, "rendered_rotations": 1,
        "validation_share": 0.3, "test_share": 0.3,
    },
    "image": {"pixels": 64, "sampling_angstrom": 0.3},
    "optics": {"energy_kev": 200, "semiangle_mrad": 15, "detector_inner_mrad": 8, "detector_outer_mrad": 40},
    "drawn_optics": {"defocus_angstrom": [-100, 100], "semiangle_mrad": [14, 18]},
    "simulation": {"parametrization": "lobato", "multislice": MULTISLICE},
    "noise": {"training_dose": [1e4, 1e6], "acquisition": {"readout_electrons": 0.3}},
    "column_network": {
        "model": {"width": 8, "resolution_angstrom": 0.6},
        "training": {
            "seed": 1, "epochs": 2, "crops_per_epoch": 16, "validation_crops": 8, "crop_pixels": 64, "batch_size": 8,
            "learning_rate": 1e-3, "weight_decay": 0, "ema_decay": 0,
        },
    },
}  # fmt: skip
SPLITS = {"KNbO3": "train", "GaN": "validation", "MoS2": "test"}
BATCHES = {name: {"0": [0, 1], "1": [2]} for name in SPLITS}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulations of three crystals, as the workflow's jobs make them."""
    folder = tmp_path_factory.mktemp("crystals")
    optics, grid = PlannedOptics.of(CONFIGURATION), Grid(**CONFIGURATION["grid"])
    for name in SPLITS:
        cell = orthogonal_cell(read_structure(ROOT / f"resources/structures/{name}.cif"), (0, 0, 1))
        potential = sampled_potential(cell, 0.16, 0.1)
        images = [
            simulate_images(
                potential,
                optics.rotations(name, tilt.index, len(tilt.rotations_deg)),
                Numerics(**MULTISLICE),
                [10 * thickness for thickness in grid.thickness_nm],
                tilt.lean,
                tilt.rotations_deg,
            )
            for tilt in orientations(3, name, grid)
        ]
        for part in ("potential", f"images/{name}"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        potential.save(folder / f"potential/{name}.npz")
        save_images(folder / f"images/{name}/batch0.npz", images[:2])
        save_images(folder / f"images/{name}/batch1.npz", images[2:])
    return folder


@pytest.fixture
def plan(data: Path) -> ColumnPlan:
    return ColumnPlan(CONFIGURATION, SPLITS, BATCHES, data)


def test_tilts_and_optics_are_those_of_the_configuration(plan: ColumnPlan) -> None:
    (material,) = plan.materials("train")
    assert [tilt.index for tilt in material.orientations] == [0, 1, 2]
    assert material.segments.terms.shape[:4] == (3, 2, 2, 4)
    expected = PlannedOptics.of(CONFIGURATION).one("KNbO3", 2, 1)
    assert material.optics[2, 1].tolist() == [expected.defocus_angstrom, expected.semiangle_mrad, 8, 40]
    splits = [len(plan.materials("train", (split,))[0].orientations) for split in ("train", "validation", "test")]
    assert splits == [1, 1, 1]


def test_columns_are_the_blurred_potential_of_the_crystal_along_the_beam(data: Path) -> None:
    """Against a sum over atoms: the mean is that of the cell, and the blur that of a Gaussian."""
    potential = CrystalPotential.load(data / "potential/GaN.npz")
    sharp, blurred = (column_series(potential, 2.0, width) for width in (0.0, 0.6))
    middle = tuple(size // 2 for size in sharp.shape)
    cell = potential.projected(potential.slicing(2.0), potential.slicing(2.0).count)
    assert sharp[middle].real == pytest.approx(cell[middle].real / potential.lengths[2])
    # One period along x: a Gaussian of 0.6 Å at half its height.
    ratio = blurred[middle[0], middle[1] + 1] / sharp[middle[0], middle[1] + 1]
    deviation = 0.6 / 2.3548
    assert ratio.real == pytest.approx(math.exp(-2 * (math.pi * deviation / potential.lengths[0]) ** 2), rel=1e-4)


def test_a_crop_shows_what_it_says(plan: ColumnPlan) -> None:
    (material,) = plan.materials("train")
    view = ColumnView(0, 1, 1, 0, (0.2, 0.7))
    segments, columns, known = rendered(material, view, Image(64, 0.3))
    assert segments.shape == (4, 64, 64) and columns.shape == (64, 64)
    assert known[0] == pytest.approx(5, abs=0.3) and known[3:] == material.optics[1, 0].tolist()
    lean = np.degrees(np.hypot(*material.orientations[1].lean))
    assert np.hypot(*known[1:3]) == pytest.approx(lean, rel=1e-3)
    assert float(columns.mean()) == pytest.approx(material.mean_potential, rel=0.1)


def crops(plan: ColumnPlan, count: int = 40, **settings: Any) -> ColumnCrops:
    training = replace(plan.settings.training, **settings)
    return ColumnCrops(plan.materials("train"), training, plan.noise, count)


def renderer(plan: ColumnPlan) -> ColumnRenderer:
    return ColumnRenderer(plan.materials("train"), Image(64, 0.3), plan.acquisition.readout_electrons)


def images(plan: ColumnPlan, *numbers: int) -> ColumnItem:
    made = crops(plan)
    return renderer(plan).crops(collated([made[number] for number in numbers]))


def test_crops_are_the_same_again_and_new_in_every_epoch(plan: ColumnPlan) -> None:
    first, second, other = images(plan, 3), images(plan, 1, 3), images(plan, 43)
    assert all(torch.equal(a[0], b[1]) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], other[0])


def test_crops_rendered_together_are_those_rendered_alone(plan: ColumnPlan) -> None:
    """As a GPU does, from one table of all crystals: lattices, places, symmetry and noise are the same."""
    every = [*plan.materials("train"), *plan.materials("validation")]
    draws = [
        ColumnCrops(every[first : first + 1], plan.settings.training, plan.noise, 40, first=first)[number]
        for first in (0, 1)
        for number in range(9)
    ]
    alone, table = (ColumnRenderer(every, Image(64, 0.3), 0.3) for _ in range(2))
    table.tables = (
        SeriesTable([one.segments for one in every], torch.device("cpu")),
        SeriesTable([one.columns[None] for one in every], torch.device("cpu")),
    )
    drawn = collated(draws)
    clean = [one._clean(drawn.view, drawn.place) for one in (alone, table)]
    for a, b in zip(*clean, strict=True):
        assert float((a - b).abs().max() / a.abs().max()) < 1e-5
    noisy = [one.crops(drawn) for one in (alone, table)]
    for a, b in zip(*noisy, strict=True):
        assert a.shape == b.shape
    # A Poisson number changes where the last digit of its mean decides.
    assert float((noisy[0][0] - noisy[1][0]).abs().mean() / noisy[0][0].mean()) < 1e-4


def test_terms_that_do_not_occur_are_left_out(plan: ColumnPlan, data: Path) -> None:
    """KNbO3's cell is primitive; doubled along x, it has every second term."""
    (material,) = plan.materials("train")
    potential = CrystalPotential.load(data / "potential/KNbO3.npz")
    coefficients = column_series(potential, 2.0, 0.6)
    doubled = np.zeros((coefficients.shape[0], 2 * coefficients.shape[1] - 1), complex)
    doubled[:, ::2] = coefficients
    lengths = (2 * potential.lengths[0], potential.lengths[1])
    series = Series.visible(doubled, lengths, 0.3)
    assert len(series.gx) > 1.8 * len(series.occurring().gx)
    field = Field(Image(64, 0.3), 20.0, (1.0, 2.0))
    torch.testing.assert_close(
        series.occurring().on_pixels(field), material.columns.on_pixels(field), atol=2e-3, rtol=0
    )


def test_what_is_told_has_the_shares_of_the_settings(plan: ColumnPlan) -> None:
    told = np.stack([crops(plan, told_share=0.5, optics_told_share=0.75)[number].told for number in range(300)])
    shares = told.mean(axis=0).tolist()
    assert shares[:4] == pytest.approx([0.25] * 4, abs=0.08) and shares[4:] == pytest.approx([0.75] * 3, abs=0.08)
    assert np.array_equal(told[:, 1], told[:, 2])
    nothing = np.stack([crops(plan, told_share=0)[number].told for number in range(50)])
    assert not nothing[:, :4].any()


def test_a_process_weighs_by_its_share_of_a_batch(plan: ColumnPlan) -> None:
    """Shares of a batch of seven by two processes are three and four crops; their mean loss must be the batch's."""
    training = replace(plan.settings.training, batch_size=7)
    made = crops(plan, 14)
    splits = ColumnSplits(made, made, renderer(plan), training, 2)
    module = ColumnTrainer(plan.settings.model, training, 0.3, splits.steps)
    batch = images(plan, 0, 1, 2)
    whole = module.training_step(batch, 0).item()
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    splits.trainer = SimpleNamespace(global_rank=0, lightning_module=module, strategy=strategy)
    loader = splits.train_dataloader()
    assert len(next(iter(loader)).view) == 3 and module.weight == pytest.approx(6 / 7)
    assert module.training_step(batch, 0).item() == pytest.approx(6 / 7 * whole, rel=1e-4)


def run(plan: ColumnPlan, folder: Path) -> subprocess.CompletedProcess[str]:
    """Train by the command of a training process."""
    folder.mkdir(exist_ok=True)
    (folder / "plan.json").write_text(
        json.dumps({name: getattr(plan, name) for name in ("configuration", "splits", "batches")})
    )
    outputs = ("weights.safetensors", "history.csv", "checkpoints")
    options = [part for name in outputs for part in (f"--{name.split('.')[0]}", str(folder / name))]
    sources = ("--plan", str(folder / "plan.json"), "--data", str(plan.data), "--accelerator", "cpu")
    command = (sys.executable, "-m", "iphasenet.training.column_fit", *sources, *options)
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_a_training_gives_weights_that_say_what_they_have_seen(plan: ColumnPlan, tmp_path: Path) -> None:
    done = run(plan, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    network, described = load_column_weights(tmp_path / "weights.safetensors")
    assert described["crystals"] == ["KNbO3"] and described["validated_on"] == ["GaN"]
    low, high = described["ranges"]["defocus_angstrom"]
    assert -100 <= low < high <= 100 and described["ranges"]["energy_kev"] == [200, 200]
    history = pandas.read_csv(tmp_path / "history.csv")
    assert {"validation_pearson", "validation_level_error", "train_loss"} <= set(history.columns)
    # Measured after training: no longer the identity.
    assert (network.error_factors != 1).all() and network.feature_precision.abs().sum() > 0
    # The command again does not train again.
    before = (tmp_path / "weights.safetensors").read_bytes()
    assert run(plan, tmp_path).returncode == 0
    assert (tmp_path / "weights.safetensors").read_bytes() == before

    test = ColumnTest(Image(64, 0.3), Acquisition(), [1e5], most=1, operations=2)
    scores = score_plan(network, plan, test)
    # Of MoS2 each thickness, of KNbO3 each thickness of its test tilt, with each of what may be told.
    assert scores.groupby("seen").size().to_dict() == {False: 2 * len(TOLD), True: 2 * len(TOLD)}
    assert set(scores.loc[~scores["seen"], "material"]) == {"MoS2"}
    assert np.isfinite(scores[scores["told"] != "all"].select_dtypes("number")).all(axis=None)
    # Nothing is estimated of what is told.
    told = scores[scores["told"] == "all"]
    assert told[["thickness_ratio", "tilt_error_deg", "tilt_covered"]].isna().all(axis=None)
    assert told[["pearson", "level_ratio"]].notna().all(axis=None)
    summary = summarise_columns(scores, ("seen", "told"))
    assert len(summary) == 2 * len(TOLD) and (summary["images"] == 2).all()


def test_a_training_may_begin_with_earlier_weights(plan: ColumnPlan, tmp_path: Path) -> None:
    """With a learning rate that changes nothing, the weights stay those from which it began."""
    torch.manual_seed(7)
    network = ColumnNetwork(ColumnModel(**CONFIGURATION["column_network"]["model"]), 0.3)
    save_column_weights(tmp_path / "first.safetensors", network, {})
    settings = copy.deepcopy(CONFIGURATION)
    settings["column_network"]["training"] |= {
        "start": str(tmp_path / "first.safetensors"), "learning_rate": 1e-12,
        "kernel_learning_rate": 1e-12, "epochs": 1,
    }  # fmt: skip
    done = run(replace(plan, configuration=settings), tmp_path / "next")
    assert done.returncode == 0, done.stderr[-2000:]
    found, described = load_column_weights(tmp_path / "next/weights.safetensors")
    assert len(described["started_from"]) == 64
    for a, b in zip(network.parameters(), found.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    settings["column_network"]["model"] |= {"width": 16}
    done = run(replace(plan, configuration=settings), tmp_path / "other")
    assert done.returncode == 1 and "allowed: those of this run" in done.stderr and "Traceback" not in done.stderr


def test_a_split_without_crystals_is_one_line(plan: ColumnPlan, tmp_path: Path) -> None:
    done = run(replace(plan, splits={"KNbO3": "train"}), tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "found none in the split 'validation'; allowed: at least one in each" in done.stderr


def test_simulations_of_another_grid_are_refused(plan: ColumnPlan) -> None:
    grid = CONFIGURATION["grid"] | {"thickness_nm": [3.5, 9.0]}
    for other in ({"seed": 4}, {"grid": grid}):
        with pytest.raises(InputError, match="simulations of KNbO3: found other tilts or thicknesses"):
            replace(plan, configuration={**CONFIGURATION, **other}).materials("train")
    with pytest.raises(InputError, match="simulations of KNbO3: found other tilts or thicknesses"):
        replace(plan, batches={"KNbO3": {"0": [0]}}).materials("train")


def test_files_of_an_earlier_division_into_jobs_are_not_read(plan: ColumnPlan) -> None:
    (material,) = replace(plan, batches={"KNbO3": {"0": [0, 1]}}).materials("train")
    assert [tilt.index for tilt in material.orientations] == [0, 1]


def test_lost_simulations_are_refused(plan: ColumnPlan, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"batch0\.npz"):
        replace(plan, data=tmp_path).materials("train")
