"""Fits of the known structure to a field test's images: what nobody told is found, or the fit says that it cannot."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_file
from iphasenet.base.reading import read_arrays
from iphasenet.field_test.plan import FieldImage, FieldSpecimen
from iphasenet.fitting.fit import fit
from iphasenet.fitting.limits import GOOD, Limits
from iphasenet.fitting.outcome import describe, potentials
from iphasenet.fitting.task import task_of
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.planning.field_settings import FieldTest

FloatImage = NDArray[np.float32]

NOT_TRIED = "not tried: it would take long"
"""What is said of an image that the test does not fit (`FieldTest.fit_nm`, `fit_images`, `not_fitted`)."""


@dataclass(frozen=True)
class FieldFit:
    """
    Result of the fit of one image.

    Attributes
    ----------
    told : dict
        `parameters` of `iphasenet.fitting.outcome.describe`, by name with value and error, `unexplained`, `seconds`;
        or `refused`, why there are none.
    potential, columns : (y, x) float32 array
        Projected potential [V Å] and columns [V] of the fitted crystal on the image's pixels; empty if refused.
    """

    told: dict[str, Any]
    potential: FloatImage
    columns: FloatImage

    @property
    def refused(self) -> str:
        """Why the fit is not to be used: it has failed, or has left more unexplained than `iphasenet fit` accepts."""
        if "refused" in self.told:
            return str(self.told["refused"])
        left = float(self.told["unexplained"])
        return f"{100 * left:.1f} % of the contrast unexplained, more than {100 * GOOD:g} %" if left > GOOD else ""

    def value(self, name: str) -> float:
        """Fitted value of a parameter."""
        return float(self.told["parameters"][name]["value"])

    def error(self, name: str) -> float:
        """Give the standard error of a parameter; NaN if it has none."""
        found = self.told["parameters"][name]["error"]
        return float("nan") if found is None else float(found)


def not_fitted(reason: str) -> FieldFit:
    """Make the result of a fit that was not made, or could not be."""
    nothing = np.zeros((0, 0), np.float32)
    return FieldFit({"refused": reason}, nothing, nothing)


def fit_image(image: SegmentedImage, cell: Atoms, device: str = "cpu", threads: int = 1) -> FieldFit:
    """
    Fit a crystal of which nothing is known but its structure.

    Parameters
    ----------
    image : SegmentedImage
        What a microscope writes down.
    cell : ase.Atoms
        Orthogonal cell, beam along z, with the displacements of its structure.
    device : str
        Torch device.
    threads : int
        Simulations at a time.

    Returns
    -------
    FieldFit
        Result; a fit that is refused says why.
    """
    start = time.monotonic()
    try:
        found = fit(task_of(image, cell, Limits(), device, threads))
    except InputError as error:
        return not_fitted(str(error))
    told = describe(found)
    told = {name: told[name] for name in ("parameters", "unexplained", "chi_squared", "contrast_at_lattice")}
    projected, columns = potentials(found)
    told["seconds"] = time.monotonic() - start
    return FieldFit(told, projected.astype(np.float32), columns.astype(np.float32))


def fit_specimen(
    specimen: FieldSpecimen,
    images: Sequence[SegmentedImage],
    cell: Atoms,
    test: FieldTest,
    device: str = "cpu",
    threads: int = 1,
    done: Callable[[str, FieldFit], object] = lambda *_: None,
) -> list[FieldFit]:
    """
    Fit the images of a specimen, as far as the test asks for that.

    Parameters
    ----------
    specimen : FieldSpecimen
        Specimen.
    images : sequence of SegmentedImage
        Its images.
    cell, device, threads
        As in `fit_image`.
    test : FieldTest
        Which images are fitted.
    done : callable
        Called with the name of each image and its fit.

    Returns
    -------
    list of FieldFit
        One for each image.
    """
    fits = []
    for planned, image in zip(specimen.images, images, strict=True):
        reason = _left_out(specimen, planned, test)
        fits.append(not_fitted(reason) if reason else fit_image(image, cell, device, threads))
        done(planned.name, fits[-1])
    return fits


def _left_out(specimen: FieldSpecimen, image: FieldImage, test: FieldTest) -> str:
    """Why the test fits no such image; nothing if it does."""
    if specimen.material in test.not_fitted or image.number >= test.fit_images or image.thickness_nm > test.fit_nm:
        return NOT_TRIED
    return ""


def save_fits(path: Path, fits: Sequence[FieldFit]) -> None:
    """Write the fits of a specimen to an .npz file, which appears whole or not at all."""
    images = {
        f"{name}_{number}": getattr(one, name) for number, one in enumerate(fits) for name in ("potential", "columns")
    }
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, told=np.array([json.dumps(one.told) for one in fits]), **images)


def load_fits(path: Path) -> list[FieldFit]:
    """Read what `save_fits` wrote; InputError names a damaged file."""
    told = [json.loads(str(text)) for text in read_arrays(path, "told")["told"]]
    numbers = range(len(told))
    arrays = read_arrays(path, *(f"{name}_{number}" for number in numbers for name in ("potential", "columns")))
    return [FieldFit(told[number], arrays[f"potential_{number}"], arrays[f"columns_{number}"]) for number in numbers]
