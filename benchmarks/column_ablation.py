"""Variants of the network for any crystal, each trained on as many pixels of the same simulations.

python -m benchmarks.column_ablation results/crystals --output results/ablation --crops 20000

Validation crystals judge: the test crystals stay unseen. A stopped run goes on where it was.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas

from iphasenet.base.devices import use_threads
from iphasenet.evaluation.column_scores import ColumnTest, score_columns, summarise_columns
from iphasenet.network.weights import load_column_weights
from iphasenet.simulation.grid import generator
from iphasenet.simulation.image import Image
from iphasenet.training.column_data import ColumnPlan

DOSE = 1e5
"""Dose of the judged images [e/Å²]."""

DEFOCUS_NM = (0, 5, 10, 20)
"""Bounds of |defocus| for which the correlation is given [nm]."""


@dataclass(frozen=True)
class Variant:
    """
    What is changed of a run's network and training.

    Attributes
    ----------
    model, training : mapping
        Changed settings of `column_network.model` and `column_network.training`.
    crystals : int or None
        Number of crystals that are trained on; None for all.
    crops : float
        Number of crops over that of the others.
    """

    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    crystals: int | None = None
    crops: float = 1.0


VARIANTS: Mapping[str, Variant] = {
    "as shipped": Variant(),
    "no spectra, no filters": Variant(model={"filters": 0}),
    "AdamW for all weights": Variant(training={"kernel_learning_rate": 0.0}),
    "one block of 1.5 times the width": Variant(model={"blocks": 1, "width": 48}),
    "half the width": Variant(model={"width": 16}),
    "held: direct": Variant(model={"held": "direct"}),
    "never told": Variant(training={"told_share": 0.0, "optics_told_share": 0.0}),
    "always told something": Variant(training={"told_share": 1.0, "optics_told_share": 1.0}),
    # The same number of pixels.
    "crops of 96 pixels": Variant(training={"crop_pixels": 96}, crops=4 / 9),
    "10 crystals": Variant(crystals=10),
    "30 crystals": Variant(crystals=30),
    "100 crystals": Variant(crystals=100),
}


def varied(plan: ColumnPlan, variant: Variant, crops: int) -> ColumnPlan:
    """
    Change a run's plan.

    Parameters
    ----------
    plan : ColumnPlan
        Plan of a run.
    variant : Variant
        What is changed.
    crops : int
        Crops of the whole training, in four epochs.

    Returns
    -------
    ColumnPlan
        Plan of the variant; the crystals of a smaller number are among those of a larger one.
    """
    network = plan.configuration["column_network"]
    budget = {"epochs": 4, "crops_per_epoch": round(crops * variant.crops / 4), "start": None}
    changed = {
        "model": {**network["model"], **variant.model},
        "training": {**network["training"], **budget, **variant.training},
    }
    splits = dict(plan.splits)
    if variant.crystals is not None:
        crystals = sorted({name.split("_")[0] for name, split in splits.items() if split == "train"})
        order = generator(0, "", "order").permutation(len(crystals))
        kept = {crystals[number] for number in order[: variant.crystals]}
        splits = {name: split for name, split in splits.items() if split != "train" or name.split("_")[0] in kept}
    return replace(plan, configuration={**plan.configuration, "column_network": changed}, splits=splits)


def trained(plan: ColumnPlan, folder: Path) -> Path:
    """Train by a plan, unless it is done, and return the weights."""
    weights = folder / "weights.safetensors"
    if not weights.exists():
        folder.mkdir(parents=True, exist_ok=True)
        described = {name: getattr(plan, name) for name in ("configuration", "splits", "batches")}
        (folder / "plan.json").write_text(json.dumps(described))
        paths = {
            "plan": folder / "plan.json",
            "data": plan.data,
            "weights": weights,
            "history": folder / "history.csv",
            "checkpoints": folder / "checkpoints",
        }
        options = [part for name, path in paths.items() for part in (f"--{name}", str(path))]
        subprocess.run([sys.executable, "-m", "iphasenet.training.column_fit", *options], check=True)
    return weights


def judged(plan: ColumnPlan, weights: Path) -> pandas.DataFrame:
    """Score weights on the validation crystals, told the optics alone; one row."""
    network, _ = load_column_weights(weights)
    test = ColumnTest(Image(64, plan.sampling), plan.acquisition, [DOSE], most=2, operations=1)
    scores = score_columns(network, plan.materials("validation"), test, seen=False)
    scores = scores[scores["told"] == "optics"]
    summary = summarise_columns(scores, ("told",)).drop(columns="told")
    groups = scores.groupby(pandas.cut(scores["defocus_nm"].abs(), DEFOCUS_NM), observed=True)["pearson"].median()
    return summary.assign(**{f"pearson {bounds} nm": value for bounds, value in groups.items()})


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and judge all variants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with simulations and columns/plan.json")
    parser.add_argument("--output", type=Path, required=True, help="folder of trainings, and of their table.csv")
    parser.add_argument("--crops", type=int, default=20000, help="crops of each training (default: 20000)")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, help="variants (default: all)")
    options = parser.parse_args(arguments)
    plan = ColumnPlan.load(options.run / "columns/plan.json", options.run)
    rows = []
    for name in options.only or VARIANTS:
        folder = options.output / str(options.crops) / name.replace(":", "").replace(",", "").replace(" ", "_")
        weights = trained(varied(plan, VARIANTS[name], options.crops), folder)
        with use_threads(1):
            rows.append(judged(plan, weights).assign(variant=name))
        table = pandas.concat(rows, ignore_index=True)
        table.to_csv(options.output / str(options.crops) / "table.csv", index=False)
        print(table.round(3).to_string(), flush=True)


if __name__ == "__main__":
    main()
