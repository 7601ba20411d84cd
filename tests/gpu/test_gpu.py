"""Device, engine, noise, crops, half precision, resume: on a GPU where there is one, else on the CPU.

Single precision sums in another order on a GPU, and its random numbers are others: tolerances say what that is worth.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from iphasenet.crystal.potential import CrystalPotential
from iphasenet.dataset.material_data import MaterialData
from iphasenet.microscope.acquisition import Acquisition, TrainingNoise
from iphasenet.network.column_settings import ColumnModel
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.settings import ModelSettings
from iphasenet.simulation.grid import Orientation
from iphasenet.simulation.image import Image
from iphasenet.simulation.noise import displaced, record
from iphasenet.simulation.rendering import Series
from iphasenet.training.checkpoints import NEWEST
from iphasenet.training.column_crops import ColumnCrops, ColumnDraw, ColumnMaterial, ColumnRenderer, collated
from iphasenet.training.column_settings import ColumnTraining
from iphasenet.training.column_training import ColumnTrainer
from iphasenet.training.crops import Crops
from iphasenet.training.module import Splits, Training
from iphasenet.training.rendered_frames import RenderedFrames, SimulatedMaterial
from iphasenet.training.settings import TrainingSettings
from iphasenet.training.trainer import make_trainer
from tests.gpu.crystal import MICROSCOPE, images, material, pairs, potential, warm_potential

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ROOM = 10**9
NOISE = TrainingNoise((1e5, 1e6), Acquisition(0.3, 0.01, 0.02, 0.1))
LOSS = {"l1": 1.0, "l2": 0.5, "gradient_l1": 0.1, "spectral_l1": 0.1, "spread": 0.1}


@pytest.fixture(scope="module")
def made() -> SimulatedMaterial:
    return material()


def settings(epochs: int, precision: str = "32-true") -> TrainingSettings:
    return TrainingSettings(
        *(1, epochs, 1, 64, 2, 1e-3, 1e-4, LOSS, True, 20.0, "symmetry", 0.0, 0, "rendered", precision)  # type: ignore[arg-type]
    )


def crops(made: SimulatedMaterial, device: torch.device) -> Crops:
    frames = RenderedFrames([made], Image(64, 0.2))
    frames.to(device, ROOM)
    return Crops(frames, NOISE, 1, 1, "symmetry")


def batch(made: SimulatedMaterial, device: torch.device) -> list[torch.Tensor]:
    drawn = crops(made, device)
    return [torch.stack(parts) for parts in zip(*drawn.__getitems__(range(2)), strict=True)]


def test_the_device_is_used(made: SimulatedMaterial) -> None:
    assert {part.device.type for part in batch(made, DEVICE)} == {DEVICE.type}


def test_the_engine_gives_the_images_of_a_cpu(made: SimulatedMaterial) -> None:
    sample = made.planned[0]
    found, expected = images(sample, DEVICE.type), made.images[sample.orientation.index]
    mean = np.abs(expected.coefficients).max(axis=(-2, -1), keepdims=True)
    assert (np.abs(found.coefficients - expected.coefficients) / mean).max() < 1e-4


@pytest.mark.parametrize("crystal", [potential(), warm_potential()], ids=["cold", "warm"])
def test_pairs_of_waves_which_a_fit_simulates_are_those_of_a_cpu(crystal: CrystalPotential) -> None:
    found, expected = pairs(crystal, DEVICE.type), pairs(crystal, "cpu")
    images, mean = expected.coefficients(MICROSCOPE), float(np.abs(expected.coefficients(MICROSCOPE)).max())
    assert np.abs(found.coefficients(MICROSCOPE) - images).max() < 1e-4 * mean
    assert (images[0] != images[1]).any()


def test_noise_has_the_mean_and_the_spread_of_its_electrons() -> None:
    clean, dose, pixel = torch.full((4, 256, 256), 0.1, device=DEVICE), 1e5, 0.1
    found = record(clean, dose, pixel, Acquisition(), np.random.default_rng(1))
    electrons = 0.1 * dose * pixel**2
    # Of 262,144 pixels: five standard deviations of the mean and of the variance.
    assert float(found.mean() / 0.1 - 1) == pytest.approx(0, abs=5 / np.sqrt(electrons * found.numel()))
    assert float(found.var()) / 0.1**2 * electrons == pytest.approx(1, abs=5 * np.sqrt(2 / found.numel()))


def test_a_scan_is_displaced_as_on_a_cpu() -> None:
    image, lines = torch.rand(2, 4, 64, 64), np.random.default_rng(0).random((2, 64, 2))
    torch.testing.assert_close(displaced(image.to(DEVICE), lines).cpu(), displaced(image, lines), rtol=0, atol=1e-5)


def test_crops_are_those_of_a_cpu(made: SimulatedMaterial) -> None:
    """Truth and metadata are the same; noise is drawn by another generator, of the same mean."""
    (noisy, known, truth, number), expected = batch(made, DEVICE), batch(made, torch.device("cpu"))
    torch.testing.assert_close(truth.cpu(), expected[2], rtol=0, atol=1e-5 * float(expected[2].max()))
    torch.testing.assert_close(known.cpu(), expected[1])
    torch.testing.assert_close(number.cpu(), expected[3])
    torch.testing.assert_close(noisy.mean((2, 3)).cpu(), expected[0].mean((2, 3)), rtol=5e-3, atol=0)


def test_half_precision_gives_the_loss_of_single(made: SimulatedMaterial) -> None:
    torch.manual_seed(1)
    module = Training(ModelSettings(12, inputs="fraction", projection="columns", uncertainty=True), settings(1), 0.2, 9)
    module.to(DEVICE)
    segments, metadata, potential, _ = batch(made, DEVICE)
    losses = []
    for enabled in (False, True):
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=enabled):
            losses.append(module.loss(module.network(segments, metadata), metadata, potential))
    losses[1].backward()
    single, half = (float(loss.detach()) for loss in losses)
    assert half == pytest.approx(single, rel=0.03)
    assert all(bool(weight.grad.isfinite().all()) for weight in module.parameters() if weight.grad is not None)


@pytest.mark.skipif(DEVICE.type == "cpu", reason="no GPU that the host could wait for")
def test_a_step_does_not_wait_for_the_gpu(made: SimulatedMaterial) -> None:
    network = PotentialNetwork(ModelSettings(12, inputs="fraction", projection="columns", uncertainty=True)).to(DEVICE)
    drawn = crops(made, DEVICE)
    drawn.__getitems__([0, 1])
    torch.cuda.set_sync_debug_mode("error")
    try:
        segments, metadata, _, _ = (torch.stack(part) for part in zip(*drawn.__getitems__([2, 3]), strict=True))
        with torch.autocast("cuda", torch.bfloat16):
            prediction, _ = network(segments, metadata)
        prediction.sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def any_crystals() -> list[ColumnMaterial]:
    """Three crystals with a few terms each, at two tilts, thicknesses and rotations."""
    rng, found = np.random.default_rng(3), []
    optics = np.tile([50.0, 21.0, 10.0, 50.0], (2, 2, 1))
    tilts = [Orientation(number, (0.01 * number, -0.005), (20.0, 250.0), "train") for number in range(2)]
    for number, (rows, columns) in enumerate(((7, 5), (11, 9), (5, 17))):
        numbers = 0.002 * (
            rng.normal(size=(2, 2, 2, 4, rows, columns)) + 1j * rng.normal(size=(2, 2, 2, 4, rows, columns))
        )
        numbers = (numbers + numbers[..., ::-1, ::-1].conj()) / 2
        numbers[..., rows // 2, columns // 2] = 0.2
        lengths = (4.0 + number, 5.0)
        segments = Series.visible(numbers, lengths, 0.3)
        columns_ = Series.visible(100 * numbers[0, 0, 0, 0], lengths, 0.3)
        depths = np.array([20.0, 50.0])
        found.append(ColumnMaterial(f"Made{number}", tilts, segments, columns_, lengths, depths, depths, optics))
    return found


def drawn_columns(materials: list[ColumnMaterial]) -> ColumnDraw:
    training = ColumnTraining(1, 1, 24, 8, 64, 24, 1e-3, 1e-4)
    made = ColumnCrops(materials, training, NOISE, 24)
    return collated([made[number] for number in range(24)])


def renderer(materials: list[ColumnMaterial], device: torch.device) -> ColumnRenderer:
    made = ColumnRenderer(materials, Image(64, 0.3), NOISE.acquisition.readout_electrons)
    made.to(device)
    return made


def test_crops_of_any_crystal_are_those_of_a_cpu() -> None:
    materials = any_crystals()
    drawn = drawn_columns(materials)
    found, expected = (renderer(materials, device).crops(drawn) for device in (DEVICE, torch.device("cpu")))
    torch.testing.assert_close(found[1].cpu(), expected[1], rtol=0, atol=1e-4)
    for a, b in zip(found[2:], expected[2:], strict=True):
        torch.testing.assert_close(a.cpu(), b, equal_nan=True)
    torch.testing.assert_close(found[0].mean((2, 3)).cpu(), expected[0].mean((2, 3)), rtol=5e-3, atol=0)


@pytest.mark.skipif(DEVICE.type == "cpu", reason="no GPU that the host could wait for")
def test_a_step_for_any_crystal_does_not_wait_for_the_gpu() -> None:
    materials = any_crystals()
    drawn, rendered = drawn_columns(materials), renderer(materials, DEVICE)
    model = ColumnModel(width=8, blocks=1, filters=2)
    module = ColumnTrainer(model, ColumnTraining(1, 1, 24, 8, 64, 24, 1e-3, 1e-4), 0.3, 10).to(DEVICE)
    optimizer = module.optimizer()

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            _, loss = module.found(rendered.crops(drawn))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def validation(made: SimulatedMaterial) -> list[MaterialData]:
    segments, metadata, truth, _ = batch(made, torch.device("cpu"))
    names = ("thickness_nm", "alpha", "beta", "gamma")
    known = dict(zip(names, metadata.double().numpy().T, strict=True))
    images = segments.numpy()
    return [MaterialData("Made", images, truth.numpy(), images[:, None], np.array([1e5]), 0.2, known)]


@pytest.mark.filterwarnings("ignore")
def test_a_training_goes_on_from_its_checkpoint(made: SimulatedMaterial, tmp_path: Path) -> None:
    """As far as a GPU sums alike: some of its sums are in any order."""

    def trained(folder: Path, epochs: int, stopped: bool = False) -> torch.Tensor:
        torch.manual_seed(1)
        chosen = settings(epochs, "bf16-mixed" if DEVICE.type == "cuda" else "32-true")
        splits = Splits(crops(made, torch.device("cpu")), validation(made), chosen, 1)
        module = Training(ModelSettings(12), chosen, 0.2, splits.steps)
        trainer, _ = make_trainer(folder, chosen, "auto", [])
        trainer.fit_loop.max_epochs = 1 if stopped else epochs
        newest = folder / NEWEST
        trainer.fit(module, splits, ckpt_path=newest if newest.is_file() else None, weights_only=True)
        return torch.cat([weight.detach().flatten().cpu() for weight in module.parameters()])

    whole = trained(tmp_path / "whole", 2)
    first = trained(tmp_path / "parts", 2, stopped=True)
    parts = trained(tmp_path / "parts", 2)
    change = float((whole - first).norm())
    assert float((whole - parts).norm()) < (0.05 if DEVICE.type == "cuda" else 1e-6) * change
