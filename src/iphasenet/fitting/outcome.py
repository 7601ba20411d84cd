"""What a fit says: numbers with errors, the crystal's potential on the image's pixels, and simulated images."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet import __version__
from iphasenet.base.files import atomic_file
from iphasenet.crystal.potential import CrystalPotential, series_frequencies
from iphasenet.fitting.crystal_model import SLICE
from iphasenet.fitting.expansion import STEPS
from iphasenet.fitting.fit import Fit
from iphasenet.fitting.harmonics import FloatArray
from iphasenet.fitting.image_lattice import turn
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.reconstruction.preparation import UNCALIBRATED, idpc_potential, prepare
from iphasenet.reconstruction.reconstruct import Reconstruction
from iphasenet.simulation.tilts import crystal_lean

ComplexArray = NDArray[np.complexfloating[Any, Any]]

FORMAT = "iphasenet fit"
"""Name of the kind of file in its own text."""

_UNITS = {
    "alpha_deg": "degrees",
    "beta_deg": "degrees",
    "gamma_deg": "degrees",
    "thickness_nm": "nm",
    "defocus_angstrom": "Å",
    "source_size_angstrom": "Å",
    "offset_x_angstrom": "Å",
    "offset_y_angstrom": "Å",
    "astigmatism_angstrom": "Å",
    "astigmatism_angle_deg": "degrees",
    "scale": "",
    "displacement_scale": "",
}


def parameters_of(fit: Fit) -> dict[str, dict[str, Any]]:
    """
    List the parameters of a fit.

    Parameters
    ----------
    fit : Fit
        Result.

    Returns
    -------
    dict
        For each parameter `value`, `error` (standard error, None if it was given) and `unit`.
    """
    found, errors = fit.refined.parameters, fit.refined.errors
    values: dict[str, tuple[float, float | None]] = {
        "alpha_deg": (found.alpha, errors.get("alpha")),
        "beta_deg": (found.beta, errors.get("beta")),
        "gamma_deg": (fit.model.rotation_deg, rotation_error(fit)),
        "thickness_nm": (found.depth / 10, _scaled(errors.get("depth"), 0.1)),
        "defocus_angstrom": (found.defocus, errors.get("defocus")),
        "source_size_angstrom": _root(found.source_variance, errors.get("source_variance")),
        "offset_x_angstrom": (found.offset_x % fit.lattice.lengths[0], errors.get("offset_x")),
        "offset_y_angstrom": (found.offset_y % fit.lattice.lengths[1], errors.get("offset_y")),
        "scale": (found.scale, errors.get("scale")),
    }
    if "astigmatism_x" in errors:
        size = math.hypot(found.astigmatism_x, found.astigmatism_y)
        error = math.hypot(errors["astigmatism_x"], errors["astigmatism_y"]) / math.sqrt(2)
        angle = math.degrees(math.atan2(found.astigmatism_y, found.astigmatism_x)) / 2
        values["astigmatism_angstrom"] = (size, error)
        values["astigmatism_angle_deg"] = (angle, min(90.0, math.degrees(error / max(size, 1e-9)) / 2))
    if "displacement" in errors:
        values["displacement_scale"] = (found.displacement, errors["displacement"])
    return {
        name: {"value": float(value), "error": _finite(error), "unit": _UNITS[name]}
        for name, (value, error) in values.items()
    }


def at_limits(fit: Fit) -> list[str]:
    """Name the fitted parameters that lie at a limit of their range, which they would have left."""
    found, bounds = fit.refined.parameters, fit.task.limits.bounds

    def near(name: str, limit: float) -> bool:
        # A point source is a source, too.
        natural = name == "source_variance" and limit == 0
        return not natural and abs(getattr(found, name) - limit) < 1e-3 * STEPS[name]

    return [name for name in fit.refined.errors if any(near(name, limit) for limit in bounds.get(name, ()))]


def _finite(error: float | None) -> float | None:
    """Give the standard error; None if the images do not say it."""
    return None if error is None or not 0 < error < math.inf else float(error)


def rotation_error(fit: Fit) -> float:
    """Calculate the standard error of gamma [degrees] from noise alone."""
    return math.degrees(fit.harmonics.turn_error(fit.task.sampling * math.sqrt(math.prod(fit.task.segments.shape[1:]))))


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else factor * value


def _root(variance: float, error: float | None) -> tuple[float, float | None]:
    """Take the root of a variance and of its error; near 0 the error is that of the variance's upper end."""
    value = math.sqrt(max(0.0, variance))
    if error is None:
        return value, None
    return value, min(error / (2 * value) if value else math.inf, math.sqrt(variance + error) - value + 1e-12)


