"""Continuation of images beyond their frame by those of a mirrored specimen."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEFT_RIGHT, _TOP_BOTTOM = (1, 0, 3, 2), (2, 3, 0, 1)


def with_mirror_images(segments: NDArray[Any]) -> NDArray[Any]:
    """
    Continue segments periodically by mirror images.

    A mirrored specimen deflects the probe the other way, so opposite segments change places. The difference signals
    remain those of a potential that continues as its mirror image. This is exact for round aberrations, a beam along a
    mirror plane, and a detector aligned with the frame; else there is an error, only at the frame's edges.

    Parameters
    ----------
    segments : (..., 4, y, x) array
        Images of the segments: top-left, top-right, bottom-left, bottom-right.

    Returns
    -------
    (..., 4, 2 y, 2 x) array
        One period; its first half along each axis is the image itself.
    """
    wide = np.concatenate([segments, segments[..., _LEFT_RIGHT, :, ::-1]], axis=-1)
    return np.concatenate([wide, wide[..., _TOP_BOTTOM, ::-1, :]], axis=-2)
