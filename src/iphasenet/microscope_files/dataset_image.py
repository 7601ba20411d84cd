"""A sample of the data set as a microscope's image."""

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.dataset.reader import configuration, material_groups, open_dataset, read_rows
from iphasenet.microscope.detector import SEGMENTS
from iphasenet.microscope_files.segmented_image import SegmentedImage

_DRAWN = {
    "semiangle_mrad": "semiangle",
    "detector_inner_mrad": "detector_inner",
    "detector_outer_mrad": "detector_outer",
}
"""Coordinates of a data set whose optics were drawn for each sample."""


def read_sample(path: Path, sample: str | None, dose: float | None = None) -> SegmentedImage:
    """
    Read the images of one sample.

    Parameters
    ----------
    path : path
        Assembled data set.
    sample : str
        The sample_id, such as GaN-tilt0003-rotation01-40nm.
    dose : float, optional
        Take the fixed noise of this dose [e/Å²], which validation and test samples have; noise-free if not given.

    Returns
    -------
    SegmentedImage
        Fractions of the beam current, with the optics, thickness and orientation of the sample.

    Raises
    ------
    InputError
        If the data set, the sample or the dose does not exist.
    """
    root = open_dataset(path)
    if sample is None:
        raise InputError(f"{path}: found a data set; name one of its samples (--sample)")
    names: NDArray[Any] = np.array(["none: the data set is empty"])
    for group in material_groups(root).values():
        names = read_rows(group, "sample_id")
        rows = np.flatnonzero(names == sample)
        if len(rows):
            return _image(group, int(rows[0]), dose, f"{path}, {sample}", configuration(root)["optics"])
    raise InputError(f"{path}: found no sample '{sample}'; allowed: a sample_id such as {names[0]}")


def first_pixel(group: zarr.Group) -> tuple[float, float]:
    """Centre of the first pixel in the coordinates of a store: x, y [Å]."""
    x, y = (float(read_rows(group, name, np.array([0]))[0]) for name in ("x", "y"))
    return x, y


def _image(group: zarr.Group, row: int, dose: float | None, source: str, optics: dict[str, float]) -> SegmentedImage:
    position = read_rows(group, "x")
    names = ("thickness_nm", "alpha", "beta", "gamma")
    values = {name: float(read_rows(group, name, np.array([row]))[0]) for name in names}
    drawn = {key: float(read_rows(group, name, np.array([row]))[0]) for key, name in _DRAWN.items() if name in group}
    return SegmentedImage(
        segments=_segments(group, row, dose, source),
        source=source,
        names=SEGMENTS,
        order=(0, 1, 2, 3),
        sampling=round(float(position[1] - position[0]), 9),
        origin=first_pixel(group),
        **{
            name: drawn.get(name, optics[name])
            for name in ("energy_kev", "semiangle_mrad", "detector_inner_mrad", "detector_outer_mrad")
        },
        dose=dose,
        beam_intensity=1.0,
        scan_rotation_deg=0.0,
        thickness_nm=values["thickness_nm"],
        tilt_deg=(values["alpha"], values["beta"]),
        rotation_deg=values["gamma"],
    )


def _segments(group: zarr.Group, row: int, dose: float | None, source: str) -> NDArray[Any]:
    """Images of a sample (4, y, x), noise-free or with the fixed noise of a dose."""
    if dose is None:
        return read_rows(group, "segments", np.array([row]))[0]
    noisy = np.flatnonzero(read_rows(group, "evaluation_sample") == row)
    doses = read_rows(group, "dose")
    if not len(noisy) or dose not in doses:
        allowed = ", ".join(f"{value:g}" for value in doses) if len(noisy) else "none, as for every training sample"
        raise InputError(f"{source}: dose: found {dose:g} e/Å²; allowed: {allowed}")
    return read_rows(group, "noisy_segments", noisy)[0, int(np.flatnonzero(doses == dose)[0])]
