"""Baselines of the network: three inversions of the same images, with and without the tilt, and the nearest sample."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_file
from iphasenet.base.reading import read_arrays, whole_file
from iphasenet.crystal.identity import CrystalIdentity
from iphasenet.dataset.material_data import MaterialData
from iphasenet.dataset.reader import StoredRows, material_groups, open_dataset, read_rows, structure_of
from iphasenet.evaluation.idpc import ScaleFit, idpc
from iphasenet.evaluation.phase_inversion import invert_phase, potential_transfer
from iphasenet.evaluation.wiener import WienerFilter, WienerFit
from iphasenet.microscope.optics import Microscope
from iphasenet.network.column_projection import column_shift, project_columns
from iphasenet.simulation.grid import SPLITS, LeftOut

SEEING = ("idpc", "wiener", "phase")
"""Baselines that use an image, not its tilt, and its thickness only for the mean potential."""

TOLD = tuple(f"{name}_told" for name in SEEING)
"""The same baselines, which are told tilt and thickness like the network (`told_baselines`)."""

BASELINES = (*SEEING, *TOLD, "nearest")

LARGEST_TILT_DEG = 10.0
"""Largest tilt [degrees] at which the projection of a crystal's inclined columns is used."""

_KNOWN = ("thickness_nm", "alpha", "beta", "gamma")

_SAME = 1e-3
"""Samples of a material whose thickness [nm] and angles [degrees] differ by less are the same sample."""

FloatArray = NDArray[np.floating[Any]]
FloatImages = NDArray[np.float32]


@dataclass(frozen=True)
class Baselines:
    """
    Parameters of the baselines, fitted to the training split.

    Attributes
    ----------
    scale : float
        Projected potential for a unit of iDPC [V Å].
    mean_potential : float
        Mean of the potential divided by thickness [V], which no segment shows.
    wiener : WienerFilter
        Second moments of segments and mean potential, and the images' shape.
    sampling : float
        Pixel size of the images [Å].
    """

    scale: float
    mean_potential: float
    wiener: WienerFilter
    sampling: float

    def __post_init__(self) -> None:
        if not (np.isfinite([self.scale, self.mean_potential]).all() and 0 < self.sampling < np.inf):
            raise InputError(
                f"baselines: found scale {self.scale}, mean potential {self.mean_potential}, sampling {self.sampling}; "
                "allowed: finite numbers, a sampling above 0"
            )

    def save(self, path: Path) -> None:
        """Write the parameters to a .npz file, which appears whole or not at all."""
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                scale=self.scale,
                mean_potential=self.mean_potential,
                sampling=self.sampling,
                cross=self.wiener.cross,
                auto=self.wiener.auto,
                shape=np.array(self.wiener.shape),
            )

    @classmethod
    def load(cls, path: Path) -> "Baselines":
        """Read what `save` wrote; InputError for a file that is missing, damaged or something else."""
        file = read_arrays(path, "shape", "cross", "auto", "scale", "mean_potential", "sampling")
        with whole_file(path, "fitted baselines"):
            ny, nx = (int(side) for side in file["shape"])
            wiener = WienerFilter(file["cross"], file["auto"], (ny, nx))
            return cls(float(file["scale"]), float(file["mean_potential"]), wiener, float(file["sampling"]))

    def predict(self, data: MaterialData, microscope: Microscope) -> dict[str, FloatImages]:
        """
        Predict the noisy images of a material.

        Parameters
        ----------
        data : MaterialData
            Validation or test samples, of the training images' shape and pixel size.
        microscope : Microscope
            Optics, which the phase inversion needs.

        Returns
        -------
        dict of (sample, dose, y, x) float32 arrays
            Projected potential by 'idpc', 'wiener' and 'phase' [V Å].
        """
        shape = data.potential.shape[1:]
        _check_pixels(data.material, shape, data.sampling, self.wiener.shape, self.sampling)
        transfer = potential_transfer(microscope, (2 * shape[0], 2 * shape[1]), data.sampling)
        images = data.noisy_segments
        result = {name: np.empty((*images.shape[:2], *shape), np.float32) for name in SEEING}
        for sample, depth in enumerate(10 * data.coordinates["thickness_nm"]):
            mean = self.mean_potential * depth
            for index, dose in enumerate(data.doses):
                segments = images[sample, index].astype(np.float32)
                noise = shot_noise(segments, float(dose), data.sampling)
                place = sample, index
                result["idpc"][place] = self.scale * idpc(segments, data.sampling) + mean
                result["wiener"][place] = depth * self.wiener.apply(segments, noise) + mean
                # Prior: the potential of a crystal deviates from its mean by about as much as its mean.
                result["phase"][place] = invert_phase(segments, transfer, noise, prior=mean**2) + mean
        return result


