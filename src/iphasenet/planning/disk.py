"""Disk that a run needs, estimated before it starts; imports only NumPy and SciPy, because the Snakefile uses it."""

import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iphasenet.base.errors import InputError
from iphasenet.base.files import file_bytes, format_bytes
from iphasenet.microscope.detector import SEGMENTS
from iphasenet.microscope.optics import Microscope
from iphasenet.microscope.probe import window_cells
from iphasenet.simulation.drawn_optics import PlannedOptics
from iphasenet.simulation.grid import Grid, Split, orientations

PARAMETERS = 11_500
"""Largest number of parameters of the network over feature_size²: it is 11,000 to 11,470."""

_CHECKPOINT_BYTES = PARAMETERS * 4 * 3
"""Size of a checkpoint over feature_size² [bytes]: parameters, each with two moments."""

_SMALL_BYTES = 50_000_000
"""Size of potentials, logs, figures, tables and the report together [bytes]."""

_POTENTIAL_BYTES = 500_000
"""Size of a crystal's potential, on average [bytes]."""

USUAL_CELL = (12.0, 12.0)
"""Periods of a cell, assumed if unknown [Å]: larger than most; images need only a hundredth of the samples' disk."""


@dataclass(frozen=True)
class Part:
    """
    Some files of a run.

    Attributes
    ----------
    name : str
        What the files are.
    paths : tuple of str
        Files and folders, relative to the run's folder.
    size : int
        Disk that the files need without compression, an upper bound [bytes].
    passing : bool
        Whether only later steps of the same run read the files.
    """

    name: str
    paths: tuple[str, ...]
    size: int
    passing: bool = False


def material_samples(grid: Grid) -> dict[Split, int]:
    """Count the samples of a material in each split; 0 for splits that are not simulated."""
    tilts = {split: count if split in grid.splits else 0 for split, count in grid.split_counts.items()}
    return {split: count * grid.rotations * len(grid.thickness_nm) for split, count in tilts.items()}


def image_orders(lengths: tuple[float, float], microscope: Microscope, window: float) -> tuple[int, int]:
    """
    Highest orders of a crystal's simulated images (`iphasenet.multislice.periodic_images`).

    Parameters
    ----------
    lengths : (float, float)
        Periods of the cell along x and y [Å].
    microscope : Microscope
        Probe.
    window : float
        Smallest side of the window [Å].

    Returns
    -------
    my, mx : int
        Orders along y and x.
    """
    cells = window_cells(lengths, window)
    pixel = max(1 / (n * length) for n, length in zip(cells, lengths, strict=True))
    band = 2 * microscope.frequency(microscope.semiangle_mrad) + 2 * pixel
    return math.floor(band * lengths[1]), math.floor(band * lengths[0])


def image_bytes(lengths: tuple[float, float], config: Mapping[str, Any]) -> int:
    """Size of the simulated images of one tilt of a crystal with periods `lengths` [Å] along x and y [bytes]."""
    grid, microscope = Grid(**config["grid"]), PlannedOptics.of(config).widest
    my, mx = image_orders(lengths, microscope, config["simulation"]["multislice"]["window_angstrom"])
    images = len(grid.thickness_nm) * (grid.rotations + grid.rendered_rotations) * len(microscope.channels)
    return 8 * images * (2 * my + 1) * (2 * mx + 1)


def sample_bytes(config: Mapping[str, Any], doses: int) -> int:
    """Size of a sample's arrays: images and potential, and noisy images in half precision at some doses [bytes]."""
    pixels: int = config["image"]["pixels"] ** 2
    return pixels * (4 * (len(SEGMENTS) + 1) + 2 * len(SEGMENTS) * doses)


def store_bytes(config: Mapping[str, Any]) -> int:
    """Size of a material's arrays in the data set, not compressed [bytes]."""
    doses = len(config["noise"]["evaluation_doses"])
    samples = material_samples(Grid(**config["grid"]))
    return sum(count * sample_bytes(config, 0 if split == "train" else doses) for split, count in samples.items())


