"""An image, a crystal and what is known of them."""

import math
import multiprocessing
import os
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from iphasenet.crystal.translations import lateral_translations
from iphasenet.fitting.limits import Limits
from iphasenet.fitting.simulation_cache import SimulationCache
from iphasenet.fitting.start_network import Start
from iphasenet.microscope.optics import Microscope
from iphasenet.microscope.probe import parities
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.reconstruction.preparation import aligned, check_known, microscope_of

_PIXEL = 0.252
"""
Pixel of the multislice over the smallest distance that probe and detector see.

0.32 would just hold them, but electrons beyond the detector's edge scatter back: 10 nm of GaN were 0.01° off, with 5 %
less displacement. With this one, five crystals have no more error than their displacements' scatter.
"""

_LARGEST_PIXEL = 0.2
"""Largest pixel of the multislice [Å]."""


@dataclass(frozen=True)
class Task:
    """
    An image, a crystal and what is known of them.

    Attributes
    ----------
    segments : (4, y, x) array
        Fractions of the beam current: top-left, top-right, bottom-left, bottom-right.
    sampling : float
        Pixel size [Å].
    microscope : Microscope
        Probe and detector.
    cell : ase.Atoms
        Orthogonal cell, beam along z.
    limits : Limits
        What is known.
    parametrization : str
        Scattering factors.
    device : str
        Torch device.
    threads : int
        Simulations that are made at a time, at most one for each core.
    cache : SimulationCache, optional
        Where simulations of the search are kept.
    start : Start, optional
        Network that guesses where the search begins.
    """

    segments: NDArray[np.floating[Any]]
    sampling: float
    microscope: Microscope
    cell: Atoms
    limits: Limits = field(default_factory=Limits)
    parametrization: str = "lobato"
    device: str = "cpu"
    threads: int = 1
    cache: SimulationCache | None = None
    start: Start | None = None

    @property
    def band(self) -> float:
        """Spatial frequency to which images reach [1/Å]."""
        return 2 * self.microscope.frequency(self.microscope.semiangle_mrad)

    @property
    def lengths(self) -> tuple[float, float]:
        """Sides of the cell across the beam [Å]."""
        a, b, _ = self.cell.cell.lengths()
        return float(a), float(b)

    def orders(self) -> NDArray[np.int64]:
        """Orders (n, 2) of the images' Fourier coefficients in one half-plane, zero first."""
        a, b = self.lengths
        x, y = (math.floor(self.band * length) for length in (a, b))
        h, k = (part.ravel() for part in np.meshgrid(np.arange(-x, x + 1), np.arange(0, y + 1)))
        half = (k > 0) | (h >= 0)
        inside = np.hypot(h / a, k / b) < self.band - 1e-9
        allowed = (parities(h, k, lateral_translations(self.cell)) == 0).all(axis=-1)
        return np.stack([h, k], axis=1)[half & inside & allowed]

    @property
    def processes(self) -> int:
        """Processes that simulate; a GPU makes one simulation at a time, and a daemon has no processes."""
        if self.device != "cpu" or multiprocessing.current_process().daemon:
            return 1
        return min(self.threads, os.cpu_count() or 1)

    @property
    def pixel(self) -> float:
        """Pixel of the multislice [Å]."""
        return min(_PIXEL / self.microscope.reach, _LARGEST_PIXEL)


def task_of(
    image: SegmentedImage,
    cell: Atoms,
    limits: Limits | None = None,
    device: str = "cpu",
    threads: int = 1,
    cache: SimulationCache | None = None,
    start: Start | None = None,
) -> Task:
    """
    Prepare a fit.

    Parameters
    ----------
    image : SegmentedImage
        Images with all calibrations of the microscope; nothing of the crystal is used.
    cell : ase.Atoms
        Orthogonal cell of the crystal, beam along z (`iphasenet.crystal.structure.orthogonal_cell`).
    limits : Limits, optional
        What is known beforehand.
    device : str
        Torch device.
    threads : int
        Simulations that are made at a time.
    cache : SimulationCache, optional
        Where simulations of the search are kept.
    start : Start, optional
        Network that guesses where the search begins.

    Returns
    -------
    Task
        The image is not turned: a detector that is turned in it is turned in the simulation.

    Raises
    ------
    InputError
        If a calibration is missing.
    """
    check_known(image, crystal=False)
    straight, rest = aligned(image)
    microscope = replace(microscope_of(image), detector_rotation_deg=rest)
    assert image.sampling is not None
    return Task(
        straight.fractions,
        image.sampling,
        microscope,
        cell,
        limits or Limits(),
        "lobato",
        device,
        threads,
        cache,
        start,
    )
