"""Crystals, tilts and thicknesses that a network has seen in training and validation, and what is new in a sample."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.crystal.identity import CrystalIdentity
from iphasenet.dataset.material_data import MaterialData
from iphasenet.network.rotations import beam_directions
from iphasenet.simulation.grid import Sample, picometres
from iphasenet.simulation.tilts import crystal_lean, lab_angles

SAME_TILT_DEG = 1e-3
"""Tilts of a crystal whose beam directions differ by less are the same: a tenth of what images can resolve."""

_SMALL_TILT_DEG = 10.0
"""Tilts below this belong to a grid of small tilts."""

SLAB = "slab_thickness"
"""Coordinate of a data set with the simulated thickness of whole slices [Å]."""

SEEN = ""
"""Label of a sample that training or the choice of the epoch has used."""

_STRUCTURE = "structure"
"""Key of a crystal's structure hash, beside its splits."""

UNKNOWN = "not known"
"""Label of a sample if the weights do not say what they have seen."""

Coordinates = Mapping[str, NDArray[Any]]


def describe_seen(
    train: Iterable[MaterialData],
    validation: Iterable[MaterialData],
    rendered: Mapping[str, Sequence[Sample]] = MappingProxyType({}),
) -> dict[str, Any]:
    """
    Describe the samples that training and the choice of the epoch use, for the header of the weights.

    Parameters
    ----------
    train, validation : iterable of MaterialData
        The splits as training reads them.
    rendered : mapping
        Samples by material whose tilts training renders, each at all rotations of its orientation.

    Returns
    -------
    dict
        For each material: `structure` (`iphasenet.crystal.identity`) if known, and the splits. Each split has
        `thickness_nm`; `slab_nm`, the simulated thickness, if known; `tilts_deg`, for each tilt the angle between zone
        axis and beam, and the beam's azimuth in the crystal's frame, from x to y; `gamma_deg`, the rotations of each
        tilt. Plain values, rounded to 0.0001°.
    """
    found: dict[str, Any] = {}
    for split, parts in (("train", train), ("validation", validation)):
        for data in parts:
            entry = found.setdefault(data.material, {_STRUCTURE: data.structure} if data.structure else {})
            tilts = {sample.orientation.index: sample for sample in rendered.get(data.material, ())}
            turned = [
                replace(sample, rotation_index=number)
                for sample in tilts.values()
                for number in range(len(sample.orientation.rotations_deg))
            ]
            more = [planned_coordinates(turned)] if turned and split == "train" else []
            entry[split] = _described(data.coordinates, more)
    return found


def planned_coordinates(planned: Iterable[Sample]) -> Coordinates:
    """Thickness and angles of planned samples as (sample,) arrays, for `what_is_new`."""
    rows = [(sample.thickness_nm, *lab_angles(sample), sample.gamma) for sample in planned]
    columns = np.array(rows, np.float64).reshape(-1, 4).T
    return dict(zip(("thickness_nm", "alpha", "beta", "gamma"), columns, strict=True))


def _described(coordinates: Coordinates, rendered: Sequence[Coordinates]) -> dict[str, Any]:
    rotations: dict[tuple[float, float], set[float]] = {}
    for part in (coordinates, *rendered):
        for tilt, gamma in zip(_polar(_directions(part)), part["gamma"], strict=True):
            rotations.setdefault((float(tilt[0]), float(tilt[1])), set()).add(round(float(gamma), 4))
    return {
        **{name: np.unique(values.round(3)).tolist() for name, values in _thicknesses(coordinates).items()},
        "tilts_deg": [list(tilt) for tilt in rotations],
        "gamma_deg": [sorted(gammas) for gammas in rotations.values()],
    }


def _thicknesses(coordinates: Coordinates) -> dict[str, NDArray[np.float64]]:
    """Thickness by its names in a header [nm]: nominal, and of whole slices if the data have it."""
    found = {"thickness_nm": coordinates["thickness_nm"]}
    return found | ({"slab_nm": coordinates[SLAB] / 10} if SLAB in coordinates else {})


