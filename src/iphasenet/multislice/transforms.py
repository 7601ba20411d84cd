"""Fourier transforms of waves, there and back, many times on the same memory.

On a CPU, FFTW is twice as fast as torch where the sides are powers of two. For other sides its plans are good only if
they are found by trials, and then rounding errors depend on which one has won.
"""

from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor

Transform = Callable[[Tensor], Tensor]

_FFTW = find_spec("pyfftw") is not None
"""What computes on GPUs has no FFTW; a CPU there does without."""


def transform_pair(waves: Tensor) -> tuple[Transform, Transform]:
    """
    Prepare transforms from and to Fourier coefficients, both without a factor.

    Parameters
    ----------
    waves : (..., y, x) complex tensor
        Memory of the waves. Both transforms are for this tensor alone, and may leave their result in it.

    Returns
    -------
    callable, callable
        From coefficients to values on the grid, and back to coefficients times the number of points.
    """
    if _is_for_fftw(waves):
        return _in_place(waves, "FFTW_BACKWARD"), _in_place(waves, "FFTW_FORWARD")
    return (lambda field: torch.fft.ifft2(field, norm="forward")), torch.fft.fft2


def _is_for_fftw(waves: Tensor) -> bool:
    two = all(side & (side - 1) == 0 for side in waves.shape[-2:])
    return two and waves.device.type == "cpu" and waves.is_contiguous() and _FFTW


def _in_place(waves: Tensor, direction: str) -> Transform:
    import pyfftw

    array = waves.numpy()
    # Estimated plans are always the same, and so is every digit of the result.
    plan = pyfftw.FFTW(array, array, axes=(-2, -1), direction=direction, flags=("FFTW_ESTIMATE",))

    def transform(field: Tensor) -> Tensor:
        if field.data_ptr() != waves.data_ptr():
            raise ValueError("a transform belongs to the memory that it was made for")
        plan.execute()
        return field

    return transform
