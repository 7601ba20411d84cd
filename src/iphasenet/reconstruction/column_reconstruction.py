"""Reconstruction by the network for any crystal: what a user does not know is estimated."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iphasenet.base.errors import InputError
from iphasenet.base.memory import check_memory
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.network.column_network import CONDITIONS, ColumnNetwork, ColumnOutput, expected_correlation
from iphasenet.network.column_prediction import predict_columns
from iphasenet.network.column_projection import column_shift, project_columns
from iphasenet.network.column_spectra import TILE
from iphasenet.reconstruction.preparation import (
    UNCALIBRATED,
    Prepared,
    idpc_potential,
    prepare,
    tilt_angle,
    turned_angles,
)
from iphasenet.reconstruction.reconstruct import Reconstruction, Trained, attributes_of, setting_warnings

_UNITS = {"thickness_nm": "nm", "tilt_deg": "degrees"}

_STEP = 16
"""Sides of the network's images are multiples of this."""

_BYTES, _FILTER_BYTES = 600.0, 55.0
"""Memory for each pixel of the network's images: of the layers, or of each filter if these need more [bytes]."""

STRANGE = 2.0
"""Strangeness above which an image is unlike those that the network was trained on."""

_REFUSED = 10.0
"""Strangeness above which nothing that the network finds has a meaning."""

_LEAST_SHARE = 0.01
"""Share of the beam that the segments hold at least: images of thick and heavy crystals hold ten times as much."""

_FAR = 2.0
"""What is told may exceed the largest of the training by this factor; the network is warned of before."""

DOUBTFUL = 0.7
"""Expected correlation with the true columns below which a user is warned."""


def reconstruct_columns(image: SegmentedImage, trained: Trained, warnings: tuple[str, ...] = ()) -> Reconstruction:
    """
    Find the columns of one image, and project them along the told or estimated tilt.

    Parameters
    ----------
    image : SegmentedImage
        Images of the four segments; thickness, tilt and rotation may be unknown.
    trained : Trained
        Network for any crystal.
    warnings : tuple of str
        Warnings to be recorded in addition to those of this function.

    Returns
    -------
    Reconstruction
        Result on the network's pixels. `attributes['estimates']` has the network's estimates of thickness, tilt,
        defocus and mean potential with their standard errors, `attributes['told']` what it was told,
        `attributes['expected_pearson']` the correlation with the true columns that it expects. Estimates of alpha and
        beta are those in the file's image, as they would be told; `tilt_deg` is that of the result's frame, which is
        turned where the detector is. A rotation that is not given is 0; it has no effect.

    Raises
    ------
    InputError
        If a calibration of the microscope is missing, the field is too small or too large, what is told is far from
        all that the network was trained on, or the images are no fractions of a beam or nothing that it knows.
    """
    network = trained.network
    assert isinstance(network, ColumnNetwork)
    told = {name for name in ("thickness_nm", "tilt_deg") if getattr(image, name) is not None}
    _check_told(image, trained.described.get("ranges", {}))
    prepared = _prepared(image, network)
    output = _predicted(network, prepared, told)
    strangeness = float(network.strangeness(output.features)[0])
    if not strangeness <= _REFUSED:
        raise InputError(
            f"{image.source}: found images that are nothing that the network knows (strangeness {strangeness:.0f}, "
            f"usual ones 1); allowed: at most {_REFUSED:g}; check segments, beam intensity, pixel size and detector"
        )
    thickness, tilt = _geometry(prepared, output, told)
    columns, spread = output.columns[0].cpu(), output.spread[0].cpu()
    error = spread + columns * output.errors[0, 0].cpu()
    shift = column_shift(torch.tensor([[thickness, *tilt, 0.0]]))
    mean, mean_error = (project_columns(part[None], shift, network.sampling)[0] for part in (columns, error))
    length = np.float32(10 * thickness)
    # An estimated thickness may be wrong, too; this is the scale of its logarithm's error.
    length_error = 0.0 if "thickness_nm" in told else float(output.errors[0, 1])
    scanned, calibrated = idpc_potential(prepared)
    estimates = described_estimates(output, told, prepared.turned_deg)
    expected = float(expected_correlation(output)[0])
    return Reconstruction(
        potential=_array(mean) * length,
        mean_potential=_array(mean),
        spread=_array(mean_error + length_error * mean) * length,
        idpc=scanned,
        sampling=round(prepared.sampling, 9),
        thickness_nm=thickness,
        tilt_deg=tilt,
        rotation_deg=float(prepared.metadata[3]) if image.rotation_deg is not None else 0.0,
        attributes=attributes_of(image, trained, prepared)
        | {
            "told": sorted(told),
            "estimates": estimates,
            "strangeness": strangeness,
            "expected_pearson": expected,
            "holds": _holds(estimates),
            "warnings": [*warnings, *setting_warnings(image, trained), *_warnings(calibrated, strangeness, expected)],
        },
        origin=prepared.origin,
        columns=_array(columns),
        columns_error=_array(error),
    )


