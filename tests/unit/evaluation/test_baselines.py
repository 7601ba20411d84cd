"""Baselines: filters against fields whose best estimate is known, the nearest training sample against a search."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from iphasenet.base.errors import InputError
from iphasenet.dataset.material_data import MaterialData
from iphasenet.dataset.reader import open_dataset, read_material
from iphasenet.evaluation.baselines import Baselines, fit_baselines, nearest_training, shot_noise, told_baselines
from iphasenet.evaluation.idpc import idpc
from iphasenet.evaluation.mirror_boundary import with_mirror_images
from iphasenet.evaluation.phase_inversion import invert_phase, potential_transfer
from iphasenet.evaluation.wiener import WienerFilter, WienerFit
from iphasenet.microscope.optics import Microscope
from iphasenet.simulation.grid import LeftOut
from tests.unit.dataset.test_reader import make

MICROSCOPE = Microscope(energy_kev=200, semiangle_mrad=20, detector_inner_mrad=10, detector_outer_mrad=50)
SIDE, SAMPLING, NOISE = 48, 0.2, 0.2
RIGHT, DOWN = np.array([-1, 1, -1, 1]), np.array([-1, -1, 1, 1])


def spectra(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Power of the random field and transfer (4, y, x) of the segments: a blurred field and its differences."""
    ky, kx = np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side), indexing="ij")
    blur = np.exp(-((kx**2 + ky**2) / (2 * 0.2**2)))
    slopes = RIGHT[:, None, None] * np.sin(2 * np.pi * kx) + DOWN[:, None, None] * np.sin(2 * np.pi * ky)
    return 1 / (1 + (kx**2 + ky**2) / 0.1**2) ** 2, blur * (0.5 + 1j * slopes)


