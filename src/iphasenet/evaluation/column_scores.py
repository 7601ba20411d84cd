"""Test of the network for any crystal: on crystals that it has never seen, and on new tilts of those that it has."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas
import torch
from torch import Tensor

from iphasenet.microscope.acquisition import Acquisition
from iphasenet.network.column_network import (
    ColumnNetwork,
    ColumnOutput,
    expected_correlation,
    relative_errors,
    true_estimates,
)
from iphasenet.network.column_prediction import predict_columns
from iphasenet.network.losses import correlations
from iphasenet.simulation.grid import generator
from iphasenet.simulation.image import Image
from iphasenet.simulation.noise import record_images
from iphasenet.training.column_crops import ColumnMaterial, ColumnView, rendered
from iphasenet.training.column_data import ColumnPlan

TOLD: Mapping[str, tuple[bool, ...]] = {
    "nothing": (False,) * 7,
    "optics": (False, False, False, False, True, True, True),
    "all": (True,) * 7,
}
"""Which conditions the network is told: none; semiangle and collection angles; thickness, tilt and defocus too."""

_TOGETHER = 16
"""Images that are predicted together."""

WITHIN_68 = 1.1394
"""Half-width of the interval that holds 68 % of a Laplace distribution, over its scale."""


@dataclass(frozen=True)
class ColumnTest:
    """
    How the network is tested.

    Attributes
    ----------
    image : Image
        Pixels of the images.
    acquisition : Acquisition
        Scan and detector.
    doses : sequence of float
        Doses [e/Å²].
    seed : int
        Seed of places and noise.
    most : int
        Largest number of images of a material and thickness at a dose.
    operations : int
        Symmetry operations over which predictions are averaged.
    """

    image: Image
    acquisition: Acquisition
    doses: Sequence[float]
    seed: int = 0
    most: int = 1
    operations: int = 8

    def views(self, material: ColumnMaterial) -> Iterator[ColumnView]:
        """List what is tested of a material: each thickness of some tilts, each with one of its rotations."""
        rng = generator(self.seed, material.name, "order")
        tilts, thicknesses, rotations = material.segments.terms.shape[:3]
        for thickness in range(thicknesses):
            for tilt in rng.permutation(tilts)[: self.most]:
                x, y = rng.random(2)
                yield ColumnView(0, int(tilt), thickness, int(rng.integers(rotations)), (float(x), float(y)))


@torch.inference_mode()
def score_columns(
    network: ColumnNetwork, materials: Sequence[ColumnMaterial], test: ColumnTest, seen: bool, device: str = "cpu"
) -> pandas.DataFrame:
    """
    Score the network on images of some materials.

    Parameters
    ----------
    network : ColumnNetwork
        Network in evaluation mode, on the device.
    materials : sequence of ColumnMaterial
        Crystals and tilts.
    test : ColumnTest
        How they are tested.
    seen : bool
        Whether the network was trained on these crystals.
    device : str
        Torch device.

    Returns
    -------
    DataFrame
        One row for each image, dose and entry of `TOLD`: material, seen, told, dose [e/Å²], thickness_nm, tilt_deg,
        defocus_nm; pearson, and the one that the network expects (`expected_pearson`); found over true level and
        thickness (`level_ratio`, `thickness_ratio`); errors of tilt [degrees] and defocus [Å]; whether the error of
        level, thickness, tilt and defocus is within the interval that should hold
        68 % (`..._covered`), NaN for what was told; `level_error`, the expected error of the level's logarithm;
        `pixels_ratio`, expected over true mean error of the pixels; `strangeness`.
    """
    tables = []
    for material in materials:
        views = list(test.views(material))
        for start in range(0, len(views), _TOGETHER):
            part = views[start : start + _TOGETHER]
            clean, columns, known = (
                _tensors(one) for one in zip(*(rendered(material, v, test.image) for v in part), strict=True)
            )
            for number, dose in enumerate(test.doses):
                rngs = [generator(test.seed, material.name, "noise", start + row, number) for row in range(len(part))]
                noisy = record_images(
                    clean, [dose] * len(part), test.image.sampling_angstrom, test.acquisition, rngs
                ).to(device)
                for told, mask in TOLD.items():
                    given = torch.where(torch.tensor(mask), known, torch.nan).to(device)
                    output = predict_columns(network, noisy, given, test.operations)
                    strange = network.strangeness(output.features).cpu()
                    output = ColumnOutput(*(value.cpu() for value in output))
                    rows = _rows(output, columns, known, mask) | {"strangeness": strange.numpy()}
                    thickness = [material.nominal_nm[view.thickness] for view in part]
                    named = {"material": material.name, "seen": seen, "told": told, "dose": dose}
                    named["thickness_nm"] = thickness
                    tables.append(pandas.DataFrame({**named, **rows}))
    return pandas.concat(tables, ignore_index=True)


def score_plan(network: ColumnNetwork, plan: ColumnPlan, test: ColumnTest, device: str = "cpu") -> pandas.DataFrame:
    """
    Score the network on all tilts of the test crystals, and on the test tilts of those that it was trained on.

    Parameters
    ----------
    network : ColumnNetwork
        Network.
    plan : ColumnPlan
        Data and splits.
    test : ColumnTest
        How it is tested.
    device : str
        Torch device.

    Returns
    -------
    DataFrame
        Rows of `score_columns`.
    """
    network = network.to(device).eval()
    unseen = score_columns(network, plan.materials("test"), test, False, device)
    return pandas.concat([unseen, score_columns(network, plan.materials("train", ("test",)), test, True, device)])


def _tensors(values: Sequence[Tensor] | Sequence[Sequence[float]]) -> Tensor:
    return torch.stack([torch.as_tensor(value, dtype=torch.float32) for value in values])


def _rows(output: ColumnOutput, columns: Tensor, known: Tensor, told: Sequence[bool]) -> dict[str, np.ndarray]:
    """Scores of some images; what was told is not estimated."""
    # The first estimate is the level, which nobody is told.
    open_ones = ~torch.tensor((False, *told[:4]))
    off = torch.where(open_ones, output.estimates - true_estimates(columns, known), torch.nan)
    covered = torch.where(open_ones, (off.abs() <= WITHIN_68 * output.errors).float(), torch.nan).numpy()
    tilt = torch.hypot(known[:, 1], known[:, 2])
    expected, made = (errors.mean(dim=(1, 2)) for errors in relative_errors(output, columns))
    return {
        "tilt_deg": tilt.numpy(),
        "defocus_nm": (known[:, 3] / 10).numpy(),
        "expected_pearson": expected_correlation(output).numpy(),
        "pearson": correlations(output.columns, columns).numpy(),
        "level_ratio": (output.columns.mean(dim=(1, 2)) / columns.mean(dim=(1, 2))).numpy(),
        "thickness_ratio": off[:, 1].exp().numpy(),
        "tilt_error_deg": torch.hypot(off[:, 2], off[:, 3]).numpy(),
        "defocus_error_angstrom": (100 * off[:, 4]).numpy(),
        "level_covered": covered[:, 0],
        "thickness_covered": covered[:, 1],
        "tilt_covered": covered[:, 2:4].mean(axis=1),
        "defocus_covered": covered[:, 4],
        "level_error": output.errors[:, 0].numpy(),
        "pixels_ratio": (expected / made).numpy(),
    }


def summarise_columns(scores: pandas.DataFrame, by: Sequence[str]) -> pandas.DataFrame:
    """
    Summarise the scores of many images.

    Parameters
    ----------
    scores : DataFrame
        Rows of `score_columns`.
    by : sequence of str
        Columns by which rows are grouped.

    Returns
    -------
    DataFrame
        For each group: number of images and crystals; median and 10 % of the Pearson correlation; median and 90 % of
        the absolute errors of level and thickness [%], tilt [degrees] and defocus [nm]; how many are covered [%].
    """
    rows = []
    for key, group in scores.groupby(list(by), sort=True):
        level, thickness = (100 * (group[f"{name}_ratio"] - 1).abs() for name in ("level", "thickness"))
        defocus = group["defocus_error_angstrom"].abs() / 10
        rows.append(
            {
                **dict(zip(by, key, strict=True)),
                "images": len(group),
                "crystals": group["material"].str.split("_").str[0].nunique(),
                "pearson": group["pearson"].median(),
                "pearson_10": group["pearson"].quantile(0.1),
                **_median_and_90("level_percent", level),
                **_median_and_90("thickness_percent", thickness),
                **_median_and_90("tilt_deg", group["tilt_error_deg"]),
                **_median_and_90("defocus_nm", defocus),
                **{
                    f"{name}_covered": 100 * group[f"{name}_covered"].mean()
                    for name in ("level", "thickness", "tilt", "defocus")
                },
            }
        )
    return pandas.DataFrame(rows)


def _median_and_90(name: str, values: "pandas.Series[float]") -> dict[str, float]:
    return {name: values.median(), f"{name}_90": values.quantile(0.9)}
