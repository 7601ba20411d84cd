"""How well tilt, thickness and focus of a known crystal are found from images that another model has made.

python -m benchmarks.crystal_fit --output results/fit --thickness 20 40 80 --materials GaN KNbO3 MoS2

The images have displacements that are 15 % smaller, Kirkland's scattering factors in place of Lobato's, finer pixels
and slices, and more passes; defocus within 10 nm, a source of 0.2 to 0.5 Å, scan noise and drift, gains 1 % off.
Nothing is told but the microscope. The specimens are kept beside the results; a stopped run goes on where it was.

Pearson's r is that of the potential: of the fitted crystal, of the shipped network that is told what the fit has found,
of the same network told the truth, and of iDPC.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas
import torch
from ase import Atoms

from iphasenet.base.devices import choose_device, use_threads
from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_file
from iphasenet.crystal.structure import orthogonal_cell, read_structure
from iphasenet.fitting.fit import Fit, fit
from iphasenet.fitting.limits import Limits
from iphasenet.fitting.outcome import parameters_of, potentials
from iphasenet.fitting.task import Task
from iphasenet.microscope.acquisition import Acquisition
from iphasenet.microscope.optics import Microscope
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.multislice.periodic_images import simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.reconstruction.reconstruct import Choices, Reconstruction, Trained, load_trained, reconstruct
from iphasenet.simulation.grid import generator
from iphasenet.simulation.image import Image
from iphasenet.simulation.noise import record_images
from iphasenet.simulation.rendering import Field, render
from iphasenet.simulation.tilts import lab_tilt

MICROSCOPE = Microscope(200, 20, 10, 50)
IMAGE = Image(256, 0.1)
ACQUISITION = Acquisition(readout_electrons=0.3, gain_mismatch=0.01, jitter_angstrom=0.02, drift_angstrom=0.1)
ZONES = {"LiCoO2": (1, 0, 0)}
TILT_STD = 0.3
"""Standard deviation of the tilt about each axis [degrees]."""


@dataclass(frozen=True)
class Specimen:
    """What an image was made with, angles [degrees], lengths [Å], and the image without noise."""

    tilt: tuple[float, float]
    rotation: float
    depth: float
    defocus: float
    source: float
    segments: np.ndarray
    potential: np.ndarray

    @classmethod
    def kept(cls, path: Path, make: Callable[[], "Specimen"]) -> "Specimen":
        """Read a specimen from an archive, or make it and write it there."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as part:
                np.savez(part, **asdict(make()))
        with np.load(path) as found:
            values = {name: found[name] for name in found.files}
        alone = {name: float(values[name]) for name in ("rotation", "depth", "defocus", "source")}
        return cls(**{**values, **alone, "tilt": tuple(values["tilt"].tolist())})

    def recorded(self, dose: float, number: int) -> np.ndarray:
        """Record the image with a dose [e/Å²]."""
        clean = torch.from_numpy(self.segments)[None]
        rng = np.random.default_rng([number, round(self.depth), round(dose)])
        return record_images(clean, [dose], IMAGE.sampling_angstrom, ACQUISITION, [rng])[0].numpy()


def made(material: str, thickness: float, number: int, device: str, same: bool = False) -> Specimen:
    """
    Make one specimen, with the fit's displacements and scattering factors or not.

    It has as many whole cells as come nearest to a thickness [nm]: what ends between them has no thickness that is
    better defined than to a layer.
    """
    rng = generator(number, material, "noise", round(thickness))
    lean = np.radians(rng.normal(0, TILT_STD, 2))
    rotation, defocus, source = float(rng.uniform(0, 360)), float(rng.uniform(-100, 100)), float(rng.uniform(0.2, 0.5))
    offset = rng.random(2)
    cell = cell_of(material)
    cell.arrays["displacements"] = cell.arrays["displacements"] * (1 if same else 0.85**2)
    potential = sampled_potential(cell, 0.1, IMAGE.sampling_angstrom, "lobato" if same else "kirkland")
    microscope = replace(MICROSCOPE, source_size_angstrom=source, aberrations={"defocus": defocus})
    # Twice the semiangle times the thickness, and some more.
    window = float(np.clip(0.46 * thickness, 20, 70))
    # Four times as many as the fit has, so that the images' scatter is half of the fit's.
    numerics = Numerics(0.1, 0.5, window, thermal_noise=1e-3, thermal_passes=16, thermal_coarse_passes=0,
                        thermal_period_angstrom=1.0)  # fmt: skip
    tilt = (float(lean[0]), float(lean[1]))
    height = float(cell.cell.lengths()[2])
    images = simulate_images(
        potential,
        microscope,
        numerics,
        [height * round(10 * thickness / height)],
        tilt,
        (rotation,),
        device,
        seed=[number, 7],
    )
    field = Field(IMAGE, rotation, (offset[0] * images.lengths[0], offset[1] * images.lengths[1]))
    segments = render(images.coefficients[0, 0], images.lengths, field)
    depth, slicing = float(images.depths[0]), potential.slicing(0.5)
    projected = render(potential.projected(slicing, slicing.nearest(depth), tilt), images.lengths, field)
    return Specimen(lab_tilt(tilt, rotation), rotation, depth, defocus, source, segments, projected)


def cell_of(material: str) -> Atoms:
    """Orthogonal cell of a shipped material at 293 K."""
    atoms = read_structure(Path("resources/structures") / f"{material}.cif", temperature_k=293)
    return orthogonal_cell(atoms, ZONES.get(material, (0, 0, 1)), 0.2)


