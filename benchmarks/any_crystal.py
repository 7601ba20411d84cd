"""The network for any crystal on a run's test crystals: against simple images, wrongly calibrated, and as a picture.

python -m benchmarks.any_crystal baselines results/crystals
python -m benchmarks.any_crystal pixels results/crystals
python -m benchmarks.any_crystal rotation results/crystals
python -m benchmarks.any_crystal crystals results/crystals
python -m benchmarks.any_crystal picture results/crystals --output columns.jpg
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas
import torch
from matplotlib.figure import Figure
from torch import Tensor

from iphasenet.base.devices import use_threads
from iphasenet.evaluation.column_scores import TOLD, ColumnTest, score_columns, summarise_columns
from iphasenet.evaluation.idpc import idpc
from iphasenet.network.column_network import ColumnNetwork
from iphasenet.network.column_prediction import predict_columns
from iphasenet.network.losses import correlations
from iphasenet.network.weights import load_column_weights
from iphasenet.simulation.grid import Orientation, generator
from iphasenet.simulation.image import Image
from iphasenet.simulation.noise import record_images
from iphasenet.training.column_crops import ColumnMaterial, rendered
from iphasenet.training.column_data import ColumnPlan

DOSE = 1e5
"""Dose of all measurements [e/Å²]."""

SHOWN = 5
"""Crystals in the picture."""


@dataclass(frozen=True)
class Run:
    """A run's network, plan and test crystals."""

    network: ColumnNetwork
    plan: ColumnPlan
    materials: Sequence[ColumnMaterial]
    test: ColumnTest

    @classmethod
    def load(cls, folder: Path, most: int) -> "Run":
        """Read a run's folder; of each test crystal at most one image a thickness is used, of `most` crystals."""
        plan = ColumnPlan.load(folder / "columns/plan.json", folder)
        network, _ = load_column_weights(folder / "columns/weights.safetensors")
        materials = plan.materials("test")
        chosen = generator(0, "", "order").permutation(len(materials))[:most]
        test = ColumnTest(Image(plan.settings.training.crop_pixels, plan.sampling), plan.acquisition, [DOSE])
        return cls(network, plan, [materials[number] for number in sorted(chosen)], test)

    def recorded(self, material: ColumnMaterial) -> Iterator[tuple[Tensor, Tensor, list[float]]]:
        """Noisy segments (4, y, x), columns (y, x) and conditions of a crystal's images."""
        for number, view in enumerate(self.test.views(material)):
            segments, columns, known = rendered(material, view, self.test.image)
            rng = generator(0, material.name, "noise", number)
            sampling = self.test.image.sampling_angstrom
            yield record_images(segments[None], [DOSE], sampling, self.test.acquisition, [rng])[0], columns, known


def baselines(run: Run) -> pandas.DataFrame:
    """Compare the columns with the sum of the segments, inverted, and with iDPC."""
    rows = []
    for material in run.materials:
        for segments, columns, known in run.recorded(material):
            images = {
                "inverted sum": -segments.sum(dim=0),
                "iDPC": torch.from_numpy(idpc(segments.double().numpy(), run.plan.sampling)).float(),
            }
            scores = {name: float(correlations(image[None], columns[None])) for name, image in images.items()}
            rows.append({"thickness_nm": round(known[0]), **scores})
    table = pandas.DataFrame(rows)
    return table.groupby("thickness_nm").median().assign(images=table.groupby("thickness_nm").size())


def pixels(run: Run) -> pandas.DataFrame:
    """Score images whose pixel is a few per cent larger or smaller than the network is told."""
    tables = []
    for share in (-5, -2, 0, 2, 5):
        image = replace(run.test.image, sampling_angstrom=run.plan.sampling * (1 + share / 100))
        tables.append(_summary(run, run.materials, image).assign(pixel_off_percent=share))
    return pandas.concat(tables, ignore_index=True)


def rotation(run: Run) -> pandas.DataFrame:
    """Score images whose scan is turned against the detector, which the network is not told."""
    tables = []
    for turn in (0.0, 2.0, 5.0, 10.0, 20.0, 45.0):
        turned = [
            replace(one, orientations=[_turned(tilt, turn) for tilt in one.orientations]) for one in run.materials
        ]
        tables.append(_summary(run, turned, run.test.image).assign(turned_deg=turn))
    return pandas.concat(tables, ignore_index=True)


