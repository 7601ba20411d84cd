"""A fit finds what its image was made with, though it knows neither the displacements nor the scattering factors."""

import json
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.cli import main
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.crystal.structure import orthogonal_cell, read_structure
from iphasenet.fitting.crystal_model import CrystalModel
from iphasenet.fitting.figure import draw_patches
from iphasenet.fitting.fit import Fit, fit
from iphasenet.fitting.limits import Limits
from iphasenet.fitting.orientation import CAREFUL, Orientation
from iphasenet.fitting.outcome import as_reconstruction, at_limits, describe, parameters_of, potentials, simulated
from iphasenet.fitting.patches import fit_patches
from iphasenet.fitting.search import Candidate
from iphasenet.fitting.simulation_cache import SimulationCache
from iphasenet.fitting.start_network import Guess, Start, StartNetwork
from iphasenet.fitting.start_training import train_start
from iphasenet.fitting.task import Task
from iphasenet.microscope.acquisition import Acquisition
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.multislice.periodic_images import PeriodicImages, simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.network.losses import correlations
from iphasenet.simulation.image import Image
from iphasenet.simulation.noise import record_images
from iphasenet.simulation.rendering import Field, render
from iphasenet.simulation.tilts import crystal_lean
from tests.physics.conftest import MICROSCOPE, STRUCTURES

ALPHA, BETA, GAMMA, DEFOCUS, SOURCE, OFFSET = 0.16, -0.11, 24.0, 30.0, 0.3, (0.3, 0.6)
IMAGE, DOSE = Image(128, 0.2), 1e5

NEAR = Limits(thickness_nm=(5, 30), tilt_reach_deg=0.3, defocus_angstrom=(-60, 60), rotation_deg=None)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for each test: commands must not write to that of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "iphasenet" / "fit"


@cache
def series(alpha: float = ALPHA) -> tuple[CrystalPotential, PeriodicImages]:
    """Images of KNbO3 at a tilt, with other displacements and scattering factors than those of the fit."""
    cell = orthogonal_cell(read_structure(STRUCTURES / "KNbO3.cif", temperature_k=293))
    cell.arrays["displacements"] = cell.arrays["displacements"] * 0.85**2
    potential = sampled_potential(cell, 0.1, IMAGE.sampling_angstrom, "kirkland")
    microscope = replace(MICROSCOPE, source_size_angstrom=SOURCE, aberrations={"defocus": DEFOCUS})
    numerics = Numerics(0.1, 0.5, 20.0, thermal_noise=0.001, thermal_passes=1, thermal_coarse_passes=0)
    lean = crystal_lean(alpha, BETA, GAMMA)
    return potential, simulate_images(potential, microscope, numerics, [160.0], lean, (GAMMA,), seed=[9])


def noisy(alpha: float, image: Image, dose: float) -> NDArray[np.float32]:
    """Record such an image."""
    images = series(alpha)[1]
    segments = torch.from_numpy(render(images.coefficients[0, 0], images.lengths, field(image, images)))
    acquisition, rng = Acquisition(0.3, 0.01, 0.02, 0.0), np.random.default_rng(5)
    found: NDArray[np.float32] = record_images(segments[None], [dose], image.sampling_angstrom, acquisition, [rng])[
        0
    ].numpy()
    return found


def field(image: Image, images: PeriodicImages) -> Field:
    """Where all images lie on the crystal."""
    return Field(image, GAMMA, (OFFSET[0] * images.lengths[0], OFFSET[1] * images.lengths[1]))


