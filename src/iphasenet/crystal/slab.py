"""Slabs of atoms for specimens without a small cell: any orientation, thermal displacements, edges, wedges."""

import math
from collections.abc import Iterator

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.crystal.places import places_of
from iphasenet.crystal.potential import HEIGHT_TOLERANCE
from iphasenet.crystal.slab_shape import Shape
from iphasenet.crystal.thermal_motion import turned_tensors

MAX_ATOMS = 2_000_000
"""Largest number of atoms in a slab."""


def rotation_matrix(alpha: float, beta: float, gamma: float) -> NDArray[np.float64]:
    """
    Rotation of a crystal in the lab.

    Parameters
    ----------
    alpha, beta, gamma : float
        The crystal is rotated by gamma about the beam (x to y), then by alpha about lab x, then by beta about lab y
        [degrees, any].

    Returns
    -------
    (3, 3) array
        Matrix that takes positions in the crystal's frame to the lab's.
    """
    a, b, g = np.deg2rad([alpha, beta, gamma])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(g), -np.sin(g), 0], [np.sin(g), np.cos(g), 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def slab_side(field_of_view: float, depth: float, semiangle_mrad: float, window: float) -> float:
    """Side of a slab [Å] that holds a field of view and a probe's cone at its edge, and at least a window."""
    return max(window, field_of_view + 2 * depth * math.tan(1e-3 * semiangle_mrad))


def cut_slab(
    cell: Atoms,
    angles: tuple[float, float, float],
    depth: float,
    side: tuple[float, float],
    point: tuple[float, float, float] = (0.0, 0.0, 0.0),
    lead: float = 0.0,
) -> Atoms:
    """
    Cut a slab from a rotated crystal.

    Parameters
    ----------
    cell : ase.Atoms
        Crystal in its orientation when all angles are zero.
    angles : (float, float, float)
        alpha, beta, gamma of `rotation_matrix` [degrees].
    depth : float
        Length along the beam [Å].
    side : (float, float)
        Lengths of the slab along x and y [Å].
    point : (float, float, float)
        Point of the crystal, in its own frame, that lies under the middle of the entrance surface [Å].
    lead : float
        Depth of that point below the entrance surface [Å], so that an inclined lattice plane stays whole.

    Returns
    -------
    ase.Atoms
        Atoms in a box of those sides and that depth, entrance surface at z = 0, with the crystal's occupancies and its
        displacements turned into the lab.
    """
    box = np.array([*side, depth])
    expected = len(cell) / cell.get_volume() * box.prod()
    if expected > MAX_ATOMS:
        raise InputError(
            f"slab: found {expected:,.0f} atoms in {box[0]:.0f} x {box[1]:.0f} x {box[2]:.0f} Å; allowed: at most "
            f"{MAX_ATOMS:,}, a smaller field of view or thickness"
        )
    matrix = rotation_matrix(*angles)
    centre = np.array([side[0] / 2, side[1] / 2, lead])
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * box
    # The corners of the box, in units of the crystal's cell, show which cells can reach into it.
    crystal_corners = (corners - centre) @ matrix + np.array(point)
    reached = np.linalg.solve(cell.cell[:].T, crystal_corners.T).T
    low, high = np.floor(reached.min(axis=0)).astype(int) - 1, np.ceil(reached.max(axis=0)).astype(int) + 1
    kept, owners = [], []
    for first in range(low[0], high[0] + 1):
        mesh = np.meshgrid([first], np.arange(low[1], high[1] + 1), np.arange(low[2], high[2] + 1), indexing="ij")
        shifts = np.stack(mesh, axis=-1).reshape(-1, 3) @ cell.cell[:]
        crystal = (shifts[:, None] + cell.positions).reshape(-1, 3)
        lab = (crystal - np.array(point)) @ matrix.T + centre
        # An atom on the exit surface would belong to the entrance surface of the next slab.
        inside = ((lab >= 0) & (lab < box - [0, 0, 2 * HEIGHT_TOLERANCE])).all(axis=1)
        kept.append(lab[inside])
        owners.append(np.tile(np.arange(len(cell)), len(shifts))[inside])
    if sum(map(len, kept)) == 0:
        raise InputError(f"slab: found no atoms in {box[0]:.0f} x {box[1]:.0f} x {box[2]:.1f} Å; allowed: at least one")
    owner = np.concatenate(owners)
    slab = Atoms(cell.numbers[owner], np.concatenate(kept), cell=box, pbc=True)
    if cell.has("occupancies"):
        slab.set_array("occupancies", cell.arrays["occupancies"][owner])
    if cell.has("displacements"):
        slab.set_array("displacements", turned_tensors(cell.arrays["displacements"], matrix)[owner], float, (3, 3))
    return slab


def shape_slab(slab: Atoms, shape: Shape, field_of_view: float, lead: float) -> Atoms:
    """
    Remove the atoms beyond a vacuum edge and above an inclined entrance surface.

    Parameters
    ----------
    slab : ase.Atoms
        Slab whose middle lies under the image's centre.
    shape : Shape
        How it ends.
    field_of_view : float
        Side of the image [Å].
    lead : float
        Depth of the crystal's point under the image's centre below the slab's top [Å].

    Returns
    -------
    ase.Atoms
        The atoms that are left, in the same box.
    """
    lengths = slab.cell.lengths()
    across = slab.positions[:, :2] - lengths[:2] / 2
    kept = np.ones(len(slab), dtype=bool)
    if shape.edge is not None:
        azimuth, distance = shape.edge
        kept &= across @ _direction(azimuth) < distance * field_of_view / 2
    if shape.wedge is not None:
        azimuth, inclination = shape.wedge
        surface = lead + math.tan(math.radians(inclination)) * (across @ _direction(azimuth))
        kept &= slab.positions[:, 2] >= surface - HEIGHT_TOLERANCE
    if not kept.any():
        raise InputError(f"slab: {shape} leaves no atoms in the slab; allowed: at least one atom")
    return slab[kept]


def _direction(azimuth: float) -> NDArray[np.float64]:
    """Point along an azimuth in the image, as a unit vector (x, y)."""
    return np.array([math.cos(math.radians(azimuth)), math.sin(math.radians(azimuth))])


def frozen_phonons(slab: Atoms, configurations: int, seed: int) -> Iterator[Atoms]:
    """
    Displace the atoms of a slab thermally, independently of each other (Einstein model).

    Parameters
    ----------
    slab : ase.Atoms
        Atoms at rest, with ``displacements``: the covariance of each atom's displacement (atom, 3, 3) [Å²].
    configurations : int
        Number of snapshots.
    seed : int
        Seed of the displacements.

    Yields
    ------
    ase.Atoms
        One snapshot after another. Elements that share a place move together.
    """
    if not slab.has("displacements"):
        raise InputError("frozen phonons: found atoms at rest; allowed: a temperature (temperature_k) above 0")
    if configurations < 1:
        raise InputError(f"frozen phonons: found {configurations} configurations; allowed: at least 1")
    values, vectors = np.linalg.eigh(slab.arrays["displacements"])
    roots = (vectors * np.sqrt(values.clip(0))[:, None]) @ vectors.transpose(0, 2, 1)
    places = places_of(slab)
    for index in range(configurations):
        # Each snapshot has its own generator, so that it does not depend on their number.
        key = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
        normal = np.random.default_rng(key).normal(size=(len(slab), 3))
        snapshot = slab.copy()
        # What moved once must not be damped again.
        del snapshot.arrays["displacements"]
        snapshot.positions += np.einsum("aij,aj->ai", roots, normal[places])
        yield snapshot
