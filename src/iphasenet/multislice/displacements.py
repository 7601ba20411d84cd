"""Random displacements of atoms, balanced over the blocks of a probe so that their sum has little noise.

Blocks of different kappa never interfere, so each may pass another configuration of the atoms: the sum over blocks that
a probe needs anyway is then the mean over configurations. Independent draws would leave two to four times the noise.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

FloatArray = NDArray[np.floating[Any]]
Seed = int | Sequence[int]


def serpentine(index: NDArray[np.integer[Any]]) -> list[int]:
    """Order points (n, 2) of a mesh so that neighbours follow each other: along y, and along x to and fro."""
    rows = np.unique(index[:, 1], return_inverse=True)[1].ravel()
    return [int(number) for number in np.lexsort([np.where(rows % 2, -1, 1) * index[:, 0], rows])]


def balanced_normals(blocks: int, coordinates: int, random: np.random.Generator) -> FloatArray:
    """
    Draw standard normal numbers whose mean, spread and correlations over the blocks are those of the distribution.

    Blocks are taken in pairs: the second has the first one's numbers with the other sign. Over the pairs, the numbers
    of a group of coordinates are made orthogonal, and each coordinate's are replaced by the normal distribution's
    quantiles in the order of their ranks.

    Parameters
    ----------
    blocks : int
        Number of blocks, neighbours in kappa next to each other (`serpentine`).
    coordinates : int
        Number of coordinates of all atoms.
    random : numpy.random.Generator
        Source of the numbers.

    Returns
    -------
    (block, coordinate) array
        Numbers; each is standard normal by itself.
    """
    pairs = (blocks + 1) // 2
    drawn = np.empty((blocks, coordinates))
    group = max(1, pairs - 1)
    for start in range(0, coordinates, group):
        numbers = random.standard_normal((pairs, min(group, coordinates - start)))
        if pairs > 2:
            numbers -= numbers.mean(axis=0)
            left, _, right = np.linalg.svd(numbers, full_matrices=False)
            ranks = (left @ right).argsort(axis=0).argsort(axis=0)
            numbers = ndtri((ranks + random.random(numbers.shape)) / pairs)
        drawn[0::2, start : start + group] = numbers
        drawn[1::2, start : start + group] = -numbers[: blocks // 2]
    return drawn


def draw_normals(blocks: int, repeats: int, places: int, seed: Seed) -> FloatArray:
    """
    Draw normal numbers for all atoms of a crystal, once for each block.

    Parameters
    ----------
    blocks : int
        Number of blocks.
    repeats : int
        Cells along the beam; their atoms move independently.
    places : int
        Places of atoms in a cell.
    seed : int or sequence of int
        Seed of the numbers.

    Returns
    -------
    (block, repeat, place, 2) array
        Balanced standard normal numbers.
    """
    random = np.random.default_rng(np.random.SeedSequence(seed))
    return balanced_normals(blocks, repeats * places * 2, random).reshape(blocks, repeats, places, 2)


def square_roots(tensors: FloatArray) -> FloatArray:
    """Symmetric square roots of displacement tensors (atom, 2, 2) [Å² to Å]."""
    values, vectors = np.linalg.eigh(tensors)
    return np.asarray((vectors * np.sqrt(np.clip(values, 0, None))[:, None]) @ vectors.transpose(0, 2, 1))
