"""Scores of each choice of model and training, with the same budget.

python benchmarks/ablation.py DATASET OUTPUT.csv [--seeds 1 2] [--budget long] [--choices laptop.yaml ...]

Writes one row per choice and seed: scores on the validation split at 1e5 e/Å², with true and with shuffled metadata.
`python benchmarks/ablation.py --table OUTPUT.csv` prints the means as a table.
"""

import argparse
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas
import yaml

from iphasenet.base.devices import use_threads
from iphasenet.dataset.reader import read_split
from iphasenet.evaluation.prediction import predict_altered
from iphasenet.microscope.acquisition import Acquisition, TrainingNoise
from iphasenet.network.settings import ModelSettings
from iphasenet.network.weights import load_weights
from iphasenet.training.fit import Outputs, Sources, fit
from iphasenet.training.settings import TrainingSettings

CONFIG = Path(__file__).parents[1] / "config"
PUBLISHED_LOSS = {"l1": 1.0, "l2": 0.0, "gradient_l1": 0.1, "spectral_l1": 0.1, "spread": 0.0}
PUBLISHED = {
    "model": {
        "conditioning": "maps",
        "inputs": "minmax",
        "projection": "direct",
        "uncertainty": False,
        "window_size": 7,
    },
    "training": {"loss": PUBLISHED_LOSS, "relative_loss": False, "augmentation": "none", "ema_decay": 0},
}
CHOICES: dict[str, dict[str, dict[str, Any]]] = {
    "laptop.yaml": {},
    "projection: direct": {"model": {"projection": "direct"}},
    "projection: direct, output: projected": {
        "model": {"projection": "direct", "output": "projected", "uncertainty": False},
        "training": {"output_scale_v": 16000},
    },
    "conditioning: maps": {"model": {"conditioning": "maps"}},
    "conditioning: maps, angles: sines": {"model": {"conditioning": "maps", "angles": "sines"}},
    "inputs: minmax": {"model": {"inputs": "minmax"}},
    "norm: group": {"model": {"norm": "group"}},
    "window_size: 7": {"model": {"window_size": 7}},
    "uncertainty: false": {"model": {"uncertainty": False}},
    "augmentation: none": {"training": {"augmentation": "none"}},
    "source: rendered": {"training": {"source": "rendered"}},
    "relative_loss: false": {"training": {"relative_loss": False}},
    "ema_decay: 0": {"training": {"ema_decay": 0}},
    "published": PUBLISHED,
}
BUDGETS: dict[str, dict[str, Any]] = {
    "short": {"epochs": 1, "crops_per_sample": 1, "crop_pixels": 64, "batch_size": 4, "ema_decay": 0.98},
    "long": {"epochs": 3},
}
"""Budgets of minutes and of half an hour per choice; other settings are those of config/laptop.yaml (an hour)."""


def configuration(overlay: Path) -> dict[str, dict[str, Any]]:
    """Noise, model and training of config.yaml with another file's changes."""
    base, change = (yaml.safe_load(path.read_text()) for path in (CONFIG / "config.yaml", overlay))
    return {key: {**base[key], **change.get(key, {})} for key in ("noise", "model", "training")}


def simulations(dataset: Path) -> list[Path]:
    """Potentials and periodic images of the data set's run, from which crops may be rendered."""
    return [*dataset.parent.glob("potential/*.npz"), *dataset.parent.glob("images/*/batch*.npz")]


def measure(
    dataset: Path, choice: Mapping[str, Mapping[str, Any]], budget: Mapping[str, Any], seed: int
) -> pandas.DataFrame:
    """Train and score one choice."""
    config = configuration(CONFIG / "laptop.yaml")
    model = ModelSettings(**{**config["model"], **choice.get("model", {})})
    training = TrainingSettings(**{**config["training"], **budget, **choice.get("training", {}), "seed": seed})
    noise = TrainingNoise(config["noise"]["training_dose"], Acquisition(**config["noise"]["acquisition"]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        outputs = Outputs(folder / "w.safetensors", folder / "h.csv", folder / "checkpoints")
        fit(Sources(dataset, simulations=simulations(dataset)), outputs, noise, model, training)
        network, _ = load_weights(folder / "w.safetensors")
    tables = [predict_altered(network, data, noise.acquisition) for data in read_split(dataset, "validation")]
    altered = pandas.concat(tables)
    shuffled = altered[altered["kind"] == "metadata"].rename(columns={"altered": "shuffled"})
    return shuffled.groupby("shuffled", as_index=False)[["pearson", "mae_share_of_max", "peak_error"]].mean()


def table(path: Path) -> str:
    """Means over seeds, their spread, and Pearson with shuffled metadata, as Markdown."""
    rows = pandas.read_csv(path)
    lines = [
        "| choice | Pearson | MAE / maximum | peak error | thickness shuffled | tilt shuffled | gamma shuffled |",
        "|---|---|---|---|---|---|---|",
    ]
    for choice in CHOICES:
        mine = rows[rows["choice"] == choice]
        if mine.empty:
            continue
        plain = mine[mine["shuffled"] == "nothing"]
        other = [mine[mine["shuffled"] == field]["pearson"].mean() for field in ("thickness", "tilt", "gamma")]
        values = ", ".join(f"{value:.3f}" for value in plain["pearson"])
        lines.append(
            f"| {choice} | {plain['pearson'].mean():.3f} ({values}) | {plain['mae_share_of_max'].mean():.1%} | "
            f"{plain['peak_error'].mean():.1%} | {' | '.join(f'{value:.3f}' for value in other)} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure choices, seed by seed, or print the table."""
    parser = argparse.ArgumentParser(description="Score choices of model and training with the same budget.")
    parser.add_argument(
        "files", type=Path, nargs="+", help="data set, and table to be made; with --table, only the table"
    )
    parser.add_argument("--table", action="store_true", help="print a table of means")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--budget", choices=BUDGETS, default="short")
    parser.add_argument("--choices", nargs="+", choices=CHOICES, default=list(CHOICES))
    options = parser.parse_args()
    if options.table:
        print(table(options.files[0]))
        return
    if len(options.files) != 2:
        parser.error(f"found {len(options.files)} files; allowed: two, a data set and the table to be made")
    warnings.filterwarnings("ignore")
    dataset, output = options.files
    for seed in options.seeds:
        for name in options.choices:
            with use_threads(1):
                rows = measure(dataset, CHOICES[name], BUDGETS[options.budget], seed).assign(choice=name, seed=seed)
            rows.to_csv(output, mode="a", header=not output.exists(), index=False)
            print(name, seed, rows[rows["shuffled"] == "nothing"]["pearson"].item(), flush=True)


if __name__ == "__main__":
    main()
