"""Agreement of the recorded images with those that are simulated from their reconstruction."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from iphasenet.microscope.optics import Microscope
from iphasenet.network.column_projection import SHORTEST_PERIOD, column_lean
from iphasenet.network.lattice import lattice_vectors
from iphasenet.network.potential_network import PotentialNetwork
from iphasenet.reconstruction.bloch_waves import LARGEST_CELL, ColumnCrystal, Lattice, fourier_sums, segment_signals
from iphasenet.reconstruction.tiled_prediction import SMALLEST, Tiling, predict_columns

MEANINGLESS = 0.5
"""An agreement below this has no meaning: right arrangements of the segments, at 20 to 150 nm, reached at least 0.52,
and the best of seven wrong ones 0.48 on average."""

_SIDE = 128
"""Side of the field in the image's middle that is compared [pixels]."""

_POINTS = 10
"""Probe positions along each vector of the lattice's cell."""

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Explanation:
    """
    Agreement of images with the crystal of straight columns that the network reconstructed from them.

    Attributes
    ----------
    agreement : float
        Likeness of recorded and simulated images, at most 1; NaN if no lattice was found, if its cell is larger than
        `bloch_waves.LARGEST_CELL`, or if the network predicts no columns (`projection: direct`).
    phase_object : float
        The same with the crystal as a phase object; NaN if not asked for.
    mean_potential : float
        Mean of the columns' potential [V].
    relative_spread : float
        Mean spread over the columns' standard deviation; NaN if the network predicts no spread.
    """

    agreement: float
    phase_object: float
    mean_potential: float
    relative_spread: float


def explain(
    network: PotentialNetwork,
    microscope: Microscope,
    segments: FloatArray,
    metadata: FloatArray,
    phase_object: bool = False,
) -> Explanation:
    """
    Reconstruct the middle of an image, and simulate the images of the result.

    Parameters
    ----------
    network : PotentialNetwork
        Network in evaluation mode.
    microscope : Microscope
        Probe and detector.
    segments : (4, y, x) array
        Fractions of the beam current, on the network's pixels.
    metadata : (4,) array
        Thickness [nm], alpha, beta, gamma [degrees].
    phase_object : bool
        Also simulate it as a phase object.

    Returns
    -------
    Explanation
        Agreement of the mean over the lattice's cells of the crystal and of the recorded images, so that noise hardly
        matters and defects do not.
    """
    middle = _middle(np.asarray(segments, np.float32))
    known = torch.as_tensor(metadata, dtype=torch.float32)[None]
    tiling = Tiling(_SIDE)
    found = predict_columns(network, torch.from_numpy(middle)[None], known, tiling)[0]
    columns = found[0]
    spread = float(found[1].mean() / columns.std()) if len(found) > 1 else math.nan
    mean = float(columns.mean())
    vectors = lattice_vectors(columns[None], SHORTEST_PERIOD / network.sampling)[0].double().numpy() * network.sampling
    lattice = Lattice(vectors)
    # A network without the projection predicts the tilted crystal, not its columns.
    if lattice.area > LARGEST_CELL or network.settings.projection == "direct":
        return Explanation(math.nan, math.nan, mean, spread)
    lean_x, lean_y = column_lean(known)[0].tolist()
    crystal = ColumnCrystal(lattice, columns.numpy(), network.sampling, 10 * float(known[0, 0]), (lean_x, lean_y))
    steps = np.stack(np.meshgrid(*[np.arange(_POINTS) / _POINTS] * 2), axis=-1).reshape(-1, 2)
    positions = steps @ vectors
    recorded = _cell_mean(middle, crystal, 2 * microscope.frequency(microscope.semiangle_mrad), positions)

    def likeness(thin: bool) -> float:
        return compare(segment_signals(crystal, microscope, positions, phase_object=thin), recorded)

    return Explanation(likeness(False), likeness(True) if phase_object else math.nan, mean, spread)


def has_room(shape: tuple[int, int]) -> bool:
    """Whether an image is large enough for the comparison."""
    return min(shape) >= SMALLEST


def _middle(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Middle of images, as large as one tile."""
    rows, columns = Tiling(_SIDE).sides((images.shape[1], images.shape[2]))
    top, left = (images.shape[1] - rows) // 2, (images.shape[2] - columns) // 2
    return np.ascontiguousarray(images[:, top : top + rows, left : left + columns])


def _cell_mean(images: FloatArray, crystal: ColumnCrystal, band: float, positions: FloatArray) -> FloatArray:
    """Mean over the lattice's cells of images limited to `band` [1/Å], at some positions: (n, position)."""
    frequencies = crystal.lattice.orders(band) @ crystal.lattice.reciprocal
    frequencies = frequencies[np.hypot(*frequencies.T) < band]
    sums = fourier_sums(images, crystal.sampling, frequencies)
    return np.asarray((sums @ np.exp(2j * np.pi * frequencies @ positions.T)).real)


def compare(simulated: FloatArray, recorded: FloatArray) -> float:
    """
    Likeness of images.

    Parameters
    ----------
    simulated, recorded : (segment, position) array
        Fractions of the beam current.

    Returns
    -------
    float
        Mean of two Pearson correlations: that within each segment, averaged over the segments, which does not depend on
        their gains and offsets; and that over all segments together, which depends on their relative brightness.
    """
    within = [_correlation(one, other) for one, other in zip(simulated, recorded, strict=True)]
    return (float(np.mean(within)) + _correlation(simulated, recorded)) / 2


def _correlation(one: FloatArray, other: FloatArray) -> float:
    a, b = one.ravel() - one.mean(), other.ravel() - other.mean()
    norm = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / norm if norm else 0.0
