"""Random batches of the data set against the published loader, on the same samples, disk and run.

    python benchmarks/reading.py FOLDER [SAMPLES]

Makes a data set of 256 px samples of GaN in FOLDER (a narrow window: its numbers are rough, its files as long as any),
exports it to one .npz a sample, and reads batches of 16 random samples, images and potential as float32.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import MICROSCOPE, cell_of

from iphasenet.dataset.reader import StoredRows, find_material, open_dataset, read_rows, read_split
from iphasenet.dataset.writer import assemble, write_material
from iphasenet.microscope.acquisition import Acquisition, FixedNoise
from iphasenet.microscope_files.export import export_npz
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.multislice.periodic_images import simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.simulation.grid import Grid, samples
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import render_sample

BATCH, SECONDS = 16, 6.0
Batch = tuple[np.ndarray, np.ndarray]


def make(folder: Path, count: int) -> Path:
    """Write and assemble one material; says how long rendering and writing took."""
    grid = Grid((20, 40, 60, 80), count // 16, 0.3, 4, 0.1, 0.1)
    planned = samples(1, "GaN", grid)
    potential = sampled_potential(cell_of("GaN"), 0.15, 0.1)
    numerics, image = Numerics(0.15, 0.3, 5.0), Image(256, 0.1)
    images = {}
    for orientation in {s.orientation.index: s.orientation for s in planned}.values():
        thicknesses = [10 * t for t in grid.thickness_nm]
        images[orientation.index] = simulate_images(
            potential, MICROSCOPE, numerics, thicknesses, orientation.lean, orientation.rotations_deg
        )
    slicing = potential.slicing(numerics.slice_thickness_angstrom)
    started = time.perf_counter()
    rendered = (render_sample(s, images[s.orientation.index], potential, slicing, image) for s in planned)
    noise = FixedNoise((1e3, 1e4, 1e5, 1e6), Acquisition(0.3, 0.01, 0.02, 0.1))
    write_material(folder / "GaN.zarr", rendered, planned, image, noise, 1, "GaN", {"zone_axis": [0, 0, 1]})
    each = (time.perf_counter() - started) / len(planned)
    optics = {"detector_inner_mrad": 10, "detector_outer_mrad": 50, "energy_kev": 200, "semiangle_mrad": 20}
    configuration = {"optics": optics, "image": {"pixels": 256, "sampling_angstrom": 0.1}}
    assemble(folder / "dataset.zarr", {"GaN": folder / "GaN.zarr"}, {"configuration": configuration})
    print(f"render and write: {1000 * each:.0f} ms a sample")
    return folder / "dataset.zarr"


def size(path: Path) -> float:
    """Megabytes on disk."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6


def published(folder: Path) -> Callable[[np.ndarray], Batch]:
    """One .npz a sample, opened anew for each."""
    files = sorted(folder.rglob("*.npz"))

    def read(rows: np.ndarray) -> Batch:
        inputs, targets = [], []
        for row in rows:
            with np.load(files[row % len(files)]) as data:
                inputs.append(data["input"].astype(np.float32))
                targets.append(data["potential"].astype(np.float32))
        return np.stack(inputs), np.stack(targets)

    return read


def streamed(store: Path) -> Callable[[np.ndarray], Batch]:
    """Chunks of the sharded store."""
    group = find_material(open_dataset(store), "GaN")
    every = np.arange(len(read_rows(group, "sample_id")))
    segments, potential = (StoredRows(group, name, every) for name in ("segments", "potential"))

    def read(rows: np.ndarray) -> Batch:
        # Sample by sample, as training streams: a selection by a list takes several times as long.
        return np.stack([segments[row] for row in rows]), np.stack([potential[row] for row in rows])

    return read


def in_memory(store: Path) -> Callable[[np.ndarray], Batch]:
    """As training holds it."""
    started = time.perf_counter()
    data = next(iter(read_split(store, "train")))
    seconds, count = time.perf_counter() - started, len(data.potential)
    print(f"read the training split into memory: {count / seconds:.0f} samples/s, once")

    def read(rows: np.ndarray) -> Batch:
        return data.segments[rows % count], data.potential[rows % count]

    return read


def speed(read: Callable[[np.ndarray], Batch], count: int) -> float:
    """Read random batches for a few seconds; samples a second."""
    rng = np.random.default_rng(0)
    read(rng.choice(count, BATCH, replace=False))
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        read(rng.choice(count, BATCH, replace=False))
        done += BATCH
    return done / (time.perf_counter() - started)


def main() -> None:
    """Make, export, read in turn twice, print a table."""
    torch.set_num_threads(1)
    folder, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 512
    folder.mkdir(parents=True)
    store = make(folder, count)
    for compressed in (False, True):
        export_npz(store, folder / f"npz{'-compressed' * compressed}", compressed=compressed)
    subprocess.run(["sync"], check=True)
    readers = {
        "published: one .npz a sample": published(folder / "npz"),
        "the same, compressed": published(folder / "npz-compressed"),
        "Zarr, streamed": streamed(store),
        "Zarr, in memory (training)": in_memory(store),
    }
    found: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(3):
        for name, read in readers.items():
            found[name].append(speed(read, count))
    base = np.median(found["published: one .npz a sample"])
    for name, speeds in found.items():
        print(f"{name:32} {np.median(speeds):8.0f} samples/s  {np.median(speeds) / base:6.2f}")
    for name in ("npz", "npz-compressed", "dataset.zarr"):
        print(f"{name:16} {size(folder / name) / count:.2f} MB a sample")


if __name__ == "__main__":
    main()
