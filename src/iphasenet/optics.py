"""Probe-forming aperture and segmented detector on a mesh of spatial frequencies."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.electron import interaction_constant, wavelength
from iphasenet.errors import InputError

FloatArray = NDArray[np.floating[Any]]

SEGMENTS = ("top-left", "top-right", "bottom-left", "bottom-right")
"""Detector segments in the order of every array, as seen in the image frame (x to the right, y down)."""

_SIGNS = ((-1, -1), (1, -1), (-1, 1), (1, 1))


def rotate(x: Any, y: Any, rotation_deg: float) -> tuple[Any, Any]:
    """
    Turn vectors about the beam.

    Parameters
    ----------
    x, y : float or array
        Components.
    rotation_deg : float
        Angle from x to y [degrees]: gamma takes the crystal's frame to the lab's, -gamma back.

    Returns
    -------
    x, y : float or array
        Turned components.
    """
    angle = math.radians(rotation_deg)
    return math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y


def sampling_limit(frequency: float) -> float:
    """
    Coarsest multislice pixel that carries a spatial frequency unharmed.

    Parameters
    ----------
    frequency : float
        Spatial frequency [1/Å].

    Returns
    -------
    float
        Pixel size [Å]: the band limit is 1/3 of the sampling frequency, less a soft edge of 1/100.
    """
    return (1 / 3 - 0.01) / frequency


@dataclass(frozen=True)
class Microscope:
    """
    Aberration-free probe and annular detector in four segments.

    Attributes
    ----------
    energy_kev : float
        Beam energy [keV].
    semiangle_mrad : float
        Probe convergence semiangle [mrad].
    detector_inner_mrad, detector_outer_mrad : float
        Collection angles of the annular detector [mrad].
    source_size_angstrom : float
        Standard deviation of the Gaussian source, as its image on the specimen [Å].
    """

    energy_kev: float
    semiangle_mrad: float
    detector_inner_mrad: float
    detector_outer_mrad: float
    source_size_angstrom: float = 0.0

    def __post_init__(self) -> None:
        if self.energy_kev <= 0 or self.semiangle_mrad <= 0:
            raise InputError(
                f"optics: energy_kev {self.energy_kev}, semiangle_mrad {self.semiangle_mrad}; allowed: above 0"
            )
        if not self.source_size_angstrom >= 0:
            raise InputError(f"optics: source_size_angstrom {self.source_size_angstrom}; allowed: from 0")
        if not 0 <= self.detector_inner_mrad < self.detector_outer_mrad:
            raise InputError(
                f"optics: detector_inner_mrad {self.detector_inner_mrad}, detector_outer_mrad "
                f"{self.detector_outer_mrad}; allowed: 0 <= inner < outer"
            )

    @property
    def wavelength(self) -> float:
        """Electron wavelength [Å]."""
        return wavelength(self.energy_kev)

    @property
    def interaction_constant(self) -> float:
        """Phase per projected potential [rad / (V Å)]."""
        return interaction_constant(self.energy_kev)

    def frequency(self, angle_mrad: float) -> float:
        """Spatial frequency of a scattering angle [1/Å]."""
        return angle_mrad * 1e-3 / self.wavelength

    def aperture(self, kx: FloatArray, ky: FloatArray, pixel: tuple[float, float]) -> FloatArray:
        """
        Amplitude of the aperture, falling from 1 to 0 across one reciprocal pixel.

        Parameters
        ----------
        kx, ky : array
            Spatial frequencies [1/Å].
        pixel : (float, float)
            Size of a reciprocal pixel along x and y [1/Å].

        Returns
        -------
        array
            Amplitude between 0 and 1: abTEM's soft aperture.
        """
        k = np.hypot(kx, ky)
        safe = np.where(k == 0, 1.0, k)
        width = np.hypot(kx / safe * pixel[0], ky / safe * pixel[1])
        edge = (self.frequency(self.semiangle_mrad) - k) / np.where(k == 0, 1.0, width) + 0.5
        return np.where(k == 0, 1.0, np.clip(edge, 0.0, 1.0))

    def segments(
        self,
        kx: FloatArray,
        ky: FloatArray,
        pixel: tuple[float, float],
        rotation_deg: float = 0.0,
        subpixels: int = 8,
    ) -> FloatArray:
        """
        Share of each reciprocal pixel that lies in each detector segment.

        Parameters
        ----------
        kx, ky : (n,) array
            Spatial frequencies in the crystal's frame [1/Å].
        pixel : (float, float)
            Size of a reciprocal pixel along x and y [1/Å].
        rotation_deg : float
            Rotation gamma of the crystal about the beam, from x to y [degrees]; the detector stands still.
        subpixels : int
            Points a pixel along each axis on which the share is counted.

        Returns
        -------
        (4, n) array
            Weights between 0 and 1, segments in the order of `SEGMENTS`.
        """
        offsets = (np.arange(subpixels) + 0.5) / subpixels - 0.5
        fx = kx[:, None, None] + offsets * pixel[0]
        fy = ky[:, None, None] + offsets[:, None] * pixel[1]
        lab_x, lab_y = rotate(fx, fy, rotation_deg)
        radius = np.hypot(fx, fy)
        inner, outer = self.frequency(self.detector_inner_mrad), self.frequency(self.detector_outer_mrad)
        annulus = (radius >= inner) & (radius < outer)
        # sign(0) would belong to no segment: a point on an axis counts half on each side of it.
        half_x, half_y = np.sign(lab_x), np.sign(lab_y)
        return np.stack([(annulus * (1 + sx * half_x) * (1 + sy * half_y)).mean(axis=(1, 2)) / 4 for sx, sy in _SIGNS])
