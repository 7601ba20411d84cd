"""How well the mean potential of an unseen crystal follows from everything else of its columns.

python -m benchmarks.column_level results/crystals

Images show how columns differ from their mean; the mean itself, the sum of the atoms' forward scattering over the
volume, has to be inferred. Here a small network is given the true columns without their mean, in volts and without
noise, of the crystals that train a network for any crystal, and predicts the mean of those that do not: what remains is
the error that better images could not mend.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas
import torch
from torch import Tensor, nn

from iphasenet.base.devices import use_threads
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Field, Series
from iphasenet.training.column_crops import column_series
from iphasenet.training.column_data import ColumnPlan

_NETWORKS, _EPOCHS, _BATCH = 8, 400, 64
"""Networks of which the mean is taken, and their training."""

_BANDS = np.arange(0.1, 1.3, 0.15)
"""Lower ends of the bands of spatial frequency [1/Å]."""


def described(plan: ColumnPlan, name: str) -> tuple[list[float], float]:
    """
    Describe the columns of one zone axis without their mean.

    Returns
    -------
    description : list of float
        Logarithms of the amplitudes in bands of spatial frequency [V]; quantiles of the deviations from the mean, as
        inverse hyperbolic sines; logarithm of the cell's area [Å²].
    level : float
        Logarithm of the mean [V].
    """
    potential = CrystalPotential.load(plan.data / "potential" / f"{name}.npz")
    thickness = plan.configuration["simulation"]["multislice"]["slice_thickness_angstrom"]
    lengths = (float(potential.lengths[0]), float(potential.lengths[1]))
    terms = column_series(potential, thickness, plan.settings.model.resolution_angstrom)
    series = Series.visible(terms, lengths, plan.sampling)
    level = float(series.terms[0].real)
    away = (series.on_pixels(Field(Image(128, plan.sampling))) - level).double()
    frequency, power = torch.hypot(series.gx, series.gy), series.terms.abs().double() ** 2
    bands = [power[(frequency >= low) & (frequency < low + 0.15)].sum() + 1e-3 for low in _BANDS]
    marks = torch.quantile(away.flatten(), torch.tensor([0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1]).double())
    description = [*(0.5 * band.log() for band in bands), *torch.asinh(marks / 5)]
    return [*map(float, description), float(np.log(lengths[0] * lengths[1]))], float(np.log(level))


def predicted(descriptions: Tensor, levels: Tensor, trained: Tensor) -> Tensor:
    """Train small networks on some crystals, and predict the logarithms of the means of all of them."""
    mean, deviation = descriptions[trained].mean(dim=0), descriptions[trained].std(dim=0) + 1e-3
    inputs, middle = (descriptions - mean) / deviation, levels[trained].mean()
    found = []
    for seed in range(_NETWORKS):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Linear(inputs.shape[1], 64), nn.SiLU(), nn.Dropout(0.1), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1)
        )
        optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=3e-2)
        for _ in range(_EPOCHS):
            for batch in trained.nonzero()[:, 0][torch.randperm(int(trained.sum()))].split(_BATCH):
                loss = (network(inputs[batch])[:, 0] + middle - levels[batch]).abs().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        found.append(network.eval()(inputs).detach()[:, 0] + middle)
    return torch.stack(found).mean(dim=0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with potentials and columns/plan.json")
    options = parser.parse_args(arguments)
    plan = ColumnPlan.load(options.run / "columns/plan.json", options.run)
    with use_threads(1):
        names = sorted(plan.splits)
        descriptions, levels = zip(*(described(plan, name) for name in names), strict=True)
        trained = torch.tensor([plan.splits[name] == "train" for name in names])
        truth = torch.tensor(levels)
        order = torch.randperm(len(names), generator=torch.Generator().manual_seed(0))
        guesses = {"the same for all": (torch.full_like(truth, float(truth[trained].median())), trained)}
        for share in (8, 4, 2, 1):
            some = torch.zeros_like(trained)
            some[order[trained[order]][: int(trained.sum()) // share]] = True
            found = predicted(torch.tensor(descriptions), truth, some)
            guesses[f"from true columns, {int(some.sum())} crystals"] = found, some
    rows = []
    for name, (guess, seen) in guesses.items():
        errors = 100 * (guess - truth).exp().sub(1).abs()
        for kind, chosen in (("trained on", seen), ("held out", ~trained)):
            median, most = (float(errors[chosen].quantile(share)) for share in (0.5, 0.9))
            rows.append({"level": name, "crystals": kind, "median_percent": median, "percent_90": most})
    print(pandas.DataFrame(rows).round(1).to_string(index=False))


if __name__ == "__main__":
    main()