def _prepared(image: SegmentedImage, network: ColumnNetwork) -> Prepared:
    """Images on the network's pixels; InputError if they are too small, or too large for the memory."""
    known = replace(
        image,
        thickness_nm=image.thickness_nm or 50.0,
        tilt_deg=(0.0, 0.0) if image.tilt_deg is None else image.tilt_deg,
        rotation_deg=image.rotation_deg or 0.0,
    )
    sampling = network.sampling
    prepared = prepare(known, sampling)
    rows, width = prepared.segments.shape[1:]
    if min(rows, width) < TILE:
        raise InputError(
            f"{image.source}: found {rows} x {width} of the network's pixels, {sampling:g} Å; allowed: at "
            f"least {TILE} along each side"
        )
    shares = prepared.segments.mean(axis=(1, 2))
    if not (shares.min() >= 0 and _LEAST_SHARE <= shares.sum() <= 1):
        raise InputError(
            f"{image.source}: found segments that hold {', '.join(f'{100 * share:.3g}' for share in shares)} % of the "
            f"beam; allowed: none below 0, all together {100 * _LEAST_SHARE:g} to 100 %; check --beam-intensity and "
            "--dark-intensity"
        )
    each = max(_BYTES, _FILTER_BYTES * network.settings.filters)
    check_memory(each * rows * width, f"the network on {rows:,} x {width:,} pixels")
    return prepared


def _check_told(image: SegmentedImage, ranges: Mapping[str, Sequence[float]]) -> None:
    """Refuse a thickness or a tilt that is far from all that the network has seen."""
    told = (("thickness_nm", image.thickness_nm, "thickness"), ("tilt_deg", tilt_angle(image), "tilt"))
    for name, value, option in told:
        most = _FAR * ranges[name][1] if name in ranges else math.inf
        if value is not None and value > most:
            raise InputError(
                f"{image.source}: {option}: found {value:g} {_UNITS[name]}; allowed with this network: at most "
                f"{most:.3g}"
            )


def _geometry(prepared: Prepared, output: ColumnOutput, told: set[str]) -> tuple[float, tuple[float, float]]:
    """Thickness [nm] and tilt [degrees]: what was told, else what was estimated."""
    thickness, alpha, beta = output.estimates[0, 1:4].tolist()
    given, *tilt = prepared.metadata[:3].tolist()
    return (
        given if "thickness_nm" in told else math.exp(thickness),
        (tilt[0], tilt[1]) if "tilt_deg" in told else (alpha, beta),
    )


def _warnings(calibrated: bool, strangeness: float, expected: float) -> list[str]:
    found = [] if calibrated else [UNCALIBRATED]
    if not expected >= DOUBTFUL:
        found.append(
            f"network: it expects a correlation of only {expected:.2f} with the true columns (warned of below "
            f"{DOUBTFUL:g}): do not rely on single columns"
        )
    if strangeness > STRANGE:
        found.append(
            f"network: these images are unlike those that it was trained on (strangeness {strangeness:.1f}, usual ones "
            "1): its errors may be larger than it says"
        )
    return found