def told_baselines(data: MaterialData, predicted: Mapping[str, FloatImages]) -> dict[str, FloatImages]:
    """
    Give baselines the tilt and the thickness, by the fixed layer that projects the network's columns.

    Parameters
    ----------
    data : MaterialData
        Samples with tilts of at most `LARGEST_TILT_DEG`.
    predicted : mapping of (sample, dose, y, x) arrays
        Predictions of `Baselines.predict` [V Å].

    Returns
    -------
    dict of (sample, dose, y, x) float32 arrays
        Projected potential by each of `TOLD` [V Å]: the prediction is taken as the untilted columns at the entrance
        surface and projected along the tilt.
    """
    shift = column_shift(torch.from_numpy(data.metadata))
    return {
        f"{name}_told": np.stack(
            [
                project_columns(torch.from_numpy(images[:, dose]), shift, data.sampling).numpy()
                for dose in range(images.shape[1])
            ],
            axis=1,
        )
        for name, images in predicted.items()
    }


def shot_noise(segments: FloatArray, dose: float, sampling: float) -> NDArray[np.float64]:
    """
    Variance of Poisson noise in each segment, from its mean intensity.

    Parameters
    ----------
    segments : (4, y, x) array
        Images of the segments, fractions of the beam current.
    dose : float
        Dose [e/Å²].
    sampling : float
        Pixel size [Å].

    Returns
    -------
    (4,) array
        Variances, at least that of one electron in the image.
    """
    electrons = dose * sampling**2
    mean = segments.mean(axis=(1, 2), dtype=np.float64)
    return np.maximum(mean, 1 / (electrons * segments[0].size)) / electrons


def fit_baselines(training: Iterable[MaterialData]) -> Baselines:
    """
    Fit the baselines to noise-free training images, in one pass.

    Parameters
    ----------
    training : iterable of MaterialData
        Training split, material by material; images are taken one by one, so they may be streamed.

    Returns
    -------
    Baselines
        iDPC: one scale and one mean potential by least squares over all pixels. Wiener filter: spectral densities,
        every image of equal weight.

    Raises
    ------
    InputError
        If there is no image, or pixels differ.
    """
    scale_fit, wiener, sampling = ScaleFit(), None, 0.0
    for data in training:
        if wiener is None:
            ny, nx = data.potential.shape[1:]
            wiener, sampling = WienerFit((ny, nx)), data.sampling
        _check_pixels(data.material, data.potential.shape[1:], data.sampling, wiener.shape, sampling)
        for row, depth in enumerate(10 * data.coordinates["thickness_nm"]):
            segments, potential = data.segments[row], data.potential[row]
            scale_fit.add(idpc(segments, sampling), float(depth), potential)
            wiener.add(segments, potential / depth)
    if wiener is None:
        raise InputError("baselines: found no training image; allowed: at least one")
    scale, mean_potential = scale_fit.solve()
    return Baselines(scale, mean_potential, wiener.solve(), sampling)


