"""Cost of one published sample: abTEM three ways, and this engine, on this machine in one run.

GaN [001], 200 kV, 20 mrad, 256 x 256 px at 0.1 Å, segments from 10 to 50 mrad, seven thicknesses from 20 to 150 nm, a
window of 25.6 Å. abTEM's times are measured on a few probes or waves and slices and scaled: its cost is linear in both.
The atoms are at rest, then move as at 293 K: abTEM averages 30 frozen configurations, this engine its passes. abTEM's
cheapest way, `SMatrix` with interpolation, is given with its error at 20 nm against `Probe.scan`.
"""

import math
import os
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from common import MICROSCOPE, THICKNESSES, cell_of, potential_of, warm_cell

from iphasenet.crystal.potential import CrystalPotential
from iphasenet.microscope.probe import window_cells
from iphasenet.multislice.numerics import cell_grid, sampled_potential
from iphasenet.multislice.periodic_images import simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Field, render

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import abtem

NUMERICS = Numerics(sampling_angstrom=0.1, slice_thickness_angstrom=0.3, window_angstrom=25.6)
IMAGE = Image(pixels=256, sampling_angstrom=0.1)
PROBES, SLICES = 64, 30
ERROR_SLICES, ERROR_PROBES = 154, 24
"""20 nm, at which the error of abTEM's interpolation is measured, and probe positions."""

REPEATS = 3
CONFIGURATIONS = 30
"""Frozen configurations that abTEM's users average."""


