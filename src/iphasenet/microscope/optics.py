"""Probe-forming optics and segmented detectors on a mesh of spatial frequencies."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.base import quantities
from iphasenet.base.errors import InputError
from iphasenet.base.quantities import Quantity
from iphasenet.base.settings import Setting, Settings
from iphasenet.microscope.aberrations import (
    aberration_function,
    angles_without_effect,
    is_round,
    polar_coefficients,
)
from iphasenet.microscope.detector import Detector
from iphasenet.microscope.electron import interaction_constant, wavelength

FloatArray = NDArray[np.floating[Any]]

_FOCAL_ERROR = 5e-7
"""Error of the mean over the focal spread."""

_MOST_HERMITE = 30
"""Nodes of Gauss and Hermite's rule from which on the trapezium rule has fewer."""


def rotate(x: Any, y: Any, rotation_deg: float) -> tuple[Any, Any]:
    """
    Rotate vectors about the beam.

    Parameters
    ----------
    x, y : float or array
        Components.
    rotation_deg : float
        Angle from x to y [degrees]: gamma rotates from the crystal's frame to the lab's, -gamma back.

    Returns
    -------
    x, y : float or array
        Rotated components.
    """
    angle = math.radians(rotation_deg)
    return math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y


def sampling_limit(frequency: float) -> float:
    """
    Largest multislice pixel whose band limit does not reduce a spatial frequency.

    Parameters
    ----------
    frequency : float
        Spatial frequency [1/Å].

    Returns
    -------
    float
        Pixel size [Å]: the band limit is 1/3 of the sampling frequency, minus a soft edge of 1/100.
    """
    return (1 / 3 - 0.01) / frequency