@cache
def recorded(dose: float = DOSE) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Noisy images, the potential and the thickness [Å]."""
    potential, images = series()
    slicing, depth = potential.slicing(0.5), float(images.depths[0])
    projected = potential.projected(slicing, slicing.nearest(depth), crystal_lean(ALPHA, BETA, GAMMA))
    return noisy(ALPHA, IMAGE, dose), render(projected, images.lengths, field(IMAGE, images)), depth


def known_cell(material: str = "KNbO3") -> Any:
    """Cell with the displacements of its file."""
    return orthogonal_cell(read_structure(STRUCTURES / f"{material}.cif", temperature_k=293), (0, 0, 1), 0.2)


def recorded_image(dose: float = DOSE) -> SegmentedImage:
    """Image with all calibrations of the microscope, and none of the crystal."""
    return SegmentedImage(
        recorded(dose)[0], "image", order=(0, 1, 2, 3), sampling=IMAGE.sampling_angstrom, energy_kev=200.0,
        semiangle_mrad=20.0, detector_inner_mrad=10.0, detector_outer_mrad=50.0, beam_intensity=1.0,
    )  # fmt: skip


def saved(folder: Path, segments: NDArray[np.float32]) -> str:
    """Write images with all calibrations of the microscope, and return the file's path."""
    path = folder / "image.npz"
    np.savez(
        path, segments=segments, order=[0, 1, 2, 3], beam_intensity=1.0, sampling=IMAGE.sampling_angstrom,
        energy_kev=200.0, semiangle_mrad=20.0, detector_inner_mrad=10.0, detector_outer_mrad=50.0,
    )  # fmt: skip
    return str(path)


@cache
def fitted() -> Fit:
    """Fit of that image."""
    return fit(Task(recorded()[0], IMAGE.sampling_angstrom, MICROSCOPE, known_cell(), NEAR))


def test_tilt_thickness_and_defocus_are_found_from_nothing() -> None:
    found = parameters_of(fitted())
    value = {name: one["value"] for name, one in found.items()}
    assert np.hypot(value["alpha_deg"] - ALPHA, value["beta_deg"] - BETA) < 0.01
    assert (value["gamma_deg"] - GAMMA) % 90 == pytest.approx(0, abs=0.1) or (value["gamma_deg"] - GAMMA) % 90 > 89.9
    assert value["thickness_nm"] == pytest.approx(recorded()[2] / 10, abs=1.0)
    assert value["defocus_angstrom"] == pytest.approx(DEFOCUS, abs=6)
    assert value["source_size_angstrom"] == pytest.approx(SOURCE, abs=0.03)
    assert all(0 < one["error"] < 1e3 for one in found.values())


def test_the_crystal_explains_the_images_within_their_noise() -> None:
    found = fitted()
    assert found.refined.unexplained < 0.02 and found.harmonics.explained > 0.9
    left = recorded()[0] - simulated(found)
    np.testing.assert_allclose(left.std(axis=(1, 2)), found.harmonics.noise, rtol=0.1)


def test_the_potential_is_that_of_the_image() -> None:
    projected, columns = potentials(fitted())
    true = torch.from_numpy(recorded()[1])[None]
    assert float(correlations(torch.from_numpy(projected)[None].float(), true)) > 0.98
    # Columns do not lean: their mean over the thickness is that of the tilted crystal.
    assert columns.mean() * fitted().refined.parameters.depth == pytest.approx(projected.mean(), rel=0.02)


def test_a_reconstruction_holds_the_result() -> None:
    made = as_reconstruction(fitted(), recorded_image())
    assert made.potential.shape == recorded()[1].shape
    assert made.attributes["parameters"] == parameters_of(fitted())
    assert made.thickness_nm == pytest.approx(fitted().refined.parameters.depth / 10)
    assert json.dumps(describe(fitted()))


def test_a_detector_that_is_turned_in_the_image_is_turned_in_the_simulation() -> None:
    turned = replace(MICROSCOPE, detector_rotation_deg=20.0)
    right, wrong = (
        fit(
            Task(
                recorded()[0],
                IMAGE.sampling_angstrom,
                one,
                known_cell(),
                replace(NEAR, tilt_deg=(ALPHA, BETA), tilt_reach_deg=0.0),
            )
        )
        for one in (MICROSCOPE, turned)
    )
    assert right.refined.unexplained < 0.02 < 0.1 < wrong.refined.unexplained


def test_errors_hold_the_scatter_between_sets_of_displacements() -> None:
    found = fitted()
    orientation = Orientation(found.task, found.lattice, found.harmonics, found.model)
    one, several = (
        orientation.refine(found.refined.parameters, replace(CAREFUL, window=0.5, seeds=seeds), 0.01)
        for seeds in (1, 4)
    )
    # In a small window, a set of displacements moves the tilt by more than noise does.
    assert several.errors["alpha"] > 1.1 * one.errors["alpha"]
    # Their average explains more than one of them.
    assert several.unexplained < one.unexplained


