"""One simulation as labelled arrays."""

import numpy as np
import xarray
from numpy.dtypes import StringDType

from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.periodic_images import ComplexArray, PeriodicImages
from iphasenet.simulation.rendering import Field, render
from iphasenet.simulation.truth import Truth

_MOTION: dict[Truth, str] = {"thermal": ", averaged over thermal motion", "rest": " of atoms at rest"}
"""What the potential of moving atoms is."""

_NOISE = {
    "units": "1",
    "description": "standard error left by the mean over thermal motion, rms over all images, as a share of their "
    "contrast; an upper bound after a single pass, NaN for a single snapshot",
}


def simulation_dataset(
    images: PeriodicImages, slabs: ComplexArray, field: Field, microscope: Microscope, truth: Truth = "thermal"
) -> xarray.Dataset:
    """
    Render all thicknesses of one simulation.

    Parameters
    ----------
    images : PeriodicImages
        Series at one rotation.
    slabs : (thickness, 2 my + 1, 2 mx + 1) complex array
        Fourier coefficients of the slabs' projected potential [V Å].
    field : Field
        Image and how the crystal lies under it.
    microscope : Microscope
        Gives the names of the channels; an annular dark-field image becomes a separate array.
    truth : {'thermal', 'rest'}
        Whether the potential of moving atoms is averaged over their motion.

    Returns
    -------
    xarray.Dataset
        segments (thickness, segment, y, x), dark_field (thickness, y, x), fractions of the beam current; potential
        (thickness, y, x) [V Å]; thermal_noise (thickness) of images of moving atoms.
    """
    rendered = render(images.coefficients[:, 0], images.lengths, field)
    names = microscope.detectors[0].names
    current = {"units": "1", "description": "fraction of the beam current"}
    position = {"units": "Å"}
    motion = (
        {"thermal": ", averaged over thermal motion", "rest": " of atoms at rest"}[truth] if len(images.noise) else ""
    )
    arrays: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]] = {
        "segments": (("thickness", "segment", "y", "x"), rendered[:, : len(names)], current),
        "potential": (
            ("thickness", "y", "x"),
            render(slabs, images.lengths, field),
            {"units": "V Å", "description": f"projected electrostatic potential{motion}"},
        ),
    }
    if microscope.dark_field_mrad is not None:
        arrays["dark_field"] = (("thickness", "y", "x"), rendered[:, -1], current)
    if len(images.noise):
        arrays["thermal_noise"] = (("thickness",), images.noise, _NOISE)
    return xarray.Dataset(
        arrays,
        coords={
            "thickness": ("thickness", images.depths / 10, {"units": "nm", "description": "whole slices"}),
            "segment": ("segment", np.array(names, dtype=StringDType())),
            "y": ("y", field.image.positions, position),
            "x": ("x", field.image.positions, position),
        },
    )
