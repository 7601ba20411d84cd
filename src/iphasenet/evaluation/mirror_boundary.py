"""Images continued beyond their frame as a mirrored specimen would show them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEFT_RIGHT, _TOP_BOTTOM = (1, 0, 3, 2), (2, 3, 0, 1)


def with_mirror_images(segments: NDArray[Any]) -> NDArray[Any]:
    """
    Continue segments periodically by mirror images.

    A mirrored specimen deflects the probe the other way, so opposite segments change places: difference signals stay
    those of a potential that goes on as its own mirror image. Exact for round aberrations and a beam along a mirror
    plane, where frame and detector stand upright; else an error at the frame's edges alone.

    Parameters
    ----------
    segments : (..., 4, y, x) array
        Images of the segments: top-left, top-right, bottom-left, bottom-right.

    Returns
    -------
    (..., 4, 2 y, 2 x) array
        One period; the images themselves are its first half along each axis.
    """
    wide = np.concatenate([segments, segments[..., _LEFT_RIGHT, :, ::-1]], axis=-1)
    return np.concatenate([wide, wide[..., _TOP_BOTTOM, ::-1, :]], axis=-2)