def run_parts(
    config: Mapping[str, Any],
    materials: Sequence[str],
    lengths: Mapping[str, tuple[float, float]] | None = None,
) -> list[Part]:
    """
    Files that a run makes and what they need.

    Parameters
    ----------
    config : mapping
        Checked configuration.
    materials : sequence of str
        Materials of the run.
    lengths : mapping, optional
        Periods of each material's cell along x and y [Å]; of a large cell if not given.

    Returns
    -------
    list of Part
        Parts for each material, then the common ones; without those that `dataset` and `trained` take from other runs.
    """
    grid = Grid(**config["grid"])
    if "column_network" in config:
        # The best and the newest checkpoint, each twice while it is replaced, with average and two moments; weights.
        model = (2 * 2 * 4 + 1) * 4 * _column_parameters(config["column_network"]["model"])
        network = Part("model", ("columns", "checkpoints"), model)
        rest = Part("rest", ("potential", "logs"), _SMALL_BYTES + _POTENTIAL_BYTES * len(materials))
        return [*([] if "dataset" in config else image_parts(config, materials, lengths)), network, rest]
    predicted = material_samples(grid)["test"] * len(config["noise"]["evaluation_doses"])
    # Predictions: the potential and its spread.
    parts = [
        Part("predictions", ("evaluation",), 2 * 4 * predicted * config["image"]["pixels"] ** 2 * len(materials)),
        Part("rest", ("potential", "logs", "figures", "report.html", "samples.csv"), _SMALL_BYTES),
    ]
    if "trained" not in config:
        # The best and the newest checkpoint, each twice while it is replaced; the weights are smaller than these.
        model = 5 * _CHECKPOINT_BYTES * config["model"]["feature_size"] ** 2
        parts.insert(0, Part("model", ("model", "checkpoints"), model))
    return parts if "dataset" in config else [*_data_parts(config, materials, lengths), *parts]


def _column_parameters(model: Mapping[str, Any]) -> int:
    """Bound of the number of parameters of the network for any crystal, 10 % above it for networks of usual size."""
    width, blocks, filters = model["width"], model.get("blocks", 1), model.get("filters", 8)
    return (792 * blocks + 160) * width**2 + 5000 * blocks * width + (520 + 36 * width) * filters + 600_000


def image_parts(
    config: Mapping[str, Any], materials: Sequence[str], lengths: Mapping[str, tuple[float, float]] | None = None
) -> list[Part]:
    """
    List the simulated images of crystals.

    Parameters
    ----------
    config, materials, lengths
        Arguments as in `run_parts`.

    Returns
    -------
    list of Part
        One for each material.
    """
    grid, known, parts = Grid(**config["grid"]), lengths or {}, []
    samples = grid.rotations * len(grid.thickness_nm)
    for name in materials:
        every = orientations(config["seed"], name, grid)
        periodic = sum(orientation.is_periodic for orientation in every)
        images = periodic * image_bytes(known.get(name, USUAL_CELL), config)
        slabs = (len(every) - periodic) * samples * sample_bytes(config, 0)
        parts.append(Part("images", (f"images/{name}", f"slabs/{name}"), images + slabs, passing=True))
    return parts


def _data_parts(
    config: Mapping[str, Any], materials: Sequence[str], lengths: Mapping[str, tuple[float, float]] | None
) -> list[Part]:
    """List simulations, samples and data set."""
    store = store_bytes(config)
    stores = [Part("materials", (f"materials/{name}.zarr",), store, passing=True) for name in materials]
    return [
        *image_parts(config, materials, lengths),
        *stores,
        Part("data set", ("dataset.zarr",), store * len(materials)),
    ]


def free_bytes(folder: str | Path) -> tuple[int, Path]:
    """Free disk [bytes] at a folder that may not exist yet, and its nearest existing parent."""
    path = Path(folder).absolute()
    while not path.is_dir():
        path = path.parent
    return shutil.disk_usage(path).free, path


def remaining_bytes(parts: Iterable[Part], folder: str | Path) -> int:
    """Disk that parts of a run still need, in addition to existing files [bytes]."""
    return sum(max(0, part.size - sum(file_bytes(Path(folder) / path) for path in part.paths)) for part in parts)


def check_disk(
    config: Mapping[str, Any], materials: Sequence[str], folder: str | Path, outputs: Iterable[str] | None = None
) -> None:
    """
    Refuse a run for which the disk has no room.

    Parameters
    ----------
    config : mapping
        Checked configuration.
    materials : sequence of str
        Materials of the run.
    folder : path
        Folder of the run's results; it need not exist.
    outputs : iterable of str, optional
        Files that will be made: only parts of the run that hold one of them count. All parts if not given.

    Raises
    ------
    InputError
        One line with the disk that is needed and free.
    """
    wanted = None if outputs is None else [Path(path).absolute() for path in outputs]
    if wanted == []:
        return
    root = Path(folder).absolute()
    parts = [
        part
        for part in run_parts(config, materials)
        if wanted is None or any(path.is_relative_to(root / own) for path in wanted for own in part.paths)
    ]
    needed, (free, place) = remaining_bytes(parts, root), free_bytes(root)
    if needed > free:
        raise InputError(
            f"disk: found {format_bytes(free)} free in {place}; allowed: at least {format_bytes(needed)}, which "
            f"{folder} still needs before compression; free some, or plan fewer samples"
        )
