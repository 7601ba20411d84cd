"""What the correlation of atoms' displacements changes in the images, on AlN with published force constants.

python -m benchmarks.correlated_phonons FOLDER --minutes 60

FOLDER holds POSCAR-unitcell and FORCE_SETS (a 5 x 5 x 3 supercell) of the example AlN-LDA of phono3py (A. Togo,
https://github.com/phonopy/phono3py, commit ba154d8, BSD licence). phonopy is needed beside the library. Configurations
of the whole window are drawn from the phonons, and independently for each atom with the same mean squares.
"""

import argparse
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from ase import Atoms, io, units
from numpy.typing import NDArray

from benchmarks.common import TEMPERATURE, TILT
from benchmarks.thermal import DETECTORS, QUARTERS, Scatter, contrast, difference, head, row
from iphasenet.crystal.structure import orthogonal_cell
from iphasenet.multislice.displacements import Seed
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.multislice.settings import Numerics
from iphasenet.multislice.thermal_pass import ThermalPass

SUPERCELL = (5, 5, 3)
"""Cells of the supercell whose forces were computed."""

WINDOW = 10.7
"""Side of the window [Å]: 4 x 2 orthogonal cells."""

AROUND = 6
"""Waves along each direction across the beam that one of a block stands for; none of them is at rest."""