def _directions(coordinates: Coordinates) -> NDArray[np.float64]:
    """
    Find unit vectors (sample, 3) that are the same at all rotations of a tilt.

    Small tilts are drawn as the inclination of the crystal's columns (`tilts.lab_tilt`). The beam's direction in the
    crystal differs from it by up to some 0.01°, by another amount at each rotation.
    """
    alpha, beta, gamma = (coordinates[name] for name in ("alpha", "beta", "gamma"))
    found = beam_directions(np.stack([alpha, beta, gamma], axis=-1))
    small = np.flatnonzero(found[:, 2] > math.cos(math.radians(_SMALL_TILT_DEG)))
    if len(small):
        leans = np.array(
            [crystal_lean(*map(float, told)) for told in zip(alpha[small], beta[small], gamma[small], strict=True)]
        )
        vectors = np.stack([-leans[:, 0], -leans[:, 1], np.ones(len(leans))], axis=-1)
        found[small] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return found


def _polar(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle from the zone axis and azimuth of unit vectors, rounded: equal tilts are equal numbers [degrees]."""
    x, y, z = directions.T
    # For a small angle, the sine is more precise than the cosine.
    angles = np.rad2deg([np.arctan2(np.hypot(x, y), z), np.arctan2(y, x)]).T
    return np.asarray(np.round(angles, 4) + 0.0, np.float64)


def _vectors(tilts_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    polar, azimuth = np.deg2rad(np.reshape(tilts_deg, (-1, 2))).T
    return np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=-1)


def what_is_new(seen: Mapping[str, Any] | None, crystal: CrystalIdentity, coordinates: Coordinates) -> list[str]:
    """
    Compare samples with what a network has seen.

    Parameters
    ----------
    seen : mapping or None
        Header entry that `describe_seen` made; None for weights without it.
    crystal : CrystalIdentity
        Crystal of the samples. It is compared by its structure, whatever its name, if both sides know it, else by its
        name.
    coordinates : mapping of (sample,) arrays
        thickness_nm, alpha, beta and gamma; if present, `SLAB`, by which thicknesses of the same crystal are compared,
        because two nominal ones may be the same number of slices.

    Returns
    -------
    list of str
        For each sample, in what it is new: 'tilt', 'thickness', 'tilt and thickness', 'material', 'material and
        thickness'; `SEEN` if in nothing but perhaps its rotation; `UNKNOWN` without `seen`.
    """
    thicknesses = _thicknesses(coordinates)
    if seen is None:
        return [UNKNOWN] * len(thicknesses["thickness_nm"])
    try:
        splits = {found: _splits(entry) for found, entry in _crystals(seen)}
        same = [part for found, parts in splits.items() if found.is_same(crystal) for part in parts]
        parts = same or [part for every in splits.values() for part in every]
        is_sliced = bool(same) and all("slab_nm" in found for found in (thicknesses, *parts))
        name = "slab_nm" if is_sliced else "thickness_nm"
        known = {picometres(value) for part in parts for value in part[name]}
        tilts = [_vectors(np.array(part["tilts_deg"], np.float64)) for part in same]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"weights: seen: found something else than crystals, tilts and thicknesses ({error}); allowed: weights "
            "that training wrote"
        ) from error
    if tilts:
        nearest = 2 * np.sin(np.deg2rad(SAME_TILT_DEG) / 2)
        apart = np.linalg.norm(_directions(coordinates)[:, None] - np.concatenate(tilts), axis=-1).min(axis=1)
        first = np.where(apart > nearest, "tilt", "")
    else:
        first = np.full(len(thicknesses[name]), "material")
    second = ["" if picometres(value) in known else "thickness" for value in thicknesses[name]]
    return [" and ".join(filter(None, parts)) for parts in zip(first.tolist(), second, strict=True)]


def unseen(held_out: Sequence[str]) -> NDArray[np.int64]:
    """Choose the samples on which a network is scored, by what is new in them: none if it has seen all."""
    return np.flatnonzero([new != SEEN for new in held_out])


def nothing_new(samples: int) -> str:
    """Message that a network has seen all samples on which it would be scored."""
    return (
        f"test split: found {samples:,} samples, all of which the network was trained on or chosen by; allowed: a grid "
        "with other tilts, or the network of a run whose split they are held out from"
    )


def is_by_name(seen: Mapping[str, Any] | None, crystal: CrystalIdentity) -> bool:
    """Whether a crystal is compared with those that a network has seen only by its name."""
    if seen is None:
        return False
    return not crystal.structure or not all(known.structure for known, _ in _crystals(seen))


def _crystals(seen: Mapping[str, Any]) -> Iterator[tuple[CrystalIdentity, Mapping[str, Any]]]:
    for name, entry in seen.items():
        yield CrystalIdentity(name, entry.get(_STRUCTURE, "")), entry


def _splits(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [part for key, part in entry.items() if key != _STRUCTURE]
