"""Whether the uncertainty covers the error where tilt and thickness are told wrong, on fresh simulations."""

import argparse
import warnings

import numpy as np
import pandas
import torch
from common import cell_of

from iphasenet.acquisition import Acquisition
from iphasenet.devices import use_threads
from iphasenet.noise import record
from iphasenet.numerics import Numerics
from iphasenet.optics import Microscope
from iphasenet.reconstruction.reconstruct import load_trained, reconstruct
from iphasenet.reconstruction.told_errors import DEFAULT, ToldErrors
from iphasenet.render import Image
from iphasenet.sampling import generator
from iphasenet.simulation import Specimen, simulate_specimen
from iphasenet.uncertainty import coverage
from iphasenet.user_images.segmented_image import SegmentedImage

OPTICS = {"energy_kev": 200.0, "semiangle_mrad": 20.0, "detector_inner_mrad": 10.0, "detector_outer_mrad": 50.0}
THICKNESSES = (20.0, 40.0, 80.0)
"""Of the crystals [nm]."""
DOSE, DRAWS = 1e5, 4
NONE = ToldErrors(0, 0)


def measure(material: str) -> pandas.DataFrame:
    """Coverage of one crystal at a tilt of about 0.3°, told right and told wrong, uncertainty as it is and widened."""
    trained, image = load_trained(), Image(96, 0.2)
    rng = generator(0, material, "tilt", 0)
    alpha, beta = rng.normal(0, 0.2, 2)
    specimen = Specimen(cell_of(material), tuple(10 * t for t in THICKNESSES), (alpha, beta), 12.5)
    made = simulate_specimen(specimen, Microscope(**OPTICS), Numerics(0.12, 0.3, 12.0), image)
    tables = []
    for index, thickness in enumerate(THICKNESSES):
        clean = torch.from_numpy(made["segments"].values[index])
        noisy = record(clean, DOSE, image.sampling_angstrom, Acquisition(), rng).numpy()
        truth = made["potential"].values[index].astype(np.float32)
        for draw in range(DRAWS):
            off = rng.normal(size=3) * (draw > 0)
            told = thickness * (1 + DEFAULT.thickness_percent / 100 * off[0])
            rotation = (alpha + DEFAULT.tilt_deg * off[1], beta + DEFAULT.tilt_deg * off[2], 12.5)
            seen = SegmentedImage(
                noisy, material, order=(0, 1, 2, 3), sampling=0.2, dose=DOSE, beam_intensity=1.0, scan_rotation_deg=0.0,
                thickness_nm=told, rotation=rotation, **OPTICS,
            )  # fmt: skip
            for errors in (NONE, DEFAULT):
                found = reconstruct(seen, trained, 1, errors=errors)
                assert found.spread is not None
                known = {"material": material, "told": "wrong" if draw else "right", "widened": errors == DEFAULT}
                pearson = np.corrcoef(found.potential.ravel(), truth.ravel())[0, 1]
                tables.append(coverage(found.potential, found.spread, truth).assign(**known, pearson=pearson))
    return pandas.concat(tables)


def main() -> None:
    """Command line."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description="Coverage of the uncertainty where tilt and thickness are told wrong.")
    parser.add_argument("materials", nargs="+", help="crystals of resources/structures")
    with use_threads(1):
        table = pandas.concat([measure(material) for material in parser.parse_args().materials])
    keys = ["told", "widened", "level"]
    print(table.groupby(["material", *keys])["covered"].mean().unstack("level").round(2))
    print(table.groupby(keys)[["covered", "spread_over_error", "pearson"]].mean().round(3))


if __name__ == "__main__":
    main()
