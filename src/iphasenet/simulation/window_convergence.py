"""Test whether the window in which the probe is periodic is large enough."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas
from numpy.typing import NDArray

from iphasenet.crystal.potential import CrystalPotential
from iphasenet.microscope.optics import Microscope
from iphasenet.multislice.periodic_images import ComplexArray, PeriodicImages, simulate_images
from iphasenet.multislice.settings import Numerics


def image_difference(images: PeriodicImages, reference: PeriodicImages) -> NDArray[np.float64]:
    """
    Compare the images of the first rotation with those of a reference.

    Parameters
    ----------
    images, reference : PeriodicImages
        Series of one cell at the same depths.

    Returns
    -------
    (thickness,) array
        rms difference over all positions and segments as a share of the reference's contrast (its rms deviation from
        each segment's mean). By Parseval, sums over the Fourier coefficients.
    """
    first, second = images.coefficients[:, 0], reference.coefficients[:, 0]
    shape = tuple(min(a, b) for a, b in zip(first.shape[-2:], second.shape[-2:], strict=True))
    first, second = _central(first, shape), _central(second, shape)
    contrast = np.abs(second) ** 2
    contrast[..., shape[0] // 2, shape[1] // 2] = 0
    return np.asarray(np.sqrt((np.abs(first - second) ** 2).sum(axis=(1, 2, 3)) / contrast.sum(axis=(1, 2, 3))))


def _central(coefficients: ComplexArray, shape: tuple[int, ...]) -> ComplexArray:
    y, x = (slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(coefficients.shape[-2:], shape, strict=True))
    return coefficients[..., y, x]


def window_differences(
    potential: CrystalPotential,
    microscope: Microscope,
    numerics: Numerics,
    depths: Sequence[float],
    lean: tuple[float, float],
    factors: Sequence[float],
    device: str = "cpu",
) -> pandas.DataFrame:
    """
    Compare the images of one tilt in windows of several sizes with those in the largest.

    Parameters
    ----------
    potential : CrystalPotential
        Potential of the cell.
    microscope : Microscope
        Probe and detectors.
    numerics : Numerics
        Numerics of the run.
    depths : sequence of float
        Depths [Å].
    lean : (float, float)
        Lateral shift of an atomic column per depth (x, y).
    factors : sequence of float
        Sizes of further windows, as multiples of the run's own; the largest is the reference.
    device : str
        Torch device.

    Returns
    -------
    DataFrame
        thickness_nm, window_angstrom, difference (share of the contrast), one row per thickness and window.
    """
    sizes = sorted({1.0, *factors})
    found = [
        simulate_images(
            potential,
            microscope,
            replace(numerics, window_angstrom=factor * numerics.window_angstrom),
            depths,
            lean,
            device=device,
        )
        for factor in sizes
    ]
    tables = [
        pandas.DataFrame(
            {
                "thickness_nm": np.array(depths) / 10,
                "window_angstrom": factor * numerics.window_angstrom,
                "difference": image_difference(images, found[-1]),
            }
        )
        for factor, images in zip(sizes[:-1], found[:-1], strict=True)
    ]
    return pandas.concat(tables, ignore_index=True)