def test_a_second_search_takes_its_simulations_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = fitted()
    task = replace(found.task, cache=SimulationCache(tmp_path), limits=replace(NEAR, defocus_angstrom=(0, 50)))

    def searched(rotation: float) -> list[Candidate]:
        turned = found.lattice.rotation_deg + rotation
        model = CrystalModel(task.cell, task.microscope, turned, found.model.orders)
        return Orientation(task, found.lattice, found.harmonics, model).search((0.0, 0.1), lambda *_: None)

    first = searched(0.0)
    with monkeypatch.context() as patched:
        patched.setattr(CrystalModel, "simulate", lambda *_: pytest.fail("simulated again"))
        # Rotations that differ by less than a degree share simulations.
        (again,) = searched(0.1)
    assert again.parameters.depth == first[0].parameters.depth
    assert again.unexplained == pytest.approx(first[0].unexplained, rel=1e-4)
    assert len(list(tmp_path.iterdir())) == len(first) == 1
    searched(2.0)
    assert len(list(tmp_path.iterdir())) == 2


def guessing(tilt: tuple[float, float], monkeypatch: pytest.MonkeyPatch) -> Start:
    """Make a network that guesses the same tilt of any image."""
    monkeypatch.setattr(Start, "guess", lambda *_: Guess(tilt, 0.05, 160.0, 0.0))
    return Start(StartNetwork(1), {}, {})


def test_a_guess_shortens_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = replace(fitted().task, limits=replace(NEAR, tilt_reach_deg=0.8))
    steps: list[tuple[str, int]] = []
    start = guessing((ALPHA + 0.1, BETA), monkeypatch)
    found = fit(replace(wide, start=start), lambda step, _, every: steps.append((step, every)))
    one, other = found.refined.parameters, fitted().refined.parameters
    assert one.tilt_from(other) < 0.002
    assert one.depth == pytest.approx(other.depth, abs=3)
    # The search to 0.5 degrees has 19 tilts.
    assert max(every for step, every in steps if step.startswith("search")) < 10


def test_a_wrong_guess_misleads_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = replace(fitted().task, limits=replace(NEAR, tilt_reach_deg=0.8))
    found = fit(replace(wide, start=guessing((-0.6, 0.3), monkeypatch)))
    assert found.refined.parameters.tilt_from(fitted().refined.parameters) < 0.002


def test_processes_do_not_change_the_result() -> None:
    task = replace(fitted().task, limits=replace(NEAR, tilt_deg=(ALPHA, BETA), tilt_reach_deg=0.2))
    found = [fit(replace(task, threads=threads)).refined.parameters for threads in (1, 2)]
    assert found[0] == found[1]


def test_what_is_given_stays_as_it_is_and_what_ends_at_a_limit_is_named() -> None:
    known = replace(
        NEAR, tilt_deg=(ALPHA, BETA), tilt_reach_deg=0.0, source_size_angstrom=(0.1, 0.1), scale=(1, 1),
        displacement=(1, 1), thickness_nm=(16, 16.2), defocus_angstrom=(-60, 0),
    )  # fmt: skip
    found = fit(Task(recorded()[0], IMAGE.sampling_angstrom, MICROSCOPE, known_cell(), known))
    parameters = found.refined.parameters
    assert (parameters.alpha, parameters.beta, parameters.scale, parameters.displacement) == (ALPHA, BETA, 1, 1)
    assert parameters.source_variance == pytest.approx(0.01)
    assert "defocus" in at_limits(found) and "offset_x" not in at_limits(found)


def test_atoms_at_rest_have_no_displacements_to_fit() -> None:
    cell = known_cell()
    cell.arrays["displacements"] = 0 * cell.arrays["displacements"]
    known = replace(NEAR, tilt_deg=(ALPHA, BETA), tilt_reach_deg=0.0, thickness_nm=(15, 17))
    found = fit(Task(recorded()[0], IMAGE.sampling_angstrom, MICROSCOPE, cell, known))
    assert "displacement" not in found.refined.errors
    assert found.refined.unexplained > 0.01 and json.dumps(describe(found), allow_nan=False)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"segments": recorded()[0][:, :30, :30]}, "field: found 6 Å"),
        ({"cell": "GaN"}, "contrast at the lattice of GaN"),
        ({"segments": np.random.default_rng(0).normal(0.1, 0.02, (4, 128, 128))}, "times their noise"),
    ],
)
def test_what_cannot_be_fitted_is_refused(changed: dict[str, Any], message: str) -> None:
    task = Task(recorded()[0], IMAGE.sampling_angstrom, MICROSCOPE, known_cell(), NEAR)
    changed = {**changed, **({"cell": known_cell("GaN")} if "cell" in changed else {})}
    with pytest.raises(InputError, match=message):
        fit(replace(task, **changed))


