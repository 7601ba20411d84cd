"""Images of a packed folder, from a finished run or from simulations on the spot."""

import copy
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from snakemake.utils import update_config

from benchmarks.gpu.corpus import Corpus, planned_tilts
from benchmarks.gpu.data import PHONONS, Material, Packed
from iphasenet.base.errors import InputError
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.crystal.slab import cut_slab
from iphasenet.crystal.structure import crystal_cell
from iphasenet.dataset.reader import configuration, open_dataset
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.multislice.periodic_images import PeriodicImages, load_images, simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.planning.configuration import temperature
from iphasenet.planning.materials import crystals, selected_materials
from iphasenet.simulation.grid import Grid, Split, orientations, random_key
from iphasenet.training.column_data import ColumnPlan
from iphasenet.training.rendered_frames import load_simulated

CONFIG = Path(__file__).parents[2] / "config"

TOY: dict[str, Any] = {
    "run": "toy",
    "select": ["GaN", "KNbO3"],
    "grid": {"tilts": 4, "rotations": 2, "thickness_nm": [20, 40]},
    "image": {"pixels": 64, "sampling_angstrom": 0.2},
    "simulation": {"multislice": {"sampling_angstrom": 0.16, "window_angstrom": 9}},
}
"""Simulated in seconds, for a rehearsal."""

_TOY_CORPUS: dict[str, Any] = {
    "grid": {"tilts": 4, "rendered_rotations": 1, "thickness_nm": [4, 8]},
    "simulation": {"temperature_k": 0, "multislice": {"window_angstrom": 4}},
    "column_network": {
        "model": {"width": 8},
        "training": {"crops_per_epoch": 16, "validation_crops": 8, "batch_size": 4},
    },
}

_THICKNESS, _DISPLACEMENT, _SIDE = 100.0, 0.07, 25.6
"""Of the slab with frozen phonons: thickness, displacement of each element along an axis, side [Å]."""


def shipped(change: Mapping[str, Any] | Path) -> dict[str, Any]:
    """config/config.yaml with the changes of another file, or with some changes."""
    known = yaml.safe_load(change.read_text(encoding="utf-8")) if isinstance(change, Path) else copy.deepcopy(change)
    found: dict[str, Any] = yaml.safe_load((CONFIG / "config.yaml").read_text(encoding="utf-8"))
    update_config(found, known)
    return found


def from_run(run: Path, folder: Path) -> Packed:
    """
    Take the images of a finished run.

    Parameters
    ----------
    run : path
        results/NAME: its data set, or config/NAME.yaml where it has none yet, says the configuration; `images` holds
        the series of all tilts.
    folder : path
        Where the data will lie.

    Returns
    -------
    Packed
        InputError where a file is missing, damaged or of another grid.
    """
    store = run / "dataset.zarr"
    found = configuration(open_dataset(store)) if store.is_dir() else shipped(CONFIG / f"{run.name}.yaml")
    files = [*run.glob("potential/*.npz"), *run.glob("images/*/batch*.npz")]
    # Keys of materials that were not selected are in the configuration, but not in the run.
    known = {**found, "materials": {name: crystals(found)[name] for name in selected_materials(found)}}
    series = {one.material: dict(one.images) for one in load_simulated(files, known)}
    return _packed(found, series, folder)


def on_the_spot(config: Mapping[str, Any], folder: Path) -> Packed:
    """Simulate all tilts of a configuration, one after the other: hours for the published grid, seconds for a toy."""
    microscope, numerics = Microscope(**config["optics"]), Numerics(**config["simulation"]["multislice"])
    grid, series = Grid(**config["grid"]), {}
    thicknesses = [10 * thickness for thickness in grid.thickness_nm]
    for name in selected_materials(config):
        potential, images = _potential(config, name, numerics), dict[int, PeriodicImages]()
        for orientation in orientations(config["seed"], name, grid):
            images[orientation.index] = simulate_images(
                potential,
                microscope,
                numerics,
                thicknesses,
                orientation.lean,
                orientation.rotations_deg,
                seed=random_key(config["seed"], name, "thermal", orientation.index),
            )
            print(f"{name}: {len(images)} of {grid.tilts} tilts", flush=True)
        series[name] = images
    return _packed(config, series, folder)


