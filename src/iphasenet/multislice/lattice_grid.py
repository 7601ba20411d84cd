"""Grid of the primitive cell of a crystal's lateral lattice, whose axes need not be perpendicular."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iphasenet.crystal.kinds import GOLDEN
from iphasenet.crystal.potential import CrystalPotential
from iphasenet.microscope.probe import Block, Translations
from iphasenet.multislice.propagation import CellGrid, smooth_size

SAME_PLACE = 1e-4
"""Atoms this close to a place where a translation puts another are that one [Å, shares of the lattice vectors]."""

_POWER_SHARE = 1.35
"""A power of two may have this many times the points that are needed along a side."""

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class LatticeGrid(CellGrid):
    """
    Grid along two lattice vectors.

    Attributes
    ----------
    lengths : (float, float)
        Lengths of the lattice vectors [Å].
    gpts : (int, int)
        Grid points along them, 7-smooth.
    band : float
        As in `CellGrid`.
    vectors : ((float, float), (float, float))
        The lattice vectors (x, y) [Å].
    orders : ((int, int), (int, int))
        Their reciprocal vectors, as orders of the orthogonal cell.
    """

    vectors: tuple[tuple[float, float], tuple[float, float]] = ((1.0, 0.0), (0.0, 1.0))
    orders: tuple[tuple[int, int], tuple[int, int]] = ((1, 0), (0, 1))

    @classmethod
    def of_lattice(
        cls,
        lengths: tuple[float, float],
        sampling: float,
        translations: Translations,
        power_share: float = _POWER_SHARE,
    ) -> "LatticeGrid":
        """
        Grid of the primitive cell, with pixels of at most `sampling` and all of its band used.

        Parameters
        ----------
        lengths : (float, float)
            Periods of the orthogonal cell along x and y [Å].
        sampling : float
            Largest pixel along each vector [Å].
        translations : sequence of (u, v, n)
            Lateral translations of the crystal by u / n and v / n of those periods.
        power_share : float
            A side is a power of two if that has at most this many times the points that are needed.

        Returns
        -------
        LatticeGrid
            Grid along the shortest lattice vectors.
        """
        shares = primitive_vectors(lengths, translations)
        vectors = shares * lengths
        orders = np.rint(np.linalg.inv(shares).T).astype(int)
        sides = np.linalg.norm(vectors, axis=1)
        gpts = tuple(_fast_size(side / sampling - 1e-9, power_share) for side in sides)
        return cls(tuple(sides), gpts, 1.0, tuple(map(tuple, vectors)), tuple(map(tuple, orders)))  # type: ignore[arg-type]

    @property
    def area(self) -> float:
        """Area of the cell [Å²]."""
        return float(abs(np.linalg.det(self.vectors)))

    @cached_property
    def reciprocal(self) -> FloatArray:
        """Reciprocal vectors as rows [1/Å]."""
        return np.asarray(np.linalg.inv(np.array(self.vectors)).T)

    def frequencies(self, kappa: Tensor) -> tuple[Tensor, Tensor]:
        """Return kx and ky as `CellGrid` does, but both (block, y, x): neither depends on one axis alone."""
        mesh = np.meshgrid(*(np.fft.fftfreq(n, 1 / n) for n in self.gpts))
        g = torch.from_numpy(np.stack(mesh, axis=-1) @ self.reciprocal).to(kappa)
        return kappa[:, 0, None, None] + g[..., 0], kappa[:, 1, None, None] + g[..., 1]

    def points(self, differences: IntArray) -> IntArray:
        """Points of the grid, y nx + x, of differences of orders (wave, 2) of the orthogonal cell."""
        nx, ny = self.gpts
        indices = np.rint(differences @ np.linalg.inv(np.array(self.orders))).astype(np.int64)
        return np.asarray(indices[:, 1] % ny * nx + indices[:, 0] % nx)

    def all_orders(self) -> IntArray:
        """Orders (y nx + x, 2) of the orthogonal cell of all points of the grid."""
        mesh = np.meshgrid(*(np.rint(np.fft.fftfreq(n, 1 / n)).astype(np.int64) for n in self.gpts))
        return np.asarray(np.stack(mesh, axis=-1).reshape(-1, 2) @ np.array(self.orders))


def _fast_size(minimum: float, power_share: float) -> int:
    """Grid points along a side: a power of two if it is near, because its transforms are much faster."""
    power = 2 ** max(1, math.ceil(math.log2(max(minimum, 1))))
    return power if power <= power_share * minimum else smooth_size(minimum)


def primitive_vectors(lengths: tuple[float, float], translations: Translations) -> FloatArray:
    """Two shortest vectors (as rows, shares of the orthogonal cell) of the lattice of its periods and translations."""
    shifts = [np.array([u, v]) / n for u, v, n in translations]
    reach = np.array([[x, y] for x in (-1, 0, 1) for y in (-1, 0, 1)])
    found = np.concatenate([reach, *(shift + reach for shift in shifts)])
    found = found[np.argsort(np.linalg.norm(found * lengths, axis=1), kind="stable")]
    found = found[np.linalg.norm(found * lengths, axis=1) > 1e-9]
    area = 1 / (1 + len(translations))
    for index, second in enumerate(found):
        for first in found[:index]:
            # Vectors that span a larger cell than the primitive one miss points of the lattice.
            if abs(abs(np.linalg.det([first, second])) - area) < 1e-6:
                return np.array([first, second])
    raise ValueError(f"translations {list(translations)} are no lattice")


def nearest_wave(block: Block, lengths: tuple[float, float]) -> tuple[FloatArray, IntArray]:
    """Wave vector [1/Å] and order of that wave of a block which is nearest to the axis, (2,) arrays."""
    k = block.kappa + block.orders / np.array(lengths)
    nearest = int(np.argmin((k**2).sum(axis=1)))
    return k[nearest], block.orders[nearest]


@dataclass(frozen=True)
class LateralAtoms:
    """
    Atoms of a lateral cell.

    Attributes
    ----------
    origin : (atom,) integer array
        Which atom of the crystal's cell each is a copy of.
    positions : (atom, 2) array
        Mean positions (x, y) [Å].
    places : (atom,) integer array
        Number of the place of each, from 0: elements that share one have the same.
    """

    origin: IntArray
    positions: FloatArray
    places: IntArray

    @property
    def place_count(self) -> int:
        """Number of places; the atoms of one move together."""
        return int(self.places.max()) + 1


def lateral_atoms(potential: CrystalPotential, grid: LatticeGrid, repeats: tuple[int, int]) -> LateralAtoms:
    """
    Atoms that fill a lateral cell: one of those that the translations of the lattice take into each other.

    Parameters
    ----------
    potential : CrystalPotential
        Crystal.
    grid : LatticeGrid
        Grid of the lateral cell.
    repeats : (int, int)
        Cells of the crystal along x and y that hold the lateral cell.

    Returns
    -------
    LateralAtoms
        Atoms of the lateral cell.
    """
    mesh = np.stack(np.meshgrid(*(np.arange(n) for n in repeats)), axis=-1).reshape(-1, 1, 2)
    positions = (mesh * potential.lengths[:2] + potential.positions[:, :2]).reshape(-1, 2)
    origin = np.tile(np.arange(len(potential.elements)), mesh.shape[0])
    steps = round(1 / SAME_PLACE)
    places = np.floor(positions @ grid.reciprocal.T * steps + GOLDEN) % steps
    heights = np.floor(potential.positions[origin, 2] * steps + GOLDEN)
    _, first = np.unique(np.column_stack([potential.elements[origin], heights, places]), axis=0, return_index=True)
    first.sort()
    spots = np.column_stack([positions[first], potential.positions[origin[first], 2]])
    _, place = np.unique(np.floor(spots / SAME_PLACE + GOLDEN), axis=0, return_inverse=True)
    return LateralAtoms(origin[first], positions[first], place.ravel())