def timed(work: Callable[[], object]) -> float:
    """Median wall time of a few runs after a warm-up [s]."""
    work()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return sorted(times)[REPEATS // 2]


def supercell(potential: CrystalPotential, slices: int) -> abtem.PotentialArray:
    """First slices of the window's supercell, as abTEM takes them."""
    lengths = potential.lengths[:2]
    grid = cell_grid(lengths, NUMERICS.sampling_angstrom, potential.translations)
    slicing = potential.slicing(NUMERICS.slice_thickness_angstrom)
    cells = window_cells(lengths, NUMERICS.window_angstrom)
    cell, order = potential.slices(slicing, grid.gpts), np.arange(slices) % slicing.count
    array = np.tile(cell[order], (1, cells[1], cells[0])).transpose(0, 2, 1)
    extent = (cells[0] * lengths[0], cells[1] * lengths[1])
    return abtem.PotentialArray(
        np.ascontiguousarray(array, np.float32), slice_thickness=slicing.distances[order].tolist(), extent=extent
    )


def engine(potential: CrystalPotential) -> None:
    """All seven thicknesses: simulate, then render the four segments on the pixels."""
    images = simulate_images(potential, MICROSCOPE, NUMERICS, THICKNESSES, rotations=[17.0])
    render(images.coefficients[:, 0], images.lengths, Field(IMAGE, 17.0))


def moving(potential: CrystalPotential, passes: int, period: float, slice_thickness: float) -> tuple[float, str]:
    """Processor time [s] of all seven thicknesses by some passes through moving atoms, and their noise."""
    numerics = replace(
        NUMERICS,
        thermal_passes=passes,
        thermal_coarse_passes=0,
        thermal_noise=1e-4,
        thermal_period_angstrom=period,
        slice_thickness_angstrom=slice_thickness,
    )
    started = time.process_time()
    images = simulate_images(potential, MICROSCOPE, numerics, THICKNESSES, rotations=[17.0])
    render(images.coefficients[:, 0], images.lengths, Field(IMAGE, 17.0))
    return time.process_time() - started, " ".join(f"{100 * noise:.1f}" for noise in images.noise) + " %"


def positions(probes: int) -> abtem.CustomScan:
    """Draw probe positions."""
    return abtem.CustomScan(np.random.default_rng(0).uniform(0, 25, (probes, 2)))


def segments() -> abtem.SegmentedDetector:
    """Return the four segments."""
    return abtem.SegmentedDetector(inner=10, outer=50, nbins_radial=1, nbins_azimuthal=4)


def probe_scan(potential: abtem.PotentialArray, probes: int) -> np.ndarray:
    """AbTEM's Probe.scan at some positions."""
    probe = abtem.Probe(energy=200e3, semiangle_cutoff=20)
    probe.grid.match(potential)
    return np.asarray(probe.scan(potential, scan=positions(probes), detectors=segments()).compute().array)


def scattering_matrix(potential: abtem.PotentialArray, interpolation: int = 1) -> abtem.SMatrixArray:
    """AbTEM's scattering matrix."""
    matrix = abtem.SMatrix(potential=potential, energy=200e3, semiangle_cutoff=20, interpolation=interpolation)
    return matrix.build().compute()


def reduced(matrix: abtem.SMatrixArray, probes: int) -> np.ndarray:
    """Signals of a scattering matrix; abTEM's `SMatrixArray.scan` passes on an argument that `reduce` does not know."""
    return np.asarray(matrix.reduce(scan=positions(probes), detectors=segments()).compute().array)


def interpolated(potential: abtem.PotentialArray, factor: int, nyquist: int, total: int) -> tuple[float, float]:
    """Time of an interpolated scattering matrix and of all probes [s], and its error at 20 nm in % of the contrast."""
    started = time.perf_counter()
    matrix = scattering_matrix(potential, factor)
    build = (time.perf_counter() - started) * total / ERROR_SLICES
    started = time.perf_counter()
    found = reduced(matrix, ERROR_PROBES)
    reduction = (time.perf_counter() - started) / ERROR_PROBES
    exact = probe_scan(potential, ERROR_PROBES)
    off = np.sqrt(np.mean((found - exact) ** 2)) / np.std(exact - exact.mean(axis=0))
    return build + reduction * nyquist, 100 * float(off)


def main() -> None:
    """Measure, scale, print a table."""
    abtem.config.set({"diagnostics.progress_bar": False})
    layers = potential_of(cell_of("GaN"), NUMERICS.sampling_angstrom)
    total = layers.slicing(NUMERICS.slice_thickness_angstrom).nearest(THICKNESSES[-1])
    thick = math.ceil(THICKNESSES[-1] / 3)
    nyquist = math.ceil(25.6 / (MICROSCOPE.wavelength / (4 * 20e-3))) ** 2
    potential, fraction = supercell(layers, SLICES), total / SLICES
    own = timed(lambda: engine(layers))
    probe = timed(lambda: probe_scan(potential, PROBES)) / PROBES * fraction
    matrix = timed(lambda: scattering_matrix(potential)) * fraction
    thin = scattering_matrix(supercell(layers, 1))
    reduction = timed(lambda: reduced(thin, PROBES)) / PROBES
    deep = supercell(layers, ERROR_SLICES)
    cheap = {factor: interpolated(deep, factor, nyquist, total) for factor in (2, 4)}
    warm = sampled_potential(warm_cell("GaN"), NUMERICS.sampling_angstrom, IMAGE.sampling_angstrom)
    torch.set_num_threads(1)
    passed = {key: moving(warm, *key) for key in ((1, 1.0, 0.3), (1, 1.0, 1.0), (1, 4.0, 0.3), (4, 4.0, 0.3))}
    rows = [
        ("(a) abTEM `Probe.scan`, 65,536 probes", probe * IMAGE.pixels**2),
        (f"(a') the same with {thick} slices of 3 Å", probe * IMAGE.pixels**2 * thick / total),
        (f"(b) abTEM `Probe.scan` at Nyquist sampling, {nyquist:,} probes", probe * nyquist),
        (f"(c) abTEM `SMatrix`, no interpolation, one thickness, {nyquist:,} probes", matrix + reduction * nyquist),
        ("(c') the same, its multislice alone", matrix),
        ("(d) this engine, seven thicknesses", own),
        (f"(e) abTEM `Probe.scan`, {CONFIGURATIONS} frozen configurations", probe * IMAGE.pixels**2 * CONFIGURATIONS),
        *(
            (
                f"(e') abTEM `SMatrix`, interpolation {factor}, {CONFIGURATIONS} frozen configurations, one thickness; "
                f"error of the interpolation at 20 nm {error:.1f} %",
                seconds * CONFIGURATIONS,
            )
            for factor, (seconds, error) in cheap.items()
        ),
        *(
            (
                f"(f) this engine, moving atoms, {count} passes, period {period} Å, slices to {thick} Å; noise {noise}",
                used,
            )
            for (count, period, thick), (used, noise) in passed.items()
        ),
    ]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, ", end="")
    print(f"abTEM {abtem.__version__}; {total} slices, abTEM measured on {SLICES} slices and {PROBES} probes\n")
    print("| | time | over (d) |\n|---|---|---|")
    for name, seconds in rows:
        print(f"| {name} | {seconds:,.1f} s | {seconds / own:,.0f} |")


if __name__ == "__main__":
    main()
