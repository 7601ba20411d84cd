"""Writing a reconstruction: HyperSpy's .zspy and .hspy, .tif, .npz and a picture."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from matplotlib import style
from matplotlib.figure import Figure
from numpy.typing import NDArray

from iphasenet.base.drawing import STYLE, draw_scale_bar, save_figure
from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_file, write_npz
from iphasenet.base.marks import RECONSTRUCTION, mark_text
from iphasenet.microscope_files.foreign_files import imagej_origin
from iphasenet.microscope_files.hyperspy_files import image_axes, write_hyperspy
from iphasenet.microscope_files.signals import Signal

if TYPE_CHECKING:
    from iphasenet.reconstruction.reconstruct import Reconstruction

QUANTITIES = {
    "potential": ("Projected potential", "V Å"),
    "mean_potential": ("Mean potential", "V"),
    "spread": ("Uncertainty", "V Å"),
    "idpc": ("iDPC", "V Å"),
    "columns": ("Columns at the entrance surface", "V"),
    "columns_error": ("Uncertainty of the columns", "V"),
}
"""Name and unit of each image of a reconstruction, in the order in which they are written."""


def write_reconstruction(reconstruction: "Reconstruction", path: Path) -> None:
    """
    Write a reconstruction; the file appears whole or not at all.

    Parameters
    ----------
    reconstruction : Reconstruction
        Images (y, x), their pixel size [Å], thickness [nm] and orientation, and what they were made with.
    path : path
        File to be made; an earlier one is replaced. By its ending:
        .zspy, .hspy: one signal for each of `QUANTITIES`, y and x in Å, in the input's axes;
        .tif: float32, an ImageJ stack with one labelled slice for each, calibrated in nm, with ImageJ's origin;
        .npz: one array for each, `sampling` [Å], `origin` (x and y of the first pixel's centre [Å]), `thickness_nm`,
        `tilt_deg` (alpha, beta), `rotation_deg` (gamma), `attributes` as JSON;
        .png: the potential, with scale bar and colour bar.
        Uncertainty and columns are left out where there are none.

    Raises
    ------
    InputError
        If the ending is another one, or nothing can be written there.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in _WRITERS:
        raise InputError(f"{path}: found the ending '{path.suffix}'; allowed: {', '.join(_WRITERS)}")
    _WRITERS[ending](reconstruction, path)


def _images(reconstruction: "Reconstruction") -> dict[str, NDArray[np.float32]]:
    found = {name: getattr(reconstruction, name) for name in QUANTITIES}
    return {name: np.asarray(image, np.float32) for name, image in found.items() if image is not None}


def _description(reconstruction: "Reconstruction") -> dict[str, Any]:
    """Describe the images in JSON's types."""
    described = {
        "sampling": float(reconstruction.sampling),
        "origin": list(map(float, reconstruction.origin)),
        "thickness_nm": float(reconstruction.thickness_nm),
        "tilt_deg": list(map(float, reconstruction.tilt_deg)),
        "rotation_deg": float(reconstruction.rotation_deg),
        **reconstruction.attributes,
    }
    plain: dict[str, Any] = json.loads(json.dumps(described, default=_plain))
    return plain


def _plain(value: Any) -> Any:
    """Turn numpy's types, tuples and paths into JSON's."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _write_signals(reconstruction: "Reconstruction", path: Path) -> None:
    described, signals = _description(reconstruction), []
    for name, image in _images(reconstruction).items():
        label, unit = QUANTITIES[name]
        axes = image_axes(image.shape, reconstruction.sampling, origin=reconstruction.origin)
        metadata: Mapping[str, Any] = {
            "Signal": {"signal_type": "", "quantity": f"{label} ({unit})"},
            "iphasenet": {**described, "image": name},
        }
        signals.append(Signal(name, image, axes, metadata))
    write_hyperspy(path, signals, RECONSTRUCTION)


def _write_tif(reconstruction: "Reconstruction", path: Path) -> None:
    images = _images(reconstruction)
    stack = np.stack(list(images.values()))
    per_nm = 10 / reconstruction.sampling
    metadata = {
        "axes": "ZYX",
        "unit": "nm",
        "spacing": 1.0,
        "Labels": [f"{QUANTITIES[name][0]} ({QUANTITIES[name][1]})" for name in images],
        # ImageJ keeps Latin-1 text.
        "Info": json.dumps(_description(reconstruction)),
        "made_by": mark_text(RECONSTRUCTION),
        **imagej_origin(reconstruction.origin, reconstruction.sampling),
    }
    with atomic_file(path) as temporary:
        tifffile.imwrite(temporary, stack, imagej=True, resolution=(per_nm, per_nm), metadata=metadata)


def _write_npz(reconstruction: "Reconstruction", path: Path) -> None:
    described = _description(reconstruction)
    arrays: dict[str, Any] = {
        **_images(reconstruction),
        "sampling": described["sampling"],
        "origin": np.array(described["origin"]),
        "thickness_nm": described["thickness_nm"],
        "tilt_deg": np.array(described["tilt_deg"]),
        "rotation_deg": described["rotation_deg"],
        "attributes": json.dumps(described),
    }
    write_npz(path, arrays, RECONSTRUCTION)


def _write_picture(reconstruction: "Reconstruction", path: Path) -> None:
    image = _images(reconstruction)["potential"]
    height, width = (size * reconstruction.sampling for size in image.shape)
    label, unit = QUANTITIES["potential"]
    with style.context(STYLE):
        figure = Figure(figsize=(6.4, max(2.0, 5.2 * height / width)), layout="constrained")
        axes = figure.add_subplot()
        shown = axes.imshow(image, cmap="inferno", extent=(0, width, height, 0), interpolation="nearest")
        axes.set_axis_off()
        draw_scale_bar(axes, width, height)
        figure.colorbar(shown, ax=axes, label=f"{label} [{unit}]")
        save_figure(figure, [path], dpi=200)


_WRITERS: dict[str, Callable[["Reconstruction", Path], None]] = {
    ".zspy": _write_signals,
    ".hspy": _write_signals,
    ".tif": _write_tif,
    ".npz": _write_npz,
    ".png": _write_picture,
}

ENDINGS = tuple(_WRITERS)
"""Endings of the files that are written."""
