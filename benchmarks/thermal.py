"""Errors of images of moving atoms, on the five crystals at 293 K; each measurement prints a table in Markdown.

configuration: one frozen configuration by abTEM's own potential and this engine. mean: abTEM's frozen phonons and this
engine's mean. neglects: what is lost with atoms at rest, Debye-Waller factors alone, or absorption alone. period:
passes whose displacements repeat with a few cells against configurations of the whole window. grid: pixels and slices,
with equal displacements. window: windows, by the elastic wave. cost: time and noise of a pass.
"""

import argparse
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from ase import Atoms
from common import MICROSCOPE, THICKNESSES, TILT, ZONE_AXES, warm_cell
from numpy.typing import NDArray
from torch import Tensor

from iphasenet.multislice.displaced_cell import DisplacedCell
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.multislice.periodic_images import PeriodicImages, simulate_images
from iphasenet.multislice.settings import Numerics
from iphasenet.multislice.thermal_images import one_pass, thermal_mean
from iphasenet.multislice.thermal_pass import ThermalPass

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import abtem

WINDOWS = {"GaN": 11.0, "KNbO3": 12.0, "MoS2": 10.9, "LiCoO2": 9.7, "PVSK": 12.4}
"""Small windows of four to nine cells [Å]: a given error of frozen phonons costs the less, the smaller they are."""

DETECTORS = replace(MICROSCOPE, detector_segments=16, dark_field_mrad=(50.0, 80.0))
QUARTERS = np.pad(np.kron(np.eye(4), np.ones(4)), ((0, 0), (0, 1)))
"""Sums of the sixteen sectors that are the four segments."""

Series = NDArray[np.complex128]


def passes(material: str, depths: Sequence[float], sampling: float, window: float, **numerics: float) -> ThermalPass:
    """Prepare passes through a crystal."""
    usual = {"slice_thickness_angstrom": 0.3, "window_angstrom": window, "thermal_coarse_passes": 0}
    settings = Numerics(sampling, **{**usual, **numerics})
    potential = sampled_potential(warm_cell(material), sampling, 0.2)
    return ThermalPass(potential, MICROSCOPE, settings, list(depths), TILT)