def describe(fit: Fit, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """
    Describe a fit in JSON's types.

    Parameters
    ----------
    fit : Fit
        Result.
    more : mapping, optional
        What else is to be recorded, such as names of files.

    Returns
    -------
    dict
        `parameters`, `chi_squared`, `unexplained`, the lattice's strain, other results, and how it was made.
    """
    refined, limits = fit.refined, asdict(fit.task.limits)
    others = [
        {
            "alpha_deg": one.parameters.alpha,
            "beta_deg": one.parameters.beta,
            "thickness_nm": one.parameters.depth / 10,
            "defocus_angstrom": one.parameters.defocus,
            "unexplained": one.unexplained,
        }
        for one in fit.others
    ]
    return {
        "format": FORMAT,
        "version": __version__,
        **(more or {}),
        "crystal": fit.task.cell.get_chemical_formula(empirical=True),
        "parameters": parameters_of(fit),
        "chi_squared": refined.chi_squared,
        "unexplained": refined.unexplained,
        "at_limits": at_limits(fit),
        "contrast_at_lattice": fit.harmonics.explained,
        "strain_percent": (100 * fit.lattice.strain).round(4).tolist(),
        "others": others,
        "limits": json.loads(json.dumps(limits)),
    }


def write_fit(fit: Fit, path: Path, more: Mapping[str, Any] | None = None) -> None:
    """Write `describe` as JSON; the file appears whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(describe(fit, more), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def simulated(fit: Fit) -> FloatArray:
    """Images (4, y, x) of the fitted crystal on the image's pixels, fractions of the beam current."""
    rows, columns = fit.task.segments.shape[1:]
    return on_pixels(fit.refined.predicted, fit.harmonics.frequencies, (rows, columns), fit.task.sampling)


@dataclass(frozen=True)
class Frame:
    """
    Pixels on which a potential is drawn, with the image's centre and pixel size.

    Attributes
    ----------
    shape : (int, int)
        Rows and columns.
    turned_deg : float
        Rotation of the frame in that of the image, from x to y (down) [degrees].
    """

    shape: tuple[int, int]
    turned_deg: float = 0.0


def potentials(fit: Fit, frame: Frame | None = None) -> tuple[FloatArray, FloatArray]:
    """
    Exact potential of the fitted crystal, averaged over thermal motion.

    Parameters
    ----------
    fit : Fit
        Result.
    frame : Frame, optional
        Pixels; the image's own if not given.

    Returns
    -------
    projected : (y, x) array
        Projected potential of the tilted crystal [V Å].
    columns : (y, x) array
        Potential averaged along the beam, of columns at their places at the entrance surface [V].
    """
    rows, columns = fit.task.segments.shape[1:]
    shown = frame or Frame((rows, columns))
    found = fit.refined.parameters
    potential = fit.model.potential(fit.task.sampling, found.displacement)
    slicing = potential.slicing(SLICE)
    lean = crystal_lean(found.alpha, found.beta, fit.model.rotation_deg)
    tilted = potential.projected(slicing, slicing.nearest(found.depth), lean)
    straight = potential.projected(slicing, slicing.count) / potential.lengths[2]
    return _drawn(fit, potential, tilted, shown), _drawn(fit, potential, straight, shown)


def _drawn(fit: Fit, potential: CrystalPotential, series: ComplexArray, frame: Frame) -> FloatArray:
    """Image (y, x) of a Fourier series of the crystal's."""
    gx, gy = (np.broadcast_to(g, series.shape).ravel() for g in series_frequencies(series.shape, potential.lengths))
    vectors = np.stack([gx, gy], axis=1)
    frequencies = vectors * potential.lengths[:2] @ fit.lattice.reciprocal @ turn(frame.turned_deg)
    # One half-plane, whose first term is the mean, without frequencies that pixels cannot show.
    shown = (np.arange(gx.size) >= gx.size // 2) & (np.abs(frequencies).max(axis=1) < 0.5 / fit.task.sampling)
    found = fit.refined.parameters
    phases = np.exp(2j * np.pi * (vectors[shown] @ np.array([found.offset_x, found.offset_y])))
    return on_pixels((series.ravel()[shown] * phases)[None], frequencies[shown], frame.shape, fit.task.sampling)[0]


def as_reconstruction(fit: Fit, image: SegmentedImage, more: Mapping[str, Any] | None = None) -> Reconstruction:
    """
    Give the fitted crystal's potential the form of a reconstruction, so that it is written to the same files.

    Parameters
    ----------
    fit : Fit
        Result.
    image : SegmentedImage
        Image that was fitted.
    more : mapping, optional
        What else is to be recorded.

    Returns
    -------
    Reconstruction
        Potential and columns on the image's pixels, in the frame of its detector, and the iDPC image.
    """
    found = fit.refined.parameters
    told = replace(
        image,
        thickness_nm=found.depth / 10,
        tilt_deg=(found.alpha, found.beta),
        rotation_deg=fit.model.rotation_deg,
    )
    prepared = prepare(told, fit.task.sampling)
    rows, columns = prepared.segments.shape[1:]
    projected, straight = potentials(fit, Frame((rows, columns), prepared.turned_deg))
    scanned, calibrated = idpc_potential(prepared)
    thickness, alpha, beta, gamma = map(float, prepared.metadata)
    potential = projected.astype(np.float32)
    return Reconstruction(
        potential=potential,
        mean_potential=potential / np.float32(found.depth),
        spread=None,
        idpc=scanned,
        sampling=round(prepared.sampling, 9),
        thickness_nm=thickness,
        tilt_deg=(alpha, beta),
        rotation_deg=gamma,
        attributes={**describe(fit, more), "warnings": [] if calibrated else [UNCALIBRATED]},
        origin=prepared.origin,
        columns=straight.astype(np.float32),
    )


def on_pixels(
    coefficients: ComplexArray, frequencies: FloatArray, shape: tuple[int, int], sampling: float
) -> FloatArray:
    """Evaluate real Fourier series (n, term) of one half-plane, the mean first, as images (n, y, x) about a centre."""
    y, x = ((np.arange(size) - (size - 1) / 2) * sampling for size in shape)
    along_x = np.exp(2j * np.pi * frequencies[:, 0, None] * x)
    along_y = np.exp(2j * np.pi * y[:, None] * frequencies[:, 1])
    weights = np.where(np.arange(len(frequencies)) == 0, 1.0, 2.0)
    return np.stack([((along_y * (one * weights)) @ along_x).real for one in coefficients])
