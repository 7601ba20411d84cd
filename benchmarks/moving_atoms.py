"""The kept network on crystals whose atoms move less or more than in its training, or not at all.

    python -m benchmarks.moving_atoms resources/models/laptop.safetensors [--tilts 2] [--materials GaN ...]

Each crystal is simulated with the settings of config/laptop.yaml at tilts of no data set, and with its displacements as
they are, 25 % smaller, 25 % larger, and at rest with the settings of config/published.yaml.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import torch
from ase import Atoms

from benchmarks.common import MICROSCOPE, ZONE_AXES, cell_of, warm_cell
from benchmarks.gpu.simulated import shipped
from iphasenet.base.devices import use_threads
from iphasenet.evaluation.metrics import score
from iphasenet.evaluation.prediction import predict_images
from iphasenet.microscope.acquisition import Acquisition
from iphasenet.multislice.settings import Numerics
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.weights import load_weights
from iphasenet.simulation.image import Image
from iphasenet.simulation.noise import record_images
from iphasenet.simulation.specimen import Simulator, Specimen

CONFIGS = Path(__file__).parents[1] / "config"
DOSE = 1e5
SCALES = {"as in training": 1.0, "25 % smaller": 0.75, "25 % larger": 1.25}
SHOWN = ("pearson", "mae_share_of_max", "peak_error")


def scaled(cell: Atoms, factor: float) -> Atoms:
    """Copy a cell with rms displacements times a factor."""
    moving = cell.copy()
    moving.arrays["displacements"] *= factor**2
    return moving


def numerics_of(name: str) -> Numerics:
    """Read the numerics of a shipped configuration."""
    return Numerics(**shipped(CONFIGS / name)["simulation"]["multislice"])


def rows(
    network: PotentialNetwork, simulator: Simulator, specimen: Specimen, acquisition: Acquisition
) -> pandas.DataFrame:
    """Scores of a specimen's thicknesses at 1e5 e/Å²."""
    data, count = simulator.simulate(specimen), len(specimen.thickness_nm)
    randoms = [np.random.default_rng((specimen.seed, index)) for index in range(count)]
    ideal = torch.from_numpy(data["segments"].values)
    noisy = record_images(ideal, count * [DOSE], simulator.image.sampling_angstrom, acquisition, randoms).numpy()
    told = [[thickness, *specimen.tilt_deg, specimen.rotation_deg] for thickness in specimen.thickness_nm]
    predicted, _ = predict_images(network, noisy, np.array(told, np.float32), turns=4)
    found = score(predicted, data["potential"].values)
    return pandas.DataFrame({"nm": specimen.thickness_nm, **{name: found[name] for name in SHOWN}})


def measure(network: PotentialNetwork, tilts: int, materials: Sequence[str]) -> Iterator[pandas.DataFrame]:
    """Scores by material and case."""
    config, numerics = shipped(CONFIGS / "laptop.yaml"), numerics_of("laptop.yaml")
    acquisition, thicknesses = Acquisition(**config["noise"]["acquisition"]), tuple(config["grid"]["thickness_nm"])
    simulator = Simulator(MICROSCOPE, numerics, Image(**config["image"]))
    resting = replace(simulator, numerics=numerics_of("published.yaml"))
    for material in materials:
        cell, still = warm_cell(material), cell_of(material)
        for seed in range(tilts):
            rng = np.random.default_rng((seed, 7))
            alpha, beta = rng.normal(scale=config["grid"]["tilt_std_deg"], size=2)
            specimen = Specimen(
                cell,
                thickness_nm=thicknesses,
                tilt_deg=(float(alpha), float(beta)),
                rotation_deg=float(rng.uniform(0, 360)),
                offset=(float(rng.random()), float(rng.random())),
                seed=seed,
            )
            known = {"material": material, "tilt": seed}
            for case, factor in SCALES.items():
                moving = replace(specimen, cell=scaled(cell, factor))
                yield rows(network, simulator, moving, acquisition).assign(**known, case=case)
            yield rows(network, resting, replace(specimen, cell=still), acquisition).assign(**known, case="at rest")


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--tilts", type=int, default=2, help="tilts of each crystal")
    parser.add_argument("--materials", nargs="+", default=list(ZONE_AXES), choices=list(ZONE_AXES))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    network, _ = load_weights(options.weights)
    tables = []
    with use_threads(options.threads):
        for table in measure(network.eval(), options.tilts, options.materials):
            tables.append(table)
            first = table.iloc[0]
            print(first["material"], first["tilt"], first["case"], table["pearson"].round(3).tolist(), flush=True)
    found = pandas.concat(tables)
    for by in ("material", "nm"):
        print(f"\n{found.pivot_table(index='case', columns=by, values='pearson', sort=False).round(3).to_markdown()}")
    print(f"\n{found.groupby('case', sort=False)[list(SHOWN)].mean().round(4).to_markdown()}")


if __name__ == "__main__":
    main()
