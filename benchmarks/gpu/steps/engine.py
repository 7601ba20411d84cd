"""Second step: the multislice engine on each crystal, its batches, its memory's bandwidth, frozen phonons."""

import math
import time
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.context import Context
from benchmarks.gpu.data import Material
from iphasenet.crystal.potential import series_on_grid
from iphasenet.multislice.numerics import cell_grid
from iphasenet.multislice.periodic_images import PeriodicImages, simulate_images
from iphasenet.multislice.propagation import propagators, scatter, transmission_functions
from iphasenet.multislice.settings import Numerics
from iphasenet.planning.tilt_cost import estimate_tilt
from iphasenet.simulation.grid import Orientation, random_key

ALLOWED = 1e-4
"""Largest difference to the CPU's images, over an image's mean."""

_MEMORY = 8000.0
"""Memory that a simulation may use on a GPU [MB]."""

_PASSES = 8
"""Times that each wave is read or written at least in a slice: two Fourier transforms and two products."""


def measure(context: Context) -> None:
    """Measure what is soon measured first."""
    speed = _bandwidth(context)
    for material in context.packed.materials:
        _published(context, material)
    _batches(context, speed)
    _phonons(context)
    _full(context)


def _bandwidth(context: Context) -> float:
    """Bytes that a copy reads and writes in a second."""
    source = torch.zeros(context.sizes.copied // 4, device=context.device)
    target = torch.empty_like(source)
    seconds = min(_timed(context, lambda: target.copy_(source)) for _ in range(5))
    found = 2 * context.sizes.copied / seconds
    context.facts["copy [GB/s]"] = found / 1e9
    return found


def _timed(context: Context, work: Any) -> float:
    context.synchronise()
    started = time.perf_counter()
    work()
    context.synchronise()
    return time.perf_counter() - started


def _orientation(context: Context, material: Material) -> Orientation:
    """Find the tilt that a CPU has simulated, too."""
    tilt = next(iter(material.images))
    return next(s.orientation for s in context.packed.planned(material.name) if s.orientation.index == tilt)


def _simulate(context: Context, material: Material, numerics: Numerics) -> PeriodicImages:
    """Images of that tilt."""
    packed, orientation = context.packed, _orientation(context, material)
    thicknesses = [10 * thickness for thickness in packed.grid.thickness_nm]
    setting = (material.potential, packed.microscope, numerics, thicknesses)
    # The workflow's own displacements, if atoms move.
    seed = random_key(packed.configuration["seed"], material.name, "thermal", orientation.index)
    return simulate_images(*setting, orientation.lean, orientation.rotations_deg, context.device.type, seed=seed)


def _named(numerics: Numerics) -> str:
    return f"{numerics.sampling_angstrom:g} Å, {numerics.window_angstrom:g} Å"


def _published(context: Context, material: Material) -> None:
    """Time of a tilt at the numerics of the images, and what single precision on this device is worth."""
    numerics = replace(context.packed.numerics, memory_mb=max(_MEMORY, context.packed.numerics.memory_mb))
    with context.row("A tilt", crystal=material.name, **{"pixel, window": _named(numerics)}) as row:
        found: list[PeriodicImages] = []
        # The first one sets libraries up.
        times = [_timed(context, lambda: found.append(_simulate(context, material, numerics))) for _ in range(2)]
        row["seconds"], row["kind"], row["memory [GB]"] = times[1], "measured", context.peak()
        row["difference to a CPU / mean"] = error = difference(found[-1], material.reference)
        row["within 1e-4"] = error < ALLOWED


def difference(found: PeriodicImages, reference: PeriodicImages) -> float:
    """Largest difference of a pixel to a reference over the image's mean, of all images."""
    rows, columns = reference.coefficients.shape[-2:]
    pixels = series_on_grid(found.coefficients - reference.coefficients, (2 * columns, 2 * rows))
    mean = reference.coefficients[..., rows // 2, columns // 2].real
    return float((np.abs(pixels).max(axis=(-2, -1)) / mean).max())


def _full(context: Context) -> None:
    """Time of a tilt at the full configuration's numerics: estimated, then measured where there is time."""
    packed, costs = context.packed, dict[str, float]()
    numerics = replace(packed.finest, memory_mb=max(_MEMORY, packed.finest.memory_mb))
    named, thicknesses = {"pixel, window": _named(numerics)}, [10 * thickness for thickness in packed.grid.thickness_nm]
    for material in packed.materials:
        with context.row("A tilt", crystal=material.name, **named) as row:
            orientation = _orientation(context, material)
            setting = (material.potential, packed.microscope, numerics, thicknesses)
            cost = estimate_tilt(*setting, orientation.lean, orientation.rotations_deg, context.device.type)
            row["seconds"], row["kind"] = cost.seconds, f"estimated, {cost.method}"
            costs[material.name] = cost.seconds
    for material in sorted(packed.materials, key=lambda one: costs.get(one.name, math.inf)):
        if costs.get(material.name, math.inf) < 0.7 * context.left():
            with context.row("A tilt", crystal=material.name, **named) as row:
                row["seconds"] = _timed(context, partial(_simulate, context, material, numerics))
                row["kind"], row["memory [GB]"] = "measured", context.peak()


def _batches(context: Context, speed: float) -> None:
    """Waves that are carried together, and what of the memory's bandwidth they use."""
    packed, kinds = context.packed, (context.packed.numerics, context.packed.finest)
    materials = {packed.materials[0].name: packed.materials[0]}
    largest = max(packed.materials, key=lambda material: material.potential.form_factors[0].size)
    materials[largest.name] = largest
    for material in materials.values():
        for numerics in dict.fromkeys(kinds):
            for waves in context.sizes.waves:
                known = {"crystal": material.name, "pixel": f"{numerics.sampling_angstrom:g} Å", "waves": waves}
                with context.row("Waves together", **known) as row:
                    row |= _scattered(context, material, numerics, waves, speed)


def _scattered(context: Context, material: Material, numerics: Numerics, waves: int, speed: float) -> dict[str, Any]:
    """Time of a slice, of waves that are carried together."""
    packed, device, slices = context.packed, context.device, context.sizes.slices
    potential, microscope = material.potential, packed.microscope
    grid = cell_grid(potential.lengths[:2], numerics.sampling_angstrom, potential.translations)
    slicing = potential.slicing(numerics.slice_thickness_angstrom)
    values = torch.as_tensor(potential.slices(slicing, grid.gpts), dtype=torch.float32, device=device)
    functions = torch.fft.ifft2(transmission_functions(values, grid, microscope.interaction_constant), norm="forward")
    kappa = torch.zeros(1, 2, dtype=torch.float64, device=device)
    passed = [
        propagators(grid, kappa, microscope.wavelength, distance, (0.0, 0.0)).to(functions.dtype)
        for distance in slicing.distances.tolist()
    ]
    incident = torch.arange(waves, device=device)[:, None] % torch.tensor(grid.gpts, device=device)
    owner, beams = (torch.zeros(size, dtype=torch.int64, device=device) for size in ((1,), (1, 1)))

    def work(count: int) -> None:
        scatter(incident, owner, functions, passed, [count], beams)

    work(2)
    seconds = (_timed(context, lambda: work(slices + 1)) - _timed(context, lambda: work(1))) / slices
    moved = _PASSES * functions.element_size() * waves * grid.gpts[0] * grid.gpts[1]
    return {
        "grid": f"{grid.gpts[0]} x {grid.gpts[1]}",
        "a wave's slice [µs]": 1e6 * seconds / waves,
        "GB/s": moved / seconds / 1e9,
        "share of a copy's": moved / seconds / speed,
        "memory [GB]": context.peak(),
    }


def _phonons(context: Context) -> None:
    """Time of a frozen configuration: a slab of atoms, each displaced, as one cell."""
    settings, rng = context.packed.phonons, np.random.default_rng(1)
    slab, numerics = context.packed.slab(), Numerics(**{**settings["numerics"], "memory_mb": _MEMORY})
    slicing = slab.slicing(numerics.slice_thickness_angstrom, repeats=False)
    moved = slab.positions + rng.normal(0, settings["displacement"], slab.positions.shape)
    # No translation leaves displaced atoms unchanged: all waves are coupled.
    displaced = replace(slab, positions=moved, translations=())
    a, b, _ = slab.lengths
    known = {"crystal": settings["material"], "atoms": settings["atoms"], "slab [Å]": f"{a:.0f} x {b:.0f}"}
    with context.row("A frozen configuration", **known, **{"thickness [Å]": settings["thickness"]}) as row:
        row["pixel"] = f"{numerics.sampling_angstrom:g} Å"

        def work() -> None:
            simulate_images(
                *(displaced, context.packed.microscope, numerics, [settings["thickness"]]),
                device=context.device.type,
                slicing=slicing,
            )

        row["seconds"] = _timed(context, work)
        row["its potential, on a CPU [s]"] = _timed(
            context, lambda: displaced.slices(slicing, cell_grid((a, b), numerics.sampling_angstrom, ()).gpts)
        )
        row["memory [GB]"] = context.peak()
