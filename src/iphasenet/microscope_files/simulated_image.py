"""One thickness of a simulation by `iphasenet simulate` as a microscope's image."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from iphasenet.base.errors import InputError
from iphasenet.base.seals import kind_of, open_store
from iphasenet.dataset.reader import read_rows
from iphasenet.microscope.acquisition import Acquisition
from iphasenet.microscope.detector import SEGMENTS, Detector
from iphasenet.microscope_files.dataset_image import first_pixel
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.simulation.grid import generator
from iphasenet.simulation.noise import record


def is_simulation(path: Path) -> bool:
    """Whether a store is the simulation of one crystal, with its images at the root, not a data set."""
    return path.is_dir() and kind_of(path) == "simulation"


def read_simulation(path: Path, thickness_nm: float | None = None, dose: float | None = None) -> SegmentedImage:
    """
    Read the images of one thickness.

    Parameters
    ----------
    path : path
        Store that `iphasenet simulate` wrote.
    thickness_nm : float, optional
        Nominal thickness, if there are several [nm].
    dose : float, optional
        Add shot noise of this dose [e/Å²], always the same.

    Returns
    -------
    SegmentedImage
        Fractions of the beam current, with the optics, thickness and orientation of the simulation. If the detector has
        more than four segments, those of each quarter are summed.

    Raises
    ------
    InputError
        If the thickness does not exist or is not given, or the detector's segments do not form quarters.
    """
    root = open_store(path, "simulation")
    known: dict[str, Any] = dict(root.attrs)
    wanted = [float(value) for value in known["thickness"]]
    chosen = wanted[0] if thickness_nm is None and len(wanted) == 1 else thickness_nm
    if chosen not in wanted:
        found = "none" if thickness_nm is None else f"{thickness_nm:g} nm"
        raise InputError(f"{path}: thickness: found {found}; allowed: one of {', '.join(f'{t:g}' for t in wanted)} nm")
    index = wanted.index(chosen)
    inner, outer = known["detector"]
    detector = Detector(inner, outer, known["segments"], known["detector_rotation"])
    stored = np.asarray(read_rows(root, "segments", np.array([index]))[0], np.float32)
    try:
        # `scan_rotation_deg` describes the quarters of a turned detector.
        segments = stored[detector.quarters].sum(axis=1)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if dose is not None:
        rng = generator(known["seed"], known["structure"], "noise", index)
        segments = record(torch.from_numpy(segments), dose, known["sampling"], Acquisition(), rng).numpy()
    alpha, beta = known["tilt"]
    return SegmentedImage(
        segments=segments,
        source=str(path),
        names=SEGMENTS,
        order=(0, 1, 2, 3),
        sampling=known["sampling"],
        origin=first_pixel(root),
        energy_kev=known["energy"],
        semiangle_mrad=known["semiangle"],
        detector_inner_mrad=inner,
        detector_outer_mrad=outer,
        dose=dose,
        beam_intensity=1.0,
        scan_rotation_deg=known["detector_rotation"],
        thickness_nm=wanted[index],
        tilt_deg=(alpha, beta),
        rotation_deg=known["rotation"],
    )