@dataclass(frozen=True)
class Microscope(Settings, section="optics"):
    """Probe and detectors."""

    energy_kev: Annotated[float, Setting("Beam energy.", quantities.ENERGY)]
    semiangle_mrad: Annotated[
        float,
        Setting(
            "Convergence semiangle. Without `aberrations` the probe is focused on the entrance surface.",
            quantities.SEMIANGLE,
        ),
    ]
    detector_inner_mrad: Annotated[
        float, Setting("Inner collection angle of the segmented detector.", quantities.COLLECTION_ANGLE)
    ]
    detector_outer_mrad: Annotated[
        float, Setting("Outer collection angle of the segmented detector.", quantities.COLLECTION_ANGLE)
    ]
    source_size_angstrom: Annotated[
        float,
        Setting(
            "Standard deviation of the Gaussian source, as imaged on the specimen. It blurs the images before noise is "
            "added.",
            quantities.SOURCE_SIZE,
        ),
    ] = 0.0
    focal_spread_angstrom: Annotated[
        float,
        Setting(
            "Standard deviation of the defocus, from chromatic aberration and energy spread. Images are averaged over "
            "it.",
            quantities.FOCAL_SPREAD,
        ),
    ] = 0.0
    aberrations: Annotated[
        Mapping[str, float],
        Setting(
            "Aberrations of the probe by abTEM's polar names: `C10` ... `C56` [Å] with angles `phi12` ... [degrees], "
            "from x to y; or `defocus` (-C10), `Cs`, `astigmatism`, `astigmatism_angle`, `coma`, `coma_angle`. They "
            "do not rotate with the crystal.",
            Quantity("", quantities.ABERRATION.low, quantities.ABERRATION.high),
            zero_if_absent=True,
            without_effect=angles_without_effect(),
        ),
    ] = field(default_factory=dict)
    detector_segments: Annotated[
        int, Setting("Number of segments of the detector.", quantities.SEGMENTS, key=False)
    ] = 4
    detector_rotation_deg: Annotated[
        float, Setting("Rotation of the detector in the lab, from x to y.", quantities.ANGLE, key=False)
    ] = 0.0
    dark_field_mrad: Annotated[
        tuple[float, float] | None,
        Setting(
            "Inner and outer angle of an annular dark-field detector, simulated together with the segments.",
            quantities.COLLECTION_ANGLE,
            key=False,
        ),
    ] = None

    def __post_init__(self) -> None:
        # Checked first, because this function knows the range of each coefficient.
        if isinstance(self.aberrations, Mapping):
            polar_coefficients(self.aberrations)
        super().__post_init__()
        _ = self.detectors

    @property
    def detectors(self) -> tuple[Detector, ...]:
        """The segmented detector, and the annular dark-field detector if there is one."""
        segmented = Detector(
            self.detector_inner_mrad, self.detector_outer_mrad, self.detector_segments, self.detector_rotation_deg
        )
        return (segmented,) if self.dark_field_mrad is None else (segmented, Detector(*self.dark_field_mrad, 1))

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the images of one scan, one for each segment of every detector."""
        return tuple(name for detector in self.detectors for name in detector.names)

    @property
    def reach(self) -> float:
        """Largest spatial frequency of the probe and the detectors [1/Å]."""
        return max(self.frequency(self.semiangle_mrad), self.detector_reach)

    @property
    def detector_reach(self) -> float:
        """Largest spatial frequency of the detectors [1/Å]."""
        return self.frequency(max(detector.outer_mrad for detector in self.detectors))

    @property
    def is_round(self) -> bool:
        """Whether no aberration has a direction."""
        return is_round(polar_coefficients(self.aberrations))

    @property
    def defocus_angstrom(self) -> float:
        """Defocus, -C10 [Å]."""
        return -polar_coefficients(self.aberrations).get("C10", 0.0)

    @property
    def wavelength(self) -> float:
        """Electron wavelength [Å]."""
        return wavelength(self.energy_kev)

    @property
    def interaction_constant(self) -> float:
        """Phase shift per projected potential [rad / (V Å)]."""
        return interaction_constant(self.energy_kev)

    def frequency(self, angle_mrad: float) -> float:
        """Spatial frequency of a scattering angle [1/Å]."""
        return angle_mrad * 1e-3 / self.wavelength

    def aperture(self, kx: FloatArray, ky: FloatArray, pixel: tuple[float, float]) -> FloatArray:
        """
        Amplitude of the aperture, which falls from 1 to 0 across one reciprocal pixel.

        Parameters
        ----------
        kx, ky : array
            Spatial frequencies [1/Å].
        pixel : (float, float)
            Size of a reciprocal pixel along x and y [1/Å].

        Returns
        -------
        array
            Amplitude between 0 and 1, as in abTEM's soft aperture.
        """
        k = np.hypot(kx, ky)
        safe = np.where(k == 0, 1.0, k)
        width = np.hypot(kx / safe * pixel[0], ky / safe * pixel[1])
        edge = (self.frequency(self.semiangle_mrad) - k) / np.where(k == 0, 1.0, width) + 0.5
        return np.where(k == 0, 1.0, np.clip(edge, 0.0, 1.0))

    def foci(self) -> list[tuple[float, float]]:
        """
        Foci of an incoherent sum over the focal spread.

        Returns
        -------
        list of (float, float)
            Change of C10 [Å] and its share of the sum, which averages phases up to that at the aperture's edge to 1e-6.
        """
        spread = self.focal_spread_angstrom
        if spread == 0:
            return [(0.0, 1.0)]
        nodes, weights = normal_nodes(math.pi * self.wavelength * self.frequency(self.semiangle_mrad) ** 2 * spread)
        return [(spread * float(x), float(w)) for x, w in zip(nodes, weights, strict=True)]

    def aberration_phase(
        self, kx: FloatArray, ky: FloatArray, rotation_deg: float = 0.0, focus: float = 0.0
    ) -> NDArray[np.complexfloating[Any, Any]]:
        """
        Phase factor exp(-i chi) of the probe's plane waves.

        Parameters
        ----------
        kx, ky : array
            Spatial frequencies in the crystal's frame [1/Å].
        rotation_deg : float
            Rotation gamma of the crystal about the beam, from x to y [degrees]; the lenses do not rotate.
        focus : float
            Change of C10 [Å].

        Returns
        -------
        complex array
            Phase factors of modulus 1 (`iphasenet.microscope.aberrations`).
        """
        lab_x, lab_y = rotate(kx, ky, rotation_deg)
        coefficients = polar_coefficients(self.aberrations)
        coefficients["C10"] = coefficients.get("C10", 0.0) + focus
        alpha, phi = np.hypot(kx, ky) * self.wavelength, np.arctan2(lab_y, lab_x)
        return np.exp(-1j * aberration_function(coefficients, alpha, phi, self.wavelength))

    def detector_weights(
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
            Rotation gamma of the crystal about the beam, from x to y [degrees]; the detector does not rotate.
        subpixels : int
            Number of points of each pixel along each axis at which the share is counted; 1 gives hard edges.

        Returns
        -------
        (channel, n) array
            Weights between 0 and 1, in the order of `channels`.
        """
        scale = 1e3 * self.wavelength
        offsets = (np.arange(subpixels) + 0.5) / subpixels - 0.5
        x = scale * (kx[:, None, None] + offsets * pixel[0])
        y = scale * (ky[:, None, None] + offsets[:, None] * pixel[1])
        lab_x, lab_y = rotate(x, y, rotation_deg)
        return np.concatenate([detector.weights(lab_x, lab_y) for detector in self.detectors])


