"""Optimum bright-field image: the segments' images, weighted so that a weak object stands highest above the noise."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, rfft2

from iphasenet.evaluation.mirror_boundary import with_mirror_images

FloatArray = NDArray[np.floating[Any]]
ComplexArray = NDArray[np.complexfloating[Any, Any]]


def optimum_bright_field(segments: FloatArray, transfer: ComplexArray) -> FloatArray:
    """
    Weight the segments at each spatial frequency by their signal-to-noise ratio.

    Parameters
    ----------
    segments : (segment, y, x) array
        Images of the segments, fractions of the beam current.
    transfer : (segment, 2 y, kx) complex array
        Signal of a weak potential (`iphasenet.evaluation.phase_inversion.potential_transfer`) for the mirrored images,
        2 y by 2 x pixels.

    Returns
    -------
    (y, x) array
        Image of zero mean and arbitrary scale, positive on atoms: sum_j H_j* / n_j I_j over the root of sum_j |H_j|² /
        n_j, with n_j the mean signal of segment j. Its noise is white. Ooe, Seki, Ikuhara & Shibata, Ultramicroscopy
        220, 113133 (2021).
    """
    rows, columns = segments.shape[1:]
    means = np.maximum(segments.mean(axis=(1, 2), dtype=np.float64), 1e-9)
    deviation = segments - segments.mean(axis=(1, 2), keepdims=True)
    spectra = rfft2(with_mirror_images(deviation))
    weights = transfer.conj() / means[:, None, None]
    power = (weights * transfer).sum(axis=0).real
    # Where no segment has a signal, nothing is shown.
    shown = power > 1e-9 * power.max()
    spectrum = np.where(shown, (weights * spectra).sum(axis=0) / np.sqrt(np.where(shown, power, 1.0)), 0.0)
    return np.asarray(irfft2(spectrum, s=(2 * rows, 2 * columns))[:rows, :columns])