def fields(count: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Segments and field, windows of a periodic field twice as large."""
    rng, (power, transfer) = np.random.default_rng(seed), spectra(2 * SIDE)
    for _ in range(count):
        spectrum = np.fft.fft2(rng.normal(size=power.shape)) * np.sqrt(power)
        images = np.fft.ifft2(np.concatenate([transfer, np.ones_like(transfer[:1])]) * spectrum).real[:, :SIDE, :SIDE]
        yield images[:4] + 0.3, images[4]


def fitted(count: int = 200) -> WienerFilter:
    fit = WienerFit((SIDE, SIDE))
    for segments, field in fields(count, 0):
        fit.add(segments, field + 12)
    return fit.solve()


def error(found: np.ndarray, field: np.ndarray) -> float:
    return float(np.mean((found - found.mean() - field + field.mean()) ** 2))


def test_wiener_filter_of_noisy_images_is_near_the_best_there_is() -> None:
    """Within 10 % of the filter by the true spectra, whose error is known; better than inverse filter and iDPC."""
    wiener, rng, variance = fitted(), np.random.default_rng(1), np.full(4, NOISE)
    errors = []
    for segments, field in fields(40, 2):
        noisy = segments + rng.normal(size=segments.shape) * np.sqrt(NOISE)
        gradient = idpc(noisy, 1.0)
        scale = (gradient * field).sum() / (gradient**2).sum()
        candidates = (wiener.apply(noisy, variance), wiener.apply(noisy, 0 * variance), scale * gradient)
        errors.append([error(candidate, field) for candidate in candidates])
    power, transfer = spectra(SIDE)
    best = power / (1 + power * (np.abs(transfer) ** 2).sum(axis=0) / NOISE)
    best[0, 0] = 0
    found, inverse, integrated = np.mean(errors, axis=0)
    assert 0.9 * best.mean() < found < 1.1 * best.mean()
    assert found < 0.8 * min(inverse, integrated)


def test_wiener_filter_without_noise_recovers_the_field() -> None:
    """Away from the frame's edges, where the segments hold what lies beyond, 98 % of the field's variance."""
    wiener, inside = fitted(), np.s_[8:-8, 8:-8]
    for segments, field in fields(10, 3):
        found = wiener.apply(segments, np.zeros(4))
        assert error(found[inside], field[inside]) < 0.02 * field.var()


def test_wiener_filter_gives_nothing_where_training_saw_nothing() -> None:
    """Training holds low frequencies alone; farther from them than the smoothing reaches, the filter falls to 0."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE))
    fit = WienerFit((SIDE, SIDE))
    for segments, field in fields(50, 0):
        low = np.fft.irfft2(np.fft.rfft2([*segments, field]) * (frequency < 0.1), s=(SIDE, SIDE))
        fit.add(low[:4], low[4])
    gain = np.abs(fit.solve().transfer(np.zeros(4))).max(axis=0)
    assert gain[frequency > 0.35].max() < 0.01 * gain.max()


def test_mirrored_segments_are_those_of_the_mirrored_specimen() -> None:
    quarter = np.random.default_rng(0).random((6, 8))
    field = np.block([[quarter, quarter[:, ::-1]], [quarter[::-1], quarter[::-1, ::-1]]])
    slope_x, slope_y = (np.roll(field, -1, axis) - np.roll(field, 1, axis) for axis in (1, 0))
    segments = RIGHT[:, None, None] * slope_x + DOWN[:, None, None] * slope_y + field
    np.testing.assert_allclose(with_mirror_images(segments[:, :6, :8]), segments)


def material(count: int = 6, pixels: int = SIDE) -> MaterialData:
    """Segments whose iDPC is the potential's deviation from 12 V over 40 V Å, by construction; doses 1e-6 and 1e4."""
    rng = np.random.default_rng(5)
    position = np.arange(pixels) * SAMPLING
    thickness = np.array([20.0, 40.0] * (count // 2))
    segments, potentials = [], []
    for length in 10 * thickness:
        phase_x, phase_y = rng.uniform(0, 2 * np.pi, 2)
        wave = 2 * np.pi / 2.4
        field = np.sin(wave * position + phase_x)[None, :] * np.sin(wave * position + phase_y)[:, None]
        slope_y, slope_x = np.gradient(0.02 * field, SAMPLING)
        segments.append(0.15 + (RIGHT[:, None, None] * slope_x + DOWN[:, None, None] * slope_y) / 4)
        potentials.append(12 * length + 40 * 0.02 * field)
    coordinates = {name: np.zeros(count) for name in ("alpha", "beta", "gamma")} | {"thickness_nm": thickness}
    images = np.array(segments, np.float32)
    noisy = np.stack([images, images], axis=1)
    return MaterialData(
        "X", images, np.array(potentials, np.float32), noisy, np.array([1e-6, 1e4]), SAMPLING, coordinates
    )


def test_scale_and_mean_potential_are_fitted_and_survive_a_file(tmp_path: Path) -> None:
    data = material()
    baselines = fit_baselines([data, data])
    assert baselines.scale == pytest.approx(40, rel=0.1)
    assert baselines.mean_potential == pytest.approx(12, rel=1e-3)
    baselines.save(tmp_path / "folder" / "baselines.npz")
    loaded = Baselines.load(tmp_path / "folder" / "baselines.npz")
    for name, images in baselines.predict(data, MICROSCOPE).items():
        np.testing.assert_array_equal(loaded.predict(data, MICROSCOPE)[name], images)


def test_predictions_are_the_potential_and_without_electrons_its_mean() -> None:
    """Six spots are little training for a filter; these segments are no microscope's: phase has to show its sign."""
    data = material()
    found = fit_baselines([data]).predict(data, MICROSCOPE)
    mean = data.potential.mean(axis=(1, 2))
    for name, least in (("idpc", 0.95), ("wiener", 0.8), ("phase", 0.5)):
        images = found[name]
        assert images.shape == (len(data.potential), 2, SIDE, SIDE)
        assert images.dtype == np.float32
        np.testing.assert_allclose(images.mean(axis=(2, 3)), np.stack([mean, mean], axis=1), rtol=2e-2)
        for image, truth in zip(images[:, 1], data.potential, strict=True):
            assert np.corrcoef(image.ravel(), truth.ravel())[0, 1] > least, name
            assert name == "phase" or 0.5 < image.std() / truth.std() < 2, name
    for name in ("wiener", "phase"):
        assert found[name][:, 0].std(axis=(1, 2)).max() < 1e-3 * found[name][:, 1].std(axis=(1, 2)).min()


def test_filters_keep_the_images_precision() -> None:
    """Single precision costs 1e-4 of the contrast at most."""
    wiener, (segments, _) = fitted(20), next(fields(1, 4))
    noise = np.full(4, NOISE)
    transfer = potential_transfer(MICROSCOPE, (2 * SIDE, 2 * SIDE), SAMPLING)
    for estimate in (
        lambda images: wiener.apply(images, noise),
        lambda images: invert_phase(images, transfer, noise, np.float64(1e6)),
        lambda images: idpc(images, SAMPLING),
    ):
        single, double = estimate(segments.astype(np.float32)), estimate(segments)
        assert single.dtype == np.float32 and double.dtype == np.float64
        assert np.abs(single - double).max() < 1e-4 * double.std()


def test_shot_noise_is_that_of_poisson_images() -> None:
    rng, dose = np.random.default_rng(6), 1e4
    mean = np.array([0.1, 0.2, 0.3, 0.0])
    counts = rng.poisson(mean[:, None, None] * dose * SAMPLING**2, (4, 200, 200))
    noise = shot_noise(counts / (dose * SAMPLING**2), dose, SAMPLING)
    np.testing.assert_allclose(noise[:3], counts[:3].var(axis=(1, 2)) / (dose * SAMPLING**2) ** 2, rtol=0.03)
    assert noise[3] > 0


def test_bad_input_is_refused(tmp_path: Path) -> None:
    data = material()
    with pytest.raises(InputError, match="no training image"):
        fit_baselines([])
    with pytest.raises(InputError, match=r"of 0\.1 Å; allowed: 48 x 48 pixels of 0\.2 Å"):
        fit_baselines([data, replace(data, sampling=0.1)])
    with pytest.raises(InputError, match="32 x 32 pixels"):
        fit_baselines([data]).predict(material(pixels=32), MICROSCOPE)
    np.savez(tmp_path / "foreign.npz", a=np.zeros(3))
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("missing.npz", "foreign.npz", "array.npy", "text.npz"):
        with pytest.raises(
            InputError, match=rf"{name}: (there is no such file|found damage or another file).*; allowed: "
        ):
            Baselines.load(tmp_path / name)


def test_a_baseline_that_is_told_knows_where_columns_lean_to() -> None:
    """A baseline that finds the columns exactly: told the tilt, it has the leaning crystal's potential; untold, not."""
    y, x = np.mgrid[:64, :64] * 0.2
    truth, columns = (
        sum(
            np.exp(-((x - 3.2 * i - lean * step) ** 2 + (y - 3.2 * j) ** 2) / 0.3)
            for i in range(-2, 7)
            for j in range(-2, 7)
            for step in np.linspace(0, 1, 41)
        ).astype(np.float32)
        for lean in (2.0, 0.0)
    )
    # beta: towards x, 2 Å in 20 nm.
    beta = np.rad2deg(np.arctan(2.0 / 200))
    values = {"thickness_nm": 20.0, "alpha": 0.0, "beta": beta, "gamma": 12.0}
    known = {name: np.array([value]) for name, value in values.items()}
    none = np.zeros((1, 2, 4, 64, 64), np.float32)
    data = MaterialData("A", none[:, 0], truth[None], none, np.array([1e4, 1e5]), 0.2, known)
    found = told_baselines(data, {"idpc": np.stack([columns, columns])[None]})["idpc_told"]
    assert found.shape == (1, 2, 64, 64)
    for image, least in ((found[0, 1], 0.999), (columns, -1.0)):
        correlation = np.corrcoef(image[12:-12, 12:-12].ravel(), truth[12:-12, 12:-12].ravel())[0, 1]
        assert least < correlation and (least > 0) == (correlation > 0.8)


def nearest_row(group: object, thickness: float, gamma: float) -> int:
    """Row of the training sample of that thickness whose gamma is nearest on the circle."""
    data = read_material(group, "train")
    turn = np.exp(1j * np.deg2rad(data.coordinates["gamma"] - gamma))
    turn = np.where(data.coordinates["thickness_nm"] == thickness, turn.real, -2)
    return int(turn.argmax())


def test_nearest_sample_is_of_the_same_material_and_angles_are_circular(tmp_path: Path) -> None:
    dataset = make(tmp_path)
    group = open_dataset(dataset)["GaN"]
    training, asked = read_material(group, "train"), read_material(group, "test")
    rows = [nearest_row(group, t, g) for t, g in asked.metadata[:, [0, 3]]]
    np.testing.assert_array_equal(nearest_training(dataset, asked, LeftOut()), training.potential[rows])
    first = int(training.coordinates["gamma"].argmax())
    beyond = {**asked.coordinates, "gamma": np.full(len(rows), training.coordinates["gamma"][first] - 360.5)}
    beyond["thickness_nm"] = np.full(len(rows), training.coordinates["thickness_nm"][first])
    found = nearest_training(dataset, replace(asked, coordinates=beyond), LeftOut())
    np.testing.assert_array_equal(found[0], training.potential[first])


def test_nearest_sample_is_never_the_one_that_is_asked_for(tmp_path: Path) -> None:
    """Training samples themselves, as where another run's training split holds what is a test sample here."""
    dataset = make(tmp_path)
    group = open_dataset(dataset)["GaN"]
    training = read_material(group, "train")
    found = nearest_training(dataset, training, LeftOut())
    assert not any(np.array_equal(one, own) for one, own in zip(found, training.potential, strict=True))
    np.testing.assert_array_equal(found[0], training.potential[np.argsort(gamma_distance(training, 0))[1]])


def gamma_distance(data: MaterialData, row: int) -> np.ndarray:
    """On the circle, where the thickness is that of a row; all angles but gamma are equal."""
    distance = np.abs((data.coordinates["gamma"] - data.coordinates["gamma"][row] + 180) % 360 - 180)
    return np.where(data.coordinates["thickness_nm"] == data.coordinates["thickness_nm"][row], distance, np.inf)


def test_nearest_sample_is_one_that_training_has_seen(tmp_path: Path) -> None:
    dataset = make(tmp_path)
    root = open_dataset(dataset)
    asked = read_material(root["GaN"], "test")
    without = nearest_training(dataset, asked, LeftOut(materials=("GaN",)))
    other = read_material(root["MoS2"], "train")
    rows = [nearest_row(root["MoS2"], t, g) for t, g in asked.metadata[:, [0, 3]]]
    np.testing.assert_array_equal(without, other.potential[rows])
    thin = nearest_training(dataset, asked, LeftOut(thickness_nm=(40,)))
    training = read_material(root["GaN"], "train")
    rows = [nearest_row(root["GaN"], 20.0, gamma) for gamma in asked.coordinates["gamma"]]
    np.testing.assert_array_equal(thin, training.potential[rows])
    with pytest.raises(InputError, match="no training sample"):
        nearest_training(dataset, asked, LeftOut(thickness_nm=(20, 40)))
    with pytest.raises(InputError, match=r"allowed: 64 x 64 pixels of 0\.3"):
        nearest_training(dataset, replace(asked, sampling=0.3), LeftOut())
