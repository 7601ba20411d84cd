"""Where a known crystal's lattice lies in an image."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from iphasenet.base.errors import InputError
from iphasenet.fitting.harmonics import Pixels, coarsened, held_power

FloatArray = NDArray[np.floating[Any]]

_STEP = 1.0
"""Steps in which rotations are tried [degrees]."""

_ALIKE = 0.5
"""A rotation counts as another candidate if it holds at least this share of the best one's power."""

_ALIKE_VECTORS = 0.1
"""Vectors of two rotations of a lattice are those of one lattice if they differ by less, in lattice vectors."""

LARGEST_STRAIN = 0.06
"""Largest difference of the image's lattice from the crystal's: scans drift, and pixels are calibrated to a few
percent."""

_FIELD = 50.0
"""Field in the image's middle in which rotations are tried [Å]."""

_REFINED_FIELD = 120.0
"""Field in the image's middle in which a lattice is refined [Å]."""

_CELLS = 2.0
"""Smallest side of the field, in lengths of the primitive cell."""


@dataclass(frozen=True)
class ImageLattice:
    """
    Lattice of a crystal in an image.

    Attributes
    ----------
    reciprocal : (2, 2) array
        Reciprocal vectors of the crystal's orthogonal cell in the image, one per row: x, y [1/Å].
    lengths : (float, float)
        Sides of that cell in the crystal [Å].
    power : float
        Share of the images' variance at its points.
    """

    reciprocal: NDArray[np.float64]
    lengths: tuple[float, float]
    power: float

    @property
    def rotation_deg(self) -> float:
        """Rotation gamma of the crystal, from x to y (down) [degrees]."""
        rotation, _ = self._polar()
        return math.degrees(math.atan2(rotation[1, 0], rotation[0, 0])) % 360

    @property
    def strain(self) -> NDArray[np.float64]:
        """Symmetric strain (2, 2) of the image's lattice over the crystal's, in the image's frame."""
        _, stretch = self._polar()
        return np.asarray(stretch - np.eye(2))

    def _polar(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        # Columns of the image's cell over those of the crystal: stretch times rotation.
        deformed = np.linalg.inv(self.reciprocal) @ np.diag(1 / np.array(self.lengths))
        left, values, right = np.linalg.svd(deformed)
        return left @ right, (left * values) @ left.T


def turned(lengths: tuple[float, float], rotation_deg: float) -> NDArray[np.float64]:
    """Reciprocal vectors of a cell that is rotated in the image, one per row [1/Å]."""
    return np.diag(1 / np.array(lengths)) @ turn(rotation_deg).T


def turn(angle_deg: float) -> NDArray[np.float64]:
    """Matrix (2, 2) that turns column vectors from x to y, and takes row vectors into a frame that is turned so."""
    angle = math.radians(angle_deg)
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def find_lattices(
    pixels: Pixels, lengths: tuple[float, float], orders: NDArray[np.int64], rotation_deg: float | None = None
) -> list[ImageLattice]:
    """
    Find the rotations at which a crystal's lattice lies in an image.

    Parameters
    ----------
    pixels : Pixels
        Images.
    lengths : (float, float)
        Sides of the crystal's orthogonal cell [Å].
    orders : (n, 2) integer array
        Orders of the images' coefficients in one half-plane, zero first.
    rotation_deg : float, optional
        Rotation gamma, if it is known.

    Returns
    -------
    list of ImageLattice
        Candidates, the best first: a lattice has at least two, which differ by 180°.

    Raises
    ------
    InputError
        If the field is too small for the lattice.
    """
    orders = orders[(orders != 0).any(axis=1)]
    if not len(orders):
        raise InputError(
            f"semiangle: found a probe whose images reach {pixels.band:.2g} 1/Å, which resolves no lattice plane of "
            "the crystal; allowed: a larger one, or a larger cell"
        )
    _check_field(pixels, lengths, orders)
    whole = coarsened(pixels.middle(_REFINED_FIELD))
    # In a large field peaks are so sharp that steps of the rotation would miss them.
    small = coarsened(pixels.middle(_FIELD))
    angles = np.arange(0.0, 180.0, _STEP) if rotation_deg is None else rotation_deg + np.arange(-5.0, 5.01, _STEP)
    powers = np.array([held_power(small, orders @ turned(lengths, angle)) for angle in angles])
    if rotation_deg is not None:
        near = _refined(small, orders, turned(lengths, float(angles[powers.argmax()])), lengths)
        return [_refined(whole, orders, near.reciprocal, lengths, 100)]
    around = np.stack([np.roll(powers, shift) for shift in range(-8, 9)])
    peaks = np.flatnonzero((powers == around.max(axis=0)) & (powers >= _ALIKE * powers.max()))
    found: list[ImageLattice] = []
    for peak in sorted(peaks, key=lambda number: -powers[number]):
        relations = [(one, _relation(one, angles[peak])) for one in found]
        same = next(((one, relation) for one, relation in relations if relation is not None), None)
        if same is None:
            start = _refined(small, orders, turned(lengths, float(angles[peak])), lengths)
            found.append(_refined(whole, orders, start.reciprocal, lengths, 100))
        else:
            vectors = same[1] @ same[0].reciprocal
            found.append(ImageLattice(vectors, lengths, held_power(whole, orders @ vectors)))
    # Dense lattices may be bent until their points meet the peaks of another rotation.
    likely = [one for one in found if np.abs(one.strain).max() <= LARGEST_STRAIN] or found
    best = max(one.power for one in likely)
    both = [one for lattice in likely for one in (lattice, _opposite(lattice)) if lattice.power >= _ALIKE * best]
    return sorted(both, key=lambda lattice: -lattice.power)


def moved_lattice(pixels: Pixels, lattice: ImageLattice, orders: NDArray[np.int64]) -> ImageLattice:
    """
    Find the lattice of a part of an image, near that of the whole.

    Parameters
    ----------
    pixels : Pixels
        Part of the image.
    lattice : ImageLattice
        Lattice of the whole image.
    orders : (n, 2) integer array
        Orders of the coefficients, zero first.

    Raises
    ------
    InputError
        If the part is too small.
    """
    some = orders[(orders != 0).any(axis=1)]
    _check_field(pixels, lattice.lengths, some)
    return _refined(coarsened(pixels), some, lattice.reciprocal, lattice.lengths)


def smallest_field(lengths: tuple[float, float], orders: NDArray[np.int64]) -> float:
    """Side of the smallest field in which a crystal's lattice can be found [Å]: of two of its widest planes."""
    some = orders[(orders != 0).any(axis=1)]
    # Shortest distance between points of the reciprocal lattice.
    return _CELLS / float(np.min(np.linalg.norm(some / np.array(lengths), axis=1)))


def _check_field(pixels: Pixels, lengths: tuple[float, float], orders: NDArray[np.int64]) -> None:
    """Refuse a field that is too small for the lattice's planes."""
    least, field = smallest_field(lengths, orders), min(pixels.recorded.shape[1:]) * pixels.sampling
    if field < least:
        raise InputError(
            f"field: found {field:.3g} Å for lattice planes {least / _CELLS:.3g} Å apart; allowed: at least "
            f"{least:.3g} Å"
        )


def _relation(lattice: ImageLattice, rotation_deg: float) -> Any:
    """Matrix of half integers that takes a lattice's vectors to those at another rotation; None if there is none."""
    exact = turned(lattice.lengths, rotation_deg) @ np.linalg.inv(turned(lattice.lengths, lattice.rotation_deg))
    halves = np.round(2 * exact) / 2
    return halves if np.abs(exact - halves).max() < _ALIKE_VECTORS else None


def _opposite(lattice: ImageLattice) -> ImageLattice:
    return ImageLattice(-lattice.reciprocal, lattice.lengths, lattice.power)


def _refined(
    pixels: Pixels,
    orders: NDArray[np.int64],
    start: NDArray[np.float64],
    lengths: tuple[float, float],
    most: int = 300,
) -> ImageLattice:
    """Move a lattice's vectors until its points hold most of the images' power."""

    def lost(change: FloatArray) -> float:
        if np.abs(change).max() > 0.2:
            return 0.0
        return -held_power(pixels, orders @ start @ (np.eye(2) + change.reshape(2, 2)))

    # Half a lattice plane of 1 Å over the field.
    step = min(0.02, 0.5 / (min(pixels.recorded.shape[1:]) * pixels.sampling))
    options = {"initial_simplex": step * np.vstack([np.zeros(4), np.eye(4)]), "xatol": 1e-3 * step, "fatol": 1e-7}
    best = minimize(lost, np.zeros(4), method="Nelder-Mead", options={**options, "maxiter": most})
    return ImageLattice(start @ (np.eye(2) + best.x.reshape(2, 2)), lengths, -float(best.fun))
