"""Test whether the uncertainty covers the error with wrong tilt and thickness, on a run's test samples."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas

from iphasenet.base.devices import choose_device, use_threads
from iphasenet.base.errors import InputError
from iphasenet.dataset.material_data import MaterialData
from iphasenet.dataset.reader import material_groups, open_dataset, read_material
from iphasenet.evaluation.alterations import nearest_dose
from iphasenet.evaluation.prediction import predict_images
from iphasenet.evaluation.uncertainty import coverage, within_sigma
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.network.weights import load_weights
from iphasenet.reconstruction.told_errors import ToldErrors, widened
from iphasenet.simulation.grid import generator
from iphasenet.training.seen import unseen, what_is_new

SIGMAS = (1, 2)
"""Standard deviations within which pixels are counted."""

_KEYS = ["material", "told", "widened"]


def measure(network: PotentialNetwork, data: MaterialData, errors: ToldErrors, draws: int) -> pandas.DataFrame:
    """
    Count pixels of one crystal's samples whose error the uncertainty covers, at the dose nearest to 1e5 e/Å².

    Parameters
    ----------
    network : PotentialNetwork
        Network in evaluation mode that says its uncertainty.
    data : MaterialData
        Test samples.
    errors : ToldErrors
        Standard deviations of what is told, drawn from a normal distribution: those that widen the uncertainty.
    draws : int
        Number of wrong values for each sample, in addition to the right ones.

    Returns
    -------
    DataFrame
        One row a sample, draw, uncertainty (widened or not) and level: material, told, widened, level, covered,
        pearson.
    """
    dose, tables = nearest_dose(data.doses), []
    for row, truth in enumerate(data.potential):
        segments = data.noisy_segments[row, dose].astype(np.float32)
        rng = generator(0, str(data.coordinates["sample_id"][row]), "alteration")
        for draw in range(draws + 1):
            told = data.metadata[row].copy()
            if draw:
                off = rng.normal(size=3)
                told[0] *= 1 + errors.thickness_percent / 100 * off[0]
                told[1:3] += errors.tilt_deg * off[1:]

            def predict(metadata: np.ndarray, images: np.ndarray = segments) -> tuple[np.ndarray, np.ndarray | None]:
                potential, spread = predict_images(network, images[None], metadata[None])
                return potential[0], None if spread is None else spread[0]

            potential, spread = predict(told)
            if spread is None:
                raise InputError("weights: found a network without uncertainty; allowed: model.uncertainty true")
            wider = widened(spread, told, errors, lambda other: predict(other)[0], potential)
            for name, scale in (("no", spread), ("yes", wider)):
                known = {"material": data.material, "told": "wrong" if draw else "right", "widened": name}
                pearson = float(np.corrcoef(potential.ravel(), truth.ravel())[0, 1])
                found = coverage(potential, scale, truth, [within_sigma(count) for count in SIGMAS])
                tables.append(found.assign(**known, pearson=pearson))
    return pandas.concat(tables, ignore_index=True)


def measure_run(run: Path, weights: Path, errors: ToldErrors, draws: int, most: int, device: str) -> pandas.DataFrame:
    """Measure on the test samples of a run, evenly chosen, that the network has not seen."""
    network, trained = load_weights(weights)
    network.to(device).eval()
    tables = []
    for group in material_groups(open_dataset(run / "dataset.zarr")).values():
        data = read_material(group, "test")
        rows = unseen(what_is_new(trained.get("seen"), data.crystal, data.coordinates))
        if len(rows):
            chosen = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int))
            tables.append(measure(network, data.select(rows[chosen]), errors, draws))
    if not tables:
        raise InputError(f"{run}: found no test sample that {weights} have not seen; allowed: at least one")
    return pandas.concat(tables, ignore_index=True)


def markdown(table: pandas.DataFrame) -> str:
    """Write shares of pixels as a table, crystal by crystal and the mean over crystals."""
    by = table.groupby([*_KEYS, "level"])[["covered", "pearson"]].mean().reset_index()
    mean = by.groupby([*_KEYS[1:], "level"])[["covered", "pearson"]].mean().reset_index().assign(material="mean")
    expected = ", ".join(f"{within_sigma(count):.1%} within {count} σ" for count in SIGMAS)
    lines = [
        f"Share of pixels (a calibrated Laplace distribution: {expected}):",
        "",
        f"| crystal | told | widened | {' | '.join(f'within {count} σ' for count in SIGMAS)} | Pearson |",
        f"|---|---|---|{'---|' * (len(SIGMAS) + 1)}",
    ]
    for keys, rows in pandas.concat([by, mean]).groupby(_KEYS, sort=False):
        shares = [f"{share:.1%}" for share in rows.sort_values("level")["covered"]]
        lines.append(f"| {' | '.join([*map(str, keys), *shares])} | {rows['pearson'].mean():.3f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Coverage of the uncertainty where tilt and thickness are told wrong.")
    parser.add_argument("run", type=Path, help="results of a run, such as results/laptop")
    parser.add_argument("--weights", type=Path, help="file of the network's weights; if not given, those of the run")
    parser.add_argument(
        "--tilt-error",
        type=float,
        default=ToldErrors.tilt_deg,
        help="standard deviation of alpha and of beta [degrees]",
    )
    parser.add_argument("--thickness-error", type=float, default=ToldErrors.thickness_percent, help="percent")
    parser.add_argument("--draws", type=int, default=2, help="number of wrong values for each sample")
    parser.add_argument("--samples", type=int, default=20, help="largest number of samples of each crystal")
    parser.add_argument("--device", default="auto", help="device that computes: auto, cpu or cuda")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    weights = options.weights or options.run / "model" / "weights.safetensors"
    errors = ToldErrors(options.tilt_error, options.thickness_error)
    with use_threads(options.threads):
        device = choose_device(options.device)
        table = measure_run(options.run, weights, errors, options.draws, options.samples, device)
    print(f"{weights}, tilt ± {errors.tilt_deg:g}°, thickness ± {errors.thickness_percent:g} %\n\n{markdown(table)}")


if __name__ == "__main__":
    main()