def told_network(
    segments: np.ndarray, dose: float, trained: Trained, thickness_nm: float, tilt: tuple[float, float], rotation: float
) -> Reconstruction:
    """Reconstruct the potential by a network that is told these numbers, which are right or not."""
    (detector,) = MICROSCOPE.detectors
    image = SegmentedImage(
        segments.astype(np.float32),
        "bench",
        order=(0, 1, 2, 3),
        sampling=IMAGE.sampling_angstrom,
        energy_kev=MICROSCOPE.energy_kev,
        semiangle_mrad=MICROSCOPE.semiangle_mrad,
        detector_inner_mrad=detector.inner_mrad,
        detector_outer_mrad=detector.outer_mrad,
        dose=dose,
        beam_intensity=1.0,
        scan_rotation_deg=0.0,
        thickness_nm=thickness_nm,
        tilt_deg=tilt,
        rotation_deg=rotation,
    )
    return reconstruct(image, trained, Choices(turns=1))


def row(
    material: str, thickness: float, dose: float, number: int, same: bool, trained: Trained, options: argparse.Namespace
) -> dict[str, object]:
    """Make an image, fit it, and compare."""
    device = choose_device(options.device)
    path = options.output / "specimens" / f"{material}-{thickness:g}-{number}{'-same' * same}.npz"
    true = Specimen.kept(path, lambda: made(material, thickness, number, device, same))
    segments = true.recorded(dose, number)
    key = {"material": material, "thickness_nm": thickness, "dose": dose, "number": number, "same_physics": same}
    start = time.monotonic()
    task = Task(segments, IMAGE.sampling_angstrom, MICROSCOPE, cell_of(material), Limits(), device=device,
                threads=options.threads)  # fmt: skip
    try:
        found = fit(task)
    except InputError as error:
        return {**key, "refused": str(error)}
    value = {name: one["value"] for name, one in parameters_of(found).items()}
    error = {name: one["error"] for name, one in parameters_of(found).items()}
    seconds = time.monotonic() - start
    tilt = np.hypot(value["alpha_deg"] - true.tilt[0], value["beta_deg"] - true.tilt[1])
    return {
        **key,
        "tilt_deg": float(np.hypot(*true.tilt)),
        "tilt_error_deg": float(tilt),
        "tilt_sigma_deg": float(np.hypot(error["alpha_deg"], error["beta_deg"])),
        "tilt_sigmas": float(
            np.hypot(
                (value["alpha_deg"] - true.tilt[0]) / error["alpha_deg"],
                (value["beta_deg"] - true.tilt[1]) / error["beta_deg"],
            )
            / np.sqrt(2)
        ),
        "thickness_error_nm": value["thickness_nm"] - true.depth / 10,
        "thickness_sigma_nm": error["thickness_nm"],
        "defocus_error_nm": (value["defocus_angstrom"] - true.defocus) / 10,
        "defocus_sigma_nm": error["defocus_angstrom"] / 10,
        "source_error_angstrom": value["source_size_angstrom"] - true.source,
        "unexplained": found.refined.unexplained,
        "seconds": seconds,
        **_pearsons(found, true, segments, dose, trained),
    }


def _pearsons(found: Fit, true: Specimen, segments: np.ndarray, dose: float, trained: Trained) -> dict[str, float]:
    """Pearson's r of the potential by several methods, on the network's pixels."""
    at = found.refined.parameters
    fitted = told_network(segments, dose, trained, at.depth / 10, at.tilt, found.model.rotation_deg)
    told = told_network(segments, dose, trained, true.depth / 10, true.tilt, true.rotation)
    potential = _halved(true.potential)
    return {
        "potential_pearson": _pearson(_halved(potentials(found)[0]), potential),
        "network_pearson": _pearson(fitted.potential, potential),
        "told_pearson": _pearson(told.potential, potential),
        "idpc_pearson": _pearson(told.idpc, potential),
    }


def _halved(image: np.ndarray) -> np.ndarray:
    """Mean over two by two pixels."""
    rows, columns = (size // 2 for size in image.shape)
    return np.asarray(image.reshape(rows, 2, columns, 2).mean(axis=(1, 3)))


def _pearson(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit images of all materials and thicknesses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of fits.csv")
    parser.add_argument("--materials", nargs="+", default=["GaN", "KNbO3", "MoS2", "LiCoO2", "PVSK"])
    parser.add_argument("--thickness", type=float, nargs="+", default=[20, 40, 80, 120], help="thicknesses [nm]")
    parser.add_argument("--doses", type=float, nargs="+", default=[1e5], help="doses [e/Å²]")
    parser.add_argument("--images", type=int, default=1, help="images of each")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, default=1, help="simulations at a time")
    parser.add_argument("--same-physics", action="store_true",
                        help="images with the fit's own displacements and scattering factors")  # fmt: skip
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "fits.csv"
    rows = pandas.read_csv(path).to_dict("records") if path.exists() else []
    done = {(one["material"], one["thickness_nm"], one["dose"], one["number"], one["same_physics"])
            for one in rows}  # fmt: skip
    cases = [
        (material, thickness, dose, number, options.same_physics)
        for number in range(options.images)
        for thickness in options.thickness
        for dose in options.doses
        for material in options.materials
    ]
    trained = load_trained(device=choose_device(options.device))
    for case in cases:
        if case not in done:
            with use_threads(1):
                rows.append(row(*case, trained, options))
            pandas.DataFrame(rows).to_csv(path, index=False)
            print(pandas.Series(rows[-1]).to_string(), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