def _turned(tilt: Orientation, turn: float) -> Orientation:
    """Turn the images of a tilt further than they were simulated: the detector stays behind."""
    return replace(tilt, rotations_deg=tuple(rotation + turn for rotation in tilt.rotations_deg))


def _summary(run: Run, materials: Sequence[ColumnMaterial], image: Image) -> pandas.DataFrame:
    """Summarise scores, with what the network says of itself."""
    scores = _scores(run, materials, image)
    medians = {name: scores[name].median() for name in ("strangeness", "expected_pearson")}
    return summarise_columns(scores, ("told",)).assign(**medians)


def _scores(run: Run, materials: Sequence[ColumnMaterial], image: Image) -> pandas.DataFrame:
    """Score images of which the network is told the optics."""
    scores = score_columns(run.network, materials, replace(run.test, image=image), seen=False)
    return scores[scores["told"] == "optics"]


def crystals(run: Run) -> pandas.DataFrame:
    """Score each zone axis at all thicknesses, the worst first, with the mean and the contrast of its columns."""
    scores = _scores(run, run.materials, run.test.image)
    scores = scores.assign(level_percent=100 * (scores["level_ratio"] - 1))
    names = ["pearson", "expected_pearson", "level_percent", "thickness_ratio", "tilt_error_deg"]
    table = scores.groupby("material")[names].median()
    table["mean_v"] = pandas.Series({one.name: one.mean_potential for one in run.materials})
    # Of all terms but the first, which is the mean, a series holds twice the coefficients.
    deviations = {one.name: float(one.columns.terms[1:].abs().square().sum() / 2) ** 0.5 for one in run.materials}
    table["contrast"] = pandas.Series(deviations) / table["mean_v"]
    return table.sort_values("pearson")


def picture(run: Run, output: Path) -> None:
    """Draw recorded images, true and found columns of some crystals, of which nothing is told but the optics."""
    figure = Figure(figsize=(8, 2 * SHOWN), layout="constrained")
    for row, material in zip(figure.subplots(SHOWN, 4), run.materials, strict=False):
        segments, columns, known = list(run.recorded(material))[len(material.thicknesses) // 2]
        given = torch.where(torch.tensor(TOLD["optics"]), torch.tensor(known), torch.nan)
        found = predict_columns(run.network, segments[None], given[None].float())
        limits = {"vmin": 0, "vmax": float(columns.max()), "cmap": "viridis"}
        name = material.name.split("_")[0]
        panels = (
            (f"{name}, {known[0]:.0f} nm", segments.sum(dim=0), {"cmap": "gray"}),
            ("right minus left", segments[1] + segments[3] - segments[0] - segments[2], {"cmap": "gray"}),
            (f"columns, mean {columns.mean():.1f} V", columns, limits),
            (f"found, mean {found.columns.mean():.1f} V", found.columns[0], limits),
        )
        for axes, (title, image, style) in zip(row, panels, strict=True):
            axes.imshow(np.asarray(image), interpolation="nearest", **style)
            axes.set_title(title, fontsize=7)
            axes.set_axis_off()
    figure.savefig(output, dpi=110)


TABLES: Mapping[str, Callable[[Run], pandas.DataFrame]] = {
    "baselines": baselines,
    "pixels": pixels,
    "rotation": rotation,
    "crystals": crystals,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure or draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=(*TABLES, "picture"))
    parser.add_argument("run", type=Path, help="folder of a finished run with a network for any crystal")
    parser.add_argument("--crystals", type=int, default=60, help="largest number of zone axes (default: 60)")
    parser.add_argument("--output", type=Path, default=Path("columns.jpg"), help="picture to be made")
    options = parser.parse_args(arguments)
    with use_threads(1):
        run = Run.load(options.run, options.crystals)
        if options.what == "picture":
            picture(run, options.output)
        else:
            print(TABLES[options.what](run).round(3).to_string())


if __name__ == "__main__":
    main()