@lru_cache(maxsize=64)
def normal_nodes(phase: float) -> tuple[FloatArray, FloatArray]:
    """
    Nodes and weights of means over a standard normal variable x of exp(i p x), p up to a phase [rad].

    Gauss and Hermite's rule where it needs fewer nodes, up to 7 rad. Else the trapezium rule up to 5.5 standard
    deviations, with steps that resolve the phase: for a Gaussian, it converges faster than any power of the step.
    """
    most = 2 * math.ceil(phase + 6) + 1
    phases = np.linspace(0.0, phase, math.ceil(8 * phase) + 2)[:, None]
    for count in range(1, min(most, _MOST_HERMITE)):
        nodes, weights = np.polynomial.hermite_e.hermegauss(count)
        weights = weights / weights.sum()
        error = np.cos(phases * nodes) @ weights - np.exp(-(phases[:, 0] ** 2) / 2)
        if np.abs(error).max() < _FOCAL_ERROR:
            return nodes, weights
    nodes = np.linspace(-5.5, 5.5, most)
    weights = np.exp(-(nodes**2) / 2)
    return nodes, weights / weights.sum()


def enveloping(microscopes: Sequence[Microscope]) -> Microscope:
    """
    Microscope whose probe and detectors hold those of several others.

    Parameters
    ----------
    microscopes : sequence of Microscope
        Microscopes with one beam energy and equal channels.

    Returns
    -------
    Microscope
        Largest semiangle, and detectors from the smallest to the largest angle, without aberrations.

    Raises
    ------
    InputError
        If there are none, or if they differ in energy or channels.
    """
    if not microscopes:
        raise InputError("microscopes: found none; allowed: at least one")
    first = microscopes[0]
    for one in microscopes[1:]:
        if (one.energy_kev, one.channels) != (first.energy_kev, first.channels):
            raise InputError(
                f"microscopes: found {first.energy_kev:g} keV with {', '.join(first.channels)}, and {one.energy_kev:g} "
                f"keV with {', '.join(one.channels)}; allowed: one beam energy and equal channels"
            )
    return Microscope(
        energy_kev=first.energy_kev,
        semiangle_mrad=max(one.semiangle_mrad for one in microscopes),
        detector_inner_mrad=min(one.detector_inner_mrad for one in microscopes),
        detector_outer_mrad=max(one.detector_outer_mrad for one in microscopes),
        detector_segments=first.detector_segments,
        dark_field_mrad=first.dark_field_mrad,
    )
