"""Samples of a material in memory, the input of training, evaluation and figures."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.crystal.identity import CrystalIdentity


@dataclass(frozen=True)
class MaterialData:
    """
    Samples of one material from one or more splits, in memory.

    Attributes
    ----------
    material : str
        Name of the material.
    segments : (sample, 4, y, x) float32 array
        Noise-free images, fractions of the beam current.
    potential : (sample, y, x) float32 array
        Projected potential [V Å].
    noisy_segments : (sample, dose, 4, y, x) float32 array
        Images with fixed noise; empty along the first axis for the training split.
    doses : (dose,) array
        Doses of the fixed noise [e/Å²].
    sampling : float
        Pixel size [Å].
    coordinates : dict of (sample,) arrays
        Metadata of the samples.
    structure : str
        Hash of the crystal (`iphasenet.crystal.identity.structure_hash`); empty if the store does not say. The network
        does not learn from it.
    """

    material: str
    segments: NDArray[np.float32]
    potential: NDArray[np.float32]
    noisy_segments: NDArray[np.float32]
    doses: NDArray[np.float64]
    sampling: float
    coordinates: dict[str, NDArray[Any]]
    structure: str = field(default="", compare=False)

    @property
    def crystal(self) -> CrystalIdentity:
        """Name and structure of the crystal."""
        return CrystalIdentity(self.material, self.structure)

    @cached_property
    def metadata(self) -> NDArray[np.float32]:
        """Thickness [nm], alpha, beta and gamma [degrees] as a (sample, 4) array."""
        names = ("thickness_nm", "alpha", "beta", "gamma")
        return np.stack([self.coordinates[name] for name in names], axis=1).astype(np.float32)

    @property
    def tilt_deg(self) -> NDArray[np.float64]:
        """Angle between beam and zone axis for each sample [degrees]."""
        return zone_axis_angle(self.coordinates["alpha"], self.coordinates["beta"])

    def select(self, rows: NDArray[np.int64]) -> "MaterialData":
        """Select samples of a validation or test split, in the order of `rows`."""
        return replace(
            self,
            segments=self.segments[rows],
            potential=self.potential[rows],
            noisy_segments=self.noisy_segments[rows],
            coordinates={name: values[rows] for name, values in self.coordinates.items()},
        )


def zone_axis_angle(alpha: NDArray[Any], beta: NDArray[Any]) -> NDArray[np.float64]:
    """Angle between the beam and a zone axis tilted by alpha about x, then by beta about y; all in degrees."""
    cosine = np.cos(np.deg2rad(alpha)) * np.cos(np.deg2rad(beta))
    return np.asarray(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))), dtype=np.float64)