def nearest_training(training: str | Path, data: MaterialData, left_out: LeftOut) -> FloatImages:
    """
    Potential of the training sample with the nearest thickness and angles: a baseline that uses only metadata.

    Parameters
    ----------
    training : path
        Data set on which the network was trained.
    data : MaterialData
        Samples to be predicted.
    left_out : LeftOut
        Samples of the data set that training has not seen.

    Returns
    -------
    (sample, y, x) float32 array
        Projected potential [V Å] of the nearest sample of the same crystal, by its structure where that is known
        (`iphasenet.crystal.identity`), or of any crystal if training has none of it.
        Thickness, alpha, beta and gamma count in units of their standard deviations among these; differences of angles
        are circular. The sample itself, by crystal, thickness and angles, is excluded, whatever data set holds it.

    Raises
    ------
    InputError
        If there is no training sample, or pixels differ.
    """
    stored = material_groups(open_dataset(training))
    same = {name: group for name, group in stored.items() if _identity(name, group).is_same(data.crystal)}
    seen = _training_samples(same, left_out) or _training_samples(stored, left_out)
    if not seen:
        raise InputError(f"{training}: found no training sample; allowed: at least one sample that is not left out")
    groups, rows, known = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    for name in np.unique(groups):
        position, potential = read_rows(stored[name], "x"), StoredRows(stored[name], "potential", np.arange(0))
        shape, sampling = potential.shape[1:], float(position[1] - position[0])
        _check_pixels(f"{training}, {name}", shape, sampling, data.potential.shape[1:], data.sampling)
    spread = _spread(known)
    result = np.empty(data.potential.shape, np.float32)
    for sample, asked in enumerate(np.stack([data.coordinates[name] for name in _KNOWN], axis=1)):
        difference = _differences(asked, known)
        itself = np.isin(groups, list(same)) & (np.abs(difference) < _SAME).all(axis=1)
        if itself.all():
            name = data.coordinates["sample_id"][sample]
            raise InputError(
                f"{training}: found no training sample except {name} itself; allowed: at least one other sample"
            )
        nearest = np.where(itself, np.inf, ((difference / spread) ** 2).sum(axis=1)).argmin()
        result[sample] = read_rows(stored[groups[nearest]], "potential", rows[nearest : nearest + 1])[0]
    return result


def _identity(name: str, group: zarr.Group) -> CrystalIdentity:
    return CrystalIdentity(name, structure_of(group))


def _training_samples(stored: Mapping[str, zarr.Group], left_out: LeftOut) -> list[tuple[NDArray[Any], ...]]:
    """Name, rows and metadata of the training samples, one tuple per material."""
    found: list[tuple[NDArray[Any], ...]] = []
    for name, group in stored.items():
        known = np.stack([read_rows(group, key) for key in _KNOWN], axis=1)
        kept = (read_rows(group, "split") == SPLITS.index("train")) & ~left_out.mask(name, known[:, 0])
        if kept.any():
            found.append((np.full(kept.sum(), name), np.flatnonzero(kept), known[kept]))
    return found


def _differences(first: FloatArray, second: FloatArray) -> FloatArray:
    """Differences of thickness and of three angles, the latter from -180° to 180°."""
    difference = first - second
    difference[..., 1:] = (difference[..., 1:] + 180) % 360 - 180
    return difference


def _spread(known: FloatArray) -> FloatArray:
    """Scale of thickness and angles: their standard deviations, about circular means; 1 where all are equal."""
    angles = np.deg2rad(known[:, 1:])
    middle = np.rad2deg(np.arctan2(np.sin(angles).mean(axis=0), np.cos(angles).mean(axis=0)))
    deviation = _differences(known, np.array([known[:, 0].mean(), *middle]))
    spread = np.sqrt((deviation**2).mean(axis=0))
    return np.where(spread > 1e-9, spread, 1.0)


def _check_pixels(
    source: str, shape: tuple[int, ...], sampling: float, expected: tuple[int, ...], expected_sampling: float
) -> None:
    if tuple(shape) != tuple(expected) or abs(sampling - expected_sampling) > 1e-6 * expected_sampling:
        raise InputError(
            f"{source}: found images of {shape[0]} x {shape[1]} pixels of {sampling:g} Å; allowed: "
            f"{expected[0]} x {expected[1]} pixels of {expected_sampling:g} Å, as the other images have"
        )