def _predicted(network: ColumnNetwork, prepared: Prepared, told: set[str]) -> ColumnOutput:
    """
    Output of the network for an image of any size.

    Where a side does not divide by the network's step, windows at both ends are used, and one fades into the other: an
    image that is continued beyond its rim would have another level.
    """
    conditions = torch.full((1, len(CONDITIONS)), torch.nan)
    names = list(CONDITIONS)
    if "thickness_nm" in told:
        conditions[0, names.index("thickness_nm")] = float(prepared.metadata[0])
    if "tilt_deg" in told:
        conditions[0, 1:3] = torch.from_numpy(prepared.metadata[1:3])
    for name in ("semiangle_mrad", "detector_inner_mrad", "detector_outer_mrad"):
        conditions[0, names.index(name)] = getattr(prepared.microscope, name)
    device = next(network.parameters()).device
    segments, conditions = torch.from_numpy(prepared.segments)[None].to(device), conditions.to(device)
    windows = list(product(*map(_windows, segments.shape[2:])))
    # With fewer symmetry operations, features have more noise than those by which unusual images are known.
    outputs = [predict_columns(network, segments[:, :, rows, columns], conditions) for rows, columns in windows]
    means = [torch.stack(part).mean(dim=0) for part in zip(*(output[2:] for output in outputs), strict=True)]
    count = torch.zeros_like(segments[:, 0])
    images = [torch.zeros_like(count) for _ in range(2)]
    for (rows, columns), output in zip(windows, outputs, strict=True):
        weight = torch.outer(*(_share(part, size) for part, size in zip((rows, columns), count.shape[1:], strict=True)))
        weight = weight.to(device)
        count[:, rows, columns] += weight
        for image, part in zip(images, output[:2], strict=True):
            image[:, rows, columns] += weight * part
    return ColumnOutput(*(image / count for image in images), *means)


def _windows(size: int) -> list[slice]:
    """Largest windows along a side whose length divides by that of a step: one, or one at each end."""
    side = size - size % _STEP
    return [slice(start, start + side) for start in sorted({0, size - side})]


def _share(window: slice, size: int) -> Tensor:
    """Share of a window along a side of `size` pixels: it fades to nothing where the other one begins."""
    side = window.stop - window.start
    if side == size:
        return torch.ones(size)
    # The second window begins at the first number, the first one ends at the second.
    begin, end = size - side, side
    place = torch.arange(window.start, window.stop, dtype=torch.float32)
    rising = ((place - begin + 0.5) / (end - begin)).clamp(0, 1)
    return rising if window.start else 1 - rising


def described_estimates(
    output: ColumnOutput, told: Collection[str] = (), turned_deg: float = 0.0
) -> dict[str, dict[str, Any]]:
    """
    Estimates of the first image with standard errors (of a Laplace distribution) and units.

    Parameters
    ----------
    output : ColumnOutput
        What the network found.
    told : collection of str
        `thickness_nm`, `tilt_deg`: what is told is not estimated.
    turned_deg : float
        Rotation of the network's images in the file's image, from x to y (down) [degrees].

    Returns
    -------
    dict
        `value`, `error` and `unit` of each; alpha and beta in the file's image, as a user tells them.
    """
    thickness, *tilt, defocus = map(float, output.estimates[0, 1:])
    deviations = [float(np.sqrt(2) * error) for error in output.errors[0]]
    alpha, beta, _ = turned_angles((tilt[0], tilt[1]), 0.0, -turned_deg)
    cos, sin = math.cos(math.radians(turned_deg)), math.sin(math.radians(turned_deg))
    deviations[2:4] = (math.hypot(cos * deviations[2], sin * deviations[3]),
                       math.hypot(sin * deviations[2], cos * deviations[3]))  # fmt: skip
    mean, length = float(output.columns[0].mean()), math.exp(thickness)
    found = {"mean_potential_v": (mean, mean * deviations[0], "V")}
    if "thickness_nm" not in told:
        found["thickness_nm"] = (length, length * deviations[1], "nm")
    if "tilt_deg" not in told:
        found |= {"alpha_deg": (alpha, deviations[2], "degrees"), "beta_deg": (beta, deviations[3], "degrees")}
    found["defocus_angstrom"] = (100 * defocus, 100 * deviations[4], "Å")
    return {name: {"value": value, "error": error, "unit": unit} for name, (value, error, unit) in found.items()}


_SHOWN = {
    "mean_potential_v": "mean potential {:.1f} ± {:.1f} V",
    "thickness_nm": "thickness {:.0f} ± {:.0f} nm",
    "alpha_deg": "alpha {:.2f} ± {:.2f}°",
    "beta_deg": "beta {:.2f} ± {:.2f}°",
    "defocus_angstrom": "defocus {:.0f} ± {:.0f} Å",
}


def _holds(estimates: dict[str, dict[str, Any]]) -> str:
    """Say in one line what was estimated."""
    texts = [_SHOWN[name].format(one["value"], one["error"]) for name, one in estimates.items()]
    return f"estimated: {', '.join(texts)}"


def _array(image: Tensor) -> NDArray[np.float32]:
    return np.asarray(image.numpy(), np.float32)