def contrast(series: Series) -> NDArray[np.float64]:
    """Rms of images (thickness, ...) about their means."""
    varying = series.copy()
    varying[..., series.shape[-2] // 2, series.shape[-1] // 2] = 0
    return np.linalg.norm(varying.reshape(len(series), -1), axis=1)


def difference(found: Series, reference: Series) -> NDArray[np.float64]:
    """Rms difference by thickness, in percent of the reference's contrast."""
    return 100 * np.linalg.norm((found - reference).reshape(len(found), -1), axis=1) / contrast(reference)


class Scatter:
    """Passes, each with the coarse ones that its numerics allow, and the processor time that they took."""

    def __init__(self, simulation: ThermalPass) -> None:
        self.simulation, self.seconds = simulation, 0.0
        self.images: list[Series] = []
        self.coarse: list[Series] = []

    def add(self, first: int) -> None:
        """Pass once more."""
        started = time.process_time()
        simulation, seed = self.simulation, first + len(self.images)
        images, coarse = self._passed(simulation, [seed]), simulation.coarse
        if coarse is not None:
            images = images - self._passed(coarse, [seed])
            more = range(1, simulation.numerics.thermal_coarse_passes + 1)
            self.coarse += [self._passed(coarse, [seed, number]) for number in more]
        self.images.append(images)
        self.seconds += time.process_time() - started

    @staticmethod
    def _passed(simulation: ThermalPass, seed: Sequence[int]) -> Series:
        return one_pass(simulation, simulation.exits, seed)[0].sum(axis=1).astype(np.complex64)

    @property
    def _terms(self) -> list[NDArray[np.complex64]]:
        """Passes whose means add up: differences from coarse passes, and further coarse passes."""
        return [np.array(images) for images in (self.images, self.coarse) if images]

    def mean(self, channels: NDArray[np.float64] | None = None) -> tuple[Series, NDArray[np.float64]]:
        """Mean images (thickness, ...), of sums of segments if asked for, and their error in % of the contrast."""
        terms = self._terms
        if channels is not None:
            terms = [np.einsum("ds,ntrsyx->ntrdyx", channels, images) for images in terms]
        mean = sum(images.mean(axis=0) for images in terms)
        scatter = [(np.abs(images - images.mean(axis=0)) ** 2).sum(axis=(0, 2, 3, 4, 5)) for images in terms]
        squares = [one / (len(images) * (len(images) - 1)) for one, images in zip(scatter, terms, strict=True)]
        return mean, 100 * np.sqrt(sum(squares)) / contrast(mean)

    def signal_error(self, channels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Estimate the standard error of the mean signal of all segments."""
        squares = 0.0
        for images in self._terms:
            means = images[..., images.shape[-2] // 2, images.shape[-1] // 2].real @ channels.sum(axis=0)
            squares = squares + means.var(axis=0, ddof=1) / len(means)
        return np.asarray(np.sqrt(squares)).ravel()


def row(name: str, values: NDArray[np.float64], digits: int = 2) -> None:
    """Print a row of a table."""
    print(f"| {name} | " + " | ".join(f"{value:.{digits}f}" for value in values) + " |", flush=True)


def head(title: str, depths: Sequence[float]) -> None:
    """Print the head of a table of thicknesses."""
    print(f"\n| {title} | " + " | ".join(f"{depth / 10:g} nm" for depth in depths) + " |")
    print("|---" * (len(depths) + 1) + "|")


def signals(images: PeriodicImages, positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Segment signals (position, segment) of the first thickness at positions (x, y) [Å]."""
    series = images.coefficients[0, 0]
    my, mx = series.shape[-2] // 2, series.shape[-1] // 2
    along_x = np.exp(2j * np.pi * np.outer(positions[:, 0] / images.lengths[0], np.arange(-mx, mx + 1)))
    along_y = np.exp(2j * np.pi * np.outer(positions[:, 1] / images.lengths[1], np.arange(-my, my + 1)))
    return np.asarray(np.einsum("syx,py,px->ps", series, along_y, along_x).real)


def abtem_signals(
    atoms: Atoms, sampling: float, slices: Sequence[float], positions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Signals (position, segment) by abTEM's own potential, probe and scan."""
    potential = abtem.Potential(
        atoms, sampling=sampling, slice_thickness=tuple(slices), parametrization="lobato", projection="infinite"
    )
    probe = abtem.Probe(energy=200e3, semiangle_cutoff=20, soft=True)
    probe.grid.match(potential)
    detector = abtem.PixelatedDetector(max_angle=None, resample=False)
    found = probe.scan(potential, scan=abtem.CustomScan(positions), detectors=detector).compute()
    (lx, ly), (nx, ny) = potential.extent, potential.gpts
    kx, ky = (np.fft.fftshift(np.fft.fftfreq(n, length / n)) for n, length in ((nx, lx), (ny, ly)))
    mesh = [part.ravel() for part in np.meshgrid(kx, ky, indexing="ij")]
    weights = MICROSCOPE.detector_weights(*mesh, (1 / lx, 1 / ly), 0.0)
    return np.asarray(found.array.reshape(len(positions), -1) @ weights.T)


def supercell(material: str, side: float, depth: float) -> tuple[Atoms, list[float]]:
    """Crystal of at least a side and a depth [Å], and the thicknesses of its slices."""
    cell = warm_cell(material)
    a, b, c = cell.cell.lengths()
    repeats = [int(np.ceil(length / period - 1e-9)) for length, period in ((side, a), (side, b), (depth, c))]
    distances = sampled_potential(cell, 0.1, 0.2).slicing(0.3).distances.tolist()
    atoms = cell.repeat(repeats)
    # abTEM cuts at fixed heights: atoms on a cut would fall to either side of it.
    atoms.positions[:, 2] += 0.01
    return atoms, distances * repeats[2]


def isotropic(atoms: Atoms) -> dict[str, float]:
    """Mean rms displacement across the beam of each element [Å], which is all that abTEM takes."""
    lateral = np.trace(atoms.arrays["displacements"][:, :2, :2], axis1=1, axis2=2) / 2
    return {s: float(np.sqrt(lateral[atoms.symbols == s].mean())) for s in sorted(set(atoms.symbols))}


def at_rest(atoms: Atoms, depth: float, sampling: float) -> PeriodicImages:
    """Images of a slab of displaced atoms as it stands."""
    still = atoms.copy()
    still.positions[:, 2] -= 0.01
    del still.arrays["displacements"]
    return simulate_images(sampled_potential(still, sampling, 0.2), MICROSCOPE, Numerics(sampling, 0.3, 1.0), [depth])


def configuration() -> None:
    """One configuration of a supercell: abTEM's own potential on finer grids, and this engine's at a fine one."""
    print("\n| one configuration, 5 nm, % of contrast | abTEM 0.04 Å | abTEM 0.02 Å | this engine 0.06 Å |")
    print("|---|---|---|---|")
    for material in ("GaN", "KNbO3"):
        atoms, slices = supercell(material, 12.0, 50.0)
        depth, positions = float(np.sum(slices)), np.random.default_rng(3).uniform(0, 12, (12, 2))
        moved = abtem.FrozenPhonons(atoms, 1, isotropic(atoms), directions="xy", seed=(5,)).randomize(atoms)
        reference = signals(at_rest(moved, depth, 0.03), positions)
        spread = np.std(reference - reference.mean(axis=0))
        found = [abtem_signals(moved, sampling, slices, positions) for sampling in (0.04, 0.02)]
        found.append(signals(at_rest(moved, depth, 0.06), positions))
        row(material, np.array([100 * np.sqrt(np.mean((one - reference) ** 2)) / spread for one in found]))


def mean(materials: Sequence[str], count: int) -> None:
    """Mean of abTEM's frozen phonons and of this engine's passes, in units of their standard error."""
    print(f"\n| {count} configurations, 5 nm | rms difference, % of contrast | both errors, % |\n|---|---|---|")
    for material in materials:
        atoms, slices = supercell(material, 12.0, 50.0)
        depth, positions = float(np.sum(slices)), np.random.default_rng(3).uniform(0, 12, (12, 2))
        # Atoms displaced along the beam would change slices.
        phonons = abtem.FrozenPhonons(atoms, count, isotropic(atoms), directions="xy", seed=11)
        each = [abtem_signals(moved, 0.04, slices, positions) for moved in phonons.to_atoms_ensemble()]
        cell = warm_cell(material)
        sigmas = isotropic(cell)
        cell.arrays["displacements"] = np.array([sigmas[s] ** 2 * np.eye(3) for s in cell.symbols])
        numerics = Numerics(0.08, 0.3, 12.0, thermal_passes=8, thermal_noise=1e-3)
        own = simulate_images(sampled_potential(cell, 0.08, 0.2), MICROSCOPE, numerics, [depth])
        reference = signals(own, positions)
        spread = np.std(reference - reference.mean(axis=0))
        error = np.sqrt(np.var(each, axis=0, ddof=1).mean() / count + (own.noise[0] * spread) ** 2)
        off = np.sqrt(np.mean((np.mean(each, axis=0) - reference) ** 2))
        row(material, 100 * np.array([off, error]) / spread)


@dataclass(frozen=True)
class MeanCell(DisplacedCell):
    """Transmission functions averaged over displacements: elastic waves lose what is scattered thermally."""

    def transmissions(self, shifts: Tensor, numbers: Sequence[int]) -> Tensor:
        """Means, the same in all blocks (block, slice, y, x)."""
        return self.averages[[number % self.slicing.count for number in numbers]].expand(len(shifts), -1, -1, -1)

    @cached_property
    def averages(self) -> Tensor:
        """Means over 4,000 draws (slice, y, x)."""
        tensors = self.potential.displacements
        assert tensors is not None
        roots = np.linalg.cholesky(tensors[self.atoms.origin] + 1e-12 * np.eye(2))
        total, random, numbers = torch.zeros(1), np.random.default_rng(0), range(self.slicing.count)
        for _ in range(80):
            draws = np.einsum("aij,baj->bai", roots, random.standard_normal((50, len(roots), 2)))
            total = total + super().transmissions(torch.from_numpy(draws[:, None]), numbers).mean(dim=0) / 80
        return total


class ElasticPass(ThermalPass):
    """Elastic waves alone: absorption without what is absorbed."""

    @cached_property
    def displaced(self) -> DisplacedCell:
        """The crystal with mean transmission functions."""
        whole = super().displaced
        return MeanCell(**{name: getattr(whole, name) for name in whole.__dataclass_fields__})


def neglects(materials: Sequence[str], window: float, count: int) -> None:
    """Print what each neglect costs, against the mean over configurations in the same window."""
    depths = [50.0, 100.0, 200.0, 400.0, 800.0, 1500.0]
    head("% of contrast", depths)
    for material in materials:
        simulation = passes(material, depths, 0.1, window, thermal_period_angstrom=5.0)
        scatter = Scatter(simulation)
        for _ in range(count):
            scatter.add(0)
        reference, error = scatter.mean()
        fine = replace(simulation.numerics, sampling_angstrom=0.05)
        cell = warm_cell(material)
        potential = sampled_potential(cell, 0.05, 0.2)
        for name, still in (("at rest", potential.at_rest()), ("Debye-Waller factors", potential.averaged())):
            images = simulate_images(still, MICROSCOPE, fine, depths, TILT)
            row(f"{material}, {name}", difference(images.coefficients, reference), 0)
        row(f"{material}, absorption", difference(elastic(simulation), reference), 0)
        row(f"{material}, standard error", error, 1)


def period(materials: Sequence[str], depths: Sequence[float], minutes: float, coarse: int) -> None:
    """
    Compare passes whose displacements repeat after a few cells with configurations of the whole window.

    A configuration of the whole window is a frozen phonon without tricks: all waves pass the same atoms. With coarse
    passes, means are known better, but a dark field, which coarse grids do not hold, is left out.
    """
    microscope = MICROSCOPE if coarse else DETECTORS
    for material in materials:
        simulations = [
            passes(
                material,
                depths,
                0.1,
                WINDOWS[material],
                slice_thickness_angstrom=1.2,
                thermal_period_angstrom=length,
                thermal_coarse_passes=coarse,
            )
            for length in (WINDOWS[material], 1.0, 4.0)
        ]
        simulations = [replace(one, microscope=microscope) for one in simulations]
        # Crystals whose cell is longer than 4 Å have one period only.
        if simulations[1].repeats == simulations[2].repeats:
            simulations.pop()
        sums = [Scatter(one) for one in simulations]
        started = time.process_time()
        while time.process_time() - started < 60 * minutes:
            # The reference needs most of the time.
            least = min(range(len(sums)), key=lambda index: sums[index].seconds * (1 if index else 0.6))
            sums[least].add(1000 * least)
        fine = {"4 segments": QUARTERS, "16 segments": np.eye(17)[:16], "50 to 80 mrad": np.eye(17)[16:]}
        for name, channels in ({"4 segments": np.eye(4)} if coarse else fine).items():
            head(f"{material}, {name}", depths)
            reference, error = sums[0].mean(channels)
            x, y = simulations[0].repeats
            row(f"standard error of {len(sums[0].images)} configurations of {x} x {y} cells, % of contrast", error)
            for one in sums[1:]:
                found, own = one.mean(channels)
                x, y = one.simulation.repeats
                row(f"standard error of {len(one.images)} passes, {x} x {y} cells", own)
                row("difference", difference(found, reference))
                row("what the errors let expect", np.hypot(error, own))
                centre = (..., found.shape[-2] // 2, found.shape[-1] // 2)
                scale = 100 / contrast(reference)
                row("difference of the mean signal", scale * (found - reference)[centre].real.sum(axis=-1).ravel())
                row("its error", scale * np.hypot(sums[0].signal_error(channels), one.signal_error(channels)))


def grid(materials: Sequence[str], window: float) -> None:
    """Pixels and slices, with the same displacements."""
    for material in materials:
        # Whole cells hold the same atoms however they are sliced.
        height = warm_cell(material).cell.lengths()[2]
        depths = [height * round(depth / height) for depth in THICKNESSES]
        head(f"{material}, % of contrast", THICKNESSES)
        finest = passes(material, depths, 0.04, window)
        reference, _ = one_pass(finest, finest.exits, 3)
        for sampling in (0.126, 0.1, 0.08):
            coarse = passes(material, depths, sampling, window)
            found, _ = one_pass(coarse, coarse.exits, 3)
            pixel = max(side / n for side, n in zip(coarse.grid.lengths, coarse.grid.gpts, strict=True))
            row(f"{sampling} Å ({pixel:.3f} Å)", difference(found.sum(axis=1), reference.sum(axis=1)))
        counts = {finest.slicing.count}
        # Up to 1.2 Å, PVSK would begin with hydrogen that a heavy slice holds: the focus would move by 1.7 Å.
        for thickness in (0.7, 1.0, 2.0):
            thick = entering_at_its_cut(passes(material, depths, 0.1, window, slice_thickness_angstrom=thickness))
            if thick.slicing.count in counts:
                continue
            counts.add(thick.slicing.count)
            thin = replace(thick, numerics=replace(thick.numerics, slice_thickness_angstrom=0.3))
            found, exact = (one_pass(one, one.exits, 3)[0].sum(axis=1) for one in (thick, thin))
            row(
                f"{thick.slicing.count} instead of {thin.slicing.count} slices, to {thickness} Å",
                difference(found, exact),
            )


def entering_at_its_cut(simulation: ThermalPass) -> ThermalPass:
    """Move the crystal along the beam, so that it begins with the same atoms however it is sliced."""
    positions = simulation.potential.positions.copy()
    positions[:, 2] = simulation.slicing.heights - simulation.slicing.heights.min() + 2e-3
    return replace(simulation, potential=replace(simulation.potential, positions=positions))


def window(materials: Sequence[str]) -> None:
    """Windows, by the elastic wave, which has no noise."""
    for material in materials:
        head(f"{material}, % of contrast", THICKNESSES)
        largest = passes(material, THICKNESSES, 0.126, 96.0, slice_thickness_angstrom=1.2)
        reference = elastic(largest)
        for side in (16.0, 18.0, 25.6, 36.0, 48.0, 64.0):
            smaller = replace(largest, numerics=replace(largest.numerics, window_angstrom=side))
            found = elastic(smaller)
            # A small window's reciprocal pixels add orders beyond twice the aperture.
            orders = min(found.shape[-2], reference.shape[-2]), min(found.shape[-1], reference.shape[-1])
            row(f"{side} Å", difference(central(found, orders), central(reference, orders)))


def central(series: Series, orders: tuple[int, int]) -> Series:
    """Coefficients (..., ky, kx) of the lowest orders."""
    y, x = ((size - kept) // 2 for size, kept in zip(series.shape[-2:], orders, strict=True))
    return series[..., y : y + orders[0], x : x + orders[1]]


def elastic(simulation: ThermalPass) -> Series:
    """Images (thickness, ...) of the elastic wave alone."""
    one = ElasticPass(simulation.potential, MICROSCOPE, replace(simulation.numerics, thermal_period_angstrom=1.0),
                      simulation.depths, TILT)  # fmt: skip
    return one_pass(one, one.exits, 0)[0].sum(axis=1)


def cost(materials: Sequence[str], window: float) -> None:
    """Processor time of a pass and of Debye-Waller factors on the same grid, and the noise of one pass."""
    for material in materials:
        head(f"{material}", THICKNESSES)
        for length in (1.0, 5.0, 8.0):
            simulation = passes(material, THICKNESSES, 0.1, window, thermal_period_angstrom=length, thermal_passes=2,
                                thermal_noise=1e-4)  # fmt: skip
            started = time.process_time()
            found = thermal_mean(simulation, 1)
            seconds = (time.process_time() - started) / 2
            x, y = simulation.repeats
            row(f"{x} x {y} cells, {seconds:.0f} s a pass, noise of a pass %", 100 * found.noise * np.sqrt(2))
        started = time.process_time()
        simulate_images(simulation.potential.averaged(), MICROSCOPE, simulation.numerics, THICKNESSES, TILT)
        print(f"Debye-Waller factors: {time.process_time() - started:.0f} s")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["configuration", "mean", "neglects", "period", "grid", "window", "cost"])
    parser.add_argument("--materials", nargs="+", default=list(ZONE_AXES), choices=list(ZONE_AXES))
    parser.add_argument("--window", type=float, default=19.0, help="window [Å]")
    parser.add_argument("--count", type=int, default=16, help="passes, or configurations of abTEM")
    parser.add_argument("--minutes", type=float, default=60, help="processor time of each crystal in 'period'")
    parser.add_argument("--coarse", type=int, default=0, help="coarse passes for each pass in 'period'")
    parser.add_argument("--depths", nargs="+", type=float, default=[100.0, 200.0, 400.0], help="in 'period' [Å]")
    options = parser.parse_args()
    torch.set_num_threads(1)
    abtem.config.set({"diagnostics.progress_bar": False})
    measures = {
        "configuration": configuration,
        "mean": lambda: mean(options.materials, options.count),
        "neglects": lambda: neglects(options.materials, options.window, options.count),
        "period": lambda: period(options.materials, options.depths, options.minutes, options.coarse),
        "grid": lambda: grid(options.materials, options.window),
        "window": lambda: window(options.materials),
        "cost": lambda: cost(options.materials, options.window),
    }
    measures[options.what]()


if __name__ == "__main__":
    main()