def test_the_command_writes_numbers_potential_and_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = saved(tmp_path, recorded()[0])
    outputs = ["--output", "fit.json", "--figure", "fit.png", "--potential", "fit.npz"]
    paths = [text if text.startswith("--") else str(tmp_path / text) for text in outputs]
    known = f"--tilt {ALPHA} {BETA} --tilt-range 0 --thickness 10:20 --defocus {DEFOCUS} --displacement 1".split()
    main(["fit", image, "--structure", str(STRUCTURES / "KNbO3.cif"), *paths, *known])
    written = json.loads((tmp_path / "fit.json").read_text())
    assert written["structure"] == "KNbO3.cif"
    assert written["parameters"]["alpha_deg"] == {"value": ALPHA, "error": None, "unit": "degrees"}
    assert written["parameters"]["thickness_nm"]["value"] == pytest.approx(16, abs=1)
    assert "thickness 1" in capsys.readouterr().out
    with np.load(tmp_path / "fit.npz") as made:
        assert made["potential"].shape == (128, 128)
    assert (tmp_path / "fit.png").stat().st_size > 10_000


@pytest.mark.parametrize(("order", "right"), [([1, 0, 3, 2], "2 1 4 3"), ([1, 0, 2, 3], "2 1 3 4")])
def test_segments_in_another_order_are_refused_and_the_right_one_is_named(
    tmp_path: Path, order: list[int], right: str
) -> None:
    image = saved(tmp_path, recorded()[0][order])
    known = f"--tilt {ALPHA} {BETA} --tilt-range 0 --thickness 16 --defocus {DEFOCUS} --displacement 1".split()
    with pytest.raises(SystemExit) as ended:
        main(
            ["fit", image, "--structure", str(STRUCTURES / "KNbO3.cif"),
             "--output", str(tmp_path / "fit.json"), *known]
        )  # fmt: skip
    said = str(ended.value)
    assert (
        "of the contrast unexplained" in said
        and "or --also astigmatism" in said
        and said.endswith(f"--segment-order {right} --scan-rotation 0")
        and not (tmp_path / "fit.json").exists()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--map", "129"], "--map: found patches of 129 pixels; allowed: 41 pixels"),
        (
            ["--start", "image.npz"],
            r"image\.npz: found no usable network \(.*allowed: a file written by iphasenet train",
        ),
        (["--start", "gone.safetensors"], "gone.safetensors: there is no such file; give a network"),
        (["--cache", "image.npz"], "image.npz: found a file; allowed: a folder"),
        (["--structure", "a.cif", "a.cif"], "--structure: found a.cif twice; allowed: each once"),
        (["--structure", str(STRUCTURES / "GaN.cif"), "gone.cif"], "^iphasenet: gone.cif: there is no such file"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_fit(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = saved(tmp_path, recorded()[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("iphasenet.commands.fit.fit_with_progress", lambda *_: pytest.fail("fitted"))
    with pytest.raises(SystemExit, match=message):
        main(["fit", image, "--structure", str(STRUCTURES / "KNbO3.cif"), "--output", "fit.json", *options])


def test_a_trained_start_serves_its_own_crystal_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image, network = saved(tmp_path, recorded()[0]), str(tmp_path / "start.safetensors")
    monkeypatch.setattr("iphasenet.commands.train_start.train_start", partial(train_start, steps=20))
    structure = str(STRUCTURES / "KNbO3.cif")
    ranges = ["--thickness", "5:8", "--tilt-range", "0.3", "--defocus=-20:20"]
    main(["train-start", image, "--structure", structure, "--simulations", "20", "--output", network, *ranges])
    assert "guesses tilts that it has not seen to 0." in capsys.readouterr().out
    tasks: list[Task] = []
    monkeypatch.setattr("iphasenet.commands.fit.fit_with_progress", lambda task: tasks.append(task) or fitted())
    fitting = ["fit", image, "--output", str(tmp_path / "fit.json"), "--start", network]
    main([*fitting, "--structure", structure])
    assert tasks[0].start is not None and tasks[0].start.described["simulations"] == 20
    message = r"--start: .*start\.safetensors: found a network for another crystal, temperature or microscope"
    for other in (["--structure", str(STRUCTURES / "GaN.cif")], ["--structure", structure, "--temperature", "100"]):
        with pytest.raises(SystemExit, match=message):
            main([*fitting, *other])
    with pytest.raises(SystemExit, match="--start has no effect without --structure"):
        main(["reconstruct", image, "--output", str(tmp_path / "potential.npz"), "--start", network])


def test_a_reconstruction_of_a_known_crystal_is_told_what_the_fit_finds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = saved(tmp_path, recorded()[0])
    # Told as a microscope tells: the fit finds the rest.
    told = ["--thickness", "18", "--tilt", "0.3", "-0.2", "--no-check", "--turns", "1"]
    main(
        ["reconstruct", image, "--structure", str(STRUCTURES / "KNbO3.cif"), *told,
         "--output", str(tmp_path / "potential.npz")]
    )  # fmt: skip
    said = capsys.readouterr().out
    assert "KNbO3.cif: alpha 0.1" in said and "found by a fit of KNbO3.cif" in said and "(± 0.00" in said
    with np.load(tmp_path / "potential.npz") as made:
        np.testing.assert_allclose(made["tilt_deg"], [ALPHA, BETA], atol=0.01)
        assert float(made["thickness_nm"]) == pytest.approx(recorded()[2] / 10, abs=1.0)
        found = torch.from_numpy(made["potential"])[None]
    assert float(correlations(found, torch.from_numpy(recorded()[1])[None])) > 0.9


def test_patches_of_a_bent_crystal_have_their_own_tilts(tmp_path: Path) -> None:
    wide, bend = Image(2 * IMAGE.pixels, IMAGE.sampling_angstrom), 0.08
    rows = slice(IMAGE.pixels // 2, 3 * IMAGE.pixels // 2)
    left, right = (noisy(alpha, wide, DOSE)[:, rows] for alpha in (ALPHA, ALPHA + bend))
    both = np.concatenate([left[..., : IMAGE.pixels], right[..., IMAGE.pixels :]], axis=-1)
    whole = replace(fitted(), task=replace(fitted().task, segments=both))
    patches = fit_patches(whole, IMAGE.pixels)
    np.testing.assert_allclose(patches.maps["alpha_deg"], [[ALPHA, ALPHA + bend]], atol=0.01)
    np.testing.assert_allclose(patches.maps["beta_deg"], BETA, atol=0.01)
    np.testing.assert_allclose(patches.maps["thickness_nm"], recorded()[2] / 10, atol=1.0)
    np.testing.assert_allclose(patches.maps["strain_xx_percent"], 0, atol=0.2)
    assert json.dumps(patches.described(), allow_nan=False)
    draw_patches(patches, tmp_path / "map.png")
    assert (np.abs(patches.maps["strain_xx_percent"]) < 4 * patches.maps["strain_error_percent"]).all()
    # Two of the widest planes, 4.03 Å apart, on pixels of 0.2 Å.
    for pixels in (40, 300):
        with pytest.raises(InputError, match=f"found patches of {pixels} pixels; allowed: 41 pixels.* to 128"):
            fit_patches(whole, pixels)


def test_a_patch_without_a_lattice_is_left_out() -> None:
    crystal = fitted().task.segments[:, :100]
    noise = np.random.default_rng(0).normal(crystal.mean(), 0.02, crystal.shape)
    whole = replace(fitted(), task=replace(fitted().task, segments=np.concatenate([crystal, noise], axis=2)))
    patches = fit_patches(whole, 96)
    assert np.isfinite(patches.maps["alpha_deg"][0, 0]) and patches.empty == 1
    assert patches.described()["alpha_deg"][0][1] is None
    # What is left over at the edges is shared by both sides.
    assert patches.corner == pytest.approx((32 * IMAGE.sampling_angstrom, 2 * IMAGE.sampling_angstrom))