DEPTHS = [50.0, 100.0, 200.0, 400.0]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Phonons:
    """
    Harmonic vibrations of a block of cells.

    Attributes
    ----------
    folder : path
        Cell and forces.
    across : (2, 3) integer array
        Periods of the block across the beam, in primitive cells.
    along : int
        Cells along the beam.
    """

    folder: Path
    across: IntArray
    along: int

    @cached_property
    def cell(self) -> Atoms:
        """The primitive cell."""
        return io.read(self.folder / "POSCAR-unitcell", format="vasp")

    @cached_property
    def waves(self) -> FloatArray:
        """Wave vectors (wave, 3) that fit into the block, in reciprocal cells."""
        periods = np.vstack([self.across, [0, 0, self.along]])
        count = round(abs(np.linalg.det(periods)))
        mesh = np.stack(np.meshgrid(*[np.arange(count // self.along)] * 2, np.arange(self.along), indexing="ij"), -1)
        found = mesh.reshape(-1, 3) @ np.linalg.inv(periods).T
        return np.unique(np.round(found - np.floor(found + 1e-9), 9) % 1, axis=0)

    @cached_property
    def amplitudes(self) -> NDArray[np.complex128]:
        """
        Rms displacements (wave, mode, atom, 3) that each mode adds [Å].

        A block is narrow across the beam: with waves that fit into it alone, it would bend like a rod. Each wave stands
        for all those around it instead, whose mean covariance it has.
        """
        from phonopy import Phonopy
        from phonopy.file_IO import parse_FORCE_SETS
        from phonopy.structure.atoms import PhonopyAtoms

        places = self.cell.get_scaled_positions()
        cell = PhonopyAtoms(self.cell.symbols, cell=self.cell.cell[:], scaled_positions=places)
        phonopy = Phonopy(cell, np.diag(SUPERCELL), primitive_matrix=np.eye(3))
        phonopy.dataset = parse_FORCE_SETS(filename=str(self.folder / "FORCE_SETS"))
        phonopy.produce_force_constants()
        phonopy.symmetrize_force_constants()
        weights = 1 / np.sqrt(np.repeat(cell.masses, 3))
        parts = (np.arange(AROUND) + 0.5) / AROUND - 0.5
        periods = np.linalg.inv(np.vstack([self.across, [0, 0, self.along]]))
        around = np.array([[x, y, 0] for x in parts for y in parts]) @ periods.T
        positions = np.repeat(places, 3, axis=0)
        found = []
        for wave in self.waves:
            covariance = np.zeros((len(weights),) * 2, complex)
            for shift in around:
                phonopy.dynamical_matrix.run(wave + shift)
                squares, vectors = np.linalg.eigh(phonopy.dynamical_matrix.dynamical_matrix)
                covariance += (vectors * mode_squares(squares)) @ vectors.conj().T / len(around)
            powers, vectors = np.linalg.eigh(covariance * np.outer(weights, weights))
            # Eigenvectors of phonopy have the phases of atoms, not of cells.
            phases = np.exp(2j * np.pi * positions @ wave)
            modes = vectors * np.sqrt(np.clip(powers, 0, None) / len(self.waves)) * phases[:, None]
            found.append(modes.T.reshape(len(powers), -1, 3))
        return np.array(found)

    @cached_property
    def mean_squares(self) -> FloatArray:
        """Mean square displacement tensors (atom, 3, 3) [Å²]."""
        return np.einsum("qmax,qmay->axy", self.amplitudes, self.amplitudes.conj()).real

    def draw(self, cells: IntArray, seed: Seed) -> FloatArray:
        """Displacements (cell, atom, 3) of a moment in the cells (cell, 3) of the block [Å]."""
        random = np.random.default_rng(np.random.SeedSequence(seed))
        shape = self.amplitudes.shape[:2]
        numbers = random.standard_normal(shape) + 1j * random.standard_normal(shape)
        modes = np.einsum("qmax,qm->qax", self.amplitudes, numbers)
        phases = np.exp(2j * np.pi * (cells @ self.waves.T))
        return np.einsum("cq,qax->cax", phases, modes).real


def mode_squares(squares: FloatArray) -> FloatArray:
    """Mean squares of modes' amplitudes [Å² u] from the squares of their frequencies [eV/(Å² u)]."""
    # ASE's unit of time is that of eV, Å and atomic masses.
    omega = np.sqrt(np.clip(squares, 1e-6, None))
    quantum = units._hbar * units.J * units.s
    return quantum / (2 * omega) / np.tanh(quantum * omega / (2 * units.kB * TEMPERATURE))


@dataclass(frozen=True)
class PhononPass(ThermalPass):
    """A pass whose displacements are those of phonons: one block, of the whole window."""

    phonons: Phonons | None = None

    def _shifts(self, repeats: int, seed: Seed) -> FloatArray:
        assert self.phonons is not None and len(self.blocks) == 1 and repeats <= self.phonons.along
        atoms, height = self.displaced.atoms, self.potential.lengths[2]
        heights = self.slicing.heights[atoms.origin] + height * np.arange(repeats)[:, None]
        lateral = np.broadcast_to(atoms.positions, (repeats, *atoms.positions.shape))
        places = np.concatenate([lateral, heights[..., None]], axis=-1)
        cells, numbers = primitive_places(places.reshape(-1, 3), self.phonons.cell)
        unique, row_of = np.unique(cells, axis=0, return_inverse=True)
        drawn = self.phonons.draw(unique, seed)[row_of.ravel(), numbers, :2]
        return drawn.reshape(1, repeats, -1, 2)


def primitive_places(positions: FloatArray, cell: Atoms) -> tuple[IntArray, IntArray]:
    """Primitive cells (n, 3) and atoms (n) of positions; both structures may be apart by one vector for all."""
    inverse = np.linalg.inv(cell.cell[:])
    best: tuple[float, IntArray, IntArray] | None = None
    for start in cell.positions:
        moved = (positions - positions[0] + start) @ inverse
        apart = moved[:, None] - cell.get_scaled_positions()
        wrong = np.abs(apart - np.rint(apart)).max(axis=-1)
        numbers = wrong.argmin(axis=1)
        rows = np.arange(len(positions))
        error = float(wrong[rows, numbers].max())
        if best is None or error < best[0]:
            best = error, np.rint(apart[rows, numbers]).astype(np.int64), numbers
    assert best is not None and best[0] < 1e-3, f"positions are off by {best}"
    return best[1], best[2]


def main() -> None:
    """Compare means over configurations of phonons and of independent atoms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with POSCAR-unitcell and FORCE_SETS")
    parser.add_argument("--minutes", type=float, default=60.0, help="processor time [min]")
    options = parser.parse_args()
    height = io.read(options.folder / "POSCAR-unitcell", format="vasp").cell.lengths()[2]
    # The orthogonal cell is a1, a1 + 2 a2.
    phonons = Phonons(options.folder, np.array([[4, 0, 0], [2, 4, 0]]), int(np.ceil(DEPTHS[-1] / height)) + 1)
    tensors = phonons.mean_squares
    for symbol, rms in zip(phonons.cell.symbols, np.sqrt(np.einsum("axx->ax", tensors)), strict=True):
        print(f"{symbol}: rms displacements along x, y, z", *(f"{value:.4f}" for value in rms), "Å")
    warm = phonons.cell.copy()
    warm.set_array("displacements", tensors, float, (3, 3))
    whole = {"window_angstrom": WINDOW, "thermal_period_angstrom": WINDOW, "thermal_coarse_passes": 0}
    numerics = Numerics(0.1, slice_thickness_angstrom=1.2, **whole)
    potential = sampled_potential(orthogonal_cell(warm, (0, 0, 1)), 0.1, 0.2)
    setting = (potential, DETECTORS, numerics, DEPTHS, TILT)
    sums = [Scatter(ThermalPass(*setting)), Scatter(PhononPass(*setting, phonons=phonons))]
    started = time.process_time()
    while time.process_time() - started < 60 * options.minutes:
        for number, one in enumerate(sums):
            one.add(1000 * number)
    for name, channels in {"4 segments": QUARTERS, "50 to 80 mrad": np.eye(17)[16:]}.items():
        head(f"AlN, {name}", DEPTHS)
        (independent, error), (correlated, own) = (one.mean(channels) for one in sums)
        row("difference of the images", difference(independent, correlated))
        row(f"what the errors of {len(sums[0].images)} configurations each let expect", np.hypot(error, own))
        centre = (..., independent.shape[-2] // 2, independent.shape[-1] // 2)
        scale = 100 / contrast(correlated)
        row("difference of the mean signal", scale * (independent - correlated)[centre].real.sum(axis=-1).ravel())
        row("its error", scale * np.hypot(*(one.signal_error(channels) for one in sums)))


if __name__ == "__main__":
    main()