def corpus_of_run(run: Path) -> Corpus:
    """Read what trains and validates in a run: all potentials, and the images that were simulated."""
    plan = ColumnPlan.load(run / "columns" / "plan.json", run)
    splits = {name: split for name, split in plan.splits.items() if split != "test"}
    potentials = {name: CrystalPotential.load(run / "potential" / f"{name}.npz") for name in splits}
    images: dict[str, dict[int, PeriodicImages]] = {}
    for name, batches in plan.batches.items():
        if name in splits:
            series = [one for number in batches for one in load_images(run / "images" / name / f"batch{number}.npz")]
            tilts = [tilt for number in batches for tilt in batches[number]]
            planned = planned_tilts(plan.configuration, name, splits[name])
            kept = {tilt.index for tilt in planned}
            images[name] = {tilt: one for tilt, one in zip(tilts, series, strict=True) if tilt in kept}
    return Corpus(plan.configuration, splits, potentials, images)


def toy_corpus() -> Corpus:
    """Three of the shipped crystals, small and at rest, for a rehearsal."""
    config = shipped(CONFIG / "crystals.yaml")
    update_config(config, _TOY_CORPUS)
    numerics = Numerics(**config["simulation"]["multislice"])
    splits: dict[str, Split] = {"GaN": "train", "KNbO3": "train", "MoS2": "validation"}
    return Corpus(config, splits, {name: _potential(config, name, numerics) for name in splits}, {})


def _packed(config: Mapping[str, Any], series: Mapping[str, Mapping[int, PeriodicImages]], folder: Path) -> Packed:
    """Potentials for both numerics, and the slab, beside the images."""
    toy, used = config["run"] == TOY["run"], Numerics(**config["simulation"]["multislice"])
    whole, published = shipped({}), shipped(CONFIG / "published.yaml")
    if toy:
        whole["simulation"] = config["simulation"]
    full = Numerics(**whole["simulation"]["multislice"])
    finest = min(used, full, key=lambda numerics: numerics.sampling_angstrom)
    materials = []
    for name, images in series.items():
        if not images:
            raise InputError(f"{name}: found no periodic images; allowed: a run of whole crystals at small tilts")
        materials.append(Material(name, _potential(config, name, finest), images, next(iter(images.values()))))
    phonons = _write_slab(config, materials[0].name, used, toy, folder)
    return Packed(config, whole, published, phonons, tuple(materials), folder)


def _potential(config: Mapping[str, Any], name: str, numerics: Numerics) -> CrystalPotential:
    crystal = crystals(config)[name]
    cell = crystal_cell(crystal, CONFIG.parent, temperature(config))
    pixels = (numerics.sampling_angstrom, min(0.1, float(config["image"]["sampling_angstrom"])))
    return sampled_potential(cell, *pixels, config["simulation"]["parametrization"])


def _write_slab(config: Mapping[str, Any], name: str, numerics: Numerics, toy: bool, folder: Path) -> dict[str, Any]:
    """Write the potential of a slab whose atoms will be displaced one by one; say what it is."""
    crystal = crystals(config)[name]
    cell = crystal_cell(crystal, CONFIG.parent, temperature(config))
    pixel, thickness, side = numerics.sampling_angstrom, *((20.0, 10.0) if toy else (_THICKNESS, _SIDE))
    # Whole cells: the slab repeats.
    a, b, _ = cell.cell.lengths()
    sides = tuple(length * max(1, round(side / length)) for length in (a, b))
    slab = cut_slab(cell, (0.0, 0.0, 0.0), thickness, sides)
    # Coarse images: the slab's own pixel says how far its frequencies reach.
    potential = sampled_potential(slab, pixel, max(pixel, 0.2), config["simulation"]["parametrization"])
    potential.at_rest().save(folder / PHONONS)
    # One kappa, and the slab as the cell.
    settings = {**asdict(numerics), "window_angstrom": min(sides), "slice_thickness_angstrom": 1.0}
    known = {"material": name, "atoms": len(slab), "thickness": thickness, "displacement": _DISPLACEMENT}
    return {**known, "numerics": settings}
